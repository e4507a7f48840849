//! What queue.declare, exchange.declare and bindings say, in the broker's words.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::dotted::{self, Wildcards};
use mynah_model::{
    Argument, DeadLetter, ExchangeKind, ExchangeSettings, HashOn, Instant, Overflow, PropertyValue,
    QueueSettings, StreamOffset, StreamSettings, WallTime,
};

use super::arguments::{self, ExchangeArguments, ExchangeType, QueueArguments, QueueType, Unusable};
use super::codec::property_of;
use crate::v0_9_1::wire::{PropertyId, Table, exchange, queue};

/// What a queue is to be.
///
/// # Errors
/// The first argument that cannot be used, in words.
pub fn queue_settings(declare: &queue::Declare<'_>) -> Result<QueueSettings, Unusable> {
    let said = QueueArguments::read(declare.arguments)?;
    let is_stream = said.queue_type == QueueType::Stream;
    let stream =
        is_stream.then(|| StreamSettings { bytes_max: said.stream_bytes_max(), age_max: said.max_age });
    Ok(QueueSettings {
        durable: declare.durable,
        exclusive: declare.exclusive,
        auto_delete: declare.auto_delete,
        expires: said.expires,
        durability: said.durability,
        message_ttl: said.message_ttl,
        length_max: said.max_length,
        bytes_max: said.max_length_bytes.filter(|_| !is_stream),
        overflow: match said.overflow {
            None | Some(arguments::Overflow::DropHead) => Overflow::DropHead,
            Some(arguments::Overflow::RejectPublish) => Overflow::RejectPublish,
            Some(arguments::Overflow::RejectPublishDlx) => Overflow::RejectPublishDeadLetter,
        },
        dead_letter: said.dead_letter_exchange.map(|exchange| DeadLetter {
            key: said.dead_letter_routing_key.map(|key| canonical_key(&exchange, &key)),
            exchange,
        }),
        priority_max: said.max_priority,
        delivery_limit: said.delivery_limit,
        single_active_consumer: said.single_active_consumer,
        lease_max: said.consumer_timeout,
        stream,
    })
}

/// What an exchange is to be. None if its type is not known.
///
/// # Errors
/// The first argument that cannot be used, in words.
pub fn exchange_settings(declare: &exchange::Declare<'_>) -> Result<Option<ExchangeSettings>, Unusable> {
    let Some(said) = ExchangeArguments::read(declare.r#type.as_bytes(), declare.arguments)? else {
        return Ok(None);
    };
    Ok(Some(ExchangeSettings {
        kind: match said.exchange_type {
            ExchangeType::Direct => ExchangeKind::Direct,
            ExchangeType::Fanout => ExchangeKind::Fanout,
            ExchangeType::Topic => ExchangeKind::Topic,
            ExchangeType::Headers => ExchangeKind::Headers,
            ExchangeType::ConsistentHash => ExchangeKind::ConsistentHash,
        },
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        internal: declare.internal,
        alternate: said.alternate_exchange,
        delayed: said.delayed,
        hash_on: match said.hash_on {
            None => HashOn::Key,
            Some(arguments::HashOn::Header(name)) => HashOn::Property(name),
            Some(arguments::HashOn::Property(PropertyId::CorrelationId)) => HashOn::Correlation,
            Some(arguments::HashOn::Property(PropertyId::Timestamp)) => HashOn::Created,
            Some(arguments::HashOn::Property(_)) => HashOn::MessageId,
        },
    }))
}

/// A routing key as the broker has it: the name of a queue as it is, anything else with its dots as slashes.
#[must_use]
pub fn canonical_key(exchange: &[u8], key: &[u8]) -> Box<[u8]> {
    if exchange.is_empty() {
        return key.into();
    }
    let mut canonical = Vec::new();
    dotted::push_topic(key, &mut canonical);
    canonical.into()
}

/// A binding's key as the broker has it.
#[must_use]
pub fn binding_key(key: &[u8]) -> Box<[u8]> {
    let mut filter = Vec::new();
    dotted::push_filter(key, Wildcards::AMQP, &mut filter);
    filter.into()
}

/// The arguments of a binding. A list, a map or a time is text.
#[must_use]
pub fn binding_arguments(table: Table<'_>) -> Vec<(Box<str>, Argument)> {
    let named = table.iter().filter_map(|(name, value)| Some((name.as_str()?, value)));
    named
        .map(|(name, value)| {
            let mut encoded = Vec::new();
            value.encode(&mut encoded);
            (name.into(), argument(property_of(value, &encoded)))
        })
        .collect()
}

