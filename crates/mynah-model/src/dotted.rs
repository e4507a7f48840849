//! Topics as the protocols spell them that separate segments by dots (AMQP 0-9-1, STOMP), see `docs/mapping.md`.
//!
//! A dot inside a segment is `%2E` in a key; `/`, `+`, `#` and NUL, which a key may hold and a segment may not, are `%2F`,
//! `%2B`, `%23` and `%00` in the segment. Where one side already has such a sequence, or one with any number of `25` after
//! the `%`, the other side has one `25` more. Every other `%` stands for itself. So no two keys are one topic, and no two
//! topics one key.

use alloc::vec::Vec;

use crate::Topic;

/// What a protocol's wildcards look like in a key: each stands alone between dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wildcards {
    /// Exactly one segment.
    pub one: u8,
    /// Any number of segments; elsewhere than at the end it is legal too.
    pub many: u8,
}

impl Wildcards {
    /// `*` and `#`: AMQP 0-9-1, and RabbitMQ wherever it has topics.
    pub const AMQP: Self = Self { one: b'*', many: b'#' };
    /// `*` and `>`: ActiveMQ.
    pub const ACTIVEMQ: Self = Self { one: b'*', many: b'>' };
}

/// Which of two spellings a sequence of bytes is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Dots separate; `/`, `+`, `#` and NUL are ordinary.
    Key,
    /// Slashes separate; dots are ordinary.
    Segments,
}

/// The bytes that only one of the two spellings can have inside a segment, with their escapes.
const ESCAPES: [(u8, [u8; 2]); 5] =
    [(b'.', *b"2E"), (b'/', *b"2F"), (b'+', *b"2B"), (b'#', *b"23"), (0, *b"00")];

impl Spelling {
    const fn separator(self) -> u8 {
        match self {
            Self::Key => b'.',
            Self::Segments => b'/',
        }
    }

    /// Whether this byte may stand inside a segment.
    const fn allows(self, byte: u8) -> bool {
        match self {
            Self::Key => byte != b'.',
            Self::Segments => !matches!(byte, b'/' | b'+' | b'#' | 0),
        }
    }
}

/// Appends the key of a topic: `a/b.c` becomes `a.b%2Ec`.
pub fn push_key(topic: Topic<'_>, key: &mut Vec<u8>) {
    respell(topic.as_bytes(), Spelling::Segments, Spelling::Key, key);
}

/// Appends the canonical bytes of the topic of a key: `a.b%2Ec` becomes `a/b.c`. They are a topic unless the key is empty.
pub fn push_topic(key: &[u8], topic: &mut Vec<u8>) {
    respell(key, Spelling::Key, Spelling::Segments, topic);
}

/// Appends the canonical bytes of the filter of a key with wildcards: `a.*.#` becomes `a/+/#`. They are a filter unless
/// the key is empty.
pub fn push_filter(key: &[u8], wildcards: Wildcards, filter: &mut Vec<u8>) {
    for (at, segment) in key.split(|&byte| byte == b'.').enumerate() {
        if at > 0 {
            filter.push(b'/');
        }
        match segment {
            [byte] if *byte == wildcards.one => filter.push(b'+'),
            [byte] if *byte == wildcards.many => filter.push(b'#'),
            literal => push_topic(literal, filter),
        }
    }
}

fn respell(mut bytes: &[u8], from: Spelling, to: Spelling, out: &mut Vec<u8>) {
    out.reserve(bytes.len());
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        if byte == from.separator() {
            out.push(to.separator());
        } else if byte == b'%' {
            bytes = respell_escape(rest, from, out);
        } else if to.allows(byte) {
            out.push(byte);
        } else {
            push_escape(byte, 0, out);
        }
    }
}

/// Respells what may be an escape, of which the `%` has been read. Returns what follows it.
fn respell_escape<'b>(rest: &'b [u8], from: Spelling, out: &mut Vec<u8>) -> &'b [u8] {
    let mut fives = 0;
    let mut code = rest;
    while let Some(after) = code.strip_prefix(b"25") {
        (fives, code) = (fives + 1, after);
    }
    let Some((byte, after)) =
        ESCAPES.iter().find_map(|(byte, digits)| Some((*byte, code.strip_prefix(digits)?)))
    else {
        out.push(b'%');
        return rest;
    };
    if !from.allows(byte) && fives == 0 {
        out.push(byte);
    } else if from.allows(byte) {
        push_escape(byte, fives + 1, out);
    } else {
        push_escape(byte, fives - 1, out);
    }
    after
}

