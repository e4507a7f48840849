//! Pre-shared keys: the one kind of secret that both ends have to keep as it is.

use std::fmt;

use super::{HashError, from_hex, random, to_hex};

/// Bytes of a key that is made at random.
const BYTES: usize = 32;

/// A key that a device and the broker share (RFC 4279), 16 to 64 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey(Box<[u8]>);

impl PreSharedKey {
    /// A key that nobody can guess.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn random() -> Result<Self, HashError> {
        random::<BYTES>().map(|bytes| Self(bytes.into()))
    }

    /// Reads hexadecimal digits. None if they are not a key, or one that is too short or too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).filter(|bytes| (16..=64).contains(&bytes.len())).map(Self)
    }

    /// The key itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key in hexadecimal digits, for the file and for who sets the device up.
    #[must_use]
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }
}

impl fmt::Debug for PreSharedKey {
    /// Says only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_at_least_sixteen_bytes_and_is_not_shown() {
        let key = PreSharedKey::random().unwrap();
        assert_eq!(PreSharedKey::parse(&key.to_hex()), Some(key.clone()));
        assert_eq!(format!("{key:?}"), "PreSharedKey");
        assert_eq!(PreSharedKey::parse(&"ab".repeat(16)).unwrap().as_bytes(), [0xAB; 16]);
        for text in
            ["", "ab", &"ab".repeat(15), &"ab".repeat(65), &"x".repeat(32), &format!("{}a", "ab".repeat(16))]
        {
            assert_eq!(PreSharedKey::parse(text), None, "{text}");
        }
    }
}
