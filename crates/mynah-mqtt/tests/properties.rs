//! For all packets, and for all bytes.

use mynah_model::{Class, Filter, Instant, Topic};
use mynah_mqtt::client::{Client, Options};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::properties::{ConnectProperties, WillProperties};
use mynah_mqtt::wire::{
    Connect, PacketId, Publish, Subscribe, SubscribeEntry, TextRule, Unsubscribe, Will, check_text,
};
use mynah_mqtt::{Config, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::broker::{CONNACK, CONNECT, Server};
use crate::version_3_1;

const RULE: TextRule = TextRule::AcceptDiscouraged;

fn class() -> impl Strategy<Value = Class> {
    (0..3u8).prop_map(|number| Class::from_number(number).unwrap())
}

fn text(min: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), min..20).prop_map(|chars| chars.into_iter().filter(|&c| c != '\0').collect())
}

fn topic() -> impl Strategy<Value = String> {
    text(1).prop_map(|text| format!("t{}", text.replace(['+', '#'], "/")))
}

fn filter() -> impl Strategy<Value = String> {
    (topic(), prop_oneof![Just(""), Just("/+"), Just("/#"), Just("/+/#")])
        .prop_map(|(topic, tail)| format!("{topic}{tail}"))
}

/// Decodes what `encode` writes.
fn with_unit<T>(encode: impl FnOnce(&mut Vec<u8>), check: impl FnOnce(u8, &[u8]) -> T) -> T {
    let mut packet = Vec::new();
    encode(&mut packet);
    let mut input = packet.as_slice();
    let unit = next_unit(&mut input, Version::V3_1_1, packet.len()).unwrap().unwrap();
    assert!(input.is_empty());
    check(unit.flags, unit.body)
}

/// Bytes that look like packets often enough to get somewhere.
fn packet_like() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![
            0x10u8, 0x20, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0
        ])
    ];
    let body = vec(prop_oneof![0..4u8, any::<u8>()], 0..24);
    let packet = (first, body, -1..2i8).prop_map(|(first, body, skew)| {
        let len = (body.len() as u8).saturating_add_signed(skew);
        [&[first, len][..], &body].concat()
    });
    vec(packet, 0..8).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn connect_survives_the_wire(
        version in prop::sample::select(&Version::ALL),
        (clean_session, keep_alive, client_id) in (any::<bool>(), any::<u16>(), text(0)),
        will in prop::option::of((topic(), vec(any::<u8>(), 0..40), class(), any::<bool>())),
        credentials in prop::option::of((text(0), prop::option::of(vec(any::<u8>(), 0..40)))),
    ) {
        let connect = Connect {
            version,
            clean_session,
            keep_alive,
            properties: ConnectProperties::default(),
            client_id: &client_id,
            will: will.as_ref().map(|(topic, message, class, retain)| Will {
                topic: Topic::new(topic.as_bytes()).unwrap(),
                message,
                class: *class,
                retain: *retain,
                properties: WillProperties::default(),
            }),
            user_name: credentials.as_ref().map(|(user, _)| user.as_str()),
            password: credentials.as_ref().and_then(|(_, password)| password.as_deref()),
        };
        let decoded = with_unit(|out| connect.encode(out), |flags, body| Connect::decode(flags, body, RULE) == Ok(connect));
        prop_assert!(decoded);
    }

    #[test]
    fn publish_survives_the_wire(
        (dup, retain, class, number) in (any::<bool>(), any::<bool>(), class(), 1..=u16::MAX),
        topic in topic(),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let publish = Publish {
            dup: dup && class.is_confirmed(),
            class,
            retain,
            topic: Topic::new(topic.as_bytes()).unwrap(),
            packet_id: PacketId::new(number).filter(|_| class.is_confirmed()),
            properties: None,
            payload: &payload,
        };
        let decoded =
            with_unit(|out| publish.encode(out), |flags, body| Publish::decode(flags, body, RULE, Version::V3_1_1) == Ok(publish));
        prop_assert!(decoded);
    }

    #[test]
    fn requests_survive_the_wire(filters in vec((filter(), class()), 1..9), number in 1..=u16::MAX) {
        let packet_id = PacketId::new(number).unwrap();
        let entries: Vec<_> = filters
            .iter()
            .map(|(f, class_max)| SubscribeEntry::new(Filter::new(f.as_bytes()).unwrap(), *class_max))
            .collect();
        let unsubscribe = Unsubscribe { packet_id, properties: None, filters: entries.iter().map(|entry| entry.filter).collect() };
        let subscribe = Subscribe { packet_id, properties: None, entries };
        prop_assert!(with_unit(
            |out| subscribe.encode(out),
            |_, body| Subscribe::decode(body, 9, RULE, Version::V3_1_1).as_ref() == Ok(&subscribe)
        ));
        prop_assert!(with_unit(
            |out| unsubscribe.encode(out),
            |_, body| Unsubscribe::decode(body, 9, RULE, Version::V3_1_1).as_ref() == Ok(&unsubscribe)
        ));
    }

    /// The plain pass agrees with the definition, character by character.
    #[test]
    fn text_is_checked_as_it_is_defined(bytes in vec(prop_oneof![any::<u8>(), 0x1e..0x24u8, 0x7d..0x82u8], 0..8)) {
        let expected = std::str::from_utf8(&bytes).is_ok_and(|text| {
            text.chars().all(|c| {
                let code = c as u32;
                code > 0x1f && !(0x7f..=0x9f).contains(&code) && (code & 0xfffe) != 0xfffe
                    && !(0xfdd0..=0xfdef).contains(&code)
            })
        });
        prop_assert_eq!(check_text(&bytes, TextRule::RefuseDiscouraged).is_ok(), expected);
    }

    #[test]
    fn a_server_survives_any_bytes(bytes in packet_like(), opened in 0..3) {
        let mut server = Server::new(&Config::default(), Instant::ZERO);
        match opened {
            0 => {}
            1 => assert_eq!(server.hear(Instant::ZERO, CONNECT), CONNACK),
            _ => assert_eq!(server.hear(Instant::ZERO, version_3_1::CONNECT), CONNACK),
        }
        server.hear(Instant::ZERO, &bytes);
        if server.closed.is_some() {
            prop_assert_eq!(server.hear(Instant::ZERO, CONNECT), b"");
        }
    }

    #[test]
    fn a_client_survives_any_bytes(
        bytes in packet_like(),
        opened in any::<bool>(),
        version in prop::sample::select(&[Version::V3_1, Version::V3_1_1]),
    ) {
        let mut client = Client::new(Options { version, ..Options::new("c") }).unwrap();
        client.connect(Instant::ZERO);
        if opened {
            client.handle_input(Instant::ZERO, &mut &b"\x20\x02\0\0"[..]);
            client.publish(Instant::ZERO, "a", b"", Class::AtLeastOnce, false).unwrap();
            client.publish(Instant::ZERO, "a", b"", Class::ExactlyOnce, false).unwrap();
            client.subscribe(Instant::ZERO, &[("#", Class::ExactlyOnce)]).unwrap();
        }
        client.handle_input(Instant::ZERO, &mut bytes.as_slice());
        while client.poll_event().is_some() {}
        prop_assert!(client.in_flight() <= 3);
    }
}
