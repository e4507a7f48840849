//! What the workers counted, added up at one moment.

use std::sync::Arc;

use mynah_core::administration::QueueView;
use mynah_core::{Counters, DropReason};
use mynah_model::Class;

/// Where the metrics come from. Asked at every scrape.
pub trait MetricsSource: Send + Sync + 'static {
    /// The numbers of all workers.
    fn snapshot(&self) -> Snapshot;
}

impl<S: MetricsSource> MetricsSource for Arc<S> {
    fn snapshot(&self) -> Snapshot {
        (**self).snapshot()
    }
}

/// The numbers of all workers together. Numbers since the start only grow; the others say how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Version of the program.
    pub version: String,
    /// Worker threads.
    pub workers: u64,
    /// Connections accepted since the start.
    pub connections_opened: u64,
    /// Connections ended since the start.
    pub connections_closed: u64,
    /// Connections that have not yet opened a session.
    pub half_open: u64,
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Subscriptions of these sessions.
    pub subscriptions: u64,
    /// Topics with a retained value.
    pub retained: u64,
    /// Bytes of the retained values.
    pub retained_bytes: u64,
    /// Messages that came from peers since the start, by the number of their class.
    pub messages_received: [u64; 3],
    /// Messages that went to peers since the start, by the number of their class.
    pub messages_sent: [u64; 3],
    /// Messages dropped since the start, by the name of the reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Publications refused since the start.
    pub publications_refused: u64,
    /// Bytes read from peers since the start.
    pub bytes_received: u64,
    /// Bytes written to peers since the start.
    pub bytes_sent: u64,
    /// How long the workers' turns took.
    pub turns: Turns,
    /// What crosses to other brokers.
    pub bridges: Vec<BridgeCounts>,
    /// Queues that are told apart.
    pub queues: Vec<QueueCounts>,
    /// When what is acknowledged is on the disk: `sync`, `interval` or `memory`. Empty until that is known.
    pub durability: &'static str,
    /// What the store is doing; none while everything is in memory.
    pub store: Option<StoreCounts>,
}

/// What the store is doing. Numbers of syncs are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Whether publications that would have to be stored are refused for lack of room.
    pub full: bool,
    /// Syncs.
    pub syncs: u64,
    /// How long these took together, in microseconds.
    pub sync_micros: u64,
    /// Files of the journal.
    pub segments: u64,
    /// Bytes of these.
    pub journal_bytes: u64,
    /// Messages in them that are live.
    pub live_messages: u64,
    /// Bytes of these.
    pub live_bytes: u64,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Bytes that are free on the disk.
    pub free_bytes: u64,
}

/// What is in one queue. Numbers of messages that came and went are since it was made, or since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Its name.
    pub name: String,
    /// Messages that are ready.
    pub ready: u64,
    /// Messages that consumers hold.
    pub leased: u64,
    /// Those who consume from it.
    pub consumers: u64,
    /// Messages that came.
    pub received: u64,
    /// Deliveries that were made.
    pub delivered: u64,
    /// Messages that were accepted.
    pub accepted: u64,
}

impl From<&QueueView> for QueueCounts {
    fn from(queue: &QueueView) -> Self {
        Self {
            name: String::from_utf8_lossy(&queue.name).into_owned(),
            ready: queue.ready,
            leased: queue.leased,
            consumers: queue.consumers.len() as u64,
            received: queue.tally.came,
            delivered: queue.tally.handed_out,
            accepted: queue.tally.accepted,
        }
    }
}

/// What crosses one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeCounts {
    /// The name of the bridge.
    pub name: String,
    /// Whether the other broker has let it in.
    pub connected: bool,
    /// Messages from the other broker since the start.
    pub messages_in: u64,
    /// Messages to the other broker since the start.
    pub messages_out: u64,
}

/// Durations of turns, counted in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// For each bucket its inclusive upper bound in microseconds (none: unbounded) and the turns in it alone.
    pub buckets: Vec<(Option<u64>, u64)>,
    /// The sum of all durations, in microseconds.
    pub sum_micros: u64,
}

impl Snapshot {
    /// A snapshot of a program of this `version`, to which each worker's counters are added.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }

    /// Adds one worker.
    pub fn add_worker(&mut self, counters: &Counters) {
        self.workers += 1;
        // Read before the number of those opened, so that a connection that comes and goes meanwhile is not counted
        // as closed and not as opened.
        self.connections_closed += counters.connections_closed.read();
        self.connections_opened += counters.connections_opened.read();
        self.half_open += counters.half_open.read();
        self.sessions += counters.sessions.read();
        self.subscriptions += counters.subscriptions.read();
        self.publications_refused += counters.publications_refused.read();
        self.bytes_received += counters.bytes_received.read();
        self.bytes_sent += counters.bytes_sent.read();
        for class in [Class::AtMostOnce, Class::AtLeastOnce, Class::ExactlyOnce] {
            let number = usize::from(class.number());
            self.messages_received[number] += counters.messages_received(class).read();
            self.messages_sent[number] += counters.messages_sent(class).read();
        }
        if self.dropped.is_empty() {
            self.dropped = DropReason::ALL.map(|reason| (reason.name(), 0)).to_vec();
        }
        for (sum, reason) in self.dropped.iter_mut().zip(DropReason::ALL) {
            sum.1 += counters.dropped(reason).read();
        }
        self.turns.add(counters);
    }
}

impl Turns {
    fn add(&mut self, counters: &Counters) {
        self.sum_micros += counters.turns.sum_micros();
        if self.buckets.is_empty() {
            self.buckets = counters.turns.buckets().collect();
            return;
        }
        for (sum, (_, count)) in self.buckets.iter_mut().zip(counters.turns.buckets()) {
            sum.1 += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn workers_are_added_up() {
        let counters = Counters::default();
        counters.connections_opened.add(5);
        counters.connections_closed.add(2);
        counters.messages_sent(Class::ExactlyOnce).add(7);
        counters.dropped(DropReason::SessionEnded).add(3);
        counters.turns.record(Duration::from_micros(3));
        let mut snapshot = Snapshot::new("1.2.3");
        snapshot.add_worker(&counters);
        snapshot.add_worker(&counters);
        assert_eq!(snapshot.workers, 2);
        assert_eq!((snapshot.connections_opened, snapshot.connections_closed), (10, 4));
        assert_eq!(snapshot.messages_sent, [0, 0, 14]);
        assert_eq!(snapshot.dropped.len(), DropReason::ALL.len());
        let dropped: Vec<_> = snapshot.dropped.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(dropped, [&("session_ended", 6)]);
        assert_eq!(snapshot.turns.sum_micros, 6);
        assert_eq!(snapshot.turns.buckets[2], (Some(4), 2));
    }
}
