//! CONNACK (section 3.2).
//!
//! ```text
//! | 0x20 | 2 | 0000000, session present | return code |
//! ```

use super::PacketType;
use super::fields::Fields;
use crate::{Error, Malformed, Version, Violation};

/// The answer to CONNECT.
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
