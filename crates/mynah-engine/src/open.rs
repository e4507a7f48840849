//! Opening: from a peer's request to be let in to a session that is attached.

use std::num::NonZeroU64;

use mynah_core::{QueueBounds, Session, SessionKey, SessionRef, WorkerId, owner};
use mynah_model::{Expiry, Header, Identity, Instant, Limits, MessageView, Reason, TenantId, Will};
use mynah_stack::{Close, Open, Opened, Outcome};

use crate::audit::{Limit, shown};
use crate::authenticate::{Attempt, Authenticated, NOTHING_VERIFIED};
use crate::close::granted;
use crate::connections::{Admission, ConnectionId, Departure, Phase, Resume};
use crate::engine::{Engine, Event};
use crate::inbox::Handover;
use crate::journal::Note;
use crate::lane::Lane;
use crate::shared::BRIDGE_PREFIX;

impl Engine {
    /// A peer asks to be let in: finds out who it is.
    pub(crate) fn open(&mut self, now: Instant, id: ConnectionId, mut open: Box<Open>) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let door = &self.shared.listeners[usize::from(connection.listener)];
        let verifies = self.shared.verifies_credentials;
        let host = connection.host.take();
        let named = open.tenant.as_deref().or(host.as_deref());
        let named = named.and_then(|name| self.shared.tenant_named(name));
        connection.named = named.filter(|named| *named != door.tenant && !door.is_own);
        let is_elsewhere = connection.named.is_some();
        let proves = connection.proof.as_deref().is_some_and(|proof| door.takes(proof));
        let attempt = match (open.exchange.take(), open.credentials.take()) {
            (Some(exchange), _) => Some(Attempt::Begin(exchange)),
            (None, None) if proves => Some(Attempt::Proof { user: None }),
            (None, Some(named)) if proves && named.password.is_none() => {
                Some(Attempt::Proof { user: Some(named.user) })
            }
            (None, credentials) => credentials.filter(|_| verifies).map(Attempt::Credentials),
        };
        let result = match (attempt, &door.anonymous) {
            (Some(attempt), _) if verifies => {
                connection.phase = Phase::Opening(open);
                return self.verify(id, attempt);
            }
            (Some(attempt), _) => {
                let user = attempt.user().map(|user| shown(user.as_bytes()));
                self.audit_unheard(now, id, user, NOTHING_VERIFIED);
                Err(Reason::BadAuthenticationMethod)
            }
            (None, Some(_)) if is_elsewhere => {
                self.audit_unheard(
                    now,
                    id,
                    None,
                    "nothing proves that the peer is of the tenant that it names",
                );
                Err(Reason::BadCredentials)
            }
            (None, Some(anonymous)) => {
                let (anonymous, method) =
                    (anonymous.clone(), if door.is_own { "bridge" } else { "anonymous" });
                self.audit_unproved(now, id, &anonymous, method);
                Ok(Authenticated::from(anonymous))
            }
            (None, None) => {
                self.audit_unheard(now, id, None, "nothing says who the peer is");
                Err(Reason::BadCredentials)
            }
        };
        self.admit(now, id, open, result);
    }

    /// It is known who the peer is: finds the worker that owns the session.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        open: Box<Open>,
        result: Result<Authenticated, Reason>,
    ) {
        let Authenticated { identity, groups, mandate, valid_until, last_word } = match result {
            Ok(authenticated) => authenticated,
            Err(reason) => {
                self.counters().logins_refused.add(1);
                return self.tell_opened(now, id, Err(reason));
            }
        };
        let mut admission =
            Admission { open, identity, groups, mandate, valid_until, last_word, assigned: false };
        let Some(session) = &mut admission.open.session else { return self.attach(now, id, admission) };
        if session.client_id.starts_with(BRIDGE_PREFIX.as_bytes()) && !self.is_own(id) {
            let who = (admission.identity.clone(), session.client_id.clone());
            self.counters().logins_refused.add(1);
            self.audit_shut_out(now, id, (&who.0, &who.1), (Reason::ClientIdRefused, Limit::Sessions));
            return self.tell_opened(now, id, Err(Reason::ClientIdRefused));
        }
        if session.client_id.is_empty() {
            session.client_id = self.random_client_id();
            admission.assigned = true;
        }
        let tenant = admission.identity.tenant();
        let to = owner(tenant, &session.client_id, self.shared.workers(), self.shared.seed);
        if to == self.worker {
            return self.attach(now, id, admission);
        }
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.phase = Phase::Leaving(Box::new(Departure { to, admission }));
            self.leaving.push(id);
        }
    }

    /// Whether the broker itself has made the connection.
    fn is_own(&self, id: ConnectionId) -> bool {
        let listener = self.lane.connections.get(id).map(|connection| connection.listener);
        listener.is_some_and(|listener| self.shared.listeners[usize::from(listener)].is_own)
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
            let Departure { to, admission } = *departure;
            let (stack, outbound) = (connection.stack, connection.outbound);
            let (inbound, listener, proof) = (connection.inbound, connection.listener, connection.proof);
            let address = connection.address;
            let handover = Handover { stack, outbound, inbound, listener, proof, address, admission };
            self.events.push_back(Event::Handover { connection: id, to, handover: Box::new(handover) });
        }
    }

    /// This worker owns the session: takes it over or makes it, and tells the peer.
    pub(crate) fn attach(&mut self, now: Instant, id: ConnectionId, admission: Admission) {
        self.lane.journal.begin();
        let admitted = self.let_in(id, &admission);
        let Admission { mut open, identity, valid_until, last_word, assigned, .. } = admission;
        if let Err(reason) = admitted {
            self.counters().logins_refused.add(1);
            self.audit_shut_out(now, id, (&identity, wanted(&open)), (reason, Limit::Connections));
            return self.tell_opened(now, id, Err(reason));
        }
        let (session_ref, present) = match self.claim(now, &open, &identity) {
            Ok(claimed) => claimed,
            Err(reason) => {
                self.audit_shut_out(now, id, (&identity, wanted(&open)), (reason, Limit::Sessions));
                self.leave_crowd(id);
                return self.tell_opened(now, id, Err(reason));
            }
        };
        let (tenant, publisher) = (identity.tenant(), self.lane.sessions.publisher(session_ref));
        let will = open.will.take().map(|will| will_of(will, tenant, publisher));
        let expiry = expiry_of(&open, &self.shared.limits);
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        session.open(expiry, open.receive_max.min(self.shared.limits.inflight_max));
        session.will = will.map(Box::new);
        session.connection = Some(id.slot);
        if let Some(timer) = session.timer.take() {
            self.timers.cancel(timer.into());
        }
        self.store_opened(session_ref);
        self.set_online(session_ref, true);
        let client_id = open.session.as_ref().filter(|_| assigned).map(|s| &*s.client_id);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.phase = Phase::Open(session_ref);
        connection.tenant = tenant;
        (connection.opened_at, connection.valid_until) = (now, valid_until);
        connection.publisher = publisher;
        self.count_half_open(-1);
        self.resume_rights(now, session_ref);
        self.note_presence(now, session_ref);
        let opened = Opened {
            assigned_client_id: client_id,
            authentication: last_word.as_deref(),
            ..Opened::new(present, expiry)
        };
        self.tell_opened(now, id, Ok(opened));
        if let Some(connection) = self.lane.connections.get_mut(id)
            && (present || connection.is_opening())
        {
            connection.resume = Some(Resume { after: None });
            self.lane.mark_pumping(id.slot);
        }
        if present {
            self.consume_again(now, id);
        }
    }

    /// A session has a connection: notes that, if the session outlives it, or has a will to be published after a crash.
    fn store_opened(&mut self, session_ref: SessionRef) {
        let Lane { sessions, journal, .. } = &mut self.lane;
        if !journal.is_on() {
            return;
        }
        let Some((session, Some(key))) = sessions.get_mut_with_key(session_ref) else { return };
        // What is stored stays so to its end: others may get what it holds then.
        let stored = session.stored || session.expiry != Expiry::WithConnection;
        if session.stored != stored {
            self.shared.count_stored(self.worker, stored);
            if journal.is_under_way(key) {
                self.since.insert(session_ref, journal.next_number());
            }
        }
        session.queue.skip_to(self.first_sequence);
        // After a crash nobody is there who would take a will that needs no confirmation and is not retained.
        let header = session.will.as_ref().map(|will| will.message.header());
        let will = header.is_some_and(|header| header.class.is_confirmed() || header.retain);
        if session.will_stored && !stored && !will {
            journal.note(Note::Ended(key.clone()));
        }
        (session.stored, session.will_stored) = (stored, will && !stored);
        if stored || will {
            journal.note(Note::Session(session_ref));
            journal.note(Note::Will(session_ref, session.will.clone()));
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
                self.discard_session(now, existing);
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
        let expiry = expiry_of(open, limits);
        let make = || Session::new(identity.clone(), expiry, open.receive_max, bounds);
        let opened = self.lane.sessions.open(key, identity, make)?;
        self.count_sessions();
        Ok(opened)
    }

    pub(crate) fn count_sessions(&self) {
        self.counters().sessions.set(self.lane.sessions.len() as u64);
    }

    /// Ends the connection that has the session now, as if it had broken: its will goes out, unless it has a delay and the
    /// session lives on. It is told why.
    fn take_over(&mut self, now: Instant, slot: u32) {
        let Some(id) =
            self.lane.connections.at(slot).map(|c| ConnectionId { slot, generation: c.generation })
        else {
            return;
        };
        let close = Close::new(Reason::TakenOver, true);
        self.detach(now, id, close);
        self.tell(now, id, Outcome::Ended(Reason::TakenOver));
        self.run(now, id, &mut &[][..]);
        self.end(now, id, close);
    }

    fn tell_opened(&mut self, now: Instant, id: ConnectionId, result: Result<Opened<'_>, Reason>) {
        self.tell(now, id, Outcome::Opened(result));
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.layout = connection.stack.layout();
        }
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

/// The client identifier that a peer asks for.
fn wanted(open: &Open) -> &[u8] {
    open.session.as_ref().map_or(&[], |session| &session.client_id)
}

/// The will as the broker keeps it: a stack does not know whose space its peer is in.
fn will_of(will: Will, tenant: TenantId, publisher: Option<NonZeroU64>) -> Will {
    let header = Header { tenant, publisher, ..*will.message.header() };
    let message = MessageView { header: &header, native: will.message.view().native }.to_message();
    Will { message, ..will }
}

/// How long the session will outlive its connection. A peer that asks for no session has one that ends with it.
fn expiry_of(open: &Open, limits: &Limits) -> Expiry {
    open.session.as_ref().map_or(Expiry::WithConnection, |session| granted(session.expiry, limits))
}
