//! What a server of MQTT 5.0 wrote, held to what its client said that it takes.

use std::collections::BTreeMap;

use core::num::{NonZeroU16, NonZeroU32};

use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::properties::{Property, PropertyId};
use mynah_mqtt::wire::{
    AckType, AckV5, Auth, ConnackV5, Connect, DisconnectV5, PacketId, PacketType, Publish, ReasonCode,
    SubackV5, TextRule, UnsubackV5,
};
use mynah_mqtt::{Settings, Version};

const RULE: TextRule = TextRule::AcceptDiscouraged;

/// What a client said in CONNECT, and the aliases that it has been given since.
#[derive(Debug)]
pub(super) struct Client {
    packet_bytes_max: usize,
    topic_alias_max: u16,
    takes_explanations: bool,
    has_method: bool,
    aliases: BTreeMap<NonZeroU16, Vec<u8>>,
    has_left: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            packet_bytes_max: usize::MAX,
            topic_alias_max: 0,
            takes_explanations: true,
            has_method: false,
            aliases: BTreeMap::new(),
            has_left: false,
        }
    }
}

/// A packet by its type, with its identifier and its codes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) packet_type: PacketType,
    pub(super) id: u16,
    pub(super) codes: Vec<ReasonCode>,
}

impl Client {
    /// The client that says this in CONNECT. What is no CONNECT to a server with these settings says nothing.
    pub(super) fn new(mut input: &[u8], settings: &Settings) -> Self {
        let unit = next_unit(&mut input, Version::V5, settings.connect_packet_bytes_max).ok().flatten();
        let connect = unit.and_then(|unit| Connect::decode(unit.flags, unit.body, settings.text_rule).ok());
        let Some(connect) = connect else { return Self::default() };
        let said = connect.properties;
        Self {
            packet_bytes_max: said
                .maximum_packet_size
                .map_or(usize::MAX, |max: NonZeroU32| max.get() as usize),
            topic_alias_max: said.topic_alias_maximum.unwrap_or(0),
            takes_explanations: said.request_problem_information.unwrap_or(true),
            has_method: said.authentication_method.is_some(),
            ..Self::default()
        }
    }

    /// Whether a packet of so many bytes may be sent.
    pub(super) fn takes(&self, packet_bytes: usize) -> bool {
        packet_bytes <= self.packet_bytes_max
    }

    /// Whether the client may be sent topic aliases.
    pub(super) fn has_aliases(&self) -> bool {
        self.topic_alias_max > 0
    }

    /// Checks packets, and notes what they say.
    pub(super) fn check(&mut self, mut written: &[u8]) -> Vec<Written> {
        let mut packets = Vec::new();
        while !written.is_empty() {
            assert!(!self.has_left, "DISCONNECT, or a refusal, is the last packet");
            let before = written.len();
            let unit = next_unit(&mut written, Version::V5, usize::MAX).unwrap().expect("whole packets");
            assert!(self.takes(before - written.len()), "{:?} is too large for the client", unit.packet_type);
            packets.push(self.check_packet(unit));
        }
        packets
    }

    fn check_packet(&mut self, unit: Unit<'_>) -> Written {
        let (body, packet_type) = (unit.body, unit.packet_type);
        let mut properties = Vec::new();
        let (id, codes) = match packet_type {
            PacketType::Connack => {
                let connack = ConnackV5::decode(body, RULE).unwrap();
                self.has_left = connack.reason_code != ReasonCode::Success;
                let named = connack.properties.authentication_method.is_some();
                assert!(self.has_method || !named, "a method that the client did not name");
                (0, vec![connack.reason_code])
            }
            PacketType::Publish => self.check_publish(&unit),
            PacketType::Suback => {
                let suback = SubackV5::decode(body, RULE).unwrap();
                properties.extend(suback.properties.iter().map(|property| property.id()));
                (suback.packet_id.number(), suback.reason_codes)
            }
            PacketType::Unsuback => {
                let unsuback = UnsubackV5::decode(body, RULE).unwrap();
                properties.extend(unsuback.properties.iter().map(|property| property.id()));
                (unsuback.packet_id.number(), unsuback.reason_codes)
            }
            PacketType::Pingresp => (0, Vec::new()),
            PacketType::Disconnect => {
                self.has_left = true;
                let code = DisconnectV5::decode(body, RULE).unwrap().reason_code;
                let is_client_s = matches!(code, ReasonCode::Success | ReasonCode::DisconnectWithWill);
                assert!(!is_client_s, "a server says why it leaves");
                (0, vec![code])
            }
            PacketType::Auth => {
                let auth = Auth::decode(body, RULE).unwrap();
                assert!(self.has_method && auth.properties.authentication_method.is_some());
                assert_ne!(auth.reason_code, ReasonCode::ReAuthenticate);
                properties.extend(auth.properties.iter().map(|property| property.id()));
                (0, vec![auth.reason_code])
            }
            ack => {
                let ack = AckV5::decode(ack_type(ack), body, RULE).unwrap();
                properties.extend(ack.properties.iter().map(|property| property.id()));
                (ack.ack.packet_id.number(), vec![ack.reason_code])
            }
        };
        let explains =
            properties.iter().any(|id| matches!(id, PropertyId::ReasonString | PropertyId::UserProperty));
        assert!(self.takes_explanations || !explains, "an explanation that was not wanted");
        Written { packet_type, id, codes }
    }

    /// An alias stands for the topic that it was given, and is none that the client does not take.
    fn check_publish(&mut self, unit: &Unit<'_>) -> (u16, Vec<ReasonCode>) {
        let publish = Publish::decode(unit.flags, unit.body, RULE, Version::V5).unwrap();
        let topic = publish.topic.as_bytes();
        if let Some(alias) = publish.topic_alias() {
            assert!(alias.get() <= self.topic_alias_max, "an alias that the client does not take");
            if !topic.is_empty() {
                self.aliases.insert(alias, topic.to_vec());
            }
            let named = self.aliases.get(&alias).expect("the alias was given before");
            assert_eq!(named, b"a/b", "all deliveries are of one topic");
        } else {
            assert_eq!(topic, b"a/b");
        }
        (publish.packet_id.map_or(0, PacketId::number), Vec::new())
    }
}

/// The identifiers of subscriptions in the first packet, which is a PUBLISH.
pub(super) fn subscription_ids(mut written: &[u8]) -> Vec<u32> {
    let unit = next_unit(&mut written, Version::V5, usize::MAX).unwrap().unwrap();
    let publish = Publish::decode(unit.flags, unit.body, RULE, Version::V5).unwrap();
    let id = |property| match property {
        Property::SubscriptionIdentifier(id) => Some(id.get()),
        _ => None,
    };
    publish.section().iter().filter_map(id).collect()
}

fn ack_type(packet_type: PacketType) -> AckType {
    match packet_type {
        PacketType::Puback => AckType::Puback,
        PacketType::Pubrec => AckType::Pubrec,
        PacketType::Pubrel => AckType::Pubrel,
        PacketType::Pubcomp => AckType::Pubcomp,
        other => panic!("a server sends no {other:?}"),
    }
}
