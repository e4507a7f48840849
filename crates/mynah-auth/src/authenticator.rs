//! The one place through which every login goes: asks the users, remembers passwords that were verified, slows guessing
//! down, and tells of every outcome. Users who do not exist or are locked cost what others cost and get the same answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mynah_model::{Identity, Instant, Reason};
use ring::hmac;

use crate::credential::{HashError, ScramHash, ScramVerifier, random};
use crate::peer::{Certificate, IdentityFrom, Login, Peer};
use crate::sasl::{self, Mechanism, Realm};
use crate::slots::Slots;
use crate::throttle::{Origin, Throttle, ThrottleSettings};
use crate::users::name::{password_bytes, prepared};
use crate::users::{Account, Standing, Users};

/// Bytes of the server's part of a nonce.
const NONCE_BYTES: usize = 18;

/// Verifies tokens that others have given to peers. Asked on threads that serve no connection.
pub trait VerifyToken: Send + Sync {
    /// Whom the token is for, for how long, and in which groups. `user` is who the peer says it is besides, if it does.
    ///
    /// # Errors
    /// Why it proves nothing.
    fn verify(&self, now: Instant, peer: &Peer, user: Option<&str>, token: &str) -> Result<Login, Reason>;

    /// Whether there are tokens that it takes at all.
    fn takes_tokens(&self) -> bool {
        true
    }

    /// Who a user is whom the users file does not have, by its password; none if nobody knows more than the file. A
    /// verifier that does not say otherwise asks nobody.
    fn verify_stranger(
        &self,
        now: Instant,
        peer: &Peer,
        user: &str,
        password: &[u8],
    ) -> Option<Result<Login, Reason>> {
        let _ = (now, peer, user, password);
        None
    }
}

/// The outcome of an attempt to log in, for a log or an audit. It holds no secret.
#[derive(Debug)]
pub struct LoginEvent<'e> {
    /// Who tried, from where.
    pub peer: &'e Peer,
    /// Who the peer said it was, if it said so.
    pub user: Option<&'e str>,
    /// How: `password`, `certificate`, `pre-shared key`, or the name of a mechanism of SASL.
    pub method: &'static str,
    /// What came of it.
    pub outcome: Result<&'e Login, Refusal>,
}

/// Why a peer was not let in. Peers do not hear it: most of these are one answer to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user, or none with what was tried.
    UnknownUser,
    /// The password or the proof is wrong.
    WrongPassword,
    /// The user is locked.
    Locked,
    /// The user was changed while it logged in.
    Changed,
    /// There have been too many failures; nothing was looked at.
    Throttled,
    /// The certificate says nothing of who the peer is, or not what the peer says.
    Certificate,
    /// The key is not of the user that the peer says it is, or of another tenant.
    Key,
    /// The token proves nothing.
    Token(Reason),
    /// Others who were asked do not let it in.
    Stranger(Reason),
    /// The listener takes no proof of this kind.
    Method,
}

impl Refusal {
    /// What the peer hears.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Throttled => Reason::ServerBusy,
            Self::Token(reason) | Self::Stranger(reason) => reason,
            Self::UnknownUser
            | Self::WrongPassword
            | Self::Locked
            | Self::Changed
            | Self::Certificate
            | Self::Key
            | Self::Method => Reason::BadCredentials,
        }
    }

    /// Whether it counts as a wrong guess.
    const fn is_guess(self) -> bool {
        match self {
            Self::UnknownUser | Self::WrongPassword | Self::Locked | Self::Certificate | Self::Key => true,
            Self::Token(reason) | Self::Stranger(reason) => matches!(reason, Reason::BadCredentials),
            Self::Changed | Self::Throttled | Self::Method => false,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "unknown user",
            Self::WrongPassword => "wrong password",
            Self::Locked => "user is locked",
            Self::Changed => "user was changed meanwhile",
            Self::Throttled => "too many failures",
            Self::Certificate => "certificate names nobody",
            Self::Key => "key is somebody else's",
            Self::Token(_) => "token refused",
            Self::Stranger(_) => "refused by those who were asked",
            Self::Method => "not taken here",
        })
    }
}

