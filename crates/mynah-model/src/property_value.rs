//! Values of user properties and arguments: text in most protocols, typed in those of AMQP and in selectors.

use alloc::boxed::Box;
use core::fmt::{self, Write};

use crate::WallTime;

/// The value of a user property.
#[derive(Clone, Copy)]
pub enum PropertyValue<'m> {
    /// Nothing: the property is there, and says no more.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer, of whatever width its layout gave it.
    Signed(i64),
    /// An integer that no [`PropertyValue::Signed`] holds, or that its layout marks as unsigned.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// A time.
    Time(WallTime),
    /// Text: the only kind that MQTT, HTTP and STOMP know.
    Text(&'m str),
    /// Bytes.
    Binary(&'m [u8]),
    /// A list or a map, in the encoding of its layout, with what shows it as JSON.
    Compound(&'m [u8], ShowCompound),
}

/// Shows the bytes of a [`PropertyValue::Compound`] as JSON.
pub type ShowCompound = fn(&[u8], &mut dyn Write) -> fmt::Result;

impl<'m> PropertyValue<'m> {
    /// The text, if the value is one.
    #[must_use]
    pub const fn as_text(self) -> Option<&'m str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Gives the value to `read` as a protocol spells it that knows only text: a text as it is, anything else as it is
    /// displayed.
    pub fn spelled<R>(self, read: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Text(text) => read(text),
            other => read(&alloc::format!("{other}")),
        }
    }
}

impl fmt::Display for PropertyValue<'_> {
    /// A text as it is; numbers in decimal digits; a time in milliseconds since the Unix epoch; bytes in hexadecimal digits
    /// after `0x`; lists and maps as JSON; nothing as `null`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Time(time) => time.as_unix_millis().fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Binary(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Compound(encoded, show) => show(encoded, f),
        }
    }
}

impl fmt::Debug for PropertyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            other => fmt::Display::fmt(other, f),
        }
    }
}

impl PartialEq for PropertyValue<'_> {
    /// Integers are equal by what they are worth, floating-point numbers by their bits, lists and maps by how they are shown.
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Signed(a), Self::Signed(b)) => a == b,
            (Self::Unsigned(a), Self::Unsigned(b)) => a == b,
            (Self::Signed(a), Self::Unsigned(b)) | (Self::Unsigned(b), Self::Signed(a)) => {
                u64::try_from(a) == Ok(b)
            }
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::Compound(..), Self::Compound(..)) => alloc::format!("{self}") == alloc::format!("{other}"),
            _ => false,
        }
    }
}

impl Eq for PropertyValue<'_> {}

impl<'m> From<&'m str> for PropertyValue<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

/// A [`PropertyValue`] that is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// Text, or what is spelled as text.
    Text(Box<str>),
    /// Bytes.
    Binary(Box<[u8]>),
}

impl Argument {
    /// Whether a message's property has this value.
    #[must_use]
    pub fn equals(&self, value: PropertyValue<'_>) -> bool {
        match self {
            Self::Null => value == PropertyValue::Null,
            Self::Bool(this) => value == PropertyValue::Bool(*this),
            Self::Integer(this) => value == PropertyValue::Signed(*this),
            Self::Float(this) => value == PropertyValue::Float(*this),
            Self::Text(this) => value == PropertyValue::Text(this),
            Self::Binary(this) => value == PropertyValue::Binary(this),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn every_kind_is_spelled_as_text() {
        let show: ShowCompound = |bytes, out| write!(out, "[{}]", bytes.len());
        for (value, text) in [
            (PropertyValue::Null, "null"),
            (PropertyValue::Bool(true), "true"),
            (PropertyValue::Signed(-3), "-3"),
            (PropertyValue::Unsigned(u64::MAX), "18446744073709551615"),
            (PropertyValue::Float(1.5), "1.5"),
            (PropertyValue::Time(WallTime::from_unix_millis(7)), "7"),
            (PropertyValue::Text("a b"), "a b"),
            (PropertyValue::Binary(&[0, 255]), "0x00ff"),
            (PropertyValue::Compound(&[1, 2], show), "[2]"),
        ] {
            assert_eq!(format!("{value}"), text);
            value.spelled(|spelled| assert_eq!(spelled, text));
            assert_eq!(value.as_text().is_some(), value == PropertyValue::Text("a b"));
        }
    }

    #[test]
    fn integers_are_equal_whatever_their_kind() {
        assert_eq!(PropertyValue::Signed(5), PropertyValue::Unsigned(5));
        assert_ne!(PropertyValue::Signed(-5), PropertyValue::Unsigned(5));
        assert_ne!(PropertyValue::Signed(5), PropertyValue::Text("5"));
    }
}
