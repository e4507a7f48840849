//! Elementary domains (section 4.2.5): integers in network byte order, strings with their lengths, bits that share
//! octets.

use alloc::vec::Vec;
use core::fmt;

use super::{Table, TableError};
use crate::v0_9_1::Malformed;

/// A string of at most 255 bytes. The specification has UTF-8 in it; routing keys and properties are taken as they come.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortStr<'b>(&'b [u8]);

impl<'b> ShortStr<'b> {
    /// Bytes that a short string holds at the most.
    pub const BYTES_MAX: usize = 255;
    /// No bytes.
    pub const EMPTY: Self = Self(&[]);

    /// The string with these bytes, unless they are too many.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Option<Self> {
        if bytes.len() <= Self::BYTES_MAX { Some(Self(bytes)) } else { None }
    }

    /// The string with as much of `text` as fits, cut between characters.
    #[must_use]
    pub fn cut(text: &'b str) -> Self {
        Self(&text.as_bytes()[..text.floor_char_boundary(Self::BYTES_MAX)])
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// The characters, if it is UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'b str> {
        core::str::from_utf8(self.0).ok()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A string of any bytes, with a length of 32 bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LongStr<'b>(pub &'b [u8]);

impl fmt::Debug for LongStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Reads the arguments of a method one after another.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    rest: &'b [u8],
    /// The octet that the last bit was in, shifted so that the next bit is lowest.
    octet: u8,
    /// How many bits of that octet are left.
    bits: u8,
}

impl<'b> Fields<'b> {
    /// The arguments in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, octet: 0, bits: 0 }
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        self.bits = 0;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        self.bits = 0;
        Ok(*taken)
    }

    /// Takes the next argument.
    ///
    /// # Errors
    /// The bytes are not one.
    #[inline]
    pub fn read<A: Argument<'b>>(&mut self) -> Result<A, Malformed> {
        A::read(self)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Something is left.
    #[inline]
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes) }
    }
}

/// Writes the arguments of a method one after another.
#[derive(Debug)]
pub struct Arguments<'o> {
    out: &'o mut Vec<u8>,
    /// How many bits of the last octet are used.
    bits: u8,
}

impl<'o> Arguments<'o> {
    /// Appends to `out`.
    #[must_use]
    pub const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, bits: 0 }
    }

    /// Appends `bytes` as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.bits = 0;
    }

    /// Appends an argument.
    #[inline]
    pub fn write<'b, A: Argument<'b>>(&mut self, argument: A) {
        argument.write(self);
    }
}

/// The domains of arguments, as the table of methods names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One bit; bits that follow one another share an octet.
    Bit,
    /// Eight bits.
    Octet,
    /// Sixteen bits.
    Short,
    /// Thirty-two bits.
    Long,
    /// Sixty-four bits.
    LongLong,
    /// [`ShortStr`].
    ShortStr,
    /// [`LongStr`].
    LongStr,
    /// [`Table`].
    Table,
}

impl Domain {
    /// The specification's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::Octet => "octet",
            Self::Short => "short",
            Self::Long => "long",
            Self::LongLong => "longlong",
            Self::ShortStr => "shortstr",
            Self::LongStr => "longstr",
            Self::Table => "table",
        }
    }
}

/// A type that an argument of a method can have.
pub trait Argument<'b>: Sized {
    /// What it is on the wire.
    const DOMAIN: Domain;

    /// Takes one.
    ///
    /// # Errors
    /// The bytes are not one.
    fn read(fields: &mut Fields<'b>) -> Result<Self, Malformed>;

    /// Appends one.
    fn write(self, out: &mut Arguments<'_>);
}

impl Argument<'_> for bool {
    const DOMAIN: Domain = Domain::Bit;

    /// The first bit of an octet is the lowest; bits that nobody defined are not looked at.
    #[inline]
    fn read(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        if fields.bits == 0 {
            [fields.octet] = fields.array()?;
            fields.bits = 8;
        }
        let bit = fields.octet & 1 == 1;
        fields.octet >>= 1;
        fields.bits -= 1;
        Ok(bit)
    }

    #[inline]
    fn write(self, out: &mut Arguments<'_>) {
        if matches!(out.bits, 0 | 8) {
            out.out.push(0);
            out.bits = 0;
        }
        if let Some(last) = out.out.last_mut() {
            *last |= u8::from(self) << out.bits;
        }
        out.bits += 1;
    }
}

