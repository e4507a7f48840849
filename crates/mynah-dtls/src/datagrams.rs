//! Datagrams one behind the other, each with its length before it.

/// Bytes of the length before each datagram, big-endian.
const LENGTH_BYTES: usize = 2;

/// Datagrams in the order in which they are to be sent, or were opened: each with its length before it, two bytes,
/// big-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    bytes: Vec<u8>,
    /// Where the length of the last one stands.
    last: usize,
}

impl Datagrams {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of them, with their lengths.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets them; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.last = 0;
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let (datagram, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = behind;
            Some(datagram)
        })
    }

    /// Adds one that `write` appends; none if that is nothing.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.last = self.bytes.len();
        self.bytes.extend([0; LENGTH_BYTES]);
        write(&mut self.bytes);
        if self.bytes.len() == self.last + LENGTH_BYTES {
            self.bytes.truncate(self.last);
            return;
        }
        self.note_length();
    }

    /// Adds bytes to the last one if it stays within `max`, else one of its own.
    pub(crate) fn append(&mut self, piece: &[u8], max: usize) {
        let length = self.bytes.len().saturating_sub(self.last + LENGTH_BYTES);
        if self.bytes.is_empty() || length + piece.len() > max {
            return self.add(|bytes| bytes.extend_from_slice(piece));
        }
        self.bytes.extend_from_slice(piece);
        self.note_length();
    }

    /// What is added from here on begins a datagram of its own.
    pub(crate) fn finish(&mut self) {
        self.last = self.bytes.len();
    }

    fn note_length(&mut self) {
        let length = self.bytes.len() - self.last - LENGTH_BYTES;
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        self.bytes[self.last..self.last + LENGTH_BYTES].copy_from_slice(&length);
    }
}
