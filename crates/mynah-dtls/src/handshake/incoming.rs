//! Messages as they come in: in pieces, twice, and out of order (RFC 6347, section 4.2.3).

use std::ops::Range;

use crate::alert::Alert;
use crate::wire::message::{self, Fragment, HEADER_BYTES};

/// Messages that are kept before their turn has come.
const AHEAD_MAX: u16 = 6;
/// Gaps of one message.
const GAPS_MAX: usize = 8;

/// What has come and is not read yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The number of the message that is read next.
    next: u16,
    parts: Vec<Part>,
}

/// A message of which something has come.
#[derive(Debug)]
struct Part {
    sequence: u16,
    /// The message with its header, as if it had come in one piece.
    bytes: Vec<u8>,
    /// What is missing of its body.
    gaps: Vec<Range<usize>>,
}

impl Incoming {
    pub(crate) const fn from(next: u16) -> Self {
        Self { next, parts: Vec::new() }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.capacity() + size_of::<Part>()).sum()
    }

    /// Whether a message was read already.
    pub(crate) const fn is_old(&self, sequence: u16) -> bool {
        sequence < self.next
    }

    /// Takes a piece in; one that is not expected is left out. `room` is what may be kept in all.
    ///
    /// # Errors
    /// The next message has no room, or its pieces contradict one another.
    pub(crate) fn take_in(&mut self, fragment: &Fragment<'_>, room: usize) -> Result<(), Alert> {
        let sequence = fragment.sequence;
        if self.is_old(sequence) || sequence - self.next >= AHEAD_MAX {
            return Ok(());
        }
        let at = match self.parts.iter().position(|part| part.sequence == sequence) {
            Some(at) => at,
            None => {
                let bytes = HEADER_BYTES + fragment.length;
                if self.bytes() + bytes + size_of::<Part>() > room {
                    return if sequence == self.next { Err(Alert::HANDSHAKE_FAILURE) } else { Ok(()) };
                }
                self.parts.reserve_exact(1);
                self.parts.push(Part::new(fragment));
                self.parts.len() - 1
            }
        };
        self.parts[at].put(fragment)
    }

    /// The next message with its header, if all of it is there.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        let part = self.parts.iter().find(|part| part.sequence == self.next)?;
        part.gaps.is_empty().then_some(&*part.bytes)
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.peek()?;
        let at = self.parts.iter().position(|part| part.sequence == self.next)?;
        self.next += 1;
        Some(self.parts.swap_remove(at).bytes)
    }
}

impl Part {
    fn new(fragment: &Fragment<'_>) -> Self {
        let Fragment { kind, length, sequence, .. } = *fragment;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + length);
        message::put_header((kind, length, sequence), 0, length, &mut bytes);
        bytes.resize(HEADER_BYTES + length, 0);
        let whole = Some(0..length).filter(|gap| !gap.is_empty());
        let gaps = whole.into_iter().collect();
        Self { sequence, bytes, gaps }
    }

    fn put(&mut self, fragment: &Fragment<'_>) -> Result<(), Alert> {
        if fragment.kind != self.bytes[0] || HEADER_BYTES + fragment.length != self.bytes.len() {
            return Err(Alert::ILLEGAL_PARAMETER);
        }
        let (from, to) = (fragment.offset, fragment.offset + fragment.body.len());
        if from == to {
            return Ok(());
        }
        let mut left = Vec::new();
        for gap in self.gaps.drain(..) {
            let (start, end) = (gap.start.max(from), gap.end.min(to));
            if start >= end {
                left.push(gap);
                continue;
            }
            // What has come is not written over.
            self.bytes[HEADER_BYTES + start..HEADER_BYTES + end]
                .copy_from_slice(&fragment.body[start - from..end - from]);
            left.extend([gap.start..start, end..gap.end].into_iter().filter(|gap| !gap.is_empty()));
        }
        self.gaps = left;
        if self.gaps.len() > GAPS_MAX { Err(Alert::ILLEGAL_PARAMETER) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sequence: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, length, sequence, offset, body }
    }

    // RFC 6347, section 4.2.3.
    #[test]
    fn pieces_come_in_any_order_and_overlap() {
        let mut incoming = Incoming::from(1);
        let mut put = |sequence, offset, body| incoming.take_in(&piece(sequence, 6, offset, body), 4_096);
        assert_eq!(put(2, 0, b"second"), Ok(()));
        assert_eq!(put(1, 4, b"st"), Ok(()));
        assert_eq!(put(1, 0, b"fi"), Ok(()));
        assert_eq!(put(1, 1, b"XrXX"), Ok(()));
        assert_eq!(put(0, 0, b"before"), Ok(()));
        assert_eq!(put(1, 0, b"firstX"), Ok(()));
        let first = incoming.pop().unwrap();
        assert_eq!(&first[..HEADER_BYTES], [11, 0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 6]);
        assert_eq!(&first[HEADER_BYTES..], b"firXst");
        assert_eq!(&incoming.pop().unwrap()[HEADER_BYTES..], b"second");
        assert_eq!(incoming.pop(), None);
    }

    #[test]
    fn what_has_no_room_or_contradicts_itself_is_refused() {
        let mut incoming = Incoming::from(0);
        assert_eq!(incoming.take_in(&piece(0, 4_000, 0, b"x"), 1_000), Err(Alert::HANDSHAKE_FAILURE));
        assert_eq!(incoming.take_in(&piece(1, 4_000, 0, b"x"), 1_000), Ok(()), "left out");
        assert_eq!(incoming.take_in(&piece(200, 8, 0, b"x"), 1_000), Ok(()), "left out");
        assert_eq!(incoming.bytes(), 0);
        assert_eq!(incoming.take_in(&piece(0, 100, 0, b"x"), 1_000), Ok(()));
        assert_eq!(incoming.take_in(&piece(0, 101, 0, b"x"), 1_000), Err(Alert::ILLEGAL_PARAMETER));
        let last = (1..12).map(|at| incoming.take_in(&piece(0, 100, at * 4, b"x"), 1_000)).last();
        assert_eq!(last, Some(Err(Alert::ILLEGAL_PARAMETER)), "too many gaps");
    }
}
