//! The value of Block1 and Block2 (RFC 7959, section 2.2; RFC 8323, section 6 for size exponent 7).

use super::{read_uint, uint_bytes};

/// The size of blocks, as its exponent says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 16 bytes.
    pub const MIN: Self = Self(0);
    /// 1,024 bytes.
    pub const MAX: Self = Self(6);
    /// Any number of blocks of 1,024 bytes at once, over a reliable transport (BERT).
    pub const BERT: Self = Self(7);

    /// The size with this exponent: 0 to 6, or 7 for [`BlockSize::BERT`].
    #[must_use]
    pub const fn from_exponent(exponent: u8) -> Option<Self> {
        if exponent <= 7 { Some(Self(exponent)) } else { None }
    }

    /// The largest size of at most `bytes`; the smallest if there is none.
    #[must_use]
    pub const fn at_most(bytes: usize) -> Self {
        let mut exponent = 6;
        while exponent > 0 && 16 << exponent > bytes {
            exponent -= 1;
        }
        Self(exponent)
    }

    /// The exponent.
    #[must_use]
    pub const fn exponent(self) -> u8 {
        self.0
    }

    /// Bytes of one block: 16 to 1,024.
    #[must_use]
    pub const fn bytes(self) -> usize {
        if self.0 == 7 { 1_024 } else { 16 << self.0 }
    }
}

/// Which part of a body a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of the block, counted in blocks of this size; at most 1,048,575.
    pub number: u32,
    /// Whether more follow.
    pub more: bool,
    /// The size.
    pub size: BlockSize,
}

impl Block {
    /// The greatest number.
    pub const NUMBER_MAX: u32 = (1 << 20) - 1;

    /// Reads a value. None if it has more than three bytes.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let value = read_uint(value).filter(|value| *value < 1 << 24)?;
        // Three bits and no more.
        let size = BlockSize((value & 7) as u8);
        Some(Self { number: value >> 4, more: value & 8 != 0, size })
    }

    /// The integer that spells it.
    #[must_use]
    pub const fn to_uint(self) -> u32 {
        let more = if self.more { 8 } else { 0 };
        (self.number & Self::NUMBER_MAX) << 4 | more | self.size.0 as u32
    }

    /// The value: four bytes, of which those from the second part on count.
    #[must_use]
    pub const fn to_bytes(self) -> ([u8; 4], usize) {
        uint_bytes(self.to_uint())
    }

    /// Where in the body the block begins.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.number as usize * self.size.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_section_says() {
        for (bytes, number, more, exponent) in [
            (&b""[..], 0, false, 0),
            (b"\x06", 0, false, 6),
            (b"\x0e", 0, true, 6),
            (b"\x12", 1, false, 2),
            (b"\x00\x01\x0a", 16, true, 2),
            (b"\xff\xff\xff", Block::NUMBER_MAX, true, 7),
        ] {
            let block = Block { number, more, size: BlockSize(exponent) };
            assert_eq!(Block::decode(bytes), Some(block));
            let (spelled, at) = block.to_bytes();
            assert_eq!(Block::decode(&spelled[at..]), Some(block));
        }
        assert_eq!(Block::decode(b"\x01\0\0\0"), None);
        assert_eq!(Block { number: 3, more: false, size: BlockSize(2) }.offset(), 192);
    }

    #[test]
    fn the_largest_size_that_fits_is_chosen() {
        for (bytes, size) in
            [(0, 16), (16, 16), (31, 16), (64, 64), (1_023, 512), (1_024, 1_024), (9_999, 1_024)]
        {
            assert_eq!(BlockSize::at_most(bytes).bytes(), size);
        }
        assert_eq!(BlockSize::BERT.bytes(), 1_024);
        assert_eq!(BlockSize::from_exponent(8), None);
    }
}
