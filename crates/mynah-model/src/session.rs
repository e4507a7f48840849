//! Sessions: what outlives a connection, and how its messages are wanted.

use core::num::NonZeroU16;
use core::time::Duration;

use crate::Class;

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

/// How the messages of a subscription are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Messages of a higher class are delivered with this one.
    pub class_max: Class,
    /// Whether the retained values that match are delivered at once.
    pub replay_retained: bool,
    /// Whether a live message shows the retain flag it was published with; otherwise only replayed values show it.
    pub retain_as_published: bool,
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
