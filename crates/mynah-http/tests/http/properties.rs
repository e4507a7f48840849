//! What a message says about itself: in by header fields, kept in the native bytes, out by header fields and events.

use std::time::Duration;

use mynah_http::{HttpCodec, NATIVE_LAYOUT, STREAM_LAYOUT};
use mynah_model::{Class, Instant, Message, MessageView, Properties, UserProperties, ValueTag, WallTime};
use mynah_stack::{Command, Frame, FrameKind, LayoutCodec, Outcome, Value};
use proptest::prelude::*;

use crate::link::{Link, Response, message};

/// The message that a PUT with these fields publishes.
fn put(fields: &[(&str, &str)]) -> Message {
    let mut link = Link::with("PUT", "/v1/topics/a/b", fields);
    link.admit();
    link.send_body(b"v");
    link.command(|command| {
        let Command::PublishIf(command) = command else { panic!("{command:?}") };
        command.publish.view().to_message()
    })
}

/// What a GET at `now` is answered with when `message` is the value.
fn get(message: &Message, properties: Properties<'_>) -> Response {
    let mut link = Link::with("GET", "/v1/topics/a/b", &[]);
    link.admit();
    link.command(|command| assert!(matches!(command, Command::Read(_))));
    let tag = ValueTag::from_number(0xe);
    link.outcome(Outcome::Value(Ok(Some(&Value { message, properties, tag }))));
    let response = link.response();
    assert_eq!((response.status, &response.body[..]), (200, message.payload()));
    response
}

fn values<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
}

