//! Fields of bodies and values, and options: how a value grows without a new version.

/// Reads fields from the start of bytes; `None` where there are too few or they mean nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl<'b> Fields<'b> {
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Big-endian, as in keys, whose bytes are ordered like their numbers.
    pub(crate) fn u16_ordered(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Big-endian, as in keys.
    pub(crate) fn u64_ordered(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes after their length in two bytes.
    pub(crate) fn short(&mut self) -> Option<&'b [u8]> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'b [u8] {
        core::mem::take(&mut self.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Numbered options after the fixed fields of a value: number (1 byte), length (2), bytes. A number that a reader does
/// not know is passed over and kept, so that an older program reads what a newer one wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'b>(&'b [u8]);

impl<'b> Options<'b> {
    /// No options.
    pub const NONE: Self = Self(&[]);

    /// Takes encoded options, if they are well formed.
    #[must_use]
    pub fn new(encoded: &'b [u8]) -> Option<Self> {
        let mut fields = Fields(encoded);
        while !fields.is_empty() {
            fields.u8()?;
            fields.short()?;
        }
        Some(Self(encoded))
    }

    /// The encoded options.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// Numbers and bytes in the order in which they were written; a number may repeat.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'b [u8])> {
        let mut fields = Fields(self.0);
        core::iter::from_fn(move || Some((fields.u8()?, fields.short()?)))
    }

    /// The bytes of the first option with this number.
    #[must_use]
    pub fn get(self, number: u8) -> Option<&'b [u8]> {
        self.iter().find(|(other, _)| *other == number).map(|(_, bytes)| bytes)
    }
}

/// Options while they are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionsBuf(Vec<u8>);

impl OptionsBuf {
    /// No options. Holds no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends an option. Returns whether it was short enough: 65,535 bytes.
    pub fn push(&mut self, number: u8, bytes: &[u8]) -> bool {
        let Ok(length) = u16::try_from(bytes.len()) else { return false };
        self.0.push(number);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
        true
    }

    /// The options.
    #[must_use]
    pub fn as_options(&self) -> Options<'_> {
        Options(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_keep_order_and_repeats() {
        let mut buffer = OptionsBuf::new();
        assert!(buffer.push(1, b"a") && buffer.push(9, b"") && buffer.push(1, b"b"));
        let options = buffer.as_options();
        assert!(options.iter().eq([(1, &b"a"[..]), (9, b""), (1, b"b")]));
        assert_eq!((options.get(1), options.get(2)), (Some(&b"a"[..]), None));
        assert_eq!(Options::new(options.as_bytes()), Some(options));
        assert_eq!(Options::new(&options.as_bytes()[..4]).map(|o| o.iter().count()), Some(1));
        assert_eq!(Options::new(&options.as_bytes()[..3]), None);
        assert!(!buffer.push(1, &[0; 65_536]));
    }
}
