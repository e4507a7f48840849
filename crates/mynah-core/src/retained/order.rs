//! Topic order, and values that are found by their topic without storing it twice.

use core::borrow::Borrow;
use core::cmp::Ordering;

use mynah_model::{Message, Topic};

/// Whatever has a place in topic order.
pub(super) trait Place {
    fn topic_bytes(&self) -> &[u8];
}

/// A retained value, ordered by its topic alone.
#[derive(Debug)]
pub(super) struct Value(pub(super) Message);

impl Place for Value {
    fn topic_bytes(&self) -> &[u8] {
        self.0.topic().as_bytes()
    }
}

impl Place for Topic<'_> {
    fn topic_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Compares byte by byte, `/` before all others. Topics hold no NUL, so `/` can take its rank.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // Topics share long beginnings: whole words first.
    const WORD: usize = 8;
    let words = a.chunks_exact(WORD).zip(b.chunks_exact(WORD)).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[words * WORD..], &b[words * WORD..]);
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((&a, &b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

impl<'a> Borrow<dyn Place + 'a> for Value {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.topic_bytes(), other.topic_bytes())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.topic_bytes() == other.topic_bytes()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.topic_bytes(), other.topic_bytes())
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.topic_bytes() == other.topic_bytes()
    }
}

impl Eq for Value {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_equal_where_their_order_is() {
        let places =
            ["a", "a/b", "a!", "a/b/c/d/e", "a/b/c/d!e"].map(|text| Topic::new(text.as_bytes()).unwrap());
        for a in &places {
            for b in &places {
                let (a, b): (&dyn Place, &dyn Place) = (a, b);
                assert_eq!(a == b, a.cmp(b).is_eq());
            }
        }
    }
}
