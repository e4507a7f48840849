//! For all terms that a server of MQTT 5.0 may set: the client keeps them, and loses nothing over broken links.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use mynah_model::Class;
use mynah_mqtt::Version;
use mynah_mqtt::client::{Client, Options, OptionsV5};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::properties::ConnackProperties;
use mynah_mqtt::wire::{Ack, AckType, AckV5, PacketId, PacketType, Publish};
use proptest::prelude::*;

use crate::client_v5::{NOW, RULE, connack, hear, id, options};

/// A server with terms of its own, which it enforces. It keeps the session, answers when it is told to, and takes each
/// message of QoS 2 once.
#[derive(Debug)]
struct Server {
    receive_max: u16,
    packet_bytes_max: usize,
    alias_max: u16,
    aliases: BTreeMap<u16, Vec<u8>>,
    unreleased: BTreeSet<PacketId>,
    /// What counts against the Receive Maximum on this connection.
    counted: BTreeSet<PacketId>,
    answers: Vec<Vec<u8>>,
    seen: Vec<(Vec<u8>, u8)>,
}

impl Server {
    fn accept(&mut self, client: &mut Client, present: bool) {
        self.aliases.clear();
        self.counted.clear();
        self.answers.clear();
        client.handle_end();
        client.connect(NOW);
        client.outbound().drain();
        let said = ConnackProperties {
            receive_maximum: NonZeroU16::new(self.receive_max),
            maximum_packet_size: std::num::NonZeroU32::new(self.packet_bytes_max as u32),
            topic_alias_maximum: Some(self.alias_max),
            ..ConnackProperties::default()
        };
        hear(client, &connack(present, said));
        self.hear(client);
    }

    fn hear(&mut self, client: &mut Client) {
        let bytes = client.outbound().drain();
        let mut input = bytes.as_slice();
        while let Some(unit) = next_unit(&mut input, Version::V5, self.packet_bytes_max).unwrap() {
            match unit.packet_type {
                PacketType::Publish => {
                    let publish = Publish::decode(unit.flags, unit.body, RULE, Version::V5).unwrap();
                    self.publish(&publish);
                }
                PacketType::Pubrel => {
                    let id = AckV5::decode(AckType::Pubrel, unit.body, RULE).unwrap().ack.packet_id;
                    self.unreleased.remove(&id);
                    self.answers.push(Ack { ack_type: AckType::Pubcomp, packet_id: id }.encode().to_vec());
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(input.is_empty());
    }

    fn publish(&mut self, publish: &Publish<'_>) {
        let mut topic = publish.topic.as_bytes().to_vec();
        if let Some(alias) = publish.topic_alias() {
            assert!(alias.get() <= self.alias_max);
            if topic.is_empty() {
                topic = self.aliases[&alias.get()].clone();
            } else {
                self.aliases.insert(alias.get(), topic.clone());
            }
        }
        let Some(packet_id) = publish.packet_id else {
            self.seen.push((topic, publish.payload[0]));
            return;
        };
        self.counted.insert(packet_id);
        assert!(self.counted.len() <= usize::from(self.receive_max), "{self:?}");
        let is_new = publish.class == Class::AtLeastOnce || self.unreleased.insert(packet_id);
        if is_new {
            self.seen.push((topic, publish.payload[0]));
        }
        let ack_type = if publish.class == Class::AtLeastOnce { AckType::Puback } else { AckType::Pubrec };
        self.answers.push(Ack { ack_type, packet_id }.encode().to_vec());
    }

    /// Gives the oldest answer.
    fn answer(&mut self, client: &mut Client) {
        if self.answers.is_empty() {
            return;
        }
        let answer = self.answers.remove(0);
        if answer[0] != 0x50 {
            self.counted.remove(&id(u16::from_be_bytes([answer[2], answer[3]])));
        }
        hear(client, &answer);
        self.hear(client);
    }
}

proptest! {
    //= mqtt-5.0 [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9] [MQTT-3.3.4-7] [MQTT-4.3.3-1] [MQTT-4.6.0-1]
    /// Whatever a server allows, no more is sent, and with QoS 2 all arrives once and in order over broken links.
    #[test]
    fn terms_are_kept_and_nothing_is_lost(
        terms in prop::collection::vec((1..5u16, 0..4u16), 1..4),
        steps in prop::collection::vec((0..8u8, 0..5u8), 0..80),
    ) {
        let v5 = OptionsV5 { session_expiry: 60, given_aliases_max: 3, ..OptionsV5::default() };
        let mut client = Client::new(Options { clean_session: false, v5, ..options() }).unwrap();
        let mut server = Server {
            receive_max: terms[0].0,
            packet_bytes_max: 40,
            alias_max: terms[0].1,
            aliases: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            counted: BTreeSet::new(),
            answers: Vec::new(),
            seen: Vec::new(),
        };
        server.accept(&mut client, false);
        let mut published = Vec::new();
        let mut cuts = 0;
        for (step, which) in steps {
            match step {
                0..4 => {
                    let topic = format!("topic/{which}");
                    let payload = published.len() as u8;
                    client.publish(NOW, &topic, &[payload], Class::ExactlyOnce, false).unwrap();
                    published.push((topic.into_bytes(), payload));
                    server.hear(&mut client);
                }
                4..7 => server.answer(&mut client),
                _ => {
                    cuts += 1;
                    (server.receive_max, server.alias_max) = terms[cuts % terms.len()];
                    server.accept(&mut client, true);
                }
            }
        }
        while !server.answers.is_empty() {
            server.answer(&mut client);
        }
        prop_assert_eq!(server.seen, published);
        prop_assert_eq!(client.in_flight(), 0);
    }
}
