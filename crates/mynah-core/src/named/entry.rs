//! What a named queue holds: messages with what happened to them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Death, DeathReason, Instant, Message};

/// How a message came into the queue, where that is not what its publisher named: it is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The exchange that it came by; empty: the queue's own name.
    pub exchange: Box<[u8]>,
    /// The key that it came with.
    pub key: Box<[u8]>,
    /// How it became a dead letter, the last time first.
    pub deaths: Vec<Death>,
}

/// A message on its way into a named queue.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The message.
    pub message: Message,
    /// Whether a store keeps it: then the queue says when it is gone.
    pub stored: bool,
    /// How it came, if it is a dead letter.
    pub history: Option<Arc<History>>,
    /// Whether somebody may have got it before a crash.
    pub again: bool,
}

impl Arrival {
    /// A message that is ready at once.
    #[must_use]
    pub const fn new(message: Message, stored: bool) -> Self {
        Self { message, stored, history: None, again: false }
    }
}

/// An entry of a named queue without its place.
#[derive(Clone, Debug)]
pub struct Body {
    /// The message.
    pub message: Message,
    /// How it came, if it is a dead letter.
    pub history: Option<Arc<History>>,
    /// In a queue when it is wanted no longer, if ever; in a stream when it came.
    pub(super) time: Instant,
    /// How often it was acquired and given back.
    pub acquired: u32,
    /// How often it has failed.
    pub failed: u32,
    /// Whether a store keeps it.
    pub stored: bool,
    /// 0 for the highest priority.
    pub(super) level: u8,
}

/// What was counted of an entry that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Its number.
    pub sequence: u64,
    /// How often it was acquired.
    pub acquired: u32,
    /// How often it has failed.
    pub failed: u32,
    /// Nobody gets it before this time; absent: it is ready.
    pub until: Option<Instant>,
}

/// The time that never comes.
pub(super) const NEVER: Instant = Instant::from_micros(u64::MAX);

impl Body {
    /// Bytes of payload.
    pub(super) fn payload_bytes(&self) -> u64 {
        self.message.header().payload_range().len() as u64
    }

    /// Whether it is wanted no longer. One that is wanted for no time at all can be had in the turn in which it comes.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.time < now
    }
}

/// An entry of a named queue.
#[derive(Clone, Debug)]
pub(super) struct NamedEntry {
    pub(super) sequence: u64,
    pub(super) body: Body,
}

/// An entry that has left a queue without having been accepted: a dead letter, if there is a place for those.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// Its number in the queue: a store that keeps it can forget it.
    pub sequence: u64,
    /// The message and what happened to it.
    pub body: Body,
    /// Why.
    pub reason: DeathReason,
}
