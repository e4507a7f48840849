//! The headers of a frame: read where they lie, written one by one.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::Escaping;
use super::escape::{check_escapes, push_escaped, unescape};
use crate::Malformed;

/// How header lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// What is escaped.
    pub escaping: Escaping,
    /// Whether spaces around names and values are padding.
    pub pads: bool,
    /// Whether a carriage return at the end of a line belongs to the end of the line.
    pub cr_ends_lines: bool,
}

/// Headers that were checked, borrowed from the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'b> {
    lines: &'b str,
    rules: HeaderRules,
    verbatim: bool,
}

impl<'b> Headers<'b> {
    /// Checks header lines, each with its end, without the blank one.
    ///
    /// # Errors
    /// They are not UTF-8, one has no colon or no name, or an escape that is not defined.
    pub fn decode(lines: &'b [u8], rules: HeaderRules) -> Result<Self, Malformed> {
        let lines = core::str::from_utf8(lines).map_err(|_| Malformed::NotUtf8)?;
        let mut verbatim = !lines.as_bytes().iter().any(|octet| matches!(octet, b'\\' | b'\r'));
        for line in Lines(lines) {
            let (name, value) = line.split_once(':').ok_or(Malformed::HeaderWithoutColon)?;
            if name.is_empty() || (rules.pads && name.trim_matches(' ').is_empty()) {
                return Err(Malformed::HeaderWithoutName);
            }
            if rules.pads {
                let padded = |text: &str| text.starts_with(' ') || text.ends_with(' ');
                verbatim &= !padded(name) && !padded(value);
            }
            if !verbatim {
                check_escapes(line.as_bytes(), rules.escaping)?;
                if rules.cr_ends_lines && line.strip_suffix('\r').unwrap_or(line).contains('\r') {
                    return Err(Malformed::CarriageReturn);
                }
            }
        }
        Ok(Self { lines, rules, verbatim })
    }

    /// Names and values in their order, without escapes.
    pub fn iter(self) -> impl Iterator<Item = (Cow<'b, str>, Cow<'b, str>)> {
        Lines(self.lines).filter_map(move |line| {
            let (name, value) = self.rules.split(line)?;
            Some((unescape(name, self.rules.escaping), unescape(value, self.rules.escaping)))
        })
    }

    /// The value of a header; of repeated ones the first ("Repeated Header Entries").
    #[must_use]
    pub fn get(self, name: &str) -> Option<Cow<'b, str>> {
        Lines(self.lines).find_map(|line| {
            let (found, value) = self.rules.split(line)?;
            (unescape(found, self.rules.escaping) == name).then(|| unescape(value, self.rules.escaping))
        })
    }

    /// Whether the lines hold names and values as they are: no escape, no padding, no carriage return.
    #[must_use]
    pub const fn is_verbatim(self) -> bool {
        self.verbatim
    }

    /// The lines as they came.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.lines.as_bytes()
    }
}

impl HeaderRules {
    fn split(self, line: &str) -> Option<(&str, &str)> {
        let line = if self.cr_ends_lines { line.strip_suffix('\r').unwrap_or(line) } else { line };
        let (name, value) = line.split_once(':')?;
        if self.pads { Some((name.trim_matches(' '), value.trim_matches(' '))) } else { Some((name, value)) }
    }
}

/// Lines up to a blank one, without their line feeds.
struct Lines<'b>(&'b str);

impl<'b> Iterator for Lines<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let (line, rest) = self.0.split_once('\n').unwrap_or((self.0, ""));
        self.0 = rest;
        (!line.is_empty()).then_some(line)
    }
}

/// Appends a header line. Returns false, and appends nothing, if a frame cannot spell it.
pub fn push_header(name: &str, value: &str, escaping: Escaping, out: &mut Vec<u8>) -> bool {
    let at = out.len();
    let is_named = !name.is_empty() && (escaping != Escaping::None || !name.contains(':'));
    if is_named && push_escaped(name, escaping, out) {
        out.push(b':');
        if push_escaped(value, escaping, out) {
            out.push(b'\n');
            return true;
        }
    }
    out.truncate(at);
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;
    use crate::wire::Command;
    use proptest::prelude::*;

    fn rules(version: Version) -> HeaderRules {
        Command::Send.header_rules(version)
    }

    fn all(lines: &[u8], version: Version) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        Headers::decode(lines, rules(version)).unwrap().iter().collect()
    }

    //= stomp-1.2 [repeated-first]
    #[test]
    fn the_first_of_repeated_headers_counts() {
        let headers = Headers::decode(b"foo:World\nfoo:Hello\n", rules(Version::V1_2)).unwrap();
        assert_eq!(headers.get("foo").unwrap(), "World");
        assert_eq!(headers.iter().count(), 2);
        assert_eq!(headers.get("Foo"), None);
    }

    //= stomp-1.2 [encoding-no-trimming]
    #[test]
    fn only_the_first_version_trims() {
        assert_eq!(all(b"a: b \n", Version::V1_0), [("a".into(), "b".into())]);
        assert_eq!(all(b"a: b \n", Version::V1_1), [("a".into(), " b ".into())]);
        assert_eq!(all(b"a: b \n", Version::V1_2), [("a".into(), " b ".into())]);
    }

    //= stomp-1.2 [frame-eol]
    #[test]
    fn a_carriage_return_ends_a_line_where_the_version_says_so() {
        assert_eq!(all(b"a:b\r\n", Version::V1_2), [("a".into(), "b".into())]);
        assert_eq!(all(b"a:b\r\n", Version::V1_1), [("a".into(), "b\r".into())]);
        assert_eq!(Headers::decode(b"a:b\rc\n", rules(Version::V1_2)), Err(Malformed::CarriageReturn));
    }

    #[test]
    fn a_value_may_have_colons_and_be_empty() {
        for version in Version::ALL {
            assert_eq!(all(b"a:b:c\nd:\n", version), [("a".into(), "b:c".into()), ("d".into(), "".into())]);
        }
    }

    proptest! {
        #[test]
        fn headers_that_can_be_spelled_come_back(pairs in prop::collection::vec(("[a:\\\\\n]{0,4}", "[b:\\\\\r\n ä]{0,6}"), 0..6)) {
            for version in [Version::V1_1, Version::V1_2] {
                let mut lines = Vec::new();
                let spelled: Vec<_> = pairs.iter()
                    .filter(|(name, value)| push_header(name, value, version.escaping(), &mut lines))
                    .map(|(name, value)| (Cow::from(name), Cow::from(value)))
                    .collect();
                prop_assert_eq!(spelled.len(), pairs.iter().filter(|(name, _)| !name.is_empty()).count());
                prop_assert_eq!(all(&lines, version), spelled);
            }
        }
    }
}
