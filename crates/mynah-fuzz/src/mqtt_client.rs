//! A client of MQTT under a script: a server that says anything, a program that asks for anything, links that break. What
//! the client writes is always packets that this server takes, and no more of them wait than it was allowed.

use core::num::NonZeroU16;
use core::time::Duration;

use std::collections::{BTreeMap, BTreeSet};

use mynah_model::{Class, Instant, SubscriptionId};
use mynah_mqtt::Version;
use mynah_mqtt::client::{
    Authentication, Client, MessageProperties, Options, OptionsV5, Publication, Subscription, UserPairs,
};
use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::{AckType, AckV5, PacketId, PacketType, Publish, TextRule};

use crate::script::Script;

/// Publications and requests that a client may have waiting.
const IN_FLIGHT_MAX: u16 = 4;

/// Events that a client keeps for its program.
const EVENTS_MAX: usize = 4;

/// Topics for which the client uses an alias.
const GIVEN_ALIASES_MAX: u16 = 2;

/// CONNACK of MQTT 5.0: of a server that sets no terms, and of one that takes one publication at a time, packets of 40
/// bytes, three topic aliases, and QoS 1 and no retained messages.
const CONNACKS_V5: [&[u8]; 3] = [
    b"\x20\x03\0\0\0",
    b"\x20\x03\x01\0\0",
    b"\x20\x12\0\0\x0f\x21\0\x01\x27\0\0\0\x28\x22\0\x03\x24\x01\x25\0",
];

/// Bytes of the largest packet that the server may send.
const PACKET_BYTES_MAX: usize = 256;

/// Carries out `data`: a byte of settings, then a script.
///
/// # Panics
/// If the client writes what is no packet, or keeps more than it may.
pub fn mqtt_client(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let version = match flags & 3 {
        0 => Version::V3_1,
        1 => Version::V3_1_1,
        _ => Version::V5,
    };
    let client = Client::new(options(version, flags)).unwrap();
    let mut run = Run {
        client,
        version,
        now: Instant::ZERO,
        aliases: BTreeMap::new(),
        unacknowledged: BTreeSet::new(),
    };
    run.connect();
    while !script.is_empty() {
        run.act(&mut script);
        run.check();
    }
}

fn options(version: Version, flags: u8) -> Options {
    let v5 = OptionsV5 {
        session_expiry: 60,
        receive_max: NonZeroU16::new(2).unwrap(),
        topic_alias_max: 2,
        given_aliases_max: GIVEN_ALIASES_MAX,
        authentication: (flags & 0x20 != 0).then(|| Authentication { method: "m".into(), data: None }),
        ..OptionsV5::default()
    };
    Options {
        version,
        clean_session: flags & 0x10 != 0,
        packet_bytes_max: PACKET_BYTES_MAX,
        in_flight_max: IN_FLIGHT_MAX,
        events_max: EVENTS_MAX,
        v5,
        ..Options::new("p")
    }
}

struct Run {
    client: Client,
    version: Version,
    now: Instant,
    /// What the client has named to this server.
    aliases: BTreeMap<NonZeroU16, Vec<u8>>,
    /// Publications of QoS 1 and 2 on this connection that the server has not acknowledged to the end.
    unacknowledged: BTreeSet<PacketId>,
}

impl Run {
    fn connect(&mut self) {
        self.client.connect(self.now);
        self.aliases.clear();
        self.unacknowledged.clear();
        assert_eq!(self.packets(), [PacketType::Connect]);
    }

    fn act(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.below(12) {
            0..5 => self.hear(script.piece(64)),
            5 if self.version == Version::V5 => {
                self.hear(CONNACKS_V5[usize::from(script.below(3))]);
            }
            5 => self.hear(b"\x20\x02\0\0"),
            6 => drop(self.client.poll_event()),
            7 => self.publish(script),
            8 => {
                let class = Class::from_number(script.byte() & 3).unwrap_or_default();
                let filter = text(script);
                let _ = self.client.subscribe(now, &[(&filter, class)]);
                let (number, user) = (SubscriptionId::new(u32::from(script.byte())), UserPairs::new());
                let _ = self.client.subscribe_with(now, &[Subscription::new(&filter, class)], number, &user);
                let _ = self.client.unsubscribe(now, &[&filter]);
            }
            9 => {
                let _ = self.client.authenticate(now, script.piece(8));
            }
            10 => {
                self.now = now + Duration::from_millis(100 * u64::from(script.number()));
                self.client.handle_timeout(self.now);
            }
            _ => match script.below(4) {
                0 => self.client.disconnect(now),
                1 => self.client.handle_end(),
                2 => {
                    self.check();
                    self.connect();
                }
                _ => {
                    let _ = self.client.ping(now);
                }
            },
        }
    }

