//! Entries that were read for a page: they are likely to go next, and then the state need not be asked again.

use super::flush::term;
use super::recents::Stored;
use super::{Live, Pairs, numbered};
use crate::record::item::payload_in;
use crate::record::key::{after, tag};
use crate::state::StateError;

/// Bytes of what is kept of entries that were read, roughly. Beyond that all of it is forgotten.
const SEEN_MAX: usize = if cfg!(test) { 1 << 10 } else { 8 << 20 };

impl Live {
    /// Entries of one queue from the one with a key on, `max` at most, with their values. They and what is known of their
    /// messages are kept for when they go.
    pub(crate) fn see_entries(&mut self, key: &[u8], max: usize) -> Result<Pairs, StateError> {
        let prefix = key.get(..key.len().saturating_sub(8)).unwrap_or_default();
        let pairs = self.scan(key, &after(prefix), max)?;
        self.expect_messages(&pairs)?;
        if self.seen.bytes() > SEEN_MAX {
            self.seen = Default::default();
        }
        for (key, value) in &pairs {
            if key[0] == tag::ENTRY && !self.rebuilding && !self.recent.contains(key) {
                self.seen.insert(key, Some(value), Stored::Sum(term(self.salt, key, value)));
            }
        }
        Ok(pairs)
    }

    /// Removes entries that were seen, one after the other. Returns the first number that was not.
    pub(super) fn truncate_seen(&mut self, owner: &[u8], from: u64, to: u64) -> Result<u64, StateError> {
        let run = self.seen.take_run(&owner[1..], from, to);
        let ids = run.iter().filter_map(|(_, entry)| payload_in(tag::ENTRY, entry.value.as_deref()?));
        self.know_payloads(&ids.collect::<Vec<_>>())?;
        let end = run.last().map_or(from, |(last, _)| last + 1);
        let mut key = numbered(owner, tag::ENTRY, from);
        let number_at = key.len() - 8;
        for (number, entry) in run {
            key[number_at..].copy_from_slice(&number.to_be_bytes());
            if self.recent.contains(&key) {
                self.delete(&key)?;
                continue;
            }
            self.release_in(&key, entry.value.as_deref())?;
            self.recent.insert(&key, None, entry.stored);
        }
        Ok(end)
    }
}
