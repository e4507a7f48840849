//! Tokens that are kept (RFC 7252, section 5.3.1; extended lengths: RFC 8974).

use alloc::boxed::Box;
use core::fmt;

/// Bytes of the longest token that can be spelled (RFC 8974, section 2.1).
pub const TOKEN_BYTES_MAX: usize = 65_804;

/// Bytes of a token that needs no memory of its own.
const INLINE_BYTES: usize = 8;

/// A token that outlives its message: up to eight bytes in place, longer ones in memory of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Short(u8, [u8; INLINE_BYTES]),
    Long(Box<[u8]>),
}

impl Token {
    /// The empty token.
    pub const EMPTY: Self = Self(Form::Short(0, [0; INLINE_BYTES]));

    /// A copy of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut short = [0; INLINE_BYTES];
        match short.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                // At most eight, as there was room.
                Self(Form::Short(bytes.len() as u8, short))
            }
            None => Self(Form::Long(bytes.into())),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Short(len, bytes) => &bytes[..usize::from(*len)],
            Form::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_any_length_come_back() {
        for len in [0, 1, 8, 9, 300] {
            let bytes = &[7; 300][..len];
            assert_eq!(Token::new(bytes).as_bytes(), bytes);
        }
        assert_eq!(Token::new(b""), Token::EMPTY);
        assert_ne!(Token::new(&[0]), Token::EMPTY);
    }
}
