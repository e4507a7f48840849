//! The header of a content (section 4.2.6): how many bytes the body has, and the properties of the class basic as they came.

use alloc::vec::Vec;

use super::basic::CLASS;
use super::fields::{Argument, Arguments, Fields, ShortStr};
use super::frame::{self, FrameType};
use super::table::Table;
use crate::v0_9_1::Malformed;

/// The header of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'b> {
    /// Bytes of the body.
    pub body_size: u64,
    /// What the message says of itself.
    pub properties: BasicProperties<'b>,
}

/// The properties of the class basic in the order of their flags: a flag for each that is there, from the highest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PropertyId {
    /// MIME content type.
    ContentType = 15,
    /// MIME content encoding.
    ContentEncoding = 14,
    /// A table of the application's.
    Headers = 13,
    /// 1: not persistent, 2: persistent.
    DeliveryMode = 12,
    /// 0 to 9.
    Priority = 11,
    /// Ties a reply to its request.
    CorrelationId = 10,
    /// Where a reply is wanted.
    ReplyTo = 9,
    /// Milliseconds that the message is wanted, as digits.
    Expiration = 8,
    /// The publisher's name for the message.
    MessageId = 7,
    /// Seconds since the Unix epoch.
    Timestamp = 6,
    /// What kind of message it is.
    Type = 5,
    /// The user who published it.
    UserId = 4,
    /// The application that published it.
    AppId = 3,
    /// Reserved; it was `cluster-id`.
    Reserved = 2,
}

/// A value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyValue<'b> {
    /// Of most properties.
    ShortStr(ShortStr<'b>),
    /// Of headers.
    Table(Table<'b>),
    /// Of delivery mode and priority.
    Octet(u8),
    /// Of the timestamp.
    LongLong(u64),
}

impl PropertyId {
    /// All properties, by their flags from the lowest that has one.
    const ALL: [Self; 14] = [
        Self::Reserved,
        Self::AppId,
        Self::UserId,
        Self::Type,
        Self::Timestamp,
        Self::MessageId,
        Self::Expiration,
        Self::ReplyTo,
        Self::CorrelationId,
        Self::Priority,
        Self::DeliveryMode,
        Self::Headers,
        Self::ContentEncoding,
        Self::ContentType,
    ];
}

/// Properties as they came: two octets of flags, then a value for each flag. Checked once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BasicProperties<'b>(&'b [u8]);

impl Default for BasicProperties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'b> BasicProperties<'b> {
    /// No properties.
    pub const EMPTY: Self = Self(&[0, 0]);

    /// Takes flags and values.
    ///
    /// # Errors
    /// The bytes are not that, or a reserved flag is set.
    #[inline]
    pub fn new(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let (flags, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
        let flags = u16::from_be_bytes(*flags);
        if flags & 0b11 != 0 {
            return Err(Malformed::PropertyFlags);
        }
        let mut fields = Fields::new(rest);
        let mut left = flags;
        while left != 0 {
            read_value(property_of(&mut left), &mut fields)?;
        }
        fields.finish()?;
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked by [`BasicProperties::new`] before.
    #[must_use]
    pub const fn from_checked(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Flags and values.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    fn flags(self) -> u16 {
        self.0.first_chunk().map_or(0, |flags| u16::from_be_bytes(*flags))
    }

    /// Whether a property is there.
    #[must_use]
    #[inline]
    pub fn has(self, id: PropertyId) -> bool {
        self.flags() & 1 << id as u8 != 0
    }

    /// The properties that are there, in their order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = (PropertyId, PropertyValue<'b>)> {
        let (mut left, mut fields) = (self.flags() & !0b11, Fields::new(self.0.get(2..).unwrap_or_default()));
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let flag = property_of(&mut left);
            let id = PropertyId::ALL.get(usize::from(flag - 2))?;
            Some((*id, read_value(flag, &mut fields).ok()?))
        })
    }

    /// Goes to a value by its flag: those before are passed over.
    fn get(self, id: PropertyId) -> Option<PropertyValue<'b>> {
        if !self.has(id) {
            return None;
        }
        self.iter().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// A property that is a string.
    #[must_use]
    pub fn short_str(self, id: PropertyId) -> Option<ShortStr<'b>> {
        match self.get(id) {
            Some(PropertyValue::ShortStr(text)) => Some(text),
            _ => None,
        }
    }

    /// A property that is a string of UTF-8.
    #[must_use]
    pub fn text(self, id: PropertyId) -> Option<&'b str> {
        self.short_str(id)?.as_str()
    }

    /// The application's table.
    #[must_use]
    pub fn headers(self) -> Option<Table<'b>> {
        match self.get(PropertyId::Headers) {
            Some(PropertyValue::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Delivery mode or priority.
    #[must_use]
    pub fn octet(self, id: PropertyId) -> Option<u8> {
        match self.get(id) {
            Some(PropertyValue::Octet(octet)) => Some(octet),
            _ => None,
        }
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(self) -> Option<u64> {
        match self.get(PropertyId::Timestamp) {
            Some(PropertyValue::LongLong(seconds)) => Some(seconds),
            _ => None,
        }
    }
}

impl core::fmt::Debug for BasicProperties<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Takes the highest flag that is set.
#[inline]
const fn property_of(flags: &mut u16) -> u8 {
    let bit = 15 - flags.leading_zeros() as u8;
    *flags &= !(1 << bit);
    bit
}

#[inline]
fn read_value<'b>(id: u8, fields: &mut Fields<'b>) -> Result<PropertyValue<'b>, Malformed> {
    Ok(match id {
        13 => PropertyValue::Table(fields.read()?),
        11 | 12 => PropertyValue::Octet(fields.read()?),
        6 => PropertyValue::LongLong(fields.read()?),
        _ => PropertyValue::ShortStr(fields.read()?),
    })
}

