//! `$SYS`: what the broker publishes of itself, as retained values, at a fixed interval.

use std::time::Duration;

use mynah_core::Counters;
use mynah_model::{Class, Header, Instant, Message, MessageView, PRIORITY_DEFAULT, TenantId};

use crate::due::Timer;
use crate::engine::Engine;
use crate::item::Item;
use crate::layouts::PLAIN;
use crate::shared::Shared;

impl Engine {
    /// Publishes the present values and arms the timer for the next.
    pub(crate) fn sys_due(&mut self, now: Instant) {
        let Some(interval) = self.shared.sys_interval else { return };
        for (name, value) in values(&self.shared, now.saturating_since(self.started)) {
            let topic = format!("$SYS/broker/{name}");
            let message = message(TenantId::DEFAULT, topic.as_bytes(), value.as_bytes(), true);
            self.distribute(now, &mut Item::shared(&message), None);
        }
        self.timers.arm(now + interval, Timer::Sys);
    }
}

/// The topics below `$SYS/broker` and their values; the names are those that Mosquitto made customary.
fn values(shared: &Shared, uptime: Duration) -> Vec<(&'static str, String)> {
    let sum = |read: fn(&Counters) -> u64| shared.all_counters().iter().map(read).sum::<u64>();
    let classes = [Class::AtMostOnce, Class::AtLeastOnce, Class::ExactlyOnce];
    // A connection may open on one worker and close on another.
    let connected = sum(|c| c.connections_opened.read()).saturating_sub(sum(|c| c.connections_closed.read()));
    let received = classes
        .iter()
        .map(|class| shared.all_counters().iter().map(|c| c.messages_received(*class).read()).sum::<u64>());
    let sent = classes
        .iter()
        .map(|class| shared.all_counters().iter().map(|c| c.messages_sent(*class).read()).sum::<u64>());
    let sizes = shared.sizes();
    vec![
        ("version", format!("mynah {}", shared.version)),
        ("uptime", format!("{} seconds", uptime.as_secs())),
        ("clients/connected", connected.to_string()),
        ("clients/total", sum(|c| c.sessions.read()).to_string()),
        ("subscriptions/count", sizes.filters.to_string()),
        ("retained messages/count", sizes.retained_messages.to_string()),
        ("publish/messages/received", received.sum::<u64>().to_string()),
        ("publish/messages/sent", sent.sum::<u64>().to_string()),
        ("bytes/received", sum(|c| c.bytes_received.read()).to_string()),
        ("bytes/sent", sum(|c| c.bytes_sent.read()).to_string()),
    ]
}

/// A message that the broker itself makes.
pub(crate) fn message(tenant: TenantId, topic: &[u8], payload: &[u8], retain: bool) -> Message {
    let native = [topic, payload].concat();
    let (end, total) = (topic.len() as u32, native.len() as u32);
    let header = Header {
        tenant,
        layout: PLAIN,
        class: Class::AtMostOnce,
        retain,
        priority: PRIORITY_DEFAULT,
        topic: (0, end),
        payload: (end, total),
        deadline: None,
        publisher: None,
    };
    MessageView { header: &header, native: &native }.to_message()
}
