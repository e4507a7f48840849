//! The topic index with a hundred thousand filters, a tenth of them with wildcards.

use std::hint::black_box;

use mynah_bench::filters::{OPTIONS, index, session, topic};
use mynah_model::{Filter, TenantId, Topic};

const FILTERS: u32 = 100_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn match_scattered_topics(bencher: divan::Bencher<'_, '_>) {
    let index = index(FILTERS);
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
    let mut index = index(FILTERS);
    let text = "tenant7/devices/+/telemetry/#";
    bencher.bench_local(|| {
        let filter = Filter::from_checked(text.as_bytes());
        index.insert(TenantId::DEFAULT, filter, session(1), OPTIONS);
        index.remove(TenantId::DEFAULT, filter, session(1))
    });
}
