//! Paging: of a long queue whose entries a store keeps, those in the middle are held by the store alone.
//!
//! Only a plain queue is paged: one without priorities, lifetimes and bounds, so that nothing but the order says which entry is
//! next; and only entries that nobody had before and that are wanted for ever. The front stays in memory, and so does what is not
//! stored yet. A queue from which somebody has taken by choice is not paged any more; it comes back page by page.

use mynah_model::Message;

use super::NamedQueue;
use super::entry::{Arrival, Body, NEVER};

/// Entries at the front that stay in memory.
const FRONT: usize = if cfg!(test) { 4 } else { 8_192 };
/// With fewer than these at the front more are read.
const LOW: usize = if cfg!(test) { 2 } else { 4_096 };
/// Entries of one page.
pub const PAGE: usize = if cfg!(test) { 3 } else { 4_096 };
/// Fewer are not worth the work.
const WORTH: usize = if cfg!(test) { 1 } else { 256 };

impl NamedQueue {
    /// Whether entries of this queue may be held by a store alone.
    const fn is_plain(&self) -> bool {
        let settings = &self.settings;
        settings.durable
            && settings.stream.is_none()
            && settings.priority_max.is_none()
            && settings.message_ttl.is_none()
            && settings.length_max.is_none()
            && settings.bytes_max.is_none()
            && !self.has_looked
    }

    /// Lets go of entries that are not at the front, up to the number `stored`: the store has them.
    pub fn let_go(&mut self, stored: u64) {
        if self.is_plain() && self.ready.in_memory() >= FRONT + WORTH {
            // One that waits for its time comes back between those of the earlier run.
            let shown_to = if self.delayed.is_empty() { self.shown_to } else { 0 };
            let is_kept = |sequence: u64, body: &Body| {
                let is_new = body.acquired == u32::from(sequence < shown_to) && body.failed == 0;
                body.stored && body.time == NEVER && is_new && body.history.is_none()
            };
            self.ready.let_go(FRONT, stored, is_kept);
        }
    }

    /// The number from which on the next page is wanted, if one is; asked once for each page.
    pub fn wants_page(&mut self) -> Option<u64> {
        let is_low = self.ready.front_len() < LOW || self.looking > 0;
        let wanted = self.ready.paged_from().filter(|_| is_low && !self.is_paging)?;
        self.is_paging = true;
        Some(wanted)
    }

    /// Takes in the page that was asked for: entries from the number `from` on, in order; fewer than [`PAGE`] if there are no
    /// more. What cannot be read any more is without its message.
    pub fn take_page(&mut self, from: u64, entries: impl ExactSizeIterator<Item = (u64, Option<Message>)>) {
        self.is_paging = false;
        if self.ready.paged_from() != Some(from) {
            return; // nobody waits for that any more
        }
        let is_last = entries.len() < PAGE;
        for (sequence, message) in entries {
            let Some(message) = message else {
                if self.ready.skip_paged(sequence) {
                    self.gone.push(sequence);
                }
                continue;
            };
            let Arrival { message, stored, history, .. } = Arrival::new(message, true);
            let acquired = u32::from(sequence < self.shown_to);
            let body = Body { message, history, time: NEVER, acquired, failed: 0, stored, level: 0 };
            self.ready.take_paged(sequence, body);
        }
        // What is missing is lost.
        if is_last || self.ready.paged_from().is_none_or(|next| next == from) {
            self.ready.end_paged();
        }
    }

    /// The entries before the number `end` are of an earlier run, in which somebody may have had them: each counts as acquired
    /// once at least, as [`NamedQueue::restore`] is told.
    pub const fn assume_shown(&mut self, end: u64) {
        self.shown_to = end;
    }

    /// The page that was asked for could not be read: it is asked for again.
    pub const fn miss_page(&mut self) {
        self.is_paging = false;
    }

    /// Entries that are in memory.
    #[must_use]
    pub const fn in_memory(&self) -> usize {
        self.ready.in_memory()
    }

    /// The numbers of stored entries that are gone unread since the last call: from the first up to the second, which is not
    /// among them.
    pub fn take_gone_unread(&mut self) -> Option<(u64, u64)> {
        self.gone_unread.take()
    }

    /// Whether more is on its way, and the front is used up, or nothing for somebody who looks.
    pub(super) fn waits_for_page(&self) -> bool {
        (self.ready.front_len() == 0 || self.looking > 0) && self.ready.paged_from().is_some()
    }
}
