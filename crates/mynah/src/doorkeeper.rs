//! Logging in, as the workers have it done: what they know of a peer and what it says goes to the authenticator.

use std::sync::Arc;

use mynah_auth::sasl;
use mynah_auth::{Authenticator, Certificate, Channel, Door, Login, Peer, TokenRights};
use mynah_core::rules::{Mandate, RuleError, RuleFilter};
use mynah_engine::{AlternativeName, Authenticated, PeerCertificate, Proof};
use mynah_model::{Instant, Reason};
use mynah_net::{Answer, Caller, ChannelBinding, Mechanism, Verify};
use mynah_stack::Credentials;

use crate::config::Protocol;
use crate::courier::Tickets;
use crate::herald::Herald;

/// Asks the authenticator, for peers at these doors.
pub(crate) struct Doorkeeper {
    authenticator: Arc<Authenticator>,
    /// By the place of their listener among those of the engine.
    doors: Vec<Arc<Door>>,
    /// Whether others may be asked.
    waits: bool,
    herald: Herald,
    /// Those whom a management listener has let in.
    tickets: Tickets,
}

/// Threads that may wait for others, beside those that hash.
const WAITING_THREADS: usize = 32;

impl Doorkeeper {
    pub(crate) fn new(
        authenticator: Arc<Authenticator>,
        doors: Vec<Door>,
        waits: bool,
        herald: Herald,
        tickets: Tickets,
    ) -> Self {
        Self { authenticator, doors: doors.into_iter().map(Arc::new).collect(), waits, herald, tickets }
    }

    fn peer(&self, caller: &Caller) -> Result<Peer, Reason> {
        let door = self.doors.get(usize::from(caller.listener)).ok_or(Reason::BadCredentials)?;
        let door = caller.tenant.map_or_else(|| Arc::clone(door), |tenant| Arc::new(door.of_tenant(tenant)));
        let certificate = caller.proof.as_deref().and_then(Proof::certificate);
        Ok(Peer {
            door,
            client_id: caller.client_id.clone(),
            address: caller.address,
            is_local: caller.is_local,
            certificate: certificate.map(|certificate| Arc::new(described(certificate))),
            key_of: match caller.proof.as_deref() {
                Some(Proof::PreSharedKey(user)) => Some(user.clone()),
                _ => None,
            },
            channel: caller.channel.as_ref().map(channel),
        })
    }
}

impl Verify for Doorkeeper {
    fn threads(&self, cores: usize) -> usize {
        cores.div_ceil(2) + if self.waits { WAITING_THREADS } else { 0 }
    }

