//! Properties of messages as JSON has them in RabbitMQ's management, and as AMQP 0-9-1 has them.

use mynah_amqp::v0_9_1::wire::{
    BasicProperties, PropertiesBuilder, PropertyId, PropertyValue, Table, TableBuilder, Value,
};
use serde_json::{Map, Value as Json, json};

/// The names, in the order in which properties are written.
const NAMES: [(&str, PropertyId); 14] = [
    ("content_type", PropertyId::ContentType),
    ("content_encoding", PropertyId::ContentEncoding),
    ("headers", PropertyId::Headers),
    ("delivery_mode", PropertyId::DeliveryMode),
    ("priority", PropertyId::Priority),
    ("correlation_id", PropertyId::CorrelationId),
    ("reply_to", PropertyId::ReplyTo),
    ("expiration", PropertyId::Expiration),
    ("message_id", PropertyId::MessageId),
    ("timestamp", PropertyId::Timestamp),
    ("type", PropertyId::Type),
    ("user_id", PropertyId::UserId),
    ("app_id", PropertyId::AppId),
    ("cluster_id", PropertyId::Reserved),
];

/// Levels of objects and lists in headers.
const DEPTH_MAX: usize = 16;

/// The properties that an object says, or what is wrong with it.
pub(super) fn read(said: &Map<String, Json>) -> Result<PropertiesBuilder, String> {
    if let Some(name) = said.keys().find(|name| !NAMES.iter().any(|(known, _)| known == name)) {
        return Err(format!("there is no property {name}"));
    }
    let mut properties = PropertiesBuilder::new();
    for (name, id) in NAMES {
        let Some(value) = said.get(name).filter(|value| !value.is_null()) else { continue };
        properties = match id {
            PropertyId::Headers => {
                let headers = value.as_object().ok_or("headers has to be an object")?;
                properties.headers(table(headers, DEPTH_MAX)?.as_table())
            }
            PropertyId::DeliveryMode | PropertyId::Priority => {
                let octet = number(value).and_then(|number| u8::try_from(number).ok());
                properties.octet(id, Some(octet.ok_or_else(|| format!("{name} has to be 0 to 255"))?))
            }
            PropertyId::Timestamp => {
                properties.timestamp(Some(number(value).ok_or("timestamp has to be a number")?))
            }
            _ => {
                let text = value.as_str().filter(|text| text.len() <= 255);
                let text = text.ok_or_else(|| format!("{name} has to be text of at most 255 bytes"))?;
                properties.text(id, Some(text.as_bytes()))
            }
        };
    }
    Ok(properties)
}

/// A number, which some clients send as text.
fn number(value: &Json) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn table(said: &Map<String, Json>, depth: usize) -> Result<TableBuilder, String> {
    let mut table = TableBuilder::new();
    for (name, value) in said {
        with(value, depth, &mut |value| table.push(name, value))?;
    }
    Ok(table)
}

/// Hands a value on as AMQP has it.
fn with(value: &Json, depth: usize, then: &mut dyn FnMut(Value<'_>)) -> Result<(), String> {
    let deeper = || depth.checked_sub(1).ok_or("headers have too many levels");
    match value {
        Json::Null => then(Value::Void),
        Json::Bool(value) => then(Value::Bool(*value)),
        Json::Number(number) => then(match number.as_i64() {
            Some(number) => Value::I64(number),
            None => Value::F64(number.as_f64().unwrap_or_default()),
        }),
        Json::String(text) => then(Value::LongStr(text.as_bytes())),
        Json::Array(items) => {
            let (depth, mut encoded) = (deeper()?, Vec::new());
            for item in items {
                with(item, depth, &mut |value| value.encode(&mut encoded))?;
            }
            let mut list = TableBuilder::new();
            list.push_array("", &encoded);
            if let Some(((_, array), _)) = list.as_table().split_first() {
                then(array);
            }
        }
        Json::Object(fields) => then(Value::Table(table(fields, deeper()?)?.as_table())),
    }
    Ok(())
}

/// Properties as an object.
pub(super) fn show(properties: BasicProperties<'_>) -> Map<String, Json> {
    let name_of = |id| NAMES.iter().find(|(_, known)| *known == id).map_or("", |(name, _)| *name);
    let value = |value| match value {
        PropertyValue::ShortStr(text) => text_of(text.as_bytes()),
        PropertyValue::Table(table) => fields(table),
        PropertyValue::Octet(number) => number.into(),
        PropertyValue::LongLong(number) => number.into(),
    };
    properties.iter().map(|(id, found)| (name_of(id).to_owned(), value(found))).collect()
}

fn text_of(bytes: &[u8]) -> Json {
    String::from_utf8_lossy(bytes).into()
}

fn fields(table: Table<'_>) -> Json {
    table
        .iter()
        .map(|(name, value)| (text_string(name.as_bytes()), shown(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn text_string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(value: Value<'_>) -> Json {
    match value {
        Value::Void => Json::Null,
        Value::Bool(value) => value.into(),
        Value::F32(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Decimal(places, digits) => json!(f64::from(digits) / 10_f64.powi(places.into())),
        Value::LongStr(bytes) | Value::Bytes(bytes) => text_of(bytes),
        Value::Timestamp(seconds) => seconds.into(),
        Value::Array(array) => array.iter().map(shown).collect(),
        Value::Table(table) => fields(table),
        number => json!(number.as_integer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_back_as_they_were_said() {
        let said = json!({
            "content_type": "text/plain", "delivery_mode": 2, "priority": 4, "correlation_id": "c", "expiration": "600",
            "timestamp": 1_700_000_000_u64, "type": "t", "app_id": "a", "cluster_id": "k",
            "headers": { "n": -5, "f": 0.5, "s": "é", "b": true, "z": null, "l": [1, ["x"], {}], "o": { "p": { "q": 1 } } },
        });
        let said = said.as_object().unwrap();
        assert_eq!(&show(read(said).unwrap().as_properties()), said);
        assert!(show(read(&Map::new()).unwrap().as_properties()).is_empty());
    }

    #[test]
    fn what_no_property_can_be_is_told() {
        for (said, wrong) in [
            (json!({ "colour": "red" }), "there is no property colour"),
            (json!({ "priority": 256 }), "priority has to be 0 to 255"),
            (json!({ "headers": [] }), "headers has to be an object"),
            (json!({ "type": "x".repeat(256) }), "type has to be text of at most 255 bytes"),
            (json!({ "timestamp": -1 }), "timestamp has to be a number"),
        ] {
            assert_eq!(read(said.as_object().unwrap()).err().as_deref(), Some(wrong));
        }
        let mut deep = json!(1);
        for _ in 0..20 {
            deep = json!([deep]);
        }
        let deep = json!({ "headers": { "x": deep } });
        assert_eq!(read(deep.as_object().unwrap()).err().as_deref(), Some("headers have too many levels"));
    }
}
