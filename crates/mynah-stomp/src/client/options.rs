//! How a client connects, and what can be wrong with what its program asks.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::Version;
use crate::framing::FrameLimits;
use crate::wire::{Connect, HeartBeat};

/// How a client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The lowest version that the program is content with. Default: 1.0.
    pub version_min: Version,
    /// The virtual host.
    pub host: Box<str>,
    /// User name.
    pub login: Option<Box<str>>,
    /// Password.
    pub passcode: Option<Box<str>>,
    /// Names the client, for durable subscriptions as ActiveMQ has them.
    pub client_id: Option<Box<str>>,
    /// Heart-beats. Default: none.
    pub heart_beat: HeartBeat,
    /// How long the server may take to answer CONNECT, and DISCONNECT. Default 10 s.
    pub response_timeout: Duration,
    /// What a frame of the server may have. Default: 16 MiB, 64 KiB of headers, 256 of them.
    pub limits: FrameLimits,
}

impl Options {
    /// A client of all versions, without a user name.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            version_min: Version::V1_0,
            host: host.into(),
            login: None,
            passcode: None,
            client_id: None,
            heart_beat: HeartBeat::default(),
            response_timeout: Duration::from_secs(10),
            limits: FrameLimits { frame_octets_max: 16 << 20, head_octets_max: 64 << 10, headers_max: 256 },
        }
    }

    pub(super) fn to_connect(&self) -> Connect<'_> {
        let mut versions = String::new();
        for version in Version::ALL.into_iter().filter(|version| *version >= self.version_min) {
            if !versions.is_empty() {
                versions.push(',');
            }
            versions.push_str(version.text());
        }
        Connect {
            accept_version: Some(versions.into()),
            host: Some((&*self.host).into()),
            login: self.login.as_deref().map(Into::into),
            passcode: self.passcode.as_deref().map(Into::into),
            client_id: self.client_id.as_deref().map(Into::into),
            heart_beat: self.heart_beat,
        }
    }
}

/// What a program asked for and cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The connection is not open.
    NotOpen,
    /// A value holds what a frame of this version cannot spell: NUL, or in CONNECT and in STOMP 1.0 a line feed.
    Unspeakable,
    /// The version that is spoken has no such frame.
    Version,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the connection is not open",
            Self::Unspeakable => "a header cannot be spelled",
            Self::Version => "the version that is spoken has no such frame",
        })
    }
}

impl core::error::Error for Misuse {}
