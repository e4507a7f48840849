//! Packets and their exact bytes, both ways.

use mynah_model::{Class, Filter, Topic};
use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::properties::{ConnectProperties, WillProperties};
use mynah_mqtt::wire::{
    Ack, AckType, Connack, Connect, ConnectReturnCode, Disconnect, PacketId, PacketType, Pingreq, Pingresp,
    Publish, Suback, Subscribe, SubscribeEntry, SubscribeReturnCode, TextRule, Unsuback, Unsubscribe, Will,
};
use mynah_mqtt::{Version, Violation};

const RULE: TextRule = TextRule::RefuseDiscouraged;
const VERSION: Version = Version::V3_1_1;

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn unit(mut packet: &[u8]) -> Unit<'_> {
    let unit = next_unit(&mut packet, VERSION, 1 << 20).unwrap().unwrap();
    assert!(packet.is_empty());
    unit
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

//= mqtt-3.1.1 [MQTT-3.1.3-1] [MQTT-3.1.3-3]
/// Section 3.1: every flag and every field.
#[test]
fn connect_with_every_field() {
    let packet = b"\x10\x24\0\x04MQTT\x04\xee\0\x3c\0\x02id\0\x04will\0\x03bye\0\x04user\0\x03pwd";
    let connect = Connect {
        version: Version::V3_1_1,
        clean_session: true,
        keep_alive: 60,
        properties: ConnectProperties::default(),
        client_id: "id",
        will: Some(Will {
            topic: Topic::new(b"will").unwrap(),
            message: b"bye",
            class: Class::AtLeastOnce,
            retain: true,
            properties: WillProperties::default(),
        }),
        user_name: Some("user"),
        password: Some(b"pwd"),
    };
    assert_eq!(Connect::decode(0, unit(packet).body, RULE), Ok(connect));
    assert_eq!(encoded(|out| connect.encode(out)), packet);
    assert!(!format!("{connect:?}").contains("112, 119, 100"), "a password is not shown");
}

#[test]
fn connect_with_nothing() {
    let packet = b"\x10\x0c\0\x04MQTT\x04\0\0\0\0\0";
    let connect = Connect {
        version: Version::V3_1_1,
        clean_session: false,
        keep_alive: 0,
        properties: ConnectProperties::default(),
        client_id: "",
        will: None,
        user_name: None,
        password: None,
    };
    assert_eq!(Connect::decode(0, unit(packet).body, RULE), Ok(connect));
    assert_eq!(encoded(|out| connect.encode(out)), packet);
}

//= mqtt-3.1.1 [MQTT-3.2.2-4]
/// Table 3.1.
#[test]
fn connack_codes() {
    for number in 0..=5 {
        let return_code = ConnectReturnCode::from_number(number).unwrap();
        let connack = Connack { session_present: false, return_code };
        assert_eq!(connack.encode(), [0x20, 2, 0, number]);
        assert_eq!(Connack::decode(&[0, number], VERSION), Ok(connack));
    }
    let accepted = Connack { session_present: true, return_code: ConnectReturnCode::Accepted };
    assert_eq!(accepted.encode(), [0x20, 2, 1, 0]);
    assert_eq!(Connack::decode(&[1, 0], VERSION), Ok(accepted));
    assert!(Connack::decode(&[0, 6], VERSION).is_err());
    assert!(Connack::decode(&[2, 0], VERSION).is_err());
    assert_eq!(Connack::decode(&[1, 5], VERSION), Err(Violation::SessionPresentInRefusal.into()));
}

//= mqtt-3.1.1 [MQTT-2.3.1-5] [MQTT-3.3.2-1]
/// Figure 3.11: topic `a/b`, packet identifier 10.
#[test]
fn publish_of_each_class() {
    let topic = Topic::new(b"a/b").unwrap();
    for (packet, class, dup, retain, packet_id) in [
        (&b"\x30\x07\0\x03a/bxy"[..], Class::AtMostOnce, false, false, None),
        (b"\x33\x09\0\x03a/b\0\x0axy", Class::AtLeastOnce, false, true, Some(id(10))),
        (b"\x3c\x09\0\x03a/b\0\x0axy", Class::ExactlyOnce, true, false, Some(id(10))),
    ] {
        let publish = Publish { dup, class, retain, topic, packet_id, properties: None, payload: b"xy" };
        let unit = unit(packet);
        assert_eq!(Publish::decode(unit.flags, unit.body, RULE, VERSION), Ok(publish));
        assert_eq!(encoded(|out| publish.encode(out)), packet);
    }
    // [MQTT-3.3.1-2]
    assert_eq!(Publish::first_byte(Class::AtMostOnce, true, false), 0x30);
}

