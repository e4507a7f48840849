//! The meter of a connection: how long it has to be silent for what it has said.

use core::time::Duration;

use mynah_model::Instant;

use super::rule::Quota;

/// What may come at once, as the time that it takes at the permitted rate.
const BURST_NS: u64 = 1_000_000_000;
/// One message makes the connection wait no longer than this, however large it is.
const COST_MAX_NS: u64 = 10_000_000_000;

/// Measures what a connection publishes. Everything takes its time at the permitted rate; the connection may be ahead of
/// that by a second.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    message_ns: u64,
    /// Bytes in a second; 0: as many as there are.
    bytes_per_s: u64,
    /// Until when what was said so far takes, in nanoseconds.
    messages_until: u64,
    bytes_until: u64,
}

impl Meter {
    /// A meter of these rates; none if neither is limited.
    #[must_use]
    pub fn new(quota: &Quota) -> Option<Self> {
        let is_limited = quota.messages_per_s.is_some() || quota.bytes_per_s.is_some();
        is_limited.then(|| Self {
            message_ns: quota.messages_per_s.map_or(0, |rate| 1_000_000_000 / u64::from(rate.get())),
            bytes_per_s: quota.bytes_per_s.map_or(0, core::num::NonZeroU64::get),
            messages_until: 0,
            bytes_until: 0,
        })
    }

    /// The same count by other rates.
    #[must_use]
    pub fn with_rates_of(self, other: Self) -> Self {
        Self { messages_until: self.messages_until, bytes_until: self.bytes_until, ..other }
    }

    /// Whether everything that was said so far has taken its time: then it need not be remembered.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.messages_until.max(self.bytes_until) <= nanoseconds(now)
    }

    /// A message would be published, and is refused if the one before should not have been the last for a while.
    ///
    /// # Errors
    /// Until when it is too early; it does not count.
    pub fn try_charge(&mut self, now: Instant, bytes: usize) -> Result<(), Instant> {
        match self.wait(now) {
            Some(until) => Err(until),
            None => {
                self.charge(now, bytes);
                Ok(())
            }
        }
    }

    /// A message was published. Returns until when the connection has to wait before its next, if it does.
    pub fn charge(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let now_ns = nanoseconds(now);
        let of_bytes = (bytes as u64).saturating_mul(1_000_000_000).checked_div(self.bytes_per_s);
        let cost = of_bytes.unwrap_or(0).min(COST_MAX_NS);
        self.messages_until = self.messages_until.max(now_ns).saturating_add(self.message_ns);
        self.bytes_until = self.bytes_until.max(now_ns).saturating_add(cost);
        self.wait(now)
    }

    /// Until when the connection has to wait, if it does.
    fn wait(&self, now: Instant) -> Option<Instant> {
        let until = self.messages_until.max(self.bytes_until);
        let ahead = until.checked_sub(nanoseconds(now))?.checked_sub(BURST_NS)?;
        (ahead > 0).then(|| now + Duration::from_nanos(ahead).max(Duration::from_micros(1)))
    }
}

fn nanoseconds(now: Instant) -> u64 {
    now.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::num::{NonZeroU32, NonZeroU64};

    fn meter(messages: u32, bytes: u64) -> Meter {
        let quota = Quota {
            messages_per_s: NonZeroU32::new(messages),
            bytes_per_s: NonZeroU64::new(bytes),
            ..Quota::default()
        };
        Meter::new(&quota).unwrap()
    }

    /// Publishes for a time as fast as the meter lets, and says how many messages of `bytes` that were.
    fn messages_in(mut meter: Meter, bytes: usize, seconds: u64) -> u64 {
        let (mut now, end) = (Instant::from_micros(5), Instant::from_micros(5 + seconds * 1_000_000));
        let mut count = 0;
        while now < end {
            count += 1;
            now = meter.charge(now, bytes).unwrap_or(now);
        }
        count
    }

    #[test]
    fn a_rate_holds_on_average_and_lets_a_second_at_once() {
        assert_eq!(messages_in(meter(10, 0), 1_000, 10), 110);
        assert_eq!(messages_in(meter(0, 1_000), 100, 10), 110);
        assert_eq!(messages_in(meter(100, 1_000), 100, 10), 110, "the stricter holds");
        assert!(Meter::new(&Quota::default()).is_none());
    }

    #[test]
    fn what_is_refused_does_not_count() {
        let mut meter = meter(2, 0);
        let at = |millis: u64| Instant::from_micros(1_000_000 + millis * 1_000);
        let mut tries = |millis: &[u64]| -> Vec<bool> {
            millis.iter().map(|millis| meter.try_charge(at(*millis), 1).is_ok()).collect()
        };
        assert_eq!(tries(&[0, 0, 0, 0, 400]), [true, true, true, false, false]);
        assert_eq!(tries(&[500, 500, 999, 1_000]), [true, false, false, true]);
        assert_eq!(meter.try_charge(at(1_000), 1), Err(at(1_500)));
        assert!(!meter.is_idle(at(2_499)) && meter.is_idle(at(2_500)));
    }

    #[test]
    fn no_message_silences_a_connection_for_long() {
        let mut meter = meter(0, 1);
        let wait = meter.charge(Instant::ZERO, usize::MAX).unwrap();
        assert_eq!(wait, Instant::from_micros(9_000_000));
    }
}
