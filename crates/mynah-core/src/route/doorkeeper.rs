//! Which topics were asked for lately: a bit for each, by its hash.

use alloc::vec;
use alloc::vec::Vec;

/// Remembers up to a number of topics, and begins anew when they are reached.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    /// A power of two of words.
    words: Vec<u64>,
    noted: usize,
    noted_max: usize,
}

impl Doorkeeper {
    /// Bits for each topic: so many make it unlikely that another topic has set the same.
    const BITS_PER_TOPIC: usize = 16;
    /// Memory stays within 2 MiB.
    const TOPICS_MAX: usize = 1 << 20;

    /// Knows nobody, and up to `topics` topics (at least one) at a time.
    pub(super) fn new(topics: usize) -> Self {
        let noted_max = topics.clamp(1, Self::TOPICS_MAX);
        let words = (noted_max * Self::BITS_PER_TOPIC).div_ceil(64).next_power_of_two();
        Self { words: vec![0; words], noted: 0, noted_max }
    }

    /// Whether a topic with this hash, or one that shares its bit, came before. It is known from now on.
    pub(super) fn knows(&mut self, hash: u64) -> bool {
        let at = (hash >> 6) as usize & (self.words.len() - 1);
        let bit = 1 << (hash & 63);
        if self.words[at] & bit != 0 {
            return true;
        }
        if self.noted == self.noted_max {
            self.words.fill(0);
            self.noted = 0;
        }
        self.words[at] |= bit;
        self.noted += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyedHash;
    use mynah_model::TenantId;

    #[test]
    fn who_comes_twice_is_known_and_few_others_are() {
        let hash = KeyedHash::new(1);
        let of = |n: u32| hash.text(TenantId::DEFAULT, &n.to_be_bytes());
        let mut door = Doorkeeper::new(1_000);
        let mistaken = (0..1_000).filter(|&n| door.knows(of(n))).count();
        assert!(mistaken < 100, "{mistaken}");
        assert!((0..1_000).all(|n| door.knows(of(n))));
        // Strangers make it forget.
        assert!((1_000..3_000).filter(|&n| door.knows(of(n))).count() < 200);
        let known = (0..1_000).filter(|&n| door.knows(of(n))).count();
        assert!(known < 200, "{known}");
    }
}
