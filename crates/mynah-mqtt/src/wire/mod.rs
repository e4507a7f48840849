//! Packets as data: one file for each, with decode (borrowed from the stream) and encode.
//!
//! Nothing here knows what was sent before. Decoding starts at the variable header: framing has read the fixed one.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod fields;
mod ping;
pub mod properties;
mod publish;
mod reason_code;
mod suback;
mod subscribe;
mod text;
mod unsuback;
mod unsubscribe;

use core::num::NonZeroU16;

use mynah_model::DeliveryId;

use crate::Version;

pub(crate) use fields::{push_variable, read_variable, variable_bytes, variable_len};

pub use ack::{Ack, AckType, AckV5};
pub use auth::Auth;
pub use connack::{Connack, ConnackV5, ConnectReturnCode};
pub use connect::{Connect, ConnectField, Will};
pub use disconnect::{Disconnect, DisconnectV5};
pub use ping::{Pingreq, Pingresp};
pub use publish::Publish;
pub use reason_code::ReasonCode;
pub use suback::{Suback, SubackV5, SubscribeReturnCode};
pub use subscribe::{RetainHandling, Subscribe, SubscribeEntry};
pub use text::{TextRule, check_text, check_topic_filter, check_topic_name};
pub use unsuback::{Unsuback, UnsubackV5};
pub use unsubscribe::Unsubscribe;

/// The type of a control packet (section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Client requests to connect.
    Connect = 1,
    /// Server answers CONNECT.
    Connack = 2,
    /// A message, in either direction.
    Publish = 3,
    /// Answers a PUBLISH of QoS 1.
    Puback = 4,
    /// Answers a PUBLISH of QoS 2.
    Pubrec = 5,
    /// Answers PUBREC.
    Pubrel = 6,
    /// Answers PUBREL.
    Pubcomp = 7,
    /// Client requests subscriptions.
    Subscribe = 8,
    /// Server answers SUBSCRIBE.
    Suback = 9,
    /// Client gives subscriptions up.
    Unsubscribe = 10,
    /// Server answers UNSUBSCRIBE.
    Unsuback = 11,
    /// Client shows that it is alive.
    Pingreq = 12,
    /// Server answers PINGREQ.
    Pingresp = 13,
    /// An end says good-bye.
    Disconnect = 14,
    /// A step of an extended authentication, in MQTT 5.0.
    Auth = 15,
}

impl PacketType {
    /// The type with this number; 0 is reserved, and 15 too before MQTT 5.0.
    #[must_use]
    pub const fn from_number(number: u8, version: Version) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 if version.has_properties() => Self::Auth,
            _ => return None,
        })
    }

    /// Whether the fixed header of this type may carry `flags` (table 2.2). PUBLISH reads its own, and CONNECT says
    /// what the version is only later.
    #[must_use]
    pub const fn allows_flags(self, version: Version, flags: u8) -> bool {
        match self {
            Self::Publish | Self::Connect => true,
            _ => flags == self.flags() || !version.checks_reserved_flags(),
        }
    }

    /// The first byte of the fixed header; for PUBLISH with all flags clear.
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.flags()
    }

    const fn flags(self) -> u8 {
        match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// A packet identifier: never zero ([MQTT-2.3.1-1]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The lowest identifier.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// The identifier with this number, unless it is zero.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, never zero.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// The identifier that follows: 1 after 65,535.
    #[must_use]
    pub const fn next(self) -> Self {
        match Self::new(self.number().wrapping_add(1)) {
            Some(next) => next,
            None => Self(NonZeroU16::MIN),
        }
    }
}

impl From<DeliveryId> for PacketId {
    /// A delivery is named on the wire as it is in its session.
    fn from(id: DeliveryId) -> Self {
        Self(NonZeroU16::new(id.number()).unwrap_or(NonZeroU16::MIN))
    }
}
