//! Between the words of AMQP 0-9-1 and those of the broker.
//!
//! **Native bytes** of layout [`LAYOUT`]: where the message was published, then its properties and body as they came.
//!
//! ```text
//! | topic length (2) | topic | exchange: length (1), bytes | routing key: length (1), bytes | properties: flags (2), values | body |
//! ```
//!
//! The topic is what the broker routes by: of `amq.topic` the routing key with its dots as slashes, of the default
//! exchange the name of a queue. Delivery mode 2 is class 1, anything else class 0; the header `x-mqtt-retain` makes a
//! message retained.
//!
//! Lost on the way to other protocols: `type`, `user-id`, `app-id`, and headers whose values are neither text nor known
//! here. A property or header that is longer than its field is left out on the way from other protocols; a topic whose
//! key would have more than 255 bytes is in the header `x-mynah-topic`, and the key is empty then.

pub mod arguments;
mod codec;
pub mod entities;
pub mod login;
pub mod respelled;

use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, Header, Instant, Layout, MessageView, PRIORITY_DEFAULT, TenantId};

use super::wire::{BasicProperties, PropertyId, PropertyValue, ShortStr, Table, Value};

pub use codec::{AmqpCodec, Encoded};

/// The layout of messages of AMQP 0-9-1.
pub const LAYOUT: Layout = Layout { id: 9, version: 1 };

/// The exchange that is the topic space.
pub const TOPIC_EXCHANGE: &[u8] = b"amq.topic";

/// A message with this header, and the value true, is retained.
pub const RETAIN: &str = "x-mqtt-retain";

/// The header with more routing keys of a message.
pub const CC: &str = "CC";

/// The same, of which receivers do not see.
pub const BCC: &str = "BCC";

/// The header with a topic that is too long for a routing key.
pub const LONG_TOPIC: &str = "x-mynah-topic";

/// The header with all user properties, where a key of theirs is there more than once: keys and values in turn.
pub const ALL_PROPERTIES: &str = "x-opt-mynah-user-properties";

/// The highest priority that the broker tells apart.
const PRIORITY_MAX: u8 = 254;

/// Bytes of a topic at the most, so that its length fits.
pub const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// Appends what stands before the properties in native bytes; `push_topic` appends the topic, which is cut after
/// [`TOPIC_BYTES_MAX`] bytes: no routing key becomes one that is longer. Returns the topic's length.
pub fn push_lead(
    exchange: ShortStr<'_>,
    key: ShortStr<'_>,
    out: &mut Vec<u8>,
    push_topic: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let start = out.len() + 2;
    out.extend_from_slice(&[0, 0]);
    push_topic(out);
    out.truncate(start + TOPIC_BYTES_MAX);
    let len = out.len() - start;
    out[start - 2..start].copy_from_slice(&(len as u16).to_be_bytes());
    for text in [exchange, key] {
        out.push(text.as_bytes().len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    len
}

/// What of its properties the broker goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Delivery mode 2.
    pub class: Class,
    /// Header `x-mqtt-retain`.
    pub retain: bool,
    /// 0 to 254, or [`PRIORITY_DEFAULT`].
    pub priority: u8,
    /// Expiration.
    pub lifetime: Option<Duration>,
    /// Header `x-delay`.
    pub delay: Option<Duration>,
    /// Headers `CC` and `BCC`: there are more routing keys.
    pub is_copied: bool,
}

/// Reads what the broker goes by.
///
/// # Errors
/// A property that cannot be used, in words: an expiration that is no number of milliseconds, a delay that is none.
pub fn delivered(properties: BasicProperties<'_>) -> Result<Delivered, arguments::Unusable> {
    let mut delivered = Delivered {
        class: Class::AtMostOnce,
        retain: false,
        priority: PRIORITY_DEFAULT,
        lifetime: None,
        delay: None,
        is_copied: false,
    };
    for (id, value) in properties.iter() {
        match (id, value) {
            (PropertyId::DeliveryMode, PropertyValue::Octet(2)) => delivered.class = Class::AtLeastOnce,
            (PropertyId::Priority, PropertyValue::Octet(priority)) => {
                delivered.priority = priority.min(PRIORITY_MAX);
            }
            (PropertyId::Expiration, PropertyValue::ShortStr(text)) => {
                delivered.lifetime = Some(lifetime(text)?);
            }
            (PropertyId::Headers, PropertyValue::Table(headers)) => read_headers(headers, &mut delivered)?,
            _ => {}
        }
    }
    Ok(delivered)
}

fn read_headers(headers: Table<'_>, delivered: &mut Delivered) -> Result<(), arguments::Unusable> {
    let (mut retain, mut delay) = (None, None);
    for (name, value) in headers.iter() {
        match name.as_str() {
            Some(RETAIN) => retain = retain.or(Some(value)),
            Some("x-delay") => delay = delay.or(Some(value)),
            Some(CC | BCC) => delivered.is_copied = true,
            _ => {}
        }
    }
    delivered.retain = retain == Some(Value::Bool(true));
    if let Some(value) = delay {
        let millis = arguments::integer("x-delay", value, i64::MIN, u32::MAX.into())?;
        // As the plugin that the header comes from: a message that is late already is not delayed.
        delivered.delay = u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis);
    }
    Ok(())
}

