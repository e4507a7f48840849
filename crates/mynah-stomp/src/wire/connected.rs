//! CONNECTED: the server lets a client in ("CONNECTED Frame").

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Command, Escaping, Frame, HeartBeat, push_body, push_command, push_header};
use crate::{Version, Violation};

/// The server's answer to CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connected<'b> {
    /// The version that is spoken; a server of STOMP 1.0 does not say it.
    pub version: Version,
    /// Names the session.
    pub session: Option<Cow<'b, str>>,
    /// The server's name and version.
    pub server: Option<Cow<'b, str>>,
    /// Heart-beats.
    pub heart_beat: HeartBeat,
}

impl<'b> Connected<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The version is not one that there is, or `heart-beat` is malformed.
    pub fn decode(frame: Frame<'b>) -> Result<Self, Violation> {
        let version = match frame.headers.get("version") {
            None => Version::V1_0,
            Some(text) => Version::from_text(&text).ok_or(Violation::HeaderValue("version"))?,
        };
        Ok(Self {
            version,
            session: frame.headers.get("session"),
            server: frame.headers.get("server"),
            heart_beat: HeartBeat::decode(frame.headers.get("heart-beat").as_deref())?,
        })
    }

    /// Appends the frame. What it cannot spell is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        push_command(Command::Connected, out);
        push_header("version", self.version.text(), Escaping::None, out);
        for (name, value) in [("session", &self.session), ("server", &self.server)] {
            if let Some(value) = value {
                push_header(name, value, Escaping::None, out);
            }
        }
        if self.version.has_heart_beats() {
            push_header("heart-beat", &self.heart_beat.encode(), Escaping::None, out);
        }
        push_body(b"", out);
    }
}
