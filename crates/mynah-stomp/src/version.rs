//! The versions of the protocol, and what differs between them.

use core::fmt;

use crate::wire::Escaping;

/// A version of STOMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// STOMP 1.0: nothing is escaped, values may be padded, a subscription needs no identifier.
    #[default]
    V1_0,
    /// STOMP 1.1: heart-beats, NACK and escapes.
    V1_1,
    /// STOMP 1.2: lines may end with CR and LF, and an acknowledgement has an identifier of its own.
    V1_2,
}

impl Version {
    /// All versions, the oldest first.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// The version as it is written in headers.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The version that is written so.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.text() == text)
    }

    /// The highest version of those that a client lists in `accept-version`; a client that lists none speaks 1.0 ("Protocol
    /// Negotiation"). Absent if there is none in common.
    #[must_use]
    pub fn negotiate(accept_version: Option<&str>) -> Option<Self> {
        let Some(listed) = accept_version else { return Some(Self::V1_0) };
        listed.split(',').filter_map(|version| Self::from_text(version.trim_matches(' '))).max()
    }

    /// How headers are escaped, except those of CONNECT and CONNECTED ("Value Encoding").
    #[must_use]
    pub const fn escaping(self) -> Escaping {
        match self {
            Self::V1_0 => Escaping::None,
            Self::V1_1 => Escaping::V1_1,
            Self::V1_2 => Escaping::V1_2,
        }
    }

    /// Whether spaces around a header's name and value are padding.
    #[must_use]
    pub const fn pads(self) -> bool {
        matches!(self, Self::V1_0)
    }

    /// Whether there are heart-beats and NACK.
    #[must_use]
    pub const fn has_heart_beats(self) -> bool {
        !matches!(self, Self::V1_0)
    }

    /// Whether MESSAGE has an `ack` header that ACK and NACK name.
    #[must_use]
    pub const fn has_ack_ids(self) -> bool {
        matches!(self, Self::V1_2)
    }

    /// Whether a subscription has to have an identifier.
    #[must_use]
    pub const fn demands_subscription_ids(self) -> bool {
        !matches!(self, Self::V1_0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= stomp-1.2 [negotiation-highest] [negotiation-missing]
    #[test]
    fn the_highest_version_in_common_is_spoken() {
        for (accept_version, version) in [
            (None, Some(Version::V1_0)),
            (Some("1.0"), Some(Version::V1_0)),
            (Some("1.0,1.1,2.0"), Some(Version::V1_1)),
            (Some("1.2,1.1,1.0"), Some(Version::V1_2)),
            (Some("1.1, 1.2"), Some(Version::V1_2)),
            (Some("2.0"), None),
            (Some(""), None),
            (Some("1.20"), None),
        ] {
            assert_eq!(Version::negotiate(accept_version), version, "{accept_version:?}");
        }
    }
}
