//! Turns of one engine: what a message costs between two sockets.

use divan::counter::ItemsCount;
use mynah_bench::{Broker, puback, publish, subscribe};

const PAYLOAD: [u8; 64] = [b'x'; 64];
const BATCH: usize = 25;

fn main() {
    divan::main();
}

/// A publisher and a subscriber, 25 messages in a turn.
#[divan::bench]
fn qos0_one_to_one(bencher: divan::Bencher<'_, '_>) {
    let mut broker = Broker::default();
    let (publisher, subscriber) = (broker.client("p"), broker.client("s"));
    broker.turn(&[(subscriber, &subscribe("a/b/c", 0))]);
    let bytes = publish("a/b/c", 0, 0, &PAYLOAD).repeat(BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| broker.turn(&[(publisher, &bytes)]));
}

/// The same with acknowledgements on both sides.
#[divan::bench]
fn qos1_one_to_one(bencher: divan::Bencher<'_, '_>) {
    let mut broker = Broker::default();
    let (publisher, subscriber) = (broker.client("p"), broker.client("s"));
    broker.turn(&[(subscriber, &subscribe("a/b/c", 1))]);
    let bytes: Vec<u8> = (1..=BATCH as u16).flat_map(|id| publish("a/b/c", 1, id, &PAYLOAD)).collect();
    let mut next = 0u16;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let written = broker.turn(&[(publisher, &bytes)]);
        let acks: Vec<u8> = (0..BATCH as u16).flat_map(|i| puback((next + i) % 65_535 + 1)).collect();
        next = (next + BATCH as u16) % 65_535;
        written + broker.turn(&[(subscriber, &acks)])
    });
}

/// One message to a thousand subscribers.
#[divan::bench]
fn qos0_fan_out_1000(bencher: divan::Bencher<'_, '_>) {
    let mut broker = Broker::default();
    let publisher = broker.client("p");
    for i in 0..1_000 {
        let subscriber = broker.client(&format!("s{i}"));
        broker.turn(&[(subscriber, &subscribe("a/#", 0))]);
    }
    let bytes = publish("a/b/c", 0, 0, &PAYLOAD);
    bencher.counter(ItemsCount::new(1_000usize)).bench_local(|| broker.turn(&[(publisher, &bytes)]));
}
