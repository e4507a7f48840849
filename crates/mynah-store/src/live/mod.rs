//! What is live: the state, and in front of it what the journal has said since the state was last written. A message
//! that comes and goes in between never reaches the state.

mod flush;
mod numbers;
mod pages;
mod payloads;
mod recents;
mod recount;
mod seen;
#[cfg(test)]
mod tests;

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::frame::{Frame, Kind};
use crate::record::item::payload_in;
use crate::record::key::{self, tag};
use crate::record::message::payload_id;
use crate::state::{State, StateError};

use flush::term;
pub(crate) use flush::{META_KEY, Meta, seal, term_of, unseal};
use pages::Pages;
pub(crate) use payloads::PayloadPlace;
use recents::{Bytes, Recents, Stored};

/// What of a segment is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) bytes: u64,
    pub(crate) payloads: u64,
    /// The least and the greatest name of the messages that were ever live in it.
    pub(crate) ids: (u64, u64),
}

impl Default for Use {
    fn default() -> Self {
        Self { bytes: 0, payloads: 0, ids: (u64::MAX, 0) }
    }
}

impl Use {
    /// One more message is live.
    pub(crate) fn add(&mut self, bytes: u32, id: u64) {
        self.bytes += u64::from(bytes);
        self.payloads += 1;
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
    }
}

/// Bytes of recent changes above which the state is written.
const RECENT_MAX: usize = 32 << 20;

/// Messages of which something is known that the state does not know, above which it is written: that takes several times
/// their bytes. More than are written as one value.
const MESSAGES_MAX: usize = if cfg!(test) { 256 } else { 48 << 10 };

/// Keys whose loss is told one by one; of further ones only the number.
const LOST_MAX: usize = 1000;

pub(crate) struct Live {
    state: Box<dyn State>,
    salt: u32,
    recent: Recents,
    /// Entries of the state that were read lately, and are likely to go next.
    seen: Recents,
    payloads: Pages,
    uses: BTreeMap<u32, Use>,
    /// What the state holds, checked when it is read from start to end.
    digest: Digest,
    /// Everything before was applied.
    applied: Position,
    /// Everything before is in the state, and synced there.
    flushed: Position,
    /// Where the newest complete snapshot begins to be right.
    snapshot: Option<Position>,
    next_payload: u64,
    /// What the state has as one value: keys and values that came last before it was written.
    young: Vec<u8>,
    /// Messages from this name on came since the state was written.
    young_from: u64,
    /// Values of entries that are going.
    released: Vec<Bytes>,
    /// Changes since the state was last compacted.
    changes: u64,
    /// The state may hold what is still to be applied; references are counted afterwards.
    rebuilding: bool,
    lost: Vec<Box<[u8]>>,
    lost_count: u64,
    malformed: u64,
}

/// Says whether a set of keys and values is the one that was written, but for a chance of 2^-32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, term: u32) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(u64::from(term));
    }

    pub(crate) fn subtract(&mut self, term: u32) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(u64::from(term));
    }
}

/// Keys and values.
pub(crate) type Pairs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Tags of what belongs to a session or queue, itself included.
const OWNED: [u8; 7] =
    [tag::OWNER, tag::SUBSCRIPTION, tag::RECEIVED, tag::PART, tag::WILL, tag::LEASE, tag::ENTRY];

impl Live {
    /// What `state` says is live. A state that is new says that nothing is, as of before the journal.
    pub(crate) fn load(state: Box<dyn State>, salt: u32) -> Result<Self, StateError> {
        let meta = match state.get(META_KEY)? {
            None => Meta::default(),
            Some(sealed) => {
                let bytes = unseal(salt, META_KEY, &sealed)?;
                Meta::decode(bytes)
                    .ok_or_else(|| StateError("the state's own record is damaged".to_owned()))?
            }
        };
        let mut live = Self {
            state,
            salt,
            recent: Recents::default(),
            seen: Recents::default(),
            payloads: Pages::default(),
            released: Vec::new(),
            young: Vec::new(),
            young_from: 0,
            uses: meta.uses,
            digest: meta.digest,
            applied: meta.applied,
            flushed: meta.applied,
            snapshot: (meta.snapshot != Position::START).then_some(meta.snapshot),
            next_payload: meta.next_payload,
            changes: 0,
            rebuilding: false,
            lost: Vec::new(),
            lost_count: 0,
            malformed: 0,
        };
        if let Some(sum) = meta.young {
            live.load_young(sum)?;
        }
        Ok(live)
    }

    pub(crate) fn applied(&self) -> Position {
        self.applied
    }

    /// Everything before is in the state, and synced there.
    pub(crate) fn flushed(&self) -> Position {
        self.flushed
    }

    pub(crate) fn snapshot(&self) -> Option<Position> {
        self.snapshot
    }