impl<'b> ContentHeader<'b> {
    /// Reads the payload of a header frame.
    ///
    /// # Errors
    /// The class is not basic, the weight is not zero, or the properties are malformed.
    #[inline]
    pub fn decode(payload: &'b [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = payload.split_first_chunk::<12>().ok_or(Malformed::Truncated)?;
        let [c0, c1, w0, w1, size @ ..] = *fixed;
        if u16::from_be_bytes([c0, c1]) != CLASS {
            return Err(Malformed::ContentClass);
        }
        if [w0, w1] != [0, 0] {
            return Err(Malformed::ContentWeight);
        }
        Ok(Self { body_size: u64::from_be_bytes(size), properties: BasicProperties::new(rest)? })
    }

    /// Appends the payload of a header frame.
    #[inline]
    pub fn encode_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, CLASS as u8, 0, 0]);
        out.extend_from_slice(&self.body_size.to_be_bytes());
        out.extend_from_slice(self.properties.as_bytes());
    }

    /// Appends a header frame.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        let start = frame::begin(FrameType::Header, channel, out);
        self.encode_payload(out);
        frame::end(start, out);
    }
}

/// Makes properties; they are given in the order of [`PropertyId`].
#[derive(Clone, Debug)]
pub struct PropertiesBuilder {
    bytes: Vec<u8>,
    last: u8,
}

impl Default for PropertiesBuilder {
    fn default() -> Self {
        Self { bytes: [0, 0].to_vec(), last: 16 }
    }
}

