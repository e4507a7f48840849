//! Dates: as header fields say them (RFC 9110, section 5.6.7), and as JSON does (RFC 3339).

use std::time::SystemTime;

use mynah_model::WallTime;

/// The last millisecond of the year 9999, after which neither format has a spelling.
const LAST_MILLIS: u64 = 253_402_300_799_999;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads an HTTP date in any of its three formats; `None` if it is none, or before 1970.
pub(crate) fn parse_http(text: &str) -> Option<WallTime> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(WallTime::from_unix_millis)
}

/// An HTTP date in the format that is to be sent; a fraction of a second is lost. `None` after the year 9999.
pub(crate) fn http(time: WallTime) -> Option<String> {
    let Civil { year, month, day, hour, minute, second, weekday, .. } = Civil::new(time)?;
    let (weekday, month) = (DAYS[weekday], MONTHS[month - 1]);
    Some(format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// A date of RFC 3339 in UTC, with milliseconds if there are any. `None` after the year 9999.
pub(crate) fn rfc3339(time: WallTime) -> Option<String> {
    let Civil { year, month, day, hour, minute, second, millis, .. } = Civil::new(time)?;
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

/// A time in the calendar, in UTC.
struct Civil {
    year: u64,
    /// 1 to 12.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u64,
    /// 0 is a Thursday.
    weekday: usize,
}

impl Civil {
    fn new(time: WallTime) -> Option<Self> {
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
            month: month as usize,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            millis: millis % 1_000,
            weekday: (days % 7) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_spelled_as_their_formats_want() {
        for (millis, in_http, in_json) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            (951_782_400_001, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00.001Z"),
            (4_107_542_399_999, "Sun, 28 Feb 2100 23:59:59 GMT", "2100-02-28T23:59:59.999Z"),
            (LAST_MILLIS, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59.999Z"),
        ] {
            let time = WallTime::from_unix_millis(millis);
            assert_eq!(http(time).as_deref(), Some(in_http));
            assert_eq!(rfc3339(time).as_deref(), Some(in_json));
        }
        let after = WallTime::from_unix_millis(LAST_MILLIS + 1);
        assert_eq!((http(after), rfc3339(after)), (None, None));
    }

    #[test]
    fn every_format_of_http_is_read() {
        let time = Some(WallTime::from_unix_millis(784_111_777_000));
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), time);
        assert_eq!(parse_http("Sunday, 06-Nov-94 08:49:37 GMT"), time);
        assert_eq!(parse_http("Sun Nov  6 08:49:37 1994"), time);
        for wrong in ["", "now", "1994-11-06T08:49:37Z", "Thu, 31 Dec 1969 23:59:59 GMT"] {
            assert_eq!(parse_http(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn http_dates_survive_the_round_trip(second in 0..=LAST_MILLIS / 1_000) {
            let time = WallTime::from_unix_millis(second * 1_000);
            prop_assert_eq!(parse_http(&http(time).unwrap()), Some(time));
        }
    }
}
