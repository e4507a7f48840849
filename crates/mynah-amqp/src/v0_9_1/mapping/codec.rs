//! Messages in the layout of AMQP 0-9-1: how they are read, and encoded for receivers.
//!
//! What receivers share is in a frame's head: exchange, routing key, the payload of the content header, and the body if
//! it is small. Consumer tag, delivery tag, channel and the division of the body are a receiver's own.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use mynah_model::{
    Class, Layout, MessageView, PRIORITY_DEFAULT, Properties, PropertyValue, UserProperties, WallTime, dotted,
};
use mynah_stack::{Frame, FrameKind, LayoutCodec, Outbound};

use super::{ALL_PROPERTIES, LAYOUT, LONG_TOPIC, Published, RETAIN, TOPIC_EXCHANGE, published};
use crate::v0_9_1::wire::frame::head;
use crate::v0_9_1::wire::{
    ContentHeader, FRAME_END, FRAME_OVERHEAD, FrameType, PropertiesBuilder, PropertyId, ShortStr, Table,
    TableBuilder, Value,
};

/// Headers that are the broker's, and no user properties.
const RESERVED: [&str; 4] = [RETAIN, LONG_TOPIC, ALL_PROPERTIES, "x-death"];

/// Reads and writes messages in the layout of AMQP 0-9-1.
#[derive(Clone, Copy, Debug, Default)]
pub struct AmqpCodec;

impl LayoutCodec for AmqpCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        let Some(Published { properties, .. }) = published(message) else { return Properties::EMPTY };
        let user = match properties.headers() {
            Some(headers) => UserProperties::new(headers.as_bytes(), read_pair),
            None => UserProperties::EMPTY,
        };
        Properties {
            content_type: properties.text(PropertyId::ContentType),
            content_encoding: properties.text(PropertyId::ContentEncoding),
            correlation: properties.short_str(PropertyId::CorrelationId).map(ShortStr::as_bytes),
            reply_to: properties.text(PropertyId::ReplyTo),
            message_id: properties.text(PropertyId::MessageId),
            created: properties
                .timestamp()
                .map(|seconds| WallTime::from_unix_millis(seconds.saturating_mul(1_000))),
            is_text: false,
            user,
            remaining: None,
        }
    }

    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        if layout != LAYOUT {
            return false;
        }
        let body_size = message.payload().len() as u64;
        if let Some(Published { exchange, routing_key, properties }) = published(message) {
            push_head(exchange, routing_key, ContentHeader { body_size, properties }, &mut frame.head);
        } else {
            let mut key = Vec::new();
            dotted::push_key(message.topic(), &mut key);
            let made = spelled(message, properties, kind, ShortStr::new(&key).is_none());
            let exchange = ShortStr::new(TOPIC_EXCHANGE).unwrap_or_default();
            let key = ShortStr::new(&key).unwrap_or_default();
            let header = ContentHeader { body_size, properties: made.as_properties() };
            push_head(exchange, key, header, &mut frame.head);
        }
        frame.payload(message.payload());
        true
    }
}

fn push_head(exchange: ShortStr<'_>, key: ShortStr<'_>, header: ContentHeader<'_>, head: &mut Vec<u8>) {
    for text in [exchange, key] {
        head.push(text.as_bytes().len() as u8);
        head.extend_from_slice(text.as_bytes());
    }
    header.encode_payload(head);
}

/// A frame's head taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<'f> {
    /// The exchange.
    pub exchange: ShortStr<'f>,
    /// The routing key.
    pub routing_key: ShortStr<'f>,
    /// The payload of the header frame.
    pub header: &'f [u8],
    /// The body, unless it is shared.
    pub body: &'f [u8],
    /// Bytes of the body, shared or not.
    pub body_len: usize,
}

impl<'f> Encoded<'f> {
    /// Takes what [`AmqpCodec`] has encoded apart; none if it has not.
    #[must_use]
    #[inline]
    pub fn new(frame: &'f Frame) -> Option<Self> {
        let (exchange, rest) = super::split_short(&frame.head)?;
        let (routing_key, rest) = super::split_short(rest)?;
        let size = rest.get(4..12)?.first_chunk::<8>()?;
        let body_len = usize::try_from(u64::from_be_bytes(*size)).ok()?;
        let is_shared = body_len >= Frame::SHARED_BYTES_MIN;
        let header_len = if is_shared { rest.len() } else { rest.len().checked_sub(body_len)? };
        let (header, body) = rest.split_at_checked(header_len)?;
        Some(Self { exchange, routing_key, header, body, body_len })
    }

