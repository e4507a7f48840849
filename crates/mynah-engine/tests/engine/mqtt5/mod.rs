//! What MQTT 5.0 demands of a broker, with the stack and engines of several workers: whatever needs sessions,
//! subscriptions, retained values, time or several clients. What one connection shows is tested with the stack.

mod authentication;
mod endings;
mod expiry;
mod flow;
mod messages;
mod order;
mod queues;
mod retained;
mod sharing;
mod subscriptions;
mod wills;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use mynah_model::{Class, Filter, Limits, Topic};
use mynah_mqtt::framing::{Unit, next_unit};
use mynah_mqtt::wire::properties::{
    ConnectProperties, DisconnectProperties, Property, Section, SubscribeProperties, WillProperties,
};
use mynah_mqtt::wire::{
    AckType, AckV5, Auth, ConnackV5, Connect, DisconnectV5, PacketId, PacketType, Publish, ReasonCode,
    SubackV5, Subscribe, SubscribeEntry, TextRule, UnsubackV5, Unsubscribe, Will,
};
use mynah_mqtt::{Config, Mqtt, Settings, Version};

use crate::broker::{Broker, settings};

const RULE: TextRule = TextRule::AcceptDiscouraged;

fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// A CONNECT with a clean start, for a session that ends with its connection.
fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_session: true,
        keep_alive: 0,
        properties: ConnectProperties::default(),
        client_id,
        will: None,
        user_name: None,
        password: None,
    }
}

/// A CONNECT for a session that is resumed, and outlives its connection for so many seconds.
fn resume(client_id: &str, expiry: u32) -> Connect<'_> {
    let properties =
        ConnectProperties { session_expiry_interval: Some(expiry), ..ConnectProperties::default() };
    Connect { clean_session: false, properties, ..connect(client_id) }
}

/// The same with a bound on the deliveries at a time.
fn receiving<'b>(connect: Connect<'b>, maximum: u16) -> Connect<'b> {
    let properties = ConnectProperties { receive_maximum: NonZeroU16::new(maximum), ..connect.properties };
    Connect { properties, ..connect }
}

/// The same with a will `bye` on `will/t`.
fn willing<'b>(connect: Connect<'b>, qos: u8, retain: bool, properties: WillProperties<'b>) -> Connect<'b> {
    let (topic, class) = (Topic::new(b"will/t").unwrap(), Class::from_number(qos).unwrap());
    Connect { will: Some(Will { topic, message: b"bye", class, retain, properties }), ..connect }
}

/// A PUBLISH, whose identifier counts above QoS 0.
fn publish(topic: &str, qos: u8, id: u16, payload: &str) -> Vec<u8> {
    publish_with(topic, qos, id, payload, &[])
}

fn publish_with(topic: &str, qos: u8, id: u16, payload: &str, properties: &[Property<'_>]) -> Vec<u8> {
    let section = encoded(|out| properties.iter().for_each(|property| property.encode(out)));
    let class = Class::from_number(qos).unwrap();
    let publish = Publish {
        dup: false,
        class,
        retain: false,
        topic: Topic::from_checked(topic.as_bytes()),
        packet_id: class.is_confirmed().then(|| packet_id(id)),
        properties: Some(Section::from_checked(&section)),
        payload: payload.as_bytes(),
    };
    encoded(|out| publish.encode(out))
}

/// A PUBLISH that the server is to retain.
fn retain(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 1;
    publish
}

/// A PUBLISH that may have been sent before.
fn again(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 8;
    publish
}

fn ack(ack_type: AckType, id: u16, code: u8) -> Vec<u8> {
    let ack = AckV5::new(ack_type, packet_id(id), ReasonCode::from_number(code).unwrap());
    encoded(|out| assert!(ack.encode(usize::MAX, out)))
}

fn puback(id: u16) -> Vec<u8> {
    ack(AckType::Puback, id, 0)
}

fn pubrec(id: u16) -> Vec<u8> {
    ack(AckType::Pubrec, id, 0)
}

fn pubrel(id: u16) -> Vec<u8> {
    ack(AckType::Pubrel, id, 0)
}

fn pubcomp(id: u16) -> Vec<u8> {
    ack(AckType::Pubcomp, id, 0)
}

/// A DISCONNECT that may change how long the session outlives it.
fn disconnect(code: u8, session_expiry_interval: Option<u32>) -> Vec<u8> {
    let properties = DisconnectProperties { session_expiry_interval, ..DisconnectProperties::default() };
    let packet = DisconnectV5 { reason_code: ReasonCode::from_number(code).unwrap(), properties };
    encoded(|out| assert!(packet.encode(usize::MAX, out)))
}

/// One filter of a SUBSCRIBE.
fn entry(filter: &str, qos: u8) -> SubscribeEntry<'_> {
    SubscribeEntry::new(Filter::new(filter.as_bytes()).unwrap(), Class::from_number(qos).unwrap())
}

