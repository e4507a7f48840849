//! Arguments of queue.declare, exchange.declare, basic.consume and headers of messages that ask something of the broker:
//! `x-` names as RabbitMQ has them, read to typed values. A value of the wrong type or out of its bounds is told with
//! its name; an argument that is not known is passed over.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use core::time::Duration;

use mynah_model::Durability;

use crate::v0_9_1::wire::{PropertyId, Table, Value};

/// There are no more milliseconds than this, which is ten years: RabbitMQ's bound.
pub(super) const MILLIS_MAX: i64 = 315_360_000_000;

/// What a queue is to be, as its arguments say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueArguments {
    /// `x-message-ttl`
    pub message_ttl: Option<Duration>,
    /// `x-expires`
    pub expires: Option<Duration>,
    /// `x-max-length`
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`
    pub max_length_bytes: Option<u64>,
    /// `x-overflow`
    pub overflow: Option<Overflow>,
    /// `x-dead-letter-exchange`
    pub dead_letter_exchange: Option<Box<[u8]>>,
    /// `x-dead-letter-routing-key`
    pub dead_letter_routing_key: Option<Box<[u8]>>,
    /// `x-max-priority`; 0 is as if it were not there.
    pub max_priority: Option<NonZeroU8>,
    /// `x-delivery-limit`; absent, and -1: none.
    pub delivery_limit: Option<NonZeroU32>,
    /// `x-single-active-consumer`
    pub single_active_consumer: bool,
    /// `x-queue-type`
    pub queue_type: QueueType,
    /// `x-consumer-timeout`
    pub consumer_timeout: Option<Duration>,
    /// `x-max-age`
    pub max_age: Option<Duration>,
    /// `x-durability`: of a durable queue.
    pub durability: Durability,
}

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// `drop-head`
    DropHead,
    /// `reject-publish`
    RejectPublish,
    /// `reject-publish-dlx`
    RejectPublishDlx,
}

/// `x-queue-type`: what RabbitMQ tells apart. The first two are one here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// `classic`
    #[default]
    Classic,
    /// `quorum`
    Quorum,
    /// `stream`
    Stream,
}

/// An argument that cannot be used, in words.
pub type Unusable = String;

impl QueueArguments {
    /// Reads the arguments of queue.declare.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(table: Table<'_>) -> Result<Self, Unusable> {
        let mut read = Self::default();
        for (name, value) in table.iter() {
            let Some(name) = name.as_str() else { continue };
            read.take(name, value)?;
        }
        if read.dead_letter_routing_key.is_some() && read.dead_letter_exchange.is_none() {
            return Err("x-dead-letter-routing-key needs x-dead-letter-exchange".into());
        }
        if read.queue_type == QueueType::Stream {
            read.check_stream()?;
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: Value<'_>) -> Result<(), Unusable> {
        match name {
            "x-message-ttl" => self.message_ttl = Some(millis(name, value, 0)?),
            "x-expires" => self.expires = Some(millis(name, value, 1)?),
            "x-consumer-timeout" => self.consumer_timeout = Some(millis(name, value, 1)?),
            "x-max-length" => self.max_length = Some(integer(name, value, 0, i64::MAX)? as u64),
            "x-max-length-bytes" => self.max_length_bytes = Some(integer(name, value, 0, i64::MAX)? as u64),
            "x-overflow" => self.overflow = Some(overflow(name, value)?),
            "x-dead-letter-exchange" => self.dead_letter_exchange = Some(short(name, value)?.into()),
            "x-dead-letter-routing-key" => self.dead_letter_routing_key = Some(short(name, value)?.into()),
            "x-max-priority" => self.max_priority = NonZeroU8::new(integer(name, value, 0, 255)? as u8),
            "x-delivery-limit" => {
                let limit = integer(name, value, -1, u32::MAX.into())?;
                self.delivery_limit = u32::try_from(limit).ok().and_then(NonZeroU32::new);
            }
            "x-single-active-consumer" => self.single_active_consumer = boolean(name, value)?,
            "x-queue-type" => self.queue_type = queue_type(name, value)?,
            "x-durability" => self.durability = durability(name, value)?,
            "x-max-age" => self.max_age = Some(age(name, value)?),
            _ => {}
        }
        Ok(())
    }

    /// A stream is not consumed, so that what is about consuming it makes no sense.
    fn check_stream(&self) -> Result<(), Unusable> {
        let misplaced = [
            ("x-message-ttl", self.message_ttl.is_some()),
            ("x-expires", self.expires.is_some()),
            ("x-overflow", self.overflow.is_some()),
            ("x-dead-letter-exchange", self.dead_letter_exchange.is_some()),
            ("x-max-priority", self.max_priority.is_some()),
            ("x-delivery-limit", self.delivery_limit.is_some()),
            ("x-single-active-consumer", self.single_active_consumer),
            ("x-max-length", self.max_length.is_some()),
        ];
        match misplaced.iter().find(|(_, is_there)| *is_there) {
            Some((name, _)) => Err(format!("a stream has no {name}")),
            None => Ok(()),
        }
    }

    /// Bytes of a stream that are kept.
    #[must_use]
    pub fn stream_bytes_max(&self) -> Option<NonZeroU64> {
        self.max_length_bytes.and_then(NonZeroU64::new)
    }
}

/// How an exchange routes, as its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeType {
    /// `direct`
    Direct,
    /// `fanout`
    Fanout,
    /// `topic`
    Topic,
    /// `headers`
    Headers,
    /// `x-consistent-hash`
    ConsistentHash,
}

impl ExchangeType {
    /// The type of this name.
    #[must_use]
    pub const fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"direct" => Self::Direct,
            b"fanout" => Self::Fanout,
            b"topic" => Self::Topic,
            b"headers" => Self::Headers,
            b"x-consistent-hash" => Self::ConsistentHash,
            _ => return None,
        })
    }
}

/// What a consistent hash goes by where it is not the routing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// `hash-header`: the header of this name.
    Header(Box<str>),
    /// `hash-property`: `message_id`, `correlation_id` or `timestamp`.
    Property(PropertyId),
}

/// What an exchange is to be, as its type and arguments say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeArguments {
    /// How it routes: of `x-delayed-message` by `x-delayed-type`.
    pub exchange_type: ExchangeType,
    /// Whether its type is `x-delayed-message`.
    pub delayed: bool,
    /// `alternate-exchange`
    pub alternate_exchange: Option<Box<[u8]>>,
    /// What a consistent hash goes by; absent: the routing key.
    pub hash_on: Option<HashOn>,
}

impl ExchangeArguments {
    /// Reads type and arguments of exchange.declare. None if the type is not known.
    ///
    /// # Errors
    /// The first argument that cannot be used.
    pub fn read(type_name: &[u8], table: Table<'_>) -> Result<Option<Self>, Unusable> {
        let delayed = type_name == b"x-delayed-message";
        let exchange_type = if delayed {
            let value = table.get("x-delayed-type").ok_or("x-delayed-message needs x-delayed-type")?;
            let known = value.as_text().and_then(|name| ExchangeType::from_name(name.as_bytes()));
            known.ok_or_else(|| wrong("x-delayed-type", value, "a type of exchanges"))?
        } else {
            let Some(exchange_type) = ExchangeType::from_name(type_name) else { return Ok(None) };
            exchange_type
        };
        let mut read = Self { exchange_type, delayed, alternate_exchange: None, hash_on: None };
        for (name, value) in table.iter() {
            let Some(name) = name.as_str() else { continue };
            let hash_on = match name {
                "alternate-exchange" => {
                    read.alternate_exchange = Some(short(name, value)?.into());
                    continue;
                }
                "hash-header" => HashOn::Header(text(name, value)?.into()),
                "hash-property" => HashOn::Property(hashed_property(name, value)?),
                _ => continue,
            };
            if read.hash_on.replace(hash_on).is_some() {
                return Err("an exchange hashes one thing: hash-header or hash-property".into());
            }
        }
        Ok(Some(read))
    }
}

fn hashed_property(name: &str, value: Value<'_>) -> Result<PropertyId, Unusable> {
    match value.as_text() {
        Some("message_id") => Ok(PropertyId::MessageId),
        Some("correlation_id") => Ok(PropertyId::CorrelationId),
        Some("timestamp") => Ok(PropertyId::Timestamp),
        _ => Err(wrong(name, value, "message_id, correlation_id or timestamp")),
    }
}

/// Where reading a stream begins: `x-stream-offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOffset {
    /// `first`
    First,
    /// `last`
    Last,
    /// `next`
    Next,
    /// A number.
    Number(u64),
    /// A timestamp: seconds since the Unix epoch.
    Time(u64),
    /// An interval such as `1h`: this long before now.
    Ago(Duration),
}

