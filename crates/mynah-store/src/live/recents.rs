//! What the journal has said lately and the state does not know, by key. Entries and leases, which come and go fastest,
//! stand by their numbers in one map for each queue: so none of them costs a key, or memory of its own.

use core::ops::{Bound, Deref};
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::Pairs;
use crate::record::key::tag;

/// What is known of a key that the state does not know.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) value: Option<Bytes>,
    /// The state holds nothing under the key.
    pub(super) fresh: bool,
}

/// The longest value that stands where it is referred to, in bytes: an entry or a lease without options.
const INLINE_MAX: usize = 22;

/// A value.
#[derive(Debug)]
pub(super) enum Bytes {
    Inline(u8, [u8; INLINE_MAX]),
    Boxed(Box<[u8]>),
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE_MAX];
        match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self::Inline(bytes.len() as u8, inline)
            }
            None => Self::Boxed(bytes.into()),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Self::Boxed(bytes) => bytes,
        }
    }
}

/// What a key costs beside its bytes and those of its value, roughly, in bytes.
pub(super) const RECENT_COST: usize = 64;

/// What a queue costs beside its name and what is in it, roughly, in bytes.
const QUEUE_COST: usize = 512;

/// Queues that are kept though nothing is in them, so that the next entry need not make one.
const IDLE_QUEUES_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct Queue {
    leases: BTreeMap<u64, Recent>,
    entries: BTreeMap<u64, Recent>,
}

impl Queue {
    fn numbers(&self, tag: u8) -> &BTreeMap<u64, Recent> {
        if tag == tag::LEASE { &self.leases } else { &self.entries }
    }

    fn numbers_mut(&mut self, tag: u8) -> &mut BTreeMap<u64, Recent> {
        if tag == tag::LEASE { &mut self.leases } else { &mut self.entries }
    }

    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.entries.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Recents {
    /// Entries and leases: by the bytes between tag and number.
    queues: HashMap<Box<[u8]>, Queue, RandomState>,
    others: BTreeMap<Box<[u8]>, Recent>,
    bytes: usize,
}

/// The tag, the owner and the number in the key of an entry or a lease.
fn split(key: &[u8]) -> Option<(u8, &[u8], u64)> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let (&tag, owner) = rest.split_first()?;
    is_numbered(tag).then(|| (tag, owner, u64::from_be_bytes(*number)))
}

const fn is_numbered(tag: u8) -> bool {
    matches!(tag, tag::LEASE | tag::ENTRY)
}

fn cost(key: &[u8], value: Option<&[u8]>) -> usize {
    RECENT_COST + key.len() + value.map_or(0, <[u8]>::len)
}

impl Recents {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that all of it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn get(&self, key: &[u8]) -> Option<&Recent> {
        match split(key) {
            Some((tag, owner, number)) => self.queues.get(owner)?.numbers(tag).get(&number),
            None => self.others.get(key),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Whether the entry that a lease belongs to is not in the state.
    pub(super) fn has_fresh_entry(&self, lease: &[u8]) -> bool {
        let entry = split(lease).and_then(|(_, owner, number)| self.queues.get(owner)?.entries.get(&number));
        entry.is_some_and(|entry| entry.fresh)
    }

    /// Says what is so of a key. Returns what was said of it before; if that was that the state does not hold it, so
    /// it stays.
    pub(super) fn insert(&mut self, key: &[u8], value: Option<&[u8]>, fresh: bool) -> Option<Recent> {
        self.bytes += cost(key, value);
        let recent = Recent { value: value.map(Bytes::from), fresh };
        let place = match split(key) {
            Some((tag, owner, number)) => {
                if !self.queues.contains_key(owner) {
                    self.bytes += QUEUE_COST;
                    self.queues.insert(owner.into(), Queue::default());
                }
                self.queues.get_mut(owner)?.numbers_mut(tag).insert(number, recent)
            }
            None => self.others.insert(key.into(), recent),
        };
        let old = place?;
        self.bytes -= cost(key, old.value.as_deref());
        if old.fresh != fresh
            && let Some(recent) = self.get_mut(key)
        {
            recent.fresh = old.fresh;
        }
        Some(old)
    }

    fn get_mut(&mut self, key: &[u8]) -> Option<&mut Recent> {
        match split(key) {
            Some((tag, owner, number)) => self.queues.get_mut(owner)?.numbers_mut(tag).get_mut(&number),
            None => self.others.get_mut(key),
        }
    }

    /// Nothing is said of a key any more.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Recent> {
        let old = match split(key) {
            Some((tag, owner, number)) => {
                let queue = self.queues.get_mut(owner)?;
                let old = queue.numbers_mut(tag).remove(&number)?;
                if queue.is_empty() && self.queues.len() > IDLE_QUEUES_MAX {
                    self.queues.remove(owner);
                    self.bytes -= QUEUE_COST;
                }
                old
            }
            None => self.others.remove(key)?,
        };
        self.bytes -= cost(key, old.value.as_deref());
        Some(old)
    }

    /// Appends keys that have a value, from `from` on to the one before `to`, in order, `max` at most. Those of
    /// entries and leases are of the owner in `from`.
    pub(super) fn scan(&self, from: &[u8], to: &[u8], max: usize, found: &mut Pairs) {
        if from >= to {
            return;
        }
        if !from.first().copied().is_some_and(is_numbered) {
            let range = self.others.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
            let live = range.filter_map(|(key, recent)| Some((key.clone(), recent.value.as_deref()?.into())));
            return found.extend(live.take(max));
        }
        // Tag, tenant, shard and kind, then the length of the name.
        let Some(length) = from.get(6..).and_then(<[u8]>::first_chunk) else { return };
        let Some((prefix, rest)) = from.split_at_checked(8 + usize::from(u16::from_be_bytes(*length))) else {
            return;
        };
        let (Some(queue), Some(first)) = (self.queues.get(&prefix[1..]), least(rest)) else { return };
        let end = to.strip_prefix(prefix).and_then(least).map_or(Bound::Unbounded, Bound::Excluded);
        if matches!(end, Bound::Excluded(end) if end <= first) {
            return;
        }
        let range = queue.numbers(prefix[0]).range((Bound::Included(first), end));
        let live = range.filter_map(|(number, recent)| {
            Some(([prefix, &number.to_be_bytes()].concat().into(), recent.value.as_deref()?.into()))
        });
        found.extend(live.take(max));
    }

    /// Hands everything over, keys of one kind in their order.
    pub(super) fn drain<E>(self, mut take: impl FnMut(&[u8], Recent) -> Result<(), E>) -> Result<(), E> {
        let mut queues: Vec<_> = self.queues.into_iter().filter(|(_, queue)| !queue.is_empty()).collect();
        queues.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut key = Vec::new();
        for (owner, queue) in queues {
            for (tag, numbers) in [(tag::LEASE, queue.leases), (tag::ENTRY, queue.entries)] {
                for (number, recent) in numbers {
                    key.clear();
                    key.push(tag);
                    key.extend_from_slice(&owner);
                    key.extend_from_slice(&number.to_be_bytes());
                    take(&key, recent)?;
                }
            }
        }
        self.others.into_iter().try_for_each(|(key, recent)| take(&key, recent))
    }
}

/// The least number whose bytes are not before these.
fn least(bytes: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    let length = bytes.len().min(8);
    number[..length].copy_from_slice(&bytes[..length]);
    let number = u64::from_be_bytes(number);
    if bytes.len() > 8 { number.checked_add(1) } else { Some(number) }
}
