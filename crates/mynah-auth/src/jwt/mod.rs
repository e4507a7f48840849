//! JSON Web Tokens (RFC 7519), signed (RFC 7515), never encrypted: which are taken, and what they say of their bearer.
//! Nothing here asks anybody: keys and the time are arguments.

mod algorithm;
mod claims;
mod jwk;
mod jws;
mod key;
mod pem;
mod policy;

use std::fmt;

use mynah_model::Reason;

pub use algorithm::Algorithm;
pub use jwk::{KeySet, KeySetError};
pub use jws::{TOKEN_BYTES_MAX, looks_like_token};
pub use key::{SECRET_BYTES_MIN, Secret};
pub use policy::{LEEWAY_MAX, Policy};

/// Why a token is not taken. For the log: whoever showed it learns only that it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not a signed token in the compact form, or longer than [`TOKEN_BYTES_MAX`].
    Malformed,
    /// Its algorithm is none that is allowed.
    Algorithm,
    /// It demands something that is not understood here (RFC 7515 section 4.1.11).
    Critical,
    /// No key that is known can have signed it.
    UnknownKey,
    /// The signature is not that of the key.
    Signature,
    /// Its time is over, or it does not say when that will be.
    Expired,
    /// Its time has not yet come.
    NotYetValid,
    /// Another issuer's.
    Issuer,
    /// For another audience.
    Audience,
    /// It does not say who its bearer is, or something else that it has to say.
    Claim,
    /// It is not that of the user who showed it.
    User,
    /// The keys cannot be had at this moment.
    KeysUnavailable,
}

impl From<TokenError> for Reason {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::KeysUnavailable => Self::ServerBusy,
            _ => Self::BadCredentials,
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a signed token",
            Self::Algorithm => "signed by an algorithm that is not allowed",
            Self::Critical => "the token demands an extension that is not known",
            Self::UnknownKey => "signed by a key that is not known",
            Self::Signature => "the signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not yet valid",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::Claim => "a claim is missing or not usable",
            Self::User => "the token is not that of the user who showed it",
            Self::KeysUnavailable => "the keys of tokens cannot be had",
        })
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
pub(crate) mod minting;
#[cfg(test)]
mod tests;