    /// The client reads, packet by packet where there are packets.
    fn hear(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(unit)) = next_unit(&mut { bytes }, self.version, usize::MAX) {
            let mut rest = bytes;
            let _ = next_unit(&mut rest, self.version, usize::MAX);
            let mut packet = &bytes[..bytes.len() - rest.len()];
            self.client.handle_input(self.now, &mut packet);
            if packet.is_empty() {
                self.note_heard(unit);
            }
            self.check();
            bytes = rest;
        }
        self.client.handle_input(self.now, &mut bytes);
    }

    /// A publication that the server is done with makes room for another.
    fn note_heard(&mut self, unit: Unit<'_>) {
        let (ack_type, ends) = match unit.packet_type {
            PacketType::Puback => (AckType::Puback, true),
            PacketType::Pubrec => (AckType::Pubrec, false),
            PacketType::Pubcomp => (AckType::Pubcomp, true),
            _ => return,
        };
        if let Ok(ack) = AckV5::decode(ack_type, unit.body, TextRule::AcceptDiscouraged)
            && (ends || ack.reason_code.is_failure())
        {
            self.unacknowledged.remove(&ack.ack.packet_id);
        }
    }

    /// A PUBLISH is one that the server has said that it takes.
    fn check_publish(&mut self, unit: Unit<'_>) {
        let terms = *self.client.terms();
        let publish =
            Publish::decode(unit.flags, unit.body, TextRule::AcceptDiscouraged, self.version).unwrap();
        assert!(publish.class <= terms.class_max && (terms.retain || !publish.retain));
        assert!(publish.check_from_client().is_ok());
        self.unacknowledged.extend(publish.packet_id);
        assert!(self.unacknowledged.len() <= usize::from(terms.receive_max), "more than the server takes");
        let topic = publish.topic.as_bytes();
        let Some(alias) = publish.topic_alias() else { return assert!(!topic.is_empty()) };
        assert!(alias.get() <= terms.topic_alias_max.min(GIVEN_ALIASES_MAX));
        if topic.is_empty() {
            assert!(self.aliases.contains_key(&alias), "an alias that stands for nothing");
        } else {
            self.aliases.insert(alias, topic.to_vec());
        }
    }

    fn publish(&mut self, script: &mut Script<'_>) {
        let class = Class::from_number(script.byte() & 3).unwrap_or_default();
        let bits = script.byte();
        let (topic, content_type) = (text(script), text(script));
        let properties = &MessageProperties {
            content_type: (bits & 2 != 0).then(|| content_type.into()),
            ..MessageProperties::default()
        };
        let payload = script.piece(32);
        let publication = Publication { topic: &topic, payload, class, retain: bits & 1 != 0, properties };
        let _ = self.client.publish_with(self.now, &publication);
    }

    /// The packets that the client has written.
    fn packets(&mut self) -> Vec<PacketType> {
        let bytes = self.client.outbound().drain();
        let mut input = bytes.as_slice();
        let mut packets = Vec::new();
        let packet_bytes_max = self.client.terms().packet_bytes_max;
        while let Some(unit) = next_unit(&mut input, self.version, packet_bytes_max).unwrap() {
            if unit.packet_type == PacketType::Publish {
                self.check_publish(unit);
            }
            packets.push(unit.packet_type);
        }
        assert!(input.is_empty(), "half a packet");
        packets
    }

    fn check(&mut self) {
        let server_only =
            [PacketType::Connack, PacketType::Suback, PacketType::Unsuback, PacketType::Pingresp];
        assert!(self.packets().iter().all(|packet| !server_only.contains(packet)));
        assert!(self.client.in_flight() <= usize::from(IN_FLIGHT_MAX));
        assert!(self.client.deadline().is_some() || self.client.is_closed() || self.client.is_open());
    }
}

fn text(script: &mut Script<'_>) -> String {
    String::from_utf8_lossy(script.piece(16)).into_owned()
}
