//! Properties that the broker changes on their way: where replies go, and what a queue tells of a message.

use alloc::vec::Vec;

use mynah_model::{Death, Topic, dotted};

use crate::v0_9_1::wire::{BasicProperties, PropertiesBuilder, PropertyId, Table, TableBuilder, Value};

/// The same properties with another address for replies.
#[must_use]
pub fn with_reply_to(properties: BasicProperties<'_>, reply_to: &[u8]) -> PropertiesBuilder {
    let headers = properties.headers().unwrap_or_default();
    rebuilt(properties, headers, Some(reply_to), short(properties, PropertyId::Expiration))
}

/// The same properties without a header.
#[must_use]
pub fn without(properties: BasicProperties<'_>, header: &str) -> PropertiesBuilder {
    let mut headers = TableBuilder::new();
    for (name, value) in properties.headers().unwrap_or_default().iter() {
        if let Some(name) = name.as_str().filter(|name| *name != header) {
            headers.push(name, value);
        }
    }
    let short = |id| short(properties, id);
    rebuilt(properties, headers.as_table(), short(PropertyId::ReplyTo), short(PropertyId::Expiration))
}

/// The same properties with what a queue tells of a message: how it became a dead letter, and its place in a stream. A
/// dead letter does not expire any more.
#[must_use]
pub fn with_story(
    properties: BasicProperties<'_>,
    deaths: &[Death],
    offset: Option<u64>,
) -> PropertiesBuilder {
    let mut headers = TableBuilder::new();
    let is_told = |name: &str| match name {
        "x-death" => !deaths.is_empty(),
        "x-stream-offset" => offset.is_some(),
        name => name.starts_with("x-first-death-") && !deaths.is_empty(),
    };
    if !deaths.is_empty() {
        push_deaths(deaths, short(properties, PropertyId::Expiration), &mut headers);
    }
    if let Some(offset) = offset {
        headers.push("x-stream-offset", Value::I64(i64::try_from(offset).unwrap_or(i64::MAX)));
    }
    for (name, value) in properties.headers().unwrap_or_default().iter() {
        if let Some(name) = name.as_str().filter(|name| !is_told(name)) {
            headers.push(name, value);
        }
    }
    let expiration = short(properties, PropertyId::Expiration).filter(|_| deaths.is_empty());
    rebuilt(properties, headers.as_table(), short(properties, PropertyId::ReplyTo), expiration)
}

/// As RabbitMQ has it: the last death first, and what the first one was in headers of its own.
fn push_deaths(deaths: &[Death], expiration: Option<&[u8]>, headers: &mut TableBuilder) {
    let mut all = Vec::new();
    for death in deaths {
        let mut keys = Vec::new();
        Value::LongStr(&key_of(death)).encode(&mut keys);
        let mut table = TableBuilder::new()
            .with("count", Value::I64(i64::try_from(death.count).unwrap_or(i64::MAX)))
            .with("reason", Value::LongStr(death.reason.name().as_bytes()))
            .with("queue", Value::LongStr(&death.queue))
            .with("time", Value::Timestamp(death.at.as_unix_millis() / 1_000))
            .with("exchange", Value::LongStr(&death.exchange));
        table.push_array("routing-keys", &keys);
        if let Some(expiration) = expiration {
            table.push("original-expiration", Value::LongStr(expiration));
        }
        Value::Table(table.as_table()).encode(&mut all);
    }
    headers.push_array("x-death", &all);
    if let Some(first) = deaths.last() {
        headers.push("x-first-death-exchange", Value::LongStr(&first.exchange));
        headers.push("x-first-death-queue", Value::LongStr(&first.queue));
        headers.push("x-first-death-reason", Value::LongStr(first.reason.name().as_bytes()));
    }
}

fn key_of(death: &Death) -> Vec<u8> {
    routing_key(&death.exchange, &death.key)
}

/// The routing key of what came by this exchange with a key in the broker's form.
#[must_use]
pub fn routing_key(exchange: &[u8], canonical: &[u8]) -> Vec<u8> {
    if exchange.is_empty() {
        return canonical.to_vec();
    }
    let mut key = Vec::new();
    dotted::push_key(Topic::from_checked(canonical), &mut key);
    key
}

