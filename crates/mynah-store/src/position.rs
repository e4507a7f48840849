//! Places in the journal.

use core::fmt;

/// A place in the journal: a segment by its number, and a byte of it. Ordered as the journal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the segment; the first is 1.
    pub segment: u32,
    /// Bytes from the start of the segment's file.
    pub offset: u32,
}

impl Position {
    /// Before everything that was ever written.
    pub const START: Self = Self { segment: 0, offset: 0 };

    /// The position `offset` bytes into a segment.
    #[must_use]
    pub const fn new(segment: u32, offset: u32) -> Self {
        Self { segment, offset }
    }

    /// As one number that is ordered like the position.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    /// The inverse of [`Position::to_u64`].
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self { segment: (number >> 32) as u32, offset: number as u32 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
