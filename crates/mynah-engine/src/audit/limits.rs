//! Limits that somebody comes to, and what is left out because there is too much to tell.

use mynah_core::SessionRef;
use mynah_model::{Instant, MessageView, Reason};

use super::bound::{Rest, next_second};
use super::{Actor, AuditEvent, AuditKind, Limit, shown};
use crate::connections::ConnectionId;
use crate::due::Timer;
use crate::engine::Engine;

impl Engine {
    pub(crate) fn audit_limit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        limit: Limit,
        target: Option<&[u8]>,
    ) {
        self.audit(now, AuditKind::Limit, |engine| AuditEvent::Limit {
            actor: engine.actor(id),
            limit,
            target: target.map(shown),
        });
    }

    /// A value was not retained.
    pub(crate) fn audit_retained(&mut self, now: Instant, view: MessageView<'_>) {
        self.audit(now, AuditKind::Limit, |_| AuditEvent::Limit {
            actor: Actor { tenant: view.header.tenant, ..Actor::default() },
            limit: Limit::Retained,
            target: Some(shown(view.topic().as_bytes())),
        });
    }

    /// A peer was turned away at a listener, before anything was known of it.
    pub(crate) fn audit_turned_away(&mut self, now: Instant, listener: u16) {
        self.audit(now, AuditKind::Limit, |engine| {
            let (tenant, listener, protocol) = engine.at_listener(listener);
            let actor = Actor { tenant, listener, protocol, ..Actor::default() };
            AuditEvent::Limit { actor, limit: Limit::Connections, target: None }
        });
    }

    /// A stack ends a connection: tells it, if a limit is why that was not told as a command was refused.
    pub(crate) fn audit_close(&mut self, now: Instant, id: ConnectionId, reason: Reason) {
        if self.refused == Some(id) {
            return;
        }
        let limit = match reason {
            Reason::TooLarge => Limit::MessageBytes,
            Reason::QuotaExceeded => Limit::Publications,
            _ => return,
        };
        self.audit_limit(now, id, limit, None);
    }

    /// Tells which sessions of this worker came to a limit of what waits for them.
    pub(crate) fn tell_hits(&mut self, now: Instant) {
        for (session_ref, limit) in core::mem::take(&mut self.lane.hits) {
            self.audit(now, AuditKind::Limit, |engine| {
                let actor = engine.of_session(session_ref);
                AuditEvent::Limit { actor, limit, target: None }
            });
        }
    }

    /// Whose session it is, and where it is connected, if it is.
    fn of_session(&self, session_ref: SessionRef) -> Actor {
        let slot = self.lane.sessions.get(session_ref).and_then(|session| session.connection);
        let connection = slot.and_then(|slot| Some((slot, self.lane.connections.peek(slot)?)));
        match connection {
            Some((slot, connection)) => self.actor(ConnectionId { slot, generation: connection.generation }),
            None => self.absent(session_ref),
        }
    }

    /// Something of a kind was left out, the first since something was told: this worker looks when the second is over
    /// whether that was told with another event, and tells it otherwise.
    pub fn watch_left_out(&mut self, now: Instant, kind: AuditKind) {
        self.timers.arm(next_second(now), Timer::Audit(kind));
    }

    /// The second is over in which something was left out.
    pub(crate) fn tell_left_out(&mut self, now: Instant, kind: AuditKind) {
        match self.shared.left_out(now, kind) {
            Rest::Nothing => {}
            Rest::Count(count) => self.handle_audit(now, AuditEvent::LeftOut { kind }, count),
            Rest::Later => self.watch_left_out(now, kind),
        }
    }
}
