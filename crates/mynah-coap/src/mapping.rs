//! Between CoAP's words and ours: paths are topics, requests become messages, messages become notifications.
//!
//! **Native bytes of layout [`LAYOUT_NATIVE`]**, numbers big-endian:
//!
//! ```text
//! | topic length (2) | topic | Content-Format (2; 65,535: not said) | length (1) | media type without a number |
//! | length (2) | of each parameter of the query that describes the message: length (2) | key=value | payload |
//! ```
//!
//! Class, retain, priority and deadline are in the message's header.

mod addressed;
mod codec;
mod envelope;
mod leases;
mod notification;
mod path;
mod publication;
mod query;

use mynah_model::{Layout, Properties};

pub(crate) use addressed::{Addressed, Demand, REPLY, REQUEST, code_of_answer};
pub use codec::CoapCodec;
pub(crate) use leases::spell_name;
pub use leases::{Deed, Leases};
pub(crate) use notification::Note;
pub use path::{Resource, topic_of_segments, uri_path};
pub(crate) use publication::Publication;
pub(crate) use query::Selection;

use crate::wire::content_format;

/// Messages that came by CoAP.
pub const LAYOUT_NATIVE: Layout = Layout { id: 10, version: 1 };

/// Deliveries to observers; nobody publishes in it.
pub const LAYOUT_NOTIFICATION: Layout = Layout { id: 10, version: 2 };

/// Requests to devices and their answers, which came by CoAP.
pub const LAYOUT_ADDRESSED: Layout = Layout { id: 10, version: 3 };

/// The Content-Format of which nothing is said: a number that is reserved.
pub(crate) const NO_FORMAT: u16 = u16::MAX;

/// The Content-Format of a message, and the media type if that has no number.
pub(crate) fn format_of<'m>(properties: &Properties<'m>) -> (u16, &'m str) {
    let Some(media_type) = properties.content_type.filter(|said| !said.is_empty()) else {
        return (if properties.is_text { content_format::TEXT } else { NO_FORMAT }, "");
    };
    if let Some(number) = content_format::number(media_type, properties.content_encoding) {
        return (number, "");
    }
    if properties.is_text && media_type.eq_ignore_ascii_case("text/plain") {
        return (content_format::TEXT, "");
    }
    let spelled = if media_type.len() <= 255 { media_type } else { "" };
    (content_format::OCTET_STREAM, spelled)
}

/// What a receiver has to take a payload for, of which nothing is said.
pub(crate) const fn effective(format: u16) -> u16 {
    if format == NO_FORMAT { content_format::OCTET_STREAM } else { format }
}

/// Seconds of a lifetime, rounded up: what is not over has some left.
pub(crate) fn seconds(left: core::time::Duration) -> u32 {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_a_number_or_is_octets_with_a_name() {
        let of = |content_type, content_encoding, is_text| {
            format_of(&Properties { content_type, content_encoding, is_text, ..Properties::EMPTY })
        };
        assert_eq!(of(None, None, false), (NO_FORMAT, ""));
        assert_eq!(of(None, None, true), (0, ""));
        assert_eq!(of(Some("application/json"), None, true), (50, ""));
        assert_eq!(of(Some("application/json"), Some("deflate"), false), (11_050, ""));
        assert_eq!(of(Some("application/json"), Some("gzip"), false), (42, "application/json"));
        assert_eq!(of(Some("text/plain"), None, true), (0, ""));
        assert_eq!(of(Some("image/webp"), None, false), (42, "image/webp"));
        assert_eq!(seconds(core::time::Duration::from_millis(1_001)), 2);
    }
}
