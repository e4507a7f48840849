//! Sets of keys as issuers publish them (RFC 7517), or as one PEM file has them.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::jws::decode;
use super::key::PublicKey;
use super::{Algorithm, TokenError, pem};

/// Keys of the largest set that is taken; those beyond are left out.
const KEYS_MAX: usize = 64;

/// Keys that are tried at most for one token, which names none.
const TRIES_MAX: usize = 8;

/// The public keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<NamedKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedKey {
    id: Option<Box<str>>,
    /// The only algorithm that it is for, if that was said.
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

/// A key as it is written.
#[derive(Deserialize)]
struct Jwk {
    kty: Box<str>,
    kid: Option<Box<str>>,
    alg: Option<Box<str>>,
    #[serde(rename = "use")]
    purpose: Option<Box<str>>,
    key_ops: Option<Vec<Box<str>>>,
    crv: Option<Box<str>>,
    n: Option<Box<str>>,
    e: Option<Box<str>>,
    x: Option<Box<str>>,
    y: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK Set. Keys of other kinds or for other purposes are left out, as RFC 7517 section 5 wants it; secrets
    /// too, which nobody publishes.
    ///
    /// # Errors
    /// The text is no such set, or holds no key that can verify.
    pub fn from_jwks(text: &[u8]) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
        let named = |value| NamedKey::new(serde_json::from_value(value).ok()?);
        Self::of(document.keys.into_iter().filter_map(named).take(KEYS_MAX).collect())
    }

    /// Reads public keys in PEM (`PUBLIC KEY`). They have no names: a token may say any.
    ///
    /// # Errors
    /// The text has no such key, or one that cannot verify.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeySetError> {
        let unnamed = |key| NamedKey { id: None, algorithm: None, key };
        Self::of(pem::public_keys(text)?.into_iter().map(unnamed).take(KEYS_MAX).collect())
    }

    /// Reads a file of either kind.
    ///
    /// # Errors
    /// As those of [`KeySet::from_jwks`] and [`KeySet::from_pem`].
    pub fn from_file(text: &[u8]) -> Result<Self, KeySetError> {
        if text.trim_ascii_start().starts_with(b"{") { Self::from_jwks(text) } else { Self::from_pem(text) }
    }

    fn of(keys: Vec<NamedKey>) -> Result<Self, KeySetError> {
        if keys.is_empty() { Err(KeySetError::NoKey) } else { Ok(Self { keys }) }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key, so that no token is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of the keys that may have signed did so.
    pub(super) fn verify(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let may_have = |named: &&NamedKey| {
            let is_named = key_id.is_none() || named.id.is_none() || named.id.as_deref() == key_id;
            is_named && named.algorithm.is_none_or(|only| only == algorithm) && named.key.fits(algorithm)
        };
        let mut candidates = self.keys.iter().filter(may_have).take(TRIES_MAX).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let verifies = candidates.any(|named| named.key.verifies(algorithm, signed, signature));
        if verifies { Ok(()) } else { Err(TokenError::Signature) }
    }
}

impl NamedKey {
    /// None if this is no key that verifies signatures.
    fn new(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| &**one == "verify"));
        if !is_for_signatures {
            return None;
        }
        let bytes = |text: &Option<Box<str>>| decode(text.as_deref()?).ok();
        let key = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("RSA", _) => PublicKey::rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?)?,
            ("EC", Some(curve)) => {
                let key = PublicKey::point(&bytes(&jwk.x)?, &bytes(&jwk.y)?)?;
                let is_of_curve =
                    matches!((&key, curve), (PublicKey::P256(_), "P-256") | (PublicKey::P384(_), "P-384"));
                is_of_curve.then_some(key)?
            }
            ("OKP", Some("Ed25519")) => {
                PublicKey::Ed25519(bytes(&jwk.x).filter(|point| point.len() == 32)?.into())
            }
            _ => return None,
        };
        let algorithm = match jwk.alg.as_deref() {
            Some(name) => Some(name.parse().ok().filter(|algorithm| key.fits(*algorithm))?),
            None => None,
        };
        Some(Self { id: jwk.kid, algorithm, key })
    }
}

/// Why a set of keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// Neither a JWK Set nor PEM.
    Malformed,
    /// A private key: what verifies has no business with it.
    Private,
    /// There is no key in it that can verify a signature.
    NoKey,
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is neither a JWK Set nor public keys in PEM",
            Self::Private => "there is a private key in it; keep that with the issuer and put the public key here",
            Self::NoKey => {
                "there is no key in it that verifies signatures (RSA of 2048 bits or more, P-256, P-384, Ed25519)"
            }
        })
    }
}

impl std::error::Error for KeySetError {}
