//! The index of entries that are ready: by priority, then by sequence.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::entry::{Body, NamedEntry};

/// The place of an entry among those that are ready: lower is earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// 0 for the highest priority.
    pub(super) level: u8,
    pub(super) sequence: u64,
}

/// Entries that are ready.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// One for each priority that was used, the highest first.
    levels: Vec<Level>,
    len: usize,
    bytes: u64,
    /// Those of the highest priority that a store holds alone.
    paged: Paged,
}

/// Entries that come after the front and before those that came last.
#[derive(Debug, Default)]
struct Paged {
    /// Their numbers: from this one, up to this one, which is not among them.
    from: u64,
    to: u64,
    len: usize,
    bytes: u64,
}

/// Entries of one priority by sequence. One that was taken from between others leaves its slot.
#[derive(Debug, Default)]
struct Level {
    slots: VecDeque<Slot>,
    live: usize,
}

#[derive(Debug)]
struct Slot {
    sequence: u64,
    body: Option<Body>,
}

/// Empty slots that are not worth the work of closing the gaps.
const GAPS_KEPT: usize = 64;

impl Ready {
    pub(super) const fn new() -> Self {
        Self { levels: Vec::new(), len: 0, bytes: 0, paged: Paged { from: 0, to: 0, len: 0, bytes: 0 } }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of payload.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry to its place.
    pub(super) fn insert(&mut self, entry: NamedEntry) -> Place {
        let NamedEntry { sequence, body } = entry;
        let level = body.level;
        if self.levels.len() <= usize::from(level) {
            self.levels.resize_with(usize::from(level) + 1, Level::default);
        }
        self.len += 1;
        self.bytes += body.payload_bytes();
        self.levels[usize::from(level)].insert(sequence, body);
        Place { level, sequence }
    }

    /// Takes out the entry at a place, if it is there.
    pub(super) fn take(&mut self, place: Place) -> Option<NamedEntry> {
        let body = self.levels.get_mut(usize::from(place.level))?.take(place.sequence)?;
        self.len -= 1;
        self.bytes -= body.payload_bytes();
        Some(NamedEntry { sequence: place.sequence, body })
    }

    /// The first entry at this place or after it.
    pub(super) fn first_from(&self, from: Place) -> Option<(Place, &Body)> {
        self.iter_from(from).next()
    }

    /// All entries that are in memory, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Body)> {
        let levels = self.levels.iter().zip(0_u8..=u8::MAX);
        levels.flat_map(|(level, number)| {
            level.iter_from(0).map(move |(sequence, body)| (Place { level: number, sequence }, body))
        })
    }

    /// Entries that are in memory.
    pub(super) const fn in_memory(&self) -> usize {
        self.len - self.paged.len
    }

    /// The number of the first entry that is not in memory.
    pub(super) fn paged_from(&self) -> Option<u64> {
        (self.paged.len > 0).then_some(self.paged.from)
    }

    /// The numbers of those that are not in memory.
    pub(super) fn paged(&self) -> Option<(u64, u64)> {
        (self.paged.len > 0).then_some((self.paged.from, self.paged.to))
    }

    /// Entries of the highest priority before those that are not in memory, empty slots counted.
    pub(super) fn front_len(&self) -> usize {
        let Some(level) = self.levels.first() else { return 0 };
        match self.paged_from() {
            Some(from) => level.slots.partition_point(|slot| slot.sequence < from),
            None => level.slots.len(),
        }
    }

    /// Lets go of entries of the highest priority: those after `front` of them, up to the number `to`, as long as they are `kept`
    /// elsewhere.
    pub(super) fn let_go(&mut self, front: usize, to: u64, is_kept: impl Fn(u64, &Body) -> bool) {
        let first = if self.paged.len > 0 { self.front_len() } else { front };
        let Some(level) = self.levels.first_mut() else { return };
        let is_kept = |slot: &Slot| {
            slot.sequence <= to && slot.body.as_ref().is_some_and(|body| is_kept(slot.sequence, body))
        };
        let count = level.slots.iter().skip(first).take_while(|slot| is_kept(slot)).count();
        let Some(last) = count.checked_sub(1).and_then(|last| level.slots.get(first + last)) else { return };
        let to = last.sequence + 1;
        if self.paged.len == 0 {
            self.paged.from = level.slots[first].sequence;
        }
        self.paged.to = to;
        for body in level.slots.drain(first..first + count).filter_map(|slot| slot.body) {
            level.live -= 1;
            self.paged.len += 1;
            self.paged.bytes += body.payload_bytes();
        }
        if level.slots.capacity() > 4 * level.slots.len() + GAPS_KEPT {
            level.slots.shrink_to(2 * level.slots.len());
        }
    }

