//! What is due: the timers of connections, sessions and the worker itself.

use std::time::Duration;

use mynah_core::SessionRef;
use mynah_model::{Instant, Reason};

use crate::audit::{AuditKind, Limit};
use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;

/// What a peer that was not listened to for a while has before it is taken for silent.
const READING_TIME: Duration = Duration::from_secs(1);

/// What a timer is for.
#[derive(Clone, Copy)]
pub(crate) enum Timer {
    Connection(ConnectionId),
    Session(SessionRef),
    Queue(SessionRef),
    Delayed,
    Held,
    Sys,
    Retained,
    Audit(AuditKind),
}

impl Engine {
    /// Works off the timers that are due.
    pub fn handle_time(&mut self, now: Instant) {
        let mut due = core::mem::take(&mut self.due);
        self.timers.expire(now, &mut due);
        for timer in &due {
            // What is done for another timer must not cancel one that has fired.
            if let Timer::Session(session) = *timer
                && let Some(session) = self.lane.sessions.get_mut(session)
            {
                session.timer = None;
            }
            if let Timer::Queue(queue) = *timer {
                self.lane.queues.timer_fired(queue);
            }
            if matches!(timer, Timer::Held) {
                self.lane.holders.timer_fired();
            }
            if matches!(timer, Timer::Delayed) {
                self.delayed_timer_fired();
            }
        }
        for timer in due.drain(..) {
            match timer {
                Timer::Connection(id) => self.connection_due(now, id),
                Timer::Session(session) => self.session_due(now, session),
                Timer::Queue(queue) => self.queue_due(now, queue),
                Timer::Delayed => self.delayed_due(now),
                Timer::Held => self.held_due(now),
                Timer::Sys => self.sys_due(now),
                Timer::Retained => self.expire_retained(now),
                Timer::Audit(kind) => self.tell_left_out(now, kind),
            }
        }
        self.due = due;
    }

    /// When [`Engine::handle_time`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Arms the timer of a connection if it wants to be woken earlier than it will be.
    pub(crate) fn arm(&mut self, now: Instant, slot: u32) {
        let Some(connection) = self.lane.connections.at(slot) else { return };
        let Some(deadline) = wake_at(connection) else { return };
        if let Some((key, armed)) = connection.timer {
            if armed <= deadline {
                return;
            }
            self.timers.cancel(key);
        }
        let id = ConnectionId { slot, generation: connection.generation };
        connection.timer = Some((self.timers.arm(deadline.max(now), Timer::Connection(id)), deadline));
    }

    fn connection_due(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.timer = None;
        if connection.is_closing() {
            return self.finish(id);
        }
        if connection.valid_until.is_some_and(|until| until <= now) {
            return self.expel(now, id, Reason::ProofExpired);
        }
        if connection.paused.is_some_and(|until| until <= now) {
            return self.go_on(now, id);
        }
        if connection.stack.deadline().is_some_and(|deadline| deadline <= now) {
            self.lane.lend(id.slot);
            if let Some(connection) = self.lane.connections.get_mut(id) {
                connection.stack.handle_timeout(now, &mut connection.outbound);
            }
            self.resume_input(now, id);
        }
        self.arm(now, id.slot);
    }

    /// A peer that had published too much is listened to again. What it has sent meanwhile is read before its silence
    /// counts.
    fn go_on(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.paused = None;
        let kept = core::mem::take(&mut connection.inbound);
        self.audit_limit(now, id, Limit::PublishRate, None);
        self.run_kept(now, id, kept);
        let waits = self.lane.connections.get_mut(id).is_some_and(|connection| connection.paused.is_some());
        self.arm(if waits { now } else { now + READING_TIME }, id.slot);
        self.lane.mark_answered(id.slot);
    }
}

fn wake_at(connection: &Connection) -> Option<Instant> {
    if connection.is_closing() {
        return None;
    }
    let own = connection.paused.or_else(|| connection.stack.deadline());
    [own, connection.valid_until].into_iter().flatten().min()
}
