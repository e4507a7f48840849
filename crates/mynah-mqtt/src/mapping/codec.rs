//! Messages in the layouts of MQTT: how they are read, and encoded for receivers.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Layout, MessageView, PRIORITY_DEFAULT, Properties, Topic};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use super::{LAYOUT_V3, LAYOUT_V5, NOT_FORWARDED, user_property};
use crate::framing::{REMAINING_LENGTH_MAX, encode_fixed_header};
use crate::wire::properties::{Property, PropertyId, Section};
use crate::wire::{Publish, push_variable, read_variable, variable_len};

/// Reads and writes messages in the layouts of MQTT.
#[derive(Clone, Copy, Debug, Default)]
pub struct MqttCodec;

impl LayoutCodec for MqttCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT_V3, LAYOUT_V5]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        if message.header.layout != LAYOUT_V5 {
            return Properties::EMPTY;
        }
        let section = Section::from_checked(native_section(message));
        let mut properties = Properties {
            content_encoding: user_property::text(section, user_property::CONTENT_ENCODING),
            message_id: user_property::text(section, user_property::MESSAGE_ID),
            created: user_property::created(section),
            user: user_property::others(section),
            ..Properties::EMPTY
        };
        for property in section.iter() {
            match property {
                Property::PayloadFormatIndicator(is_text) => properties.is_text = is_text,
                Property::ContentType(content_type) => properties.content_type = Some(content_type),
                Property::ResponseTopic(topic) => properties.reply_to = Some(topic),
                Property::CorrelationData(correlation) => properties.correlation = Some(correlation),
                _ => {}
            }
        }
        properties
    }

    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        if message.header.layout == layout && write_native(message, properties, kind, frame) {
            return true;
        }
        // What came as MQTT was checked when it came.
        let is_checked = message.header.layout.id == LAYOUT_V3.id;
        if !is_checked && core::str::from_utf8(message.topic().as_bytes()).is_err() {
            return false;
        }
        if layout != LAYOUT_V5 {
            return write(message, None, kind, frame);
        }
        if message.header.layout == LAYOUT_V5 {
            let native = native_section(message);
            if properties.remaining.is_none() && (native.is_empty() || is_forwarded_whole(native)) {
                return write(message, Some(native), kind, frame);
            }
            return write(message, Some(&forwarded(native, properties.remaining)), kind, frame);
        }
        write(message, Some(&spelled(message, properties)), kind, frame)
    }
}

/// Writes a packet whose body is the native bytes, from one copy: a message goes on as it came, with an identifier or
/// without, and has no properties. False, and nothing is written, if it does not.
#[inline]
fn write_native(
    message: MessageView<'_>,
    properties: &Properties<'_>,
    kind: FrameKind,
    frame: &mut Frame,
) -> bool {
    let header = message.header;
    let (topic, payload) = (header.topic_range(), header.payload_range());
    let identified = header.class.is_confirmed();
    let hole_len = if identified { 2 } else { 0 };
    // In MQTT 5.0 the length of no properties.
    let rest_len = if header.layout == LAYOUT_V5 { 1 } else { 0 };
    let is_plain = topic.start == 2 && topic.end + hole_len + rest_len == payload.start;
    if !is_plain || kind.identified != identified || properties.remaining.is_some() {
        return false;
    }
    let remaining = payload.end;
    let is_shared = payload.len() >= Frame::SHARED_BYTES_MIN;
    let copied = message.native.get(..if is_shared { payload.start } else { payload.end });
    let Some(copied) = copied.filter(|_| remaining <= REMAINING_LENGTH_MAX) else { return false };
    let head = &mut frame.head;
    head.reserve(5 + copied.len());
    encode_fixed_header(Publish::first_byte(header.class, false, kind.retain), remaining, head);
    if identified {
        frame.id_at = Some(head.len() + topic.end);
    }
    head.extend_from_slice(copied);
    if is_shared {
        frame.payload(message.payload());
    }
    true
}

