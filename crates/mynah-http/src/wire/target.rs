//! Request target: the path that spells a topic, and the query that spells filters (RFC 3986).
//!
//! Each path segment is percent-decoded by itself and is one segment of the topic. In the query a `+` is a plus sign,
//! as RFC 3986 has it, not a space: `+` is a wildcard.

use core::fmt;

use mynah_model::{Filter, FilterError, Topic, TopicError};

use super::percent;

/// Why a path does not spell a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// There is nothing after `/v1/topics/`.
    Empty,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A segment is not UTF-8 after decoding.
    NotUtf8,
    /// `%2F`: a slash inside a segment would change which topic it is.
    Slash,
    /// `+` or `#` in a segment, escaped or not.
    Wildcard,
    /// `%00`
    Nul,
    /// A bare `.` or `..`, which clients and proxies resolve away.
    Dots,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the topic is empty: name it after /v1/topics/",
            Self::Escape => "the path has a '%' that two hexadecimal digits do not follow",
            Self::NotUtf8 => "the path is not UTF-8 after percent-decoding",
            Self::Slash => "the path has an escaped slash (%2F): a topic's segment cannot hold one",
            Self::Wildcard => {
                "the topic has a wildcard ('+' or '#'): subscribe with GET /v1/topics?filter=... instead"
            }
            Self::Nul => "the topic has a NUL byte (%00)",
            Self::Dots => "the path has a '.' or '..' segment: write %2E or %2E%2E if the topic has it",
        })
    }
}

/// Why a query does not spell filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// No `filter=` is there.
    NoFilter,
    /// There are more than so many filters.
    TooMany(u8),
    /// A parameter that is not known here, or is there again.
    Unknown(String),
    /// This parameter has to be this.
    Value(&'static str, &'static str),
    /// A `%` without two hexadecimal digits, in this parameter (counted from 1).
    Escape(usize),
    /// Not UTF-8 after decoding, in this parameter (counted from 1).
    NotUtf8(usize),
    /// Not a filter, in this parameter (counted from 1).
    Filter(usize, FilterError),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFilter => {
                f.write_str("at least one query parameter 'filter' is needed, such as ?filter=a/%2B/c")
            }
            Self::TooMany(max) => write!(f, "more than {max} filters in one request"),
            Self::Unknown(name) => write!(f, "unknown query parameter '{name}'"),
            Self::Value(name, what) => write!(f, "query parameter '{name}' has to be {what}"),
            Self::Escape(at) => {
                write!(f, "query parameter {at} has a '%' that two hexadecimal digits do not follow")
            }
            Self::NotUtf8(at) => write!(f, "query parameter {at} is not UTF-8 after percent-decoding"),
            Self::Filter(at, error) => write!(f, "query parameter {at} is not a filter: {error}"),
        }
    }
}

/// The canonical bytes of the topic that `path` (what follows `/v1/topics/`) spells.
///
/// # Errors
/// See [`PathError`].
pub fn decode_topic(path: &str) -> Result<Vec<u8>, PathError> {
    let mut topic = Vec::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            topic.push(b'/');
        }
        if matches!(segment, "." | "..") {
            return Err(PathError::Dots);
        }
        let from = topic.len();
        percent::decode(segment, &mut topic).ok_or(PathError::Escape)?;
        if topic[from..].contains(&b'/') {
            return Err(PathError::Slash);
        }
        core::str::from_utf8(&topic[from..]).map_err(|_| PathError::NotUtf8)?;
    }
    match Topic::new(&topic) {
        Ok(_) => Ok(topic),
        Err(TopicError::Empty) => Err(PathError::Empty),
        Err(TopicError::Wildcard) => Err(PathError::Wildcard),
        Err(TopicError::Nul) => Err(PathError::Nul),
    }
}

/// What follows `/v1/topics/` in the path of `topic`: everything but RFC 3986's unreserved characters is escaped.
#[must_use]
pub fn encode_topic(topic: Topic<'_>) -> String {
    let mut path = String::with_capacity(topic.as_bytes().len());
    for (index, segment) in topic.segments().enumerate() {
        if index > 0 {
            path.push('/');
        }
        let dots = matches!(segment, b"." | b"..");
        let is_plain =
            |byte: u8| !dots && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
        percent::encode(segment, is_plain, &mut path);
    }
    path
}

