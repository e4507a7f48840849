//! Server-sent events: a message as JSON on one `data` line (WHATWG HTML, section 9.2.6; `docs/mapping.md`, "A message
//! as JSON"), and the comment that keeps a silent stream alive.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::Malformed;

/// One message as an event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The application's bytes.
    pub payload: &'m [u8],
    /// The media type, if somebody said.
    pub content_type: Option<&'m str>,
    /// The class that the message was published with.
    pub qos: u8,
    /// Whether it is a retained value.
    pub retain: bool,
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
    qos: u8,
    retain: bool,
}

fn as_base64<S: Serializer>(bytes: &Option<&[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes.unwrap_or_default(), &STANDARD))
}

impl Event<'_> {
    /// The comment that keeps a stream alive.
    pub const HEARTBEAT: &'static [u8] = b": heartbeat\n\n";

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
        let text = core::str::from_utf8(self.payload).ok();
        let json = Json {
            topic: self.topic,
            payload: text,
            payload_base64: if text.is_none() { Some(self.payload) } else { None },
            content_type: self.content_type,
            qos: self.qos,
            retain: self.retain,
        };
        serde_json::to_writer(&mut *out, &json).map_err(|_| Malformed::Value)?;
        out.extend_from_slice(b"\n\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    fn encode(event: Event<'_>) -> String {
        let mut out = Vec::new();
        event.encode(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_a_string_on_one_line() {
        let payload = "line 1\nline 2\r\u{0}\u{fc}".as_bytes();
        let event = Event { topic: "a/b", payload, content_type: Some("text/plain"), qos: 1, retain: false };
        let expected = concat!(
            "event: message\ndata: ",
            r#"{"topic":"a/b","payload":"line 1\nline 2\r\u0000ü","content_type":"text/plain","qos":1,"retain":false}"#,
            "\n\n"
        );
        assert_eq!(encode(event), expected);
    }

    #[test]
    fn other_bytes_are_base64() {
        let event = Event { topic: "a", payload: &[0xff, 0], content_type: None, qos: 0, retain: true };
        let expected = "event: message\ndata: {\"topic\":\"a\",\"payload_base64\":\"/wA=\",\"qos\":0,\"retain\":true}\n\n";
        assert_eq!(encode(event), expected);
    }

    #[test]
    fn an_empty_retained_value_is_a_deletion() {
        let event = Event { topic: "a", payload: b"", content_type: None, qos: 1, retain: true };
        let expected =
            "event: delete\ndata: {\"topic\":\"a\",\"payload\":\"\",\"qos\":1,\"retain\":true}\n\n";
        assert_eq!(encode(event), expected);
        assert!(encode(Event { retain: false, ..event }).starts_with("event: message\n"));
    }

    proptest! {
        #[test]
        fn the_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..40), topic in ".{1,20}") {
            let lines = encode(Event { topic: &topic, payload: &payload, content_type: None, qos: 0, retain: false });
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
