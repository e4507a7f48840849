//! Paths: which resource a request is for, and how a topic is spelled as one.
//!
//! One Uri-Path option is one segment of a topic, byte for byte, and nothing is percent-decoded, but for what a segment
//! of a topic cannot hold and what a path cannot (`docs/mapping.md`): `/`, `+`, `#` and NUL become `%2F`, `%2B`, `%23` and
//! `%00` in the topic, and a segment `.` or `..` of a topic is `%2E` or `%2E%2E` in the path. What already looks like
//! one of these gains one `25`, so that nothing is spelled in two ways.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use mynah_model::Topic;

use super::addressed::request_topic;
use super::leases::{self, Leases};
use crate::directory::Lookup;
use crate::wire::{OptionNumber, Options};
use crate::{Compat, Refusal};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/.well-known/core`
    Discovery,
    /// `/t`: what filters select from.
    Topics,
    /// `/t/…`: a topic, by its canonical bytes.
    Topic(Vec<u8>),
    /// `/r/…`: who answers, and its path, by the canonical bytes of the topic of such requests.
    Answerer(Vec<u8>),
    /// `/q/…`: the topic that stands for a queue.
    Queue(Vec<u8>),
    /// `/q/…/lease…`
    Leases(Leases),
    /// `/rd`: the Resource Directory.
    Directory,
    /// `/rd/…`: one registration there.
    Registration(u64),
    /// `/rd-lookup/…`
    Lookup(Lookup),
    /// `/.well-known/rd`: registrations whose links the directory fetches itself (RFC 9176, section 5.1).
    SimpleRegistration,
    /// `/mqtt/connection` of EMQX: what an association is here.
    Connection,
}

/// What the paths of topics begin with for EMQX.
pub(super) const EMQX_TOPICS: &[u8] = b"ps";

impl Resource {
    /// The resource that the Uri-Path options name.
    ///
    /// # Errors
    /// There is none, or a segment is one that no path has.
    pub fn find(options: Options<'_>, compat: Compat) -> Result<Self, Refusal> {
        let mut segments = options.all(OptionNumber::URI_PATH);
        match segments.next() {
            Some(b"t") => {}
            Some(first) if first == EMQX_TOPICS && compat == Compat::Emqx => {}
            Some(b"r") => {
                return request_topic(segments)?.map(Self::Answerer).ok_or(Refusal::UnknownPath);
            }
            Some(b"q") => {
                // More segments than any resource has are no resource, however many.
                let segments: Vec<&[u8]> = segments.take(5).collect();
                return Ok(match leases::find(&segments)?.ok_or(Refusal::UnknownPath)? {
                    Ok(topic) => Self::Queue(topic),
                    Err(leases) => Self::Leases(leases),
                });
            }
            Some(first) => {
                let second = segments.next();
                let is_whole = segments.next().is_none();
                let found = Self::fixed(first, second)
                    .filter(|resource| *resource != Self::Connection || compat == Compat::Emqx);
                return found.filter(|_| is_whole).ok_or(Refusal::UnknownPath);
            }
            None => return Err(Refusal::UnknownPath),
        }
        match topic_of_segments(segments)? {
            None => Ok(Self::Topics),
            Some(topic) if topic.is_empty() => Err(Refusal::Path),
            Some(topic) => Ok(Self::Topic(topic)),
        }
    }
}

impl Resource {
    /// The resources with paths of one or two segments.
    fn fixed(first: &[u8], second: Option<&[u8]>) -> Option<Self> {
        Some(match (first, second) {
            (b".well-known", Some(b"core")) => Self::Discovery,
            (b".well-known", Some(b"rd")) => Self::SimpleRegistration,
            (b"mqtt", Some(b"connection")) => Self::Connection,
            (b"rd", None) => Self::Directory,
            (b"rd", Some(number)) if number.len() == 16 => {
                let number = core::str::from_utf8(number).ok()?;
                Self::Registration(u64::from_str_radix(number, 16).ok()?)
            }
            (b"rd-lookup", Some(b"ep")) => Self::Lookup(Lookup::Endpoints),
            (b"rd-lookup", Some(b"res")) => Self::Lookup(Lookup::Resources),
            _ => return None,
        })
    }
}

/// Sequences that stand for a byte which a segment of a topic cannot hold.
const ESCAPED: [([u8; 2], u8); 4] = [(*b"2F", b'/'), (*b"2B", b'+'), (*b"23", b'#'), (*b"00", 0)];

/// The canonical bytes of the topic that these segments of a path spell; none if there is no segment.
///
/// # Errors
/// A segment is `.` or `..` (RFC 7252, section 5.10.1), or not UTF-8.
pub fn topic_of_segments<'b>(segments: impl Iterator<Item = &'b [u8]>) -> Result<Option<Vec<u8>>, Refusal> {
    let mut topic = None;
    for segment in segments {
        let wrong = matches!(segment, b"." | b"..") || core::str::from_utf8(segment).is_err();
        if wrong {
            return Err(Refusal::Option(OptionNumber::URI_PATH));
        }
        let topic: &mut Vec<u8> = match &mut topic {
            None => topic.insert(Vec::with_capacity(64)),
            Some(topic) => {
                topic.push(b'/');
                topic
            }
        };
        push_to_topic(segment, topic);
    }
    Ok(topic)
}

fn push_to_topic(segment: &[u8], topic: &mut Vec<u8>) {
    if let Some((count, depth)) = dots(segment) {
        return push_dots(count, depth.checked_sub(1), topic);
    }
    for (at, &byte) in segment.iter().enumerate() {
        match ESCAPED.iter().find(|(_, raw)| *raw == byte) {
            Some((digits, _)) => topic.extend([b'%', digits[0], digits[1]]),
            None if byte == b'%' && escape(&segment[at + 1..]).is_some() => topic.extend(b"%25"),
            None => topic.push(byte),
        }
    }
}

/// The values of the Uri-Path options of a topic, first to last, without those before it.
pub fn uri_path(topic: Topic<'_>) -> impl Iterator<Item = Cow<'_, [u8]>> {
    topic.segments().map(|segment| {
        let is_plain = !segment.contains(&b'%') && !matches!(segment, b"." | b"..");
        if is_plain { Cow::Borrowed(segment) } else { Cow::Owned(to_path(segment)) }
    })
}

fn to_path(segment: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(segment.len() + 2);
    match segment {
        b"." => return Vec::from(b"%2E"),
        b".." => return Vec::from(b"%2E%2E"),
        _ => {}
    }
    if let Some((count, depth)) = dots(segment) {
        push_dots(count, Some(depth + 1), &mut path);
        return path;
    }
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match escape(after).filter(|_| byte == b'%') {
            Some((0, raw)) => {
                path.push(raw);
                rest = &after[2..];
            }
            Some(_) => {
                path.push(b'%');
                rest = &after[2..];
            }
            None => path.push(byte),
        }
    }
    path
}

/// What follows a `%`: how many times `25`, and the byte that the digits after them stand for.
fn escape(after: &[u8]) -> Option<(usize, u8)> {
    let (depth, digits) = strip_25(after);
    let found = ESCAPED.iter().find(|(escaped, _)| digits.starts_with(escaped))?;
    Some((depth, found.1))
}

/// Whether a whole segment is one or two dots escaped: how many, and how many times `25` is in each.
fn dots(segment: &[u8]) -> Option<(usize, usize)> {
    let one = |bytes: &[u8]| {
        let (depth, digits) = strip_25(bytes.strip_prefix(b"%")?);
        digits.starts_with(b"2E").then_some((depth, 3 + 2 * depth))
    };
    let (depth, len) = one(segment)?;
    match &segment[len..] {
        [] => Some((1, depth)),
        rest => one(rest).filter(|second| *second == (depth, rest.len())).map(|_| (2, depth)),
    }
}

/// Writes dots: as they are, or escaped with so many times `25`.
fn push_dots(count: usize, depth: Option<usize>, out: &mut Vec<u8>) {
    for _ in 0..count {
        let Some(depth) = depth else {
            out.push(b'.');
            continue;
        };
        out.push(b'%');
        for _ in 0..depth {
            out.extend(b"25");
        }
        out.extend(b"2E");
    }
}

fn strip_25(mut bytes: &[u8]) -> (usize, &[u8]) {
    let mut depth = 0;
    while let Some(rest) = bytes.strip_prefix(b"25") {
        (depth, bytes) = (depth + 1, rest);
    }
    (depth, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn topic(segments: &[&str]) -> Result<Option<Vec<u8>>, Refusal> {
        topic_of_segments(segments.iter().map(|segment| segment.as_bytes()))
    }

    #[test]
    fn paths_spell_topics_segment_by_segment() {
        for (segments, expected) in [
            (&["a", "b", "c"][..], "a/b/c"),
            (&["", "b", ""], "/b/"),
            (&["a/b", "+", "#"], "a%2Fb/%2B/%23"),
            (&["%2F", "%252B", "%41", "%"], "%252F/%25252B/%41/%"),
            (&["%2E", "%2E%2E", "%252E", "..."], "./../%2E/..."),
            (&["%252E%252E", "%2E%252E"], "%2E%2E/%2E%252E"),
            (&["$SYS", "x"], "$SYS/x"),
            (&["küche"], "küche"),
        ] {
            assert_eq!(topic(segments), Ok(Some(expected.into())), "{segments:?}");
            let back: Vec<_> = uri_path(Topic::new(expected.as_bytes()).unwrap()).collect();
            assert!(back.iter().map(|s| &**s).eq(segments.iter().map(|s| s.as_bytes())), "{expected}");
        }
    }

    //= rfc7252 [5.10.1-1]
    #[test]
    fn what_no_path_has_is_refused() {
        for segments in [&["."][..], &["a", ".."]] {
            assert_eq!(topic(segments), Err(Refusal::Option(OptionNumber::URI_PATH)));
        }
        let wrong = topic_of_segments([&b"\xff"[..]].into_iter());
        assert_eq!(wrong, Err(Refusal::Option(OptionNumber::URI_PATH)));
        assert_eq!(topic(&[]), Ok(None));
    }

    #[test]
    fn resources_are_found_by_their_paths() {
        let find_for = |compat, segments: &[&str]| {
            let mut bytes = Vec::new();
            let mut writer = crate::wire::OptionWriter::new(&mut bytes);
            segments.iter().for_each(|s| writer.put(OptionNumber::URI_PATH, s.as_bytes()));
            Resource::find(Options::decode(&bytes).unwrap().0, compat)
        };
        let find = |segments: &[&str]| find_for(Compat::None, segments);
        assert_eq!(find(&[".well-known", "core"]), Ok(Resource::Discovery));
        assert_eq!(find(&["t"]), Ok(Resource::Topics));
        assert_eq!(find(&["t", "a"]), Ok(Resource::Topic(b"a".into())));
        assert_eq!(find(&["t", ""]), Err(Refusal::Path));
        for unknown in [&[][..], &["x"], &[".well-known"], &[".well-known", "core", "x"], &["T", "a"]] {
            assert_eq!(find(unknown), Err(Refusal::UnknownPath));
        }
        for (path, resource) in [
            (&["ps", "a", "b"][..], Resource::Topic(b"a/b".into())),
            (&["mqtt", "connection"], Resource::Connection),
        ] {
            assert_eq!(find_for(Compat::Emqx, path), Ok(resource));
            assert_eq!(find(path), Err(Refusal::UnknownPath));
        }
    }

    proptest! {
        #[test]
        fn topics_survive_the_round_trip(text in "([a%2350BFE./]|25|2E|2F|%){1,24}") {
            let there: Vec<_> = uri_path(Topic::new(text.as_bytes()).unwrap()).map(Cow::into_owned).collect();
            let back = topic_of_segments(there.iter().map(|s| &**s));
            prop_assert_eq!(back, Ok(Some(text.into_bytes())));
        }

        #[test]
        fn paths_survive_the_round_trip(segments in proptest::collection::vec("([a%2350BFE/+#.]|25|2E|2F|%){0,9}", 1..4)) {
            let Ok(Some(topic)) = topic_of_segments(segments.iter().map(String::as_bytes)) else { return Ok(()) };
            let Ok(topic) = Topic::new(&topic) else {
                prop_assert!(topic.is_empty());
                return Ok(());
            };
            let back: Vec<_> = uri_path(topic).map(Cow::into_owned).collect();
            prop_assert!(back.iter().map(|s| &**s).eq(segments.iter().map(String::as_bytes)));
        }
    }
}