/// Hears of every outcome.
type OnLogin = Box<dyn Fn(&LoginEvent<'_>) + Send + Sync>;

/// Finds out who peers are.
pub struct Authenticator {
    users: RwLock<Arc<Users>>,
    throttle: Mutex<Throttle>,
    /// Under which verified passwords are remembered; gone with the process.
    key: hmac::Key,
    tokens: Option<Arc<dyn VerifyToken>>,
    on_login: OnLogin,
    hashed: AtomicU64,
    /// However many threads wait for others, no more than these keep the processor busy.
    hashing: Slots,
}

/// One attempt on its way.
struct Attempt<'a> {
    peer: &'a Peer,
    user: Option<&'a str>,
    method: &'static str,
    origin: Origin,
}

impl Authenticator {
    /// An authenticator of these users.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn new(
        users: Users,
        throttle: ThrottleSettings,
        tokens: Option<Arc<dyn VerifyToken>>,
        on_login: impl Fn(&LoginEvent<'_>) + Send + Sync + 'static,
    ) -> Result<Self, HashError> {
        Ok(Self {
            users: RwLock::new(Arc::new(users)),
            throttle: Mutex::new(Throttle::new(throttle)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?),
            tokens,
            on_login: Box::new(on_login),
            hashed: AtomicU64::new(0),
            hashing: Slots::of_half_the_cores(),
        })
    }

