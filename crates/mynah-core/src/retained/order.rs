//! Topic order: the end of a topic, then `/`, then the other bytes.

use core::cmp::Ordering;

/// The rank of a byte among those that may follow the same beginning; the end of the topic has rank 0. Topics hold no
/// NUL, so that all fit into eight bits.
fn rank(byte: u8) -> u8 {
    match byte {
        b'/' => 1,
        0..b'/' => byte + 1,
        _ => byte,
    }
}

fn symbol(topic: &[u8], at: usize) -> u8 {
    topic.get(at).map_or(0, |&byte| rank(byte))
}

/// How many bytes two topics begin with together.
fn common(a: &[u8], b: &[u8]) -> usize {
    // Topics share long beginnings: whole words first.
    const WORD: usize = 8;
    let words = a.chunks_exact(WORD).zip(b.chunks_exact(WORD)).take_while(|(a, b)| a == b).count() * WORD;
    words + a[words..].iter().zip(&b[words..]).take_while(|(a, b)| a == b).count()
}

/// Compares two topics.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let at = common(a, b);
    symbol(a, at).cmp(&symbol(b, at))
}

/// The number of the first bit in which two topics differ, ranks in the place of bytes and the highest bit first.
pub(super) fn first_difference(a: &[u8], b: &[u8]) -> Option<u32> {
    let at = common(a, b);
    let differing = symbol(a, at) ^ symbol(b, at);
    (differing != 0).then(|| at as u32 * u8::BITS + differing.leading_zeros())
}

/// The bit of a topic with this number: 0 or 1. After its end a topic has zeros.
pub(super) fn symbol_bit(topic: &[u8], bit: u32) -> usize {
    let symbol = symbol(topic, (bit / u8::BITS) as usize);
    usize::from(symbol >> (u8::BITS - 1 - bit % u8::BITS) & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPICS: [&[u8]; 9] =
        [b"a", b"a/", b"a/b", b"a/b/c/d/e", b"a/b/c/d!e", b"a\x01", b"a!", b"a.", b"a0"];

    #[test]
    fn a_slash_ranks_below_all_other_bytes_and_the_end_below_it() {
        for (i, a) in TOPICS.iter().enumerate() {
            for (j, b) in TOPICS.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        let mut ranks: [u8; 255] = core::array::from_fn(|i| rank(i as u8 + 1));
        ranks.sort_unstable();
        assert!(ranks.iter().copied().eq(1..=255));
    }

    #[test]
    fn the_first_bit_that_differs_says_which_topic_is_lower() {
        for a in TOPICS {
            for b in TOPICS {
                let lower = first_difference(a, b).map(|bit| symbol_bit(a, bit).cmp(&symbol_bit(b, bit)));
                assert_eq!(lower.unwrap_or(Ordering::Equal), compare(a, b));
            }
        }
    }
}
