//! Who a peer is, by those that are asked one after another: a token speaks for itself, then the hook is asked, then the
//! directory. Names of the password file are not theirs to decide.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mynah_auth::Grant;
use mynah_auth::jwt::looks_like_token;
#[cfg(feature = "ldap")]
use mynah_auth::remote::Ldap;
use mynah_auth::remote::{self, Hook, Judgement, Tokens, Unavailable};
use mynah_auth::{Login, Peer, VerifyToken};
use mynah_model::{Instant, Reason, WallTime};
use tokio::runtime::Handle;

use crate::complaint::Complaint;
use crate::config;
use crate::doorkeeper::mandate;

/// Others that say who a peer is. They are asked on the runtime, while threads of their own wait.
pub(crate) struct Others {
    runtime: Handle,
    tokens: Option<Tokens>,
    hook: Option<Arc<Hook>>,
    #[cfg(feature = "ldap")]
    directory: Option<Arc<Ldap>>,
    /// Whether there is somebody to ask about those who show no token.
    asks_about_all: bool,
}

impl Others {
    /// Begins to fetch what is fetched; none if there is nobody to ask. Called inside the runtime.
    pub(crate) fn start(settings: config::Others) -> Result<Option<Self>, Complaint> {
        if settings.is_empty() {
            return Ok(None);
        }
        let asks_about_all = settings.asks_about_all();
        let tokens = settings.tokens.map(Tokens::start).transpose();
        Ok(Some(Self {
            runtime: Handle::current(),
            tokens: tokens.map_err(|error| Complaint::Other(error.to_string()))?,
            hook: settings.hook,
            #[cfg(feature = "ldap")]
            directory: settings.directory,
            asks_about_all,
        }))
    }

    /// Who a peer is, if anybody vouches for it. What is meant as a token goes to nobody else.
    async fn ask(&self, login: &remote::Login<'_>) -> Result<Grant, Reason> {
        let password = login.password.unwrap_or_default();
        if let Some(tokens) = self.tokens.as_ref().filter(|_| looks_like_token(password)) {
            // It is ASCII, or would not look like one.
            let token = std::str::from_utf8(password).unwrap_or_default();
            let user = Some(login.user).filter(|user| !user.is_empty());
            return judged(tokens, token, user, login).await;
        }
        if let Some(hook) = &self.hook {
            match hook.ask(login).await {
                Ok(Judgement::Ignored) => {}
                judged => return decided(judged),
            }
        }
        #[cfg(feature = "ldap")]
        if let Some(directory) = &self.directory {
            return decided(directory.ask(login).await);
        }
        Err(Reason::BadCredentials)
    }

    /// The tokens that may prove something of a peer.
    fn tokens_for(&self, peer: &Peer) -> Option<&Tokens> {
        self.tokens.as_ref().filter(|tokens| !peer.door.is_named || tokens.name_tenants())
    }

    /// Reads files again and forgets what was said.
    pub(crate) fn reload(&self) {
        if let Some(tokens) = &self.tokens {
            match tokens.reload() {
                Ok(()) => tracing::info!("the keys of tokens were read again"),
                Err(error) => tracing::error!(%error, "the keys of tokens stay as they were"),
            }
        }
        if let Some(hook) = &self.hook {
            hook.forget();
        }
        #[cfg(feature = "ldap")]
        if let Some(directory) = &self.directory {
            directory.forget();
        }
    }
}

impl VerifyToken for Others {
    fn verify(&self, now: Instant, peer: &Peer, user: Option<&str>, token: &str) -> Result<Login, Reason> {
        let tokens = self.tokens_for(peer).ok_or(Reason::BadCredentials)?;
        let login = remote::Login { tenant: peer.door.tenant, ..remote::Login::default() };
        let grant = self.runtime.block_on(judged(tokens, token, user, &login))?;
        belongs(peer, proved(grant, now, wall())?)
    }

