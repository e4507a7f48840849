//! Messages: where each stands in the journal, and how many keys refer to it.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use super::recents::Stored;
use super::{Live, term_of, unseal};
use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::key::{payload_key, payload_of, tag};
use crate::state::{State, StateError};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayloadPlace {
    /// Where its frame starts.
    pub(crate) at: Position,
    /// Bytes of the frame.
    pub(crate) bytes: u32,
    /// Keys that refer to it.
    pub(crate) refs: u32,
}

/// What is known of a message that the state does not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecentPayload {
    pub(super) place: Option<PayloadPlace>,
    /// The checksum of what the state knows of the message, if it does.
    pub(super) stored: Option<u32>,
    /// It is not as in the state.
    pub(super) changed: bool,
}

/// Names with gaps of this many between them are looked up one by one.
const GAPS_MAX: u64 = 4;

/// Where the state says that messages stand, and the checksums of that.
type StoredPlaces = BTreeMap<u64, (PayloadPlace, u32)>;

/// Messages by their names, and the name to go on with.
pub(crate) type Found = (Vec<(u64, PayloadPlace)>, Option<u64>);

impl PayloadPlace {
    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.at.to_u64().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..].copy_from_slice(&self.refs.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let place = Self { at: Position::from_u64(fields.u64()?), bytes: fields.u32()?, refs: fields.u32()? };
        fields.is_empty().then_some(place)
    }

    /// The bytes of its segment that the frame takes.
    pub(crate) fn range(&self) -> core::ops::Range<u64> {
        let from = u64::from(self.at.offset);
        from..from + u64::from(self.bytes)
    }
}

impl Live {
    /// Where messages stand that are live, in the order in which they are named here.
    pub(crate) fn payload_places(&self, ids: &[u64]) -> Result<Vec<Option<PayloadPlace>>, StateError> {
        let stored = self.stored_payloads(ids)?;
        let place = |id| match self.payloads.get(id) {
            Some(recent) => recent.place,
            None => stored.get(&id).map(|(place, _)| *place),
        };
        Ok(ids.iter().map(|id| place(*id)).collect())
    }

    /// What is known of messages is kept to be changed.
    pub(super) fn know_payloads(&mut self, ids: &[u64]) -> Result<(), StateError> {
        for (id, (place, sum)) in self.stored_payloads(ids)? {
            if self.payloads.get(id).is_none() {
                let (place, stored) = (Some(place), Some(sum));
                self.payloads.insert(id, RecentPayload { place, stored, changed: false });
            }
        }
        Ok(())
    }

