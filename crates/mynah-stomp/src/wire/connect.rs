//! CONNECT, and STOMP which means the same ("CONNECT or STOMP Frame").

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Command, Escaping, Frame, HeartBeat, push_body, push_command, push_header};
use crate::{Refused, Version};

/// A client asks to be let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The versions that the client speaks.
    pub accept_version: Option<Cow<'b, str>>,
    /// The virtual host that the client wants.
    pub host: Option<Cow<'b, str>>,
    /// User name.
    pub login: Option<Cow<'b, str>>,
    /// Password.
    pub passcode: Option<Cow<'b, str>>,
    /// Names the client, for durable subscriptions as ActiveMQ has them.
    pub client_id: Option<Cow<'b, str>>,
    /// Heart-beats.
    pub heart_beat: HeartBeat,
}

impl<'b> Connect<'b> {
    /// Reads the frame, and which version is to be spoken. Values of STOMP 1.0 may be padded.
    ///
    /// # Errors
    /// There is no version in common, or `heart-beat` is malformed.
    pub fn decode(frame: Frame<'b>) -> Result<(Self, Version), crate::Error> {
        let accept_version = frame.headers.get("accept-version");
        let version = Version::negotiate(accept_version.as_deref()).ok_or(Refused::Version)?;
        let get = |name| match frame.headers.get(name) {
            Some(Cow::Borrowed(value)) if version.pads() => Some(Cow::Borrowed(value.trim_matches(' '))),
            value => value,
        };
        let heart_beat = if version.has_heart_beats() {
            HeartBeat::decode(frame.headers.get("heart-beat").as_deref())?
        } else {
            HeartBeat::default()
        };
        let connect = Self {
            host: get("host"),
            login: get("login"),
            passcode: get("passcode"),
            client_id: get("client-id"),
            heart_beat,
            accept_version,
        };
        Ok((connect, version))
    }

    /// Appends the frame. Returns false, and appends nothing, if a value holds a line feed or NUL, which this frame cannot
    /// spell.
    #[must_use]
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let at = out.len();
        push_command(Command::Connect, out);
        let heart_beat = (self.heart_beat != HeartBeat::default()).then(|| self.heart_beat.encode());
        let headers = [
            ("accept-version", self.accept_version.as_deref()),
            ("host", self.host.as_deref()),
            ("login", self.login.as_deref()),
            ("passcode", self.passcode.as_deref()),
            ("client-id", self.client_id.as_deref()),
            ("heart-beat", heart_beat.as_deref()),
        ];
        let said = headers.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        for (name, value) in said {
            if !push_header(name, value, Escaping::None, out) {
                out.truncate(at);
                return false;
            }
        }
        push_body(b"", out);
        true
    }
}
