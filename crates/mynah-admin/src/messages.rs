//! Messages that administrators publish and look at.

use serde_json::{Map, Value};

/// A message that is to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The exchange; empty: the default one.
    pub exchange: String,
    /// The routing key, spelled with dots.
    pub key: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// What it says of itself, in the words of AMQP 0-9-1: `content_type`, `headers`, and so on.
    pub properties: Map<String, Value>,
}

/// Messages that somebody wants from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The queue.
    pub queue: String,
    /// How many at most.
    pub count: usize,
    /// What becomes of them.
    pub then: Afterwards,
}

/// What becomes of messages that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They are accepted: the queue forgets them.
    Accept,
    /// They go back to their places.
    GiveBack,
    /// They are rejected: dropped, or dead-lettered where the queue does that.
    Reject,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key, spelled with dots.
    pub key: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Whether somebody had it before.
    pub redelivered: bool,
    /// Messages that are ready behind it.
    pub left: u64,
    /// What it says of itself, as in [`Publication::properties`].
    pub properties: Map<String, Value>,
}
