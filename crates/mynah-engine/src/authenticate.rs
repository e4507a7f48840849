//! Proving who a peer is: what it says goes out as an event and comes back as a verdict or a challenge, while it opens
//! and, if it proves itself again, later.

use std::collections::HashMap;

use mynah_model::{Groups, Identity, Instant, Reason};
use mynah_stack::{Close, Credentials, Exchange, Outcome};

use crate::connections::{ConnectionId, Phase, Proving};
use crate::engine::{Engine, Event};

/// What a peer says of who it is.
#[derive(Debug)]
pub enum Attempt {
    /// A name and perhaps a password: this is all.
    Credentials(Credentials),
    /// The first message of an exchange, by a method of the peer's choice.
    Begin(Exchange),
    /// The answer to the last challenge of an exchange. The method is the one that the peer names now.
    Continue(Exchange),
    /// Nothing that would prove it, or a name at most: its certificate ([`Engine::certificate`]) is to say.
    Certificate {
        /// The name that the peer gives.
        user: Option<Box<str>>,
    },
}

impl Attempt {
    /// The name that the peer gives.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Credentials(credentials) => Some(&credentials.user),
            Self::Certificate { user } => user.as_deref(),
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
    /// When the proof ends, and the connection with it, unless the peer has proved itself again.
    pub valid_until: Option<Instant>,
    /// What the method says last, if it has a last word.
    pub last_word: Option<Box<[u8]>>,
}

impl From<Identity> for Authenticated {
    fn from(identity: Identity) -> Self {
        Self { identity, groups: Groups::NONE, valid_until: None, last_word: None }
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
                let same = |proved: Authenticated| {
                    if connection.identity.as_ref() != Some(&proved.identity) {
                        return Err(Reason::NotAuthorized);
                    }
                    (connection.groups, connection.valid_until) = (proved.groups, proved.valid_until);
                    connection.rights = None;
                    Ok(proved.last_word)
                };
                let result = result.and_then(same);
                if result.is_err() {
                    self.counters().logins_refused.add(1);
                }
                let result = result.as_ref().map(Option::as_deref).map_err(|reason| *reason);
                self.tell(now, id, Outcome::Authenticated(result));
            }
        }
        self.resume_input(now, id);
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
                let refused = Err(Reason::BadAuthenticationMethod);
                return self.tell(now, id, Outcome::Authenticated(refused));
            }
            _ => return self.tell(now, id, Outcome::Ended(Reason::ProtocolViolation)),
        };
        self.verify(id, attempt);
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
                Some(None) => self.expel(now, id),
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

    /// Ends a connection whose peer may not be here any more, as if it had broken.
    pub(crate) fn expel(&mut self, now: Instant, id: ConnectionId) {
        self.tell(now, id, Outcome::Ended(Reason::NotAuthorized));
        self.run(now, id, &mut &[][..]);
        self.end(now, id, Close::new(Reason::NotAuthorized, true));
    }
}
