//! Decisions that are remembered: what rights said of a topic, for as long as they are asked about it.

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::rights::Rights;
use super::rule::Action;

/// What rights said of topics, bounded. Both are told by numbers that are never used again, and both numbers are compared
/// in full: a decision is never taken for that of another topic, whatever names peers choose, and one of earlier rules
/// is never found.
#[derive(Debug)]
pub struct Decisions {
    /// One place for each pair; the later of two that share one has it. Empty until something is decided.
    entries: Vec<Entry>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Of rights and action; 0 in an empty entry.
    rights: u64,
    /// The topic's number, and in the last bit the decision.
    topic: u64,
}

impl Decisions {
    /// Room for about `capacity` decisions; a power of two is made of it, 65,536 at most.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), capacity: capacity.clamp(1, 1 << 16).next_power_of_two() }
    }

    /// What `judge` says, or has said earlier of the same rights, action and topic. A topic without a number is always
    /// judged.
    #[inline]
    pub fn decide(
        &mut self,
        rights: &Rights,
        action: Action,
        topic: Option<NonZeroU64>,
        judge: impl FnOnce() -> bool,
    ) -> bool {
        let Some(topic) = topic else { return judge() };
        let (key, topic) = (rights.key(action), topic.get() << 1);
        // The numbers count up: a multiplication spreads them.
        let mixed = (key ^ topic.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = (mixed >> 40) as usize & (self.capacity - 1);
        match self.entries.get(at) {
            Some(entry) if entry.rights == key && entry.topic & !1 == topic => entry.topic & 1 == 1,
            _ => self.decide_anew(at, key, topic, judge),
        }
    }

    #[inline(never)]
    fn decide_anew(&mut self, at: usize, rights: u64, topic: u64, judge: impl FnOnce() -> bool) -> bool {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); self.capacity];
        }
        let permitted = judge();
        self.entries[at] = Entry { rights, topic: topic | u64::from(permitted) };
        permitted
    }
}
