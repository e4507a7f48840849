//! The compact form of a signed token (RFC 7515 section 7.1): three parts, taken apart and not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Algorithm, TokenError};

/// Bytes of the longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A token taken apart.
pub(super) struct Jws<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    /// What was signed.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    payload: &'t str,
}

/// What matters of the header. A key that the token brings along or points to (`jwk`, `jku`, `x5c`, `x5u`) is never
/// looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<Box<str>>,
    crit: Option<Value>,
}

impl<'t> Jws<'t> {
    pub(super) fn parse(token: &'t str) -> Result<Self, TokenError> {
        let (signed, signature) =
            token.rsplit_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX).ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        let algorithm = header.alg.parse().map_err(|()| TokenError::Algorithm)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let (signed, signature) = (signed.as_bytes(), decode(signature)?);
        Ok(Self { algorithm, key_id: header.kid, signed, signature, payload })
    }

    /// The claims. Only of use once the signature is found to be good.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, TokenError> {
        serde_json::from_slice(&decode(self.payload)?).map_err(|_| TokenError::Malformed)
    }
}

/// Whether a password is meant as a token: three parts in the alphabet of base64url, of which the first begins a JSON
/// object. That says nothing of its worth.
#[must_use]
pub fn looks_like_token(password: &[u8]) -> bool {
    let is_part = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    password.starts_with(b"eyJ")
        && password.len() <= TOKEN_BYTES_MAX
        && password.split(|byte| *byte == b'.').count() == 3
        && password.split(|byte| *byte == b'.').all(is_part)
}

/// Base64url without padding and without anything else.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)
}
