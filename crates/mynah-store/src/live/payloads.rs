//! Messages: where each stands in the journal, and how many keys refer to it.

use std::collections::hash_map::{Entry, OccupiedEntry};

use super::{Live, Use, unseal};
use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::key::payload_key;
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
    /// The state does not know the message.
    pub(super) fresh: bool,
    /// It is not as in the state.
    pub(super) changed: bool,
}

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
    /// Where a message stands, if it is live.
    pub(crate) fn payload(&self, id: u64) -> Result<Option<PayloadPlace>, StateError> {
        match self.payloads.get(&id) {
            Some(recent) => Ok(recent.place),
            None => self.stored_payload(id),
        }
    }

    fn stored_payload(&self, id: u64) -> Result<Option<PayloadPlace>, StateError> {
        stored_payload(&*self.state, self.salt, id)
    }

    /// What is known of a message, kept to be changed.
    fn recent_payload(&mut self, id: u64) -> Result<OccupiedEntry<'_, u64, RecentPayload>, StateError> {
        match self.payloads.entry(id) {
            Entry::Occupied(known) => Ok(known),
            Entry::Vacant(vacant) => {
                let place = stored_payload(&*self.state, self.salt, id)?;
                Ok(vacant.insert_entry(RecentPayload { place, fresh: place.is_none(), changed: false }))
            }
        }
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
            let mut known = self.recent_payload(id)?;
            let recent = known.get_mut();
            let old = recent.place;
            if old.is_none() && !rebuilding {
                // Nobody wants it any more.
                if recent.fresh {
                    known.remove();
                }
                return Ok(());
            }
            let refs = old.map_or(0, |place| place.refs);
            let new = PayloadPlace { at, bytes, refs };
            (recent.place, recent.changed) = (Some(new), true);
            (old, new)
        } else {
            let new = PayloadPlace { at, bytes, refs: 0 };
            self.payloads.insert(id, RecentPayload { place: Some(new), fresh: true, changed: true });
            (None, new)
        };
        if let Some(old) = old {
            self.unuse(old);
        }
        let segment = self.uses.entry(new.at.segment).or_default();
        segment.bytes += u64::from(new.bytes);
        segment.payloads += 1;
        Ok(())
    }

    /// A key refers to a message. Returns whether the message is there.
    pub(super) fn refer(&mut self, id: u64) -> Result<bool, StateError> {
        if self.rebuilding {
            return Ok(true);
        }
        let mut known = self.recent_payload(id)?;
        let recent = known.get_mut();
        let there = recent.place.is_some();
        if let Some(place) = &mut recent.place {
            place.refs = place.refs.saturating_add(1);
            recent.changed = true;
        } else if recent.fresh {
            known.remove();
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
        let mut known = self.recent_payload(id)?;
        let recent = known.get_mut();
        let Some(place) = &mut recent.place else { return Ok(()) };
        place.refs = place.refs.saturating_sub(by);
        recent.changed = true;
        if place.refs > 0 {
            return Ok(());
        }
        let place = *place;
        recent.place = None;
        if recent.fresh {
            known.remove();
        }
        self.unuse(place);
        Ok(())
    }

    fn unuse(&mut self, place: PayloadPlace) {
        let Some(segment) = self.uses.get_mut(&place.at.segment) else { return };
        segment.bytes = segment.bytes.saturating_sub(u64::from(place.bytes));
        segment.payloads = segment.payloads.saturating_sub(1);
        if *segment == Use::default() {
            self.uses.remove(&place.at.segment);
        }
    }
}

/// Where the state says that a message stands.
fn stored_payload(state: &dyn State, salt: u32, id: u64) -> Result<Option<PayloadPlace>, StateError> {
    let key = payload_key(id);
    let Some(sealed) = state.get(&key)? else { return Ok(None) };
    let place = PayloadPlace::decode(unseal(salt, &key, &sealed)?);
    place.map(Some).ok_or_else(|| StateError("a message's place is damaged".to_owned()))
}
