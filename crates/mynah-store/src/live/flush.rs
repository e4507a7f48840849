//! Writing recent changes to the state, together with how far they go.

use std::collections::BTreeMap;

use super::{Digest, Live, PayloadPlace, Use};
use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::key::{payload_key, tag};
use crate::state::{Change, StateError};

/// The key of the state's own record.
pub(crate) const META_KEY: &[u8] = &[tag::META];

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
}

const META_VERSION: u8 = 1;

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
        for (segment, used) in &self.uses {
            out.extend_from_slice(&segment.to_le_bytes());
            out.extend_from_slice(&used.bytes.to_le_bytes());
            out.extend_from_slice(&used.payloads.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.u8()? != META_VERSION {
            return None;
        }
        let mut meta = Self {
            applied: Position::from_u64(fields.u64()?),
            snapshot: Position::from_u64(fields.u64()?),
            digest: Digest { count: fields.u64()?, sum: fields.u64()? },
            next_payload: fields.u64()?,
            uses: BTreeMap::new(),
        };
        while !fields.is_empty() {
            let segment = fields.u32()?;
            meta.uses.insert(segment, Use { bytes: fields.u64()?, payloads: fields.u64()? });
        }
        Some(meta)
    }
}

/// The checksum of a key and its value: also what they add to the digest.
fn term(salt: u32, key: &[u8], value: &[u8]) -> u32 {
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
    /// Writes all recent changes to the state, and makes them last.
    pub(crate) fn flush(&mut self) -> Result<(), StateError> {
        if self.applied == self.flushed && self.recent.is_empty() && self.payloads.is_empty() {
            return Ok(());
        }
        let mut digest = self.digest;
        let mut changes: Vec<Change> = Vec::new();
        let mut payloads: Vec<_> = self.payloads.drain().collect();
        payloads.sort_unstable_by_key(|(id, _)| *id);
        for (id, recent) in payloads {
            if recent.changed {
                let value = recent.place.map(PayloadPlace::encode);
                let value = value.as_ref().map(|bytes| &bytes[..]);
                self.change(&mut changes, &mut digest, &payload_key(id), value, recent.fresh)?;
            }
        }
        let recent = core::mem::take(&mut self.recent);
        recent.drain(|key, recent| {
            self.change(&mut changes, &mut digest, key, recent.value.as_deref(), recent.fresh)
        })?;
        self.digest = digest;
        self.changes += changes.len() as u64;
        self.commit(changes)?;
        self.state.sync()?;
        self.flushed = self.applied;
        Ok(())
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
        fresh: bool,
    ) -> Result<(), StateError> {
        let old = if fresh { None } else { self.state.get(key)? };
        if let Some(old) = &old {
            let sum = term_of(old);
            digest.subtract(sum.ok_or_else(|| StateError("the state is damaged".to_owned()))?);
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
