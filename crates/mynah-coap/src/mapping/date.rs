//! Moments as RFC 3339 spells them.

use alloc::format;
use alloc::string::String;

use mynah_model::WallTime;

/// `1970-01-01T00:00:00.001Z`; the decimals are left out if they are zero. None beyond the year 9999.
pub(super) fn rfc3339(time: WallTime) -> Option<String> {
    let (seconds, millis) = (time.as_unix_millis() / 1_000, time.as_unix_millis() % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    if year > 9_999 {
        return None;
    }
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

/// Year, month and day of a number of days from 1 January 1970 (Hinnant's algorithm).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spelled() {
        for (millis, text) in [
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_385_568_000, "2026-11-22T22:12:48Z"),
        ] {
            assert_eq!(rfc3339(WallTime::from_unix_millis(millis)).as_deref(), Some(text));
        }
        assert_eq!(rfc3339(WallTime::from_unix_millis(u64::MAX)), None);
    }
}