fn push_escape(byte: u8, fives: usize, out: &mut Vec<u8>) {
    out.push(b'%');
    for _ in 0..fives {
        out.extend_from_slice(b"25");
    }
    if let Some((_, digits)) = ESCAPES.iter().find(|(own, _)| *own == byte) {
        out.extend_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;
    use proptest::prelude::*;

    fn key(topic: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        push_key(Topic::from_checked(topic), &mut key);
        key
    }

    fn topic(key: &[u8]) -> Vec<u8> {
        let mut topic = Vec::new();
        push_topic(key, &mut topic);
        topic
    }

    fn filter(key: &[u8], wildcards: Wildcards) -> Vec<u8> {
        let mut filter = Vec::new();
        push_filter(key, wildcards, &mut filter);
        filter
    }

    #[test]
    fn the_examples_of_the_mapping_page_are_spelled_as_it_says() {
        for (canonical, dotted) in [
            (&b"a/b/c"[..], &b"a.b.c"[..]),
            (b"a/b.c", b"a.b%2Ec"),
            (b"a/b%2Fc", b"a.b/c"),
            (b"%2B/%23/%00", b"+.#.\0"),
            (b"a%2E", b"a%252E"),
            (b"a%252E", b"a%25252E"),
            (b"a%252F", b"a%2F"),
            (b"a%25252F", b"a%252F"),
            (b"/a//b/", b".a..b."),
            (b"100%/%2e/%41/%25/%252/%", b"100%.%2e.%41.%25.%252.%"),
        ] {
            assert_eq!(key(canonical), dotted);
            assert_eq!(topic(dotted), canonical);
        }
    }

    #[test]
    fn wildcards_count_where_they_stand_alone() {
        assert_eq!(filter(b"a.*.#", Wildcards::AMQP), b"a/+/#");
        assert_eq!(filter(b"#.a*.b#.+.>", Wildcards::AMQP), b"#/a*/b%23/%2B/>");
        assert_eq!(filter(b"a.*.>", Wildcards::ACTIVEMQ), b"a/+/#");
        assert_eq!(filter(b"#.a", Wildcards::ACTIVEMQ), b"%23/a");
    }

    /// Bytes that make up separators, escapes and what looks like them, more often than others.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"%".to_vec()),
            Just(b"25".to_vec()),
            prop::sample::select(ESCAPES.to_vec()).prop_map(|(_, digits)| digits.to_vec()),
            prop::sample::select(ESCAPES.to_vec()).prop_map(|(byte, _)| [byte].to_vec()),
            prop::collection::vec(any::<u8>(), 0..3),
            Just(b"*".to_vec()),
            Just(b">".to_vec()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_key_is_a_topic_and_comes_back_as_it_was(dotted in bytes()) {
            let canonical = topic(&dotted);
            prop_assert_eq!(Topic::new(&canonical).is_ok(), !dotted.is_empty());
            prop_assert_eq!(key(&canonical), dotted);
        }

        #[test]
        fn every_topic_has_a_key_and_comes_back_as_it_was(canonical in bytes()) {
            prop_assume!(Topic::new(&canonical).is_ok());
            let dotted = key(&canonical);
            let dots = dotted.iter().filter(|&&byte| byte == b'.').count();
            prop_assert_eq!(dots + 1, Topic::from_checked(&canonical).segments().count());
            prop_assert_eq!(topic(&dotted), canonical);
        }

        #[test]
        fn every_key_is_a_filter_that_selects_at_least_its_own_topic(dotted in bytes()) {
            prop_assume!(!dotted.is_empty());
            for wildcards in [Wildcards::AMQP, Wildcards::ACTIVEMQ] {
                let filter = filter(&dotted, wildcards);
                let canonical = topic(&dotted);
                let topic = Topic::from_checked(&canonical);
                let filter = Filter::new(&filter).unwrap();
                prop_assert!(filter.matches(topic) || filter.has_leading_wildcard() && topic.is_dollar());
            }
        }
    }
}
