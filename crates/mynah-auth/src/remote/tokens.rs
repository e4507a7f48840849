//! Tokens with the keys that verify them: of an issuer's URL or a file, and a secret of a file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mynah_model::{TenantId, WallTime};

use super::EndpointError;
use super::jwks::{Jwks, JwksSettings};
use crate::Grant;
use crate::jwt::{Algorithm, KeySet, KeySetError, Policy, SECRET_BYTES_MIN, Secret, TokenError};

/// Bytes of the largest file of keys.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Which tokens are taken, and where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensSettings {
    /// Which tokens.
    pub policy: Policy,
    /// Where public keys are; needed for all algorithms but HS256.
    pub keys: Option<KeysFrom>,
    /// The file with the secret of HS256, of which a line end is no part.
    pub secret_file: Option<PathBuf>,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// Where the issuer publishes them.
    Url(JwksSettings),
    /// A file with a JWK Set or PEM.
    File(PathBuf),
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    policy: Policy,
    source: Source,
    secret_file: Option<PathBuf>,
    files: Mutex<Files>,
}

#[derive(Debug)]
enum Source {
    None,
    Url(Jwks),
    File(PathBuf),
}

/// What was read from files.
#[derive(Clone, Debug, Default)]
struct Files {
    keys: Arc<KeySet>,
    secret: Option<Arc<Secret>>,
}

impl Tokens {
    /// Reads the files, or begins to fetch the keys. Called inside a runtime.
    ///
    /// # Errors
    /// What of the settings cannot be used, and why.
    pub fn start(settings: TokensSettings) -> Result<Self, TokensError> {
        let TokensSettings { policy, keys, secret_file } = settings;
        let uses_secret = policy.algorithms.contains(&Algorithm::Hs256);
        let uses_keys = policy.algorithms.iter().any(|algorithm| *algorithm != Algorithm::Hs256);
        if uses_secret != secret_file.is_some() {
            return Err(TokensError::Secret);
        }
        if uses_keys != keys.is_some() {
            return Err(TokensError::Keys);
        }
        let source = match keys {
            None => Source::None,
            Some(KeysFrom::File(path)) => Source::File(path),
            Some(KeysFrom::Url(jwks)) => Source::Url(Jwks::start(jwks).map_err(TokensError::Endpoint)?),
        };
        let tokens = Self { policy, source, secret_file, files: Mutex::default() };
        tokens.reload()?;
        Ok(tokens)
    }

    /// Reads the files again. If something is wrong with one, all stays as it was.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), TokensError> {
        let keys = match &self.source {
            Source::File(path) => {
                let wrong = |error| TokensError::KeySet { path: path.clone(), error };
                KeySet::from_file(&read(path)?).map_err(wrong)?
            }
            Source::None | Source::Url(_) => KeySet::default(),
        };
        let secret = match &self.secret_file {
            Some(path) => {
                let text = read(path)?;
                let secret = Secret::new(text.trim_ascii_end());
                Some(Arc::new(secret.ok_or_else(|| TokensError::ShortSecret(path.clone()))?))
            }
            None => None,
        };
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Files { keys: Arc::new(keys), secret };
        Ok(())
    }

    /// What a token says of its bearer, who named itself `user`. Waits for keys if there are none yet, or if the token
    /// is of one that is not known.
    ///
    /// # Errors
    /// Why the token is not taken. That is for the log, not for the bearer.
    pub async fn verify(
        &self,
        token: &str,
        user: Option<&str>,
        tenant: TenantId,
        now: WallTime,
    ) -> Result<Grant, TokenError> {
        let Files { keys, secret } = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let judge = |keys: &KeySet| self.policy.verify(token, user, keys, secret.as_deref(), (tenant, now));
        let Source::Url(jwks) = &self.source else { return judge(&keys) };
        let unavailable = Err(TokenError::KeysUnavailable);
        let first = jwks.keys().map(|keys| judge(&keys));
        let needs_none = || judge(&keys);
        let doubtful = match first {
            Some(Err(TokenError::UnknownKey)) => Err(TokenError::UnknownKey),
            Some(judged) => return judged,
            // What no key could help is refused at once, and HS256 needs none.
            None => match needs_none() {
                Err(TokenError::UnknownKey) => unavailable,
                judged => return judged,
            },
        };
        if !jwks.fetched_again().await {
            return doubtful;
        }
        jwks.keys().map_or(Err(TokenError::KeysUnavailable), |keys| judge(&keys))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokensError> {
    let failed = |error| TokensError::File { path: path.to_owned(), error };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "too long for a file of keys")));
    }
    fs::read(path).map_err(failed)
}

/// What of the settings cannot be used, in words for an operator.
#[derive(Debug)]
pub enum TokensError {
    /// HS256 without a secret, or a secret without HS256.
    Secret,
    /// Algorithms of public keys without keys, or the other way round.
    Keys,
    /// The URL of the keys cannot be used.
    Endpoint(EndpointError),
    /// A file cannot be read.
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file has no keys of use.
    KeySet {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: KeySetError,
    },
    /// The secret of this file is too short.
    ShortSecret(PathBuf),
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str("HS256 needs secret_file, and secret_file is for HS256 only"),
            Self::Keys => f.write_str(
                "public keys are needed for each algorithm but HS256, and for nothing else: set jwks_url or key_file",
            ),
            Self::Endpoint(error) => error.fmt(f),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::KeySet { path, error } => write!(f, "{}: {error}", path.display()),
            Self::ShortSecret(path) => {
                write!(f, "{}: the secret has less than {SECRET_BYTES_MIN} bytes", path.display())
            }
        }
    }
}

impl std::error::Error for TokensError {}
