//! Where encoded bytes go: a vector, or a head of bounded size on the stack.

use alloc::vec::Vec;

/// Takes bytes one piece after another.
pub trait Sink {
    /// Appends a piece.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The options of a message that is being written, without an allocation. What does not fit is not written, and
/// [`Head::is_full`] says so.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
    is_full: bool,
}

impl Head {
    /// Bytes that fit.
    pub const BYTES_MAX: usize = 384;

    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0, is_full: false }
    }

    /// What was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether something did not fit.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Head {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_full = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let mut head = Head::new();
        head.put(&[1; Head::BYTES_MAX - 1]);
        head.put(&[2, 3]);
        assert!(head.is_full());
        head.put(&[4]);
        assert_eq!(head.as_slice().len(), Head::BYTES_MAX);
        assert_eq!(head.as_slice().last(), Some(&4));
    }
}
