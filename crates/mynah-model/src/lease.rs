//! Leases: messages that a queue has handed out to a consumer, how many it may hand out, and what becomes of them.

use alloc::boxed::Box;
use core::time::Duration;

use crate::WallTime;

/// How much a consumer takes beyond what it has taken. Both count down with each delivery; a delivery is made while both
/// are above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Messages.
    pub messages: u32,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Credit {
    /// Nothing.
    pub const NONE: Self = Self { messages: 0, bytes: 0 };
    /// As much as there is.
    pub const UNLIMITED: Self = Self { messages: u32::MAX, bytes: u64::MAX };
}

/// What is done to the credit of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditChange {
    /// This much is added. What is unlimited stays so.
    Add(Credit),
    /// It is this much from here on.
    Set(Credit),
}

/// What becomes of a message that was leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseSettlement {
    /// It leaves the queue.
    Accepted,
    /// It goes back to its place: it was acquired once more, and did not fail.
    Released {
        /// Not before this time has passed.
        after: Duration,
    },
    /// It goes back to its place: it was acquired once more, and failed once more. A dead letter if it has failed too
    /// often.
    Failed {
        /// Not before this time has passed.
        after: Duration,
    },
    /// It becomes a dead letter.
    Rejected,
}

impl LeaseSettlement {
    /// Back to its place at once, without having failed.
    pub const RELEASED: Self = Self::Released { after: Duration::ZERO };
    /// Back to its place at once, having failed.
    pub const FAILED: Self = Self::Failed { after: Duration::ZERO };
}

/// Why a message left a queue without having been accepted, and how often it did so there for this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The queue.
    pub queue: Box<[u8]>,
    /// Why.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
    /// When first.
    pub at: WallTime,
    /// The exchange that the message had come by; empty for the queue's own name.
    pub exchange: Box<[u8]>,
    /// The key that it had come with.
    pub key: Box<[u8]>,
}

/// Why a message left a queue without having been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// A consumer has rejected it.
    Rejected,
    /// It was wanted no longer.
    Expired,
    /// There was no room.
    MaxLength,
    /// It has failed too often.
    DeliveryLimit,
}

impl DeathReason {
    /// The reason as AMQP 0-9-1's `x-death` header names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}
