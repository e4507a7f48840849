//! Bytes that lie in up to three places and are written one after another.

/// Up to three pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces<'a>(pub(crate) [&'a [u8]; 3]);

impl<'a> Pieces<'a> {
    pub(crate) const EMPTY: Self = Self([&[]; 3]);

    pub(crate) const fn one(piece: &'a [u8]) -> Self {
        Self([piece, &[], &[]])
    }

    pub(crate) const fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len() + self.0[2].len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `from` on, up to `count` of them.
    pub(crate) fn part(self, mut from: usize, mut count: usize) -> Self {
        self.map(|piece| {
            let skipped = from.min(piece.len());
            from -= skipped;
            let taken = count.min(piece.len() - skipped);
            count -= taken;
            &piece[skipped..skipped + taken]
        })
    }

    /// A number that names these bytes among others (FNV-1a, 64 bits).
    pub(crate) fn tag(&self) -> u64 {
        let bytes = self.0.iter().flat_map(|piece| piece.iter());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn map(self, mut change: impl FnMut(&'a [u8]) -> &'a [u8]) -> Self {
        let [a, b, c] = self.0;
        Self([change(a), change(b), change(c)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_it_would_be_of_the_whole() {
        let pieces = Pieces([b"abc", b"", b"defg"]);
        for from in 0..9 {
            for count in 0..9 {
                let whole = b"abcdefg";
                let from_whole = from.min(whole.len());
                let expected = &whole[from_whole..(from_whole + count).min(whole.len())];
                assert_eq!(pieces.part(from, count).0.concat(), expected);
            }
        }
        assert_eq!(pieces.tag(), Pieces::one(b"abcdefg").tag());
        assert_ne!(pieces.tag(), Pieces::EMPTY.tag());
    }
}
