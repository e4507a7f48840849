//! Proving who a peer is: what it says goes out as an event and comes back as a verdict or a challenge, while it opens
//! and, if it proves itself again, later.

use std::collections::HashMap;
use std::sync::Arc;

use mynah_core::rules::Mandate;
use mynah_model::{Groups, Identity, Instant, Reason, TenantId};
use mynah_stack::{Close, Credentials, Exchange, Outcome};

use crate::audit::{Limit, shown};
use crate::connections::{ConnectionId, Phase, Proving};
use crate::engine::{Engine, Event};
use crate::lane::Lane;

/// Why a peer is not let in that proves who it is, where nobody looks at that.
pub(crate) const NOTHING_VERIFIED: &str = "nothing that proves who a peer is can be verified";

/// What a peer says of who it is.
#[derive(Debug)]
pub enum Attempt {
    /// A name and perhaps a password: this is all.
    Credentials(Credentials),
    /// The first message of an exchange, by a method of the peer's choice.
    Begin(Exchange),
    /// The answer to the last challenge of an exchange. The method is the one that the peer names now.
    Continue(Exchange),
    /// Nothing that would prove it, or a name at most: what its transport has proved ([`Engine::proof`]) is to say.
    Proof {
        /// The name that the peer gives.
        user: Option<Box<str>>,
    },
}

impl Attempt {
    /// The name that the peer gives.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Credentials(credentials) => Some(&credentials.user),
            Self::Proof { user } => user.as_deref(),
            Self::Begin(_) | Self::Continue(_) => None,
        }
    }
}

/// A peer has proved who it is.
#[derive(Debug)]
pub struct Authenticated {
    /// Who it is.
    pub identity: Identity,
    /// The groups that it is in.
    pub groups: Groups,
    /// What it may do at most, if whoever vouches for it says that.
    pub mandate: Option<Arc<Mandate>>,
    /// When the proof ends, and the connection with it, unless the peer has proved itself again.
    pub valid_until: Option<Instant>,
    /// What the method says last, if it has a last word.
    pub last_word: Option<Box<[u8]>>,
}

impl From<Identity> for Authenticated {
    fn from(identity: Identity) -> Self {
        Self { identity, groups: Groups::NONE, mandate: None, valid_until: None, last_word: None }
    }
}

