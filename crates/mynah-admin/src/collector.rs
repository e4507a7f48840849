//! Snapshots as metrics. Names, types and help texts are here and in the crate's README, nowhere else.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::{BridgeCounts, QueueCounts, Snapshot, StoreCounts, Turns};

/// A registry that shows a snapshot.
pub(crate) fn registry(snapshot: Snapshot) -> Registry {
    let mut registry = Registry::with_prefix("mynah");
    registry.register_collector(Box::new(Scrape(snapshot)));
    registry
}

#[derive(Debug)]
struct Scrape(Snapshot);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let s = &self.0;
        let e = &mut encoder;
        info(e, &s.version)?;
        gauge(e, "workers", "Worker threads", None, s.workers)?;
        connections(e, s)?;
        gauge(e, "sessions", "Sessions, connected or not", None, s.sessions)?;
        gauge(e, "subscriptions", "Subscriptions of all sessions", None, s.subscriptions)?;
        gauge(e, "retained_messages", "Topics with a retained value", None, s.retained)?;
        gauge(e, "retained", "Bytes of the retained values", Some(&Unit::Bytes), s.retained_bytes)?;
        messages(e, s)?;
        counter(e, "received", "Bytes read from peers", Some(&Unit::Bytes), s.bytes_received)?;
        counter(e, "sent", "Bytes written to peers", Some(&Unit::Bytes), s.bytes_sent)?;
        bridges(e, s)?;
        queues(e, s)?;
        store(e, s)?;
        turns(e, &s.turns)
    }
}

fn connections(e: &mut DescriptorEncoder<'_>, s: &Snapshot) -> fmt::Result {
    let open = s.connections_opened.saturating_sub(s.connections_closed);
    gauge(e, "connections", "Connections that are open", None, open)?;
    gauge(e, "connections_half_open", "Connections that have not yet opened a session", None, s.half_open)?;
    counter(e, "connections_opened", "Connections accepted", None, s.connections_opened)
}

fn messages(e: &mut DescriptorEncoder<'_>, s: &Snapshot) -> fmt::Result {
    let by_class = |counts: [u64; 3]| ["0", "1", "2"].into_iter().zip(counts);
    family(e, "messages_received", "Messages from peers", "class", by_class(s.messages_received))?;
    family(e, "messages_sent", "Messages to peers", "class", by_class(s.messages_sent))?;
    let by_reason = s.dropped.iter().copied();
    family(e, "messages_dropped", "Messages not delivered, once for each receiver", "reason", by_reason)?;
    counter(e, "publications_refused", "Publications refused", None, s.publications_refused)
}

/// Nothing is shown where there is no bridge.
fn bridges(e: &mut DescriptorEncoder<'_>, s: &Snapshot) -> fmt::Result {
    if s.bridges.is_empty() {
        return Ok(());
    }
    let help = "Whether a bridge is connected";
    let mut metric = e.encode_descriptor("bridge_connected", help, None, MetricType::Gauge)?;
    for bridge in &s.bridges {
        let labels = [("bridge", bridge.name.as_str())];
        ConstGauge::new(i64::from(bridge.connected)).encode(metric.encode_family(&labels)?)?;
    }
    let by_bridge =
        |count: fn(&BridgeCounts) -> u64| s.bridges.iter().map(move |b| (b.name.as_str(), count(b)));
    let (from, to) = ("Messages from other brokers", "Messages to other brokers");
    family(e, "bridge_messages_in", from, "bridge", by_bridge(|bridge| bridge.messages_in))?;
    family(e, "bridge_messages_out", to, "bridge", by_bridge(|bridge| bridge.messages_out))
}

/// One of the numbers of a queue.
type QueueCount = fn(&QueueCounts) -> u64;

/// Nothing is shown where there is no queue.
fn queues(e: &mut DescriptorEncoder<'_>, s: &Snapshot) -> fmt::Result {
    if s.queues.is_empty() {
        return Ok(());
    }
    let gauges: [(&str, &str, QueueCount); 3] = [
        ("queue_ready", "Messages that are ready in a queue", |queue| queue.ready),
        ("queue_leased", "Messages of a queue that consumers hold", |queue| queue.leased),
        ("queue_consumers", "Consumers of a queue", |queue| queue.consumers),
    ];
    for (name, help, count) in gauges {
        let mut metric = e.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for queue in &s.queues {
            let labels = [("queue", queue.name.as_str())];
            let gauge = ConstGauge::new(i64::try_from(count(queue)).unwrap_or(i64::MAX));
            gauge.encode(metric.encode_family(&labels)?)?;
        }
    }
    let by_queue = |count: QueueCount| s.queues.iter().map(move |q| (q.name.as_str(), count(q)));
    let (received, delivered) = ("Messages that came into a queue", "Deliveries of a queue's messages");
    family(e, "queue_messages_received", received, "queue", by_queue(|queue| queue.received))?;
    family(e, "queue_deliveries", delivered, "queue", by_queue(|queue| queue.delivered))?;
    let accepted = "Messages of a queue that were accepted";
    family(e, "queue_messages_accepted", accepted, "queue", by_queue(|queue| queue.accepted))
}

