//! What an earlier run of the broker left: sessions and values from a store, before the first peer comes.

use mynah_core::rules::Grant;
use mynah_core::{Cursor, Kept, QueueBounds, Received, Session, SessionKey};
use mynah_model::{
    DeliveryId, Expiry, Filter, Identity, Instant, Message, Reason, SubscriptionOptions, Will,
};

use crate::deeds::Parts;
use crate::engine::Engine;
use crate::journal::Note;
use crate::presence::concerns;
use crate::random::Random;

/// A session as a store has kept it.
#[derive(Debug)]
pub struct Restored {
    /// Its name.
    pub key: SessionKey,
    /// Whose it is.
    pub identity: Identity,
    /// How long it outlives its connection.
    pub expiry: Expiry,
    /// How many unconfirmed deliveries its peer takes at a time.
    pub receive_max: u16,
    /// When its last connection ended; the time of the crash is that of the start after it.
    pub detached_at: Instant,
    /// Its subscriptions.
    pub subscriptions: Vec<RestoredSubscription>,
    /// The exactly-once publications of its peer that are not complete.
    pub received: Vec<u16>,
    /// The parts of those that had not arrived everywhere, with their identifiers.
    pub repeated: Vec<(u16, Parts)>,
    /// Its will, which waits for its delay from when the connection ended.
    pub will: Option<Will>,
    /// What is in its queue.
    pub queue: Vec<Kept>,
    /// The number that the next entry gets at least.
    pub next_sequence: u64,
}

/// A subscription of a [`Restored`] session.
#[derive(Debug)]
pub struct RestoredSubscription {
    /// The group that shares it.
    pub share: Option<Box<[u8]>>,
    /// Its filter, which was checked when it was stored.
    pub filter: Box<[u8]>,
    /// Its options.
    pub options: SubscriptionOptions,
    /// How far the replay of retained values had come, if one was under way.
    pub replay: Option<Cursor>,
}

/// Whether a session has asked who is here.
fn wants_presence(session: &Session) -> bool {
    session.subscriptions().any(|(_, filter, _)| concerns(filter.as_bytes()))
}

impl Engine {
    /// Everything that an earlier run left was handed over, to all workers: does what is due of it, before the first peer
    /// comes.
    pub fn begin(&mut self, now: Instant) {
        self.restore_links();
        // What was owed is older than what is due only now.
        self.run_errands(now);
        self.note_overdue(now);
        for session_ref in core::mem::take(&mut self.restored) {
            self.session_due(now, session_ref);
        }
        if self.lane.sessions.iter().any(|(_, session)| wants_presence(session)) {
            self.ask_presence();
        }
    }

    /// Takes in a session that this worker owns (see [`mynah_core::owner`]). What is due of it since its connection
    /// ended, a will or its end, [`Engine::begin`] does.
    ///
    /// # Errors
    /// There is no room for it, see [`mynah_core::SessionTable::open`].
    pub fn restore_session(&mut self, restored: Restored) -> Result<(), Reason> {
        let Restored { key, identity, expiry, receive_max, detached_at, .. } = restored;
        let limits = &self.shared.limits;
        let bounds =
            QueueBounds { messages_max: limits.backlog_messages_max, bytes_max: limits.backlog_bytes_max };
        let make = || Session::new(identity.clone(), expiry, receive_max, bounds);
        let (session_ref, _) = self.lane.sessions.open(Some(key.clone()), &identity, make)?;
        self.count_sessions();
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return Err(Reason::ServerBusy) };
        session.stored = true;
        session.detached_at = Some(detached_at);
        session.will = restored.will.map(Box::new);
        for id in restored.received {
            let _: Received = session.received.receive(id, u16::MAX);
        }
        session.queue.restore(restored.queue, restored.next_sequence.max(self.first_sequence));
        // Another place in each run, far from what the client may remember of the last.
        if self.lane.journal.may_forget()
            && let Some(elsewhere) = DeliveryId::new(Random::new(self.first_sequence).next() as u16)
        {
            session.queue.move_on(elsewhere);
        }
        for (receipt, mut parts) in restored.repeated {
            parts.receivers.sort_unstable();
            self.repeated.insert((session_ref, receipt), parts);
        }
        self.shared.count_stored(self.worker, true);
        for RestoredSubscription { share, filter, options, replay } in restored.subscriptions {
            let filter = Filter::from_checked(&filter);
            let Some(session) = self.lane.sessions.get_mut(session_ref) else { break };
            if session.subscribe(share.as_deref(), filter, options, usize::MAX).is_err() {
                continue;
            }
            // Who it is for is not known before it comes: then its subscriptions are looked at, and each message.
            session.checks_deliveries = true;
            if let Some(cursor) = replay {
                session.resume_replay(filter, options, cursor);
            }
            self.lane.judge.note_looking();
            self.counters().subscriptions.add(1);
            self.publish_filter(session_ref, share.as_deref(), filter, options, Grant::Partly);
        }
        self.set_online(session_ref, false);
        self.watch(session_ref);
        let session = self.lane.sessions.get(session_ref);
        if session.is_some_and(|session| session.will_due().is_some() || session.expiry_due().is_some()) {
            self.restored.push(session_ref);
        }
        Ok(())
    }

    /// Takes in the value of a topic that this worker stores: [`mynah_core::owner`] of the topic. One that has expired, or
    /// that the bounds do not allow any more, is dropped from the store.
    pub fn restore_value(&mut self, now: Instant, message: &Message) {
        let (tenant, topic) = (message.header().tenant, message.topic());
        let result = self.shared.write_retained().set(message, now);
        let deadline = message.header().deadline;
        if result.is_err() || deadline.is_some_and(|deadline| deadline <= now) {
            return self.lane.journal.note(Note::Cleared(tenant, topic.as_bytes().into()));
        }
        self.await_deadline(now, deadline);
    }
}
