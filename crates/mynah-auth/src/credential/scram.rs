//! What a server keeps of a password for SCRAM (RFC 5802, section 3): salt, iterations, StoredKey, ServerKey. With them
//! it recognises who knows the password, and cannot pretend to know it itself.

use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

use super::{HashError, equal, from_base64, random, to_base64};

/// Iterations of a verifier that is made here. PBKDF2 with SHA-256 takes as long then as argon2id at its default cost.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(120_000).unwrap();
/// Iterations below which no verifier is made.
pub const ITERATIONS_MIN: u32 = 100_000;
/// Iterations above which a verifier is not taken: a login would hold a thread for seconds.
pub(crate) const ITERATIONS_MAX: u32 = 10_000_000;
/// Bytes of a salt that is made here.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes of the longest hash.
pub(crate) const HASH_BYTES_MAX: usize = 32;

/// The hash function of a mechanism of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SHA-1 (RFC 5802), for clients that know nothing else.
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
}

impl ScramHash {
    /// The name of the mechanism without channel binding, which also begins a verifier in a file (RFC 5803).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// The name of the mechanism with channel binding.
    #[must_use]
    pub const fn plus_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1-PLUS",
            Self::Sha256 => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Bytes of a hash.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// `H(str)`
    pub(crate) fn h(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, bytes)
    }

    /// `HMAC(key, str)`
    pub(crate) fn hmac(self, key: &[u8], bytes: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), bytes)
    }

    /// `SaltedPassword`, in the first bytes of the result. Takes tens of milliseconds by default.
    pub(crate) fn salted_password(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> ([u8; HASH_BYTES_MAX], usize) {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = [0; HASH_BYTES_MAX];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted[..self.bytes()]);
        (salted, self.bytes())
    }
}

/// A password as SCRAM keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub(crate) hash: ScramHash,
    pub(crate) iterations: NonZeroU32,
    pub(crate) salt: Box<[u8]>,
    stored_key: Box<[u8]>,
    server_key: Box<[u8]>,
}

impl ScramVerifier {
    /// Makes a verifier with a fresh salt.
    ///
    /// # Errors
    /// The password is empty, there are fewer than [`ITERATIONS_MIN`] iterations, or the operating system has no
    /// randomness to give.
    pub fn new(hash: ScramHash, password: &[u8], iterations: NonZeroU32) -> Result<Self, HashError> {
        if password.is_empty() {
            return Err(HashError::Empty);
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get()) {
            return Err(HashError::Iterations);
        }
        Ok(Self::derive(hash, password, &random::<SALT_BYTES>()?, iterations))
    }

    /// The verifier that follows from a salt.
    pub(crate) fn derive(hash: ScramHash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let (salted, len) = hash.salted_password(password, salt, iterations);
        let client_key = hash.hmac(&salted[..len], b"Client Key");
        Self {
            hash,
            iterations,
            salt: salt.into(),
            stored_key: hash.h(client_key.as_ref()).as_ref().into(),
            server_key: hash.hmac(&salted[..len], b"Server Key").as_ref().into(),
        }
    }

    /// A verifier that nobody's password fits, for a user who does not exist.
    pub(crate) fn unprovable(
        hash: ScramHash,
        salt: &[u8],
        iterations: NonZeroU32,
        keys: &[u8; HASH_BYTES_MAX],
    ) -> Self {
        let keys: Box<[u8]> = keys[..hash.bytes()].into();
        Self { hash, iterations, salt: salt.into(), stored_key: keys.clone(), server_key: keys }
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803; PostgreSQL keeps its passwords so too).
    /// None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('$')?;
        let hash = [ScramHash::Sha1, ScramHash::Sha256].into_iter().find(|hash| hash.name() == name)?;
        let (info, value) = rest.split_once('$')?;
        let ((iterations, salt), (stored_key, server_key)) = (info.split_once(':')?, value.split_once(':')?);
        let iterations: NonZeroU32 = iterations.parse().ok()?;
        let key = |text| from_base64(text).filter(|key| key.len() == hash.bytes());
        Some(Self {
            hash,
            iterations: Some(iterations).filter(|count| count.get() <= ITERATIONS_MAX)?,
            salt: from_base64(salt).filter(|salt| !salt.is_empty())?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Whether `password` is the one that the verifier was made of. Costs what the iterations cost.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        let derived = Self::derive(self.hash, password, &self.salt, self.iterations);
        equal(&derived.stored_key, &self.stored_key)
    }

    /// Whether a `ClientProof` shows that the peer knows the password.
    pub(crate) fn is_proved(&self, proof: &[u8], auth_message: &[u8]) -> bool {
        if proof.len() != self.hash.bytes() {
            return false;
        }
        let signature = self.hash.hmac(&self.stored_key, auth_message);
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        equal(self.hash.h(&client_key).as_ref(), &self.stored_key)
    }

    /// The `ServerSignature`, by which the server shows that it knows the user.
    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> hmac::Tag {
        self.hash.hmac(&self.server_key, auth_message)
    }
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, salt) = (self.hash.name(), to_base64(&self.salt));
        let (stored_key, server_key) = (to_base64(&self.stored_key), to_base64(&self.server_key));
        write!(f, "{name}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl fmt::Debug for ScramVerifier {
    /// Says only of which kind it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("hash", &self.hash).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_and_survives_its_text() {
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let iterations = NonZeroU32::new(ITERATIONS_MIN).unwrap();
            let text = ScramVerifier::new(hash, b"pencil", iterations).unwrap().to_string();
            assert!(text.starts_with(&format!("{}$100000:", hash.name())), "{text}");
            let read = ScramVerifier::parse(&text).unwrap();
            assert!(read.matches(b"pencil") && !read.matches(b"pencils"));
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn a_verifier_that_is_too_weak_is_not_made() {
        let made = |password: &[u8], count| {
            ScramVerifier::new(ScramHash::Sha256, password, NonZeroU32::new(count).unwrap())
        };
        assert_eq!(made(b"x", ITERATIONS_MIN - 1), Err(HashError::Iterations));
        assert_eq!(made(b"x", ITERATIONS_MAX + 1), Err(HashError::Iterations));
        assert_eq!(made(b"", ITERATIONS_MIN), Err(HashError::Empty));
        assert!(ITERATIONS.get() >= ITERATIONS_MIN);
    }

    #[test]
    fn what_is_no_verifier_is_refused() {
        let good = ScramVerifier::derive(ScramHash::Sha256, b"x", b"salt", ITERATIONS.min(NonZeroU32::MIN))
            .to_string();
        assert!(ScramVerifier::parse(&good).is_some());
        let changed = [
            good.replace("SHA-256", "SHA-512"),
            good.replace("$1:", "$0:"),
            good.replace("$1:", "$10000001:"),
            good.replace("c2FsdA==", ""),
            good.replace("=:", ":"),
            good[..good.len() - 1].to_owned(),
            String::new(),
        ];
        for text in changed {
            assert_eq!(ScramVerifier::parse(&text), None, "{text}");
        }
    }
}
