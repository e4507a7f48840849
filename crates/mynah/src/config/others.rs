//! `[auth.jwt]`, `[auth.http]` and `[auth.ldap]`: others that say who a peer is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mynah_auth::jwt::{Algorithm, LEEWAY_MAX, Policy};
use mynah_auth::remote::{
    EndpointError, EndpointSettings, Hook, HookSettings, JwksSettings, KeysFrom, TokensError, TokensSettings,
};
use serde::Deserialize;
use toml::Spanned;

use super::document::Auth;
#[cfg(feature = "ldap")]
use super::ldap::directory;
use super::settings::Wrong;

/// Others that say who a peer is, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    pub(crate) tokens: Option<TokensSettings>,
    pub(crate) hook: Option<Arc<Hook>>,
    #[cfg(feature = "ldap")]
    pub(crate) directory: Option<Arc<mynah_auth::remote::Ldap>>,
}

impl Others {
    /// Whether there is nobody to ask.
    pub(crate) const fn is_empty(&self) -> bool {
        self.tokens.is_none() && !self.asks_about_all()
    }

    /// Whether there is somebody to ask about those who show no token.
    pub(crate) const fn asks_about_all(&self) -> bool {
        #[cfg(feature = "ldap")]
        let asks_directory = self.directory.is_some();
        #[cfg(not(feature = "ldap"))]
        let asks_directory = false;
        self.hook.is_some() || asks_directory
    }
}

/// `[auth.jwt]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Jwt {
    algorithms: Vec<Spanned<String>>,
    issuer: Spanned<String>,
    audience: Spanned<Vec<String>>,
    jwks_url: Option<Spanned<String>>,
    ca: Option<Spanned<String>>,
    #[serde(default)]
    plaintext: bool,
    key_file: Option<Spanned<String>>,
    secret_file: Option<Spanned<String>>,
    #[serde(default = "refresh")]
    refresh_s: Spanned<u64>,
    #[serde(default = "retry")]
    retry_s: Spanned<u64>,
    #[serde(default = "stale")]
    stale_s_max: Spanned<u64>,
    #[serde(default = "timeout")]
    timeout_s: Spanned<u64>,
    #[serde(default = "leeway")]
    leeway_s: Spanned<u64>,
    #[serde(default = "identity_claim")]
    identity_claim: String,
    #[serde(default = "groups_claim")]
    groups_claim: String,
    tenant_claim: Option<String>,
    rights_claim: Option<String>,
    #[serde(default)]
    user_must_match: bool,
}

/// `[auth.http]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct HookTable {
    url: Spanned<String>,
    ca: Option<Spanned<String>>,
    #[serde(default)]
    plaintext: bool,
    #[serde(default = "timeout")]
    timeout_s: Spanned<u64>,
    #[serde(default = "concurrency")]
    concurrency: Spanned<usize>,
    #[serde(default = "cache")]
    cache_s: Spanned<u64>,
    #[serde(default = "cache_denied")]
    cache_denied_s: Spanned<u64>,
    #[serde(default = "cache_entries")]
    cache_entries_max: Spanned<usize>,
}

fn refresh() -> Spanned<u64> {
    Spanned::new(0..0, 300)
}

fn retry() -> Spanned<u64> {
    Spanned::new(0..0, 10)
}

fn stale() -> Spanned<u64> {
    Spanned::new(0..0, 86_400)
}

pub(super) fn timeout() -> Spanned<u64> {
    Spanned::new(0..0, 3)
}

fn leeway() -> Spanned<u64> {
    Spanned::new(0..0, 30)
}