    pub(crate) fn set_snapshot(&mut self, base: Position) {
        self.snapshot = Some(base);
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn uses(&self) -> &BTreeMap<u32, Use> {
        &self.uses
    }

    pub(crate) fn next_payload(&self) -> u64 {
        self.next_payload
    }

    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    pub(crate) fn state(&self) -> &dyn State {
        &*self.state
    }

    /// Whether there is so much that the state does not know that it is to be written before it is time.
    pub(crate) fn is_to_be_flushed(&self) -> bool {
        self.recent.bytes() + self.payloads.bytes() > RECENT_MAX || self.payloads.len() > MESSAGES_MAX
    }

    /// Keys that were lost since the last call because the messages they refer to are, and how many.
    pub(crate) fn take_lost(&mut self) -> (Vec<Box<[u8]>>, u64) {
        (core::mem::take(&mut self.lost), core::mem::take(&mut self.lost_count))
    }

    /// Records since the last call that are right by their checksums and mean nothing.
    pub(crate) fn take_malformed(&mut self) -> u64 {
        core::mem::take(&mut self.malformed)
    }

    /// Everything before `position` was applied, or cannot be.
    pub(crate) fn set_applied(&mut self, position: Position) {
        self.applied = self.applied.max(position);
    }

    /// Takes in what a frame says that starts at `at` and takes `bytes`.
    pub(crate) fn apply(&mut self, frame: Frame<'_>, at: Position, bytes: u32) -> Result<(), StateError> {
        self.applied = Position::new(at.segment, at.offset + bytes);
        if self.try_apply(frame, at, bytes)?.is_none() {
            self.malformed += 1;
        }
        Ok(())
    }

    fn try_apply(&mut self, frame: Frame<'_>, at: Position, bytes: u32) -> Result<Option<()>, StateError> {
        let mut fields = Fields(frame.body);
        match frame.kind {
            Kind::Commit | Kind::SnapshotBegin | Kind::SnapshotItems => {}
            Kind::SnapshotEnd => {
                let Some(base) = fields.u64() else { return Ok(None) };
                self.snapshot = self.snapshot.max(Some(Position::from_u64(base)));
            }
            Kind::Payload | Kind::Moved => {
                let Some(id) = payload_id(frame.body) else { return Ok(None) };
                self.payload_stands(id, at, bytes, frame.kind == Kind::Moved)?;
            }
            Kind::Referred => {
                let Some((message, Some((key, value)))) = frame.message() else { return Ok(None) };
                let (Some(&tag), Some(id)) = (key.first(), payload_id(message)) else { return Ok(None) };
                if payload_in(tag, value) != Some(id) {
                    return Ok(None);
                }
                self.referred(id, (at, bytes), key, value)?;
            }
            Kind::Put | Kind::Delete | Kind::Truncate | Kind::Clear => {
                let Some(key) = fields.short() else { return Ok(None) };
                if key.is_empty() || key[0] < tag::SETTING {
                    return Ok(None);
                }
                match frame.kind {
                    Kind::Put => self.put(key, fields.rest())?,
                    Kind::Delete => self.delete(key)?,
                    Kind::Truncate => {
                        let (Some(from), Some(to)) = (fields.u64(), fields.u64()) else { return Ok(None) };
                        self.truncate(key, from, to)?;
                    }
                    _ => self.clear(key)?,
                }
            }
        }
        Ok(Some(()))
    }

    /// A key has a value.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        let payload = payload_in(key[0], value);
        // The new reference first: so that a value that is set again to the same message does not lose it.
        if let Some(id) = payload
            && !self.refer(id)?
        {
            self.lose(key);
            return self.delete(key);
        }
        let stored = self.stored_before(key)?;
        match self.recent.insert(key, Some(value), stored) {
            Some(old) => self.release_in(key, old.value.as_deref()),
            None => Ok(()),
        }
    }

    /// What the state holds under a key, if that was not known yet: then what its value refers to loses a reference. The
    /// sequence number of an entry is used once, so an entry that appears is new, and so is the lease of one that just
    /// appeared.
    fn stored_before(&mut self, key: &[u8]) -> Result<Stored, StateError> {
        match key[0] {
            _ if self.rebuilding => Ok(Stored::Unknown),
            tag::ENTRY => Ok(Stored::Absent),
            tag::LEASE if self.recent.has_fresh_entry(key) => Ok(Stored::Absent),
            tag::WILL | tag::RETAINED | tag::DELAYED if !self.recent.contains(key) => {
                self.release_stored(key)
            }
            _ => Ok(Stored::Unknown),
        }
    }