    /// The next of the entries that were not in memory is. Returns whether it is one of them.
    pub(super) fn take_paged(&mut self, sequence: u64, body: Body) -> bool {
        if !self.is_paged(sequence) {
            return false;
        }
        let Some(level) = self.levels.first_mut() else { return false };
        self.paged.from = sequence + 1;
        self.paged.len -= 1;
        self.paged.bytes = self.paged.bytes.saturating_sub(body.payload_bytes());
        level.insert(sequence, body);
        true
    }

    /// The next of the entries that were not in memory is gone. Returns whether it is one of them.
    pub(super) const fn skip_paged(&mut self, sequence: u64) -> bool {
        let is_paged = self.is_paged(sequence);
        if is_paged {
            self.paged.from = sequence + 1;
            self.paged.len -= 1;
            self.len -= 1;
        }
        is_paged
    }

    const fn is_paged(&self, sequence: u64) -> bool {
        self.paged.len > 0 && self.paged.from <= sequence && sequence < self.paged.to
    }

    /// All of the entries that were not in memory have been read.
    pub(super) fn end_paged(&mut self) {
        self.len -= self.paged.len;
        self.bytes = self.bytes.saturating_sub(self.paged.bytes);
        self.paged = Paged::default();
    }

    /// The entries at this place and after it that are in memory before any that are not, in order.
    pub(super) fn iter_from(&self, from: Place) -> impl Iterator<Item = (Place, &Body)> {
        let levels = self.levels.iter().zip(0_u8..=u8::MAX).skip(usize::from(from.level));
        levels.flat_map(move |(level, number)| {
            let sequence = if number == from.level { from.sequence } else { 0 };
            let end = if number == 0 && self.paged.len > 0 { self.paged.from } else { u64::MAX };
            let front = level.iter_from(sequence).take_while(move |(sequence, _)| *sequence < end);
            front.map(move |(sequence, body)| (Place { level: number, sequence }, body))
        })
    }

    /// The entry that came last among those that are ready.
    pub(super) fn latest(&self) -> Option<Place> {
        let levels = self.levels.iter().zip(0_u8..=u8::MAX);
        let lasts =
            levels.filter_map(|(level, number)| Some(Place { level: number, sequence: level.last()? }));
        lasts.max_by_key(|place| place.sequence)
    }

    /// The first entry for which `is_late` holds, which has to hold for all after it; of entries of one priority.
    pub(super) fn first_where(&self, mut is_late: impl FnMut(&Body) -> bool) -> Option<u64> {
        let level = self.levels.first()?;
        let at = level.slots.partition_point(|slot| !slot.body.as_ref().is_some_and(&mut is_late));
        level.slots.get(at).map(|slot| slot.sequence)
    }
}

impl Level {
    fn insert(&mut self, sequence: u64, body: Body) {
        self.live += 1;
        let body = Some(body);
        if self.slots.back().is_none_or(|last| last.sequence < sequence) {
            return self.slots.push_back(Slot { sequence, body });
        }
        let at = self.slots.partition_point(|slot| slot.sequence < sequence);
        match self.slots.get_mut(at) {
            Some(slot) if slot.sequence == sequence => slot.body = body,
            _ => self.slots.insert(at, Slot { sequence, body }),
        }
    }

    /// The slot of this number, or the next; mostly that is the first.
    fn at(&self, sequence: u64) -> usize {
        match self.slots.front() {
            Some(first) if first.sequence >= sequence => 0,
            _ => self.slots.partition_point(|slot| slot.sequence < sequence),
        }
    }

    fn take(&mut self, sequence: u64) -> Option<Body> {
        let at = self.at(sequence);
        let slot = self.slots.get_mut(at).filter(|slot| slot.sequence == sequence)?;
        let body = slot.body.take()?;
        self.live -= 1;
        while self.slots.front().is_some_and(|slot| slot.body.is_none()) {
            self.slots.pop_front();
        }
        while self.slots.back().is_some_and(|slot| slot.body.is_none()) {
            self.slots.pop_back();
        }
        if self.slots.len() > 2 * self.live + GAPS_KEPT {
            self.slots.retain(|slot| slot.body.is_some());
        }
        if self.slots.capacity() > 4 * self.slots.len() + GAPS_KEPT {
            self.slots.shrink_to(2 * self.slots.len());
        }
        Some(body)
    }

    fn iter_from(&self, sequence: u64) -> impl Iterator<Item = (u64, &Body)> {
        let from = self.at(sequence);
        self.slots.range(from..).filter_map(|slot| Some((slot.sequence, slot.body.as_ref()?)))
    }

    fn last(&self) -> Option<u64> {
        self.slots.back().map(|slot| slot.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_costs_less_than_64_bytes() {
        assert!(size_of::<Slot>() <= 48, "{}", size_of::<Slot>());
    }
}