fn identity_claim() -> String {
    "sub".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

pub(super) fn concurrency() -> Spanned<usize> {
    Spanned::new(0..0, 16)
}

pub(super) fn cache() -> Spanned<u64> {
    Spanned::new(0..0, 60)
}

pub(super) fn cache_denied() -> Spanned<u64> {
    Spanned::new(0..0, 5)
}

pub(super) fn cache_entries() -> Spanned<usize> {
    Spanned::new(0..0, 10_000)
}

/// Everybody else that is asked. Paths are taken from `folder`.
pub(super) fn others(written: &Auth, folder: &Path, wrongs: &mut Vec<Wrong>) -> Others {
    let mut settled = Others::default();
    match written.jwt.as_ref().map(|jwt| tokens(jwt, folder)).transpose() {
        Ok(tokens) => settled.tokens = tokens,
        Err(wrong) => wrongs.push(wrong),
    }
    match written.http.as_ref().map(|http| hook(http.get_ref(), folder)).transpose() {
        Ok(hook) => settled.hook = hook.map(Arc::new),
        Err(wrong) => wrongs.push(wrong),
    }
    #[cfg(feature = "ldap")]
    match written.ldap.as_ref().map(|ldap| directory(ldap, folder)).transpose() {
        Ok(directory) => settled.directory = directory.map(Arc::new),
        Err(wrong) => wrongs.push(wrong),
    }
    #[cfg(not(feature = "ldap"))]
    if let Some(ldap) = &written.ldap {
        let message = "this program knows no LDAP: build it with --features ldap";
        wrongs.push(Wrong::at(ldap, message));
    }
    settled
}

fn tokens(spanned: &Spanned<Jwt>, folder: &Path) -> Result<TokensSettings, Wrong> {
    let written = spanned.get_ref();
    let keys = match (&written.jwks_url, &written.key_file) {
        (Some(_), Some(file)) => {
            return Err(Wrong::at(file, "keys come from jwks_url or from key_file, not from both"));
        }
        (Some(url), None) => Some(KeysFrom::Url(JwksSettings {
            endpoint: endpoint(url, written.ca.as_ref(), written.plaintext, folder),
            refresh: seconds(&written.refresh_s, "refresh_s", 1..=86_400)?,
            retry: seconds(&written.retry_s, "retry_s", 1..=3_600)?,
            stale_max: seconds(&written.stale_s_max, "stale_s_max", 1..=31_536_000)?,
            timeout: answer_time(&written.timeout_s)?,
        })),
        (None, Some(file)) => Some(KeysFrom::File(folder.join(file.get_ref()))),
        (None, None) => None,
    };
    let settings = TokensSettings {
        policy: policy(written)?,
        keys,
        secret_file: written.secret_file.as_ref().map(|file| folder.join(file.get_ref())),
    };
    settings.check().map_err(|error| {
        let place = match &error {
            TokensError::Endpoint(error) => {
                endpoint_key(error, written.jwks_url.as_ref(), written.ca.as_ref())
            }
            TokensError::KeySet { .. } => written.key_file.as_ref(),
            TokensError::ShortSecret(_) => written.secret_file.as_ref(),
            TokensError::File { path, .. } => [&written.key_file, &written.secret_file]
                .into_iter()
                .flatten()
                .find(|file| folder.join(file.get_ref()) == *path),
            TokensError::Secret | TokensError::Keys => None,
        };
        place.map_or_else(|| Wrong::at(spanned, error.to_string()), |key| Wrong::at(key, error.to_string()))
    })?;
    Ok(settings)
}

fn policy(written: &Jwt) -> Result<Policy, Wrong> {
    let algorithm = |name: &Spanned<String>| {
        let known = Algorithm::ALL.map(Algorithm::name).join(", ");
        let wrong = |()| Wrong::at(name, format!("this algorithm is not taken; there are: {known}"));
        name.get_ref().parse().map_err(wrong)
    };
    let algorithms = written.algorithms.iter().map(algorithm).collect::<Result<Vec<_>, _>>()?;
    if algorithms.is_empty() || written.issuer.get_ref().is_empty() {
        return Err(Wrong::at(&written.issuer, "name at least one algorithm, and the issuer of the tokens"));
    }
    if written.audience.get_ref().is_empty() {
        return Err(Wrong::at(&written.audience, "name at least one audience that tokens may be for"));
    }
    Ok(Policy {
        algorithms,
        issuer: written.issuer.get_ref().as_str().into(),
        audience: written.audience.get_ref().iter().map(|one| one.as_str().into()).collect(),
        leeway: seconds(&written.leeway_s, "leeway_s", 0..=LEEWAY_MAX.as_secs())?,
        identity_claim: written.identity_claim.as_str().into(),
        groups_claim: written.groups_claim.as_str().into(),
        tenant_claim: written.tenant_claim.as_deref().map(Into::into),
        rights_claim: written.rights_claim.as_deref().map(Into::into),
        user_must_match: written.user_must_match,
    })
}

fn hook(written: &HookTable, folder: &Path) -> Result<Hook, Wrong> {
    let [cache, cache_denied] = cached(&written.cache_s, &written.cache_denied_s)?;
    let cache_entries_max = cached_entries(&written.cache_entries_max)?;
    let settings = HookSettings {
        endpoint: endpoint(&written.url, written.ca.as_ref(), written.plaintext, folder),
        timeout: answer_time(&written.timeout_s)?,
        concurrency: at_once(&written.concurrency, "concurrency")?,
        cache,
        cache_denied,
        cache_entries_max,
    };
    Hook::new(settings).map_err(|error| {
        let key = endpoint_key(&error, Some(&written.url), written.ca.as_ref()).unwrap_or(&written.url);
        Wrong::at(key, error.to_string())
    })
}

pub(super) fn endpoint(
    url: &Spanned<String>,
    ca: Option<&Spanned<String>>,
    plaintext: bool,
    folder: &Path,
) -> EndpointSettings {
    EndpointSettings { url: url.get_ref().clone(), ca: ca.map(|ca| folder.join(ca.get_ref())), plaintext }
}

/// The key that is to blame.
pub(super) fn endpoint_key<'k>(
    error: &EndpointError,
    url: Option<&'k Spanned<String>>,
    ca: Option<&'k Spanned<String>>,
) -> Option<&'k Spanned<String>> {
    match error {
        EndpointError::Ca { .. } | EndpointError::UselessCa => ca.or(url),
        EndpointError::Url { .. } | EndpointError::Plaintext | EndpointError::NoCa => url,
    }
}

