//! The escapes of header names and values ("Value Encoding").

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Malformed;

/// Which octets of headers are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// None: STOMP 1.0, and CONNECT and CONNECTED of every version.
    None,
    /// Line feed, colon and backslash.
    V1_1,
    /// Carriage return too.
    V1_2,
}

impl Escaping {
    /// The octet that follows the backslash in the escape of this one.
    const fn escape(self, octet: u8) -> Option<u8> {
        match (self, octet) {
            (Self::None, _) => None,
            (_, b'\n') => Some(b'n'),
            (_, b':') => Some(b'c'),
            (_, b'\\') => Some(b'\\'),
            (Self::V1_2, b'\r') => Some(b'r'),
            _ => None,
        }
    }

    /// The octet whose escape ends with this one.
    const fn octet(self, escape: u8) -> Option<u8> {
        match (self, escape) {
            (Self::None, _) => None,
            (_, b'n') => Some(b'\n'),
            (_, b'c') => Some(b':'),
            (_, b'\\') => Some(b'\\'),
            (Self::V1_2, b'r') => Some(b'\r'),
            _ => None,
        }
    }
}

/// Checks the escapes of a text.
///
/// # Errors
/// There is one that the version does not define.
pub(crate) fn check_escapes(text: &[u8], escaping: Escaping) -> Result<(), Malformed> {
    if escaping == Escaping::None {
        return Ok(());
    }
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        if octet == b'\\' && octets.next().and_then(|&escape| escaping.octet(escape)).is_none() {
            return Err(Malformed::Escape);
        }
    }
    Ok(())
}

/// A text whose escapes were checked, without them.
pub(crate) fn unescape(text: &str, escaping: Escaping) -> Cow<'_, str> {
    if escaping == Escaping::None || !text.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let octet = after.as_bytes().first().and_then(|&escape| escaping.octet(escape));
        plain.push(char::from(octet.unwrap_or(b'\\')));
        rest = after.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Appends a text with its escapes. Returns false, and appends nothing, if the frame cannot spell it: NUL anywhere, and a
/// line feed where nothing is escaped.
pub(crate) fn push_escaped(text: &str, escaping: Escaping, out: &mut Vec<u8>) -> bool {
    let octets = text.as_bytes();
    let is_plain = |octet: &u8| !matches!(octet, b'\n' | b':' | b'\\' | b'\r' | 0);
    if octets.iter().all(is_plain) {
        out.extend_from_slice(octets);
        return true;
    }
    let is_hopeless = |octet: &u8| *octet == 0 || (*octet == b'\n' && escaping == Escaping::None);
    if octets.iter().any(is_hopeless) {
        return false;
    }
    for &octet in octets {
        match escaping.escape(octet) {
            Some(escape) => out.extend_from_slice(&[b'\\', escape]),
            None => out.push(octet),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str, escaping: Escaping) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        push_escaped(text, escaping, &mut out).then_some(out)
    }

    //= stomp-1.2 [encoding-escapes]
    //= stomp-1.1 [encoding-escapes]
    #[test]
    fn each_version_has_its_own_escapes() {
        let text = "a:b\\c\nd\re";
        assert_eq!(escaped(text, Escaping::V1_1).unwrap(), b"a\\cb\\\\c\\nd\re");
        assert_eq!(escaped(text, Escaping::V1_2).unwrap(), b"a\\cb\\\\c\\nd\\re");
        assert_eq!(escaped(text, Escaping::None), None);
        assert_eq!(escaped("a:b\\c", Escaping::None).unwrap(), b"a:b\\c");
        assert_eq!(escaped("a\0", Escaping::V1_2), None);
    }

    //= stomp-1.2 [encoding-undefined]
    //= stomp-1.1 [encoding-undefined]
    #[test]
    fn undefined_escapes_are_refused() {
        for (text, v1_1, v1_2) in [
            (&b"\\n\\c\\\\"[..], true, true),
            (b"\\r", false, true),
            (b"\\t", false, false),
            (b"a\\", false, false),
            (b"\\\\\\", false, false),
            (b"\\C", false, false),
        ] {
            assert_eq!(check_escapes(text, Escaping::V1_1).is_ok(), v1_1);
            assert_eq!(check_escapes(text, Escaping::V1_2).is_ok(), v1_2);
            assert_eq!(check_escapes(text, Escaping::None), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back_as_it_was(text in "[a:\\\\\n\rä\u{1F600} nc]{0,20}") {
            for escaping in [Escaping::V1_1, Escaping::V1_2] {
                let wire = escaped(&text, escaping).unwrap();
                prop_assert_eq!(check_escapes(&wire, escaping), Ok(()));
                prop_assert!(!wire.contains(&b'\n') && !wire.contains(&b':'));
                prop_assert_eq!(unescape(core::str::from_utf8(&wire).unwrap(), escaping), text.as_str());
            }
        }

        #[test]
        fn any_text_whose_escapes_pass_can_be_read(text in "[\\\\rnct:x]{0,12}") {
            for escaping in [Escaping::None, Escaping::V1_1, Escaping::V1_2] {
                if check_escapes(text.as_bytes(), escaping).is_ok() {
                    prop_assert!(unescape(&text, escaping).len() <= text.len());
                }
            }
        }
    }
}
