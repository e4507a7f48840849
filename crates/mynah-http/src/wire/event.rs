//! Server-sent events: a message as JSON on one `data` line (WHATWG HTML, section 9.2.6; `docs/mapping.md`, "A message
//! as JSON"), and the comment that keeps a silent stream alive.

use core::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use mynah_model::{DateTime, PRIORITY_DEFAULT, Properties, PropertyValue, UserProperties};
use serde::{Serialize, Serializer};

use super::Malformed;

/// One message as an event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The application's bytes.
    pub payload: &'m [u8],
    /// What the message says about itself.
    pub properties: &'m Properties<'m>,
    /// The class that the message was published with.
    pub qos: u8,
    /// Whether it is a retained value.
    pub retain: bool,
    /// The message's priority.
    pub priority: u8,
}

/// The names are the JSON object's.
#[derive(Serialize)]
struct Json<'m> {
    topic: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_base64")]
    payload_base64: Option<&'m [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_base64")]
    correlation_base64: Option<&'m [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'m str>,
    qos: u8,
    retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_pairs")]
    properties: Option<UserProperties<'m>>,
}

fn as_base64<S: Serializer>(bytes: &Option<&[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes.unwrap_or_default(), &STANDARD))
}

fn as_pairs<S: Serializer>(pairs: &Option<UserProperties<'_>>, serializer: S) -> Result<S::Ok, S::Error> {
    let pairs = pairs.unwrap_or(UserProperties::EMPTY).iter();
    serializer.collect_seq(pairs.map(|(key, value)| (key, Typed(value))))
}

/// A value as JSON has it: what JSON has no kind for is spelled as text.
struct Typed<'m>(PropertyValue<'m>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            PropertyValue::Null => serializer.serialize_unit(),
            PropertyValue::Bool(value) => serializer.serialize_bool(value),
            PropertyValue::Signed(number) => serializer.serialize_i64(number),
            PropertyValue::Unsigned(number) => serializer.serialize_u64(number),
            PropertyValue::Float(number) => serializer.serialize_f64(number),
            PropertyValue::Text(text) => serializer.serialize_str(text),
            other => serializer.collect_str(&other),
        }
    }
}

/// Bytes as a text if they are one, else as what is to be written as base64.
fn text_or_bytes(bytes: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    match core::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(bytes)),
    }
}

impl Event<'_> {
    /// The comment that keeps a stream alive.
    pub const HEARTBEAT: &'static [u8] = b": heartbeat\n\n";

    /// The last event of a stream that the broker ends: why, as the one JSON object of a problem.
    #[must_use]
    pub fn end(problem: &[u8]) -> Vec<u8> {
        [b"event: end\ndata: ", problem, b"\n\n"].concat()
    }

    /// Whether the event says that the topic's retained value is gone.
    #[must_use]
    pub const fn is_delete(&self) -> bool {
        self.retain && self.payload.is_empty()
    }

    /// Appends the event's lines. JSON escapes every line end, so that the data is one line.
    ///
    /// # Errors
    /// None in practice: the object has only strings, numbers and truth values.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let name: &[u8] = if self.is_delete() { b"event: delete\ndata: " } else { b"event: message\ndata: " };
        out.extend_from_slice(name);
        let properties = self.properties;
        let (payload, payload_base64) = text_or_bytes(self.payload);
        let (correlation, correlation_base64) = properties.correlation.map_or((None, None), text_or_bytes);
        let json = Json {
            topic: self.topic,
            payload,
            payload_base64,
            content_type: properties.content_type,
            content_encoding: properties.content_encoding,
            correlation,
            correlation_base64,
            reply_to: properties.reply_to,
            message_id: properties.message_id,
            qos: self.qos,
            retain: self.retain,
            priority: Some(self.priority).filter(|priority| *priority != PRIORITY_DEFAULT),
            created: properties.created.and_then(DateTime::new).map(|time| time.to_string()),
            expiry_ms: properties.remaining.map(millis),
            properties: Some(properties.user).filter(|user| !user.is_empty()),
        };
        serde_json::to_writer(&mut *out, &json).map_err(|_| Malformed::Value)?;
        out.extend_from_slice(b"\n\n");
        Ok(())
    }
}

