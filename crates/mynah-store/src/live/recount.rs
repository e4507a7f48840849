//! Making a state anew: keys and values of a snapshot, what the journal said since, and then a count of who refers to
//! which message.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, HashMap};

use super::flush::{append_pair, pairs};
use super::{Digest, Live, PayloadPlace, Use, seal, unseal};
use crate::position::Position;
use crate::record::item::payload_in;
use crate::record::key::{payload_of, tag};
use crate::state::{Change, StateError};

/// The body of a record of a snapshot, and the last key in it.
pub(crate) type Piece = (Vec<u8>, Vec<u8>);

impl Live {
    /// Begins to make the state anew. What is applied until [`Live::recount`] may stand in it already.
    pub(crate) fn begin_rebuild(&mut self) {
        self.rebuilding = true;
    }

    /// Takes in a piece of a snapshot. Returns whether it could be read.
    pub(crate) fn restore(&mut self, body: &[u8]) -> Result<bool, StateError> {
        // Which snapshot it belongs to.
        let (mut sound, mut changes) = (body.len() >= 8, Vec::new());
        for pair in pairs(body.get(8..).unwrap_or_default()) {
            let Some((key, value)) = pair else {
                sound = false;
                break;
            };
            if let Some(id) = payload_of(key) {
                self.next_payload = self.next_payload.max(id.saturating_add(1));
            }
            changes.push((key.into(), Some(seal(self.salt, key, value).0)));
        }
        self.commit_pieces(changes)?;
        Ok(sound)
    }

    /// Counts references, drops what refers to nothing and, unless `keep_idle`, what nothing refers to. Says what the
    /// state holds.
    pub(crate) fn recount(&mut self, keep_idle: bool) -> Result<(), StateError> {
        self.flush_all()?;
        let mut refs: HashMap<u64, u32> = HashMap::new();
        self.each(tag::SETTING, tag::END, |key, value| {
            if let Some(id) = payload_in(key[0], value) {
                *refs.entry(id).or_default() += 1;
            }
        })?;
        let (mut uses, mut changes) = (BTreeMap::<u32, Use>::new(), Vec::<Change>::new());
        let salt = self.salt;
        self.each(tag::PAYLOAD, tag::SETTING, |key, value| {
            let (place, id) = (PayloadPlace::decode(value), payload_of(key).unwrap_or_default());
            let count = refs.remove(&id).or(keep_idle.then_some(0));
            let (Some(place), Some(refs)) = (place, count) else { return changes.push((key.into(), None)) };
            uses.entry(place.at.segment).or_default().add(place.bytes, id);
            let value = seal(salt, key, &PayloadPlace { refs, ..place }.encode()).0;
            changes.push((key.into(), Some(value)));
        })?;
        // What is left refers to messages that are nowhere.
        let mut lost: Vec<Box<[u8]>> = Vec::new();
        self.each(tag::SETTING, tag::END, |key, value| {
            if payload_in(key[0], value).is_some_and(|id| refs.contains_key(&id)) {
                lost.push(key.into());
            }
        })?;
        for key in lost {
            self.lose(&key);
            changes.push((key, None));
        }
        self.commit_pieces(changes)?;
        let mut digest = Digest::default();
        let salt = self.salt;
        self.each(tag::PAYLOAD, tag::END, |key, value| digest.add(seal(salt, key, value).1))?;
        (self.digest, self.uses, self.rebuilding) = (digest, uses, false);
        self.commit(Vec::new())?;
        self.state.sync()?;
        self.flushed = self.applied;
        Ok(())
    }

    /// Keys and values whose tags are from `from` on to the one before `to`.
    fn each(&self, from: u8, to: u8, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        let mut fault = None;
        self.state.scan(&[from], &[to], &mut |key, sealed| match unseal(self.salt, key, sealed) {
            Ok(value) => {
                visit(key, value);
                ControlFlow::Continue(())
            }
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        })?;
        fault.map_or(Ok(()), Err)
    }

    /// The first piece of a snapshot, with what the state has as one value; none if that is nothing.
    pub(crate) fn snapshot_young(&self, base: Position) -> Option<Vec<u8>> {
        (!self.young.is_empty()).then(|| [&base.to_u64().to_le_bytes()[..], &self.young].concat())
    }

    /// The next piece of a snapshot from the key `from` on; none at the end. The pieces need not be of one moment: what was changed meanwhile is said again by the journal.
    pub(crate) fn snapshot_piece(
        &self,
        base: Position,
        from: &[u8],
        bytes_max: usize,
    ) -> Result<Option<Piece>, StateError> {
        let (mut body, mut last, mut fault) = (base.to_u64().to_le_bytes().to_vec(), Vec::new(), None);
        self.state.scan(from, &[tag::END], &mut |key, sealed| {
            let value = match unseal(self.salt, key, sealed) {
                Ok(value) => value,
                Err(error) => {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            };
            append_pair(&mut body, key, value);
            last = key.to_vec();
            if body.len() < bytes_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok((!last.is_empty()).then_some((body, last))),
        }
    }
}
