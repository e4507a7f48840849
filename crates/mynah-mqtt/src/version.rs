//! Protocol versions as data: what differs between them is asked of the version, not of a copy of the code.
//!
//! "MQTT 3.1" is the specification "MQTT V3.1 Protocol Specification" of IBM and Eurotech, 19 August 2010. Its sections
//! are not numbered and its statements have no ids.

use crate::Refused;

/// A version of MQTT that this crate speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1 (19 August 2010).
    V3_1,
    /// MQTT 3.1.1 (OASIS Standard, 29 October 2014).
    #[default]
    V3_1_1,
    /// MQTT 5.0 (OASIS Standard, 7 March 2019).
    V5,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V3_1, Self::V3_1_1, Self::V5];

    /// The levels that some version of MQTT has, whether it is spoken here or not.
    const LEVELS_DEFINED: core::ops::RangeInclusive<u8> = 3..=5;

    /// The protocol name in CONNECT (section 3.1.2.1).
    #[must_use]
    pub const fn protocol_name(self) -> &'static [u8] {
        match self {
            Self::V3_1 => b"MQIsdp",
            Self::V3_1_1 | Self::V5 => b"MQTT",
        }
    }

    /// The protocol level in CONNECT (section 3.1.2.2).
    #[must_use]
    pub const fn protocol_level(self) -> u8 {
        match self {
            Self::V3_1 => 3,
            Self::V3_1_1 => 4,
            Self::V5 => 5,
        }
    }

    /// The version that a CONNECT with this protocol name, one of those that exist, and this level asks for.
    ///
    /// # Errors
    /// [`Refused::ProtocolLevel`] for a level that another name or a version not spoken here has, and
    /// [`Refused::UnknownProtocolLevel`] for one that no version has.
    pub fn asked_for(name: &[u8], level: u8) -> Result<Self, Refused> {
        let is_it = |version: &Self| version.protocol_name() == name && version.protocol_level() == level;
        let refusal = if Self::LEVELS_DEFINED.contains(&level) {
            Refused::ProtocolLevel
        } else {
            Refused::UnknownProtocolLevel
        };
        Self::ALL.into_iter().find(is_it).ok_or(refusal)
    }

    /// Whether flags without a meaning have to have their value: [MQTT-2.2.2-2] for the fixed header, [MQTT-3.1.2-3]
    /// and [MQTT-3.1.2-11] for CONNECT. MQTT 3.1 calls them unused and disregards them; DUP may be set on SUBSCRIBE,
    /// UNSUBSCRIBE and PUBREL.
    #[must_use]
    pub const fn checks_reserved_flags(self) -> bool {
        match self {
            Self::V3_1 => false,
            Self::V3_1_1 | Self::V5 => true,
        }
    }

    /// Whether a user name and a password may be missing although their flags are set: in MQTT 3.1 the remaining
    /// length takes precedence over the flags.
    #[must_use]
    pub const fn credentials_may_be_missing(self) -> bool {
        match self {
            Self::V3_1 => true,
            Self::V3_1_1 | Self::V5 => false,
        }
    }

    /// Whether a client may leave the choice of its identifier to the server ([MQTT-3.1.3-6]).
    #[must_use]
    pub const fn allows_empty_client_id(self) -> bool {
        match self {
            Self::V3_1 => false,
            Self::V3_1_1 | Self::V5 => true,
        }
    }

    /// Whether packets have properties and reason codes.
    #[must_use]
    pub const fn has_properties(self) -> bool {
        match self {
            Self::V3_1 | Self::V3_1_1 => false,
            Self::V5 => true,
        }
    }

    /// Whether a length has to be spelled in as few bytes as it needs ([MQTT-1.5.5-1] of MQTT 5.0).
    #[must_use]
    pub const fn demands_minimal_lengths(self) -> bool {
        self.has_properties()
    }

    /// Whether there may be a password without a user name; [MQTT-3.1.2-22] of MQTT 3.1.1 forbids it.
    #[must_use]
    pub const fn allows_password_alone(self) -> bool {
        self.has_properties()
    }

    /// How many characters of a client identifier every server takes, where a client may not send more.
    #[must_use]
    pub const fn client_id_chars_max(self) -> Option<usize> {
        match self {
            Self::V3_1 => Some(23),
            Self::V3_1_1 | Self::V5 => None,
        }
    }

    /// Whether CONNACK says that a session was there; MQTT 3.1 has a reserved byte in that place.
    #[must_use]
    pub const fn tells_session_present(self) -> bool {
        match self {
            Self::V3_1 => false,
            Self::V3_1_1 | Self::V5 => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_level_belong_together() {
        for version in Version::ALL {
            let (name, level) = (version.protocol_name(), version.protocol_level());
            assert_eq!(Version::asked_for(name, level), Ok(version));
        }
        for (name, level, refusal) in [
            (&b"MQIsdp"[..], 4, Refused::ProtocolLevel),
            (b"MQTT", 3, Refused::ProtocolLevel),
            (b"MQIsdp", 5, Refused::ProtocolLevel),
            (b"MQTT", 2, Refused::UnknownProtocolLevel),
            (b"MQIsdp", 6, Refused::UnknownProtocolLevel),
            (b"MQTT", 0x84, Refused::UnknownProtocolLevel),
        ] {
            assert_eq!(Version::asked_for(name, level), Err(refusal));
        }
    }
}
