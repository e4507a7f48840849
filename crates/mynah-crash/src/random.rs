//! Randomness from a seed (splitmix64): the same seed makes the same choices. What the machine makes of them in time
//! differs from run to run.

use std::ops::RangeInclusive;

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source that the seed determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own for a part of the work, so that the parts do not disturb each other.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.draw() % (high - low + 1)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = self.draw() % (end.max(1) as u64);
        usize::try_from(number).unwrap_or(0)
    }

    /// Whether something happens that does so this often in a hundred times.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.between(0..=99) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices_within_the_range() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        for _ in 0..1_000 {
            let number = one.between(3..=9);
            assert!((3..=9).contains(&number));
            assert_eq!(number, two.between(3..=9));
            assert_eq!((one.below(1), two.below(1)), (0, 0));
        }
        assert_ne!(one.fork().draw(), one.fork().draw());
        assert!(!one.happens(0));
        assert!(one.happens(100));
    }
}
