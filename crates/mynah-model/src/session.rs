//! Sessions: what outlives a connection, and how its messages are wanted.

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use crate::{Class, Message};

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The session ends with the connection.
    WithConnection,
    /// The session ends when nobody came back for this long.
    After(Duration),
    /// The session stays until it is discarded.
    Never,
}

/// What is published when a connection ends without a good-bye.
#[derive(Clone, Debug)]
pub struct Will {
    /// The message.
    pub message: Message,
    /// How long the broker waits for the peer to come back before it publishes the message. The end of the session
    /// ends the waiting.
    pub delay: Duration,
    /// How long the message is wanted from when it is published; its header has no deadline before that.
    pub lifetime: Option<Duration>,
}

/// How the messages of a subscription are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Messages of a higher class are delivered with this one.
    pub class_max: Class,
    /// When the retained values that match are delivered.
    pub retain_handling: RetainHandling,
    /// Whether a live message shows the retain flag it was published with; otherwise only replayed values show it.
    pub retain_as_published: bool,
    /// Whether the session is spared what it published itself.
    pub no_local: bool,
    /// Whether the subscription gets a copy of its own of a message that others of the session match too; otherwise
    /// they share one.
    pub separate: bool,
    /// Tells the subscriber which of its subscriptions a message came by.
    pub id: Option<SubscriptionId>,
}

impl SubscriptionOptions {
    /// Messages up to `class_max`, from whomever, and the retained values at each subscribing.
    #[must_use]
    pub const fn new(class_max: Class) -> Self {
        Self {
            class_max,
            retain_handling: RetainHandling::EachTime,
            retain_as_published: false,
            no_local: false,
            separate: false,
            id: None,
        }
    }
}

/// When a subscription gets the retained values that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainHandling {
    /// Each time it is made or renewed.
    EachTime,
    /// When it is made, not when it replaces one.
    WhenNew,
    /// Never.
    Never,
}

/// A subscriber's name for one of its subscriptions, handed back with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(NonZeroU32);

impl SubscriptionId {
    /// The greatest number: what a variable byte integer of four bytes holds. It leaves the index four bits for the other
    /// options.
    pub const MAX: u32 = (1 << 28) - 1;

    /// The identifier with this number, unless it is zero or greater than [`SubscriptionId::MAX`].
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(n) if number <= Self::MAX => Some(Self(n)),
            _ => None,
        }
    }

    /// The number, never zero.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

/// Names an unconfirmed delivery within its session. A stack may use it on the wire as it is (MQTT's packet
/// identifier); it is stable over reconnects of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(NonZeroU16);

impl DeliveryId {
    /// The identifier with this number, unless it is zero.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The number, never zero.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}
