//! Sessions: what outlives a connection, and every durable change of it as explicit data.

mod mutation;
mod received;
mod replays;
mod subscription;
mod subscriptions;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::num::NonZeroU32;

use mynah_model::{Expiry, Filter, Identity, Instant, Reason, SubscriptionOptions, Will};

pub use mutation::Mutation;
pub use received::{Received, ReceivedIds};
pub use replays::Replay;

use crate::{Cursor, Queue, QueueBounds, Text};
use replays::Replays;
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
    /// Published some time after the connection has ended without a good-bye. While there is no connection, one that is
    /// here waits for that time.
    pub will: Option<Box<Will>>,
    /// How long the session outlives its connection.
    pub expiry: Expiry,
    /// The slot of the connection that uses the session.
    pub connection: Option<u32>,
    /// When the last connection ended: what the expiry counts from.
    pub detached_at: Option<Instant>,
    /// The owner's timer that wakes it when the will or the end of the session is due.
    pub timer: Option<NonZeroU32>,
    /// How many unconfirmed deliveries the peer takes at a time.
    pub receive_max: u16,
    /// Whether a subscription reaches beyond what the peer may see: then each message is looked at.
    pub checks_deliveries: bool,
    /// Whether messages were dropped because too many waited, and the backlog was not empty since.
    pub overflows: bool,
    /// Whether the session has been a member of a group: then it may hold messages that others can have.
    pub has_shared: bool,
    /// Whether a store keeps the session: each change of it is told then.
    pub stored: bool,
    /// Whether a store keeps the will of a session that it does not keep.
    pub will_stored: bool,
    subscriptions: Subscriptions,
    // Boxed because few sessions have any.
    replays: Option<Box<Replays>>,
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
            timer: None,
            receive_max,
            checks_deliveries: false,
            overflows: false,
            has_shared: false,
            stored: false,
            will_stored: false,
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
        self.has_shared = false;
        self.queue.clear()
    }

    /// The connection has ended, and perhaps said how long the session is to outlive it.
    pub fn detach(&mut self, now: Instant, expiry: Option<Expiry>) {
        self.connection = None;
        self.detached_at = Some(now);
        self.expiry = expiry.unwrap_or(self.expiry);
    }

    /// When the will is due that waits without a connection, if one does.
    #[must_use]
    pub fn will_due(&self) -> Option<Instant> {
        Some(self.detached_at? + self.will.as_ref()?.delay)
    }

    /// When the session ends, if nobody comes back to it.
    #[must_use]
    pub fn expiry_due(&self) -> Option<Instant> {
        match self.expiry {
            Expiry::WithConnection => self.detached_at,
            Expiry::After(duration) => Some(self.detached_at? + duration),
            Expiry::Never => None,
        }
    }

    /// Adds a subscription, of the session's own or shared with the group `share`, or replaces the options of one with
    /// the same filter and group. Returns whether it replaced one.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] if the session has `subscriptions_max` subscriptions; [`Reason::FilterInvalid`] if the
    /// group's name is empty or holds NUL.
    pub fn subscribe(
        &mut self,
        share: Option<&[u8]>,
        filter: Filter<'_>,
        options: SubscriptionOptions,
        subscriptions_max: usize,
    ) -> Result<bool, Reason> {
        if share.is_some_and(|group| group.is_empty() || group.contains(&0)) {
            return Err(Reason::FilterInvalid);
        }
        let key = subscription::key(share, filter);
        if self.subscriptions.replace(&key, options) {
            if share.is_none() {
                self.update_replay(filter, options);
            }
            return Ok(true);
        }
        if self.subscriptions.len() >= subscriptions_max {
            return Err(Reason::QuotaExceeded);
        }
        self.subscriptions.insert(&key, options);
        self.has_shared |= share.is_some();
        Ok(false)
    }

    /// Removes a subscription and its replay. Returns whether it was there.
    pub fn unsubscribe(&mut self, share: Option<&[u8]>, filter: Filter<'_>) -> bool {
        if share.is_none() {
            self.finish_replay(filter);
        }
        self.subscriptions.remove(&subscription::key(share, filter))
    }

    /// The subscriptions with their groups: shared ones first, then the session's own, ordered by filter.
    pub fn subscriptions(
        &self,
    ) -> impl Iterator<Item = (Option<&[u8]>, Filter<'_>, SubscriptionOptions)> + '_ {
        self.subscriptions.iter().map(|(key, options)| {
            let (share, filter) = subscription::parts(key);
            (share, filter, options)
        })
    }

    /// The shared subscriptions: group and filter.
    pub fn shared(&self) -> impl Iterator<Item = (&[u8], Filter<'_>)> + '_ {
        self.subscriptions().map_while(|(share, filter, _)| Some((share?, filter)))
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

    /// A replay that is under way goes on as the subscription is now.
    fn update_replay(&mut self, filter: Filter<'_>, options: SubscriptionOptions) {
        if let Some(replay) = self.replays.as_mut().and_then(|replays| replays.get_mut(filter.as_bytes())) {
            replay.options = options;
        }
    }

    /// Begins to replay retained values to a subscription of the session's own, from the start if it was under way.
    /// Without such a subscription nothing happens: so there are never more replays than subscriptions.
    pub fn start_replay(&mut self, filter: Filter<'_>, options: SubscriptionOptions) {
        if let Some((text, _)) = self.subscriptions.get(filter.as_bytes()) {
            self.replays.get_or_insert_default().begin(text.clone(), options);
        }
    }

    /// Goes on with a replay that an earlier run has begun.
    pub fn resume_replay(&mut self, filter: Filter<'_>, options: SubscriptionOptions, cursor: Cursor) {
        self.start_replay(filter, options);
        if let Some(replay) = self.replays.as_mut().and_then(|replays| replays.get_mut(filter.as_bytes())) {
            replay.cursor = cursor;
        }
    }

    /// The replay that is served first. It survives the connection.
    pub fn replay(&mut self) -> Option<&mut Replay> {
        self.replays.as_mut()?.first()
    }

    /// The replay to a subscription, if one is under way.
    #[must_use]
    pub fn replay_to(&self, filter: Filter<'_>) -> Option<&Replay> {
        self.replays.as_ref()?.get(filter.as_bytes())
    }

    /// Whether retained values are on their way.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.replays.is_some()
    }

    /// Ends the replay to a subscription, if there is one.
    pub fn finish_replay(&mut self, filter: Filter<'_>) {
        if let Some(replays) = &mut self.replays {
            replays.end(filter.as_bytes());
            if replays.is_empty() {
                self.replays = None;
            }
        }
    }
}
