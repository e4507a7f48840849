//! Between STOMP's words and ours: destinations, messages and their properties.
//!
//! **Native bytes.** Layout [`LAYOUT_LINES`] holds header lines as they came, if they say what they say without escapes,
//! padding and carriage returns; layout [`LAYOUT_PAIRS`] holds the same headers without escapes:
//!
//! ```text
//! lines, with the topic where the destination header spells it:   | lines | blank line | payload |
//! lines:                                                  | topic | lines | payload |
//! pairs:                                                  | topic | pairs | payload |
//! a pair: | length of the name (2) | name | length of the value (4) | value |
//! ```
//!
//! Numbers are big-endian. The topic stands at 0 in the last two, and never in the first. A line is a name, a colon, a value
//! and a line feed. The headers are all of SEND's, in their order.
//!
//! Lost on the way in: `content-length`, `transaction` and `receipt` are matters of one hop. On the way out: the headers
//! that MESSAGE has of its own ([`is_of_frame`]) are never a publisher's, and what a version cannot spell (NUL; in 1.0 a
//! line feed, or a colon in a name) is left out.

mod codec;
mod destination;
mod native;
mod properties;
mod queue;

use mynah_model::{Layout, StreamOffset, WallTime};

pub use codec::StompCodec;
pub(crate) use codec::split;
pub(crate) use destination::is_temporary_topic;
pub use destination::{Profile, Spelled, Target, Temporary, Use};
pub use native::native;
pub(crate) use queue::settings as queue_settings;

use crate::{Version, Violation};

/// Messages as they came by SEND, their headers as lines.
pub const LAYOUT_LINES: Layout = Layout { id: 8, version: 1 };
/// Messages as they came by SEND, their headers as pairs.
pub const LAYOUT_PAIRS: Layout = Layout { id: 8, version: 2 };

/// The layout of deliveries to clients of a version. No message is native in it.
#[must_use]
pub const fn layout(version: Version) -> Layout {
    let version = match version {
        Version::V1_0 => 10,
        Version::V1_1 => 11,
        Version::V1_2 => 12,
    };
    Layout { id: LAYOUT_LINES.id, version }
}

/// The version whose deliveries are in this layout.
pub(crate) fn version(layout: Layout) -> Option<Version> {
    Version::ALL.into_iter().find(|&version| self::layout(version) == layout)
}

/// Whether a header is one that frames have of their own: a publisher's is not handed on.
#[must_use]
pub fn is_of_frame(name: &str) -> bool {
    matches!(
        name,
        "destination"
            | "subscription"
            | "message-id"
            | "ack"
            | "redelivered"
            | "content-length"
            | "transaction"
            | "receipt"
            | "receipt-id"
            | "retain"
    )
}

/// Where reading a stream begins, as RabbitMQ spells it: `first`, `last`, `next`, `offset=N`, `timestamp=SECONDS`.
pub(crate) fn stream_offset(spelled: &str) -> Result<StreamOffset, Violation> {
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_number)
    };
    let offset = match spelled {
        "first" => Some(StreamOffset::First),
        "last" => Some(StreamOffset::Last),
        "next" => Some(StreamOffset::Next),
        _ => match spelled.split_once('=') {
            Some(("offset", digits)) => number(digits).map(StreamOffset::Number),
            Some(("timestamp", digits)) => number(digits)
                .and_then(|seconds| seconds.checked_mul(1_000))
                .map(|millis| StreamOffset::Time(WallTime::from_unix_millis(millis))),
            _ => None,
        },
    };
    offset.ok_or(Violation::HeaderValue("x-stream-offset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_streams_are_spelled_as_rabbitmq_does() {
        for (spelled, offset) in [
            ("first", StreamOffset::First),
            ("last", StreamOffset::Last),
            ("next", StreamOffset::Next),
            ("offset=17", StreamOffset::Number(17)),
            ("timestamp=2", StreamOffset::Time(WallTime::from_unix_millis(2_000))),
        ] {
            assert_eq!(stream_offset(spelled), Ok(offset));
        }
        for wrong in
            ["", "First", "offset", "offset=", "offset=-1", "offset=+1", "timestamp=99999999999999999999"]
        {
            assert!(stream_offset(wrong).is_err(), "{wrong}");
        }
    }
}
