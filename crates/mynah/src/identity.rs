//! Who a peer is, by those that are asked one after another: a token speaks for itself, then the hook is asked, then the
//! directory. Names of the password file are not theirs to decide.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mynah_auth::Grant;
use mynah_auth::jwt::looks_like_token;
#[cfg(feature = "ldap")]
use mynah_auth::remote::Ldap;
use mynah_auth::remote::{Hook, Judgement, Login, Tokens, Unavailable};
use mynah_model::{Reason, WallTime};
use tokio::runtime::Handle;

use crate::complaint::Complaint;
use crate::config;

/// Others that say who a peer is. They are asked on the runtime, while threads of their own wait.
pub(crate) struct Others {
    runtime: Handle,
    tokens: Option<Tokens>,
    hook: Option<Arc<Hook>>,
    #[cfg(feature = "ldap")]
    directory: Option<Arc<Ldap>>,
}

impl Others {
    /// Begins to fetch what is fetched; none if there is nobody to ask. Called inside the runtime.
    pub(crate) fn start(settings: config::Others) -> Result<Option<Self>, Complaint> {
        if settings.is_empty() {
            return Ok(None);
        }
        let tokens = settings.tokens.map(Tokens::start).transpose();
        Ok(Some(Self {
            runtime: Handle::current(),
            tokens: tokens.map_err(|error| Complaint::Other(error.to_string()))?,
            hook: settings.hook,
            #[cfg(feature = "ldap")]
            directory: settings.directory,
        }))
    }

    /// Runs something to its end. Called on a thread that may wait.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Who a peer is, if anybody vouches for it. What is meant as a token goes to nobody else.
    pub(crate) async fn ask(&self, login: &Login<'_>) -> Result<Grant, Reason> {
        let password = login.password.unwrap_or_default();
        if let Some(tokens) = self.tokens.as_ref().filter(|_| looks_like_token(password)) {
            // It is ASCII, or would not look like one.
            let token = std::str::from_utf8(password).unwrap_or_default();
            let user = Some(login.user).filter(|user| !user.is_empty());
            let judged = tokens.verify(token, user, login.tenant, now()).await;
            return judged.map_err(|why| {
                tracing::debug!(user = login.user, %why, "a token is refused");
                why.into()
            });
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

fn decided(judged: Result<Judgement, Unavailable>) -> Result<Grant, Reason> {
    match judged? {
        Judgement::Granted(grant) => Ok(grant),
        Judgement::Denied | Judgement::Ignored => Err(Reason::BadCredentials),
    }
}

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