/// How long an answer may take.
pub(super) fn answer_time(written: &Spanned<u64>) -> Result<Duration, Wrong> {
    seconds(written, "timeout_s", 1..=60)
}

/// How many may be asked about at once; a key that is called `name`.
pub(super) fn at_once(written: &Spanned<usize>, name: &str) -> Result<usize, Wrong> {
    count(written, name, 1..=1_024)
}

/// How long answers are remembered: those that let a peer in, and others.
pub(super) fn cached(cache_s: &Spanned<u64>, cache_denied_s: &Spanned<u64>) -> Result<[Duration; 2], Wrong> {
    const DAY_S: u64 = 86_400;
    Ok([seconds(cache_s, "cache_s", 0..=DAY_S)?, seconds(cache_denied_s, "cache_denied_s", 0..=DAY_S)?])
}

/// How many answers are remembered.
pub(super) fn cached_entries(written: &Spanned<usize>) -> Result<usize, Wrong> {
    count(written, "cache_entries_max", 0..=1_000_000)
}

fn seconds(
    written: &Spanned<u64>,
    name: &str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<Duration, Wrong> {
    if bounds.contains(written.get_ref()) {
        return Ok(Duration::from_secs(*written.get_ref()));
    }
    Err(Wrong::at(written, format!("{name} has to be {} to {} seconds", bounds.start(), bounds.end())))
}

fn count(
    written: &Spanned<usize>,
    name: &str,
    bounds: std::ops::RangeInclusive<usize>,
) -> Result<usize, Wrong> {
    if bounds.contains(written.get_ref()) {
        return Ok(*written.get_ref());
    }
    Err(Wrong::at(written, format!("{name} has to be {} to {}", bounds.start(), bounds.end())))
}
