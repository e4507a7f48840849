//! Writing recent changes to the state, together with how far they go.

use std::collections::BTreeMap;

use super::payloads::RecentPayload;
use super::recents::Stored;
use super::{Digest, Live, PayloadPlace, Use};
use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::key::{payload_key, payload_of, tag};
use crate::state::{Change, StateError};

/// The key of the state's own record.
pub(crate) const META_KEY: &[u8] = &[tag::META];

/// The key of what came last.
const YOUNG_KEY: &[u8] = &[tag::META, 1];

/// Keys that are written as one value at most, and messages. Few in tests: so that most of them see more.
const YOUNG_MAX: usize = if cfg!(test) { 4 } else { 32 << 10 };

/// Bytes of the checksum after each value of the state.
const SUM_BYTES: usize = 4;

/// Changes of one commit. More make the commit slower than what it saves.
const COMMIT_MAX: usize = 200_000;

/// Changes that are worth a compaction, however little there is.
const COMPACT_CHANGES_MIN: u64 = 100_000;

/// What the state says of itself.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// Everything before is in the state.
    pub(crate) applied: Position,
    /// Where the newest complete snapshot begins to be right.
    pub(crate) snapshot: Position,
    pub(crate) digest: Digest,
    pub(crate) next_payload: u64,
    pub(crate) uses: BTreeMap<u32, Use>,
    /// The checksum of what came last; none where the first version wrote the state, which has no such thing.
    pub(crate) young: Option<u32>,
}

const META_VERSION: u8 = 2;

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![META_VERSION];
        let numbers = [
            self.applied.to_u64(),
            self.snapshot.to_u64(),
            self.digest.count,
            self.digest.sum,
            self.next_payload,
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.young.unwrap_or_default().to_le_bytes());
        for (segment, used) in &self.uses {
            out.extend_from_slice(&segment.to_le_bytes());
            for number in [used.bytes, used.payloads, used.ids.0, used.ids.1] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let version = fields.u8().filter(|version| matches!(*version, 1 | META_VERSION))?;
        let mut meta = Self {
            applied: Position::from_u64(fields.u64()?),
            snapshot: Position::from_u64(fields.u64()?),
            digest: Digest { count: fields.u64()?, sum: fields.u64()? },
            next_payload: fields.u64()?,
            uses: BTreeMap::new(),
            young: if version == 1 { None } else { Some(fields.u32()?) },
        };
        while !fields.is_empty() {
            let segment = fields.u32()?;
            let (bytes, payloads) = (fields.u64()?, fields.u64()?);
            // The first version did not say.
            let ids = if version == 1 { (0, u64::MAX) } else { (fields.u64()?, fields.u64()?) };
            meta.uses.insert(segment, Use { bytes, payloads, ids });
        }
        Some(meta)
    }
}

/// Appends a key and its value, as a snapshot has them.
pub(super) fn append_pair(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

/// Keys and values as [`append_pair`] wrote them; `None`, and then no more, where they cannot be read.
pub(super) fn pairs(bytes: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut fields = Fields(bytes);
    core::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let key = fields.short().filter(|key| key.first().is_some_and(|&tag| tag != tag::META));
        let value = key.and_then(|_| fields.u32()).and_then(|length| fields.bytes(length as usize));
        let pair = key.zip(value);
        if pair.is_none() {
            fields.rest();
        }
        Some(pair)
    })
}

/// The checksum of a key and its value: also what they add to the digest.
pub(super) fn term(salt: u32, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, key), value)
}

/// A value as it stands in the state.
pub(crate) fn seal(salt: u32, key: &[u8], value: &[u8]) -> (Box<[u8]>, u32) {
    let sum = term(salt, key, value);
    ([value, &sum.to_le_bytes()].concat().into_boxed_slice(), sum)
}

/// The value of what stands in the state.
pub(crate) fn unseal<'v>(salt: u32, key: &[u8], sealed: &'v [u8]) -> Result<&'v [u8], StateError> {
    let split = sealed.len().checked_sub(SUM_BYTES).map(|at| sealed.split_at(at));
    match split {
        Some((value, sum)) if *sum == term(salt, key, value).to_le_bytes() => Ok(value),
        _ => Err(StateError("the state is damaged: a value is not what was written".to_owned())),
    }
}

/// What a value that stands in the state adds to the digest.
pub(crate) fn term_of(sealed: &[u8]) -> Option<u32> {
    sealed.last_chunk().map(|sum| u32::from_le_bytes(*sum))
}

impl Live {
    /// Writes all recent changes to the state, and makes them last. What came a moment ago is likely to go in the next: so
    /// while there is little of it, it is written as one value and stays in memory.
    pub(crate) fn flush(&mut self) -> Result<(), StateError> {
        if self.applied == self.flushed {
            return Ok(());
        }
        let is_new = |from| self.payloads.range(from, u64::MAX).count() <= YOUNG_MAX;
        let young_from = if self.recent.len().max(self.payloads.len()) <= YOUNG_MAX {
            0
        } else {
            Some(self.young_from).filter(|&from| is_new(from)).unwrap_or(u64::MAX)
        };
        self.write_changes(young_from)
    }

