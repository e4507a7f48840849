//! The topic index with a hundred thousand filters, a tenth of them with wildcards.

use std::hint::black_box;

use mynah_core::{SessionRef, TopicIndex, WorkerId};
use mynah_model::{Class, Filter, SubscriptionOptions, TenantId, Topic};

const FILTERS: u32 = 100_000;
const OPTIONS: SubscriptionOptions =
    SubscriptionOptions { class_max: Class::AtMostOnce, replay_retained: true, retain_as_published: false };

fn main() {
    divan::main();
}

fn topic(number: u32) -> String {
    format!("tenant{}/devices/dev-{number:08}/telemetry/temperature", number % 100)
}

fn filter(number: u32) -> String {
    let exact = topic(number);
    if number.is_multiple_of(10) { exact.replace("telemetry", "+") } else { exact }
}

fn session(slot: u32) -> SessionRef {
    SessionRef { worker: WorkerId(0), slot, generation: 0 }
}

fn index() -> TopicIndex {
    let mut index = TopicIndex::new(7);
    for number in 0..FILTERS {
        let text = filter(number);
        index.insert(TenantId::DEFAULT, Filter::from_checked(text.as_bytes()), session(number), OPTIONS);
    }
    index
}

#[divan::bench]
fn match_scattered_topics(bencher: divan::Bencher<'_, '_>) {
    let index = index();
    let topics: Vec<String> = (0..FILTERS).map(|i| topic(i.wrapping_mul(7_919) % FILTERS)).collect();
    let (mut next, mut found) = (0, Vec::new());
    bencher.bench_local(|| {
        next = (next + 1) % topics.len();
        found.clear();
        index.matches(TenantId::DEFAULT, Topic::from_checked(topics[next].as_bytes()), &mut found);
        black_box(found.len())
    });
}

#[divan::bench]
fn insert_and_remove(bencher: divan::Bencher<'_, '_>) {
    let mut index = index();
    let text = "tenant7/devices/+/telemetry/#";
    bencher.bench_local(|| {
        let filter = Filter::from_checked(text.as_bytes());
        index.insert(TenantId::DEFAULT, filter, session(1), OPTIONS);
        index.remove(TenantId::DEFAULT, filter, session(1))
    });
}
