//! What a client is told before it connects, and what it refuses to do.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::v0_9_1::Mechanism;
use crate::v0_9_1::wire::{FRAME_MIN_SIZE, TableBuilder, Value};

/// How a client proves who it is.
#[derive(Clone)]
pub enum Login {
    /// User name and password.
    Plain {
        /// User name, without NUL.
        user: Box<str>,
        /// Password, without NUL.
        password: Box<[u8]>,
    },
    /// User name and password in a field table.
    Amqplain {
        /// User name.
        user: Box<str>,
        /// Password.
        password: Box<[u8]>,
    },
    /// By its certificate.
    External,
    /// By a mechanism that the program carries out: [`super::Event::Challenge`] is answered by
    /// [`super::Client::respond`].
    Other {
        /// The mechanism's name.
        mechanism: Box<str>,
        /// Its first message.
        response: Box<[u8]>,
    },
}

impl fmt::Debug for Login {
    /// Shows the mechanism; what it says is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.mechanism()).finish()
    }
}

impl Login {
    pub(super) fn mechanism(&self) -> &str {
        match self {
            Self::Plain { .. } => Mechanism::Plain.name(),
            Self::Amqplain { .. } => Mechanism::Amqplain.name(),
            Self::External => Mechanism::External.name(),
            Self::Other { mechanism, .. } => mechanism,
        }
    }

    pub(super) fn response(&self) -> Vec<u8> {
        match self {
            Self::Plain { user, password } => [b"\0", user.as_bytes(), b"\0", password].concat(),
            Self::Amqplain { user, password } => {
                let table = TableBuilder::new()
                    .with("LOGIN", Value::LongStr(user.as_bytes()))
                    .with("PASSWORD", Value::LongStr(password));
                table.as_table().as_bytes().to_vec()
            }
            Self::External => Vec::new(),
            Self::Other { response, .. } => response.to_vec(),
        }
    }
}

/// What a client goes by.
#[derive(Clone, Debug)]
pub struct Options {
    /// How it proves who it is.
    pub login: Login,
    /// The virtual host, of at most 255 bytes. Default `/`.
    pub virtual_host: Box<str>,
    /// Bytes of the largest frame that it sends and takes, at least 4,096. Default 128 KiB.
    pub frame_bytes_max: u32,
    /// The highest number of a channel. Default 2,047.
    pub channel_max: u16,
    /// Seconds between heartbeats; 0: none. Default: what the server proposes.
    pub heartbeat: Option<u16>,
    /// How long the server may take to answer while the connection opens and closes. Default 10 s.
    pub response_timeout: Duration,
    /// Bytes of the largest body of a message that it takes. Default 64 MiB.
    pub body_bytes_max: usize,
    /// What it says of itself beside what it understands.
    pub properties: TableBuilder,
}

impl Options {
    /// The defaults with a login.
    #[must_use]
    pub fn new(login: Login) -> Self {
        Self {
            login,
            virtual_host: "/".into(),
            frame_bytes_max: 128 << 10,
            channel_max: 2_047,
            heartbeat: None,
            response_timeout: Duration::from_secs(10),
            body_bytes_max: 64 << 20,
            properties: TableBuilder::new(),
        }
    }

    pub(super) fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max.max(FRAME_MIN_SIZE)
    }
}

/// What a client does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The connection is not open.
    NotOpen,
    /// The channel is not open.
    ChannelNotOpen,
    /// All numbers of channels are in use.
    NoChannelLeft,
    /// Only a server sends this method.
    Sender,
    /// The method is of another channel, or one that the client has a function of its own for.
    WrongChannel,
    /// The server does not want contents for now.
    Stopped,
    /// The properties do not fit into a frame.
    PropertiesTooLarge,
    /// The method does not fit into a frame.
    MethodTooLarge,
    /// The tag names no delivery or challenge that waits.
    NotAsked,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the connection is not open",
            Self::ChannelNotOpen => "the channel is not open",
            Self::NoChannelLeft => "all numbers of channels are in use",
            Self::Sender => "only a server sends this method",
            Self::WrongChannel => "the method is not for this channel, or has a function of its own",
            Self::Stopped => "the server does not want contents for now",
            Self::PropertiesTooLarge => "the properties do not fit into a frame",
            Self::MethodTooLarge => "the method does not fit into a frame",
            Self::NotAsked => "the server has not asked for this",
        })
    }
}

impl core::error::Error for Misuse {}
