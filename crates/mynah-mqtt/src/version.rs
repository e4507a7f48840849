//! Protocol versions as data: what differs between them is asked of the version, not of a copy of the code.

/// A version of MQTT that this crate speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1.1 (OASIS Standard, 29 October 2014).
    #[default]
    V3_1_1,
}

impl Version {
    /// The protocol name in CONNECT (section 3.1.2.1).
    #[must_use]
    pub const fn protocol_name(self) -> &'static [u8] {
        match self {
            Self::V3_1_1 => b"MQTT",
        }
    }

    /// The protocol level in CONNECT (section 3.1.2.2).
    #[must_use]
    pub const fn protocol_level(self) -> u8 {
        match self {
            Self::V3_1_1 => 4,
        }
    }

    /// The version that a CONNECT with this protocol level asks for.
    #[must_use]
    pub const fn from_protocol_level(level: u8) -> Option<Self> {
        match level {
            4 => Some(Self::V3_1_1),
            _ => None,
        }
    }
}