/// Milliseconds, rounded up: what is not over has some left.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use mynah_model::WallTime;
    use proptest::prelude::*;

    use crate::wire::properties;

    const EVENT: Event<'_> = Event {
        topic: "a",
        payload: b"",
        properties: &Properties::EMPTY,
        qos: 1,
        retain: false,
        priority: PRIORITY_DEFAULT,
    };

    fn encode(event: Event<'_>) -> String {
        let mut out = Vec::new();
        event.encode(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_a_string_on_one_line() {
        let payload = "line 1\nline 2\r\u{0}\u{fc}".as_bytes();
        let properties = &Properties { content_type: Some("text/plain"), ..Properties::EMPTY };
        let event = Event { topic: "a/b", payload, properties, ..EVENT };
        let expected = concat!(
            "event: message\ndata: ",
            r#"{"topic":"a/b","payload":"line 1\nline 2\r\u0000ü","content_type":"text/plain","qos":1,"retain":false}"#,
            "\n\n"
        );
        assert_eq!(encode(event), expected);
    }

    #[test]
    fn other_bytes_are_base64() {
        let event = Event { payload: &[0xff, 0], qos: 0, retain: true, ..EVENT };
        let expected = "event: message\ndata: {\"topic\":\"a\",\"payload_base64\":\"/wA=\",\"qos\":0,\"retain\":true}\n\n";
        assert_eq!(encode(event), expected);
    }

    #[test]
    fn what_a_message_says_about_itself_has_names() {
        let mut pairs = Vec::new();
        for (key, value) in [("k", "1"), ("a", "\""), ("k", "")] {
            properties::push_pair(key, value, &mut pairs).unwrap();
        }
        let all = Properties {
            content_type: Some("text/plain"),
            content_encoding: Some("identity"),
            correlation: Some(b"c-1"),
            reply_to: Some("r/1"),
            message_id: Some("m"),
            created: Some(WallTime::from_unix_millis(1)),
            is_text: true,
            user: properties::user(&pairs),
            remaining: Some(Duration::from_micros(1_500_001)),
        };
        let expected = concat!(
            r#"{"topic":"a","payload":"","content_type":"text/plain","content_encoding":"identity","#,
            r#""correlation":"c-1","reply_to":"r/1","message_id":"m","qos":1,"retain":false,"priority":9,"#,
            r#""created":"1970-01-01T00:00:00.001Z","expiry_ms":1501,"properties":[["k","1"],["a","\""],["k",""]]}"#,
        );
        let event = Event { properties: &all, priority: 9, ..EVENT };
        assert_eq!(encode(event), format!("event: message\ndata: {expected}\n\n"));

        let bytes = Properties { correlation: Some(&[0xff]), ..Properties::EMPTY };
        let shown = encode(Event { properties: &bytes, ..EVENT });
        assert!(shown.contains(r#""correlation_base64":"/w==","#), "{shown}");
    }

    #[test]
    fn an_empty_retained_value_is_a_deletion() {
        let event = Event { retain: true, ..EVENT };
        let expected =
            "event: delete\ndata: {\"topic\":\"a\",\"payload\":\"\",\"qos\":1,\"retain\":true}\n\n";
        assert_eq!(encode(event), expected);
        assert!(encode(EVENT).starts_with("event: message\n"));
    }

    proptest! {
        #[test]
        fn the_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..40), topic in ".{1,20}") {
            let lines = encode(Event { topic: &topic, payload: &payload, ..EVENT });
            let data = lines.strip_prefix("event: message\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
            prop_assert!(!data.contains(['\n', '\r']));
            let json: serde_json::Value = serde_json::from_str(data).unwrap();
            let back = match &json["payload"] {
                serde_json::Value::String(text) => text.clone().into_bytes(),
                _ => STANDARD.decode(json["payload_base64"].as_str().unwrap()).unwrap(),
            };
            prop_assert_eq!(back, payload);
            prop_assert_eq!(json["topic"].as_str(), Some(topic.as_str()));
        }
    }
}
