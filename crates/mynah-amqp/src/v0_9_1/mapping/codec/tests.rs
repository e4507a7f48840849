//! The codec: bytes in are bytes out, and what other layouts say.

use core::time::Duration;

use mynah_model::{Header, Instant, TenantId};
use proptest::prelude::*;

use super::*;
use crate::v0_9_1::framing::next_frame;
use crate::v0_9_1::mapping::{delivered, header, push_lead};
use crate::v0_9_1::wire::BasicProperties;

const KIND: FrameKind = FrameKind { identified: true, retain: false };

fn frame(message: MessageView<'_>, properties: &Properties<'_>, kind: FrameKind) -> Frame {
    let mut frame = Frame::default();
    assert!(AmqpCodec.encode(message, properties, LAYOUT, kind, &mut frame));
    frame
}

/// What a receiver gets: a header, then the body in frames that are no larger than it takes.
fn check_content(mut frame: Frame, message: MessageView<'_>, frame_bytes_max: usize, body: &[u8]) {
    if frame.wants_message() {
        frame.attach(&message.to_message());
    }
    let mut out = Outbound::new();
    let encoded = Encoded::new(&frame).unwrap();
    assert!(encoded.fits(frame_bytes_max) && !encoded.fits(encoded.header.len() + 7));
    encoded.write_content(&frame, 7, frame_bytes_max, &mut out);
    let bytes = out.drain();
    let (mut input, mut parts) = (bytes.as_slice(), Vec::new());
    while let Some(frame) = next_frame(&mut input, frame_bytes_max).unwrap() {
        assert_eq!(frame.channel, 7);
        parts.push((frame.frame_type, frame.payload));
    }
    assert_eq!(parts[0], (FrameType::Header, encoded.header));
    assert!(parts[1..].iter().all(|(frame_type, _)| *frame_type == FrameType::Body));
    let joined: Vec<u8> = parts[1..].iter().flat_map(|(_, part)| part.to_vec()).collect();
    assert_eq!((joined.as_slice(), parts.len() - 1), (body, body.len().div_ceil(frame_bytes_max - 8)));
}

/// A message of another layout.
fn foreign(topic: &[u8], payload: &[u8]) -> (Header, Vec<u8>) {
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 200, version: 1 },
        class: Class::AtLeastOnce,
        retain: false,
        priority: 7,
        topic: (0, topic.len() as u32),
        payload: (topic.len() as u32, (topic.len() + payload.len()) as u32),
        deadline: None,
        publisher: None,
    };
    (header, [topic, payload].concat())
}

proptest! {
    #[test]
    fn header_and_body_go_out_as_they_came(
        correlation in proptest::collection::vec(any::<u8>(), 0..256),
        body in proptest::collection::vec(any::<u8>(), 0..3_000),
        mode in proptest::option::of(0..4_u8),
        number in any::<i64>(),
        frame_bytes_max in 1_000..5_000_usize,
    ) {
        let headers = TableBuilder::new().with("n", Value::I64(number)).with("v", Value::Void);
        let made = PropertiesBuilder::new()
            .headers(headers.as_table())
            .octet(PropertyId::DeliveryMode, mode)
            .text(PropertyId::CorrelationId, Some(&correlation));
        let [exchange, key] = [&b"amq.topic"[..], b"a.b"].map(|text| ShortStr::new(text).unwrap());
        let mut native = Vec::new();
        push_lead(exchange, key, &mut native, |out| out.extend_from_slice(b"a/b"));
        native.extend_from_slice(made.as_properties().as_bytes());
        let body_at = native.len();
        native.extend_from_slice(&body);
        let header = header(&delivered(made.as_properties()).unwrap(), 3, (body_at, native.len()), Instant::ZERO);
        let message = MessageView { header: &header, native: &native };
        let frame = frame(message, &Properties::EMPTY, KIND);
        let encoded = Encoded::new(&frame).unwrap();
        prop_assert_eq!((encoded.exchange, encoded.routing_key), (exchange, key));
        let content = ContentHeader::decode(encoded.header).unwrap();
        prop_assert_eq!((content.body_size, content.properties), (body.len() as u64, made.as_properties()));
        prop_assert_eq!(encoded.body_len, body.len());
        prop_assert_eq!(encoded.body, if body.len() < Frame::SHARED_BYTES_MIN { &body[..] } else { b"" });
        check_content(frame, message, frame_bytes_max, &body);
    }
}

