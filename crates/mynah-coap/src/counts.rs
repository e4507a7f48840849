//! What the stack counts: drops and oddities that no answer tells of.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Numbers over all associations of a stack, from its start on.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams and messages that are none.
    pub malformed: Count,
    /// Messages that came again and were answered from memory, or not at all.
    pub duplicates: Count,
    /// Answers that were forgotten before their exchange's lifetime was over.
    pub forgotten_answers: Count,
    /// Messages of an observation in stream mode that gave way to newer ones.
    pub stream_dropped: Count,
    /// Observations that ended because their observer did not acknowledge.
    pub observers_lost: Count,
    /// Bodies in blocks that were given up for want of memory or of a next block.
    pub uploads_dropped: Count,
    /// Bodies that were not kept for their next blocks, for want of memory.
    pub downloads_dropped: Count,
    /// Requests that were answered by a demand to show that the address is the sender's own.
    pub challenged: Count,
    /// Confirmable messages that were sent again.
    pub retransmitted: Count,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }
}

/// Bytes that all associations may use together.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    /// Takes `bytes`; false, and nothing is taken, if there are fewer.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.left.load(Relaxed)
    }
}
