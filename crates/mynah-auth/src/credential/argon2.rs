//! Password hashes of our own: argon2id in the PHC string format, which serve peers that send the password itself.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// Bytes of the longest password that is taken; MQTT cannot carry a longer one.
pub const PASSWORD_BYTES_MAX: usize = 65_535;

/// A password as it is kept: salted, hashed, and impossible to turn back.
#[derive(Clone)]
pub struct HashedPassword(Box<PasswordHash>);

impl HashedPassword {
    /// Hashes `password` with a fresh salt, at the cost that OWASP recommends for argon2id (19 MiB, two passes).
    ///
    /// # Errors
    /// The password is empty or too long, or the operating system has no randomness to give.
    pub fn new(password: &[u8]) -> Result<Self, HashError> {
        Self::with_cost(password, Params::default())
    }

    /// Hashes at a chosen cost; a cheap one keeps tests quick.
    pub(crate) fn with_cost(password: &[u8], cost: Params) -> Result<Self, HashError> {
        if password.is_empty() {
            return Err(HashError::Empty);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(HashError::TooLong);
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost);
        argon2.hash_password(password).map(|hash| Self(Box::new(hash))).map_err(|_| HashError::NoRandomness)
    }

    /// Reads a PHC string, such as `$argon2id$v=19$m=19456,t=2,p=1$…`.
    ///
    /// # Errors
    /// The string is not in the format, is of another function than argon2, or lacks the salt or the hash.
    pub fn parse(text: &str) -> Result<Self, PhcError> {
        let hash = PasswordHash::new(text).map_err(|_| PhcError::Malformed)?;
        Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| PhcError::OtherFunction)?;
        Params::try_from(&hash).map_err(|_| PhcError::Malformed)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(PhcError::Incomplete);
        }
        Ok(Self(Box::new(hash)))
    }

    /// Whether `password` is the one that was hashed. Costs what the hash says, tens of milliseconds by default.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        password.len() <= PASSWORD_BYTES_MAX && Argon2::default().verify_password(password, &*self.0).is_ok()
    }
}

impl fmt::Display for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HashedPassword {
    /// Says only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedPassword")
    }
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashError {
    /// An empty password protects nothing.
    Empty,
    /// The password is longer than [`PASSWORD_BYTES_MAX`].
    TooLong,
    /// The operating system gave no randomness for the salt.
    NoRandomness,
    /// A verifier of SCRAM has to have at least [`super::ITERATIONS_MIN`] iterations, and not absurdly many.
    Iterations,
    /// The password has characters that SASLprep (RFC 4013) forbids.
    Unpreparable,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the password is empty; choose one with at least one character",
            Self::TooLong => "the password is longer than 65535 bytes; choose a shorter one",
            Self::NoRandomness => "the operating system gave no randomness for the salt; try again",
            Self::Iterations => "a verifier of SCRAM has 100000 to 10000000 iterations",
            Self::Unpreparable => {
                "the password has a character that no protocol may carry, such as a control character"
            }
        })
    }
}

impl std::error::Error for HashError {}

/// Why a string is not a password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhcError {
    /// Not the PHC string format.
    Malformed,
    /// A hash of another function than argon2.
    OtherFunction,
    /// The salt or the hash is missing.
    Incomplete,
}

impl fmt::Display for PhcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is not a password hash in the PHC string format",
            Self::OtherFunction => "this password hash is not of argon2",
            Self::Incomplete => "this password hash lacks its salt or its value",
        })
    }
}

impl std::error::Error for PhcError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Params {
        Params::new(Params::MIN_M_COST, 1, 1, None).unwrap()
    }

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let hash = HashedPassword::with_cost(b"open sesame", cheap()).unwrap();
        assert!(hash.matches(b"open sesame"));
        assert!(!hash.matches(b"open sesam"));
        assert!(!hash.matches(b""));
        assert!(!hash.matches(&vec![b'x'; PASSWORD_BYTES_MAX + 1]));
    }

    #[test]
    fn a_hash_survives_its_text_and_two_hashes_differ() {
        let hash = HashedPassword::with_cost(b"open sesame", cheap()).unwrap();
        let again = HashedPassword::with_cost(b"open sesame", cheap()).unwrap();
        assert_ne!(hash.to_string(), again.to_string());
        assert!(HashedPassword::parse(&hash.to_string()).unwrap().matches(b"open sesame"));
    }

    #[test]
    fn the_default_cost_is_argon2id_with_19_mebibytes_and_two_passes() {
        let text = HashedPassword::new(b"x").unwrap().to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    }

    #[test]
    fn what_cannot_be_a_hash_or_a_password_says_why() {
        let parse = |text| HashedPassword::parse(text).map(drop);
        assert_eq!(parse("secret"), Err(PhcError::Malformed));
        assert_eq!(parse("$pbkdf2-sha256$i=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"), Err(PhcError::OtherFunction));
        assert_eq!(parse("$argon2id$v=19$m=19456,t=2,p=1"), Err(PhcError::Incomplete));
        assert_eq!(
            parse("$argon2id$v=19$m=0,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"),
            Err(PhcError::Malformed)
        );
        assert_eq!(HashedPassword::new(b"").map(drop), Err(HashError::Empty));
        let long = vec![b'x'; PASSWORD_BYTES_MAX + 1];
        assert_eq!(HashedPassword::new(&long).map(drop), Err(HashError::TooLong));
    }
}
