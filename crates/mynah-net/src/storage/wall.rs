//! Times of day: what outlives the process, where the broker's own clock does not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mynah_model::{Instant, WallTime};

use crate::clock::Clock;

/// Which time of day it was at which instant. Taken anew for each turn, since the time of day may jump.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    instant: Instant,
    millis: u64,
}

impl Wall {
    pub(crate) fn now(clock: Clock) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: clock.now(), millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// That it was so many milliseconds after the beginning of 1970 at an instant.
    #[must_use]
    pub const fn at(instant: Instant, millis: u64) -> Self {
        Self { instant, millis }
    }

    /// The instant that this was taken at.
    pub(crate) const fn here(self) -> Instant {
        self.instant
    }

    /// The time of day at an instant.
    pub(crate) fn time(self, instant: Instant) -> WallTime {
        let ahead = u64::try_from(instant.saturating_since(self.instant).as_millis()).unwrap_or(u64::MAX);
        let ago = u64::try_from(self.instant.saturating_since(instant).as_millis()).unwrap_or(u64::MAX);
        WallTime::from_unix_millis(self.millis.saturating_add(ahead).saturating_sub(ago))
    }

    /// The instant of a time of day.
    pub(crate) fn instant(self, time: WallTime) -> Instant {
        let millis = time.as_unix_millis();
        let ahead = Duration::from_millis(millis.saturating_sub(self.millis));
        let ago = Duration::from_millis(self.millis.saturating_sub(millis));
        self.instant + ahead - ago
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_found_again_by_its_time_of_day() {
        let wall = Wall { instant: Instant::from_micros(5_000_000), millis: 1_700_000_000_000 };
        for micros in [0, 4_999_000, 5_000_000, 9_001_000] {
            let instant = Instant::from_micros(micros);
            assert_eq!(wall.instant(wall.time(instant)), instant);
        }
        assert_eq!(wall.time(Instant::from_micros(6_000_000)).as_unix_millis(), 1_700_000_001_000);
        assert_eq!(wall.instant(WallTime::from_unix_millis(0)), Instant::ZERO);
    }
}
