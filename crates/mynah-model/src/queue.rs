//! Named queues and streams: what is said of one when it is declared.

use alloc::boxed::Box;
use core::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use core::time::Duration;

/// What a named queue is, beside its name. Two declarations of one queue have to be equal in value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Whether it, and the confirmed messages in it, outlive the broker's run.
    pub durable: bool,
    /// What it promises of messages that are confirmed, if it is durable.
    pub durability: Durability,
    /// Whether only the connection that declared it may use it, with which it ends.
    pub exclusive: bool,
    /// Whether it ends when its last consumer has gone, once it had one.
    pub auto_delete: bool,
    /// It ends when nobody has declared it or consumed from it for this long.
    pub expires: Option<Duration>,
    /// Messages are not wanted for longer than this after they came.
    pub message_ttl: Option<Duration>,
    /// Messages that it holds at most, ready ones only.
    pub length_max: Option<u64>,
    /// Bytes of payload that it holds at most, of ready messages only.
    pub bytes_max: Option<u64>,
    /// What happens to a message that would be one too many.
    pub overflow: Overflow,
    /// Where messages go that it does not keep; absent: nowhere.
    pub dead_letter: Option<DeadLetter>,
    /// Priorities that are told apart: 0 to this one; higher ones count as this one. Absent: priority means nothing here.
    pub priority_max: Option<NonZeroU8>,
    /// How often a message may fail before it is a dead letter.
    pub delivery_limit: Option<NonZeroU32>,
    /// Whether one consumer gets everything until it goes.
    pub single_active_consumer: bool,
    /// A message that a consumer holds for longer than this is released.
    pub lease_max: Option<Duration>,
    /// Set for a stream: a queue that is read without consuming it.
    pub stream: Option<StreamSettings>,
}

impl QueueSettings {
    /// A durable queue without bounds of its own, as it is made for a name that is used first.
    pub const DURABLE: Self = Self {
        durable: true,
        durability: Durability::Sync,
        exclusive: false,
        auto_delete: false,
        expires: None,
        message_ttl: None,
        length_max: None,
        bytes_max: None,
        overflow: Overflow::DropHead,
        dead_letter: None,
        priority_max: None,
        delivery_limit: None,
        single_active_consumer: false,
        lease_max: None,
        stream: None,
    };
}

/// What a durable queue promises of messages that it takes. Never more than the store and the listener do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Who publishes is answered when the message is on the disk.
    #[default]
    Sync,
    /// Who publishes is answered at once; the message is stored with what is stored next.
    Interval,
    /// The queue is stored, what is in it is not.
    Memory,
}

impl Durability {
    /// The one of this name.
    #[must_use]
    pub const fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"sync" => Some(Self::Sync),
            b"interval" => Some(Self::Interval),
            b"memory" => Some(Self::Memory),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
            Self::Memory => "memory",
        }
    }
}

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest messages go, as dead letters if there is a place for them.
    #[default]
    DropHead,
    /// The new message is refused.
    RejectPublish,
    /// The new message is refused, and goes where dead letters go.
    RejectPublishDeadLetter,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The exchange; empty: the queue named by the key.
    pub exchange: Box<[u8]>,
    /// The routing key; absent: the one that the message came with.
    pub key: Option<Box<[u8]>>,
}

/// What is kept of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSettings {
    /// Bytes; the oldest go.
    pub bytes_max: Option<NonZeroU64>,
    /// Age; what is older goes.
    pub age_max: Option<Duration>,
}

/// Where reading a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOffset {
    /// With the oldest message that is there.
    First,
    /// With the newest message that is there.
    Last,
    /// With what comes from now on.
    Next,
    /// With the message that has this number, or the next that is there.
    Number(u64),
    /// With the first message that came at this time or later.
    Time(crate::WallTime),
}

/// What an exchange is, beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeSettings {
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it outlives the broker's run.
    pub durable: bool,
    /// Whether it ends when nothing is bound to it any more, once something was.
    pub auto_delete: bool,
    /// Whether only other exchanges may give it messages.
    pub internal: bool,
    /// The exchange that gets what this one has nobody for.
    pub alternate: Option<Box<[u8]>>,
    /// Whether it was declared as one that delays. Any message may be delayed, whatever it goes to: this only tells
    /// declarations apart.
    pub delayed: bool,
    /// What an [`ExchangeKind::ConsistentHash`] goes by.
    pub hash_on: HashOn,
}

impl ExchangeSettings {
    /// A durable exchange of a kind.
    #[must_use]
    pub const fn durable(kind: ExchangeKind) -> Self {
        Self {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            alternate: None,
            delayed: false,
            hash_on: HashOn::Key,
        }
    }
}

/// What of a message an exchange hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// The routing key.
    #[default]
    Key,
    /// The user property of this name.
    Property(Box<str>),
    /// The message id.
    MessageId,
    /// The correlation.
    Correlation,
    /// When the message was created.
    Created,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// To those who are bound with the very key.
    Direct,
    /// To all who are bound.
    Fanout,
    /// To those whose filter selects the key.
    Topic,
    /// To those whose headers the message has.
    Headers,
    /// To one of those who are bound, chosen by a hash of the key; the binding's key is its weight.
    ConsistentHash,
}

impl ExchangeKind {
    /// The kind's name, as AMQP 0-9-1 has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
        }
    }
}
