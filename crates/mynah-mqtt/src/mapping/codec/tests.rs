//! Messages of every layout on their way into every layout.

use alloc::vec;

use mynah_model::{
    Class, DeliveryId, Header, Instant, Message, SubscriptionId, TenantId, UserProperties, WallTime,
};
use mynah_stack::Outbound;

use super::*;
use crate::mapping::{Extra, PublishHead, TopicForm, header};
use crate::wire::properties::{push_user_property, user_properties};
use crate::{TextRule, Version};
use core::num::{NonZeroU16, NonZeroU32};

const CLASS_0: FrameKind = FrameKind { identified: false, retain: false };

fn foreign(topic: &[u8], payload: &[u8]) -> Message {
    let native = [topic, payload].concat();
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 99, version: 1 },
        class: Class::AtMostOnce,
        retain: false,
        priority: 0,
        topic: (0, topic.len() as u32),
        payload: (topic.len() as u32, native.len() as u32),
        deadline: None,
        publisher: None,
    };
    MessageView { header: &header, native: &native }.to_message()
}

fn encode(message: &Message, kind: FrameKind) -> Option<Frame> {
    let mut frame = Frame::default();
    let done = MqttCodec.encode(message.view(), &Properties::default(), LAYOUT_V3, kind, &mut frame);
    done.then_some(frame)
}

#[test]
fn a_foreign_message_becomes_a_publish() {
    let frame = encode(&foreign(b"a/b", b"hi"), FrameKind { identified: true, retain: true }).unwrap();
    assert_eq!(frame.head, b"\x31\x09\0\x03a/b\0\0hi");
    assert_eq!(frame.id_at, Some(7));
    let frame = encode(&foreign(b"a/b", b"hi"), CLASS_0).unwrap();
    assert_eq!((&frame.head[..], frame.id_at), (&b"\x30\x07\0\x03a/bhi"[..], None));
}

//= mqtt-3.1.1 [MQTT-4.7.3-3]
//= mqtt-5.0 [MQTT-4.7.3-3]
#[test]
fn what_mqtt_cannot_spell_is_not_encoded() {
    for layout in [LAYOUT_V3, LAYOUT_V5] {
        let fits = |topic: &[u8]| {
            let (message, frame) = (foreign(topic, b""), &mut Frame::default());
            MqttCodec.encode(message.view(), &Properties::default(), layout, CLASS_0, frame)
        };
        assert!(fits(&[b'a'; 65_535]) && !fits(&[b'a'; 65_536]) && !fits(b"a\xff"));
    }
}

#[test]
fn a_large_payload_counts_although_it_is_shared() {
    let message = foreign(b"a", &[7; 3_000]);
    let mut frame = encode(&message, CLASS_0).unwrap();
    assert!(frame.wants_message());
    assert_eq!(frame.head, [0x30, 0xBB, 0x17, 0, 1, b'a']);
    frame.attach(&message);
    assert_eq!(frame.len(), 3 + 0xBB - 0x80 + (0x17 << 7));
}

#[test]
fn one_copy_and_the_sum_of_the_parts_are_the_same_packet() {
    let sizes = [0, 120, 200, Frame::SHARED_BYTES_MIN - 1, Frame::SHARED_BYTES_MIN, 20_000];
    for (version, class, size) in [Version::V3_1_1, Version::V5].into_iter().flat_map(|version| {
        (0..3).flat_map(move |class| sizes.map(|size| (version, Class::from_number(class).unwrap(), size)))
    }) {
        let mut body = b"\0\x03a/b".to_vec();
        let identified = class.is_confirmed();
        body.extend_from_slice(if identified { &[7, 7] } else { &[] });
        body.extend_from_slice(if version.has_properties() { &[0] } else { &[] });
        body.resize(body.len() + size, b'x');
        let publish = Publish::decode(class.number() << 1, &body, TextRule::default(), version).unwrap();
        let message = MessageView { header: &header(&publish, Instant::ZERO), native: &body };
        let kind = FrameKind { identified, retain: size == 0 };
        let (mut copied, mut written) = (Frame::default(), Frame::default());
        assert!(write_native(message, &Properties::EMPTY, kind, &mut copied));
        assert!(write(message, version.has_properties().then_some(&[][..]), kind, &mut written));
        // What stands in the place of the identifier is overwritten for each receiver.
        if let Some(at) = copied.id_at {
            copied.head[at..at + 2].fill(0);
        }
        assert_eq!((&copied.head, copied.id_at), (&written.head, written.id_at));
        assert_eq!(copied.wants_message(), written.wants_message());
        let other = FrameKind { identified: !identified, ..kind };
        assert!(!write_native(message, &Properties::EMPTY, other, &mut Frame::default()));
    }
}

