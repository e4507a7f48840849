//! The topics that stand for queues, and for exchanges with a key: a message that goes there is one on that topic.

use mynah_core::exchange::TOPIC_SPACE;
use mynah_model::Topic;

/// What all topics start with that stand for queues.
pub(crate) const QUEUES: &[u8] = b"$queue/";
/// What all topics start with that stand for keys of exchanges.
pub(crate) const EXCHANGES: &[u8] = b"$exchange/";

/// The topic that stands for a queue: its name after a prefix. What would be a wildcard in a filter, or can be in none, is
/// spelled with a percent sign, and what looks like that already gains a `25`.
pub(crate) fn address(name: &[u8]) -> Vec<u8> {
    let mut address = Vec::new();
    push_address(name, &mut address);
    address
}

/// Appends the same.
pub(super) fn push_address(name: &[u8], out: &mut Vec<u8>) {
    out.reserve(QUEUES.len() + name.len());
    out.extend_from_slice(QUEUES);
    spell(name, Spelling::Whole, out);
}

/// The topic that stands for a key of an exchange: the exchange's name as one segment after a prefix, then the key as it
/// is.
fn exchange_address(name: &[u8], key: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(EXCHANGES.len() + name.len() + 1 + key.len());
    address.extend_from_slice(EXCHANGES);
    spell(name, Spelling::Segment, &mut address);
    address.push(b'/');
    address.extend_from_slice(key);
    address
}

/// The topic that stands for a key of any exchange: of the topic space the key, of the default exchange the queue.
pub(crate) fn place(exchange: &[u8], key: &[u8]) -> Vec<u8> {
    match exchange {
        b"" => address(key),
        TOPIC_SPACE if !key.is_empty() => key.to_vec(),
        exchange => exchange_address(exchange, key),
    }
}

/// The name of the exchange that a topic stands for, and the key; none if it stands for none.
pub(crate) fn exchange_of(topic: Topic<'_>) -> Option<(Vec<u8>, &[u8])> {
    let rest = topic.as_bytes().strip_prefix(EXCHANGES)?;
    let end = rest.iter().position(|&byte| byte == b'/')?;
    Some((unspelled(&rest[..end]), &rest[end + 1..]))
}

/// Whether a topic stands for a queue.
pub(crate) fn stands_for_queue(topic: Topic<'_>) -> bool {
    topic.as_bytes().starts_with(QUEUES)
}

/// The name of the queue that a topic stands for; none if it stands for none.
pub(crate) fn queue_of(topic: &[u8]) -> Option<Vec<u8>> {
    let rest = topic.strip_prefix(QUEUES).filter(|rest| !rest.is_empty())?;
    Some(unspelled(rest))
}

/// Whether a topic or filter is in a part of the topic space that stands for queues or exchanges.
pub(crate) fn stands_for_others(topic_or_filter: &[u8]) -> bool {
    [QUEUES, EXCHANGES]
        .iter()
        .any(|prefix| topic_or_filter.starts_with(prefix) || topic_or_filter == &prefix[..prefix.len() - 1])
}

/// What a name is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// All that is left of a topic.
    Whole,
    /// One of its segments.
    Segment,
}

fn spell(name: &[u8], spelling: Spelling, out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| !matches!(byte, b'+' | b'#' | 0 | b'%' | b'/');
    if name.iter().all(is_plain) {
        return out.extend_from_slice(name);
    }
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'+' => out.extend_from_slice(b"%2B"),
            b'#' => out.extend_from_slice(b"%23"),
            0 => out.extend_from_slice(b"%00"),
            b'/' if spelling == Spelling::Segment => out.extend_from_slice(b"%2F"),
            b'%' if spelled(&name[at + 1..]).is_some() => out.extend_from_slice(b"%25"),
            byte => out.push(byte),
        }
    }
}

fn unspelled(mut text: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        match spelled(rest).filter(|_| byte == b'%') {
            // It has gained that.
            Some(_) if rest.starts_with(b"25") => text = &rest[2..],
            Some(meant) => {
                name.push(meant);
                text = &rest[2..];
                continue;
            }
            None => {}
        }
        name.push(byte);
    }
    name
}

/// The byte that is meant where what follows a percent sign makes it one of the spellings, or one that gained something.
fn spelled(mut rest: &[u8]) -> Option<u8> {
    while let Some(more) = rest.strip_prefix(b"25") {
        rest = more;
    }
    match rest.get(..2)? {
        b"2B" => Some(b'+'),
        b"23" => Some(b'#'),
        b"00" => Some(0),
        b"2F" => Some(b'/'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_queue_has_a_topic_of_its_own(a in "[+#%025BFX/\0]{0,9}", b in "[+#%025BFX/\0]{0,9}") {
            let (one, other) = (address(a.as_bytes()), address(b.as_bytes()));
            prop_assert_eq!(one == other, a == b);
            prop_assert!(!one.iter().any(|byte| matches!(byte, b'+' | b'#' | 0)));
            prop_assert_eq!(queue_of(&one).unwrap_or_default(), a.as_bytes());
        }

        #[test]
        fn an_exchange_and_a_key_are_read_from_their_topic(name in "[+#%025BFX/\0]{0,9}", key in "[a/%2F]{0,6}") {
            let address = exchange_address(name.as_bytes(), key.as_bytes());
            prop_assert!(stands_for_others(&address));
            let read = exchange_of(Topic::from_checked(&address));
            prop_assert_eq!(read, Some((name.into_bytes(), key.as_bytes())));
        }
    }

    #[test]
    fn a_usual_name_is_spelled_as_it_is() {
        assert_eq!(address(b"jobs/50%.x"), b"$queue/jobs/50%.x");
        assert_eq!(address(b"#%23%2523%25"), b"$queue/%23%2523%252523%25");
        assert_eq!(exchange_address(b"a/b", b"x/y"), b"$exchange/a%2Fb/x/y");
        assert_eq!(exchange_of(Topic::from_checked(b"$exchange/alone")), None);
    }
}
