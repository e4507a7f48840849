//! Arguments: what is read, and what is told of those that cannot be used.

use super::*;
use crate::v0_9_1::wire::TableBuilder;

fn read(fields: &[(&str, Value<'_>)]) -> Result<QueueArguments, Unusable> {
    let mut table = TableBuilder::new();
    for (name, value) in fields {
        table.push(name, *value);
    }
    QueueArguments::read(table.as_table())
}

#[test]
fn every_argument_of_a_queue_is_read() {
    let read = read(&[
        ("x-message-ttl", Value::I32(60_000)),
        ("x-expires", Value::I64(1)),
        ("x-max-length", Value::U8(9)),
        ("x-max-length-bytes", Value::U32(10)),
        ("x-overflow", Value::LongStr(b"reject-publish")),
        ("x-dead-letter-exchange", Value::LongStr(b"")),
        ("x-dead-letter-routing-key", Value::LongStr(b"dead")),
        ("x-max-priority", Value::I16(10)),
        ("x-delivery-limit", Value::I32(3)),
        ("x-single-active-consumer", Value::Bool(true)),
        ("x-queue-type", Value::LongStr(b"quorum")),
        ("x-durability", Value::LongStr(b"interval")),
        ("x-consumer-timeout", Value::I32(5)),
        ("x-unknown", Value::Void),
    ]);
    let expected = QueueArguments {
        message_ttl: Some(Duration::from_secs(60)),
        expires: Some(Duration::from_millis(1)),
        max_length: Some(9),
        max_length_bytes: Some(10),
        overflow: Some(Overflow::RejectPublish),
        dead_letter_exchange: Some(b""[..].into()),
        dead_letter_routing_key: Some(b"dead"[..].into()),
        max_priority: NonZeroU8::new(10),
        delivery_limit: NonZeroU32::new(3),
        single_active_consumer: true,
        queue_type: QueueType::Quorum,
        consumer_timeout: Some(Duration::from_millis(5)),
        max_age: None,
        durability: Durability::Interval,
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn what_cannot_be_used_is_told_by_its_name() {
    for (name, value, words) in [
        ("x-message-ttl", Value::I32(-1), "x-message-ttl has to be 0 to 315360000000, not -1"),
        ("x-message-ttl", Value::LongStr(b"1"), "x-message-ttl has to be an integer, not '1'"),
        ("x-expires", Value::I32(0), "x-expires has to be 1 to 315360000000, not 0"),
        ("x-max-length", Value::I64(-5), "x-max-length has to be 0 to 9223372036854775807, not -5"),
        ("x-max-priority", Value::I32(256), "x-max-priority has to be 0 to 255, not 256"),
        (
            "x-dead-letter-routing-key",
            Value::LongStr(b"k"),
            "x-dead-letter-routing-key needs x-dead-letter-exchange",
        ),
    ] {
        assert_eq!(read(&[(name, value)]), Err(words.into()));
    }
    for (name, value) in [
        ("x-overflow", Value::LongStr(b"other")),
        ("x-overflow", Value::Bool(true)),
        ("x-queue-type", Value::LongStr(b"other")),
        ("x-single-active-consumer", Value::I32(1)),
        ("x-dead-letter-exchange", Value::I32(1)),
        ("x-max-age", Value::LongStr(b"1x")),
        ("x-max-age", Value::LongStr(b"-1s")),
        ("x-max-age", Value::LongStr(b"")),
        ("x-delivery-limit", Value::I32(-2)),
        ("x-consumer-timeout", Value::I32(0)),
    ] {
        assert!(read(&[(name, value)]).is_err_and(|words| words.starts_with(name)), "{name}");
    }
}

#[test]
fn a_stream_has_bounds_of_its_own() {
    let stream = ("x-queue-type", Value::LongStr(b"stream"));
    let age = ("x-max-age", Value::LongStr(b"7D"));
    let read_stream = read(&[stream, age, ("x-max-length-bytes", Value::I32(5))]).unwrap();
    assert_eq!(read_stream.max_age, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(read_stream.stream_bytes_max(), NonZeroU64::new(5));
    assert_eq!(read(&[stream, ("x-expires", Value::I32(5))]), Err("a stream has no x-expires".into()));
}

#[test]
fn an_exchange_says_how_it_routes() {
    let read = |type_name: &str, fields: &[(&str, Value<'_>)]| {
        let mut table = TableBuilder::new();
        for (name, value) in fields {
            table.push(name, *value);
        }
        ExchangeArguments::read(type_name.as_bytes(), table.as_table())
    };
    let plain = |exchange_type| ExchangeArguments {
        exchange_type,
        delayed: false,
        alternate_exchange: None,
        hash_on: None,
    };
    for (name, exchange_type) in [
        ("direct", ExchangeType::Direct),
        ("fanout", ExchangeType::Fanout),
        ("topic", ExchangeType::Topic),
        ("headers", ExchangeType::Headers),
        ("x-consistent-hash", ExchangeType::ConsistentHash),
    ] {
        assert_eq!(read(name, &[]), Ok(Some(plain(exchange_type))));
        let delayed = ExchangeArguments { delayed: true, ..plain(exchange_type) };
        let arguments = [("x-delayed-type", Value::LongStr(name.as_bytes()))];
        assert_eq!(read("x-delayed-message", &arguments), Ok(Some(delayed)));
    }
    let arguments =
        [("alternate-exchange", Value::LongStr(b"rest")), ("hash-property", Value::LongStr(b"message_id"))];
    let expected = ExchangeArguments {
        alternate_exchange: Some(b"rest"[..].into()),
        hash_on: Some(HashOn::Property(PropertyId::MessageId)),
        ..plain(ExchangeType::ConsistentHash)
    };
    assert_eq!(read("x-consistent-hash", &arguments), Ok(Some(expected)));
    assert_eq!(read("x-random", &[]), Ok(None));
    assert!(read("x-delayed-message", &[]).is_err());
    assert!(read("x-delayed-message", &[("x-delayed-type", Value::LongStr(b"other"))]).is_err());
    assert!(read("direct", &[("alternate-exchange", Value::I32(1))]).is_err());
    assert!(read("direct", &[("hash-property", Value::LongStr(b"type"))]).is_err());
    let both = [("hash-header", Value::LongStr(b"h")), ("hash-property", Value::LongStr(b"timestamp"))];
    assert!(read("x-consistent-hash", &both).is_err());
}

#[test]
fn a_consumer_says_where_it_begins() {
    for (value, offset) in [
        (Value::LongStr(b"first"), StreamOffset::First),
        (Value::LongStr(b"last"), StreamOffset::Last),
        (Value::LongStr(b"next"), StreamOffset::Next),
        (Value::I64(12), StreamOffset::Number(12)),
        (Value::Timestamp(99), StreamOffset::Time(99)),
        (Value::LongStr(b"2h"), StreamOffset::Ago(Duration::from_secs(7_200))),
    ] {
        let table = TableBuilder::new().with("x-stream-offset", value).with("x-priority", Value::I8(-3));
        let read = ConsumeArguments::read(table.as_table()).unwrap();
        assert_eq!((read.stream_offset, read.priority), (Some(offset), -3));
    }
    for value in [Value::LongStr(b"middle"), Value::I32(-1), Value::Void] {
        let table = TableBuilder::new().with("x-stream-offset", value);
        assert!(ConsumeArguments::read(table.as_table()).is_err());
    }
}