    fn recall(
        &self,
        now: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Option<Result<Authenticated, Reason>> {
        let password = credentials.password.as_deref().unwrap_or_default();
        let peer = self.peer(caller).ok()?;
        if peer.door.protocol == Protocol::Management.name() {
            return Some(self.tickets.take(&credentials.user).ok_or(Reason::BadCredentials));
        }
        let result = self.authenticator.recall(now, &peer, &credentials.user, password)?;
        Some(result.and_then(|login| authenticated(login, None)))
    }

    fn verify(
        &self,
        now: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Result<Authenticated, Reason> {
        let password = credentials.password.as_deref().unwrap_or_default();
        let login =
            self.authenticator.verify_password(now, &self.peer(caller)?, &credentials.user, password)?;
        authenticated(login, None)
    }

    fn proved(&self, now: Instant, caller: &Caller, user: Option<&str>) -> Result<Authenticated, Reason> {
        let login = self.authenticator.verify_proof(now, &self.peer(caller)?, user)?;
        authenticated(login, None)
    }

    fn pre_shared_key(&self, listener: u16, user: &str) -> Option<Box<[u8]>> {
        let door = self.doors.get(usize::from(listener))?;
        self.authenticator.users().pre_shared_key(door.tenant, user).map(Box::from)
    }

    fn unproved(&self, now: Instant, caller: &Caller, user: &str) {
        if let Ok(peer) = self.peer(caller) {
            self.authenticator.refuse_key(now, &peer, user);
        }
    }

    fn begin(&self, caller: &Caller, method: &str) -> Result<Box<dyn Mechanism>, Reason> {
        let peer = self.peer(caller)?;
        let begun = self.authenticator.begin(peer.clone(), method);
        let mechanism = begun.inspect_err(|reason| self.herald.refused(&peer, None, "none", reason))?;
        Ok(Box::new(Exchange(mechanism)))
    }
}

/// An exchange by a mechanism of SASL.
struct Exchange(Box<dyn sasl::Mechanism>);

impl Mechanism for Exchange {
    fn step(&mut self, now: Instant, message: &[u8]) -> Result<Answer, Reason> {
        Ok(match self.0.step(now, message)? {
            sasl::Answer::Challenge(challenge) => Answer::Challenge(challenge),
            sasl::Answer::Proved { login, last_word } => Answer::Proved(authenticated(login, last_word)?),
        })
    }
}

/// A login as the workers hear of it. Rights that are not understood were refused before.
fn authenticated(login: Login, last_word: Option<Box<[u8]>>) -> Result<Authenticated, Reason> {
    let Login { identity, groups, rights, valid_until } = login;
    let mandate = rights.as_ref().map(mandate).transpose().map_err(|_| Reason::BadCredentials)?;
    Ok(Authenticated { identity, groups, mandate: mandate.map(Arc::new), valid_until, last_word })
}

/// The rights of a token, as rules understand them.
pub(crate) fn mandate(rights: &TokenRights) -> Result<Mandate, RuleError> {
    let filters =
        |texts: &[String]| texts.iter().map(|text| RuleFilter::new(text)).collect::<Result<Vec<_>, _>>();
    Ok(Mandate::new(filters(&rights.publish)?, filters(&rights.subscribe)?))
}

/// What is used of a certificate to log in.
pub(crate) fn described(certificate: &PeerCertificate) -> Certificate {
    let names = certificate.names.iter().map(|name| match name {
        AlternativeName::Dns(name) | AlternativeName::Email(name) | AlternativeName::Uri(name) => {
            name.clone()
        }
    });
    Certificate {
        sha256: certificate.sha256,
        subject: certificate.subject.clone(),
        common_name: certificate.common_name.clone(),
        names: names.collect(),
    }
}

fn channel(binding: &ChannelBinding) -> Channel {
    Channel {
        exporter: binding.exporter.map(|exporter| Box::from(&exporter[..])),
        server_end_point: binding.server_end_point.as_deref().map(Box::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_auth::{PasswordForms, Tenants, ThrottleSettings, User, Users, UsersFile};
    use mynah_model::TenantId;
    use std::path::Path;

    const NOW: Instant = Instant::from_micros(1);

    fn doorkeeper() -> Doorkeeper {
        let mut ada = User::new("ada");
        let forms = PasswordForms {
            argon2: true,
            scram_sha_256: false,
            scram_sha_1: false,
            iterations: mynah_auth::ITERATIONS,
        };
        ada.set_password("engine", forms).unwrap();
        let mut file = UsersFile::new(Path::new("users"));
        file.add(ada).unwrap();
        let users = Users::new(&file, &Tenants::default(), None).unwrap();
        let authenticator = Authenticator::new(users, ThrottleSettings::default(), None, |_| ()).unwrap();
        let door = Door {
            listener: "m".into(),
            protocol: "mqtt",
            tenant: TenantId::DEFAULT,
            is_named: false,
            anonymous: false,
            passwords: true,
            plaintext_auth: true,
            identity_from: Some(mynah_auth::IdentityFrom::SubjectAlternativeName),
        };
        Doorkeeper::new(Arc::new(authenticator), vec![door], false, Herald::default(), Tickets::default())
    }

    #[test]
    fn what_a_peer_says_reaches_the_authenticator() {
        let own = doorkeeper();
        let caller = Caller { is_local: true, ..Caller::default() };
        let credentials =
            |password: &[u8]| Credentials { user: "ada".into(), password: Some(password.into()) };
        assert!(own.recall(NOW, &caller, &credentials(b"engine")).is_none());
        let proved = own.verify(NOW, &caller, &credentials(b"engine")).unwrap();
        assert_eq!(proved.identity.name(), "ada");
        assert!(matches!(own.recall(NOW, &caller, &credentials(b"engine")), Some(Ok(_))));
        assert_eq!(own.verify(NOW, &caller, &credentials(b"x")).err(), Some(Reason::BadCredentials));

        let said = |message: &[u8]| own.begin(&caller, "PLAIN")?.step(NOW, message);
        assert!(
            matches!(said(b"\0ada\0engine"), Ok(Answer::Proved(proved)) if proved.identity.name() == "ada")
        );
        assert_eq!(said(b"eve\0ada\0engine").err(), Some(Reason::NotAuthorized));
        assert_eq!(own.begin(&caller, "plain").err(), Some(Reason::BadAuthenticationMethod));
        let elsewhere = Caller { is_local: false, ..caller.clone() };
        assert_eq!(own.begin(&elsewhere, "PLAIN").err(), Some(Reason::BadAuthenticationMethod));

        let names = [AlternativeName::Uri("urn:dev:7".into())].into();
        let certificate = PeerCertificate {
            der: Box::default(),
            sha256: [0; 32],
            subject: Box::default(),
            common_name: None,
            names,
        };
        let certified = Caller { proof: Some(Arc::new(Proof::Certificate(certificate))), ..caller };
        let proved = own.proved(NOW, &certified, None).unwrap();
        assert_eq!(proved.identity.name(), "urn:dev:7");
        let nowhere = Caller { listener: 7, ..certified };
        assert_eq!(own.proved(NOW, &nowhere, None).err(), Some(Reason::BadCredentials));
    }
}
