//! Topics: where a message is published.

use core::fmt;

/// A topic in canonical form: segments joined by `/`.
///
/// A segment is a string of bytes without `/`, `+`, `#` and NUL (a stack whose protocol allows them escapes them,
/// see `docs/mapping.md`). Empty segments are legal, an empty topic is not. `$`-topics are legal names; who may write
/// them is decided elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a [u8]);

impl<'a> Topic<'a> {
    /// Takes canonical bytes as a topic.
    ///
    /// # Errors
    /// The topic is empty or holds a wildcard character or NUL.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TopicError> {
        if bytes.is_empty() {
            return Err(TopicError::Empty);
        }
        match bytes.iter().find(|b| matches!(b, b'+' | b'#' | 0)) {
            None => Ok(Self(bytes)),
            Some(0) => Err(TopicError::Nul),
            Some(_) => Err(TopicError::Wildcard),
        }
    }

    /// Takes bytes that were checked by [`Topic::new`] before, such as those of a [`crate::Message`].
    #[must_use]
    pub const fn from_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The canonical bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The segments, first to last.
    pub fn segments(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        self.0.split(|&b| b == b'/')
    }

    /// The first segment.
    #[must_use]
    pub fn first_segment(self) -> &'a [u8] {
        self.segments().next().unwrap_or_default()
    }

    /// Whether the first segment starts with `$`: a filter with a leading wildcard does not match such a topic.
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.0.first() == Some(&b'$')
    }

    /// Whether only the broker writes this topic: `$SYS`, `$presence`, `$events` and what is below them.
    #[must_use]
    #[inline]
    pub fn is_broker_owned(self) -> bool {
        self.is_dollar() && matches!(self.first_segment(), b"$SYS" | b"$presence" | b"$events")
    }
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Why bytes are not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// A topic has at least one byte.
    Empty,
    /// `+` and `#` belong to filters.
    Wildcard,
    /// NUL is not allowed in a segment.
    Nul,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the topic is empty",
            Self::Wildcard => "the topic holds a wildcard character (+ or #)",
            Self::Nul => "the topic holds a NUL byte",
        })
    }
}

impl core::error::Error for TopicError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_split_at_every_slash() {
        let topic = Topic::new(b"/a//b").unwrap();
        assert!(topic.segments().eq([&b""[..], b"a", b"", b"b"]));
        assert_eq!(topic.first_segment(), b"");
    }

    #[test]
    fn what_is_not_a_topic_says_why() {
        assert_eq!(Topic::new(b""), Err(TopicError::Empty));
        assert_eq!(Topic::new(b"a/+"), Err(TopicError::Wildcard));
        assert_eq!(Topic::new(b"a#"), Err(TopicError::Wildcard));
        assert_eq!(Topic::new(b"a\0"), Err(TopicError::Nul));
    }

    #[test]
    fn only_the_three_trees_belong_to_the_broker() {
        for (bytes, owned) in [
            (&b"$SYS"[..], true),
            (b"$SYS/x", true),
            (b"$SYSx", false),
            (b"SYS", false),
            (b"$queue/a", false),
        ] {
            assert_eq!(Topic::new(bytes).unwrap().is_broker_owned(), owned);
        }
    }
}