    /// The users as they are now.
    #[must_use]
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other users in force, and returns whose standing has changed: their connections have to hear of it. Whoever is
    /// being verified at this moment is judged by the new ones.
    pub fn replace_users(&self, users: Users) -> Vec<(Identity, Standing)> {
        let users = Arc::new(users);
        let mut current = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::clone(&users));
        drop(current);
        old.changes(&users)
    }

    /// How many passwords were hashed to be verified.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Verifies a name and a password, if that costs nothing: the password was verified before, or nothing is looked at
    /// because there were too many failures. None if it has to be verified by [`Authenticator::verify_password`].
    ///
    /// # Errors
    /// Why the peer is not let in.
    pub fn recall(
        &self,
        now: Instant,
        peer: &Peer,
        user: &str,
        password: &[u8],
    ) -> Option<Result<Login, Reason>> {
        let name = name(user);
        let attempt = self.attempt(peer, Some(&name), PASSWORD);
        if !peer.door.passwords {
            return Some(self.conclude(now, &attempt, Err(Refusal::Method)));
        }
        if !self.throttle().admits(now, attempt.origin) {
            return Some(self.conclude(now, &attempt, Err(Refusal::Throttled)));
        }
        let (users, tenant) = (self.users(), peer.door.tenant);
        // The same is done for a name that is nobody's.
        let account = users.account(tenant, &name).filter(|account| account.user.has_password());
        let looked_at = account.or(users.stand_in(tenant, &name))?;
        let is_remembered = looked_at.remembers(&self.tag(looked_at, &password_bytes(password)));
        let account = account.filter(|account| !account.user.locked && is_remembered)?;
        Some(self.conclude(now, &attempt, Ok(account.login())))
    }

    /// Verifies a name and a password. Takes tens of milliseconds, unless the password was verified before.
    ///
    /// # Errors
    /// Why the peer is not let in. A wrong password, an unknown user and a locked one cannot be told apart.
    pub fn verify_password(
        &self,
        now: Instant,
        peer: &Peer,
        user: &str,
        password: &[u8],
    ) -> Result<Login, Reason> {
        self.verify_password_by(PASSWORD, now, peer, user, password)
    }

    fn verify_password_by(
        &self,
        method: &'static str,
        now: Instant,
        peer: &Peer,
        user: &str,
        password: &[u8],
    ) -> Result<Login, Reason> {
        let name = name(user);
        let attempt = self.attempt(peer, Some(&name), method);
        let result = self.judge_password(now, &attempt, &name, password);
        self.conclude(now, &attempt, result)
    }

    fn judge_password(
        &self,
        now: Instant,
        attempt: &Attempt<'_>,
        name: &str,
        password: &[u8],
    ) -> Result<Login, Refusal> {
        if !attempt.peer.door.passwords {
            return Err(Refusal::Method);
        }
        // Looked at again just before the work: whoever asks for many at once gets no more of them.
        if !self.throttle().admits(now, attempt.origin) {
            return Err(Refusal::Throttled);
        }
        let (users, tenant) = (self.users(), attempt.peer.door.tenant);
        let prepared = password_bytes(password);
        if users.account(tenant, name).is_none()
            && let Some(others) = &self.tokens
            && let Some(result) = others.verify_stranger(now, attempt.peer, name, password)
        {
            return result.map_err(Refusal::Stranger).and_then(|login| unlocked(&self.users(), login));
        }
        // Both are always looked up, so that it takes the same time whether there is such a user.
        let stand_in = users.stand_in(tenant, name);
        let account = users.account(tenant, name).filter(|account| account.user.has_password());
        let verified = account.or(stand_in).ok_or(Refusal::UnknownUser)?;
        let tag = self.tag(verified, &prepared);
        let is_remembered = verified.remembers(&tag);
        if account.is_some_and(|account| !account.user.locked && is_remembered) {
            return Ok(verified.login());
        }
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let slot = self.hashing.take();
        let is_right = verified.user.has_this_password(&prepared, password);
        drop(slot);
        let account = account.ok_or(Refusal::UnknownUser)?;
        self.judge_account(account, is_right)?;
        account.remember(tag);
        Ok(account.login())
    }

    /// Lets a user in whose proof was right, if nothing else is against it.
    fn judge_account(&self, account: &Arc<Account>, is_right: bool) -> Result<(), Refusal> {
        if !is_right {
            return Err(Refusal::WrongPassword);
        }
        if account.user.locked {
            return Err(Refusal::Locked);
        }
        let users = self.users();
        let current = users.account(account.identity.tenant(), account.identity.name());
        if current.is_some_and(|current| Arc::ptr_eq(current, account)) {
            Ok(())
        } else {
            Err(Refusal::Changed)
        }
    }

    /// Finds out who a peer is by what its transport has proved: a key that is shared with it, or its certificate. `user` is
    /// who it says it is besides, if it does.
    ///
    /// # Errors
    /// Why the peer is not let in.
    pub fn verify_proof(&self, now: Instant, peer: &Peer, user: Option<&str>) -> Result<Login, Reason> {
        if let Some(owner) = &peer.key_of {
            let attempt = self.attempt(peer, Some(owner), PRE_SHARED_KEY);
            return self.conclude(now, &attempt, self.judge_key(peer, owner, user));
        }
        let named = match (peer.door.identity_from, &peer.certificate) {
            (Some(from), Some(certificate)) => self.named_by(from, certificate, peer),
            _ => None,
        };
        let attempt = self.attempt(peer, named.as_deref().or(user), CERTIFICATE);
        let result = self.judge_certificate(peer, named.as_deref(), user);
        self.conclude(now, &attempt, result)
    }

    /// Hears of a peer that its transport has refused: it said that it is this user, and does not have the user's key.
    pub fn refuse_key(&self, now: Instant, peer: &Peer, user: &str) {
        let attempt = self.attempt(peer, Some(user), PRE_SHARED_KEY);
        let knows = self.users().pre_shared_key(peer.door.tenant, user).is_some();
        let refusal = if knows { Refusal::Key } else { Refusal::UnknownUser };
        // It was told already.
        let _ = self.conclude(now, &attempt, Err(refusal));
    }

    fn judge_key(&self, peer: &Peer, owner: &str, user: Option<&str>) -> Result<Login, Refusal> {
        // Keys were looked for in the listener's tenant, before the peer could name another.
        if peer.door.is_named || user.is_some_and(|user| name(user) != owner) {
            return Err(Refusal::Key);
        }
        let users = self.users();
        let account = users.account(peer.door.tenant, owner).ok_or(Refusal::Changed)?;
        match &account.user {
            user if user.locked => Err(Refusal::Locked),
            user if user.pre_shared_key.is_none() => Err(Refusal::Changed),
            _ => Ok(account.login()),
        }
    }

    /// The name that a certificate gives its owner.
    fn named_by(&self, from: IdentityFrom, certificate: &Certificate, peer: &Peer) -> Option<String> {
        let text = match from {
            IdentityFrom::CommonName => certificate.common_name.as_deref()?,
            IdentityFrom::SubjectAlternativeName => certificate.names.first()?,
            IdentityFrom::Fingerprint => {
                let users = self.users();
                let account = users.account_of_certificate(peer.door.tenant, &certificate.sha256)?;
                return Some(account.user.name.clone().into());
            }
        };
        prepared(text).map(std::borrow::Cow::into_owned)
    }

    fn judge_certificate(
        &self,
        peer: &Peer,
        named: Option<&str>,
        user: Option<&str>,
    ) -> Result<Login, Refusal> {
        let named =
            named.filter(|named| user.is_none_or(|user| name(user) == *named)).ok_or(Refusal::Certificate)?;
        let (users, tenant) = (self.users(), peer.door.tenant);
        let Some(account) = users.account(tenant, named) else {
            if peer.door.is_named {
                // The authority knows nothing of tenants.
                return Err(Refusal::Certificate);
            }
            // The authority vouches for it; nothing more is known of it.
            return Ok(Login::new(Identity::user(tenant, named)));
        };
        if account.user.locked {
            return Err(Refusal::Locked);
        }
        // A user whose line has a certificate is let in by no other.
        let shown = peer.certificate.as_ref().map(|certificate| certificate.sha256);
        let is_other = account.user.certificate.is_some() && account.user.certificate != shown;
        if is_other { Err(Refusal::Certificate) } else { Ok(account.login()) }
    }

    /// The mechanisms of SASL that a peer may use, best first.
    #[must_use]
    pub fn mechanisms(&self, peer: &Peer) -> Vec<&'static str> {
        let users = self.users();
        let is_secret = peer.channel.is_some() || (peer.is_local && peer.door.plaintext_auth);
        let binds =
            peer.channel.as_ref().is_some_and(|c| c.exporter.is_some() || c.server_end_point.is_some());
        let shows =
            peer.key_of.is_some() || (peer.door.identity_from.is_some() && peer.certificate.is_some());
        let passwords = peer.door.passwords;
        let [sha_1, sha_256] =
            [ScramHash::Sha1, ScramHash::Sha256].map(|hash| passwords && users.knows_scram(hash));
        let all = [
            (sasl::EXTERNAL, shows),
            (ScramHash::Sha256.plus_name(), sha_256 && binds),
            (ScramHash::Sha256.name(), sha_256),
            (ScramHash::Sha1.plus_name(), sha_1 && binds),
            (ScramHash::Sha1.name(), sha_1),
            (
                sasl::OAUTHBEARER,
                is_secret && self.tokens.as_ref().is_some_and(|tokens| tokens.takes_tokens()),
            ),
            (sasl::PLAIN, is_secret && passwords),
            (sasl::ANONYMOUS, peer.door.anonymous),
        ];
        all.into_iter().filter(|(_, offered)| *offered).map(|(name, _)| name).collect()
    }

    /// Begins an exchange by a mechanism of SASL.
    ///
    /// # Errors
    /// [`Reason::BadAuthenticationMethod`] if the peer may not use it.
    pub fn begin(self: &Arc<Self>, peer: Peer, mechanism: &str) -> Result<Box<dyn Mechanism>, Reason> {
        if !self.mechanisms(&peer).contains(&mechanism) {
            return Err(Reason::BadAuthenticationMethod);
        }
        let nonce = random::<NONCE_BYTES>().map_err(|_| Reason::ServerBusy)?;
        let visit = Visit { authenticator: Arc::clone(self), peer };
        sasl::server(mechanism, Box::new(visit), &nonce).ok_or(Reason::BadAuthenticationMethod)
    }

    fn attempt<'a>(&self, peer: &'a Peer, user: Option<&'a str>, method: &'static str) -> Attempt<'a> {
        let origin = self.throttle().origin(peer.address, user.map(|user| (peer.door.tenant, user)));
        Attempt { peer, user, method, origin }
    }

    /// Every outcome comes by here.
    fn conclude(
        &self,
        now: Instant,
        attempt: &Attempt<'_>,
        result: Result<Login, Refusal>,
    ) -> Result<Login, Reason> {
        match &result {
            Ok(_) => self.throttle().succeeded(now, attempt.origin),
            Err(refusal) if refusal.is_guess() => self.throttle().failed(now, attempt.origin),
            Err(_) => {}
        }
        let outcome = result.as_ref().map_err(|refusal| *refusal);
        let Attempt { peer, user, method, .. } = *attempt;
        (self.on_login)(&LoginEvent { peer, user, method, outcome });
        result.map_err(Refusal::reason)
    }

    /// What is remembered of a password of an account.
    fn tag(&self, account: &Account, password: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        let name = account.identity.name().as_bytes();
        context.update(&account.identity.tenant().number().to_be_bytes());
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name);
        context.update(password);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a name and a password are called that no mechanism of SASL has carried.
