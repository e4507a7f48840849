//! CONNACK (section 3.2).
//!
//! ```text
//! | 0x20 | 2 | 0000000, session present | return code |
//! | 0x20 | remaining length | 0000000, session present | reason code | properties |    (MQTT 5.0)
//! ```

use alloc::vec::Vec;

use super::fields::{Fields, push_packet};
use super::properties::{ConnackProperties, PropertyHolder, encode_section};
use super::{PacketType, ReasonCode, TextRule};
use crate::{Error, Malformed, Version, Violation};

/// The answer to a CONNECT of MQTT 3.1.1 or 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether the server had a session for the client.
    pub session_present: bool,
    /// Whether the client is let in.
    pub return_code: ConnectReturnCode,
}

/// Whether a client is let in, or why not (table 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectReturnCode {
    /// The client is let in.
    Accepted = 0,
    /// The server does not speak this level of the protocol.
    UnacceptableProtocolLevel = 1,
    /// The client identifier is not allowed.
    IdentifierRejected = 2,
    /// The server has no room at this moment.
    ServerUnavailable = 3,
    /// The name or the password is wrong.
    BadUserNameOrPassword = 4,
    /// The client may not connect.
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// The code with this number; 6 to 255 are reserved.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Accepted,
            1 => Self::UnacceptableProtocolLevel,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }
}

impl core::fmt::Display for ConnectReturnCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::UnacceptableProtocolLevel => "unacceptable protocol level",
            Self::IdentifierRejected => "client identifier rejected",
            Self::ServerUnavailable => "server unavailable",
            Self::BadUserNameOrPassword => "bad user name or password",
            Self::NotAuthorized => "not authorized",
        })
    }
}

impl Connack {
    /// Reads the body of a CONNACK.
    ///
    /// # Errors
    /// The body has another length, an undefined flag or code, or a refusal with a session ([MQTT-3.2.2-4]).
    pub fn decode(body: &[u8], version: Version) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let (flags, code) = (fields.byte()?, fields.byte()?);
        fields.finish()?;
        let flags = if version.tells_session_present() { flags } else { 0 };
        let return_code = ConnectReturnCode::from_number(code).ok_or(Malformed::Connack)?;
        if flags > 1 {
            return Err(Malformed::Connack.into());
        }
        if flags == 1 && return_code != ConnectReturnCode::Accepted {
            return Err(Violation::SessionPresentInRefusal.into());
        }
        Ok(Self { session_present: flags == 1, return_code })
    }

    /// The packet.
    #[must_use]
    pub const fn encode(self) -> [u8; 4] {
        [PacketType::Connack.first_byte(), 2, self.session_present as u8, self.return_code as u8]
    }
}

/// The answer to a CONNECT of MQTT 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnackV5<'b> {
    /// Whether the server had a session for the client.
    pub session_present: bool,
    /// Whether the client is let in, or why not.
    pub reason_code: ReasonCode,
    /// What the server takes and has chosen.
    pub properties: ConnackProperties<'b>,
}

impl<'b> ConnackV5<'b> {
    /// A refusal without properties. It never claims a session ([MQTT-3.2.2-6]).
    #[must_use]
    pub fn refusal(reason_code: ReasonCode) -> Self {
        Self { session_present: false, reason_code, properties: ConnackProperties::default() }
    }

    /// Reads the body of a CONNACK.
    ///
    /// # Errors
    /// An undefined flag ([MQTT-3.2.2-1]) or code, a refusal with a session ([MQTT-3.2.2-6]), properties that are not.
    pub fn decode(body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let flags = fields.byte()?;
        if flags > 1 {
            return Err(Malformed::Connack.into());
        }
        let reason_code = ReasonCode::decode(fields.byte()?, PacketType::Connack)?;
        let properties = fields.properties(PropertyHolder::Connack, rule)?.into();
        fields.finish()?;
        if flags == 1 && reason_code != ReasonCode::Success {
            return Err(Violation::SessionPresentInRefusal.into());
        }
        Ok(Self { session_present: flags == 1, reason_code, properties })
    }

    /// Writes the packet, without explanations that would make it larger than `size_max` bytes ([MQTT-3.2.2-19],
    /// [MQTT-3.2.2-20]). False, and nothing is written, if it is larger without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let Some(section) = encode_section(self.properties.iter(), 2, size_max) else { return false };
        let head = [u8::from(self.session_present), self.reason_code.number()];
        push_packet(PacketType::Connack, &[&head, &section], out);
        true
    }
}