const ALL: [(&str, &str); 11] = [
    ("content-type", "text/plain; charset=UTF-8"),
    ("content-encoding", "gzip"),
    ("mynah-qos", "2"),
    ("mynah-priority", "9"),
    ("mynah-correlation", "%FF%00x"),
    ("mynah-reply-to", "r/%C3%BC"),
    ("mynah-message-id", "m 1"),
    ("mynah-created", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("mynah-expiry", "12.5"),
    ("mynah-property", "k=1, k%3D=a%2Cb,,"),
    ("mynah-property", "k="),
];

#[test]
fn every_field_is_a_property_of_the_message() {
    let message = put(&ALL);
    let header = message.header();
    assert_eq!((header.class, header.priority, header.layout), (Class::ExactlyOnce, 9, NATIVE_LAYOUT));
    let put_at = Instant::from_micros(1_000_000);
    assert_eq!(header.deadline, Some(put_at + Duration::from_millis(12_500)));
    assert_eq!(message.topic().as_bytes(), b"a/b");
    assert_eq!(message.payload(), b"v");
    let properties = HttpCodec.properties(message.view());
    let pairs: Vec<_> = properties.user.texts().collect();
    assert_eq!(pairs, [("k", "1"), ("k=", "a,b"), ("k", "")]);
    let expected = Properties {
        content_type: Some("text/plain; charset=UTF-8"),
        content_encoding: Some("gzip"),
        correlation: Some(b"\xff\0x"),
        reply_to: Some("r/ü"),
        message_id: Some("m 1"),
        created: Some(WallTime::from_unix_millis(784_111_777_000)),
        is_text: true,
        user: properties.user,
        remaining: None,
    };
    assert_eq!(properties, expected);
}

#[test]
fn a_get_says_what_the_put_said() {
    let message = put(&ALL);
    let properties = HttpCodec.properties(message.view());
    let response =
        get(&message, Properties { remaining: Some(Duration::from_micros(2_500_001)), ..properties });
    let expected = [
        ("content-type", "text/plain; charset=UTF-8"),
        ("etag", "\"000000000000000e\""),
        ("cache-control", "no-cache"),
        ("mynah-expiry", "2.501"),
        ("mynah-qos", "2"),
        ("mynah-priority", "9"),
        ("content-encoding", "gzip"),
        ("mynah-correlation", "%FF%00x"),
        ("mynah-reply-to", "r/%C3%BC"),
        ("mynah-message-id", "m%201"),
        ("mynah-created", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("mynah-property", "k=1"),
        ("mynah-property", "k%3D=a%2Cb"),
        ("mynah-property", "k="),
    ];
    assert_eq!(response.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_date_says_when_unless_the_field_of_ours_does() {
    let date = ("date", "Thu, 01 Jan 1970 00:00:01 GMT");
    let created = |fields: &[(&str, &str)]| HttpCodec.properties(put(fields).view()).created;
    assert_eq!(created(&[date]), Some(WallTime::from_unix_millis(1_000)));
    let ours = ("mynah-created", "Thu, 01 Jan 1970 00:00:02 GMT");
    assert_eq!(created(&[date, ours]), Some(WallTime::from_unix_millis(2_000)));
    assert_eq!(created(&[]), None);
}

#[test]
fn what_says_nothing_is_nothing() {
    let message = put(&[("content-type", ""), ("content-encoding", "identity"), ("mynah-property", " , ")]);
    assert_eq!(HttpCodec.properties(message.view()), Properties::EMPTY);
    assert_eq!((message.header().priority, message.header().deadline), (mynah_model::PRIORITY_DEFAULT, None));
}

#[test]
fn a_delete_and_a_post_have_properties_too() {
    for (method, body) in [("DELETE", None), ("POST", Some(b"v"))] {
        let fields = [("mynah-correlation", "c"), ("mynah-expiry", "1"), ("content-type", "a/b")];
        let mut link = Link::with(method, "/v1/topics/a", &fields);
        link.admit();
        if let Some(body) = body {
            link.send_body(body);
        }
        link.command(|command| {
            let publish = match command {
                Command::Publish(publish) => publish,
                Command::PublishIf(command) => command.publish,
                other => panic!("{other:?}"),
            };
            let properties = HttpCodec.properties(publish.view());
            assert_eq!(properties.correlation, Some(&b"c"[..]));
            assert_eq!(properties.content_type, body.map(|_| "a/b"));
            assert!(publish.header.deadline.is_some());
        });
    }
}

#[test]
fn text_without_a_type_is_said_to_be_text() {
    let value = message("a", b"v", Class::AtMostOnce, true);
    let response = get(&value, Properties { is_text: true, ..Properties::EMPTY });
    assert_eq!(values(&response, "content-type"), ["text/plain; charset=utf-8"]);
    assert_eq!(values(&response, "mynah-qos"), ["0"]);
}

/// What a publisher of MQTT 5.0 says by its Payload Format Indicator.
#[test]
fn text_of_a_type_without_a_charset_is_said_to_be_text() {
    let value = message("a", b"v", Class::AtMostOnce, true);
    let json = Properties { content_type: Some("application/json"), is_text: true, ..Properties::EMPTY };
    let response = get(&value, json);
    assert_eq!(values(&response, "content-type"), ["application/json; charset=utf-8"]);
    assert_eq!(values(&response, "mynah-omitted"), [""; 0]);
    let again = put(&[("content-type", "application/json; charset=utf-8")]);
    assert!(HttpCodec.properties(again.view()).is_text);

    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain: true };
    assert!(HttpCodec.encode(value.view(), &json, STREAM_LAYOUT, kind, &mut frame));
    let text = String::from_utf8_lossy(&frame.head).into_owned();
    assert!(text.contains(r#""content_type":"application/json; charset=utf-8","#), "{text}");
}

#[test]
fn what_a_field_cannot_hold_is_counted() {
    let value = message("a", b"v", Class::AtMostOnce, true);
    let long = "x".repeat(300);
    // Six escaped pairs of 10,000 bytes fit, the seventh does not; what is small still does.
    let pairs = UserProperties::new(b"1234567s", |rest| {
        let (which, after) = rest.split_first()?;
        *rest = after;
        Some(("k", if *which == b's' { "small" } else { BIG }.into()))
    });
    let properties = Properties {
        content_type: Some("a\nb"),
        content_encoding: Some(&long),
        created: Some(WallTime::from_unix_millis(u64::MAX)),
        user: pairs,
        ..Properties::EMPTY
    };
    let response = get(&value, properties);
    assert_eq!(values(&response, "content-type"), ["application/octet-stream"]);
    assert_eq!(values(&response, "mynah-property").len(), 7);
    assert_eq!(values(&response, "mynah-property")[6], "k=small");
    assert_eq!(values(&response, "mynah-omitted"), ["4"]);
}

/// 3,300 bytes, each of which is escaped.
const BIG: &str = {
    const BYTES: [u8; 3_300] = [b' '; 3_300];
    match core::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[test]
fn an_event_says_it_all() {
    let message = put(&ALL);
    let properties =
        Properties { remaining: Some(Duration::from_secs(1)), ..HttpCodec.properties(message.view()) };
    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain: true };
    assert!(HttpCodec.encode(message.view(), &properties, STREAM_LAYOUT, kind, &mut frame));
    let text = String::from_utf8(frame.head[5..].to_vec()).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(text.trim_end().strip_prefix("event: message\ndata: ").unwrap()).unwrap();
    let expected = serde_json::json!({
        "topic": "a/b", "payload": "v", "content_type": "text/plain; charset=UTF-8", "content_encoding": "gzip",
        "correlation_base64": "/wB4", "reply_to": "r/ü", "message_id": "m 1", "qos": 2, "retain": true, "priority": 9,
        "created": "1994-11-06T08:49:37Z", "expiry_ms": 1000,
        "properties": [["k", "1"], ["k=", "a,b"], ["k", ""]],
    });
    assert_eq!(json, expected);
}

#[test]
fn damaged_native_bytes_have_no_properties() {
    let message = put(&ALL);
    let end = message.header().topic_range().end;
    let view = MessageView { header: message.header(), native: &message.view().native[..end + 3] };
    assert_eq!(HttpCodec.properties(view), Properties::EMPTY);
}

proptest! {
    /// What an answer says can be said again, and is the same.
    #[test]
    fn properties_survive_the_way_through_fields(
        correlation in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        reply_to in proptest::option::of("[^\0]{0,12}"),
        message_id in proptest::option::of("[^\0]{0,12}"),
        created in proptest::option::of(0..253_402_300_799_u64),
        pairs in proptest::collection::vec(("[^\0]{0,6}", "[^\0]{0,6}"), 0..5),
        text: bool,
    ) {
        let content_type = if text { "text/csv;charset=utf-8" } else { "a/b" };
        let encoded: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", escape(k.as_bytes()), escape(v.as_bytes()))).collect();
        let date = created.map(httpdate);
        let mut fields = vec![("content-type", content_type.to_owned())];
        fields.extend(correlation.as_ref().map(|bytes| ("mynah-correlation", escape(bytes))));
        fields.extend(reply_to.as_ref().map(|text| ("mynah-reply-to", escape(text.as_bytes()))));
        fields.extend(message_id.as_ref().map(|text| ("mynah-message-id", escape(text.as_bytes()))));
        fields.extend(date.map(|date| ("mynah-created", date)));
        fields.extend(encoded.into_iter().map(|pair| ("mynah-property", pair)));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let first = put(&fields);
        let said = HttpCodec.properties(first.view());
        prop_assert_eq!(said.correlation, correlation.as_deref());
        prop_assert_eq!(said.reply_to, reply_to.as_deref());
        prop_assert_eq!(said.created, created.map(|s| WallTime::from_unix_millis(s * 1_000)));
        prop_assert!(said.user.texts().eq(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))));

        let response = get(&first, said);
        let again: Vec<_> = response
            .fields
            .iter()
            .filter(|(name, _)| name.starts_with("mynah-") || name.starts_with("content-"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let second = put(&again);
        prop_assert_eq!(HttpCodec.properties(second.view()), said);
        prop_assert_eq!(second.view().native, first.view().native);
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

fn httpdate(seconds: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    httpdate::fmt_http_date(time)
}
