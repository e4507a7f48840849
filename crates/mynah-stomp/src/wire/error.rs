//! ERROR: something is wrong, and the connection ends ("ERROR").

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Command, Frame, push_body, push_command, push_header};
use crate::Version;

/// The server's last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFrame<'b> {
    /// What is wrong, in a few words.
    pub message: Cow<'b, str>,
    /// The `receipt` of the frame that is to blame.
    pub receipt_id: Option<Cow<'b, str>>,
    /// The command of the frame that is to blame.
    pub command: Option<Command>,
    /// The header of it that is to blame.
    pub header: Option<Cow<'b, str>>,
    /// Versions that the server speaks, where none is in common.
    pub versions: Option<Cow<'b, str>>,
    /// More words. Text.
    pub body: Cow<'b, [u8]>,
}

impl<'b> ErrorFrame<'b> {
    /// The header that names the command of the frame that is to blame.
    pub const COMMAND: &'static str = "x-command";
    /// The header that names the header that is to blame.
    pub const HEADER: &'static str = "x-header";

    /// Reads the frame.
    #[must_use]
    pub fn decode(frame: Frame<'b>) -> Self {
        let headers = frame.headers;
        Self {
            message: headers.get("message").unwrap_or_default(),
            receipt_id: headers.get("receipt-id"),
            command: headers.get(Self::COMMAND).and_then(|text| Command::from_octets(text.as_bytes())),
            header: headers.get(Self::HEADER),
            versions: headers.get("version"),
            body: frame.body.into(),
        }
    }

    /// Appends the frame. What it cannot spell is left out.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let escaping = version.escaping();
        push_command(Command::Error, out);
        if let Some(receipt_id) = &self.receipt_id {
            push_header("receipt-id", receipt_id, escaping, out);
        }
        push_header("message", &self.message, escaping, out);
        let command = self.command.map(Command::text);
        let more = [
            (Self::COMMAND, command),
            (Self::HEADER, self.header.as_deref()),
            ("version", self.versions.as_deref()),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                push_header(name, value, escaping, out);
            }
        }
        push_header("content-type", "text/plain", escaping, out);
        push_header("content-length", &self.body.len().to_string(), escaping, out);
        push_body(&self.body, out);
    }
}