/// A broker that speaks MQTT, with its clients.
struct World(Broker);

impl World {
    /// Three workers.
    fn new() -> Self {
        Self::with(3, Settings::default(), Limits::default())
    }

    fn with(workers: u16, mqtt: Settings, limits: Limits) -> Self {
        let mut settings = settings(workers, limits);
        let config = Config::new(mqtt).unwrap();
        for listener in &mut settings.listeners {
            listener.protocol = Arc::new(Mqtt::new(config.clone()));
        }
        settings.sys_interval = Some(Duration::from_secs(10));
        Self(Broker::with(settings))
    }

    /// A client that is let in, and what it hears: CONNACK first.
    fn open(&mut self, connect: &Connect<'_>) -> (usize, Vec<String>) {
        let peer = self.0.accept(0);
        let heard = self.say(peer, &encoded(|out| connect.encode(out)));
        assert!(heard[0].starts_with("CONNACK 00"), "{heard:?}");
        (peer, heard)
    }

    /// A client that is let in and hears nothing else.
    fn connect(&mut self, connect: &Connect<'_>) -> usize {
        let (peer, heard) = self.open(connect);
        assert_eq!(heard.len(), 1, "{heard:?}");
        peer
    }

    /// A client with a session that ends with its connection.
    fn client(&mut self, id: &str) -> usize {
        self.connect(&connect(id))
    }