    /// Writes all changes to the state, each under its own key, and makes them last.
    pub(crate) fn flush_all(&mut self) -> Result<(), StateError> {
        let is_empty = self.recent.len() == 0 && self.payloads.len() == 0 && self.young.is_empty();
        if self.applied == self.flushed && is_empty {
            return Ok(());
        }
        self.write_changes(u64::MAX)
    }

    /// Writes changes; of what the state does not hold, what refers to messages from `young_from` on is kept together.
    fn write_changes(&mut self, young_from: u64) -> Result<(), StateError> {
        let (mut digest, mut young) = (self.digest, Vec::new());
        let mut changes: Vec<Change> = Vec::new();
        for (id, recent) in self.payloads.drain() {
            let key = payload_key(id);
            match recent {
                RecentPayload { place: Some(place), stored: None, .. } if id >= young_from => {
                    append_pair(&mut young, &key, &place.encode());
                    self.payloads.insert(id, recent);
                }
                RecentPayload { place, stored, changed: true } => {
                    let value = place.map(PayloadPlace::encode);
                    let value = value.as_ref().map(|bytes| &bytes[..]);
                    let stored = stored.map_or(Stored::Absent, Stored::Sum);
                    self.change(&mut changes, &mut digest, &key, value, stored)?;
                }
                RecentPayload { changed: false, .. } => {}
            }
        }
        core::mem::take(&mut self.recent).drain(|key, recent, id| match &recent.value {
            Some(value) if recent.stored == Stored::Absent && id.is_some_and(|id| id >= young_from) => {
                append_pair(&mut young, key, value);
                self.recent.insert(key, Some(value), Stored::Absent);
                Ok(())
            }
            value => self.change(&mut changes, &mut digest, key, value.as_deref(), recent.stored),
        })?;
        if !(young.is_empty() && self.young.is_empty()) {
            changes.push((YOUNG_KEY.into(), Some(seal(self.salt, YOUNG_KEY, &young).0)));
        }
        (self.digest, self.young, self.young_from) = (digest, young, self.next_payload);
        self.changes += changes.len() as u64;
        self.commit(changes)?;
        self.state.sync()?;
        self.flushed = self.applied;
        Ok(())
    }

    /// Takes in what was written as one value.
    pub(super) fn load_young(&mut self, sum: u32) -> Result<(), StateError> {
        let damaged = || StateError("the state is damaged: what came last is not there".to_owned());
        let sealed = self.state.get(YOUNG_KEY)?;
        let young = match &sealed {
            Some(sealed) => unseal(self.salt, YOUNG_KEY, sealed)?,
            None => &[],
        };
        if crc32c::crc32c_append(self.salt, young) != sum {
            return Err(damaged());
        }
        for pair in pairs(young) {
            let (key, value) = pair.ok_or_else(damaged)?;
            match (payload_of(key), PayloadPlace::decode(value)) {
                (Some(id), place @ Some(_)) => {
                    self.payloads.insert(id, RecentPayload { place, stored: None, changed: true });
                }
                (Some(_), None) => return Err(damaged()),
                (None, _) => drop(self.recent.insert(key, Some(value), Stored::Absent)),
            }
        }
        self.young = young.to_vec();
        Ok(())
    }

    /// What was written as one value.
    pub(crate) fn young(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        pairs(&self.young).flatten()
    }

    /// Has the state give back room where far more was changed than there is.
    pub(crate) fn compact(&mut self) -> Result<(), StateError> {
        if self.changes > COMPACT_CHANGES_MIN && self.changes / 4 > self.digest.count {
            self.state.compact()?;
            self.changes = 0;
        }
        Ok(())
    }

    /// Adds one change, and what it does to the digest.
    fn change(
        &self,
        changes: &mut Vec<Change>,
        digest: &mut Digest,
        key: &[u8],
        value: Option<&[u8]>,
        stored: Stored,
    ) -> Result<(), StateError> {
        let old = match stored {
            Stored::Absent => None,
            Stored::Sum(sum) => Some(sum),
            Stored::Unknown => match self.state.get(key)? {
                Some(sealed) => {
                    Some(term_of(&sealed).ok_or_else(|| StateError("the state is damaged".to_owned()))?)
                }
                None => None,
            },
        };
        if let Some(sum) = old {
            digest.subtract(sum);
        } else if value.is_none() {
            return Ok(());
        }
        let value = value.map(|value| {
            let (sealed, sum) = seal(self.salt, key, value);
            digest.add(sum);
            sealed
        });
        changes.push((key.into(), value));
        Ok(())
    }

    /// Commits changes with the state's own record. The record goes with all of them or is found not to fit.
    pub(super) fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), StateError> {
        let meta = Meta {
            young: Some(crc32c::crc32c_append(self.salt, &self.young)),
            applied: self.applied,
            snapshot: self.snapshot.unwrap_or(Position::START),
            digest: self.digest,
            next_payload: self.next_payload,
            uses: self.uses.clone(),
        };
        changes.push((META_KEY.into(), Some(seal(self.salt, META_KEY, &meta.encode()).0)));
        self.state.commit(changes)
    }

    /// Commits changes in pieces, without the state's own record: for a state that is being made.
    pub(super) fn commit_pieces(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let piece = changes.by_ref().take(COMMIT_MAX).collect();
            self.state.commit(piece)?;
        }
        Ok(())
    }
}
