//! The truncations of a group of records: those of one queue that adjoin become one.

use core::hash::BuildHasher;
use core::ops::Range;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::frame::{self, Place};
use super::key::Key;

/// Numbers of entries that are gone, by the keys of their owners.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// The keys, one after the other.
    keys: Vec<u8>,
    truncations: Vec<Truncation>,
    /// The last truncation of an owner, by the hash of its key.
    last: HashMap<u64, usize, RandomState>,
    hasher: RandomState,
    frame_bytes: usize,
}

/// Bytes of a truncation beside its key.
const NUMBERS_BYTES: usize = 18;

#[derive(Debug)]
struct Truncation {
    key: Range<usize>,
    place: Place,
    numbers: Range<u64>,
}

impl Gone {
    pub(crate) fn is_empty(&self) -> bool {
        self.truncations.is_empty()
    }

    /// How many records there will be.
    pub(crate) fn len(&self) -> usize {
        self.truncations.len()
    }

    /// The bytes that the records will take.
    pub(crate) const fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Adds numbers. Returns whether that makes one record more.
    pub(crate) fn add(&mut self, key: &Key<'_>, numbers: Range<u64>) -> bool {
        let start = self.keys.len();
        key.encode(&mut self.keys);
        let hash = self.hasher.hash_one(&self.keys[start..]);
        let next = self.truncations.len();
        let index = self.last.entry(hash).or_insert(next);
        if let Some(last) = self.truncations.get_mut(*index)
            && last.numbers.end == numbers.start
            && self.keys[last.key.clone()] == self.keys[start..]
        {
            last.numbers.end = numbers.end;
            self.keys.truncate(start);
            return false;
        }
        *index = next;
        self.frame_bytes += frame::frame_bytes(self.keys.len() - start + NUMBERS_BYTES);
        let place = Place { tenant: key.tenant().number(), shard: key.shard() };
        self.truncations.push(Truncation { key: start..self.keys.len(), place, numbers });
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Place, Range<u64>)> {
        self.truncations.iter().map(|one| (&self.keys[one.key.clone()], one.place, one.numbers.clone()))
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.truncations.clear();
        self.last.clear();
        self.frame_bytes = 0;
    }
}