fn store(e: &mut DescriptorEncoder<'_>, s: &Snapshot) -> fmt::Result {
    if !s.durability.is_empty() {
        let help = "When what is acknowledged is on the disk";
        let labels = [("durability", s.durability)];
        e.encode_descriptor("store", help, None, MetricType::Info)?.encode_info(&labels)?;
    }
    let Some(store) = s.store else { return Ok(()) };
    let StoreCounts { full, syncs, sync_micros, segments, .. } = store;
    let bytes = Some(&Unit::Bytes);
    gauge(e, "store_full", "Whether what has to be stored is refused", None, full.into())?;
    counter(e, "store_syncs", "Times that the disk was asked to keep what was written", None, syncs)?;
    let help = "How long these took together";
    ConstCounter::new(sync_micros as f64 / 1e6).encode(e.encode_descriptor(
        "store_sync",
        help,
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?)?;
    gauge(e, "store_segments", "Files of the journal", None, segments)?;
    gauge(e, "store_journal", "Bytes of these files", bytes, store.journal_bytes)?;
    gauge(e, "store_live_messages", "Messages in the journal that are live", None, store.live_messages)?;
    gauge(e, "store_live", "Bytes of these messages", bytes, store.live_bytes)?;
    gauge(e, "store_waiting", "Bytes that wait to be written", bytes, store.waiting_bytes)?;
    gauge(e, "store_free", "Bytes that are free on the disk of the store", bytes, store.free_bytes)
}

fn info(e: &mut DescriptorEncoder<'_>, version: &str) -> fmt::Result {
    e.encode_descriptor("build", "The program", None, MetricType::Info)?.encode_info(&[("version", version)])
}

fn gauge(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    // Gauges are signed.
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(e.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

fn counter(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    ConstCounter::new(value).encode(e.encode_descriptor(name, help, unit, MetricType::Counter)?)
}

/// Counters that differ in the value of one label.
fn family<'v>(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'v str, u64)>,
) -> fmt::Result {
    let mut metric = e.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (label_value, value) in values {
        let labels = [(label, label_value)];
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn turns(e: &mut DescriptorEncoder<'_>, turns: &Turns) -> fmt::Result {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let bucket = |&(bound, count): &(Option<u64>, u64)| (bound.map_or(f64::INFINITY, seconds), count);
    let buckets: Vec<_> = turns.buckets.iter().map(bucket).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let help = "How long the workers' turns took";
    e.encode_descriptor("worker_turn", help, Some(&Unit::Seconds), MetricType::Histogram)?
        .encode_histogram::<[(&str, &str); 0]>(seconds(turns.sum_micros), count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn the_exposition_is_exact() {
        let snapshot = Snapshot {
            version: "1.2.3".to_owned(),
            workers: 2,
            connections_opened: 10,
            connections_closed: 4,
            half_open: 1,
            sessions: 7,
            subscriptions: 9,
            retained: 3,
            retained_bytes: 300,
            messages_received: [1, 2, 3],
            messages_sent: [4, 5, 6],
            dropped: vec![("backlog_full", 1), ("expired", 0)],
            publications_refused: 8,
            bytes_received: 1_000,
            bytes_sent: 2_000,
            turns: Turns { buckets: vec![(Some(1), 3), (Some(1_024), 2), (None, 1)], sum_micros: 5_000_000 },
            bridges: vec![BridgeCounts {
                name: "far".to_owned(),
                connected: true,
                messages_in: 11,
                messages_out: 12,
            }],
            queues: vec![QueueCounts {
                name: "jobs".to_owned(),
                ready: 21,
                leased: 22,
                consumers: 23,
                received: 24,
                delivered: 25,
                accepted: 26,
            }],
            durability: "sync",
            store: Some(StoreCounts {
                full: true,
                syncs: 13,
                sync_micros: 2_500_000,
                segments: 14,
                journal_bytes: 15,
                live_messages: 16,
                live_bytes: 17,
                waiting_bytes: 18,
                free_bytes: 19,
            }),
        };
        let mut out = String::new();
        text::encode(&mut out, &registry(snapshot)).unwrap();
        assert_eq!(out, include_str!("../tests/exposition.txt"));
    }

    #[test]
    fn connections_never_go_below_zero() {
        let snapshot = Snapshot { connections_closed: 1, ..Snapshot::new("") };
        let mut out = String::new();
        text::encode(&mut out, &registry(snapshot)).unwrap();
        assert!(out.contains("\nmynah_connections 0\n"));
    }
}
