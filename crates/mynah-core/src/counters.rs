//! Counters of one worker: it alone writes them, anybody reads them.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use mynah_model::Class;

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owner of the counter may call this.
    pub fn add(&self, count: u64) {
        // One writer: a plain load and store lose nothing and cost less than an atomic addition.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Takes `count` away, for numbers that say how many there are. Only the owner of the counter may call this.
    pub fn sub(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(count), Ordering::Relaxed);
    }

    /// Replaces the number. Only the owner of the counter may call this.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The number, perhaps a moment old.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a message was not delivered to somebody who wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// The session's backlog was full: its oldest message went.
    BacklogFull,
    /// An unconfirmed message met a connection whose outbound buffer was full.
    SlowConsumer,
    /// The message's deadline passed before it was delivered.
    Expired,
    /// The publisher may not publish there, and its protocol has no answer for it.
    NotAuthorized,
    /// The receiver's protocol cannot spell the message.
    Unspellable,
    /// The store of retained values was full, or the value too large for it.
    RetainedQuota,
    /// The session ended with messages in its backlog.
    SessionEnded,
    /// An unconfirmed message met a session without a connection.
    Offline,
    /// The receiver has refused the message.
    Rejected,
    /// The receiver takes no message that large.
    TooLarge,
    /// There was no room on the disk to store it: its publisher was refused.
    StorageFull,
    /// A datagram that the kernel, or the association it was for, had no room for, or that was too long.
    Datagram,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 12] = [
        Self::BacklogFull,
        Self::SlowConsumer,
        Self::Expired,
        Self::NotAuthorized,
        Self::Unspellable,
        Self::RetainedQuota,
        Self::SessionEnded,
        Self::Offline,
        Self::Rejected,
        Self::TooLarge,
        Self::StorageFull,
        Self::Datagram,
    ];

    /// The reason as it appears in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BacklogFull => "backlog_full",
            Self::SlowConsumer => "slow_consumer",
            Self::Expired => "expired",
            Self::NotAuthorized => "not_authorized",
            Self::Unspellable => "unspellable",
            Self::RetainedQuota => "retained_quota",
            Self::SessionEnded => "session_ended",
            Self::Offline => "offline",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::StorageFull => "storage_full",
            Self::Datagram => "datagram",
        }
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted since the start.
    pub connections_opened: Counter,
    /// Connections ended since the start.
    pub connections_closed: Counter,
    /// Peers turned away because there was no room.
    pub connections_refused: Counter,
    /// Peers turned away because of who they are or are not.
    pub logins_refused: Counter,
    /// Connections that have not yet opened a session.
    pub half_open: Counter,
    /// Bytes read from peers.
    pub bytes_received: Counter,
    /// Bytes written to peers.
    pub bytes_sent: Counter,
    /// Publications that were refused, with or without an answer.
    pub publications_refused: Counter,
    /// Sessions that exist.
    pub sessions: Counter,
    /// Subscriptions of these sessions.
    pub subscriptions: Counter,
    /// How long the worker's turns took.
    pub turns: Histogram,
    received: [Counter; 3],
    sent: [Counter; 3],
    dropped: [Counter; DropReason::ALL.len()],
}

impl Counters {
    /// Messages of a class that came from peers.
    #[must_use]
    pub fn messages_received(&self, class: Class) -> &Counter {
        &self.received[usize::from(class.number())]
    }

    /// Messages of a class that went to peers.
    #[must_use]
    pub fn messages_sent(&self, class: Class) -> &Counter {
        &self.sent[usize::from(class.number())]
    }

    /// Messages that were dropped for a reason, once for each receiver.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> &Counter {
        &self.dropped[reason as usize]
    }
}

/// Durations counted in buckets whose upper bounds are powers of two of a microsecond.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; Histogram::BUCKETS],
    sum_micros: Counter,
}

impl Histogram {
    /// Buckets: the last takes everything from 2^22 microseconds (about four seconds) up.
    pub const BUCKETS: usize = 24;

    /// Counts a duration. Only the owner of the counters may call this.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.saturating_sub(1).leading_zeros()) as usize;
        let bucket = if micros == 0 { 0 } else { bucket };
        self.buckets[bucket.min(Self::BUCKETS - 1)].add(1);
        self.sum_micros.add(micros);
    }

    /// For each bucket its inclusive upper bound in microseconds (none: unbounded) and the durations in it alone.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, c)| ((i < Self::BUCKETS - 1).then_some(1 << i), c.read()))
    }

    /// The sum of all durations, in microseconds.
    #[must_use]
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_classes_have_counters_of_their_own() {
        let counters = Counters::default();
        for (i, reason) in DropReason::ALL.into_iter().enumerate() {
            counters.dropped(reason).add(i as u64 + 1);
        }
        for (i, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(counters.dropped(reason).read(), i as u64 + 1, "{}", reason.name());
        }
        counters.messages_sent(Class::ExactlyOnce).add(2);
        assert_eq!(counters.messages_sent(Class::AtMostOnce).read(), 0);
        assert_eq!(counters.messages_received(Class::ExactlyOnce).read(), 0);
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        for (micros, bound) in [
            (0, Some(1)),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (1 << 40, None),
        ] {
            let histogram = Histogram::default();
            histogram.record(Duration::from_micros(micros));
            let hit: alloc::vec::Vec<_> = histogram.buckets().filter(|b| b.1 > 0).collect();
            assert_eq!(hit, [(bound, 1)], "{micros}");
            assert_eq!(histogram.sum_micros(), micros);
        }
    }

    #[test]
    fn a_gauge_never_goes_below_zero() {
        let counter = Counter::default();
        counter.add(2);
        counter.sub(3);
        assert_eq!(counter.read(), 0);
    }
}