macro_rules! integers {
    ($($type:ty => $domain:ident),*) => { $(
        impl Argument<'_> for $type {
            const DOMAIN: Domain = Domain::$domain;

            #[inline]
            fn read(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
                fields.array().map(Self::from_be_bytes)
            }

            #[inline]
            fn write(self, out: &mut Arguments<'_>) {
                out.put(&self.to_be_bytes());
            }
        }
    )* };
}

integers!(u8 => Octet, u16 => Short, u32 => Long, u64 => LongLong);

impl<'b> Argument<'b> for ShortStr<'b> {
    const DOMAIN: Domain = Domain::ShortStr;

    #[inline]
    fn read(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        let [len] = fields.array()?;
        fields.take(usize::from(len)).map(Self)
    }

    #[inline]
    fn write(self, out: &mut Arguments<'_>) {
        out.put(&[self.0.len() as u8]);
        out.put(self.0);
    }
}

impl<'b> Argument<'b> for LongStr<'b> {
    const DOMAIN: Domain = Domain::LongStr;

    #[inline]
    fn read(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        let len: u32 = fields.read()?;
        fields.take(len as usize).map(Self)
    }

    #[inline]
    fn write(self, out: &mut Arguments<'_>) {
        out.write(self.0.len() as u32);
        out.put(self.0);
    }
}

impl<'b> Argument<'b> for Table<'b> {
    const DOMAIN: Domain = Domain::Table;

    fn read(fields: &mut Fields<'b>) -> Result<Self, Malformed> {
        let LongStr(bytes) = fields.read()?;
        Table::new(bytes).map_err(|error| match error {
            TableError::Truncated => Malformed::TableTruncated,
            TableError::UnknownType(letter) => Malformed::TableType(letter),
            TableError::TooDeep => Malformed::TableDepth,
        })
    }

    fn write(self, out: &mut Arguments<'_>) {
        out.write(LongStr(self.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_in_a_row_share_octets_and_anything_else_ends_the_row() {
        let mut bytes = Vec::new();
        let mut out = Arguments::new(&mut bytes);
        for bit in [true, false, true] {
            out.write(bit);
        }
        out.write(7_u8);
        for at in 0..9 {
            out.write(at == 0 || at == 8);
        }
        assert_eq!(bytes, [0b101, 7, 1, 1]);
        let mut fields = Fields::new(&bytes);
        let bits: Vec<bool> = (0..3).map(|_| fields.read().unwrap()).collect();
        assert_eq!((bits, fields.read()), (alloc::vec![true, false, true], Ok(7_u8)));
        assert!((0..9).all(|at| fields.read() == Ok(at == 0 || at == 8)));
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn a_string_ends_where_its_length_says() {
        let mut fields = Fields::new(b"\x02ab\0\0\0\x01c\x03de");
        assert_eq!(fields.read(), Ok(ShortStr(b"ab")));
        assert_eq!(fields.read(), Ok(LongStr(b"c")));
        assert_eq!(fields.clone().read::<ShortStr<'_>>(), Err(Malformed::Truncated));
        assert_eq!(fields.finish(), Err(Malformed::TrailingBytes));
        assert_eq!(Fields::new(b"\xff\xff\xff\xff").read::<LongStr<'_>>(), Err(Malformed::Truncated));
        assert_eq!(Fields::new(b"\0\0\0").read::<u32>(), Err(Malformed::Truncated));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let long = "ä".repeat(200);
        assert_eq!(ShortStr::cut(&long).as_bytes().len(), 254);
        assert_eq!(ShortStr::new(long.as_bytes()), None);
        assert_eq!(ShortStr::cut("ab").as_str(), Some("ab"));
    }
}