/// A message that came as MQTT 5.0 at the origin of the clock, with QoS 0, in the topic `a`.
fn native(properties: &[Property<'_>], payload: &[u8]) -> Message {
    let mut section = Vec::new();
    properties.iter().for_each(|property| property.encode(&mut section));
    let mut body = vec![0, 1, b'a'];
    push_variable(section.len(), &mut body);
    body.extend(section);
    body.extend(payload);
    let publish = Publish::decode(0, &body, TextRule::default(), Version::V5).unwrap();
    MessageView { header: &header(&publish, Instant::ZERO), native: &body }.to_message()
}

/// The properties and the payload that a receiver of MQTT 5.0 gets.
fn received(message: &Message, properties: &Properties<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut frame = Frame::default();
    assert!(MqttCodec.encode(message.view(), properties, LAYOUT_V5, CLASS_0, &mut frame));
    let head = PublishHead::parse(&frame.head, false).unwrap();
    let mut out = Outbound::new();
    frame.write(&mut out, 0x30, None);
    let packet = out.drain();
    let mut input = packet.as_slice();
    let unit = crate::framing::next_unit(&mut input, Version::V5, usize::MAX).unwrap().unwrap();
    let publish = Publish::decode(unit.flags, unit.body, TextRule::default(), Version::V5).unwrap();
    assert_eq!(head.topic(), publish.topic.as_bytes());
    (publish.section().as_bytes().to_vec(), publish.payload.to_vec())
}

fn encoded(properties: &[Property<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    properties.iter().for_each(|property| property.encode(&mut out));
    out
}

//= mqtt-5.0 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_go_to_receivers_as_they_came() {
    let all = [
        Property::UserProperty(("k", "1")),
        Property::PayloadFormatIndicator(true),
        Property::ResponseTopic("r"),
        Property::UserProperty(("k", "2")),
        Property::CorrelationData(b"\0\xff"),
        Property::ContentType("t"),
        Property::UserProperty(("k", "1")),
    ];
    let message = native(&all, b"hi");
    assert_eq!(received(&message, &Properties::EMPTY), (encoded(&all), b"hi".to_vec()));
    let read = MqttCodec.properties(message.view());
    assert_eq!((read.content_type, read.reply_to, read.is_text), (Some("t"), Some("r"), true));
    assert_eq!(read.correlation, Some(&b"\0\xff"[..]));
    assert!(read.user.texts().eq([("k", "1"), ("k", "2"), ("k", "1")]));
    // To MQTT 3.1.1 go topic and payload.
    assert_eq!(encode(&message, CLASS_0).unwrap().head, b"\x30\x05\0\x01ahi");
}

//= mqtt-5.0 [MQTT-3.3.2-6]
#[test]
fn what_is_left_of_a_lifetime_is_rounded_up() {
    let all = [
        Property::TopicAlias(NonZeroU16::MIN),
        Property::ContentType("t"),
        Property::MessageExpiryInterval(10),
        Property::SubscriptionIdentifier(NonZeroU32::MIN),
        Property::UserProperty(("k", "v")),
    ];
    let message = native(&all, b"");
    let deadline = Instant::from_micros(10_000_000);
    assert_eq!(message.header().deadline, Some(deadline));
    for (at, left) in [(0, 10), (1, 10), (8_000_000, 2), (8_000_001, 2), (9_000_000, 1)] {
        let remaining = message.header().remaining(Instant::from_micros(at));
        let properties = Properties { remaining, ..MqttCodec.properties(message.view()) };
        let expected = [
            Property::ContentType("t"),
            Property::MessageExpiryInterval(left),
            Property::UserProperty(("k", "v")),
        ];
        assert_eq!(received(&message, &properties).0, encoded(&expected));
    }
}

//= mqtt-5.0 [MQTT-3.3.4-6]
#[test]
fn an_alias_and_subscription_identifiers_are_not_forwarded() {
    let alias = Property::TopicAlias(NonZeroU16::MIN);
    let id = Property::SubscriptionIdentifier(NonZeroU32::MIN);
    let message = native(&[alias, id, Property::ContentType("t"), id], b"hi");
    let expected = encoded(&[Property::ContentType("t")]);
    assert_eq!(received(&message, &Properties::EMPTY), (expected, b"hi".to_vec()));
}

#[test]
fn mqtt_3_1_1_to_5_has_an_empty_section_or_the_lifetime() {
    let publish = Publish::decode(0, b"\0\x01ahi", TextRule::default(), Version::V3_1_1).unwrap();
    let message = crate::mapping::message(&publish, Instant::ZERO);
    assert_eq!(received(&message, &Properties::EMPTY), (vec![], b"hi".to_vec()));
    let remaining = Some(Duration::from_millis(1));
    let expected = encoded(&[Property::MessageExpiryInterval(1)]);
    assert_eq!(received(&message, &Properties { remaining, ..Properties::EMPTY }).0, expected);
}

/// Another protocol's message, through MQTT 5.0 and a client that publishes what it got.
#[test]
fn what_another_protocol_says_comes_back_as_it_was() {
    let mut pairs = Vec::new();
    for (name, value) in [("b", "2"), ("a", "1"), ("b", "")] {
        push_user_property(name, value, &mut pairs);
    }
    let said = Properties {
        content_type: Some("application/json"),
        content_encoding: Some("gzip"),
        correlation: Some(b"\0\x01"),
        reply_to: Some("replies/7"),
        message_id: Some("m-1"),
        created: Some(WallTime::from_unix_millis(1_700_000_000_123)),
        is_text: true,
        user: user_properties(&pairs),
        remaining: None,
    };
    let (section, payload) = received(&foreign(b"a", b"hi"), &said);
    let body =
        [&[0, 1, b'a'][..], &[section.len() as u8 | 0x80, (section.len() >> 7) as u8], &section, &payload]
            .concat();
    let publish = Publish::decode(0, &body, TextRule::default(), Version::V5).unwrap();
    let message = crate::mapping::message(&publish, Instant::ZERO);
    assert_eq!(MqttCodec.properties(message.view()), said);
    // The priority of a foreign message of these tests is 0.
    assert_eq!(message.header().priority, 0);
}

//= mqtt-5.0 [MQTT-3.3.2-14]
#[test]
fn what_mqtt_5_cannot_spell_of_a_foreign_message_is_left_out() {
    let long = "x".repeat(65_536);
    let mut pairs = Vec::new();
    push_user_property("mynah-created", "1", &mut pairs);
    push_user_property("k", "v", &mut pairs);
    for properties in [
        Properties { content_type: Some(&long), ..Properties::EMPTY },
        Properties { content_type: Some("a\0"), ..Properties::EMPTY },
        Properties { reply_to: Some("a/#"), ..Properties::EMPTY },
        Properties { reply_to: Some(""), ..Properties::EMPTY },
        Properties { message_id: Some("\0"), ..Properties::EMPTY },
        Properties { correlation: Some(long.as_bytes()), ..Properties::EMPTY },
    ] {
        let properties = Properties { user: UserProperties::EMPTY, ..properties };
        let priority = encoded(&[Property::UserProperty(("mynah-priority", "0"))]);
        assert_eq!(received(&foreign(b"a", b""), &properties).0, priority);
    }
    let properties = Properties { user: user_properties(&pairs), ..Properties::EMPTY };
    let expected = [("mynah-priority", "0"), ("k", "v")].map(Property::UserProperty);
    assert_eq!(received(&foreign(b"a", b""), &properties).0, encoded(&expected));
}

//= mqtt-5.0 [MQTT-3.3.2-8] [MQTT-3.3.4-3]
#[test]
fn a_head_is_written_again_with_what_one_receiver_gets_beside() {
    let message = native(&[Property::ContentType("t")], &[7; 3_000]);
    let kind = FrameKind { identified: true, retain: false };
    let mut frame = Frame::default();
    assert!(MqttCodec.encode(message.view(), &Properties::EMPTY, LAYOUT_V5, kind, &mut frame));
    let head = PublishHead::parse(&frame.head, true).unwrap();
    let ids = [SubscriptionId::new(1).unwrap(), SubscriptionId::new(268_435_455).unwrap()];
    let alias = NonZeroU16::new(9).unwrap();
    for (topic, subscription_ids, rest) in [
        (TopicForm::Name, &[][..], &b"\0\x01a\0\x05\x04\x03\0\x01t"[..]),
        (TopicForm::Name, &ids[..1], b"\0\x01a\0\x05\x06\x0b\x01\x03\0\x01t"),
        (TopicForm::NameAndAlias(alias), &[], b"\0\x01a\0\x05\x07\x23\0\x09\x03\0\x01t"),
        (TopicForm::Alias(alias), &ids, b"\0\0\0\x05\x0e\x23\0\x09\x0b\x01\x0b\xff\xff\xff\x7f\x03\0\x01t"),
    ] {
        let extra = Extra { topic, subscription_ids };
        let mut out = Outbound::new();
        assert!(head.compose(0x32, DeliveryId::new(5), &extra, &mut out));
        out.append(message.payload());
        let packet = out.drain();
        assert_eq!(packet.len(), head.packet_len(&extra));
        assert_eq!((packet[0], &packet[3..3 + rest.len()]), (0x32, rest));
        let mut input = packet.as_slice();
        let unit = crate::framing::next_unit(&mut input, Version::V5, usize::MAX).unwrap().unwrap();
        let publish = Publish::decode(unit.flags, unit.body, TextRule::default(), Version::V5).unwrap();
        assert_eq!((publish.payload, input.len()), (message.payload(), 0));
    }
    assert_eq!(PublishHead::parse(&frame.head[..8], true), None);
}
