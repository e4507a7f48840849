//! Filters: which topics a subscription selects.

use core::fmt;

use crate::Topic;

/// A filter in canonical form: segments joined by `/`, where `+` alone is one segment, `#` alone at the end is the
/// parent and everything below, and `#` alone elsewhere is zero or more segments.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Filter<'a>(&'a [u8]);

/// One segment of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Exactly this segment.
    Literal(&'a [u8]),
    /// `+`: any one segment.
    One,
    /// `#` in the last place: the parent and all below it.
    Tail,
    /// `#` in another place: zero or more segments.
    Many,
}

impl<'a> Filter<'a> {
    /// Takes canonical bytes as a filter.
    ///
    /// # Errors
    /// The filter is empty, holds NUL, or mixes a wildcard with other bytes in one segment.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FilterError> {
        if bytes.is_empty() {
            return Err(FilterError::Empty);
        }
        if bytes.contains(&0) {
            return Err(FilterError::Nul);
        }
        let mixed = |s: &[u8]| s.len() > 1 && s.iter().any(|b| matches!(b, b'+' | b'#'));
        if bytes.split(|&b| b == b'/').any(mixed) {
            return Err(FilterError::PartialWildcard);
        }
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked by [`Filter::new`] before.
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
    pub fn segments(self) -> impl Iterator<Item = Segment<'a>> + Clone {
        let mut parts = self.0.split(|&b| b == b'/').peekable();
        core::iter::from_fn(move || {
            let part = parts.next()?;
            Some(match part {
                b"+" => Segment::One,
                b"#" if parts.peek().is_none() => Segment::Tail,
                b"#" => Segment::Many,
                literal => Segment::Literal(literal),
            })
        })
    }

    /// The topic that this filter selects if it has no wildcard.
    #[must_use]
    pub fn as_exact(self) -> Option<Topic<'a>> {
        Topic::new(self.0).ok()
    }

    /// Whether the first segment is a wildcard: such a filter matches no `$`-topic.
    #[must_use]
    pub fn has_leading_wildcard(self) -> bool {
        matches!(self.0, [b'+' | b'#'] | [b'+' | b'#', b'/', ..])
    }

    /// Whether the filter has a `#` that is not in the last place; not every protocol can say that.
    #[must_use]
    pub fn has_inner_many(self) -> bool {
        self.segments().any(|s| s == Segment::Many)
    }

    /// Whether the filter selects `topic`, segment by segment: the definition that indexes are tested against.
    #[must_use]
    pub fn matches(self, topic: Topic<'_>) -> bool {
        if self.has_leading_wildcard() && topic.is_dollar() {
            return false;
        }
        matches_from(self.segments(), topic.segments())
    }
}

fn matches_from<'f, 't>(
    mut filter: impl Iterator<Item = Segment<'f>> + Clone,
    mut topic: impl Iterator<Item = &'t [u8]> + Clone,
) -> bool {
    loop {
        match filter.next() {
            None => return topic.next().is_none(),
            Some(Segment::Tail) => return true,
            Some(Segment::One) => {
                if topic.next().is_none() {
                    return false;
                }
            }
            Some(Segment::Literal(literal)) => {
                if topic.next() != Some(literal) {
                    return false;
                }
            }
            Some(Segment::Many) => return matches_many(&filter, topic),
        }
    }
}

/// What follows a `#` may start at any of the remaining segments. Boxed iterators would hide the recursion in the type.
fn matches_many<'f, 't>(
    filter: &(impl Iterator<Item = Segment<'f>> + Clone),
    topic: impl Iterator<Item = &'t [u8]> + Clone,
) -> bool {
    let filter: alloc::vec::Vec<Segment<'f>> = filter.clone().collect();
    let topic: alloc::vec::Vec<&[u8]> = topic.collect();
    (0..=topic.len()).any(|skip| matches_from(filter.iter().copied(), topic[skip..].iter().copied()))
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Why bytes are not a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// A filter has at least one byte.
    Empty,
    /// NUL is not allowed in a segment.
    Nul,
    /// A wildcard stands alone in its segment.
    PartialWildcard,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the filter is empty",
            Self::Nul => "the filter holds a NUL byte",
            Self::PartialWildcard => "a wildcard (+ or #) must stand alone in its segment",
        })
    }
}

impl core::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, topic: &str, expected: bool) {
        let f = Filter::new(filter.as_bytes()).unwrap();
        let t = Topic::new(topic.as_bytes()).unwrap();
        assert_eq!(f.matches(t), expected, "{filter} against {topic}");
    }

    #[test]
    fn filters_match_as_the_mqtt_specification_says() {
        check("sport/tennis/player1/#", "sport/tennis/player1", true);
        check("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true);
        check("sport/#", "sport", true);
        check("#", "a/b", true);
        check("+", "finance", true);
        check("+", "/finance", false);
        check("+/+", "/finance", true);
        check("/+", "/finance", true);
        check("sport/+", "sport", false);
        check("sport/+", "sport/", true);
        check("sport/+/player1", "sport/tennis/player1", true);
        check("ACCOUNTS", "Accounts", false);
    }

    #[test]
    fn a_leading_wildcard_hides_dollar_topics() {
        check("#", "$SYS/x", false);
        check("+/monitor", "$SYS/monitor", false);
        check("$SYS/#", "$SYS/monitor", true);
        check("$SYS/+", "$SYS/monitor", true);
    }

    #[test]
    fn an_inner_many_spans_zero_or_more_segments() {
        check("a/#/z", "a/z", true);
        check("a/#/z", "a/b/c/z", true);
        check("a/#/z", "a/b/c", false);
        check("#/z/#", "q/z", true);
        check("#/z", "$SYS/z", false);
    }

    #[test]
    fn what_is_not_a_filter_says_why() {
        assert_eq!(Filter::new(b""), Err(FilterError::Empty));
        assert_eq!(Filter::new(b"a\0"), Err(FilterError::Nul));
        assert_eq!(Filter::new(b"a+/b"), Err(FilterError::PartialWildcard));
        assert_eq!(Filter::new(b"a/b#"), Err(FilterError::PartialWildcard));
    }
}
