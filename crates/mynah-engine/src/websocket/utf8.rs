//! UTF-8 that arrives in pieces, refused at the first byte that cannot be part of it.

/// What is between two pieces: the beginning of a character whose rest has not come.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    begun: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes in a piece; false if the text is not UTF-8.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while let (1.., Some((&first, rest))) = (self.len, bytes.split_first()) {
            self.begun[self.len] = first;
            self.len += 1;
            bytes = rest;
            match core::str::from_utf8(&self.begun[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        let Err(error) = core::str::from_utf8(bytes) else { return true };
        let begun = &bytes[error.valid_up_to()..];
        if error.error_len().is_some() {
            return false;
        }
        self.begun[..begun.len()].copy_from_slice(begun);
        self.len = begun.len();
        true
    }

    /// Whether the text may end here.
    pub(super) const fn is_complete(&self) -> bool {
        self.len == 0
    }
}