    fn takes_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    fn verify_stranger(
        &self,
        now: Instant,
        peer: &Peer,
        user: &str,
        password: &[u8],
    ) -> Option<Result<Login, Reason>> {
        let is_token = looks_like_token(password);
        if (!self.asks_about_all && !is_token)
            // Hook and directory know nothing of tenants.
            || (peer.door.is_named && (!is_token || self.tokens_for(peer).is_none()))
        {
            return None;
        }
        let fingerprint = peer.certificate.as_ref().map(|certificate| hexadecimal(&certificate.sha256));
        let certificate = peer.certificate.as_ref().zip(fingerprint.as_deref());
        let login = remote::Login {
            tenant: peer.door.tenant,
            user,
            password: Some(password).filter(|password| !password.is_empty()),
            client_id: peer.client_id.as_deref(),
            address: peer.address,
            listener: Some(&peer.door.listener),
            protocol: Some(peer.door.protocol),
            certificate: certificate.map(|(certificate, fingerprint)| remote::Certificate {
                subject: &certificate.subject,
                common_name: certificate.common_name.as_deref(),
                fingerprint,
            }),
        };
        let asked = self.runtime.block_on(self.ask(&login));
        Some(asked.and_then(|grant| belongs(peer, proved(grant, now, wall())?)))
    }
}

/// Whoever has named a tenant has to be of it.
fn belongs(peer: &Peer, login: Login) -> Result<Login, Reason> {
    let is_elsewhere = peer.door.is_named && login.identity.tenant() != peer.door.tenant;
    if is_elsewhere { Err(Reason::BadCredentials) } else { Ok(login) }
}

/// What a token says of its bearer. Why it is refused is for the log only.
async fn judged(
    tokens: &Tokens,
    token: &str,
    user: Option<&str>,
    login: &remote::Login<'_>,
) -> Result<Grant, Reason> {
    let judged = tokens.verify(token, user, login.tenant, wall()).await;
    judged.map_err(|why| {
        tracing::info!(user, %why, "a token is refused");
        why.into()
    })
}

/// A grant by the clock of the workers, which begins with the broker. A token whose rights cannot be understood is refused:
/// nobody knows what its bearer may do.
fn proved(grant: Grant, now: Instant, wall: WallTime) -> Result<Login, Reason> {
    if let Some(Err(error)) = grant.rights.as_ref().map(mandate) {
        tracing::info!(identity = grant.identity.name(), %error, "a token is refused: its rights are not understood");
        return Err(Reason::BadCredentials);
    }
    let left = |until: WallTime| {
        now + Duration::from_millis(until.as_unix_millis().saturating_sub(wall.as_unix_millis()))
    };
    Ok(Login {
        identity: grant.identity,
        groups: grant.groups.iter().map(AsRef::as_ref).collect(),
        rights: grant.rights,
        valid_until: grant.valid_until.map(left),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn decided(judged: Result<Judgement, Unavailable>) -> Result<Grant, Reason> {
    match judged? {
        Judgement::Granted(grant) => Ok(grant),
        Judgement::Denied | Judgement::Ignored => Err(Reason::BadCredentials),
    }
}

fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use mynah_auth::TokenRights;
    use mynah_model::{Identity, TenantId};

    use super::*;

    #[test]
    fn a_grant_ends_by_the_clock_of_the_workers_when_it_ends_by_that_of_its_issuer() {
        let grant = |until| Grant {
            identity: Identity::user(TenantId::DEFAULT, "ada"),
            groups: vec!["b".into(), "a".into()],
            rights: None,
            valid_until: Some(WallTime::from_unix_millis(until)),
        };
        let (now, wall) = (Instant::from_micros(7), WallTime::from_unix_millis(1_000_000));
        let login = proved(grant(1_002_000), now, wall).unwrap();
        assert_eq!(login.valid_until, Some(Instant::from_micros(2_000_007)));
        assert!(login.groups.iter().eq(["a", "b"]));
        assert_eq!(proved(grant(5), now, wall).unwrap().valid_until, Some(now));
        let named = |filter: &str| {
            let rights = TokenRights { publish: vec![filter.to_owned()], subscribe: Vec::new() };
            proved(Grant { rights: Some(rights), ..grant(1_002_000) }, now, wall)
                .map(|login| login.rights.is_some())
        };
        assert_eq!(named("devices/%u/#"), Ok(true));
        for wrong in ["a#", "", "devices/x%u", "a\0"] {
            assert_eq!(named(wrong), Err(Reason::BadCredentials), "{wrong}");
        }
        assert_eq!(hexadecimal(&[0, 0xab]), "00ab");
    }
}