/// How a consumer takes messages, as its arguments say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumeArguments {
    /// `x-priority`
    pub priority: i32,
    /// `x-stream-offset`
    pub stream_offset: Option<StreamOffset>,
    /// `x-selector`: a condition in the SQL-92 subset of JMS.
    pub selector: Option<Box<str>>,
}

impl ConsumeArguments {
    /// Reads the arguments of basic.consume.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(table: Table<'_>) -> Result<Self, Unusable> {
        let mut read = Self::default();
        for (name, value) in table.iter() {
            match name.as_bytes() {
                b"x-priority" => {
                    read.priority = integer("x-priority", value, i32::MIN.into(), i32::MAX.into())? as i32;
                }
                b"x-stream-offset" => read.stream_offset = Some(offset(value)?),
                b"x-selector" => read.selector = Some(text("x-selector", value)?.into()),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn offset(value: Value<'_>) -> Result<StreamOffset, Unusable> {
    const NAME: &str = "x-stream-offset";
    if let Some(number) = value.as_integer() {
        return Ok(StreamOffset::Number(in_bounds(NAME, number, 0, i64::MAX)? as u64));
    }
    if let Value::Timestamp(seconds) = value {
        return Ok(StreamOffset::Time(seconds));
    }
    match value.as_text() {
        Some("first") => Ok(StreamOffset::First),
        Some("last") => Ok(StreamOffset::Last),
        Some("next") => Ok(StreamOffset::Next),
        _ => age(NAME, value).map(StreamOffset::Ago),
    }
}

fn wrong(name: &str, value: Value<'_>, wanted: &str) -> Unusable {
    match value.as_text() {
        Some(text) => format!("{name} has to be {wanted}, not '{text}'"),
        None => format!("{name} has to be {wanted}, not {value:?}"),
    }
}

fn in_bounds(name: &str, number: i64, from: i64, to: i64) -> Result<i64, Unusable> {
    if (from..=to).contains(&number) {
        return Ok(number);
    }
    Err(format!("{name} has to be {from} to {to}, not {number}"))
}

pub(super) fn integer(name: &str, value: Value<'_>, from: i64, to: i64) -> Result<i64, Unusable> {
    let number = value.as_integer().ok_or_else(|| wrong(name, value, "an integer"))?;
    in_bounds(name, number, from, to)
}

fn millis(name: &str, value: Value<'_>, from: i64) -> Result<Duration, Unusable> {
    Ok(Duration::from_millis(integer(name, value, from, MILLIS_MAX)?.unsigned_abs()))
}

fn boolean(name: &str, value: Value<'_>) -> Result<bool, Unusable> {
    match value {
        Value::Bool(value) => Ok(value),
        other => Err(wrong(name, other, "true or false")),
    }
}

fn text<'b>(name: &str, value: Value<'b>) -> Result<&'b str, Unusable> {
    value.as_text().ok_or_else(|| wrong(name, value, "text"))
}

/// The name of an exchange, or a routing key.
pub(super) fn short<'b>(name: &str, value: Value<'b>) -> Result<&'b [u8], Unusable> {
    match value {
        Value::LongStr(bytes) if bytes.len() <= 255 => Ok(bytes),
        other => Err(wrong(name, other, "a string of at most 255 bytes")),
    }
}

