//! Those who send to queues and take from them, by STOMP and by AMQP 0-9-1.

mod amqp_consumer;
mod amqp_producer;
mod connection;
mod stomp_consumer;
mod stomp_producer;
mod visitor;

pub(crate) use amqp_consumer::AmqpConsumer;
pub(crate) use amqp_producer::AmqpProducer;
pub(crate) use connection::{amqp, stomp};
pub(crate) use stomp_consumer::StompConsumer;
pub(crate) use stomp_producer::StompProducer;
pub(crate) use visitor::{Peer, Visitor};

use std::collections::BTreeMap;

use crate::ledger::GroupId;
use crate::random::Random;
use crate::shared::Shared;

/// Queues that producers send to, as destinations of STOMP. By their names they belong to different workers.
pub(crate) const QUEUES: [&str; 4] = ["/queue/work-0", "/queue/work-1", "/queue/work-2", "/queue/work-3"];

/// Where what was taken in a transaction is sent on to in the same transaction.
pub(crate) const DONE: &str = "/queue/done";

/// Messages that a consumer may hold.
const PREFETCH: u16 = 20;

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each by itself; some it gives back.
    Individual,
    /// Each with all before it.
    Cumulative,
    /// Each in a transaction, in which it is sent on.
    SendsOn,
}

/// What waits for an answer, by its number.
#[derive(Debug, Default)]
struct Pending(BTreeMap<u64, GroupId>);

impl Pending {
    fn insert(&mut self, number: Option<u64>, group: GroupId) {
        if let Some(number) = number {
            self.0.insert(number, group);
        }
    }

    fn answered(&mut self, shared: &Shared, number: u64) {
        if let Some(group) = self.0.remove(&number) {
            shared.ledger().confirm_group(group);
        }
    }

    fn refused(&mut self, shared: &Shared, number: u64) {
        if let Some(group) = self.0.remove(&number) {
            shared.ledger().refuse_group(group);
        }
    }

    /// The connection is gone.
    fn give_up(&mut self, shared: &Shared) {
        for group in std::mem::take(&mut self.0).into_values() {
            shared.ledger().give_up_group(group);
        }
    }
}

/// The name of a queue whose destination by STOMP this is.
fn name_of(destination: &str) -> &str {
    destination.strip_prefix("/queue/").unwrap_or(destination)
}

/// How long a payload is.
fn payload_bytes(random: &mut Random) -> usize {
    let bytes = if random.happens(10) { 4_000..=20_000 } else { 40..=400 };
    usize::try_from(random.between(bytes)).unwrap_or(0)
}
