//! Relations between filters: which topics one selects that the other selects too.
//!
//! Tables instead of recursion: the filters of peers are arbitrary, the work is bounded by the product of the lengths.

use alloc::vec;
use alloc::vec::Vec;

use mynah_model::{Segment, Topic};

/// Whether `filter` selects `topic`.
pub(super) fn selects<'f>(filter: impl Iterator<Item = Segment<'f>> + Clone, topic: Topic<'_>) -> bool {
    let (mut wanted, mut given) = (filter.clone(), topic.segments());
    if topic.is_dollar() && !matches!(filter.clone().next(), Some(Segment::Literal(_))) {
        return false;
    }
    // Where to go on when what follows the last `#` fails: let the `#` take one segment more.
    let mut retry = None;
    loop {
        let matched = match wanted.next() {
            Some(Segment::Tail) => return true,
            Some(Segment::Many) => {
                retry = Some((wanted.clone(), given.clone()));
                continue;
            }
            Some(Segment::One) => given.next().is_some(),
            Some(Segment::Literal(literal)) => given.next() == Some(literal),
            None if given.next().is_none() => return true,
            None => false,
        };
        if !matched {
            let Some((after, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            (wanted, given) = (after.clone(), from.clone());
            retry = Some((after, from));
        }
    }
}

/// Whether every topic that `inner` selects is one that `outer` selects. With a `#` inside either filter the answer may
/// be no where it could be yes.
pub(super) fn covers(outer: &[Segment<'_>], inner: &[Segment<'_>]) -> bool {
    if is_wildcard(outer.first()) && is_dollar(inner.first()) {
        return false;
    }
    let (outer, inner) = (ordered(outer), ordered(inner));
    // yes[i][j]: whether the rest of `outer` from i on covers the rest of `inner` from j on.
    let mut yes = vec![vec![false; inner.len() + 1]; outer.len() + 1];
    for i in (0..=outer.len()).rev() {
        for j in (0..=inner.len()).rev() {
            yes[i][j] = match (outer.get(i), inner.get(j)) {
                (None, None) => true,
                (Some(o), None) => is_any(o) && yes[i + 1][j],
                (Some(o), Some(_)) if is_any(o) => yes[i + 1][j] || yes[i][j + 1],
                (None, Some(_)) => false,
                // Zero segments, and one or more.
                (Some(Segment::One), Some(n)) if is_any(n) => yes[i][j + 1] && yes[i + 1][j],
                (Some(Segment::One), Some(_)) => yes[i + 1][j + 1],
                (Some(o), Some(n)) => o == n && yes[i + 1][j + 1],
            };
        }
    }
    yes[0][0]
}

/// Whether there is a topic that both filters select. With a `#` inside a filter the answer may be yes where it could
/// be no.
pub(super) fn meets(a: &[Segment<'_>], b: &[Segment<'_>]) -> bool {
    if is_wildcard(a.first()) && is_dollar(b.first()) || is_wildcard(b.first()) && is_dollar(a.first()) {
        return false;
    }
    let mut yes = vec![vec![false; b.len() + 1]; a.len() + 1];
    for i in (0..=a.len()).rev() {
        for j in (0..=b.len()).rev() {
            yes[i][j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(any), _) if is_any(any) => yes[i + 1][j] || (j < b.len() && yes[i][j + 1]),
                (_, Some(any)) if is_any(any) => yes[i][j + 1] || (i < a.len() && yes[i + 1][j]),
                (None, _) | (_, None) => false,
                (Some(Segment::Literal(x)), Some(Segment::Literal(y))) => x == y && yes[i + 1][j + 1],
                (Some(_), Some(_)) => yes[i + 1][j + 1],
            };
        }
    }
    yes[0][0]
}

/// The same filter with each run of wildcards in one order, all `+` first and then one `#`. A lone `#` becomes `+/#`:
/// a topic has at least one segment.
fn ordered<'f>(filter: &[Segment<'f>]) -> Vec<Segment<'f>> {
    let mut out = Vec::with_capacity(filter.len() + 1);
    let mut any = false;
    for &segment in filter {
        match segment {
            Segment::Many | Segment::Tail => any = true,
            Segment::One => out.push(Segment::One),
            Segment::Literal(_) => {
                if core::mem::take(&mut any) {
                    out.push(Segment::Many);
                }
                out.push(segment);
            }
        }
    }
    if any {
        if out.is_empty() {
            out.push(Segment::One);
        }
        out.push(Segment::Many);
    }
    out
}

fn is_any(segment: &Segment<'_>) -> bool {
    matches!(segment, Segment::Many | Segment::Tail)
}

fn is_wildcard(first: Option<&Segment<'_>>) -> bool {
    !matches!(first, Some(Segment::Literal(_)))
}

fn is_dollar(first: Option<&Segment<'_>>) -> bool {
    matches!(first, Some(Segment::Literal([b'$', ..])))
}