impl PropertiesBuilder {
    /// No properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a flag and appends its value. One that is out of order is left out.
    fn push<'v>(&mut self, id: PropertyId, value: impl Argument<'v>) {
        let id = id as u8;
        if id >= self.last {
            debug_assert!(false, "properties are given in their order");
            return;
        }
        self.last = id;
        self.bytes[usize::from(id < 8)] |= 1 << (id % 8);
        Arguments::new(&mut self.bytes).write(value);
    }

    /// Adds a string; one that is longer than 255 bytes is left out.
    #[must_use]
    pub fn text(mut self, id: PropertyId, text: Option<&[u8]>) -> Self {
        if let Some(text) = text.and_then(ShortStr::new) {
            self.push(id, text);
        }
        self
    }

    /// Adds the application's table.
    #[must_use]
    pub fn headers(mut self, headers: Table<'_>) -> Self {
        if !headers.is_empty() {
            self.push(PropertyId::Headers, headers);
        }
        self
    }

    /// Adds delivery mode or priority.
    #[must_use]
    pub fn octet(mut self, id: PropertyId, octet: Option<u8>) -> Self {
        if let Some(octet) = octet {
            self.push(id, octet);
        }
        self
    }

    /// Adds seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(mut self, seconds: Option<u64>) -> Self {
        if let Some(seconds) = seconds {
            self.push(PropertyId::Timestamp, seconds);
        }
        self
    }

    /// The properties.
    #[must_use]
    pub fn as_properties(&self) -> BasicProperties<'_> {
        BasicProperties(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v0_9_1::wire::{TableBuilder, Value};

    #[test]
    fn every_property_is_found_by_its_flag() {
        let headers = TableBuilder::new().with("k", Value::U8(1));
        let made = PropertiesBuilder::new()
            .text(PropertyId::ContentType, Some(b"text/plain"))
            .headers(headers.as_table())
            .octet(PropertyId::DeliveryMode, Some(2))
            .text(PropertyId::CorrelationId, Some(b"\xff"))
            .timestamp(Some(7))
            .text(PropertyId::AppId, Some(b"app"));
        let properties = BasicProperties::new(made.as_properties().as_bytes()).unwrap();
        assert_eq!(properties.text(PropertyId::ContentType), Some("text/plain"));
        assert_eq!(properties.headers(), Some(headers.as_table()));
        assert_eq!(properties.octet(PropertyId::DeliveryMode), Some(2));
        assert_eq!((properties.text(PropertyId::CorrelationId), properties.timestamp()), (None, Some(7)));
        assert_eq!(properties.short_str(PropertyId::CorrelationId).unwrap().as_bytes(), b"\xff");
        assert_eq!(properties.text(PropertyId::AppId), Some("app"));
        assert_eq!(
            (properties.text(PropertyId::ReplyTo), properties.octet(PropertyId::Priority)),
            (None, None)
        );
    }

    #[test]
    fn a_header_frame_has_the_bytes_of_section_4_2_6_1() {
        let properties = PropertiesBuilder::new().octet(PropertyId::Priority, Some(9));
        let header = ContentHeader { body_size: 3, properties: properties.as_properties() };
        let mut out = Vec::new();
        header.encode(1, &mut out);
        assert_eq!(out, b"\x02\0\x01\0\0\0\x0f\0\x3c\0\0\0\0\0\0\0\0\0\x03\x08\0\x09\xce");
        assert_eq!(ContentHeader::decode(&out[7..out.len() - 1]), Ok(header));
    }

    #[test]
    fn what_is_not_a_content_header_is_refused() {
        for (payload, error) in [
            (&b"\0\x3c\0\0\0\0\0\0\0\0\0"[..], Malformed::Truncated),
            (b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0", Malformed::Truncated),
            (b"\0\x32\0\0\0\0\0\0\0\0\0\0\0\0", Malformed::ContentClass),
            (b"\0\x3c\0\x01\0\0\0\0\0\0\0\0\0\0", Malformed::ContentWeight),
            (b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\x01", Malformed::PropertyFlags),
            (b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0\x05ab", Malformed::Truncated),
            (b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0x", Malformed::TrailingBytes),
            (b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x03\x01k?", Malformed::TableType(b'?')),
        ] {
            assert_eq!(ContentHeader::decode(payload), Err(error), "{}", payload.escape_ascii());
        }
    }
}
