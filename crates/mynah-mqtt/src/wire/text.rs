//! Strings, topic names and topic filters (sections 1.5.3 and 4.7): what a receiver takes.

use mynah_model::{Filter, FilterError, Topic};

use crate::{Error, Malformed, Violation};

/// What to do with characters that section 1.5.3 discourages: control characters (U+0001 to U+001F, U+007F to
/// U+009F) and non-characters. A receiver may close the connection when it sees one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextRule {
    /// Close the connection, as Mosquitto does.
    #[default]
    RefuseDiscouraged,
    /// Take them.
    AcceptDiscouraged,
}

/// Takes bytes as a string.
///
/// # Errors
/// They are not UTF-8 ([MQTT-1.5.3-1]; surrogates are not), hold U+0000 ([MQTT-1.5.3-2]), or hold a character that
/// `rule` refuses.
pub fn check_text(bytes: &[u8], rule: TextRule) -> Result<&str, Malformed> {
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    if bytes.iter().all(|byte| (0x20..0x7F).contains(byte)) {
        return Ok(text);
    }
    for character in text.chars() {
        if character == '\0' {
            return Err(Malformed::Nul);
        }
        if rule == TextRule::RefuseDiscouraged && is_discouraged(character) {
            return Err(Malformed::Discouraged);
        }
    }
    Ok(text)
}

fn is_discouraged(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// Takes bytes as a topic name.
///
/// # Errors
/// They are not a string, or are empty ([MQTT-4.7.3-1]), or hold a wildcard ([MQTT-3.3.2-2]).
#[inline]
pub fn check_topic_name(bytes: &[u8], rule: TextRule) -> Result<Topic<'_>, Error> {
    // One pass without branches settles nearly every topic.
    if is_plain(bytes) && !bytes.is_empty() {
        return Ok(Topic::from_checked(bytes));
    }
    check_unusual_topic_name(bytes, rule)
}

/// Whether a byte is printable ASCII and no wildcard.
const fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, 0x20..0x7F) && byte != b'+' && byte != b'#'
}

const PLAIN_BYTES: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = is_plain_byte(byte as u8);
        byte += 1;
    }
    plain
};

/// Whether all bytes are printable ASCII and no wildcards.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let all = |chunk: &[u8; 16]| chunk.iter().fold(true, |plain, &byte| plain & is_plain_byte(byte));
    // Sixteen bytes are compared at once, the last ones with some before them; few are looked up one by one, which takes
    // two thirds of the instructions that the compiler makes of a remainder.
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().fold(all(last), |plain, chunk| plain & all(chunk)),
        None => bytes.iter().fold(true, |plain, &byte| plain & PLAIN_BYTES[usize::from(byte)]),
    }
}

#[cold]
fn check_unusual_topic_name(bytes: &[u8], rule: TextRule) -> Result<Topic<'_>, Error> {
    check_text(bytes, rule)?;
    if bytes.is_empty() {
        return Err(Violation::TopicEmpty.into());
    }
    Topic::new(bytes).map_err(|_| Violation::TopicWildcard.into())
}

/// Takes bytes as a topic filter.
///
/// # Errors
/// They are not a string, or are empty ([MQTT-4.7.3-1]), or a wildcard is misplaced ([MQTT-4.7.1-2],
/// [MQTT-4.7.1-3]).
pub fn check_topic_filter(bytes: &[u8], rule: TextRule) -> Result<Filter<'_>, Error> {
    check_text(bytes, rule)?;
    let filter = Filter::new(bytes).map_err(|error| match error {
        FilterError::Empty => Error::from(Violation::TopicEmpty),
        FilterError::Nul => Malformed::Nul.into(),
        FilterError::PartialWildcard => Violation::FilterWildcard.into(),
    })?;
    if filter.has_inner_many() {
        return Err(Violation::FilterWildcard.into());
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn discouraged_characters_are_a_choice_and_the_rest_is_not() {
        for (bytes, error) in [
            (&b"a\x01"[..], Malformed::Discouraged),
            (b"a\x1f", Malformed::Discouraged),
            (b"a\x7f", Malformed::Discouraged),
            ("a\u{9f}".as_bytes(), Malformed::Discouraged),
            ("a\u{fdd0}".as_bytes(), Malformed::Discouraged),
            ("a\u{ffff}".as_bytes(), Malformed::Discouraged),
            ("a\u{1fffe}".as_bytes(), Malformed::Discouraged),
            (b"a\0", Malformed::Nul),
            (b"a\xed\xa0\x80", Malformed::NotUtf8),
            (b"a\xc0\x80", Malformed::NotUtf8),
        ] {
            assert_eq!(check_text(bytes, TextRule::RefuseDiscouraged), Err(error));
            let lenient = check_text(bytes, TextRule::AcceptDiscouraged);
            assert_eq!(lenient.is_ok(), error == Malformed::Discouraged, "{bytes:x?}");
        }
    }

    //= mqtt-3.1.1 [MQTT-1.5.3-3]
    /// U+FEFF is a character like others.
    #[test]
    fn a_byte_order_mark_is_kept() {
        let text = "\u{feff}a\u{2a6d4}\u{a0}";
        assert_eq!(check_text(text.as_bytes(), TextRule::RefuseDiscouraged), Ok(text));
    }

    #[test]
    fn a_topic_name_takes_what_the_plain_pass_cannot_settle() {
        let rule = TextRule::RefuseDiscouraged;
        assert!(check_topic_name("häuser/€".as_bytes(), rule).is_ok());
        assert_eq!(check_topic_name(b"", rule), Err(Violation::TopicEmpty.into()));
        assert_eq!(check_topic_name(b"a/+", rule), Err(Violation::TopicWildcard.into()));
        assert_eq!(check_topic_name("ä#".as_bytes(), rule), Err(Violation::TopicWildcard.into()));
    }

    #[test]
    fn an_unusual_byte_is_seen_wherever_it_stands() {
        for len in 1..50 {
            let mut name = vec![b'a'; len];
            assert!(is_plain(&name));
            for at in 0..len {
                for byte in [0, 0x1F, b'+', b'#', 0x7F, 0x80, 0xFF] {
                    name[at] = byte;
                    assert!(!is_plain(&name), "{byte:x} at {at} of {len}");
                }
                name[at] = b'~';
            }
        }
    }

    //= mqtt-3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3]
    #[test]
    fn a_filter_has_its_wildcards_in_their_places() {
        let rule = TextRule::RefuseDiscouraged;
        for good in ["#", "+", "+/+/#", "/+", "a//#", "$SYS/#"] {
            assert!(check_topic_filter(good.as_bytes(), rule).is_ok(), "{good}");
        }
        for bad in ["a#", "#/a", "a/#/b", "a+/b", "++"] {
            let result = check_topic_filter(bad.as_bytes(), rule);
            assert_eq!(result, Err(Violation::FilterWildcard.into()), "{bad}");
        }
    }
}
