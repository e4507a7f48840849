//! A message as CBOR: a map with the names of a message as JSON, and the payload, a byte string, at its end
//! (`docs/mapping.md`).

use alloc::string::ToString;
use alloc::vec::Vec;

use mynah_model::{DateTime, MessageView, PRIORITY_DEFAULT, Properties, PropertyValue};

use crate::wire::cbor::Writer;

/// Writes the map up to the bytes of the payload, which are to follow.
pub(super) fn encode(message: MessageView<'_>, properties: &Properties<'_>, retain: bool, out: &mut Vec<u8>) {
    let header = message.header;
    let created = properties.created.and_then(DateTime::new).map(|time| time.to_string());
    let priority = Some(header.priority).filter(|priority| *priority != PRIORITY_DEFAULT);
    let texts = [
        ("content_type", properties.content_type),
        ("content_encoding", properties.content_encoding),
        ("reply_to", properties.reply_to),
        ("message_id", properties.message_id),
        ("created", created.as_deref()),
    ];
    let user_count = properties.user.iter().count() as u64;
    let others = [
        properties.correlation.is_some(),
        priority.is_some(),
        properties.remaining.is_some(),
        user_count > 0,
    ];
    let optional =
        texts.iter().filter(|(_, text)| text.is_some()).count() + others.iter().filter(|is| **is).count();
    let mut writer = Writer::new(out);
    writer.map(4 + optional as u64);
    writer.text("topic");
    match core::str::from_utf8(message.topic().as_bytes()) {
        Ok(topic) => writer.text(topic),
        Err(_) => writer.bytes(message.topic().as_bytes()),
    }
    for (name, text) in texts {
        if let Some(text) = text {
            writer.text(name);
            writer.text(text);
        }
    }
    if let Some(correlation) = properties.correlation {
        writer.text("correlation");
        writer.bytes(correlation);
    }
    writer.text("qos");
    writer.uint(header.class.number().into());
    writer.text("retain");
    writer.flag(retain);
    if let Some(priority) = priority {
        writer.text("priority");
        writer.uint(priority.into());
    }
    if let Some(left) = properties.remaining {
        writer.text("expiry_ms");
        writer.uint(u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX));
    }
    if user_count > 0 {
        writer.text("properties");
        writer.array(user_count);
        for (key, value) in properties.user.iter() {
            writer.array(2);
            writer.text(key);
            typed(&mut writer, value);
        }
    }
    writer.text("payload");
    writer.bytes_head(message.payload().len());
}
/// Writes the value of a user property; what CBOR has no plain kind for is spelled as text.
fn typed(writer: &mut Writer<'_, Vec<u8>>, value: PropertyValue<'_>) {
    match value {
        PropertyValue::Null => writer.null(),
        PropertyValue::Bool(value) => writer.flag(value),
        PropertyValue::Signed(number) => writer.int(number),
        PropertyValue::Unsigned(number) => writer.uint(number),
        PropertyValue::Float(number) => writer.float(number),
        PropertyValue::Binary(bytes) => writer.bytes(bytes),
        other => other.spelled(|text| writer.text(text)),
    }
}
