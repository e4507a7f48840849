//! What MQTT 3.1.1 demands of a broker, statement by statement, with the stack and engines of several workers: whatever
//! needs sessions, subscriptions, retained values or several clients. What one connection shows is tested with the stack.

mod messages;
mod queues;
mod sessions;
mod subscriptions;

use std::sync::Arc;

use mynah_model::{Class, Filter, Limits, Topic};
use mynah_mqtt::wire::{PacketId, Publish, Subscribe, SubscribeEntry, Unsubscribe};
use mynah_mqtt::{Config, Mqtt};

use crate::broker::{Broker, settings};

const CLEAN: u8 = 0x02;
/// CONNACK: accepted, without and with a session.
const NEW: &[u8] = b"\x20\x02\0\0";
const PRESENT: &[u8] = b"\x20\x02\x01\0";

fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A PUBLISH; the identifier counts above QoS 0.
fn publish(topic: &str, qos: u8, retain: bool, id: u16, payload: &str) -> Vec<u8> {
    packet(topic, qos, retain, false, id, payload)
}

/// A PUBLISH that may have been sent before.
fn again(topic: &str, qos: u8, id: u16, payload: &str) -> Vec<u8> {
    packet(topic, qos, false, true, id, payload)
}

fn packet(topic: &str, qos: u8, retain: bool, dup: bool, id: u16, payload: &str) -> Vec<u8> {
    let class = Class::from_number(qos).unwrap();
    let (topic, packet_id) =
        (Topic::new(topic.as_bytes()).unwrap(), class.is_confirmed().then(|| packet_id(id)));
    let mut out = Vec::new();
    Publish { dup, class, retain, topic, packet_id, properties: None, payload: payload.as_bytes() }
        .encode(&mut out);
    out
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte.
fn ack(first: u8, id: u8) -> Vec<u8> {
    vec![first, 2, 0, id]
}

/// A broker of three workers that speaks MQTT, with its clients.
struct World(Broker);

impl World {
    fn new() -> Self {
        let mut settings = settings(3, Limits::default());
        for listener in &mut settings.listeners {
            listener.protocol = Arc::new(Mqtt::new(Config::default()));
        }
        settings.sys_interval = Some(std::time::Duration::from_secs(10));
        Self(Broker::with(settings))
    }

    /// A client whose CONNECT is answered with this.
    fn connect(&mut self, connect: &[u8], answer: &[u8]) -> usize {
        let peer = self.0.accept(0);
        assert_eq!(self.say(peer, connect), answer);
        peer
    }

    /// A client with a clean session.
    fn client(&mut self, id: &str) -> usize {
        self.connect(&connect(CLEAN, id, b""), NEW)
    }

    /// A client with a clean session that has subscribed.
    fn subscriber(&mut self, id: &str, filters: &[(&str, u8)]) -> usize {
        let peer = self.client(id);
        self.subscribe(peer, filters);
        peer
    }

    /// Subscribes and returns what comes behind the SUBACK.
    fn subscribe(&mut self, peer: usize, filters: &[(&str, u8)]) -> Vec<u8> {
        let entry = |&(filter, qos): &(&'static str, u8)| {
            SubscribeEntry::new(Filter::new(filter.as_bytes()).unwrap(), Class::from_number(qos).unwrap())
        };
        let filters: Vec<(&'static str, u8)> =
            filters.iter().map(|&(filter, qos)| (&*filter.to_owned().leak(), qos)).collect();
        let mut out = Vec::new();
        Subscribe {
            packet_id: packet_id(99),
            properties: None,
            entries: filters.iter().map(entry).collect(),
        }
        .encode(&mut out);
        let heard = self.say(peer, &out);
        let codes = filters.iter().map(|&(_, qos)| qos);
        let suback: Vec<u8> = [0x90, 2 + filters.len() as u8, 0, 99].into_iter().chain(codes).collect();
        assert_eq!(heard[..suback.len()], suback);
        heard[suback.len()..].to_vec()
    }

    fn unsubscribe(&mut self, peer: usize, filters: &[&str]) {
        let filters = filters.iter().map(|filter| Filter::new(filter.as_bytes()).unwrap()).collect();
        let mut out = Vec::new();
        Unsubscribe { packet_id: packet_id(98), properties: None, filters }.encode(&mut out);
        assert_eq!(self.say(peer, &out), [0xB0, 2, 0, 98]);
    }

    /// What a client hears in answer to these bytes.
    fn say(&mut self, peer: usize, bytes: &[u8]) -> Vec<u8> {
        self.0.send(peer, bytes);
        self.0.settle();
        self.0.hear_bytes(peer)
    }

    fn hear(&mut self, peer: usize) -> Vec<u8> {
        self.0.hear_bytes(peer)
    }
}

/// A CONNECT with these flags and this identifier, and what follows it in the payload.
fn connect(flags: u8, id: &str, rest: &[u8]) -> Vec<u8> {
    let len = (12 + id.len() + rest.len()) as u8;
    let head = [&[0x10, len][..], b"\0\x04MQTT\x04", &[flags], b"\0\x3c\0", &[id.len() as u8], id.as_bytes()];
    [&head.concat()[..], rest].concat()
}