fn short(properties: BasicProperties<'_>, id: PropertyId) -> Option<&[u8]> {
    properties.short_str(id).map(crate::v0_9_1::wire::ShortStr::as_bytes)
}

fn rebuilt(
    properties: BasicProperties<'_>,
    headers: Table<'_>,
    reply_to: Option<&[u8]>,
    expiration: Option<&[u8]>,
) -> PropertiesBuilder {
    let text = |id| short(properties, id);
    PropertiesBuilder::new()
        .text(PropertyId::ContentType, text(PropertyId::ContentType))
        .text(PropertyId::ContentEncoding, text(PropertyId::ContentEncoding))
        .headers(headers)
        .octet(PropertyId::DeliveryMode, properties.octet(PropertyId::DeliveryMode))
        .octet(PropertyId::Priority, properties.octet(PropertyId::Priority))
        .text(PropertyId::CorrelationId, text(PropertyId::CorrelationId))
        .text(PropertyId::ReplyTo, reply_to)
        .text(PropertyId::Expiration, expiration)
        .text(PropertyId::MessageId, text(PropertyId::MessageId))
        .timestamp(properties.timestamp())
        .text(PropertyId::Type, text(PropertyId::Type))
        .text(PropertyId::UserId, text(PropertyId::UserId))
        .text(PropertyId::AppId, text(PropertyId::AppId))
        .text(PropertyId::Reserved, text(PropertyId::Reserved))
}

#[cfg(test)]
mod tests {
    use mynah_model::{DeathReason, WallTime};

    use super::*;

    fn made() -> PropertiesBuilder {
        let headers =
            TableBuilder::new().with("a", Value::I32(1)).with("x-first-death-queue", Value::LongStr(b"no"));
        PropertiesBuilder::new()
            .text(PropertyId::ContentType, Some(b"text/plain"))
            .headers(headers.as_table())
            .octet(PropertyId::DeliveryMode, Some(2))
            .text(PropertyId::ReplyTo, Some(b"here"))
            .text(PropertyId::Expiration, Some(b"1000"))
            .timestamp(Some(5))
            .text(PropertyId::AppId, Some(b"app"))
    }

    #[test]
    fn only_the_address_of_replies_changes() {
        let (old, new) = (made(), with_reply_to(made().as_properties(), b"there"));
        let (old, new) = (old.as_properties(), new.as_properties());
        assert_eq!(new.text(PropertyId::ReplyTo), Some("there"));
        let others = |properties: BasicProperties<'_>| {
            let all: Vec<_> =
                properties.iter().filter(|(id, _)| *id != PropertyId::ReplyTo).map(|(id, _)| id).collect();
            (all, properties.headers().map(|headers| headers.as_bytes().to_vec()))
        };
        assert_eq!(others(old), others(new));
    }

    #[test]
    fn a_dead_letter_tells_its_story_and_does_not_expire_again() {
        let death = Death {
            queue: (*b"q").into(),
            reason: DeathReason::Expired,
            count: 2,
            at: WallTime::from_unix_millis(7_000),
            exchange: (*b"x").into(),
            key: (*b"a/b").into(),
        };
        let told = with_story(made().as_properties(), &[death], Some(9));
        let told = told.as_properties();
        assert_eq!((told.text(PropertyId::Expiration), told.text(PropertyId::ReplyTo)), (None, Some("here")));
        let headers = told.headers().unwrap();
        let Some(Value::Array(deaths)) = headers.get("x-death") else { panic!("{headers:?}") };
        let Some(Value::Table(death)) = deaths.iter().next() else { panic!("{deaths:?}") };
        assert_eq!((death.get("count"), death.get("time")), (Some(Value::I64(2)), Some(Value::Timestamp(7))));
        assert_eq!(death.get("original-expiration"), Some(Value::LongStr(b"1000")));
        let Some(Value::Array(keys)) = death.get("routing-keys") else { panic!("{death:?}") };
        assert!(keys.iter().eq([Value::LongStr(b"a.b")]));
        assert_eq!(headers.get("x-first-death-queue"), Some(Value::LongStr(b"q")));
        assert_eq!(headers.get("a"), Some(Value::I32(1)));
        assert_eq!(headers.get("x-stream-offset"), Some(Value::I64(9)));
    }
}