#[test]
fn acknowledgements() {
    for (first, ack_type) in
        [(0x40, AckType::Puback), (0x50, AckType::Pubrec), (0x62, AckType::Pubrel), (0x70, AckType::Pubcomp)]
    {
        let ack = Ack { ack_type, packet_id: id(0x1234) };
        assert_eq!(ack.encode(), [first, 2, 0x12, 0x34]);
        assert_eq!(Ack::decode(ack_type, unit(&ack.encode()).body), Ok(ack));
        assert_eq!(unit(&ack.encode()).packet_type, ack_type.packet_type());
    }
}

//= mqtt-3.1.1 [MQTT-3.9.3-2]
/// Figure 3.23.
#[test]
fn subscribe_and_its_answer() {
    let packet = b"\x82\x0e\0\x0a\0\x03a/b\x01\0\x03c/d\x02";
    let entry = |filter, class_max| SubscribeEntry::new(Filter::new(filter).unwrap(), class_max);
    let subscribe = Subscribe {
        packet_id: id(10),
        properties: None,
        entries: vec![entry(b"a/b", Class::AtLeastOnce), entry(b"c/d", Class::ExactlyOnce)],
    };
    assert_eq!(Subscribe::decode(unit(packet).body, 2, RULE, VERSION), Ok(subscribe.clone()));
    assert_eq!(encoded(|out| subscribe.encode(out)), packet);

    let packet = b"\x90\x06\0\x0a\0\x01\x02\x80";
    let return_codes = vec![
        SubscribeReturnCode::Granted(Class::AtMostOnce),
        SubscribeReturnCode::Granted(Class::AtLeastOnce),
        SubscribeReturnCode::Granted(Class::ExactlyOnce),
        SubscribeReturnCode::Failure,
    ];
    let suback = Suback { packet_id: id(10), return_codes };
    assert_eq!(Suback::decode(unit(packet).body), Ok(suback.clone()));
    assert_eq!(encoded(|out| suback.encode(out)), packet);
    assert!(Suback::decode(b"\0\x0a\x03").is_err());
}

//= mqtt-3.1.1 [MQTT-3.10.3-1]
/// Figure 3.30.
#[test]
fn unsubscribe_and_its_answer() {
    let packet = b"\xa2\x0c\0\x0a\0\x03a/b\0\x03c/d";
    let filters = vec![Filter::new(b"a/b").unwrap(), Filter::new(b"c/d").unwrap()];
    let unsubscribe = Unsubscribe { packet_id: id(10), properties: None, filters };
    assert_eq!(Unsubscribe::decode(unit(packet).body, 2, RULE, VERSION), Ok(unsubscribe.clone()));
    assert_eq!(encoded(|out| unsubscribe.encode(out)), packet);
    let unsuback = Unsuback { packet_id: id(10) };
    assert_eq!(unsuback.encode(), [0xB0, 2, 0, 10]);
    assert_eq!(Unsuback::decode(&[0, 10]), Ok(unsuback));
}

#[test]
fn packets_without_a_body() {
    assert_eq!(Pingreq.encode(), [0xC0, 0]);
    assert_eq!(Pingresp.encode(), [0xD0, 0]);
    assert_eq!(Disconnect.encode(), [0xE0, 0]);
    assert!(
        Pingreq::decode(&[0]).is_err()
            && Pingresp::decode(&[0]).is_err()
            && Disconnect::decode(&[0]).is_err()
    );
}

//= mqtt-3.1.1 [MQTT-2.2.2-1]
/// Table 2.2.
#[test]
fn flags_of_each_type() {
    for number in 1..=14 {
        let packet_type = PacketType::from_number(number, VERSION).unwrap();
        let allowed: Vec<u8> = (0..16).filter(|&flags| packet_type.allows_flags(VERSION, flags)).collect();
        match packet_type {
            PacketType::Publish | PacketType::Connect => assert_eq!(allowed.len(), 16),
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => assert_eq!(allowed, [2]),
            _ => assert_eq!(allowed, [0]),
        }
    }
    assert!(PacketType::from_number(0, VERSION).is_none() && PacketType::from_number(15, VERSION).is_none());
}