    /// Where the state says that these messages stand. Names that follow each other are read in one go.
    fn stored_payloads(&self, ids: &[u64]) -> Result<StoredPlaces, StateError> {
        let wanted: BTreeSet<u64> =
            ids.iter().copied().filter(|id| self.payloads.get(*id).is_none()).collect();
        let (mut found, mut fault) = (StoredPlaces::new(), None);
        let (Some(&first), Some(&last)) = (wanted.first(), wanted.last()) else { return Ok(found) };
        let is_dense = last - first < GAPS_MAX * wanted.len() as u64;
        let Some(end) = last.checked_add(1).filter(|_| is_dense) else {
            for id in wanted {
                found.extend(stored_payload(&*self.state, self.salt, id)?.map(|stored| (id, stored)));
            }
            return Ok(found);
        };
        self.state.scan(&payload_key(first), &payload_key(end), &mut |key, sealed| {
            let read = payload_of(key).ok_or_else(damaged_place).and_then(|id| {
                let stored = wanted.contains(&id).then(|| read_place(self.salt, key, sealed));
                found.extend(stored.transpose()?.map(|stored| (id, stored)));
                Ok(())
            });
            fault = read.err();
            if fault.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        fault.map_or(Ok(found), Err)
    }

    /// Messages that stand in a segment, with names from `from` to `to`, in the order of their names. Looks at `keys_max`
    /// keys and stops at `bytes_max` bytes: then the second is the name to go on with.
    pub(crate) fn messages_in(
        &self,
        segment: u32,
        (from, to): (u64, u64),
        (keys_max, bytes_max): (usize, u64),
    ) -> Result<Found, StateError> {
        let (mut found, mut keys, mut last, mut fault) = (Vec::new(), 0, to, None);
        let end = to.checked_add(1).map_or([tag::SETTING].to_vec(), |end| payload_key(end).to_vec());
        self.state.scan(&payload_key(from), &end, &mut |key, sealed| {
            let place = unseal(self.salt, key, sealed).map(PayloadPlace::decode);
            match (place, payload_of(key)) {
                (Ok(Some(place)), Some(id)) => {
                    if place.at.segment == segment && self.payloads.get(id).is_none() {
                        found.push((id, place));
                    }
                    keys += 1;
                    if keys == keys_max {
                        last = id;
                    }
                }
                (place, _) => fault = place.err().or_else(|| Some(damaged_place())),
            }
            if fault.is_none() && keys < keys_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let recent = self.payloads.range(from, last).filter_map(|(id, recent)| Some((id, recent.place?)));
        found.extend(recent.filter(|(_, place)| place.at.segment == segment));
        found.sort_unstable_by_key(|(id, _)| *id);
        let mut bytes = 0;
        let fit = found.iter().take_while(|(_, place)| {
            let fits = bytes < bytes_max;
            bytes += u64::from(place.bytes);
            fits
        });
        let fit = fit.count();
        let next = found.get(fit).map(|(id, _)| *id).or(last.checked_add(1).filter(|_| last < to));
        found.truncate(fit);
        Ok((found, next))
    }

    /// What is known of a message, kept to be changed.
    fn recent_payload(&mut self, id: u64) -> Result<&mut RecentPayload, StateError> {
        if self.payloads.get(id).is_none() {
            let stored = stored_payload(&*self.state, self.salt, id)?;
            let (place, stored) = (stored.map(|(place, _)| place), stored.map(|(_, sum)| sum));
            self.payloads.insert(id, RecentPayload { place, stored, changed: false });
        }
        self.payloads.get_mut(id).ok_or_else(|| StateError("a message was lost on the way".to_owned()))
    }

    /// A message stands in the journal, for the first time or as a copy.
    pub(super) fn payload_stands(
        &mut self,
        id: u64,
        at: Position,
        bytes: u32,
        moved: bool,
    ) -> Result<(), StateError> {
        self.next_payload = self.next_payload.max(id.saturating_add(1));
        let rebuilding = self.rebuilding;
        let (old, new) = if moved || rebuilding {
            let recent = self.recent_payload(id)?;
            let old = recent.place;
            if old.is_none() && !rebuilding {
                // Nobody wants it any more.
                if recent.stored.is_none() {
                    self.payloads.remove(id);
                }
                return Ok(());
            }
            let refs = old.map_or(0, |place| place.refs);
            let new = PayloadPlace { at, bytes, refs };
            (recent.place, recent.changed) = (Some(new), true);
            (old, new)
        } else {
            let new = PayloadPlace { at, bytes, refs: 0 };
            self.payloads.insert(id, RecentPayload { place: Some(new), stored: None, changed: true });
            (None, new)
        };
        if let Some(old) = old {
            self.unuse(old);
        }
        self.use_more(new, id);
        Ok(())
    }

    /// A message stands in the journal together with the first key that refers to it.
    pub(super) fn referred(
        &mut self,
        id: u64,
        (at, bytes): (Position, u32),
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StateError> {
        if self.rebuilding || key[0] != tag::ENTRY {
            self.payload_stands(id, at, bytes, false)?;
            return self.put(key, value);
        }
        self.next_payload = self.next_payload.max(id.saturating_add(1));
        let place = PayloadPlace { at, bytes, refs: 1 };
        self.payloads.insert(id, RecentPayload { place: Some(place), stored: None, changed: true });
        self.use_more(place, id);
        match self.recent.insert(key, Some(value), Stored::Absent) {
            Some(old) => self.release_in(key, old.value.as_deref()),
            None => Ok(()),
        }
    }

    /// A key refers to a message. Returns whether the message is there.
    pub(super) fn refer(&mut self, id: u64) -> Result<bool, StateError> {
        if self.rebuilding {
            return Ok(true);
        }
        let recent = self.recent_payload(id)?;
        let there = recent.place.is_some();
        if let Some(place) = &mut recent.place {
            place.refs = place.refs.saturating_add(1);
            recent.changed = true;
        } else if recent.stored.is_none() {
            self.payloads.remove(id);
        }
        Ok(there)
    }

    /// A key that referred to a message does not any more.
    pub(super) fn release(&mut self, id: u64) -> Result<(), StateError> {
        self.lower(id, 1)
    }

    /// Nobody refers to a message.
    pub(crate) fn drop_payload(&mut self, id: u64) -> Result<(), StateError> {
        self.lower(id, u32::MAX)
    }

    /// A message has so many references less; without any it is gone.
    fn lower(&mut self, id: u64, by: u32) -> Result<(), StateError> {
        let recent = self.recent_payload(id)?;
        let Some(place) = &mut recent.place else { return Ok(()) };
        place.refs = place.refs.saturating_sub(by);
        recent.changed = true;
        if place.refs > 0 {
            return Ok(());
        }
        let place = *place;
        recent.place = None;
        if recent.stored.is_none() {
            self.payloads.remove(id);
        }
        self.unuse(place);
        Ok(())
    }

    fn use_more(&mut self, place: PayloadPlace, id: u64) {
        self.uses.entry(place.at.segment).or_default().add(place.bytes, id);
    }

    fn unuse(&mut self, place: PayloadPlace) {
        let Some(segment) = self.uses.get_mut(&place.at.segment) else { return };
        segment.bytes = segment.bytes.saturating_sub(u64::from(place.bytes));
        segment.payloads = segment.payloads.saturating_sub(1);
        if segment.payloads == 0 {
            self.uses.remove(&place.at.segment);
        }
    }
}

/// Where the state says that a message stands, and the checksum of that.
fn stored_payload(state: &dyn State, salt: u32, id: u64) -> Result<Option<(PayloadPlace, u32)>, StateError> {
    let key = payload_key(id);
    state.get(&key)?.map(|sealed| read_place(salt, &key, &sealed)).transpose()
}

fn read_place(salt: u32, key: &[u8], sealed: &[u8]) -> Result<(PayloadPlace, u32), StateError> {
    let place = PayloadPlace::decode(unseal(salt, key, sealed)?);
    place.zip(term_of(sealed)).ok_or_else(damaged_place)
}

fn damaged_place() -> StateError {
    StateError("a message's place is damaged".to_owned())
}