/// Writes the packet up to its payload, and the payload; in MQTT 5.0 with properties.
fn write(message: MessageView<'_>, properties: Option<&[u8]>, kind: FrameKind, frame: &mut Frame) -> bool {
    let (topic, payload) = (message.topic().as_bytes(), message.payload());
    let properties_len = properties.map_or(0, |encoded| variable_len(encoded.len()) + encoded.len());
    if !Publish::fits(topic.len(), properties_len + payload.len()) {
        return false;
    }
    let hole_len = if kind.identified { 2 } else { 0 };
    let remaining = 2 + topic.len() + hole_len + properties_len + payload.len();
    let copied = if payload.len() < Frame::SHARED_BYTES_MIN { payload.len() } else { 0 };
    let head = &mut frame.head;
    head.reserve(7 + topic.len() + properties_len + copied);
    encode_fixed_header(Publish::first_byte(message.header.class, false, kind.retain), remaining, head);
    head.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    head.extend_from_slice(topic);
    if kind.identified {
        frame.id_at = Some(head.len());
        head.extend_from_slice(&[0, 0]);
    }
    if let Some(encoded) = properties {
        push_variable(encoded.len(), head);
        head.extend_from_slice(encoded);
    }
    frame.payload(payload);
    true
}

/// The properties in the native bytes of MQTT 5.0.
pub(super) fn native_section(message: MessageView<'_>) -> &[u8] {
    let start = message.header.topic_range().end + if message.header.class.is_confirmed() { 2 } else { 0 };
    let end = message.header.payload_range().start;
    let bytes = message.native.get(start..end).unwrap_or_default();
    match read_variable(bytes) {
        Some((len, rest)) => rest.get(..len).unwrap_or_default(),
        None => &[],
    }
}

/// Whether a section goes to receivers as it is.
fn is_forwarded_whole(native: &[u8]) -> bool {
    !Section::from_checked(native).has_any(&NOT_FORWARDED)
}

/// A section as receivers get it: with what is left of the lifetime, without what is not forwarded, in its order.
#[cold]
fn forwarded(native: &[u8], remaining: Option<Duration>) -> Vec<u8> {
    let section = Section::from_checked(native);
    let mut out = Vec::with_capacity(native.len() + 5);
    for (id, encoded) in section.iter_encoded() {
        match (id, remaining) {
            (PropertyId::MessageExpiryInterval, Some(remaining)) => push_expiry(remaining, &mut out),
            (id, _) if NOT_FORWARDED.contains(&id) => {}
            _ => out.extend_from_slice(encoded),
        }
    }
    if let Some(remaining) = remaining
        && !section.has(PropertyId::MessageExpiryInterval)
    {
        push_expiry(remaining, &mut out);
    }
    out
}

/// Writes a lifetime in seconds, rounded up.
fn push_expiry(remaining: Duration, out: &mut Vec<u8>) {
    let seconds = remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0);
    Property::MessageExpiryInterval(u32::try_from(seconds).unwrap_or(u32::MAX)).encode(out);
}

/// The properties of a message of another layout. What cannot be spelled is left out.
fn spelled(message: MessageView<'_>, properties: &Properties<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if properties.is_text {
        Property::PayloadFormatIndicator(true).encode(&mut out);
    }
    if let Some(remaining) = properties.remaining {
        push_expiry(remaining, &mut out);
    }
    if let Some(content_type) = properties.content_type.filter(|text| is_string(text)) {
        Property::ContentType(content_type).encode(&mut out);
    }
    let is_topic = |text: &&str| is_string(text) && Topic::new(text.as_bytes()).is_ok();
    if let Some(topic) = properties.reply_to.filter(is_topic) {
        Property::ResponseTopic(topic).encode(&mut out);
    }
    if let Some(data) = properties.correlation.filter(|data| data.len() <= usize::from(u16::MAX)) {
        Property::CorrelationData(data).encode(&mut out);
    }
    let mut push = |name: &str, value: &str| {
        if is_string(name) && is_string(value) {
            Property::UserProperty((name, value)).encode(&mut out);
        }
    };
    if let Some(encoding) = properties.content_encoding {
        push(user_property::CONTENT_ENCODING, encoding);
    }
    if let Some(id) = properties.message_id {
        push(user_property::MESSAGE_ID, id);
    }
    if let Some(created) = properties.created {
        push(user_property::CREATED, &created.as_unix_millis().to_string());
    }
    if message.header.priority != PRIORITY_DEFAULT {
        push(user_property::PRIORITY, &message.header.priority.to_string());
    }
    for (name, value) in properties.user.iter().filter(|(name, _)| !user_property::is_reserved(name)) {
        value.spelled(|value| push(name, value));
    }
    out
}

fn is_string(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && !text.contains('\0')
}

#[cfg(test)]
mod tests;
