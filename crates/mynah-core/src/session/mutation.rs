//! Every durable change of a session as data: what a store records and replays.

use alloc::boxed::Box;

use mynah_model::{DeliveryId, Expiry, Filter, Instant, SubscriptionOptions, Will};

use super::Session;
use crate::{Entry, Withdrawal};

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
        /// How long the session is to outlive it, if that was said then.
        expiry: Option<Expiry>,
    },
    /// A subscription was added or replaced.
    Subscribe {
        /// The group it is shared with.
        share: Option<Box<[u8]>>,
        /// Its filter.
        filter: Box<[u8]>,
        /// Its options.
        options: SubscriptionOptions,
    },
    /// A subscription was removed.
    Unsubscribe {
        /// The group it was shared with.
        share: Option<Box<[u8]>>,
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
    /// Entries went to other members of their groups.
    Withdraw(Withdrawal),
    /// The will was set, or cleared. One that is here when the connection has ended waits to be published.
    Will(Option<Box<Will>>),
}

impl Session {
    /// Repeats a change that was allowed when it happened: the limits of the day do not refuse it.
    pub fn apply(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Open { expiry, receive_max } => self.open(expiry, receive_max),
            Mutation::Discard => drop(self.discard()),
            Mutation::Detach { now, expiry } => self.detach(now, expiry),
            Mutation::Subscribe { share, filter, options } => {
                let filter = Filter::from_checked(&filter);
                let outcome = self.subscribe(share.as_deref(), filter, options, usize::MAX);
                debug_assert!(outcome.is_ok());
            }
            Mutation::Unsubscribe { share, filter } => {
                self.unsubscribe(share.as_deref(), Filter::from_checked(&filter));
            }
            Mutation::Enqueue(entry) => drop(self.queue.push(entry)),
            Mutation::LeaseNew(entry) => drop(self.queue.lease_new(entry, u16::MAX)),
            Mutation::LeaseNext { now, window } => drop(self.queue.lease_next(now, window)),
            Mutation::Receive(id) => drop(self.queue.receive(id)),
            Mutation::Settle(id) => drop(self.queue.settle(id)),
            Mutation::Record(id) => drop(self.received.receive(id, u16::MAX)),
            Mutation::Complete(id) => drop(self.received.complete(id)),
            Mutation::Withdraw(withdrawal) => drop(self.queue.withdraw(&withdrawal)),
            Mutation::Will(will) => self.will = will,
        }
    }
}
