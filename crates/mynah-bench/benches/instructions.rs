//! Instructions, counted by Valgrind: unlike times they are the same in every run, so that a hundredth shows.

#![expect(unused_qualifications, missing_docs, reason = "what the macros of gungraun make")]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_bench::filters::{index, topic};
use mynah_bench::{Broker, amqp, puback, publish, subscribe, v5};
use mynah_core::{Match, TopicIndex};
use mynah_engine::ConnectionId;
use mynah_model::{Class, TenantId, Topic};
use mynah_mqtt::Version;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::{Publish, TextRule};
use mynah_stack::Outbound;

const PAYLOAD: [u8; 64] = [b'x'; 64];
const TOPIC: &str = "a/b/c";
const BATCH: u16 = 25;
/// Turns after which buffers have their size and the route is known.
const WARM_TURNS: u16 = 20;
const FILTERS: u32 = 10_000;

fn encoded() -> Vec<u8> {
    publish(TOPIC, 0, 0, &PAYLOAD)
}

#[library_benchmark(setup = encoded)]
#[bench::qos0()]
fn decode_publish(bytes: Vec<u8>) -> Vec<u8> {
    let mut input = bytes.as_slice();
    let Ok(Some(unit)) = next_unit(black_box(&mut input), Version::default(), 1 << 20) else {
        panic!("the packet is whole");
    };
    let publish = Publish::decode(unit.flags, unit.body, TextRule::RefuseDiscouraged, Version::default());
    assert!(black_box(publish).is_ok());
    bytes
}

fn buffer() -> Vec<u8> {
    Vec::with_capacity(256)
}

#[library_benchmark(setup = buffer)]
#[bench::qos0()]
fn encode_publish(mut out: Vec<u8>) -> Vec<u8> {
    let publish = Publish {
        dup: false,
        class: Class::AtMostOnce,
        retain: false,
        topic: Topic::from_checked(TOPIC.as_bytes()),
        packet_id: None,
        properties: None,
        payload: &PAYLOAD,
    };
    black_box(&publish).encode(&mut out);
    out
}

/// An index, and the topic of a device in it.
fn fleet(number: u32) -> (TopicIndex, String, Vec<Match>) {
    (index(FILTERS), topic(number), Vec::with_capacity(8))
}

// Devices whose number is a multiple of ten have a wildcard in their filter.
#[library_benchmark(setup = fleet)]
#[bench::exact(4_321)]
#[bench::wildcard(4_320)]
fn index_match(
    (index, topic, mut found): (TopicIndex, String, Vec<Match>),
) -> (TopicIndex, String, Vec<Match>) {
    index.matches(TenantId::DEFAULT, Topic::from_checked(black_box(topic.as_bytes())), &mut found);
    (index, topic, found)
}

/// A broker with a publisher and a subscriber, and what both are to say in the turn that counts.
struct OneToOne {
    broker: Broker,
    publisher: ConnectionId,
    subscriber: ConnectionId,
    messages: Vec<u8>,
    acks: Vec<u8>,
}

impl OneToOne {
    fn turn(&mut self) {
        black_box(self.broker.turn(&[(self.publisher, &self.messages)]));
        if !self.acks.is_empty() {
            black_box(self.broker.turn(&[(self.subscriber, &self.acks)]));
        }
    }
}

fn one_to_one(qos: u8) -> OneToOne {
    let mut broker = Broker::default();
    let (publisher, subscriber) = (broker.client("p"), broker.client("s"));
    broker.turn(&[(subscriber, &subscribe(TOPIC, qos))]);
    let messages = (1..=BATCH).flat_map(|id| publish(TOPIC, qos, id, &PAYLOAD)).collect();
    warmed(OneToOne { broker, publisher, subscriber, messages, acks: Vec::new() }, qos)
}

fn warmed(mut pair: OneToOne, qos: u8) -> OneToOne {
    for turn in 0..=WARM_TURNS {
        if qos > 0 {
            pair.acks = (1..=BATCH).flat_map(|id| puback(turn * BATCH + id)).collect();
        }
        if turn < WARM_TURNS {
            pair.turn();
        }
    }
    pair
}

fn one_to_one_v5(qos: u8) -> OneToOne {
    let mut broker = Broker::default();
    let (publisher, subscriber) = (broker.open(&v5::connect("p")), broker.open(&v5::connect("s")));
    broker.turn(&[(subscriber, &v5::subscribe(TOPIC, qos))]);
    let messages = (1..=BATCH).flat_map(|id| v5::publish(TOPIC, qos, id, &PAYLOAD)).collect();
    warmed(OneToOne { broker, publisher, subscriber, messages, acks: Vec::new() }, qos)
}

// 25 messages; with QoS 1 their acknowledgements on both sides too, in a second turn.
#[library_benchmark]
#[bench::qos0(one_to_one(0))]
#[bench::qos1(one_to_one(1))]
#[bench::v5_qos0(one_to_one_v5(0))]
#[bench::v5_qos1(one_to_one_v5(1))]
fn turn_of_25(mut pair: OneToOne) -> OneToOne {
    pair.turn();
    pair
}

/// A connection that has heard as much before, and what it hears in the turn that counts.
fn amqp_publisher(persistent: bool) -> (ServerConnection, Outbound, Vec<u8>) {
    let (mut connection, mut out) = amqp::open_connection();
    let messages: Vec<u8> = (0..BATCH).flat_map(|_| amqp::publish("a.b.c", persistent, &PAYLOAD)).collect();
    for _ in 0..WARM_TURNS {
        amqp::run(&mut connection, &messages, &mut out);
        out.advance(out.len());
    }
    (connection, out, messages)
}

// 25 publications with confirms: from bytes to commands, and the answers.
#[library_benchmark]
#[bench::transient(amqp_publisher(false))]
#[bench::persistent(amqp_publisher(true))]
fn amqp_publish_25(
    (mut connection, mut out, messages): (ServerConnection, Outbound, Vec<u8>),
) -> (ServerConnection, Outbound) {
    amqp::run(&mut connection, black_box(&messages), &mut out);
    (connection, out)
}

library_benchmark_group!(name = stacks, benchmarks = amqp_publish_25);
library_benchmark_group!(name = codec, benchmarks = [decode_publish, encode_publish]);
library_benchmark_group!(name = matching, benchmarks = index_match);
library_benchmark_group!(name = engine, benchmarks = turn_of_25);
main!(library_benchmark_groups = [codec, matching, engine, stacks]);
