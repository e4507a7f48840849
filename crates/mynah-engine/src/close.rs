//! Endings: of connections, with their wills, and of sessions, with their subscriptions.

use std::time::Duration;

use mynah_core::{DropReason, SessionRef};
use mynah_model::{Expiry, Header, Instant, Limits, MessageView, Will};
use mynah_stack::Close;

use crate::connections::{Connection, ConnectionId, Phase, Proving};
use crate::due::Timer;
use crate::engine::{Engine, Event};
use crate::item::Item;
use crate::journal::Note;
use crate::share::{Absence, Former, withdraw};

/// How long a connection that has ended may take to read its last bytes.
const LINGER: Duration = Duration::from_secs(5);

impl Engine {
    /// Ends a connection: its session goes its own way, and what is in the outbound buffer is still written.
    pub(crate) fn end(&mut self, now: Instant, id: ConnectionId, close: Close) {
        let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) else { return };
        if connection.is_half_open() {
            self.count_half_open(-1);
        }
        self.detach(now, id, close);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.phase = Phase::Closing(close.reason);
        connection.inbound = Vec::new();
        if let Some((key, _)) = connection.timer.take() {
            self.timers.cancel(key);
        }
        let deadline = now + LINGER;
        connection.timer = Some((self.timers.arm(deadline, Timer::Connection(id)), deadline));
        self.lane.mark_dirty(id.slot);
    }

    /// The last bytes are written, or the peer had its time to read them: the connection is no longer here.
    pub(crate) fn finish(&mut self, id: ConnectionId) {
        let Some(connection) = self.remove(id) else { return };
        self.counters().connections_closed.add(1);
        if let Phase::Closing(reason) = connection.phase {
            self.events.push_back(Event::Closed { connection: id, reason });
        }
    }

    /// Takes a connection out of the table: it has ended, or goes to another worker.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let connection = self.lane.connections.remove(id)?;
        if let Some((key, _)) = connection.timer {
            self.timers.cancel(key);
        }
        Some(connection)
    }

    /// Separates a session from its connection. The will is published, now or later, or forgotten; the session stays or
    /// ends.
    pub(crate) fn detach(&mut self, now: Instant, id: ConnectionId, close: Close) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let Some(session_ref) = connection.session() else { return };
        connection.phase = Phase::Detached;
        self.return_lent(id, session_ref);
        self.leave_queues(now, id, close.publish_will);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        (connection.resume, connection.proving) = (None, Proving::No);
        self.leave_crowd(id);
        self.keep_standing(id, session_ref);
        self.set_online(session_ref, false);
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.detach(now, close.expiry.map(|expiry| granted(expiry, &self.shared.limits)));
        if !close.publish_will {
            session.will = None;
        }
        let stored = session.stored;
        if session.expiry_due().is_some_and(|due| due <= now) {
            return self.discard_session(now, session_ref);
        }
        let messages = withdraw(&self.shared, session, session_ref, Absence::Offline);
        self.pass_on(now, messages, if stored { Former::Stored(session_ref) } else { Former::Forgotten });
        self.note_presence(now, session_ref);
        self.publish_due_will(now, session_ref);
        if stored {
            let will = self.lane.sessions.get(session_ref).and_then(|session| session.will.clone());
            self.lane.journal.note(Note::Session(session_ref));
            self.lane.journal.note(Note::Will(session_ref, will));
        }
        self.watch(session_ref);
    }

    /// Ends a session: nothing of it is left, here or in the index. Its will is published if it still waited for that.
    pub(crate) fn discard_session(&mut self, now: Instant, session_ref: SessionRef) {
        self.ensure_standing(session_ref);
        let key = self.lane.sessions.key(session_ref).cloned();
        let presence = self.presence_topic(session_ref);
        let Some(mut session) = self.lane.sessions.remove(session_ref) else { return };
        if let Some(timer) = session.timer {
            self.timers.cancel(timer.into());
        }
        let tenant = session.identity.tenant();
        if session.subscriptions_len() > 0 {
            let mut index = self.shared.write_index();
            let mut shares = self.shared.write_shares();
            for (share, filter, _) in session.subscriptions() {
                match share {
                    None => index.remove(tenant, filter, session_ref),
                    Some(group) => shares.leave(tenant, group, filter, session_ref),
                };
                self.shared.generations.bump(tenant, filter);
            }
        }
        self.counters().subscriptions.sub(session.subscriptions_len() as u64);
        let messages = withdraw(&self.shared, &mut session, session_ref, Absence::Ended);
        self.pass_on(now, messages, if session.stored { Former::Ended } else { Former::Forgotten });
        if session.stored {
            self.shared.count_stored(self.worker, false);
        }
        if let Some(key) = key.filter(|_| session.stored || session.will_stored) {
            self.repeated.retain(|(repeated, _), _| *repeated != session_ref);
            self.since.remove(&session_ref);
            self.lane.journal.note(Note::Ended(key));
        }
        self.count_dropped(DropReason::SessionEnded, session.queue.clear());
        self.count_sessions();
        if let Some(topic) = presence {
            self.note_absence(now, tenant, &topic);
        }
        if let Some(will) = session.will {
            self.publish_will(now, session_ref, &will);
        }
        self.lane.judge.forget(session_ref);
    }

    /// Arms the one timer that looks at a session when its will or its end is due.
    pub(crate) fn watch(&mut self, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        if let Some(timer) = session.timer.take() {
            self.timers.cancel(timer.into());
        }
        let due = [session.will_due(), session.expiry_due()].into_iter().flatten().min();
        session.timer = due.map(|due| self.timers.arm(due, Timer::Session(session_ref)).into());
    }

    /// The will or the end of a session may be due: nobody came back to it for as long as it allowed.
    pub(crate) fn session_due(&mut self, now: Instant, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        if session.expiry_due().is_some_and(|due| due <= now) {
            return self.discard_session(now, session_ref);
        }
        self.publish_due_will(now, session_ref);
        self.watch(session_ref);
    }

    fn publish_due_will(&mut self, now: Instant, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        if session.will_due().is_some_and(|due| due <= now)
            && let Some(will) = session.will.take()
        {
            if session.stored {
                self.lane.journal.note(Note::Will(session_ref, None));
            }
            self.publish_will(now, session_ref, &will);
        }
    }

    /// Publishes a will, if its peer may do that as things are: its lifetime begins.
    fn publish_will(&mut self, now: Instant, session_ref: SessionRef, will: &Will) {
        if !self.may_publish_will(session_ref, will.message.view()) {
            self.audit_will(now, session_ref, will.message.topic().as_bytes());
            return self.count_dropped(DropReason::NotAuthorized, 1);
        }
        let MessageView { header, native } = will.message.view();
        let deadline = will.lifetime.map(|lifetime| now + lifetime);
        let header = Header { deadline, ..*header };
        self.distribute(now, &mut Item::borrowed(MessageView { header: &header, native }), Some(session_ref));
    }
}

/// How long a session may outlive its connection that wants to do so for `wanted`.
pub(crate) fn granted(wanted: Expiry, limits: &Limits) -> Expiry {
    match (wanted, limits.session_expiry_max) {
        (Expiry::After(wanted), Some(max)) => Expiry::After(wanted.min(max)),
        (Expiry::Never, Some(max)) => Expiry::After(max),
        _ => wanted,
    }
}
