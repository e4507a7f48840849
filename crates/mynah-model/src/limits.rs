//! Every bound of the core in one place, each with a safe default.

use core::time::Duration;

/// Bounds on what clients can make the broker keep. All are configuration; none may be "unlimited" by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions that exist at the same time, connected or not.
    pub sessions_max: usize,
    /// How long a session outlives its connection, whatever is asked for; absent: as long as is asked for.
    pub session_expiry_max: Option<Duration>,
    /// Filters of one session.
    pub subscriptions_per_session_max: usize,
    /// Segments of a topic or filter.
    pub topic_segments_max: usize,
    /// Bytes of a topic or filter.
    pub topic_bytes_max: usize,
    /// Messages that wait in the backlog of one session; the oldest is dropped for a new one.
    pub backlog_messages_max: usize,
    /// Bytes of the messages that wait in the backlog of one session.
    pub backlog_bytes_max: usize,
    /// Deliveries to one session that are not yet confirmed.
    pub inflight_max: u16,
    /// Exactly-once publications of one session that are not yet complete.
    pub received_max: u16,
    /// Topics with a retained value, in each tenant.
    pub retained_messages_max: usize,
    /// Bytes of all retained values of a tenant.
    pub retained_bytes_max: usize,
    /// Bytes of one retained value.
    pub retained_message_bytes_max: usize,
    /// Named queues, in each tenant.
    pub queues_max: usize,
    /// Messages that are ready in one named queue, whatever was said when it was declared.
    pub queue_messages_max: u64,
    /// Bytes of their payloads.
    pub queue_bytes_max: u64,
    /// What one named queue is bound to, or one exchange.
    pub queue_bindings_max: usize,
    /// Messages that wait for the time when they are published, on one worker.
    pub delayed_messages_max: usize,
    /// Bytes of these messages.
    pub delayed_bytes_max: usize,
    /// Leases that no connection holds, on one worker.
    pub held_leases_max: usize,
    /// Bytes that wait to be written to one connection before deliveries to it stop.
    pub outbound_bytes_max: usize,
    /// Connections that have not yet opened a session, on one worker.
    pub half_open_max: usize,
    /// Connections in all, on one worker.
    pub connections_max: usize,
    /// Topics whose match is remembered, on one worker.
    pub route_cache_max: usize,
    /// How the messages of a shared subscription are spread over its members.
    pub share_strategy: ShareStrategy,
}

/// Which of the members that are online gets the next message of a shared subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShareStrategy {
    /// One after another.
    #[default]
    RoundRobin,
    /// The same as long as it is online.
    Sticky,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 1_000_000,
            session_expiry_max: None,
            subscriptions_per_session_max: 10_000,
            topic_segments_max: 128,
            topic_bytes_max: 65_535,
            backlog_messages_max: 100_000,
            backlog_bytes_max: 64 << 20,
            inflight_max: 1_024,
            received_max: 65_535,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 1 << 30,
            retained_message_bytes_max: 1 << 20,
            queues_max: 1_000_000,
            queue_messages_max: 1_000_000_000,
            queue_bytes_max: 1 << 40,
            queue_bindings_max: 200_000,
            delayed_messages_max: 1_000_000,
            delayed_bytes_max: 256 << 20,
            held_leases_max: 100_000,
            outbound_bytes_max: 1 << 20,
            half_open_max: 4_096,
            connections_max: 1_000_000,
            route_cache_max: 65_536,
            share_strategy: ShareStrategy::RoundRobin,
        }
    }
}
