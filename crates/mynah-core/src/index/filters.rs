//! The texts of filters and who subscribes to them, in slots of equal size that are used again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use mynah_model::{Filter, TenantId};

use super::Match;
use crate::packed::Packed;
use crate::{SessionRef, Text, WorkerId};

/// Slots of one allocation: growing never moves what is there.
const CHUNK: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Filters {
    chunks: Vec<Vec<Slot>>,
    vacant: Vec<u32>,
    subscriptions: usize,
    /// Bytes of all texts.
    text_bytes: usize,
    /// Subscriptions to filters that have several.
    shared: usize,
}

#[derive(Debug)]
struct Slot {
    /// None in a vacant slot.
    text: Option<Text>,
    tenant: TenantId,
    subscribers: Subscribers,
}

/// Most filters have one subscriber.
#[derive(Debug)]
enum Subscribers {
    /// A session, and how it wants its messages. The parts of both stand side by side, since they fit into
    /// fewer bytes so.
    One { worker: WorkerId, slot: u32, generation: u32, bits: u32, rest: u8 },
    // Boxed so that a slot stays small.
    #[allow(clippy::box_collection)]
    Several(Box<BTreeMap<SessionRef, Packed>>),
}

impl Subscribers {
    fn one(session: SessionRef, packed: Packed) -> Self {
        let (SessionRef { worker, slot, generation }, Packed { bits, rest }) = (session, packed);
        Self::One { worker, slot, generation, bits, rest }
    }

    /// The only subscriber, if there is one.
    fn only(&self) -> Option<(SessionRef, Packed)> {
        match *self {
            Self::One { worker, slot, generation, bits, rest } => {
                Some((SessionRef { worker, slot, generation }, Packed { bits, rest }))
            }
            Self::Several(_) => None,
        }
    }
}

impl Filters {
    /// Takes a slot for a filter and its first subscriber.
    pub(super) fn insert(&mut self, tenant: TenantId, text: Text, subscriber: Match) -> u32 {
        self.text_bytes += text.len();
        self.subscriptions += 1;
        let subscribers = Subscribers::one(subscriber.session, subscriber.options.into());
        let slot = Slot { text: Some(text), tenant, subscribers };
        if let Some(at) = self.vacant.pop() {
            self.chunks[at as usize / CHUNK][at as usize % CHUNK] = slot;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(slot);
        (last * CHUNK + self.chunks[last].len() - 1) as u32
    }

    /// Adds a subscriber. Returns whether it was there and got other options.
    pub(super) fn add(&mut self, at: u32, subscriber: Match) -> bool {
        let slot = &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK];
        let (session, packed) = (subscriber.session, Packed::from(subscriber.options));
        let only = slot.subscribers.only();
        match (&mut slot.subscribers, only) {
            (one, Some((other, _))) if other == session => {
                *one = Subscribers::one(session, packed);
                return true;
            }
            (one, Some(other)) => {
                *one = Subscribers::Several(Box::new(BTreeMap::from([other, (session, packed)])));
                self.shared += 2;
            }
            (Subscribers::Several(several), _) => {
                if several.insert(session, packed).is_some() {
                    return true;
                }
                self.shared += 1;
            }
            (Subscribers::One { .. }, None) => unreachable!("one subscriber is the only one"),
        }
        self.subscriptions += 1;
        false
    }

    /// Removes a subscriber. Returns whether it was there. The last one stays in its place: the slot is then deserted.
    pub(super) fn remove(&mut self, at: u32, session: SessionRef) -> bool {
        let slot = &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK];
        let only = slot.subscribers.only();
        match (&mut slot.subscribers, only) {
            (one, Some((other, _))) if other == session => *one = Subscribers::Several(Box::default()),
            (Subscribers::One { .. }, _) => return false,
            (Subscribers::Several(several), _) => {
                if several.remove(&session).is_none() {
                    return false;
                }
                self.shared -= 1;
                if several.len() == 1
                    && let Some((&session, &packed)) = several.first_key_value()
                {
                    slot.subscribers = Subscribers::one(session, packed);
                    self.shared -= 1;
                }
            }
        }
        self.subscriptions -= 1;
        true
    }

    /// Whether the filter has lost its last subscriber.
    pub(super) fn is_deserted(&self, at: u32) -> bool {
        matches!(&self.slot(at).subscribers, Subscribers::Several(several) if several.is_empty())
    }

    /// Gives back the slot of a deserted filter.
    pub(super) fn discard(&mut self, at: u32) {
        let slot = &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK];
        self.text_bytes -= slot.text.take().map_or(0, |text| text.len());
        self.vacant.push(at);
        if self.subscriptions == 0 {
            (self.chunks, self.vacant) = Default::default();
        }
    }

    /// Pushes the subscribers of a filter.
    pub(super) fn subscribers(&self, at: u32, found: &mut Vec<Match>) {
        match &self.slot(at).subscribers {
            &Subscribers::One { worker, slot, generation, bits, rest } => {
                let packed = Packed { bits, rest };
                let session = SessionRef { worker, slot, generation };
                found.push(Match { session, options: packed.into() });
            }
            Subscribers::Several(several) => {
                let subscriber = |(&session, &packed): (&SessionRef, &Packed)| (session, packed);
                found.extend(
                    several
                        .iter()
                        .map(subscriber)
                        .map(|(session, packed)| Match { session, options: packed.into() }),
                );
            }
        }
    }

    pub(super) fn tenant(&self, at: u32) -> TenantId {
        self.slot(at).tenant
    }

    pub(super) fn filter(&self, at: u32) -> Filter<'_> {
        Filter::from_checked(self.slot(at).text.as_deref().unwrap_or_default())
    }

    /// Whether the slot holds exactly this text.
    pub(super) fn is(&self, at: u32, tenant: TenantId, text: &[u8]) -> bool {
        self.tenant(at) == tenant && self.filter(at).as_bytes() == text
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // An allocator rounds up and keeps a word; a B-tree is about two thirds full.
        // A text has two words of its own.
        const ALLOCATION_BYTES: usize = 16 + 2 * size_of::<usize>();
        let slots = self.chunks.len() * CHUNK;
        let used: usize = self.chunks.iter().map(Vec::len).sum();
        let occupied = used - self.vacant.len();
        slots * size_of::<Slot>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.text_bytes
            + occupied * ALLOCATION_BYTES
            + self.shared * size_of::<(SessionRef, Packed)>() * 3 / 2
    }

    fn slot(&self, at: u32) -> &Slot {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_half_a_cache_line() {
        assert!(size_of::<Slot>() <= 32, "{}", size_of::<Slot>());
    }
}
