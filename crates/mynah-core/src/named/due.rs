//! Time: what is due in a queue, and the end of the queue itself.

use core::time::Duration;

use mynah_model::{DeathReason, Instant};

use super::NamedQueue;
use super::entry::NamedEntry;
use super::ready::Place;

/// The least time.
const MOMENT: Duration = Duration::from_micros(1);

impl NamedQueue {
    /// Does what is due: entries are wanted no longer, are no longer delayed, or were held for too long. At most `budget`
    /// entries; returns whether there may be more.
    pub fn handle_time(&mut self, now: Instant, budget: usize) -> bool {
        for _ in 0..budget {
            if let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
                let ((_, sequence), body) = entry.remove_entry();
                self.make_ready(NamedEntry { sequence, body });
            } else if let Some(&(_, place)) = self.deadlines.first().filter(|(time, _)| *time < now) {
                self.expire_at(place);
            } else if self.oldest_end().is_some_and(|end| end <= now) {
                self.drop_oldest();
            } else {
                self.release_overdue(now);
                return false;
            }
        }
        true
    }

    /// The entry at a place is wanted no longer.
    pub(super) fn expire_at(&mut self, place: Place) {
        if let Some(entry) = self.take_ready(place) {
            self.drop_entry(entry, DeathReason::Expired);
        }
    }

    /// When the oldest entry of a stream is too old.
    fn oldest_end(&self) -> Option<Instant> {
        let age_max = self.settings.stream?.age_max?;
        self.ready.first_from(Place::default()).map(|(_, body)| body.time + age_max)
    }

    /// When [`NamedQueue::handle_time`] wants to be called, or the queue ends because nobody uses it.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let delayed = self.delayed.keys().next().map(|(due, _)| *due);
        let expires = self.deadlines.first().map(|(time, _)| *time + MOMENT);
        let held = self.settings.lease_max.and_then(|max| {
            self.consumers.values().filter_map(super::Consumer::oldest).min().map(|since| since + max)
        });
        [delayed, expires, held, self.oldest_end(), self.ends_at()].into_iter().flatten().min()
    }

    /// When the queue ends, if nobody uses it until then.
    fn ends_at(&self) -> Option<Instant> {
        self.settings.expires.filter(|_| self.counted == 0).map(|expires| self.used_at + expires)
    }

    /// Whether the queue is to end: nobody has used it for long, or its last consumer has gone.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        let is_left = self.settings.auto_delete && self.had_consumer && self.counted == 0;
        is_left || self.ends_at().is_some_and(|end| end <= now)
    }

    /// Somebody has declared the queue again, or polled it.
    pub const fn touch(&mut self, now: Instant) {
        self.used_at = now;
    }
}
