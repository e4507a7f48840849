//! Reading what has lengths before it.

/// Bytes that are read from their beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'m>(pub(crate) &'m [u8]);

impl<'m> Reader<'m> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<&'m [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| *byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.array().map(|[a, b, c]| usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))
    }

    /// Bytes with their count before them, in 8 bits.
    pub(crate) fn short(&mut self) -> Option<&'m [u8]> {
        let count = self.u8()?;
        self.take(count.into())
    }

    /// Bytes with their count before them, in 16 bits.
    pub(crate) fn long(&mut self) -> Option<&'m [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }

    /// Bytes with their count before them, in 24 bits.
    pub(crate) fn longest(&mut self) -> Option<&'m [u8]> {
        let count = self.u24()?;
        self.take(count)
    }

    /// Nothing, if nothing is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The numbers of 16 bits in a list.
pub(crate) fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// Appends a count of 24 bits.
pub(crate) fn put_u24(number: usize, out: &mut Vec<u8>) {
    out.extend([(number >> 16) as u8, (number >> 8) as u8, number as u8]);
}

/// Appends a count of 16 bits.
pub(crate) fn put_u16(number: usize, out: &mut Vec<u8>) {
    out.extend([(number >> 8) as u8, number as u8]);
}
