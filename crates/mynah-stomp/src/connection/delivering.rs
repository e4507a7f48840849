//! Messages of the broker on their way to the client ("MESSAGE").

use alloc::vec::Vec;

use mynah_model::Topic;
use mynah_stack::{Delivery, Frame, Lease, Outbound};

use super::subscriptions::{Source, Subscription};
use super::{ServerConnection, Session};
use crate::Version;
use crate::mapping::{Profile, Spelled, is_temporary_topic, split};
use crate::wire::{AckMode, push_header};

/// What only one receiver is told.
struct Told<'a> {
    topic: Topic<'a>,
    /// The exchange and the key, where these are not what the subscription says.
    routed: Option<(&'a [u8], &'a [u8])>,
    lease: u64,
    /// Absent: nobody counts.
    redelivered: Option<bool>,
}

impl ServerConnection {
    /// Writes a delivery. False, and nothing is written, if its topic cannot be spelled.
    pub(super) fn deliver_open(&mut self, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        match delivery {
            Delivery::Message { frame, redelivered, subscription_ids, .. } => {
                let Some((topic, common)) = split(&frame.head) else { return false };
                let mut is_written = true;
                for id in subscription_ids {
                    let redelivered = redelivered.then_some(true);
                    let told = |lease| Told { topic, routed: None, lease, redelivered };
                    is_written &= self.message(id.number(), told, common, frame, out);
                }
                is_written
            }
            Delivery::Leased(lease) => self.deliver_leased(lease, out),
            // Nothing exactly-once is asked for.
            Delivery::Release { .. } => true,
        }
    }

    fn deliver_leased(&mut self, lease: &Lease<'_>, out: &mut Outbound) -> bool {
        let Some((topic, common)) = split(&lease.frame.head) else { return false };
        let Lease { consumer, routed, acquired, .. } = *lease;
        let octets = lease.message.payload().len();
        let told = |number| Told { topic, routed, lease: number, redelivered: Some(acquired > 0) };
        let mut is_stream = false;
        if let Some(subscription) = self.session.subscriptions.by_number(consumer.0) {
            is_stream = subscription.is_stream;
            subscription.delivered = lease.lease - 1;
            if subscription.ack != AckMode::Auto {
                subscription.unacknowledged.delivered(lease.lease, octets);
            }
        }
        let at = self.session.scratch.len();
        debug_assert_eq!(at, 0, "memory is given back empty");
        push_lease(lease, is_stream, self.version, &mut self.session.scratch);
        self.message(consumer.0, told, common, lease.frame, out)
    }

    /// Writes MESSAGE for one subscription; what has been composed already goes with it. One that has ended gets nothing.
    fn message<'a>(
        &mut self,
        number: u32,
        told: impl FnOnce(u64) -> Told<'a>,
        common: &[u8],
        frame: &Frame,
        out: &mut Outbound,
    ) -> bool {
        let (profile, version) = (self.config.settings().profile, self.version);
        let Session { subscriptions, scratch, .. } = &mut *self.session;
        let Some(subscription) = subscriptions.by_number(number) else {
            scratch.clear();
            return true;
        };
        subscription.delivered += 1;
        let told = told(subscription.delivered);
        let is_spelled = push_told(subscription, &told, profile, version, scratch);
        if is_spelled {
            out.append(&subscription.lead);
            out.append(scratch);
            out.append(common);
            frame.write_body(out);
            out.append(b"\0");
        }
        scratch.clear();
        is_spelled
    }
}

/// Headers that say what a queue knows of a message.
fn push_lease(lease: &Lease<'_>, is_stream: bool, version: Version, out: &mut Vec<u8>) {
    let escaping = version.escaping();
    if is_stream {
        out.extend_from_slice(b"x-stream-offset:");
        push_number(lease.offset, out);
        out.push(b'\n');
    }
    if let Some(death) = lease.deaths.first() {
        if let Ok(queue) = core::str::from_utf8(&death.queue) {
            push_header("x-death-queue", queue, escaping, out);
        }
        push_header("x-death-reason", death.reason.name(), escaping, out);
        out.extend_from_slice(b"x-death-count:");
        push_number(death.count, out);
        out.push(b'\n');
    }
}

fn push_told(
    subscription: &Subscription,
    told: &Told<'_>,
    profile: Profile,
    version: Version,
    out: &mut Vec<u8>,
) -> bool {
    out.extend_from_slice(b"message-id:");
    push_id(subscription.number, told.lease, out);
    if version.has_ack_ids() && subscription.ack != AckMode::Auto {
        out.extend_from_slice(b"ack:");
        push_id(subscription.number, told.lease, out);
    }
    match told.redelivered {
        Some(true) => out.extend_from_slice(b"redelivered:true\n"),
        Some(false) => out.extend_from_slice(b"redelivered:false\n"),
        None => {}
    }
    push_destination(subscription, told, profile, version, out)
}

/// The destination in the subscriber's spelling.
fn push_destination(
    subscription: &Subscription,
    told: &Told<'_>,
    profile: Profile,
    version: Version,
    out: &mut Vec<u8>,
) -> bool {
    let topics = |exchange: &[u8]| exchange == b"amq.topic";
    let spelled = match (&subscription.source, told.routed) {
        (Source::Queue(name), None) if **name == *told.topic.as_bytes() => {
            return push_header("destination", &subscription.destination, version.escaping(), out);
        }
        _ if is_temporary_topic(told.topic, &subscription.destination) => {
            return push_header("destination", &subscription.destination, version.escaping(), out);
        }
        (Source::Queue(_) | Source::Bound { .. }, Some((exchange, key))) if !topics(exchange) => {
            let topic = Topic::from_checked(key);
            match exchange {
                b"" => Spelled { prefix: "/queue/", exchange: Some(key), topic: Topic::from_checked(b"") },
                _ => Spelled { prefix: "/exchange/", exchange: Some(exchange), topic },
            }
        }
        (Source::Bound { exchange, .. }, None) if !topics(exchange) => {
            Spelled { prefix: "/exchange/", exchange: Some(exchange), topic: told.topic }
        }
        (_, Some((_, key))) => Spelled { prefix: "/topic/", exchange: None, topic: Topic::from_checked(key) },
        _ => Spelled { prefix: "/topic/", exchange: None, topic: told.topic },
    };
    let mut destination = Vec::with_capacity(told.topic.as_bytes().len() + 16);
    let is_spelled = profile.spell(&spelled, &mut destination);
    match core::str::from_utf8(&destination) {
        Ok(text) if is_spelled => push_header("destination", text, version.escaping(), out),
        _ => false,
    }
}

fn push_id(number: u32, lease: u64, out: &mut Vec<u8>) {
    push_number(u64::from(number), out);
    out.push(b'-');
    push_number(lease, out);
    out.push(b'\n');
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
