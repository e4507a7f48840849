//! Settling leases: what becomes of entries that were handed out.

use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{DeathReason, Instant, LeaseSettlement};

use super::NamedQueue;
use super::consumer::{Consumer, ConsumerKey};
use super::entry::{Body, NamedEntry, Returned};

impl NamedQueue {
    /// Settles the leases of a consumer from one number to another, those that it holds.
    pub fn settle(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        first: u64,
        last: u64,
        settlement: LeaseSettlement,
    ) {
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        let mut entries = core::mem::take(&mut self.settling);
        consumer.take(first, last, |entry| entries.push(entry));
        let is_done = consumer.is_cancelled && consumer.is_free();
        self.settle_entries(now, &mut entries, settlement);
        self.settling = entries;
        if is_done {
            self.consumers.remove(&key);
        }
    }

    /// Takes leases out of their consumer's hands: they are settled by this number from here on, which no others have.
    /// Returns the numbers of the entries that are stored, in ascending order.
    pub fn pledge(&mut self, key: ConsumerKey, first: u64, last: u64, pledge: u64) -> Vec<u64> {
        let Some(consumer) = self.consumers.get_mut(&key) else { return Vec::new() };
        let entries = self.pledged.entry(pledge).or_default();
        consumer.take(first, last, |entry| entries.push(entry));
        let stored = entries.iter().filter(|entry| entry.body.stored).map(|entry| entry.sequence);
        let mut stored: Vec<u64> = stored.collect();
        stored.sort_unstable();
        if consumer.is_cancelled && consumer.is_free() {
            self.consumers.remove(&key);
        }
        stored
    }

    /// Settles what was pledged under this number.
    pub fn settle_pledge(&mut self, now: Instant, pledge: u64, settlement: LeaseSettlement) {
        let mut entries = self.pledged.remove(&pledge).unwrap_or_default();
        self.settle_entries(now, &mut entries, settlement);
    }

    fn settle_entries(&mut self, now: Instant, entries: &mut Vec<NamedEntry>, settlement: LeaseSettlement) {
        let (dropped, gone) = (self.dropped.len(), self.gone.len());
        self.leased -= entries.len();
        for entry in entries.drain(..) {
            match settlement {
                LeaseSettlement::Accepted => {
                    self.tally.accepted += 1;
                    self.forget(&entry);
                }
                LeaseSettlement::Released { after } => self.give_back(now, entry, false, after),
                LeaseSettlement::Failed { after } => self.give_back(now, entry, true, after),
                LeaseSettlement::Rejected => self.drop_entry(entry, DeathReason::Rejected),
            }
        }
        // The latest came first, which is the shorter way back to their places.
        self.dropped[dropped..].reverse();
        self.gone[gone..].reverse();
    }

    /// Gives back all that a consumer holds.
    pub(super) fn give_back_all(&mut self, now: Instant, key: ConsumerKey, failed: bool) {
        let settlement = if failed { LeaseSettlement::FAILED } else { LeaseSettlement::RELEASED };
        self.settle(now, key, 0, u64::MAX, settlement);
    }

    /// Puts an entry back to its place.
    pub(super) fn give_back(&mut self, now: Instant, mut entry: NamedEntry, failed: bool, after: Duration) {
        let body = &mut entry.body;
        body.acquired = body.acquired.saturating_add(1);
        body.failed = body.failed.saturating_add(failed.into());
        let limit = self.settings.delivery_limit.map_or(u32::MAX, core::num::NonZeroU32::get);
        if failed && body.failed > limit {
            return self.drop_entry(entry, DeathReason::DeliveryLimit);
        }
        let until = (!after.is_zero()).then(|| now + after);
        if body.stored {
            let NamedEntry { sequence, body: Body { acquired, failed, .. } } = entry;
            self.returned.push(Returned { sequence, acquired, failed, until });
        }
        match until {
            Some(until) => drop(self.delayed.insert((until, entry.sequence), entry.body)),
            None => self.make_ready(entry),
        }
    }

    /// Releases what was held for too long.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        let Some(max) = self.settings.lease_max else { return };
        let overdue = |c: &Consumer| c.oldest().is_some_and(|since| since + max <= now);
        let keys = self.consumers.iter().filter(|(_, consumer)| overdue(consumer));
        let keys: Vec<ConsumerKey> = keys.map(|(key, _)| *key).collect();
        for key in keys {
            while let Some(entry) = self.consumers.get_mut(&key).and_then(|c| c.take_overdue(now, max)) {
                self.leased -= 1;
                self.give_back(now, entry, false, Duration::ZERO);
            }
            if self.consumers.get(&key).is_some_and(|c| c.is_cancelled && c.is_free()) {
                self.consumers.remove(&key);
            }
        }
    }
}
