//! The part of CBOR that this stack speaks (RFC 8949): heads, texts, bytes and numbers of definite length.

use super::Sink;

/// One data item, or the head of one that holds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'b> {
    /// Zero or more.
    Uint(u64),
    /// -1 minus this.
    Negative(u64),
    /// A byte string.
    Bytes(&'b [u8]),
    /// A text string.
    Text(&'b str),
    /// So many items follow.
    Array(u64),
    /// So many pairs of items follow.
    Map(u64),
    /// A tag; the item that it is about follows.
    Tag(u64),
    /// A simple value: 20 is false, 21 true, 22 null.
    Simple(u8),
    /// A floating-point number, by its bytes.
    Float(&'b [u8]),
}

/// The bytes are not CBOR, or of a kind that is not taken: indefinite lengths, reserved heads, text that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCbor;

/// Reads items one after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Reads from the start of these bytes.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all is read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next item, or the head of it.
    ///
    /// # Errors
    /// [`NotCbor`]
    pub fn item(&mut self) -> Result<Item<'b>, NotCbor> {
        let (&first, rest) = self.0.split_first().ok_or(NotCbor)?;
        self.0 = rest;
        let (major, low) = (first >> 5, first & 0x1f);
        if major == 7 {
            return self.simple(low);
        }
        let argument = match low {
            0..24 => u64::from(low),
            24 => u64::from(self.take(1)?[0]),
            25..=27 => self.take(1 << (low - 24))?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            _ => return Err(NotCbor),
        };
        Ok(match major {
            0 => Item::Uint(argument),
            1 => Item::Negative(argument),
            2 => Item::Bytes(self.string(argument)?),
            3 => Item::Text(core::str::from_utf8(self.string(argument)?).map_err(|_| NotCbor)?),
            4 => Item::Array(argument),
            5 => Item::Map(argument),
            _ => Item::Tag(argument),
        })
    }

    /// Passes over the next item with all that it holds, up to `items_max` items.
    ///
    /// # Errors
    /// [`NotCbor`], also if there are more.
    pub fn skip(&mut self, items_max: u32) -> Result<(), NotCbor> {
        let mut due = 1_u64;
        for _ in 0..items_max {
            let more = match self.item()? {
                Item::Array(count) => count,
                Item::Map(pairs) => pairs.checked_mul(2).ok_or(NotCbor)?,
                Item::Tag(_) => 1,
                _ => 0,
            };
            due = (due - 1).checked_add(more).ok_or(NotCbor)?;
            if due == 0 {
                return Ok(());
            }
        }
        Err(NotCbor)
    }

    fn simple(&mut self, low: u8) -> Result<Item<'b>, NotCbor> {
        match low {
            0..24 => Ok(Item::Simple(low)),
            24 => match self.take(1)?[0] {
                value @ 32.. => Ok(Item::Simple(value)),
                _ => Err(NotCbor),
            },
            25..=27 => Ok(Item::Float(self.take(1 << (low - 24))?)),
            _ => Err(NotCbor),
        }
    }

    fn string(&mut self, len: u64) -> Result<&'b [u8], NotCbor> {
        self.take(usize::try_from(len).map_err(|_| NotCbor)?)
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], NotCbor> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(NotCbor)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Writes items one after another.
#[derive(Debug)]
pub struct Writer<'s, S>(&'s mut S);

impl<'s, S: Sink> Writer<'s, S> {
    /// Writes into `out`.
    #[must_use]
    pub const fn new(out: &'s mut S) -> Self {
        Self(out)
    }

    /// An integer.
    pub fn uint(&mut self, value: u64) {
        self.head(0, value);
    }

    /// A truth value.
    pub fn flag(&mut self, value: bool) {
        self.0.put(&[if value { 0xf5 } else { 0xf4 }]);
    }

    /// An integer of either sign.
    pub fn int(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.uint(value),
            Err(_) => self.head(1, !value as u64),
        }
    }

    /// A floating-point number, in eight bytes.
    pub fn float(&mut self, value: f64) {
        self.0.put(&[0xfb]);
        self.0.put(&value.to_be_bytes());
    }

    /// Null.
    pub fn null(&mut self) {
        self.0.put(&[0xf6]);
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(2, value.len() as u64);
        self.0.put(value);
    }

    /// The head of a byte string whose bytes follow otherwise.
    pub fn bytes_head(&mut self, len: usize) {
        self.head(2, len as u64);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(3, value.len() as u64);
        self.0.put(value.as_bytes());
    }

    /// The head of an array.
    pub fn array(&mut self, count: u64) {
        self.head(4, count);
    }

    /// The head of a map.
    pub fn map(&mut self, pairs: u64) {
        self.head(5, pairs);
    }

    /// The shortest head (section 4.2.1).
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let bytes = argument.to_be_bytes();
        let (low, from) = match argument {
            // Less than 24.
            0..24 => (argument as u8, 8),
            24..=0xff => (24, 7),
            0x100..=0xffff => (25, 6),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 0),
        };
        self.0.put(&[major | low]);
        self.0.put(&bytes[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn items_are_the_bytes_of_appendix_a() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.map(2);
        writer.text("a");
        writer.uint(1_000_000_000_000);
        writer.text("b");
        writer.array(3);
        writer.bytes(&[1, 2, 3, 4]);
        writer.flag(true);
        writer.uint(100);
        assert_eq!(out, b"\xa2\x61a\x1b\0\0\0\xe8\xd4\xa5\x10\0\x61b\x83\x44\x01\x02\x03\x04\xf5\x18\x64");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.item(), Ok(Item::Map(2)));
        assert_eq!(reader.item(), Ok(Item::Text("a")));
        assert_eq!(reader.item(), Ok(Item::Uint(1_000_000_000_000)));
        reader.skip(1).unwrap();
        assert_eq!(reader.skip(3), Err(NotCbor));
        let mut reader = Reader::new(&out);
        reader.skip(20).unwrap();
        assert!(reader.is_empty());
    }

    #[test]
    fn what_is_not_taken_is_refused() {
        for bytes in
            [&b""[..], b"\x1c", b"\x18", b"\x41", b"\x61\xff", b"\x5f\x41a\xff", b"\xf8\x10", b"\xff"]
        {
            assert_eq!(Reader::new(bytes).item(), Err(NotCbor), "{bytes:x?}");
        }
        assert_eq!(Reader::new(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff").skip(9), Err(NotCbor));
        assert_eq!(Reader::new(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff").skip(9), Err(NotCbor));
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&bytes);
            while reader.skip(64).is_ok() {}
        }
    }
}
