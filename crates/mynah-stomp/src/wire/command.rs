//! The commands of frames ("Augmented BNF").

use core::fmt;

use super::{Escaping, HeaderRules};
use crate::Version;

/// The first line of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A client asks to be let in.
    Connect,
    /// The same by another name ("CONNECT or STOMP Frame").
    Stomp,
    /// A client publishes.
    Send,
    /// A client wants messages.
    Subscribe,
    /// A client wants them no longer.
    Unsubscribe,
    /// A client has consumed a message.
    Ack,
    /// A client has not consumed a message.
    Nack,
    /// A client begins a transaction.
    Begin,
    /// A client ends a transaction: all of it is to be done.
    Commit,
    /// A client ends a transaction: nothing of it is to be done.
    Abort,
    /// A client leaves.
    Disconnect,
    /// The server lets a client in.
    Connected,
    /// A message for a client.
    Message,
    /// The server has done what a client asked for.
    Receipt,
    /// Something is wrong, and the connection ends.
    Error,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Stomp,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ack,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Connected,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

    /// Octets of the longest command.
    pub const OCTETS_MAX: usize = "UNSUBSCRIBE".len();

    /// The command as it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Connected => "CONNECTED",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// The command that is written so. Case matters.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        Some(match octets {
            b"SEND" => Self::Send,
            b"MESSAGE" => Self::Message,
            b"ACK" => Self::Ack,
            b"RECEIPT" => Self::Receipt,
            _ => Self::ALL.into_iter().find(|command| command.text().as_bytes() == octets)?,
        })
    }

    /// Whether a command begins with these octets.
    #[must_use]
    pub fn may_begin(octets: &[u8]) -> bool {
        Self::ALL.iter().any(|command| command.text().as_bytes().starts_with(octets))
    }

    /// How the headers of such a frame are read. CONNECT and CONNECTED are never escaped; as their version is not known
    /// yet, a carriage return ends their lines.
    #[must_use]
    pub const fn header_rules(self, version: Version) -> HeaderRules {
        match self {
            Self::Connect | Self::Stomp | Self::Connected => {
                HeaderRules { escaping: Escaping::None, pads: false, cr_ends_lines: true }
            }
            _ => HeaderRules {
                escaping: version.escaping(),
                pads: version.pads(),
                cr_ends_lines: !matches!(version, Version::V1_1),
            },
        }
    }

    /// Whether such a frame is one of a server.
    #[must_use]
    pub const fn is_of_server(self) -> bool {
        matches!(self, Self::Connected | Self::Message | Self::Receipt | Self::Error)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= stomp-1.2 [frame-case]
    #[test]
    fn commands_are_found_as_they_are_written() {
        for command in Command::ALL {
            assert_eq!(Command::from_octets(command.text().as_bytes()), Some(command));
            assert!(command.text().len() <= Command::OCTETS_MAX);
            assert!(Command::may_begin(&command.text().as_bytes()[..2]));
        }
        for wrong in [&b"send"[..], b"SEND ", b"", b"SENDS", b"\x16\x03\x01"] {
            assert_eq!(Command::from_octets(wrong), None);
        }
        assert!(!Command::may_begin(b"GE") && !Command::may_begin(b"s"));
    }
}