fn overflow(name: &str, value: Value<'_>) -> Result<Overflow, Unusable> {
    match value.as_text() {
        Some("drop-head") => Ok(Overflow::DropHead),
        Some("reject-publish") => Ok(Overflow::RejectPublish),
        Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDlx),
        _ => Err(wrong(name, value, "drop-head, reject-publish or reject-publish-dlx")),
    }
}

fn queue_type(name: &str, value: Value<'_>) -> Result<QueueType, Unusable> {
    match value.as_text() {
        Some("classic") => Ok(QueueType::Classic),
        Some("quorum") => Ok(QueueType::Quorum),
        Some("stream") => Ok(QueueType::Stream),
        _ => Err(wrong(name, value, "classic, quorum or stream")),
    }
}

fn durability(name: &str, value: Value<'_>) -> Result<Durability, Unusable> {
    let known = value.as_text().and_then(|text| Durability::from_name(text.as_bytes()));
    known.ok_or_else(|| wrong(name, value, "sync, interval or memory"))
}

/// A number and a unit: Y, M, D, h, m or s.
fn age(name: &str, value: Value<'_>) -> Result<Duration, Unusable> {
    let parse = |text: &str| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds: u64 = match unit {
            "Y" => 365 * 86_400,
            "M" => 30 * 86_400,
            "D" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        let number =
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse::<u32>().ok())??;
        Some(Duration::from_secs(seconds * u64::from(number)))
    };
    let parsed = value.as_text().and_then(parse);
    parsed.ok_or_else(|| wrong(name, value, "a number with a unit (Y, M, D, h, m or s)"))
}

#[cfg(test)]
mod tests;
