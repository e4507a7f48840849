//! Skip-scan: from a topic that a filter does not select to the next place where one can be.

use alloc::vec::Vec;
use core::cmp::Ordering;

use mynah_model::{Filter, Segment, Topic};

use super::order::compare;

/// What follows from looking at one topic.
pub(super) enum Next {
    /// The filter selects it.
    Match,
    /// It does not; the next topic may be a match.
    Step,
    /// It does not, nor any before this place, which lies after it.
    Seek(Vec<u8>),
    /// Nothing after it can match.
    End,
}

/// The place after a prefix and all that is below it: no byte but `/` ranks lower than 1.
fn past(prefix: &[u8]) -> Vec<u8> {
    let mut place = prefix.to_vec();
    place.push(1);
    place
}

/// The first place where a topic can be that `filter` selects.
pub(super) fn first(filter: Filter<'_>) -> Vec<u8> {
    let mut place = Vec::new();
    push_literals(&mut place, filter.segments());
    place
}

fn push_literals<'f>(place: &mut Vec<u8>, segments: impl Iterator<Item = Segment<'f>>) {
    for (i, segment) in segments.enumerate() {
        let Segment::Literal(literal) = segment else { return };
        if i > 0 {
            place.push(b'/');
        }
        place.extend_from_slice(literal);
    }
}

/// Compares `topic` with `filter` segment by segment, up to where they part.
pub(super) fn look(filter: Filter<'_>, topic: Topic<'_>) -> Next {
    if filter.has_leading_wildcard() && topic.is_dollar() {
        return Next::Seek([b'$' + 1].to_vec());
    }
    let bytes = topic.as_bytes();
    let mut wanted = filter.segments();
    // The segment that is compared begins here; past the end when the topic has no more.
    let mut start = 0;
    // Where the last segment ends that stands for a `+`: advancing it is the next chance when what follows fails.
    let mut last_one = None;
    loop {
        let here = wanted.clone();
        let end = bytes[start.min(bytes.len())..].iter().position(|&b| b == b'/');
        let end = end.map_or(bytes.len(), |len| start + len);
        let ended = start > bytes.len();
        match wanted.next() {
            None if ended => return Next::Match,
            None => return advance(bytes, last_one),
            Some(Segment::Tail) => return Next::Match,
            Some(Segment::Many) => return if filter.matches(topic) { Next::Match } else { Next::Step },
            Some(_) if ended => return Next::Seek(below(bytes, here)),
            Some(Segment::One) => last_one = Some(end),
            Some(Segment::Literal(literal)) => match compare(&bytes[start..end], literal) {
                Ordering::Equal => {}
                Ordering::Greater => return advance(bytes, last_one),
                Ordering::Less => {
                    let mut place = bytes[..start].to_vec();
                    push_literals(&mut place, here);
                    return Next::Seek(place);
                }
            },
        }
        start = end + 1;
    }
}

/// The first place below `parent` that can match the remaining segments.
fn below<'f>(parent: &[u8], remaining: impl Iterator<Item = Segment<'f>>) -> Vec<u8> {
    let mut place = parent.to_vec();
    place.push(b'/');
    push_literals(&mut place, remaining);
    place
}

fn advance(bytes: &[u8], last_one: Option<usize>) -> Next {
    last_one.map_or(Next::End, |end| Next::Seek(past(&bytes[..end])))
}
