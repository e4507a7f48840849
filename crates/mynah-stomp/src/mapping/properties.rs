//! The headers of a message as properties, and properties as headers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use mynah_model::{MessageView, PRIORITY_DEFAULT, Properties, PropertyValue, UserProperties, WallTime};

use super::{LAYOUT_LINES, is_of_frame};
use crate::wire::{Escaping, push_header};

/// Times with fewer digits are seconds, as RabbitMQ has them; milliseconds passed this number in 1973.
const SECONDS_BELOW: u64 = 100_000_000_000;

/// Headers that are properties with a place of their own.
fn is_mapped(name: &str) -> bool {
    matches!(
        name,
        "content-type"
            | "content-encoding"
            | "correlation-id"
            | "reply-to"
            | "amqp-message-id"
            | "timestamp"
            | "persistent"
            | "priority"
            | "expires"
            | "expiration"
    )
}

/// A native header block, and how it is read.
pub(super) struct Block<'m> {
    encoded: &'m [u8],
    is_lines: bool,
}

impl<'m> Block<'m> {
    pub(super) fn of(message: MessageView<'m>) -> Self {
        let header = message.header;
        let from = if header.topic.0 == 0 { header.topic_range().end } else { 0 };
        let encoded = message.native.get(from..header.payload_range().start).unwrap_or_default();
        Self { encoded, is_lines: header.layout == LAYOUT_LINES }
    }

    /// Names and values in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'m str, &'m str)> {
        let (mut rest, is_lines) = (self.encoded, self.is_lines);
        core::iter::from_fn(move || if is_lines { read_line(&mut rest) } else { read_pair(&mut rest) })
    }

    fn user(&self) -> UserProperties<'m> {
        if self.is_lines {
            UserProperties::new(self.encoded, |rest| next_user(rest, read_line))
        } else {
            UserProperties::new(self.encoded, |rest| next_user(rest, read_pair))
        }
    }

    pub(super) fn properties(&self) -> Properties<'m> {
        let mut properties = Properties { user: self.user(), ..Properties::EMPTY };
        for (name, value) in self.iter() {
            match name {
                "content-type" => set(&mut properties.content_type, value),
                "content-encoding" => set(&mut properties.content_encoding, value),
                "correlation-id" => set(&mut properties.correlation, value.as_bytes()),
                "reply-to" => set(&mut properties.reply_to, value),
                "amqp-message-id" => set(&mut properties.message_id, value),
                "timestamp" if properties.created.is_none() => properties.created = created(value),
                _ => {}
            }
        }
        properties.is_text = properties.content_type.is_some_and(is_text);
        properties
    }
}

/// The first of repeated headers counts.
fn set<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

/// `text/…`, or any type that says that it is in UTF-8 ("Header content-type").
fn is_text(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_text_type = parts
        .next()
        .and_then(|media| media.get(..5))
        .is_some_and(|start| start.eq_ignore_ascii_case("text/"));
    let charset = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
    });
    match charset {
        Some(charset) => charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii"),
        None => is_text_type,
    }
}

fn created(value: &str) -> Option<WallTime> {
    let number: u64 = value.parse().ok().filter(|_| value.bytes().all(|octet| octet.is_ascii_digit()))?;
    let millis = if number < SECONDS_BELOW { number.checked_mul(1_000)? } else { number };
    Some(WallTime::from_unix_millis(millis))
}

/// Reads a header line, and moves past it.
fn read_line<'m>(rest: &mut &'m [u8]) -> Option<(&'m str, &'m str)> {
    let end = memchr::memchr(b'\n', rest)?;
    let line = &rest[..end];
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    *rest = &rest[end + 1..];
    Some((core::str::from_utf8(name).ok()?, core::str::from_utf8(value).ok()?))
}

/// Reads a pair, and moves past it.
fn read_pair<'m>(rest: &mut &'m [u8]) -> Option<(&'m str, &'m str)> {
    let (name_len, after) = rest.split_first_chunk()?;
    let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*name_len)))?;
    let (value_len, after) = after.split_first_chunk()?;
    let value_len = usize::try_from(u32::from_be_bytes(*value_len)).ok()?;
    let (value, after) = after.split_at_checked(value_len)?;
    *rest = after;
    Some((core::str::from_utf8(name).ok()?, core::str::from_utf8(value).ok()?))
}

fn next_user<'m>(
    rest: &mut &'m [u8],
    read: fn(&mut &'m [u8]) -> Option<(&'m str, &'m str)>,
) -> Option<(&'m str, PropertyValue<'m>)> {
    loop {
        let (name, value) = read(rest)?;
        if !is_of_frame(name) && !is_mapped(name) {
            return Some((name, value.into()));
        }
    }
}

/// Writes the properties of a message of another layout as headers. What cannot be spelled is left out.
pub(super) fn push_properties(
    message: MessageView<'_>,
    properties: &Properties<'_>,
    epoch: WallTime,
    escaping: Escaping,
    out: &mut Vec<u8>,
) {
    let mut push = |name: &str, value: &str| {
        push_header(name, value, escaping, out);
    };
    match properties.content_type {
        Some(content_type) => push("content-type", content_type),
        None if properties.is_text => push("content-type", "text/plain"),
        None => {}
    }
    let texts = [
        ("content-encoding", properties.content_encoding),
        ("reply-to", properties.reply_to),
        ("amqp-message-id", properties.message_id),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            push(name, value);
        }
    }
    if let Some(correlation) = properties.correlation {
        match core::str::from_utf8(correlation) {
            Ok(text) if !text.contains('\0') => push("correlation-id", text),
            _ => push("correlation-id", &hexadecimal(correlation)),
        }
    }
    if let Some(created) = properties.created {
        push("timestamp", &created.as_unix_millis().to_string());
    }
    if message.header.priority != PRIORITY_DEFAULT {
        push("priority", &message.header.priority.to_string());
    }
    if message.header.class.is_confirmed() {
        push("persistent", "true");
    }
    if let Some(deadline) = message.header.deadline {
        let at = epoch.as_unix_millis().saturating_add(deadline.as_micros().div_ceil(1_000));
        push("expires", &at.to_string());
    }
    for (name, value) in properties.user.iter().filter(|(name, _)| !is_of_frame(name) && !is_mapped(name)) {
        value.spelled(|value| push(name, value));
    }
}

/// Bytes that are not text: `0x` and two digits for each.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_says_whether_the_payload_is_text() {
        for (content_type, expected) in [
            ("text/plain", true),
            ("TEXT/html; x=y", true),
            ("text/html;charset=utf-16", false),
            ("application/xml;charset=utf-8", true),
            ("application/xml; Charset=\"UTF-8\"", true),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_text(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn a_timestamp_is_in_seconds_or_in_milliseconds() {
        for (value, millis) in [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("0", Some(0)),
            ("-1", None),
            ("+1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(created(value), millis.map(WallTime::from_unix_millis), "{value}");
        }
    }

    #[test]
    fn a_broken_block_comes_to_an_end() {
        for broken in [&b"\0"[..], b"\0\x05ab", b"\0\x01a\0\0\0\x09b", b"\0\x01\xff\0\0\0\0"] {
            assert_eq!(read_pair(&mut &*broken), None);
        }
        for broken in [&b"ab"[..], b"ab\n", b"\n", b"\xff:\n"] {
            assert_eq!(read_line(&mut &*broken), None);
        }
    }
}
