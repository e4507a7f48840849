//! Opening: from a peer's request to be let in to a session that is attached.

use std::num::NonZeroU64;

use mynah_core::{QueueBounds, Session, SessionKey, SessionRef, WorkerId, owner};
use mynah_model::{Expiry, Header, Identity, Instant, Message, MessageView, Reason, TenantId};
use mynah_stack::{Exchange, Open, Opened, Outcome};

use crate::connections::{ConnectionId, Departure, Phase, Resume};
use crate::engine::{Engine, Event};
use crate::inbox::Handover;
use crate::publish::publisher;

impl Engine {
    /// A peer asks to be let in: finds out who it is.
    pub(crate) fn open(&mut self, now: Instant, id: ConnectionId, mut open: Box<Open>) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let door = &self.shared.listeners[usize::from(connection.listener)];
        let credentials = open.credentials.take().filter(|_| self.shared.verifies_credentials);
        let result = match (credentials, &door.anonymous) {
            _ if open.exchange.is_some() => Err(Reason::BadAuthenticationMethod),
            (Some(credentials), _) => {
                connection.phase = Phase::Opening(open);
                return self.events.push_back(Event::Authenticate { connection: id, credentials });
            }
            (None, Some(anonymous)) => Ok(anonymous.clone()),
            (None, None) => Err(Reason::BadCredentials),
        };
        self.admit(now, id, open, result);
    }

    /// A peer goes on with an exchange, or begins one: there is no method that it could name.
    pub(crate) fn authenticate(&mut self, now: Instant, id: ConnectionId, _: &Exchange) {
        self.tell(now, id, Outcome::Ended(Reason::BadAuthenticationMethod));
    }

    /// It is known who the peer is: finds the worker that owns the session.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        mut open: Box<Open>,
        result: Result<Identity, Reason>,
    ) {
        let identity = match result {
            Ok(identity) => identity,
            Err(reason) => {
                self.counters().logins_refused.add(1);
                return self.tell_opened(now, id, Err(reason));
            }
        };
        let Some(session) = &mut open.session else { return self.attach(now, id, &open, identity, false) };
        let assigned = session.client_id.is_empty();
        if assigned {
            session.client_id = self.random_client_id();
        }
        let to = owner(identity.tenant(), &session.client_id, self.shared.workers(), self.shared.seed);
        if to == self.worker {
            return self.attach(now, id, &open, identity, assigned);
        }
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.phase = Phase::Leaving(Box::new(Departure { to, open, identity, assigned }));
            self.leaving.push(id);
        }
    }

    /// Sends those on their way whose session lives on another worker. Done between turns, so that everything that
    /// was read goes with them.
    pub(crate) fn depart(&mut self) {
        while let Some(id) = self.leaving.pop() {
            // One that has ended meanwhile stays, and is closed here.
            if !self.lane.connections.get(id).is_some_and(|c| matches!(c.phase, Phase::Leaving(_))) {
                continue;
            }
            let Some(connection) = self.remove(id) else { continue };
            self.count_half_open(-1);
            let Phase::Leaving(departure) = connection.phase else { continue };
            let Departure { to, open, identity, assigned } = *departure;
            let (stack, outbound) = (connection.stack, connection.outbound);
            let (inbound, listener, certificate) =
                (connection.inbound, connection.listener, connection.certificate);
            let handover =
                Handover { stack, outbound, inbound, listener, identity, certificate, open, assigned };
            self.events.push_back(Event::Handover { connection: id, to, handover: Box::new(handover) });
        }
    }

    /// This worker owns the session: takes it over or makes it, and tells the peer.
    pub(crate) fn attach(
        &mut self,
        now: Instant,
        id: ConnectionId,
        open: &Open,
        identity: Identity,
        assigned: bool,
    ) {
        let tenant = identity.tenant();
        let opened = match self.claim(now, open, &identity) {
            Ok(opened) => opened,
            Err(reason) => return self.tell_opened(now, id, Err(reason)),
        };
        let (session_ref, present) = opened;
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.open(expiry_of(open), open.receive_max.min(self.shared.limits.inflight_max));
        session.will =
            open.will.as_ref().map(|will| will_of(&will.message, tenant, publisher(self.worker, id)));
        session.connection = Some(id.slot);
        let client_id = open.session.as_ref().filter(|_| assigned).map(|s| &*s.client_id);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.phase = Phase::Open(session_ref);
        connection.tenant = tenant;
        connection.identity = Some(identity);
        self.count_half_open(-1);
        self.tell_opened(
            now,
            id,
            Ok(Opened { assigned_client_id: client_id, ..Opened::new(present, expiry_of(open)) }),
        );
        if present && let Some(connection) = self.lane.connections.get_mut(id) {
            connection.resume = Some(Resume { after: None });
            self.lane.mark_pumping(id.slot);
        }
    }

    /// The session that the peer asked for, and whether it was there before.
    fn claim(
        &mut self,
        now: Instant,
        open: &Open,
        identity: &Identity,
    ) -> Result<(SessionRef, bool), Reason> {
        let Some(request) = &open.session else {
            return self.make_session(None, open, identity);
        };
        let key = SessionKey { tenant: identity.tenant(), client_id: request.client_id.clone() };
        if let Some(existing) = self.lane.sessions.find(key.tenant, &key.client_id) {
            let session = self.lane.sessions.get(existing).ok_or(Reason::ServerBusy)?;
            if session.identity != *identity {
                return Err(Reason::ClientIdRefused);
            }
            if let Some(slot) = session.connection {
                self.take_over(now, slot);
            }
            if request.clean_start {
                self.discard_session(existing);
            }
        }
        self.make_session(Some(key), open, identity)
    }

    /// The session of this name, made if it is not there, and whether it was there.
    fn make_session(
        &mut self,
        key: Option<SessionKey>,
        open: &Open,
        identity: &Identity,
    ) -> Result<(SessionRef, bool), Reason> {
        let limits = &self.shared.limits;
        let bounds =
            QueueBounds { messages_max: limits.backlog_messages_max, bytes_max: limits.backlog_bytes_max };
        let make = || Session::new(identity.clone(), expiry_of(open), open.receive_max, bounds);
        let opened = self.lane.sessions.open(key, identity, make)?;
        self.count_sessions();
        Ok(opened)
    }

    pub(crate) fn count_sessions(&self) {
        self.counters().sessions.set(self.lane.sessions.len() as u64);
    }

    /// Ends the connection that has the session now: its will is published, and it is told why.
    fn take_over(&mut self, now: Instant, slot: u32) {
        let Some(id) =
            self.lane.connections.at(slot).map(|c| ConnectionId { slot, generation: c.generation })
        else {
            return;
        };
        self.detach(now, id, true);
        self.tell(now, id, Outcome::Ended(Reason::TakenOver));
        self.run(now, id, &mut &[][..]);
        self.end(now, id, Reason::TakenOver, true);
    }

    fn tell_opened(&mut self, now: Instant, id: ConnectionId, result: Result<Opened<'_>, Reason>) {
        self.tell(now, id, Outcome::Opened(result));
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.layout = connection.stack.layout();
        }
    }

    /// Tells a connection what became of a command.
    pub(crate) fn tell(&mut self, now: Instant, id: ConnectionId, outcome: Outcome<'_>) {
        self.lane.tell(now, id, outcome);
    }

    fn random_client_id(&mut self) -> Box<[u8]> {
        let (high, low) = (self.random.next(), self.random.next());
        format!("mynah-{high:016x}{low:016x}").into_bytes().into()
    }

    /// The worker that this engine belongs to.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.worker
    }
}

/// The will as the broker publishes it: a stack does not know whose space its peer is in.
fn will_of(will: &Message, tenant: TenantId, publisher: Option<NonZeroU64>) -> Message {
    let header = Header { tenant, publisher, ..*will.header() };
    MessageView { header: &header, native: will.view().native }.to_message()
}

/// A peer that asks for no session has one that ends with its connection.
fn expiry_of(open: &Open) -> Expiry {
    open.session.as_ref().map_or(Expiry::WithConnection, |session| session.expiry)
}
