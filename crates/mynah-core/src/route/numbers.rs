//! Numbers of topics: what is remembered of a topic elsewhere is told from that of others by comparing numbers.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use mynah_model::{TenantId, Topic};

/// Gives numbers, each once, and remembers those of topics that have no slot in the cache.
#[derive(Debug)]
pub(super) struct Numbers {
    last: NonZeroU64,
    /// One place for each of some hashes; the later of two topics that share one has it. Empty until one is asked for.
    slots: Vec<Numbered>,
    capacity: usize,
}

#[derive(Clone, Debug)]
struct Numbered {
    hash: u64,
    tenant: TenantId,
    /// Empty in a vacant slot: no topic is. The memory is used again.
    topic: Vec<u8>,
    number: NonZeroU64,
}

impl Numbers {
    /// A topic that is longer has no number that lasts.
    const TOPIC_BYTES_MAX: usize = 256;

    /// Room for at least as many topics.
    pub(super) fn new(capacity: usize) -> Self {
        Self { last: NonZeroU64::MIN, slots: Vec::new(), capacity: capacity.next_power_of_two() }
    }

    /// A number that nothing has.
    pub(super) fn fresh(&mut self) -> NonZeroU64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// The number of a topic with this hash: the one that it had, if it is not forgotten.
    pub(super) fn number(&mut self, hash: u64, tenant: TenantId, topic: Topic<'_>) -> NonZeroU64 {
        // Other bits than those by which the table goes.
        let at = (hash >> 32) as usize & (self.capacity - 1);
        match self.slots.get(at) {
            Some(slot) if slot.hash == hash && slot.tenant == tenant && slot.topic == topic.as_bytes() => {
                slot.number
            }
            _ => self.give(at, hash, tenant, topic),
        }
    }

    #[inline(never)]
    fn give(&mut self, at: usize, hash: u64, tenant: TenantId, topic: Topic<'_>) -> NonZeroU64 {
        let number = self.fresh();
        if topic.as_bytes().len() > Self::TOPIC_BYTES_MAX {
            return number;
        }
        if self.slots.is_empty() {
            let vacant = Numbered { hash: 0, tenant, topic: Vec::new(), number };
            self.slots.resize(self.capacity, vacant);
        }
        let slot = &mut self.slots[at];
        (slot.hash, slot.tenant, slot.number) = (hash, tenant, number);
        slot.topic.clear();
        slot.topic.extend_from_slice(topic.as_bytes());
        number
    }
}
