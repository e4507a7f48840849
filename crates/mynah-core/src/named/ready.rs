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
        Self { levels: Vec::new(), len: 0, bytes: 0 }
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

    /// The entries at this place and after it, in order.
    pub(super) fn iter_from(&self, from: Place) -> impl Iterator<Item = (Place, &Body)> {
        let levels = self.levels.iter().zip(0_u8..=u8::MAX).skip(usize::from(from.level));
        levels.flat_map(move |(level, number)| {
            let sequence = if number == from.level { from.sequence } else { 0 };
            level.iter_from(sequence).map(move |(sequence, body)| (Place { level: number, sequence }, body))
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
