//! What the journal has said lately and the state does not know, by key. Entries and leases, which come and go fastest,
//! stand by their numbers in one map for each queue: so none of them costs a key, or memory of its own.

use core::ops::{Bound, Deref};
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::Pairs;
use super::numbers::Numbers;
use crate::record::item::payload_in;
use crate::record::key::tag;

/// What is known of a key that the state does not know.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) value: Option<Bytes>,
    pub(super) stored: Stored,
}

/// What the state holds under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Absent,
    /// A value with this checksum.
    Sum(u32),
    Unknown,
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
    leases: Numbers,
    entries: Numbers,
}

impl Queue {
    fn numbers(&self, tag: u8) -> &Numbers {
        if tag == tag::LEASE { &self.leases } else { &self.entries }
    }

    fn numbers_mut(&mut self, tag: u8) -> &mut Numbers {
        if tag == tag::LEASE { &mut self.leases } else { &mut self.entries }
    }

    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.entries.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Recents {
    /// Where the queue of an owner is: by the bytes between tag and number.
    places: HashMap<Box<[u8]>, usize, RandomState>,
    /// Entries and leases.
    queues: Vec<Queue>,
    /// Places of queues that nobody has.
    free: Vec<usize>,
    others: BTreeMap<Box<[u8]>, Recent>,
    /// Keys of which something is known.
    count: usize,
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

/// Bytes of the key of an entry or a lease beside its owner's.
const NUMBERED_BYTES: usize = 9;

fn cost(key_bytes: usize, value: Option<&[u8]>) -> usize {
    RECENT_COST + key_bytes + value.map_or(0, <[u8]>::len)
}

impl Recents {
    /// Keys of which something is known.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that all of it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn queue(&self, owner: &[u8]) -> Option<&Queue> {
        self.queues.get(*self.places.get(owner)?)
    }

    /// The queue of an owner, made if there is none.
    fn place(&mut self, owner: &[u8]) -> usize {
        if let Some(&place) = self.places.get(owner) {
            return place;
        }
        let place = self.free.pop().unwrap_or(self.queues.len());
        if place == self.queues.len() {
            self.queues.push(Queue::default());
        }
        self.places.insert(owner.into(), place);
        self.bytes += QUEUE_COST;
        place
    }

    fn get(&self, key: &[u8]) -> Option<&Recent> {
        match split(key) {
            Some((tag, owner, number)) => self.queue(owner)?.numbers(tag).get(number),
            None => self.others.get(key),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Whether the entry that a lease belongs to is not in the state.
    pub(super) fn has_fresh_entry(&self, lease: &[u8]) -> bool {
        let entry = split(lease).and_then(|(_, owner, number)| self.queue(owner)?.entries.get(number));
        entry.is_some_and(|entry| entry.stored == Stored::Absent)
    }

    /// Says what is so of a key. Returns what was said of it before; what that says of the state stays so.
    pub(super) fn insert(&mut self, key: &[u8], value: Option<&[u8]>, stored: Stored) -> Option<Recent> {
        let parts = split(key);
        let stored = match parts {
            // What the state does not hold was mostly never spoken of.
            Some(_) if stored == Stored::Absent => stored,
            _ => self.get(key).map_or(stored, |old| old.stored),
        };
        self.bytes += cost(key.len(), value);
        let recent = Recent { value: value.map(Bytes::from), stored };
        let old = match parts {
            Some((tag, owner, number)) => {
                let place = self.place(owner);
                let numbers = self.queues[place].numbers_mut(tag);
                let mut old = numbers.insert(number, recent);
                if let Some(old) = old.as_mut().filter(|old| old.stored != stored) {
                    let value = value.map(Bytes::from);
                    numbers.insert(number, Recent { value, stored: old.stored });
                }
                old
            }
            None => self.others.insert(key.into(), recent),
        };
        self.count += usize::from(old.is_none());
        let old = old?;
        self.bytes -= cost(key.len(), old.value.as_deref());
        Some(old)
    }

    /// Nothing is said of a key any more.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Recent> {
        let old = match split(key) {
            Some((tag, owner, number)) => {
                let place = *self.places.get(owner)?;
                let old = self.queues[place].numbers_mut(tag).remove(number)?;
                self.release(owner, place);
                old
            }
            None => self.others.remove(key)?,
        };
        self.count -= 1;
        self.bytes -= cost(key.len(), old.value.as_deref());
        Some(old)
    }

    /// Lets go of a queue with nothing in it, if there are many.
    fn release(&mut self, owner: &[u8], place: usize) {
        if self.places.len() > IDLE_QUEUES_MAX && self.queues[place].is_empty() {
            self.places.remove(owner);
            self.free.push(place);
            self.bytes -= QUEUE_COST;
        }
    }

    /// Removes entries and leases from one number on to the one before another, as long as the state holds nothing under
    /// them. Appends the values of the entries. Returns the first number of which that is not known.
    pub(super) fn remove_fresh(&mut self, owner: &[u8], from: u64, to: u64, values: &mut Vec<Bytes>) -> u64 {
        let Some(&place) = self.places.get(owner) else { return from };
        let queue = &mut self.queues[place];
        let (mut number, bytes) = (from, owner.len() + NUMBERED_BYTES);
        let is_fresh = |recent: &Recent| recent.stored == Stored::Absent;
        while number < to {
            let entry = queue.entries.get(number);
            // One that was taken away without a trace was fresh, and so is its lease.
            if !entry.or_else(|| queue.leases.get(number)).is_some_and(is_fresh) {
                break;
            }
            if let Some(entry) = queue.entries.remove(number) {
                self.count -= 1;
                self.bytes -= cost(bytes, entry.value.as_deref());
                values.extend(entry.value);
            }
            if let Some(lease) = queue.leases.remove(number) {
                self.count -= 1;
                self.bytes -= cost(bytes, lease.value.as_deref());
            }
            number += 1;
        }
        self.release(owner, place);
        number
    }

    /// Removes entries that follow each other, from one number on to the one before another at most.
    pub(super) fn take_run(&mut self, owner: &[u8], from: u64, to: u64) -> Vec<(u64, Recent)> {
        let Some(&place) = self.places.get(owner) else { return Vec::new() };
        let entries = &mut self.queues[place].entries;
        let run: Vec<_> = (from..to).map_while(|number| Some((number, entries.remove(number)?))).collect();
        self.count -= run.len();
        for (_, recent) in &run {
            self.bytes -= cost(owner.len() + NUMBERED_BYTES, recent.value.as_deref());
        }
        self.release(owner, place);
        run
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
        let (Some(queue), Some(first)) = (self.queue(&prefix[1..]), least(rest)) else { return };
        let end = to.strip_prefix(prefix).and_then(least);
        let range = queue.numbers(prefix[0]).range(first, end);
        let live = range.filter_map(|(number, recent)| {
            Some(([prefix, &number.to_be_bytes()].concat().into(), recent.value.as_deref()?.into()))
        });
        found.extend(live.take(max));
    }

    /// Hands everything over, keys of one kind in their order, each with the message that it refers to; a lease with that
    /// of its entry.
    pub(super) fn drain<E>(
        mut self,
        mut take: impl FnMut(&[u8], Recent, Option<u64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let message = |tag: u8, recent: &Recent| payload_in(tag, recent.value.as_deref()?);
        let queues = &mut self.queues;
        let mut places: Vec<_> = self.places.into_iter().filter(|(_, at)| !queues[*at].is_empty()).collect();
        places.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut key = Vec::new();
        for (owner, place) in places {
            let queue = core::mem::take(&mut queues[place]);
            let mut hand_over = |tag: u8, number: u64, recent: Recent, id: Option<u64>| {
                key.clear();
                key.push(tag);
                key.extend_from_slice(&owner);
                key.extend_from_slice(&number.to_be_bytes());
                take(&key, recent, id)
            };
            for (number, recent) in queue.leases.into_ordered() {
                let id = queue.entries.get(number).and_then(|entry| message(tag::ENTRY, entry));
                hand_over(tag::LEASE, number, recent, id)?;
            }
            for (number, recent) in queue.entries.into_ordered() {
                let id = message(tag::ENTRY, &recent);
                hand_over(tag::ENTRY, number, recent, id)?;
            }
        }
        self.others.into_iter().try_for_each(|(key, recent)| {
            let id = message(key[0], &recent);
            take(&key, recent, id)
        })
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