impl Engine {
    /// Hears whether the attempt of an [`Event::Authenticate`] has proved who the peer is.
    pub fn handle_authenticated(
        &mut self,
        now: Instant,
        id: ConnectionId,
        result: Result<Authenticated, Reason>,
    ) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        if core::mem::replace(&mut connection.proving, Proving::No) != Proving::Verifying {
            return;
        }
        match core::mem::replace(&mut connection.phase, Phase::New) {
            Phase::Opening(open) => self.admit(now, id, open, result),
            phase => {
                connection.phase = phase;
                self.renew_proof(now, id, result);
            }
        }
        self.resume_input(now, id);
    }

    /// A peer whose session is open has proved who it is once more, or has not: it has to be the same. What it has is looked
    /// at by what it may do now.
    fn renew_proof(&mut self, now: Instant, id: ConnectionId, result: Result<Authenticated, Reason>) {
        let Lane { connections, judge, .. } = &mut self.lane;
        let Some(connection) = connections.get_mut(id) else { return };
        let mut other = None;
        let same = |proved: Authenticated| {
            if connection.identity.as_ref() != Some(&proved.identity) {
                other = Some(proved.identity);
                return Err(Reason::NotAuthorized);
            }
            judge.note_mandate(proved.mandate.as_deref());
            (connection.groups, connection.valid_until) = (proved.groups, proved.valid_until);
            (connection.mandate, connection.rights) = (proved.mandate, None);
            Ok(proved.last_word)
        };
        let (result, session) = (result.and_then(same), connection.session());
        if result.is_err() {
            self.counters().logins_refused.add(1);
        }
        if let Some(other) = other {
            let user = Some(shown(other.name().as_bytes()));
            self.audit_unheard(now, id, user, "the session is of another identity");
        }
        let proved = result.as_ref().map(Option::as_deref).map_err(|reason| *reason);
        self.tell(now, id, Outcome::Authenticated(proved));
        if let Some(session_ref) = session.filter(|_| result.is_ok() && !self.lane.judge.is_idle()) {
            self.review_session(now, session_ref);
        }
    }

    /// Hears that nobody has looked at the attempt of an [`Event::Authenticate`]: too many wait for that.
    pub fn handle_unverified(&mut self, now: Instant, id: ConnectionId) {
        self.audit_limit(now, id, Limit::Logins, None);
        self.handle_authenticated(now, id, Err(Reason::ServerBusy));
    }

    /// Hears that the peer of an [`Event::Authenticate`] has to say more.
    pub fn handle_challenge(&mut self, now: Instant, id: ConnectionId, challenge: &[u8]) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        if connection.proving == Proving::Verifying {
            connection.proving = Proving::Challenged;
            self.tell(now, id, Outcome::Challenge(challenge));
            self.resume_input(now, id);
        }
    }

    /// A peer goes on with an exchange, or begins one while its session is open.
    pub(crate) fn authenticate(&mut self, now: Instant, id: ConnectionId, exchange: Exchange) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let attempt = match (&connection.phase, connection.proving) {
            (Phase::Opening(_) | Phase::Open(_), Proving::Challenged) => Attempt::Continue(exchange),
            (Phase::Open(_), Proving::No) if self.shared.verifies_credentials => Attempt::Begin(exchange),
            (Phase::Open(_), Proving::No) => {
                self.audit_unheard(now, id, None, NOTHING_VERIFIED);
                let refused = Err(Reason::BadAuthenticationMethod);
                return self.tell(now, id, Outcome::Authenticated(refused));
            }
            _ => return self.tell(now, id, Outcome::Ended(Reason::ProtocolViolation)),
        };
        self.verify(id, attempt);
    }

    /// The tenant that the peer has named, or is in, if that is another one than its listener's: only what knows of tenants
    /// proves that it belongs there.
    #[must_use]
    pub fn claimed_tenant(&self, id: ConnectionId) -> Option<TenantId> {
        let connection = self.lane.connections.get(id)?;
        let door = &self.shared.listeners[usize::from(connection.listener)];
        let own = connection.identity.as_ref().map(Identity::tenant);
        own.filter(|own| *own != door.tenant).or(connection.named)
    }

    /// Hears by which name of a host the transport was asked for the broker; before its first bytes.
    pub fn handle_host(&mut self, id: ConnectionId, host: Box<str>) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.host = Some(host);
        }
    }

    /// The client identifier that the peer asks for or has; none if it leaves that to the broker.
    #[must_use]
    pub fn claimed_client_id(&self, id: ConnectionId) -> Option<&[u8]> {
        let connection = self.lane.connections.get(id)?;
        let client_id = match &connection.phase {
            Phase::Opening(open) => &open.session.as_ref()?.client_id,
            Phase::Open(session) => &self.lane.sessions.key(*session)?.client_id,
            Phase::New | Phase::Leaving(_) | Phase::Detached | Phase::Closing(_) => return None,
        };
        Some(&**client_id).filter(|client_id| !client_id.is_empty())
    }

    /// Has verified elsewhere what a peer says.
    pub(crate) fn verify(&mut self, id: ConnectionId, attempt: Attempt) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.proving = Proving::Verifying;
            let listener = connection.listener;
            self.events.push_back(Event::Authenticate { connection: id, listener, attempt });
        }
    }

    /// Hears how identities stand from now on: the groups that one is in, or none if nobody may be it any more; then its
    /// connections end, and are told so. Those that are not named stay as they are.
    pub fn handle_identities(&mut self, now: Instant, standings: &HashMap<Identity, Option<Groups>>) {
        for id in self.lane.connections.ids() {
            let Some(connection) = self.lane.connections.get_mut(id) else { continue };
            match connection.identity.as_ref().and_then(|identity| standings.get(identity)) {
                Some(Some(groups)) => self.change_groups(now, id, groups),
                Some(None) => self.expel(now, id, Reason::NotAuthorized),
                None => {}
            }
        }
    }

    /// An identity is in other groups: what it may do is asked again.
    fn change_groups(&mut self, now: Instant, id: ConnectionId, groups: &Groups) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        if connection.groups == *groups {
            return;
        }
        (connection.groups, connection.rights) = (groups.clone(), None);
        if let Some(session_ref) = connection.session() {
            self.review_session(now, session_ref);
        }
    }

    /// Ends a connection because an administrator wants that. Returns whether it was there, and is of this tenant.
    pub fn handle_disconnect(&mut self, now: Instant, tenant: TenantId, id: ConnectionId) -> bool {
        let found =
            self.lane.connections.get(id).filter(|found| found.tenant == tenant && !found.is_closing());
        let is_there = found.is_some();
        if is_there {
            self.expel(now, id, Reason::Administrative);
        }
        is_there
    }

    /// Ends a connection whose peer may not be here any more, as if it had broken.
    pub(crate) fn expel(&mut self, now: Instant, id: ConnectionId, reason: Reason) {
        self.tell(now, id, Outcome::Ended(reason));
        self.run(now, id, &mut &[][..]);
        self.end(now, id, Close::new(reason, true));
    }
}
