//! Endings: of connections, with their wills, and of sessions, with their subscriptions.

use std::time::Duration;

use mynah_core::{DropReason, SessionRef};
use mynah_model::{Expiry, Instant, Reason};

use crate::connections::{Connection, ConnectionId, Phase};
use crate::engine::{Engine, Event, Timer};
use crate::item::Item;

/// How long a connection that has ended may take to read its last bytes.
const LINGER: Duration = Duration::from_secs(5);

impl Engine {
    /// Ends a connection: its session goes its own way, and what is in the outbound buffer is still written.
    pub(crate) fn end(&mut self, now: Instant, id: ConnectionId, reason: Reason, publish_will: bool) {
        let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) else { return };
        if connection.is_half_open() {
            self.count_half_open(-1);
        }
        self.detach(now, id, publish_will);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.phase = Phase::Closing(reason);
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

    /// Separates a session from its connection. The will is published or forgotten; the session stays or ends.
    pub(crate) fn detach(&mut self, now: Instant, id: ConnectionId, publish_will: bool) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let Some(session_ref) = connection.session() else { return };
        connection.phase = Phase::Detached;
        connection.resume = None;
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.detach(now);
        let will = session.will.take().filter(|_| publish_will);
        match session.expiry {
            Expiry::WithConnection => self.discard_session(session_ref),
            Expiry::After(duration) => self.watch_expiry(now + duration, session_ref),
            Expiry::Never => {}
        }
        if let Some(will) = will {
            self.distribute(now, &mut Item::shared(&will));
        }
    }

    /// Ends a session: nothing of it is left, here or in the index.
    pub(crate) fn discard_session(&mut self, session_ref: SessionRef) {
        let Some(mut session) = self.lane.sessions.remove(session_ref) else { return };
        let tenant = session.identity.tenant();
        if session.subscriptions_len() > 0 {
            let mut index = self.shared.write_index();
            for (filter, _) in session.subscriptions() {
                index.remove(tenant, filter, session_ref);
                self.shared.generations.bump(tenant, filter);
            }
        }
        self.counters().subscriptions.sub(session.subscriptions_len() as u64);
        self.count_dropped(DropReason::SessionEnded, session.queue.clear());
        self.count_sessions();
    }

    /// Arms the one timer that looks at a session's expiry.
    fn watch_expiry(&mut self, due: Instant, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        if !core::mem::replace(&mut session.expiry_is_watched, true) {
            self.timers.arm(due, Timer::Session(session_ref));
        }
    }

    /// The expiry of a session may have come: nobody came back to it for as long as it allowed.
    pub(crate) fn session_due(&mut self, now: Instant, session_ref: SessionRef) {
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.expiry_is_watched = false;
        let (Expiry::After(duration), Some(detached_at)) = (session.expiry, session.detached_at) else {
            return;
        };
        match detached_at + duration {
            due if due <= now => self.discard_session(session_ref),
            due => self.watch_expiry(due, session_ref),
        }
    }
}
