//! The monotonic clock of a broker: the only place where engines' time comes from.

use std::time::Duration;

use mynah_model::Instant;

/// Tells the time since the broker started, plus one second so that nothing lies before the origin.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::ZERO + Duration::from_secs(1) + self.origin.elapsed()
    }
}
