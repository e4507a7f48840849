//! Sessions: what outlives a connection, and every durable change of it as explicit data.

mod mutation;
mod received;
mod subscriptions;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use mynah_model::{Expiry, Filter, Identity, Instant, Message, Reason, SubscriptionOptions};

pub use mutation::Mutation;
pub use received::{Received, ReceivedIds};

use crate::{Cursor, Queue, QueueBounds, Text};
use subscriptions::Subscriptions;

/// A session. Its fields are changed by the worker that owns it and by nobody else.
#[derive(Debug)]
pub struct Session {
    /// Whose session it is.
    pub identity: Identity,
    /// What waits for the peer, and what it has not yet confirmed.
    pub queue: Queue,
    /// Exactly-once publications of the peer that are not complete.
    pub received: ReceivedIds,
    /// Published when the connection ends without a good-bye.
    pub will: Option<Message>,
    /// How long the session outlives its connection.
    pub expiry: Expiry,
    /// The slot of the connection that uses the session.
    pub connection: Option<u32>,
    /// When the last connection ended: what the expiry counts from.
    pub detached_at: Option<Instant>,
    /// Whether a timer looks at the expiry: one is enough, however often connections come and go.
    pub expiry_is_watched: bool,
    /// How many unconfirmed deliveries the peer takes at a time.
    pub receive_max: u16,
    /// Whether a subscription reaches beyond what the peer may see: then each message is looked at.
    pub checks_deliveries: bool,
    subscriptions: Subscriptions,
    // Boxed because few sessions have any.
    #[allow(clippy::box_collection)]
    replays: Option<Box<VecDeque<Replay>>>,
}

/// Retained values on their way to a new subscription.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The subscription's filter.
    pub filter: Box<[u8]>,
    /// How the subscription wants its messages.
    pub options: SubscriptionOptions,
    /// How far the replay has come.
    pub cursor: Cursor,
}

impl Session {
    /// A session without subscriptions or messages.
    #[must_use]
    pub fn new(identity: Identity, expiry: Expiry, receive_max: u16, bounds: QueueBounds) -> Self {
        Self {
            identity,
            queue: Queue::new(bounds),
            received: ReceivedIds::new(),
            will: None,
            expiry,
            connection: None,
            detached_at: None,
            expiry_is_watched: false,
            receive_max,
            checks_deliveries: false,
            subscriptions: Subscriptions::default(),
            replays: None,
        }
    }

    /// A connection uses the session from here on.
    pub fn open(&mut self, expiry: Expiry, receive_max: u16) {
        (self.expiry, self.receive_max, self.detached_at) = (expiry, receive_max, None);
    }

    /// Forgets everything that an earlier connection left, the will included. Returns how many messages went.
    pub fn discard(&mut self) -> usize {
        self.received = ReceivedIds::new();
        self.will = None;
        self.subscriptions = Subscriptions::default();
        self.replays = None;
        self.queue.clear()
    }

    /// The connection has ended.
    pub fn detach(&mut self, now: Instant) {
        self.connection = None;
        self.detached_at = Some(now);
    }

    /// Adds a subscription or replaces the options of one with the same filter. Returns whether it replaced one.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] if the session has `subscriptions_max` subscriptions.
    pub fn subscribe(
        &mut self,
        filter: Filter<'_>,
        options: SubscriptionOptions,
        subscriptions_max: usize,
    ) -> Result<bool, Reason> {
        if let Some(existing) = self.subscriptions.get_mut(filter.as_bytes()) {
            *existing = options;
            return Ok(true);
        }
        if self.subscriptions.len() >= subscriptions_max {
            return Err(Reason::QuotaExceeded);
        }
        self.subscriptions.insert(filter.as_bytes(), options);
        Ok(false)
    }

    /// Removes a subscription and its replay. Returns whether it was there.
    pub fn unsubscribe(&mut self, filter: Filter<'_>) -> bool {
        self.finish_replay(filter);
        self.subscriptions.remove(filter.as_bytes())
    }

    /// The subscriptions, ordered by filter.
    pub fn subscriptions(&self) -> impl Iterator<Item = (Filter<'_>, SubscriptionOptions)> + '_ {
        self.subscriptions.iter().map(|(filter, options)| (Filter::from_checked(filter), *options))
    }

    /// The filter of a subscription as the session keeps it, so that others can keep the same.
    #[must_use]
    pub fn filter_text(&self, filter: Filter<'_>) -> Option<&Text> {
        self.subscriptions.get(filter.as_bytes()).map(|(text, _)| text)
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions_len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Begins to replay retained values to a subscription of this session, from the start if it was under way.
    /// Without such a subscription nothing happens: so there are never more replays than subscriptions.
    pub fn start_replay(&mut self, filter: Filter<'_>, options: SubscriptionOptions) {
        if self.subscriptions.get(filter.as_bytes()).is_none() {
            return;
        }
        self.finish_replay(filter);
        let replay = Replay { filter: filter.as_bytes().into(), options, cursor: Cursor::default() };
        self.replays.get_or_insert_default().push_back(replay);
    }

    /// The replay that is served first. It survives the connection.
    pub fn replay(&mut self) -> Option<&mut Replay> {
        self.replays.as_mut()?.front_mut()
    }

    /// Whether retained values are on their way.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.replays.is_some()
    }

    /// Ends the replay to a subscription, if there is one.
    pub fn finish_replay(&mut self, filter: Filter<'_>) {
        if let Some(replays) = &mut self.replays {
            // A filter has one replay, and the first is the one that comes to its end.
            match replays.front() {
                Some(first) if *first.filter == *filter.as_bytes() => drop(replays.pop_front()),
                _ => replays.retain(|replay| *replay.filter != *filter.as_bytes()),
            }
            if replays.is_empty() {
                self.replays = None;
            }
        }
    }
}
