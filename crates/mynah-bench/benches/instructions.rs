//! Instructions, counted by Valgrind: unlike times they are the same in every run, so that a hundredth shows.

#![expect(unused_qualifications, missing_docs, reason = "what the macros of gungraun make")]

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use mynah_amqp::v0_9_1::connection::ServerConnection as AmqpConnection;
use mynah_bench::coap::{Association, GET, OBSERVE, PUT};
use mynah_bench::filters::{index, topic};
use mynah_bench::{Broker, amqp, puback, publish, subscribe, v5};
use mynah_coap::wire::Message;
use mynah_core::rules::{Action, Reach, Rule, RuleFilter, Rules};
use mynah_core::{Match, TopicIndex};
use mynah_engine::ConnectionId;
use mynah_model::{Class, Expiry, Instant, TenantId, Topic, WallTime};
use mynah_mqtt::Version;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::wire::{Publish, TextRule};
use mynah_stack::{Command, Connection, Frame, Opened, Outbound, Outcome, Step};
use mynah_stomp::Config;
use mynah_stomp::connection::ServerConnection;
use mynah_stomp::wire::Send;

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
    pair(Broker::default(), qos)
}

fn pair(mut broker: Broker, qos: u8) -> OneToOne {
    let (publisher, subscriber) = (broker.client("p"), broker.client("s"));
    broker.turn(&[(subscriber, &subscribe(TOPIC, qos))]);
    let messages = (1..=BATCH).flat_map(|id| publish(TOPIC, qos, id, &PAYLOAD)).collect();
    warmed(OneToOne { broker, publisher, subscriber, messages, acks: Vec::new() }, qos)
}

/// The same under rules that let each publish and see its own topics, and the one that is published to.
fn ruled(qos: u8) -> OneToOne {
    let filters: Vec<_> = ["own/%c/#", TOPIC].into_iter().flat_map(RuleFilter::new).collect();
    assert_eq!(filters.len(), 2);
    let actions = vec![Action::Publish, Action::Subscribe];
    let rule = Rule { actions, allow: Reach::Filters(filters), ..Rule::default() };
    pair(Broker::with_rules(Arc::new(Rules::new(vec![rule]))), qos)
}

/// The same while somebody watches what happens and who is here.
fn watched(qos: u8) -> OneToOne {
    let mut broker = Broker::default();
    let watcher = broker.client("w");
    broker.turn(&[(watcher, &subscribe("$events/#", 0)), (watcher, &subscribe("$presence/#", 0))]);
    pair(broker, qos)
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
#[bench::ruled_qos0(ruled(0))]
#[bench::ruled_qos1(ruled(1))]
#[bench::watched_qos0(watched(0))]
#[bench::watched_qos1(watched(1))]
#[bench::v5_qos0(one_to_one_v5(0))]
#[bench::v5_qos1(one_to_one_v5(1))]
fn turn_of_25(mut pair: OneToOne) -> OneToOne {
    pair.turn();
    pair
}

/// A connection that has heard as much before, and what it hears in the turn that counts.
fn amqp_publisher(persistent: bool) -> (AmqpConnection, Outbound, Vec<u8>) {
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
    (mut connection, mut out, messages): (AmqpConnection, Outbound, Vec<u8>),
) -> (AmqpConnection, Outbound) {
    amqp::run(&mut connection, black_box(&messages), &mut out);
    (connection, out)
}

/// An open connection of STOMP, and a SEND for it.
struct Sender {
    connection: ServerConnection,
    out: Outbound,
    frame: Vec<u8>,
}

fn sender(destination: &str) -> Sender {
    let config = Arc::new(Config::default());
    let mut connection = ServerConnection::new(config, WallTime::default(), Instant::ZERO);
    let mut out = Outbound::new();
    let mut connect = &b"CONNECT\naccept-version:1.2\nhost:h\n\n\0"[..];
    let step = connection.step(Instant::ZERO, &mut connect, &mut out);
    assert!(matches!(step, Step::Command(Command::Open(_))));
    let opened = Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection)));
    connection.handle_outcome(Instant::ZERO, opened, &mut out);
    let mut frame = Vec::new();
    let headers = [("content-type", "text/plain"), ("persistent", "true"), ("receipt", "1234")];
    Send::encode(destination, headers, &PAYLOAD, mynah_stomp::Version::V1_2, &mut frame);
    Sender { connection, out, frame }
}

// One SEND with a receipt, to the command that it becomes.
#[library_benchmark]
#[bench::dots(sender("/topic/a.b.c"))]
#[bench::in_place(sender("/topic/abc"))]
fn stomp_send(mut sender: Sender) -> Sender {
    let mut input = black_box(sender.frame.as_slice());
    let step = sender.connection.step(Instant::ZERO, &mut input, &mut sender.out);
    assert!(matches!(black_box(step), Step::Command(Command::Publish(_))));
    sender
}

#[library_benchmark]
#[bench::get(GET)]
fn decode_coap(datagram: &[u8]) -> usize {
    let Ok(message) = Message::decode(black_box(datagram), 8) else { panic!("the datagram is whole") };
    black_box(message).body.options.iter().count()
}

/// An association whose buffers have their size.
fn association(request: &'static [u8]) -> (Association, &'static [u8]) {
    let mut association = Association::new();
    for _ in 0..WARM_TURNS {
        association.ask(request);
    }
    (association, request)
}

#[library_benchmark(setup = association)]
#[bench::get(GET)]
#[bench::put(PUT)]
fn coap_request((mut association, request): (Association, &'static [u8])) -> Association {
    black_box(association.ask(request));
    association
}

fn observed() -> (Association, Frame) {
    let (mut association, _) = association(GET);
    association.ask(OBSERVE);
    let frame = association.frame();
    association.notify(&frame);
    (association, frame)
}

#[library_benchmark(setup = observed)]
#[bench::state()]
fn coap_notify((mut association, frame): (Association, Frame)) -> (Association, Frame) {
    black_box(association.notify(&frame));
    (association, frame)
}

library_benchmark_group!(
    name = codec,
    benchmarks = [decode_publish, encode_publish, stomp_send, decode_coap]
);
library_benchmark_group!(name = stacks, benchmarks = amqp_publish_25);
library_benchmark_group!(name = matching, benchmarks = index_match);
library_benchmark_group!(name = engine, benchmarks = turn_of_25);
library_benchmark_group!(name = coap, benchmarks = [coap_request, coap_notify]);
main!(library_benchmark_groups = [codec, matching, engine, stacks, coap]);