    /// Whether a receiver that takes frames of this size can be told of the message: a header is not divided.
    #[must_use]
    pub const fn fits(&self, frame_bytes_max: usize) -> bool {
        self.header.len() + FRAME_OVERHEAD <= frame_bytes_max
    }

    /// Appends the header and the body that `frame` has, which this was taken from, in as many frames as it takes.
    #[inline]
    pub fn write_content(&self, frame: &Frame, channel: u16, frame_bytes_max: usize, out: &mut Outbound) {
        let part_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD).max(1);
        let write = |frame_type, payload: &[u8], out: &mut Outbound| {
            out.append(&head(frame_type, channel, payload.len()));
            out.append(payload);
            out.append(&[FRAME_END]);
        };
        write(FrameType::Header, self.header, out);
        if self.body.len() == self.body_len {
            return self.body.chunks(part_max).for_each(|part| write(FrameType::Body, part, out));
        }
        for start in (0..self.body_len).step_by(part_max) {
            let end = self.body_len.min(start + part_max);
            out.append(&head(FrameType::Body, channel, end - start));
            frame.write_body_part(start..end, out);
            out.append(&[FRAME_END]);
        }
    }
}

/// The properties of a message of another layout. What cannot be spelled is left out.
fn spelled(
    message: MessageView<'_>,
    properties: &Properties<'_>,
    kind: FrameKind,
    is_long: bool,
) -> PropertiesBuilder {
    let headers = headers(message, properties, kind, is_long);
    let is_persistent = message.header.class != Class::AtMostOnce;
    let priority = Some(message.header.priority).filter(|priority| *priority != PRIORITY_DEFAULT);
    let expiration = properties.remaining.map(|remaining| remaining.as_millis().to_string());
    PropertiesBuilder::new()
        .text(PropertyId::ContentType, properties.content_type.map(str::as_bytes))
        .text(PropertyId::ContentEncoding, properties.content_encoding.map(str::as_bytes))
        .headers(headers.as_table())
        .octet(PropertyId::DeliveryMode, is_persistent.then_some(2))
        .octet(PropertyId::Priority, priority)
        .text(PropertyId::CorrelationId, properties.correlation)
        .text(PropertyId::ReplyTo, properties.reply_to.map(str::as_bytes))
        .text(PropertyId::Expiration, expiration.as_deref().map(str::as_bytes))
        .text(PropertyId::MessageId, properties.message_id.map(str::as_bytes))
        .timestamp(properties.created.map(|created| created.as_unix_millis() / 1_000))
}

fn headers(
    message: MessageView<'_>,
    properties: &Properties<'_>,
    kind: FrameKind,
    is_long: bool,
) -> TableBuilder {
    let mut headers = TableBuilder::new();
    let mut repeats = false;
    for (key, value) in properties.user.iter().filter(|(key, _)| is_header(key)) {
        if headers.as_table().get(key).is_some() {
            repeats = true;
        } else {
            push_value(value, |value| headers.push(key, value));
        }
    }
    if repeats {
        let mut all = Vec::new();
        for (key, value) in properties.user.iter() {
            Value::LongStr(key.as_bytes()).encode(&mut all);
            push_value(value, |value| value.encode(&mut all));
        }
        headers.push_array(ALL_PROPERTIES, &all);
    }
    if kind.retain {
        headers.push(RETAIN, Value::Bool(true));
    }
    if is_long {
        headers.push(LONG_TOPIC, Value::LongStr(message.topic().as_bytes()));
    }
    headers
}

fn is_header(key: &str) -> bool {
    key.len() <= ShortStr::BYTES_MAX && !RESERVED.contains(&key)
}