fn argument(value: PropertyValue<'_>) -> Argument {
    match value {
        PropertyValue::Null => Argument::Null,
        PropertyValue::Bool(value) => Argument::Bool(value),
        PropertyValue::Signed(number) => Argument::Integer(number),
        PropertyValue::Unsigned(number) => Argument::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
        PropertyValue::Float(number) => Argument::Float(number),
        PropertyValue::Binary(bytes) => Argument::Binary(bytes.into()),
        other => other.spelled(|text| Argument::Text(text.into())),
    }
}

/// Where reading a stream begins; `epoch` is the time of day when the clock was at its origin.
#[must_use]
pub fn stream_offset(offset: arguments::StreamOffset, epoch: WallTime, now: Instant) -> StreamOffset {
    match offset {
        arguments::StreamOffset::First => StreamOffset::First,
        arguments::StreamOffset::Last => StreamOffset::Last,
        arguments::StreamOffset::Next => StreamOffset::Next,
        arguments::StreamOffset::Number(number) => StreamOffset::Number(number),
        arguments::StreamOffset::Time(seconds) => {
            StreamOffset::Time(WallTime::from_unix_millis(seconds.saturating_mul(1_000)))
        }
        arguments::StreamOffset::Ago(age) => {
            let millis = epoch.as_unix_millis().saturating_add(now.as_micros() / 1_000);
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            StreamOffset::Time(WallTime::from_unix_millis(millis.saturating_sub(age)))
        }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU64;
    use core::time::Duration;

    use super::*;
    use crate::v0_9_1::wire::{ShortStr, TableBuilder, Value};

    fn short(text: &str) -> ShortStr<'_> {
        ShortStr::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_queue_is_what_its_arguments_say() {
        let table = TableBuilder::new()
            .with("x-message-ttl", Value::I32(1_000))
            .with("x-max-length", Value::I16(5))
            .with("x-overflow", Value::LongStr(b"reject-publish"))
            .with("x-dead-letter-exchange", Value::LongStr(b"dead"))
            .with("x-dead-letter-routing-key", Value::LongStr(b"a.b"));
        let declare = queue::Declare { durable: true, arguments: table.as_table(), ..Default::default() };
        let letter = DeadLetter { exchange: (*b"dead").into(), key: Some((*b"a/b").into()) };
        let expected = QueueSettings {
            message_ttl: Some(Duration::from_secs(1)),
            length_max: Some(5),
            overflow: Overflow::RejectPublish,
            dead_letter: Some(letter),
            ..QueueSettings::DURABLE
        };
        assert_eq!(queue_settings(&declare), Ok(expected));
        let table = TableBuilder::new()
            .with("x-queue-type", Value::LongStr(b"stream"))
            .with("x-max-length-bytes", Value::I32(5));
        let declare = queue::Declare { durable: true, arguments: table.as_table(), ..Default::default() };
        let stream = Some(StreamSettings { bytes_max: NonZeroU64::new(5), age_max: None });
        assert_eq!(queue_settings(&declare), Ok(QueueSettings { stream, ..QueueSettings::DURABLE }));
    }

    #[test]
    fn an_exchange_is_what_its_type_says() {
        let declare = exchange::Declare { r#type: short("fanout"), durable: true, ..Default::default() };
        assert_eq!(exchange_settings(&declare), Ok(Some(ExchangeSettings::durable(ExchangeKind::Fanout))));
        assert_eq!(
            exchange_settings(&exchange::Declare { r#type: short("odd"), ..Default::default() }),
            Ok(None)
        );
    }

    #[test]
    fn keys_are_canonical_but_for_names_of_queues() {
        assert_eq!(*canonical_key(b"", b"a.b"), *b"a.b");
        assert_eq!(*canonical_key(b"x", b"a.b/c"), *b"a/b%2Fc");
        assert_eq!(*binding_key(b"a.*.#"), *b"a/+/#");
    }

    #[test]
    fn arguments_of_a_binding_keep_their_types() {
        let inner = TableBuilder::new().with("k", Value::Bool(true));
        let table = TableBuilder::new()
            .with("n", Value::U8(7))
            .with("t", Value::LongStr(b"x"))
            .with("m", Value::Table(inner.as_table()));
        let expected = [
            (Box::from("n"), Argument::Integer(7)),
            ("t".into(), Argument::Text("x".into())),
            ("m".into(), Argument::Text("{\"k\":true}".into())),
        ];
        assert_eq!(binding_arguments(table.as_table()), expected);
    }
}