    /// Such a client, that has subscribed.
    fn subscriber(&mut self, id: &str, entries: &[SubscribeEntry<'_>]) -> usize {
        let peer = self.client(id);
        assert_eq!(self.subscribe(peer, 0, entries), [""; 0]);
        peer
    }

    /// Subscribes with this identifier, or none if it is 0. Returns what comes behind the SUBACK.
    fn subscribe(&mut self, peer: usize, id: u32, entries: &[SubscribeEntry<'_>]) -> Vec<String> {
        let properties = Some(SubscribeProperties {
            subscription_identifier: NonZeroU32::new(id),
            ..SubscribeProperties::default()
        });
        let subscribe = Subscribe { packet_id: packet_id(99), properties, entries: entries.to_vec() };
        let mut heard = self.say(peer, &encoded(|out| subscribe.encode(out)));
        let codes: String =
            entries.iter().map(|entry| format!(" {:02x}", entry.class_max.number())).collect();
        assert_eq!(heard.remove(0), format!("SUBACK 99{codes}"));
        heard
    }

    fn unsubscribe(&mut self, peer: usize, filter: &str) {
        let filters = vec![Filter::new(filter.as_bytes()).unwrap()];
        let unsubscribe =
            Unsubscribe { packet_id: packet_id(98), properties: Some(Default::default()), filters };
        assert_eq!(self.say(peer, &encoded(|out| unsubscribe.encode(out))), ["UNSUBACK 98 00"]);
    }

    /// What a client hears in answer to these bytes, packet by packet.
    fn say(&mut self, peer: usize, bytes: &[u8]) -> Vec<String> {
        self.0.send(peer, bytes);
        self.0.settle();
        self.hear(peer)
    }

    /// What a client has heard since it was last asked.
    fn hear(&mut self, peer: usize) -> Vec<String> {
        let bytes = self.0.hear_bytes(peer);
        let mut input = &bytes[..];
        let mut packets = Vec::new();
        while let Some(unit) = next_unit(&mut input, Version::V5, usize::MAX).unwrap() {
            packets.push(shown(unit));
        }
        assert!(input.is_empty(), "half a packet");
        packets
    }

    fn wait(&mut self, seconds: u64) {
        self.0.advance(Duration::from_secs(seconds));
    }
}

/// A packet of the server in words, such as `PUBACK 1 00` or `q1 #2 retain t/x=payload id=3`. Reasons in words and what
/// every CONNACK says of the server are left out.
fn shown(unit: Unit<'_>) -> String {
    let body = unit.body;
    let codes = |codes: &[ReasonCode]| -> String {
        codes.iter().map(|code| format!(" {:02x}", code.number())).collect()
    };
    let ack = |name: &str, ack_type| {
        let ack = AckV5::decode(ack_type, body, RULE).unwrap();
        format!("{name} {}{}", ack.ack.packet_id.number(), codes(&[ack.reason_code]))
    };
    match unit.packet_type {
        PacketType::Connack => shown_connack(body),
        PacketType::Publish => shown_publish(unit),
        PacketType::Puback => ack("PUBACK", AckType::Puback),
        PacketType::Pubrec => ack("PUBREC", AckType::Pubrec),
        PacketType::Pubrel => ack("PUBREL", AckType::Pubrel),
        PacketType::Pubcomp => ack("PUBCOMP", AckType::Pubcomp),
        PacketType::Suback => {
            let suback = SubackV5::decode(body, RULE).unwrap();
            format!("SUBACK {}{}", suback.packet_id.number(), codes(&suback.reason_codes))
        }
        PacketType::Unsuback => {
            let unsuback = UnsubackV5::decode(body, RULE).unwrap();
            format!("UNSUBACK {}{}", unsuback.packet_id.number(), codes(&unsuback.reason_codes))
        }
        PacketType::Pingresp => "PINGRESP".to_owned(),
        PacketType::Disconnect => {
            let packet = DisconnectV5::decode(body, RULE).unwrap();
            let server = packet.properties.server_reference.map_or(String::new(), |s| format!(" {s}"));
            format!("DISCONNECT{}{server}", codes(&[packet.reason_code]))
        }
        PacketType::Auth => {
            let auth = Auth::decode(body, RULE).unwrap();
            format!("AUTH{}{}", codes(&[auth.reason_code]), shown_exchange(auth.properties.iter()))
        }
        other => panic!("a server sends no {other:?}"),
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn shown_connack(body: &[u8]) -> String {
    let connack = ConnackV5::decode(body, RULE).unwrap();
    let session = if connack.session_present { "present" } else { "new" };
    let properties = connack.properties;
    let mut text = format!("CONNACK {:02x} {session}", connack.reason_code.number());
    for (name, number) in [
        ("expiry", properties.session_expiry_interval),
        ("keep-alive", properties.server_keep_alive.map(u32::from)),
        ("receive", properties.receive_maximum.map(|n| n.get().into()).filter(|&n: &u32| n != 1_024)),
    ] {
        text.extend(number.map(|number| format!(" {name}={number}")));
    }
    text + &shown_exchange(properties.iter())
}

fn shown_exchange<'b>(properties: impl Iterator<Item = Property<'b>>) -> String {
    let said = properties.filter_map(|property| match property {
        Property::AuthenticationMethod(method) => Some(format!(" {method}")),
        Property::AuthenticationData(data) => Some(format!(" {}", lossy(data))),
        _ => None,
    });
    said.collect()
}

fn shown_publish(unit: Unit<'_>) -> String {
    let publish = Publish::decode(unit.flags, unit.body, RULE, Version::V5).unwrap();
    let mut text = format!("q{}", publish.class.number());
    text.extend(publish.packet_id.map(|id| format!(" #{}", id.number())));
    for (mark, is_set) in [(" dup", publish.dup), (" retain", publish.retain)] {
        text.push_str(if is_set { mark } else { "" });
    }
    text += &format!(" {}={}", lossy(publish.topic.as_bytes()), lossy(publish.payload));
    for property in publish.section().iter() {
        text += &match property {
            Property::SubscriptionIdentifier(id) => format!(" id={id}"),
            Property::TopicAlias(alias) => format!(" alias={alias}"),
            Property::MessageExpiryInterval(seconds) => format!(" expiry={seconds}"),
            Property::UserProperty((name, value)) => format!(" {name}:{value}"),
            Property::ContentType(content) => format!(" type={content}"),
            Property::ResponseTopic(topic) => format!(" reply={topic}"),
            Property::CorrelationData(data) => format!(" correlation={}", lossy(data)),
            Property::PayloadFormatIndicator(is_text) => format!(" text={is_text}"),
            other => panic!("no property of PUBLISH: {other:?}"),
        };
    }
    text
}