    /// A key has no value.
    fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        let seen = self.seen.remove(key);
        let stored = match self.recent.remove(key).or(seen) {
            Some(old) => {
                self.release_in(key, old.value.as_deref())?;
                old.stored
            }
            None => self.release_stored(key)?,
        };
        if stored != Stored::Absent {
            self.recent.insert(key, None, stored);
        }
        Ok(())
    }

    /// What a value refers to loses a reference, unless that is counted later.
    fn release_in(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        match value.and_then(|value| payload_in(key[0], value)) {
            Some(id) if !self.rebuilding => self.release(id),
            _ => Ok(()),
        }
    }

    /// What the value of a key in the state refers to loses a reference, unless that is counted later. Returns what the
    /// state holds.
    fn release_stored(&mut self, key: &[u8]) -> Result<Stored, StateError> {
        if self.rebuilding || !matches!(key[0], tag::WILL | tag::ENTRY | tag::RETAINED | tag::DELAYED) {
            return Ok(Stored::Unknown);
        }
        let Some(sealed) = self.state.get(key)? else { return Ok(Stored::Absent) };
        let value = unseal(self.salt, key, &sealed)?;
        self.release_in(key, Some(value))?;
        Ok(term_of(&sealed).map_or(Stored::Unknown, Stored::Sum))
    }

    /// The entries of a queue from one number to the one before another are gone.
    fn truncate(&mut self, owner: &[u8], from: u64, to: u64) -> Result<(), StateError> {
        let from = if self.rebuilding { from } else { self.truncate_recent(owner, from, to)? };
        if from >= to {
            return Ok(());
        }
        let unseen = self.truncate_seen(owner, from, to)?;
        for (tag, from) in [(tag::LEASE, from), (tag::ENTRY, unseen)] {
            let [from, to] = [from, to].map(|number| numbered(owner, tag, number));
            self.delete_range(from, &to)?;
        }
        Ok(())
    }

    /// Removes entries that never reached the state. Returns the first number of which that is not known.
    fn truncate_recent(&mut self, owner: &[u8], from: u64, to: u64) -> Result<u64, StateError> {
        let mut released = core::mem::take(&mut self.released);
        let from = self.recent.remove_fresh(&owner[1..], from, to, &mut released);
        for value in released.drain(..) {
            self.release_in(&[tag::ENTRY], Some(&value))?;
        }
        self.released = released;
        Ok(from)
    }

    /// Everything of a session or queue is gone.
    fn clear(&mut self, owner: &[u8]) -> Result<(), StateError> {
        for tag in OWNED {
            let mut prefix = owner.to_vec();
            prefix[0] = tag;
            let end = key::after(&prefix);
            self.delete_range(prefix, &end)?;
        }
        Ok(())
    }

    fn delete_range(&mut self, mut from: Vec<u8>, to: &[u8]) -> Result<(), StateError> {
        const AT_ONCE: usize = 1024;
        loop {
            let pairs = self.scan(&from, to, AT_ONCE)?;
            self.expect_messages(&pairs)?;
            for (key, value) in &pairs {
                self.delete_known(key, value)?;
            }
            match pairs.last() {
                Some((last, _)) if pairs.len() == AT_ONCE => from = [&last[..], &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    /// A key that has this value has none from here on.
    fn delete_known(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        if self.rebuilding || self.recent.contains(key) {
            return self.delete(key);
        }
        self.seen.remove(key);
        self.release_in(key, Some(value))?;
        self.recent.insert(key, None, Stored::Sum(term(self.salt, key, value)));
        Ok(())
    }

    /// Looks up the messages that values refer to, all at once.
    fn expect_messages(&mut self, pairs: &Pairs) -> Result<(), StateError> {
        let refers = |(key, value): &(Box<[u8]>, Box<[u8]>)| payload_in(key[0], value);
        let ids: Vec<u64> = pairs.iter().filter_map(refers).collect();
        if !self.rebuilding {
            self.know_payloads(&ids)?;
        }
        Ok(())
    }

    /// Keys and values from `from` on to the one before `to`, `max` at most. Not of messages, see
    /// [`Live::payload_places`].
    pub(crate) fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<Pairs, StateError> {
        let mut found: Pairs = Vec::new();
        let mut fault = None;
        self.state.scan(from, to, &mut |key, sealed| {
            if !self.recent.contains(key) {
                match unseal(self.salt, key, sealed) {
                    Ok(value) => found.push((key.into(), value.into())),
                    Err(error) => fault = Some(error),
                }
            }
            if fault.is_none() && found.len() < max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        // Beyond what the state was read, recent keys would come too early.
        let last = found.last().filter(|_| found.len() >= max).map(|(last, _)| [&last[..], &[0]].concat());
        let stored = found.len();
        self.recent.scan(from, last.as_deref().unwrap_or(to), max, &mut found);
        if found.len() > stored && stored > 0 {
            found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        found.truncate(max);
        Ok(found)
    }

    /// A key is gone, because what it refers to is.
    pub(crate) fn forget(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.delete(key)
    }

    fn lose(&mut self, key: &[u8]) {
        self.lost_count += 1;
        if self.lost.len() < LOST_MAX {
            self.lost.push(key.into());
        }
    }
}

/// The key of an entry or a lease, from that of its owner.
fn numbered(owner: &[u8], tag: u8, number: u64) -> Vec<u8> {
    let mut key = owner.to_vec();
    key[0] = tag;
    key.extend_from_slice(&number.to_be_bytes());
    key
}
