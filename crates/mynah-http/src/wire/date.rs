//! Dates as header fields say them (RFC 9110, section 5.6.7).

use std::time::SystemTime;

use mynah_model::{DateTime, WallTime};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads an HTTP date in any of its three formats; `None` if it is none, or before 1970.
pub(crate) fn parse_http(text: &str) -> Option<WallTime> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(WallTime::from_unix_millis)
}

/// An HTTP date in the format that is to be sent; a fraction of a second is lost. `None` after the year 9999.
pub(crate) fn http(time: WallTime) -> Option<String> {
    let DateTime { year, month, day, hour, minute, second, weekday, .. } = DateTime::new(time)?;
    let (weekday, month) = (DAYS[weekday], MONTHS[month - 1]);
    Some(format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The last millisecond of the year 9999.
    const LAST_MILLIS: u64 = 253_402_300_799_999;

    #[test]
    fn dates_are_spelled_as_header_fields_want() {
        for (millis, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400_001, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (LAST_MILLIS, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http(WallTime::from_unix_millis(millis)).as_deref(), Some(expected));
        }
        assert_eq!(http(WallTime::from_unix_millis(LAST_MILLIS + 1)), None);
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
