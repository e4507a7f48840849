//! Messages of queues on their way to the client: basic.deliver and basic.get-ok.

use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::{Lease, Outbound};

use super::ServerConnection;
use super::consumers::Consumer;
use super::jobs::{Job, Kind};
use super::settling::Held;
use crate::v0_9_1::mapping::{Encoded, LAYOUT, TOPIC_EXCHANGE, respelled};
use crate::v0_9_1::wire::{ContentHeader, ShortStr, basic};

/// What is spelled for one receiver only.
#[derive(Debug, Default)]
struct Own {
    key: Vec<u8>,
    header: Vec<u8>,
}

impl ServerConnection {
    /// Writes a delivery. False, and nothing is written, if the client's frames are too small for its header.
    pub(super) fn deliver_leased(&mut self, now: Instant, lease: &Lease<'_>, out: &mut Outbound) -> bool {
        let Some(mut encoded) = Encoded::new(lease.frame) else { return false };
        let number = lease.consumer.0;
        let Some(consumer) = self.consumers.get(number) else { return true };
        let Some(channel) = self.channels.get_mut(&consumer.channel) else { return true };
        let mut own = Own::default();
        if lease.routed.is_some()
            || !lease.deaths.is_empty()
            || consumer.is_stream
            || lease.message.header.layout != LAYOUT
        {
            encoded = told(lease, consumer, encoded, &mut own);
        }
        if !encoded.fits(self.terms.frame_bytes_max) {
            return false;
        }
        let held = Held { consumer: number, lease: lease.lease, polled: consumer.polls };
        let delivery_tag = if consumer.settled {
            channel.unacknowledged.pass()
        } else {
            if !consumer.polls {
                channel.prefetch.deliver(number);
            }
            channel.unacknowledged.push(held)
        };
        let redelivered = lease.acquired > 0;
        let (exchange, routing_key) = (encoded.exchange, encoded.routing_key);
        let to = consumer.channel;
        if consumer.polls {
            if let Some(Job { kind: Kind::Get { is_there, .. }, .. }) = self.job.as_deref_mut() {
                *is_there = true;
            }
            let message_count = u32::try_from(lease.ready).unwrap_or(u32::MAX);
            basic::GetOk { delivery_tag, redelivered, exchange, routing_key, message_count }
                .encode(to, &mut self.scratch);
        } else {
            let consumer_tag = ShortStr::new(&consumer.tag).unwrap_or_default();
            basic::Deliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key }
                .encode(to, &mut self.scratch);
        }
        out.append(&self.scratch);
        self.scratch.clear();
        encoded.write_content(lease.frame, to, self.terms.frame_bytes_max, out);
        self.beats.note_sent(now);
        true
    }
}

/// What a receiver is told beside what all are: how a message came here, and where it is.
#[cold]
fn told<'f>(lease: &Lease<'f>, consumer: &Consumer, encoded: Encoded<'f>, own: &'f mut Own) -> Encoded<'f> {
    let mut encoded = encoded;
    let offset = consumer.is_stream.then_some(lease.offset);
    if (!lease.deaths.is_empty() || offset.is_some())
        && let Ok(content) = ContentHeader::decode(encoded.header)
    {
        let made = respelled::with_story(content.properties, lease.deaths, offset);
        ContentHeader { properties: made.as_properties(), ..content }.encode_payload(&mut own.header);
        encoded.header = &own.header;
    }
    if let Some((exchange, key)) = lease.routed {
        own.key = respelled::routing_key(exchange, key);
        encoded.exchange = ShortStr::new(exchange).unwrap_or_default();
        encoded.routing_key = ShortStr::new(&own.key).unwrap_or_default();
    } else if encoded.exchange.as_bytes() == TOPIC_EXCHANGE
        && lease.message.header.layout != LAYOUT
        && *lease.message.topic().as_bytes() == *consumer.queue
    {
        // Other protocols publish to a queue by its name.
        own.key.extend_from_slice(&consumer.queue);
        encoded.exchange = ShortStr::EMPTY;
        encoded.routing_key = ShortStr::new(&own.key).unwrap_or_default();
    }
    encoded
}
