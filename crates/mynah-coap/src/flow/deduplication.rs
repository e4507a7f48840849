//! Messages that come twice are worked on once (RFC 7252, section 4.5): what is remembered of the latest of a peer, and
//! the answers to those that are confirmable.

use alloc::collections::VecDeque;
use core::time::Duration;

use mynah_model::Instant;

use crate::wire::{MessageId, Sink};

/// What is known of a message that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is new, and is remembered from now on.
    First,
    /// It came before, and its answer is not there: it is not made yet, was forgotten, or there is none.
    Unanswered,
    /// It came before, and [`Deduplication::answer`] has what was said.
    Answered,
}

/// The messages of one peer that are remembered, and answers in one ring of bytes: nothing is allocated for a message
/// once both have their size.
#[derive(Debug, Default)]
pub(crate) struct Deduplication {
    /// In the order in which they came.
    entries: VecDeque<Entry>,
    /// The numbers of the entries, in their order: nearly every message is new, and this is what tells.
    ids: VecDeque<u16>,
    /// The number of the first entry, counted from the first that ever was.
    first: u32,
    /// Records of answers: number of the entry, length, bytes.
    ring: VecDeque<u8>,
    /// Where in all that ever was in the ring its first byte was.
    ring_start: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    until: Instant,
    id: MessageId,
    /// Where the answer begins, and its length; the length is zero if there is none.
    answer: (u64, u16),
}

const RECORD_HEAD_BYTES: usize = 6;

impl Deduplication {
    /// Looks for a message, and remembers it for `lifetime` if it is new. At most `messages_max` are remembered; returns
    /// beside how many had to be forgotten before their time.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        id: MessageId,
        lifetime: Duration,
        messages_max: usize,
    ) -> (Seen, usize) {
        while self.entries.front().is_some_and(|entry| entry.until <= now) {
            self.drop_first();
        }
        let (first, second) = self.ids.as_slices();
        if (first.contains(&id.0) || second.contains(&id.0))
            && let Some(entry) = self.entries.iter().rev().find(|entry| entry.id == id && entry.until > now)
        {
            return (if self.holds(entry) { Seen::Answered } else { Seen::Unanswered }, 0);
        }
        let mut forgotten = 0;
        while self.entries.len() >= messages_max {
            self.drop_first();
            forgotten += 1;
        }
        if self.entries.capacity() == 0 {
            // Many observers never say more.
            self.entries.reserve_exact(1);
            self.ids.reserve_exact(1);
        }
        self.ids.push_back(id.0);
        self.entries.push_back(Entry { until: now + lifetime, id, answer: (0, 0) });
        (Seen::First, forgotten)
    }

    /// Keeps the answer to a message: the bytes that `write` writes, of which there are `len`. Older answers are forgotten
    /// when all are more than `bytes_max`; returns how many were before their time.
    pub(crate) fn keep(
        &mut self,
        id: MessageId,
        len: usize,
        bytes_max: usize,
        write: impl FnOnce(&mut Self),
    ) -> usize {
        let Some(at) = self.entries.iter().rposition(|entry| entry.id == id) else { return 0 };
        let Ok(short) = u16::try_from(len) else { return 1 };
        if len + RECORD_HEAD_BYTES > bytes_max {
            return 1;
        }
        let mut forgotten = 0;
        while self.ring.len() + len + RECORD_HEAD_BYTES > bytes_max {
            forgotten += usize::from(self.drop_record());
        }
        // Never more than 4,096 apart.
        let number = self.first.wrapping_add(at as u32);
        self.ring.extend(number.to_be_bytes());
        self.ring.extend(short.to_be_bytes());
        let start = self.ring_start + self.ring.len() as u64;
        self.entries[at].answer = (start, short);
        write(self);
        debug_assert_eq!(self.ring_start + self.ring.len() as u64, start + len as u64);
        forgotten
    }

    /// The answer to a message, in two parts.
    pub(crate) fn answer(&self, id: MessageId) -> Option<(&[u8], &[u8])> {
        let entry =
            self.entries.iter().rev().find(|entry| entry.id == id).filter(|entry| self.holds(entry))?;
        let (start, len) = entry.answer;
        // The ring is smaller than a `usize` can count.
        let from = (start - self.ring_start) as usize;
        let to = from + usize::from(len);
        let (first, second) = self.ring.as_slices();
        Some(match from.checked_sub(first.len()) {
            Some(from) => (&second[from..to - first.len()], &[]),
            None => (&first[from..to.min(first.len())], &second[..to.saturating_sub(first.len())]),
        })
    }

    fn holds(&self, entry: &Entry) -> bool {
        entry.answer.1 > 0 && entry.answer.0 >= self.ring_start
    }

    fn drop_first(&mut self) {
        self.entries.pop_front();
        self.ids.pop_front();
        self.first = self.first.wrapping_add(1);
        // Records whose entries are gone go too, unless one before them is still wanted.
        while self.record().is_some_and(|(number, _)| number.wrapping_sub(self.first) >> 31 == 1) {
            self.drop_record();
        }
    }

    /// The first record: the number of its entry, and the length of the answer.
    fn record(&self) -> Option<(u32, u16)> {
        if self.ring.is_empty() {
            return None;
        }
        let byte = |at: usize| self.ring.get(at).copied().unwrap_or_default();
        let number = u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)]);
        Some((number, u16::from_be_bytes([byte(4), byte(5)])))
    }

    /// Drops the first record. Returns whether its entry is still there.
    fn drop_record(&mut self) -> bool {
        let Some((number, len)) = self.record() else { return false };
        let bytes = RECORD_HEAD_BYTES + usize::from(len);
        self.ring.drain(..bytes.min(self.ring.len()));
        self.ring_start += bytes as u64;
        (number.wrapping_sub(self.first) as usize) < self.entries.len()
    }
}

