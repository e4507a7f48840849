//! The guarantee a message asks for.

/// Delivery guarantee of a message, ordered from the weakest to the strongest.
///
/// It is a property of the message (MQTT QoS, AMQP durable, CoAP CON); a subscriber may lower it, never raise it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Delivered once or lost.
    #[default]
    AtMostOnce = 0,
    /// Delivered until the receiver has confirmed it; duplicates are possible.
    AtLeastOnce = 1,
    /// Delivered once, by a two-phase exchange on every hop that has one.
    ExactlyOnce = 2,
}

impl Class {
    /// The class with this number (0, 1 or 2).
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The number of the class: 0, 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether a receiver has to confirm a delivery of this class.
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        !matches!(self, Self::AtMostOnce)
    }
}
