//! Field tables (section 4.2.5.5), with the type letters that RabbitMQ gives them: checked once, read where they lie.

use alloc::vec::Vec;
use core::fmt;

use super::ShortStr;

/// How deep tables and arrays may stand in one another.
pub const TABLE_DEPTH_MAX: usize = 32;

/// A table whose bytes have been checked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Table<'b>(&'b [u8]);

/// An array whose bytes have been checked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Array<'b>(&'b [u8]);

/// A field's value. The letter of each type is RabbitMQ's, which differ from the specification's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'b> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and read as `L` too.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: a number and how many of its digits are behind the point.
    Decimal(u8, u32),
    /// `S`: any bytes.
    LongStr(&'b [u8]),
    /// `x`: bytes that are not text.
    Bytes(&'b [u8]),
    /// `A`
    Array(Array<'b>),
    /// `T`: seconds since the Unix epoch.
    Timestamp(u64),
    /// `F`
    Table(Table<'b>),
    /// `V`: nothing.
    Void,
}

/// Why bytes are not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// A name or a value ends behind the table.
    Truncated,
    /// No type has this letter.
    UnknownType(u8),
    /// Tables and arrays stand deeper in one another than [`TABLE_DEPTH_MAX`].
    TooDeep,
}

impl<'b> Table<'b> {
    /// No fields.
    pub const EMPTY: Self = Self(&[]);

    /// Takes the bytes of a table, without their length.
    ///
    /// # Errors
    /// The bytes are not a table.
    pub fn new(bytes: &'b [u8]) -> Result<Self, TableError> {
        check(bytes, true, 0)?;
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked by [`Table::new`] before.
    #[must_use]
    pub const fn from_checked(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, without their length.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// Whether there are no fields.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The fields in their order; a name may come twice.
    pub fn iter(self) -> impl Iterator<Item = (ShortStr<'b>, Value<'b>)> + Clone {
        let mut rest = self.0;
        core::iter::from_fn(move || read_field(&mut rest).ok())
    }

    /// The first field, and the bytes of those after it.
    #[must_use]
    pub fn split_first(self) -> Option<((ShortStr<'b>, Value<'b>), &'b [u8])> {
        let mut rest = self.0;
        let field = read_field(&mut rest).ok()?;
        Some((field, rest))
    }

    /// The value of the first field with this name (section 4.2.5.5).
    #[must_use]
    pub fn get(self, name: &str) -> Option<Value<'b>> {
        self.iter().find(|(found, _)| found.as_bytes() == name.as_bytes()).map(|(_, value)| value)
    }
}

impl<'b> Array<'b> {
    /// The values in their order.
    pub fn iter(self) -> impl Iterator<Item = Value<'b>> + Clone {
        let mut rest = self.0;
        core::iter::from_fn(move || read_value(&mut rest).ok())
    }

    /// The bytes, without their length.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'b> Value<'b> {
    /// The value as an integer, whatever its width; none if it is not one.
    #[must_use]
    pub fn as_integer(self) -> Option<i64> {
        Some(match self {
            Self::I8(n) => n.into(),
            Self::U8(n) => n.into(),
            Self::I16(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::I32(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::I64(n) => n,
            _ => return None,
        })
    }

    /// The value as text; none if it is not a string of UTF-8.
    #[must_use]
    pub fn as_text(self) -> Option<&'b str> {
        match self {
            Self::LongStr(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Reads letter and value, which were checked before; none if there are none.
    #[must_use]
    pub fn from_checked(mut encoded: &'b [u8]) -> Option<Self> {
        read_value(&mut encoded).ok()
    }

    const fn letter(self) -> u8 {
        match self {
            Self::Bool(_) => b't',
            Self::I8(_) => b'b',
            Self::U8(_) => b'B',
            Self::I16(_) => b's',
            Self::U16(_) => b'u',
            Self::I32(_) => b'I',
            Self::U32(_) => b'i',
            Self::I64(_) => b'l',
            Self::F32(_) => b'f',
            Self::F64(_) => b'd',
            Self::Decimal(..) => b'D',
            Self::LongStr(_) => b'S',
            Self::Bytes(_) => b'x',
            Self::Array(_) => b'A',
            Self::Timestamp(_) => b'T',
            Self::Table(_) => b'F',
            Self::Void => b'V',
        }
    }

    /// Appends letter and value.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.push(self.letter());
        match self {
            Self::Bool(value) => out.push(value.into()),
            Self::I8(n) => out.extend(n.to_be_bytes()),
            Self::U8(n) => out.push(n),
            Self::I16(n) => out.extend(n.to_be_bytes()),
            Self::U16(n) => out.extend(n.to_be_bytes()),
            Self::I32(n) => out.extend(n.to_be_bytes()),
            Self::U32(n) => out.extend(n.to_be_bytes()),
            Self::I64(n) => out.extend(n.to_be_bytes()),
            Self::F32(n) => out.extend(n.to_be_bytes()),
            Self::F64(n) => out.extend(n.to_be_bytes()),
            Self::Decimal(scale, n) => {
                out.push(scale);
                out.extend(n.to_be_bytes());
            }
            Self::LongStr(bytes) | Self::Bytes(bytes) => push_long(bytes, out),
            Self::Array(Array(bytes)) | Self::Table(Table(bytes)) => push_long(bytes, out),
            Self::Timestamp(n) => out.extend(n.to_be_bytes()),
            Self::Void => {}
        }
    }
}

/// Makes a table, field by field.
#[derive(Clone, Debug, Default)]
pub struct TableBuilder(Vec<u8>);

impl TableBuilder {
    /// A table without fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The table with one field more. A name of more than 255 bytes is cut.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value<'_>) -> Self {
        self.push(name, value);
        self
    }

    /// Appends a field. A name of more than 255 bytes is cut.
    pub fn push(&mut self, name: &str, value: Value<'_>) {
        let name = ShortStr::cut(name).as_bytes();
        self.0.push(name.len() as u8);
        self.0.extend_from_slice(name);
        value.encode(&mut self.0);
    }

    /// Appends an array of values that are encoded already.
    pub fn push_array(&mut self, name: &str, encoded: &[u8]) {
        self.push(name, Value::Array(Array(encoded)));
    }

    /// The table.
    #[must_use]
    pub fn as_table(&self) -> Table<'_> {
        Table(&self.0)
    }
}

fn push_long(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Looks at every value of a table or an array once.
fn check(mut rest: &[u8], is_named: bool, depth: usize) -> Result<(), TableError> {
    if depth >= TABLE_DEPTH_MAX {
        return Err(TableError::TooDeep);
    }
    while !rest.is_empty() {
        let value = if is_named { read_field(&mut rest)?.1 } else { read_value(&mut rest)? };
        match value {
            Value::Table(Table(inner)) => check(inner, true, depth + 1)?,
            Value::Array(Array(inner)) => check(inner, false, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_field<'b>(rest: &mut &'b [u8]) -> Result<(ShortStr<'b>, Value<'b>), TableError> {
    let [len] = take_array(rest)?;
    let name = take(rest, usize::from(len))?;
    Ok((ShortStr::new(name).unwrap_or_default(), read_value(rest)?))
}

/// Reads a value; what is inside of a table or an array is not looked at.
fn read_value<'b>(rest: &mut &'b [u8]) -> Result<Value<'b>, TableError> {
    let [letter] = take_array(rest)?;
    Ok(match letter {
        b't' => Value::Bool(take_array::<1>(rest)? != [0]),
        b'b' => Value::I8(i8::from_be_bytes(take_array(rest)?)),
        b'B' => Value::U8(u8::from_be_bytes(take_array(rest)?)),
        b's' => Value::I16(i16::from_be_bytes(take_array(rest)?)),
        b'u' => Value::U16(u16::from_be_bytes(take_array(rest)?)),
        b'I' => Value::I32(i32::from_be_bytes(take_array(rest)?)),
        b'i' => Value::U32(u32::from_be_bytes(take_array(rest)?)),
        b'l' | b'L' => Value::I64(i64::from_be_bytes(take_array(rest)?)),
        b'f' => Value::F32(f32::from_be_bytes(take_array(rest)?)),
        b'd' => Value::F64(f64::from_be_bytes(take_array(rest)?)),
        b'D' => {
            let [scale] = take_array(rest)?;
            Value::Decimal(scale, u32::from_be_bytes(take_array(rest)?))
        }
        b'S' => Value::LongStr(take_long(rest)?),
        b'x' => Value::Bytes(take_long(rest)?),
        b'A' => Value::Array(Array(take_long(rest)?)),
        b'T' => Value::Timestamp(u64::from_be_bytes(take_array(rest)?)),
        b'F' => Value::Table(Table(take_long(rest)?)),
        b'V' => Value::Void,
        other => return Err(TableError::UnknownType(other)),
    })
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TableError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(TableError::Truncated)?;
    *rest = after;
    Ok(*taken)
}

fn take<'b>(rest: &mut &'b [u8], len: usize) -> Result<&'b [u8], TableError> {
    let (taken, after) = rest.split_at_checked(len).ok_or(TableError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn take_long<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], TableError> {
    let len = u32::from_be_bytes(take_array(rest)?);
    take(rest, len as usize)
}

#[cfg(test)]
mod tests;