impl Sink for Deduplication {
    fn put(&mut self, bytes: &[u8]) {
        self.ring.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIFETIME: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn answer(dedup: &Deduplication, id: u16) -> Option<Vec<u8>> {
        dedup.answer(MessageId(id)).map(|(a, b)| [a, b].concat())
    }

    fn keep(dedup: &mut Deduplication, id: u16, bytes: &[u8], bytes_max: usize) -> usize {
        dedup.keep(MessageId(id), bytes.len(), bytes_max, |sink| sink.put(bytes))
    }

    //= rfc7252 [4.5-1] [4.5-2]
    #[test]
    fn a_message_is_new_once_in_its_lifetime() {
        let mut dedup = Deduplication::default();
        assert_eq!(dedup.note(at(0), MessageId(7), LIFETIME, 4).0, Seen::First);
        assert_eq!(dedup.note(at(1), MessageId(7), LIFETIME, 4).0, Seen::Unanswered);
        keep(&mut dedup, 7, b"said", 100);
        assert_eq!(dedup.note(at(9), MessageId(7), LIFETIME, 4).0, Seen::Answered);
        assert_eq!(answer(&dedup, 7), Some(b"said".to_vec()));
        assert_eq!(dedup.note(at(10), MessageId(7), LIFETIME, 4).0, Seen::First);
        assert_eq!(answer(&dedup, 7), None);
        assert!(dedup.ring.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_is_counted() {
        let mut dedup = Deduplication::default();
        for id in 0..6 {
            assert_eq!(dedup.note(at(0), MessageId(id), LIFETIME, 4), (Seen::First, usize::from(id >= 4)));
            assert_eq!(keep(&mut dedup, id, &[1; 10], 40), usize::from(id >= 2));
        }
        assert!(dedup.entries.len() == 4 && dedup.ring.len() <= 40);
        assert_eq!(keep(&mut dedup, 5, &[1; 35], 40), 1);
        assert_eq!(keep(&mut dedup, 99, b"x", 40), 0);
    }

    proptest! {
        /// Against a list that forgets nothing but what is over.
        #[test]
        fn answers_are_right_or_forgotten(steps in proptest::collection::vec((0..12_u16, 0..4_u8, 0..30_usize), 1..80)) {
            let mut dedup = Deduplication::default();
            let mut said: Vec<(u16, u64, Option<Vec<u8>>)> = Vec::new();
            let mut now = 0;
            for (index, (id, wait, len)) in steps.into_iter().enumerate() {
                now += u64::from(wait);
                let known = said.iter().rposition(|(other, since, _)| *other == id && now < since + 10);
                match dedup.note(at(now), MessageId(id), LIFETIME, 8).0 {
                    Seen::First => said.push((id, now, None)),
                    Seen::Unanswered => prop_assert!(known.is_some()),
                    Seen::Answered => {
                        prop_assert_eq!(answer(&dedup, id), said[known.unwrap()].2.clone());
                        continue;
                    }
                }
                // Some are answered late or never.
                let bytes = vec![index as u8; len + 1];
                if len % 3 > 0 && answer(&dedup, id).is_none() {
                    keep(&mut dedup, id, &bytes, 90);
                    let last = said.iter().rposition(|(other, ..)| *other == id).unwrap();
                    said[last].2 = Some(bytes);
                }
                prop_assert!(dedup.ring.len() <= 90 && dedup.entries.len() <= 8);
            }
        }
    }
}
