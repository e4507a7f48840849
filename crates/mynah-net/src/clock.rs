//! The monotonic clock of a broker: the only place where engines' time comes from.

use std::time::Duration;

use mynah_model::Instant;

/// What lies before the start on the clock: sessions that an earlier run has left ended then.
pub const CLOCK_PAST: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// Tells the time since the broker started, plus thirty years so that nothing lies before the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::ZERO + CLOCK_PAST + self.origin.elapsed()
    }
}