const PASSWORD: &str = "password";
const CERTIFICATE: &str = "certificate";
const PRE_SHARED_KEY: &str = "pre-shared key";

/// Somebody for whom others vouch, unless the users file has it locked: that holds whatever the proof.
fn unlocked(users: &Users, login: Login) -> Result<Login, Refusal> {
    let account = users.account(login.identity.tenant(), login.identity.name());
    if account.is_some_and(|account| account.user.locked) { Err(Refusal::Locked) } else { Ok(login) }
}

/// A name as users' names are written. One that SASL does not take is nobody's.
fn name(user: &str) -> std::borrow::Cow<'_, str> {
    prepared(user).unwrap_or(std::borrow::Cow::Borrowed(user))
}

impl Account {
    fn login(&self) -> Login {
        Login { groups: self.user.groups.clone(), ..Login::new(self.identity.clone()) }
    }
}

/// One exchange with one peer.
struct Visit {
    authenticator: Arc<Authenticator>,
    peer: Peer,
}

impl Realm for Visit {
    fn password(&self, now: Instant, user: &str, password: &[u8]) -> Result<Login, Reason> {
        self.authenticator.verify_password_by(sasl::PLAIN, now, &self.peer, user, password)
    }

    fn verifier(&self, now: Instant, hash: ScramHash, user: &str) -> Result<ScramVerifier, Reason> {
        let (own, name) = (&self.authenticator, name(user));
        let attempt = own.attempt(&self.peer, Some(&name), hash.name());
        if !own.throttle().admits(now, attempt.origin) {
            return own.conclude(now, &attempt, Err(Refusal::Throttled)).and(Err(Reason::ServerBusy));
        }
        let (users, tenant) = (own.users(), self.peer.door.tenant);
        let stand_in = users.scram_stand_in(hash, tenant, &name);
        let known = users.account(tenant, &name).and_then(|account| account.user.scram(hash));
        Ok(known.cloned().unwrap_or(stand_in))
    }

