//! Tokens with the keys that verify them: of an issuer's URL or a file, and a secret of a file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mynah_model::{TenantId, WallTime};

use super::jwks::{Jwks, JwksSettings};
use super::{Endpoint, EndpointError};
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

impl TokensSettings {
    /// Whether tokens can be verified like this. Asks nobody.
    ///
    /// # Errors
    /// What of the settings cannot be used, and why.
    pub fn check(&self) -> Result<(), TokensError> {
        let algorithms = &self.policy.algorithms;
        if algorithms.contains(&Algorithm::Hs256) != self.secret_file.is_some() {
            return Err(TokensError::Secret);
        }
        if algorithms.iter().any(|algorithm| *algorithm != Algorithm::Hs256) != self.keys.is_some() {
            return Err(TokensError::Keys);
        }
        if let Some(KeysFrom::Url(jwks)) = &self.keys {
            Endpoint::http(&jwks.endpoint).map_err(TokensError::Endpoint)?;
        }
        let key_file = match &self.keys {
            Some(KeysFrom::File(path)) => Some(path.as_path()),
            Some(KeysFrom::Url(_)) | None => None,
        };
        Files::read(key_file, self.secret_file.as_deref()).map(drop)
    }
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

impl Files {
    fn read(key_file: Option<&Path>, secret_file: Option<&Path>) -> Result<Self, TokensError> {
        let mut files = Self::default();
        if let Some(path) = key_file {
            let wrong = |error| TokensError::KeySet { path: path.to_owned(), error };
            files.keys = Arc::new(KeySet::from_file(&read(path)?).map_err(wrong)?);
        }
        if let Some(path) = secret_file {
            let text = read(path)?;
            let line = text.strip_suffix(b"\n").unwrap_or(&text);
            let secret = Secret::new(line.strip_suffix(b"\r").unwrap_or(line));
            files.secret = Some(Arc::new(secret.ok_or_else(|| TokensError::ShortSecret(path.to_owned()))?));
        }
        Ok(files)
    }
}

impl Tokens {
    /// Reads the files, or begins to fetch the keys. Called inside a runtime.
    ///
    /// # Errors
    /// What of the settings cannot be used, and why.
    pub fn start(settings: TokensSettings) -> Result<Self, TokensError> {
        settings.check()?;
        let TokensSettings { policy, keys, secret_file } = settings;
        let source = match keys {
            None => Source::None,
            Some(KeysFrom::File(path)) => Source::File(path),
            Some(KeysFrom::Url(jwks)) => Source::Url(Jwks::start(jwks).map_err(TokensError::Endpoint)?),
        };
        let tokens = Self { policy, source, secret_file, files: Mutex::default() };
        tokens.reload()?;
        Ok(tokens)
    }

    /// Whether tokens say which tenant their bearer is of.
    #[must_use]
    pub const fn name_tenants(&self) -> bool {
        self.policy.tenant_claim.is_some()
    }

    /// Reads the files again. If something is wrong with one, all stays as it was.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), TokensError> {
        let key_file = match &self.source {
            Source::File(path) => Some(path.as_path()),
            Source::None | Source::Url(_) => None,
        };
        let files = Files::read(key_file, self.secret_file.as_deref())?;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
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
        let known = jwks.keys();
        // Without keys too, what no key could help is refused at once; and HS256 needs none.
        match judge(known.as_deref().unwrap_or(&keys)) {
            Err(TokenError::UnknownKey) => {}
            judged => return judged,
        }
        if !jwks.fetched_again().await {
            return Err(if known.is_some() { TokenError::UnknownKey } else { TokenError::KeysUnavailable });
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