#[test]
fn what_other_protocols_say_becomes_properties_and_headers() {
    let (header, native) = foreign(b"a/b.c", b"body");
    let message = MessageView { header: &header, native: &native };
    let user = UserProperties::new(b"k1k2m3", |rest| {
        let (pair, after) = rest.split_at_checked(2)?;
        *rest = after;
        let (key, value) = str::from_utf8(pair).ok()?.split_at(1);
        Some((key, value.into()))
    });
    let properties = Properties {
        content_type: Some("text/plain"),
        correlation: Some(b"\xff"),
        reply_to: Some("r/s"),
        message_id: Some("id"),
        created: Some(WallTime::from_unix_millis(5_999)),
        user,
        remaining: Some(Duration::from_millis(1_234)),
        ..Properties::EMPTY
    };
    let frame = frame(message, &properties, FrameKind { identified: true, retain: true });
    let encoded = Encoded::new(&frame).unwrap();
    assert_eq!(
        (encoded.exchange.as_str(), encoded.routing_key.as_str()),
        (Some("amq.topic"), Some("a.b%2Ec"))
    );
    assert_eq!(encoded.body, b"body");
    let made = ContentHeader::decode(encoded.header).unwrap().properties;
    assert_eq!(made.text(PropertyId::ContentType), Some("text/plain"));
    assert_eq!(made.short_str(PropertyId::CorrelationId).unwrap().as_bytes(), b"\xff");
    assert_eq!((made.text(PropertyId::ReplyTo), made.text(PropertyId::MessageId)), (Some("r/s"), Some("id")));
    assert_eq!((made.text(PropertyId::Expiration), made.timestamp()), (Some("1234"), Some(5)));
    assert_eq!((made.octet(PropertyId::DeliveryMode), made.octet(PropertyId::Priority)), (Some(2), Some(7)));
    let headers = made.headers().unwrap();
    assert_eq!(
        (headers.get("k"), headers.get("m")),
        (Some(Value::LongStr(b"1")), Some(Value::LongStr(b"3")))
    );
    assert_eq!(headers.get(RETAIN), Some(Value::Bool(true)));
    let Some(Value::Array(all)) = headers.get(ALL_PROPERTIES) else { panic!("a key is there twice") };
    assert!(all.iter().eq([b"k", b"1", b"k", b"2", b"m", b"3"].map(|text| Value::LongStr(text))));
}

#[test]
fn a_topic_that_is_too_long_for_a_key_is_in_a_header() {
    let topic = [b'a'; 256];
    let (header, native) = foreign(&topic, b"");
    let frame = frame(MessageView { header: &header, native: &native }, &Properties::EMPTY, KIND);
    let encoded = Encoded::new(&frame).unwrap();
    assert!(encoded.routing_key.is_empty());
    let made = ContentHeader::decode(encoded.header).unwrap().properties;
    assert_eq!(made.headers().unwrap().get(LONG_TOPIC), Some(Value::LongStr(&topic)));
}

#[test]
fn other_protocols_read_properties_through_the_view() {
    let headers = TableBuilder::new()
        .with(RETAIN, Value::Bool(true))
        .with("a", Value::LongStr(b"1"))
        .with("n", Value::I32(5))
        .with("a", Value::LongStr(b"2"));
    let made = PropertiesBuilder::new()
        .text(PropertyId::ContentType, Some(b"text/plain"))
        .headers(headers.as_table())
        .text(PropertyId::CorrelationId, Some(b"\xff"))
        .text(PropertyId::ReplyTo, Some(b"r"))
        .timestamp(Some(5));
    let mut native = Vec::new();
    push_lead(ShortStr::EMPTY, ShortStr::EMPTY, &mut native, |out| out.push(b'a'));
    native.extend_from_slice(made.as_properties().as_bytes());
    let properties = BasicProperties::new(made.as_properties().as_bytes()).unwrap();
    let header = header(&delivered(properties).unwrap(), 1, (native.len(), native.len()), Instant::ZERO);
    let read = AmqpCodec.properties(MessageView { header: &header, native: &native });
    assert_eq!(
        (read.content_type, read.correlation, read.reply_to),
        (Some("text/plain"), Some(&b"\xff"[..]), Some("r"))
    );
    assert_eq!(read.created, Some(WallTime::from_unix_millis(5_000)));
    assert!(read.user.texts().eq([("a", "1"), ("a", "2")]));
    assert!(header.retain);
}