/// An expiration is digits: milliseconds.
fn lifetime(expiration: ShortStr<'_>) -> Result<Duration, arguments::Unusable> {
    let digits = expiration.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let millis = expiration.as_str().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
    let millis = millis.filter(|millis| *millis <= arguments::MILLIS_MAX.unsigned_abs());
    millis.map(Duration::from_millis).ok_or_else(|| {
        alloc::format!("invalid expiration '{expiration}': it has to be 0 to 315360000000 milliseconds")
    })
}

/// The header of a message that came at `now`, whose body begins at `body_at` in its `len` native bytes.
#[must_use]
pub fn header(
    delivered: &Delivered,
    topic_len: usize,
    (body_at, len): (usize, usize),
    now: Instant,
) -> Header {
    Header {
        tenant: TenantId::DEFAULT,
        layout: LAYOUT,
        class: delivered.class,
        retain: delivered.retain,
        priority: delivered.priority,
        topic: (2, 2 + topic_len as u32),
        payload: (body_at as u32, len as u32),
        deadline: delivered.lifetime.map(|lifetime| now + lifetime),
        publisher: None,
    }
}

/// The parts of native bytes that other protocols do not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published<'m> {
    /// The exchange.
    pub exchange: ShortStr<'m>,
    /// The routing key.
    pub routing_key: ShortStr<'m>,
    /// The properties.
    pub properties: BasicProperties<'m>,
}

/// Takes native bytes apart; none if they are not of [`LAYOUT`].
#[must_use]
pub fn published(message: MessageView<'_>) -> Option<Published<'_>> {
    if message.header.layout != LAYOUT {
        return None;
    }
    let range = message.header.topic_range().end..message.header.payload_range().start;
    let bytes = message.native.get(range)?;
    let (exchange, bytes) = split_short(bytes)?;
    let (routing_key, properties) = split_short(bytes)?;
    Some(Published { exchange, routing_key, properties: BasicProperties::from_checked(properties) })
}

fn split_short(bytes: &[u8]) -> Option<(ShortStr<'_>, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(len))?;
    Some((ShortStr::new(text)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v0_9_1::wire::{PropertiesBuilder, TableBuilder};

    #[test]
    fn properties_say_what_the_broker_does() {
        let headers = TableBuilder::new().with(RETAIN, Value::Bool(true)).with("x-delay", Value::I32(1_500));
        let made = PropertiesBuilder::new()
            .headers(headers.as_table())
            .octet(PropertyId::DeliveryMode, Some(2))
            .octet(PropertyId::Priority, Some(200))
            .text(PropertyId::Expiration, Some(b"60000"));
        let expected = Delivered {
            class: Class::AtLeastOnce,
            retain: true,
            priority: 200,
            lifetime: Some(Duration::from_secs(60)),
            delay: Some(Duration::from_millis(1_500)),
            is_copied: false,
        };
        assert_eq!(delivered(made.as_properties()), Ok(expected));
        let plain = Delivered {
            class: Class::AtMostOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            lifetime: None,
            delay: None,
            is_copied: false,
        };
        assert_eq!(delivered(BasicProperties::EMPTY), Ok(plain));
        for wrong in [&b""[..], b"-1", b"+1", b"1.5", b"315360000001", b"soon", b"\xff"] {
            let made = PropertiesBuilder::new().text(PropertyId::Expiration, Some(wrong));
            assert!(delivered(made.as_properties()).is_err_and(|words| words.contains("expiration")));
        }
        for (value, delay) in [(Value::I32(-5), Ok(None)), (Value::LongStr(b"5"), Err(()))] {
            let headers = TableBuilder::new().with("x-delay", value);
            let made = PropertiesBuilder::new().headers(headers.as_table());
            assert_eq!(delivered(made.as_properties()).map(|it| it.delay).map_err(|_| ()), delay);
        }
    }

    #[test]
    fn native_bytes_are_taken_apart_as_they_were_put_together() {
        let made = PropertiesBuilder::new().octet(PropertyId::Priority, Some(1));
        let [exchange, key] = [&b"amq.topic"[..], b"a.b"].map(|text| ShortStr::new(text).unwrap());
        let mut native = Vec::new();
        assert_eq!(push_lead(exchange, key, &mut native, |out| out.extend_from_slice(b"a/b")), 3);
        native.extend_from_slice(made.as_properties().as_bytes());
        let body_at = native.len();
        native.extend_from_slice(b"body");
        let delivered = delivered(made.as_properties()).unwrap();
        let header = header(&delivered, 3, (body_at, native.len()), Instant::ZERO);
        let message = MessageView { header: &header, native: &native };
        assert_eq!((message.topic().as_bytes(), message.payload()), (&b"a/b"[..], &b"body"[..]));
        let parts = Published { exchange, routing_key: key, properties: made.as_properties() };
        assert_eq!(published(message), Some(parts));
    }
}
