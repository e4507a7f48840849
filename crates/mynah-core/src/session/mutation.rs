//! Every durable change of a session as data: what a store records and replays.

use alloc::boxed::Box;

use mynah_model::{DeliveryId, Expiry, Filter, Instant, Message, SubscriptionOptions};

use super::Session;
use crate::Entry;

/// A change of a session that happened. Applied in order to an equal session it has an equal result.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// A connection has opened the session.
    Open {
        /// How long the session outlives it.
        expiry: Expiry,
        /// How many unconfirmed deliveries it takes at a time.
        receive_max: u16,
    },
    /// What an earlier connection left is forgotten.
    Discard,
    /// The connection has ended.
    Detach {
        /// When.
        now: Instant,
    },
    /// A subscription was added or replaced.
    Subscribe {
        /// Its filter.
        filter: Box<[u8]>,
        /// Its options.
        options: SubscriptionOptions,
    },
    /// A subscription was removed.
    Unsubscribe {
        /// Its filter.
        filter: Box<[u8]>,
    },
    /// An entry was appended to the backlog; what the bounds drop follows from it.
    Enqueue(Entry),
    /// An entry was leased without waiting in the backlog.
    LeaseNew(Entry),
    /// The oldest entry was handed out, and what had expired before it was dropped.
    LeaseNext {
        /// When.
        now: Instant,
        /// The window it was to fit into.
        window: u16,
    },
    /// The peer has an exactly-once message and will not take it again.
    Receive(DeliveryId),
    /// The peer is done with a delivery.
    Settle(DeliveryId),
    /// The peer's exactly-once publication was received.
    Record(u16),
    /// The peer's exactly-once publication is complete.
    Complete(u16),
    /// The will was set, or cleared.
    Will(Option<Message>),
}

impl Session {
    /// Repeats a change that was allowed when it happened: the limits of the day do not refuse it.
    pub fn apply(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Open { expiry, receive_max } => self.open(expiry, receive_max),
            Mutation::Discard => drop(self.discard()),
            Mutation::Detach { now } => self.detach(now),
            Mutation::Subscribe { filter, options } => {
                let outcome = self.subscribe(Filter::from_checked(&filter), options, usize::MAX);
                debug_assert!(outcome.is_ok());
            }
            Mutation::Unsubscribe { filter } => drop(self.unsubscribe(Filter::from_checked(&filter))),
            Mutation::Enqueue(entry) => drop(self.queue.push(entry)),
            Mutation::LeaseNew(entry) => drop(self.queue.lease_new(entry, u16::MAX)),
            Mutation::LeaseNext { now, window } => drop(self.queue.lease_next(now, window)),
            Mutation::Receive(id) => drop(self.queue.receive(id)),
            Mutation::Settle(id) => drop(self.queue.settle(id)),
            Mutation::Record(id) => drop(self.received.receive(id, u16::MAX)),
            Mutation::Complete(id) => drop(self.received.complete(id)),
            Mutation::Will(will) => self.will = will,
        }
    }
}