/// Gives a user property's value to `push` as a field has it. A list or a map of another layout is text, as JSON.
fn push_value(value: PropertyValue<'_>, push: impl FnOnce(Value<'_>)) {
    match value {
        PropertyValue::Null => push(Value::Void),
        PropertyValue::Bool(value) => push(Value::Bool(value)),
        PropertyValue::Signed(number) => push(Value::I64(number)),
        PropertyValue::Unsigned(number) => match i64::try_from(number) {
            Ok(number) => push(Value::I64(number)),
            Err(_) => value.spelled(|text| push(Value::LongStr(text.as_bytes()))),
        },
        PropertyValue::Float(number) => push(Value::F64(number)),
        PropertyValue::Time(time) => push(Value::Timestamp(time.as_unix_millis() / 1_000)),
        PropertyValue::Text(text) => push(Value::LongStr(text.as_bytes())),
        PropertyValue::Binary(bytes) => push(Value::Bytes(bytes)),
        PropertyValue::Compound(..) => value.spelled(|text| push(Value::LongStr(text.as_bytes()))),
    }
}

/// Reads the next header that is a user property.
fn read_pair<'m>(encoded: &mut &'m [u8]) -> Option<(&'m str, PropertyValue<'m>)> {
    loop {
        let field = *encoded;
        let ((name, value), rest) = Table::from_checked(field).split_first()?;
        *encoded = rest;
        if let Some(name) = name.as_str()
            && !RESERVED.contains(&name)
        {
            let encoded = field.get(1 + name.len()..field.len() - rest.len())?;
            return Some((name, property_of(value, encoded)));
        }
    }
}

/// A field's value, which lies in `encoded`, as others see it.
pub(super) fn property_of<'m>(value: Value<'m>, encoded: &'m [u8]) -> PropertyValue<'m> {
    match value {
        Value::Bool(value) => PropertyValue::Bool(value),
        Value::U8(number) => PropertyValue::Unsigned(number.into()),
        Value::U16(number) => PropertyValue::Unsigned(number.into()),
        Value::U32(number) => PropertyValue::Unsigned(number.into()),
        Value::I8(number) => PropertyValue::Signed(number.into()),
        Value::I16(number) => PropertyValue::Signed(number.into()),
        Value::I32(number) => PropertyValue::Signed(number.into()),
        Value::I64(number) => PropertyValue::Signed(number),
        Value::F32(number) => PropertyValue::Float(number.into()),
        Value::F64(number) => PropertyValue::Float(number),
        Value::LongStr(bytes) => match core::str::from_utf8(bytes) {
            Ok(text) => PropertyValue::Text(text),
            Err(_) => PropertyValue::Binary(bytes),
        },
        Value::Bytes(bytes) => PropertyValue::Binary(bytes),
        Value::Timestamp(seconds) => {
            PropertyValue::Time(WallTime::from_unix_millis(seconds.saturating_mul(1_000)))
        }
        Value::Void => PropertyValue::Null,
        Value::Decimal(..) | Value::Array(_) | Value::Table(_) => PropertyValue::Compound(encoded, show),
    }
}

/// Shows an encoded value as JSON.
fn show(encoded: &[u8], out: &mut dyn Write) -> fmt::Result {
    Value::from_checked(encoded).map_or(Ok(()), |value| show_value(value, out))
}

fn show_value(value: Value<'_>, out: &mut dyn Write) -> fmt::Result {
    match value {
        Value::Table(table) => {
            out.write_char('{')?;
            for (at, (name, value)) in table.iter().enumerate() {
                out.write_str(if at > 0 { "," } else { "" })?;
                show_text(&alloc::string::String::from_utf8_lossy(name.as_bytes()), out)?;
                out.write_char(':')?;
                show_value(value, out)?;
            }
            out.write_char('}')
        }
        Value::Array(array) => {
            out.write_char('[')?;
            for (at, value) in array.iter().enumerate() {
                out.write_str(if at > 0 { "," } else { "" })?;
                show_value(value, out)?;
            }
            out.write_char(']')
        }
        Value::Decimal(scale, number) => write!(out, "{number}e-{scale}"),
        value => match property_of(value, &[]) {
            PropertyValue::Text(text) => show_text(text, out),
            bytes @ PropertyValue::Binary(_) => write!(out, "\"{bytes}\""),
            other => write!(out, "{other}"),
        },
    }
}

fn show_text(text: &str, out: &mut dyn Write) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            '\0'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(character))?,
            character => out.write_char(character)?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests;
