//! Datagrams one behind the other, each with its length before it.

/// Bytes of the length before each datagram, big-endian.
const LENGTH_BYTES: usize = 2;

/// Datagrams in the order in which they are to be sent, or were opened: each with its length before it, two bytes,
/// big-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    bytes: Vec<u8>,
    /// Where the length of the last one stands, if something may be added to that.
    last: Option<usize>,
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
        self.last = None;
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
        let start = self.bytes.len();
        self.bytes.extend([0; LENGTH_BYTES]);
        write(&mut self.bytes);
        if self.bytes.len() == start + LENGTH_BYTES {
            self.bytes.truncate(start);
            return;
        }
        self.last = Some(start);
        self.note_length(start);
    }

    /// Adds bytes to the last one if it stays within `max`, else one of its own.
    pub(crate) fn append(&mut self, piece: &[u8], max: usize) {
        let last = self.last.filter(|start| self.bytes.len() - start - LENGTH_BYTES + piece.len() <= max);
        let Some(start) = last else { return self.add(|bytes| bytes.extend_from_slice(piece)) };
        self.bytes.extend_from_slice(piece);
        self.note_length(start);
    }

    /// What is added from here on begins a datagram of its own.
    pub(crate) fn finish(&mut self) {
        self.last = None;
    }

    fn note_length(&mut self, start: usize) {
        let length = self.bytes.len() - start - LENGTH_BYTES;
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_share_a_datagram_until_it_is_full_or_finished() {
        let mut datagrams = Datagrams::default();
        datagrams.append(b"ab", 4);
        datagrams.append(b"cd", 4);
        datagrams.append(b"e", 4);
        datagrams.finish();
        datagrams.append(b"f", 4);
        datagrams.add(|_| ());
        datagrams.add(|bytes| bytes.push(b'g'));
        let all: Vec<_> = datagrams.iter().collect();
        assert_eq!(all, [&b"abcd"[..], b"e", b"f", b"g"]);
        assert_eq!(datagrams.bytes()[..6], *b"\0\x04abcd");
        datagrams.clear();
        assert!(datagrams.is_empty() && datagrams.iter().next().is_none());
    }
}