/// The canonical bytes of the filters in a query, in its order.
///
/// # Errors
/// See [`QueryError`]; there may be up to `filters_max`.
pub fn decode_filters(query: Option<&str>, filters_max: u8) -> Result<Vec<Vec<u8>>, QueryError> {
    let mut filters = Vec::new();
    for (index, parameter) in parameters(query).enumerate() {
        let at = index + 1;
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name != "filter" {
            return Err(QueryError::Unknown(shown(name)));
        }
        if filters.len() == usize::from(filters_max) {
            return Err(QueryError::TooMany(filters_max));
        }
        let mut filter = Vec::with_capacity(value.len());
        percent::decode(value, &mut filter).ok_or(QueryError::Escape(at))?;
        core::str::from_utf8(&filter).map_err(|_| QueryError::NotUtf8(at))?;
        Filter::new(&filter).map_err(|error| QueryError::Filter(at, error))?;
        filters.push(filter);
    }
    if filters.is_empty() { Err(QueryError::NoFilter) } else { Ok(filters) }
}

/// Makes sure that the query of a topic's path is empty: a parameter that has no effect would be a silent loss.
///
/// # Errors
/// [`QueryError::Unknown`]
pub fn no_parameters(query: Option<&str>) -> Result<(), QueryError> {
    match parameters(query).next() {
        None => Ok(()),
        Some(parameter) => Err(QueryError::Unknown(shown(parameter.split('=').next().unwrap_or_default()))),
    }
}

fn parameters(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty())
}

/// A name that a peer chose, short enough to be repeated to it.
fn shown(name: &str) -> String {
    name.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_spell_topics_segment_by_segment() {
        for (path, topic) in [
            ("a/b/c", "a/b/c"),
            ("a//b", "a//b"),
            ("/", "/"),
            ("a/", "a/"),
            ("%61%2e%20x", "a. x"),
            ("%2E%2E/%2e", "../."),
            ("...", "..."),
            ("k%C3%BCche", "küche"),
            ("%2520", "%20"),
            ("$SYS/x", "$SYS/x"),
            ("a;b=c:d@e!", "a;b=c:d@e!"),
        ] {
            assert_eq!(decode_topic(path).as_deref(), Ok(topic.as_bytes()), "{path}");
        }
    }

    #[test]
    fn dots_survive_the_clients_that_resolve_them() {
        assert_eq!(encode_topic(Topic::new(b"../a.b/.").unwrap()), "%2E%2E/a.b/%2E");
    }

    #[test]
    fn queries_spell_filters_with_plus_as_itself() {
        let filters = decode_filters(Some("filter=a/+/c&filter=%23&&filter=x%2Fy%20z"), 3).unwrap();
        assert_eq!(filters, [b"a/+/c".to_vec(), b"#".to_vec(), b"x/y z".to_vec()]);
    }

    proptest! {
        #[test]
        fn topics_survive_the_round_trip(text in "[^+#\0]{1,60}") {
            let topic = Topic::new(text.as_bytes()).unwrap();
            prop_assert_eq!(decode_topic(&encode_topic(topic)), Ok(topic.as_bytes().to_vec()));
        }

        #[test]
        fn any_path_is_a_topic_or_refused(path in ".{0,60}") {
            if let Ok(topic) = decode_topic(&path) {
                let topic = Topic::new(&topic).unwrap();
                prop_assert_eq!(decode_topic(&encode_topic(topic)), Ok(topic.as_bytes().to_vec()));
            }
        }

        #[test]
        fn any_query_is_filters_or_refused(query in "(filter=|[%&=+#a-f0-9/]){0,30}") {
            if let Ok(filters) = decode_filters(Some(&query), 5) {
                prop_assert!((1..=5).contains(&filters.len()));
                prop_assert!(filters.iter().all(|f| Filter::new(f).is_ok()));
            }
        }
    }
}