    fn challenged(
        &self,
        now: Instant,
        user: &str,
        verifier: &ScramVerifier,
        is_proved: bool,
    ) -> Result<Login, Reason> {
        let (own, name) = (&self.authenticator, name(user));
        let attempt = own.attempt(&self.peer, Some(&name), verifier.hash.name());
        let judge = || {
            if !own.throttle().admits(now, attempt.origin) {
                return Err(Refusal::Throttled);
            }
            let users = own.users();
            let account = users.account(self.peer.door.tenant, &name);
            let account = account.filter(|account| account.user.scram(verifier.hash).is_some());
            let account = account.ok_or(Refusal::UnknownUser)?;
            own.judge_account(account, is_proved)?;
            // The password may have changed since the challenge.
            let is_same = account.user.scram(verifier.hash) == Some(verifier);
            if is_same { Ok(account.login()) } else { Err(Refusal::Changed) }
        };
        own.conclude(now, &attempt, judge())
    }

    fn proof(&self, now: Instant) -> Result<Login, Reason> {
        self.authenticator.verify_proof(now, &self.peer, None)
    }

    fn anonymous(&self, now: Instant) -> Result<Login, Reason> {
        let door = &self.peer.door;
        let login = Login::new(Identity::anonymous(door.tenant, &door.listener));
        let attempt = self.authenticator.attempt(&self.peer, None, sasl::ANONYMOUS);
        self.authenticator.conclude(
            now,
            &attempt,
            if door.anonymous { Ok(login) } else { Err(Refusal::Method) },
        )
    }

    fn token(&self, now: Instant, user: Option<&str>, token: &str) -> Result<Login, Reason> {
        let own = &self.authenticator;
        let attempt = own.attempt(&self.peer, user, sasl::OAUTHBEARER);
        let judge = || {
            if !own.throttle().admits(now, attempt.origin) {
                return Err(Refusal::Throttled);
            }
            let tokens = own.tokens.as_ref().ok_or(Refusal::Token(Reason::BadAuthenticationMethod))?;
            let login = tokens.verify(now, &self.peer, user, token).map_err(Refusal::Token)?;
            if user.is_some_and(|user| user != login.identity.name()) {
                return Err(Refusal::Token(Reason::NotAuthorized));
            }
            unlocked(&own.users(), login)
        };
        own.conclude(now, &attempt, judge())
    }

    fn channel_binding(&self, kind: &str) -> Option<&[u8]> {
        self.peer.channel.as_ref()?.binding(kind)
    }
}

#[cfg(test)]
#[path = "authenticator_tests.rs"]
mod tests;
