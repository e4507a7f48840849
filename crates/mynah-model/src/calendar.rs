//! Times of day in the calendar, in UTC.

use core::fmt;

use crate::WallTime;

/// The last millisecond of the year 9999, after which the usual formats have no spelling.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// A time of day in the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// 1970 to 9999.
    pub year: u64,
    /// 1 to 12.
    pub month: usize,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59: the Unix epoch has no leap seconds.
    pub second: u64,
    /// 0 to 999.
    pub millis: u64,
    /// 0 is a Sunday, 6 a Saturday.
    pub weekday: usize,
}

impl DateTime {
    /// Where a time of day is in the calendar; none after the year 9999.
    #[must_use]
    pub fn new(time: WallTime) -> Option<Self> {
        let millis = Some(time.as_unix_millis()).filter(|millis| *millis <= LAST_MILLIS)?;
        let (days, second) = (millis / 86_400_000, millis / 1_000 % 86_400);
        // Days since the first of March of the year 0, so that a leap day is the last of its year: eras of 400 years
        // (146,097 days), then years, then months of 153 days in five.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Some(Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: usize::try_from(month).ok()?,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            millis: millis % 1_000,
            // The epoch was a Thursday.
            weekday: usize::try_from((days + 4) % 7).ok()?,
        })
    }
}

impl fmt::Display for DateTime {
    /// RFC 3339, `1970-01-01T00:00:00.001Z`: with milliseconds if there are any, or (`{:#}`) always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millis, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if *millis != 0 || f.alternate() {
            write!(f, ".{millis:03}")?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn at(millis: u64) -> Option<DateTime> {
        DateTime::new(WallTime::from_unix_millis(millis))
    }

    #[test]
    fn times_are_shown_as_everybody_writes_them() {
        for (millis, weekday, shown, always) in [
            (0, 4, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            (784_111_777_000, 0, "1994-11-06T08:49:37Z", "1994-11-06T08:49:37.000Z"),
            (951_782_399_999, 1, "2000-02-28T23:59:59.999Z", "2000-02-28T23:59:59.999Z"),
            (951_782_400_001, 2, "2000-02-29T00:00:00.001Z", "2000-02-29T00:00:00.001Z"),
            (1_709_251_199_001, 4, "2024-02-29T23:59:59.001Z", "2024-02-29T23:59:59.001Z"),
            (4_107_542_400_000, 1, "2100-03-01T00:00:00Z", "2100-03-01T00:00:00.000Z"),
            (LAST_MILLIS, 5, "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            let time = at(millis).unwrap();
            assert_eq!(
                (time.weekday, format!("{time}"), format!("{time:#}")),
                (weekday, shown.into(), always.into())
            );
        }
        assert_eq!(at(LAST_MILLIS + 1), None);
    }

    proptest! {
        #[test]
        fn a_day_follows_the_day_before(day in 0..LAST_MILLIS / 86_400_000) {
            let (now, next) = (at(day * 86_400_000).unwrap(), at((day + 1) * 86_400_000).unwrap());
            prop_assert_eq!(next.weekday, (now.weekday + 1) % 7);
            let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let is_leap = now.year % 4 == 0 && (now.year % 100 != 0 || now.year % 400 == 0);
            let length = lengths[now.month - 1] + u64::from(is_leap && now.month == 2);
            let expected = match (now.day == length, now.month) {
                (false, month) => (now.year, month, now.day + 1),
                (true, 12) => (now.year + 1, 1, 1),
                (true, month) => (now.year, month + 1, 1),
            };
            prop_assert_eq!((next.year, next.month, next.day), expected);
        }
    }
}
