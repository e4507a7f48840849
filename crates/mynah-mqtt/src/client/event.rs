//! What a client tells its program.

use alloc::vec::Vec;
use core::fmt;

use mynah_model::{Class, Message};

use crate::Error;
use crate::wire::{ConnectReturnCode, PacketId};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The server let the client in.
    Connected {
        /// Whether it still has the session of an earlier connection; never said in MQTT 3.1.
        session_present: bool,
    },
    /// A message. It is acknowledged when this event is taken.
    Message {
        /// The message; [`mynah_model::Header::retain`] says whether it is a retained value.
        message: Message,
        /// Whether it may have come before.
        dup: bool,
    },
    /// A publication of QoS 1 or 2 has arrived.
    Acknowledged {
        /// What [`super::Client::publish`] returned.
        id: PacketId,
    },
    /// A SUBSCRIBE is answered.
    Subscribed {
        /// What [`super::Client::subscribe`] returned.
        id: PacketId,
        /// For each filter, in its order, the highest QoS, or nothing if it was refused.
        granted: Vec<Option<Class>>,
    },
    /// An UNSUBSCRIBE is answered.
    Unsubscribed {
        /// What [`super::Client::unsubscribe`] returned.
        id: PacketId,
    },
    /// The connection is over: when the outbound bytes are written, the transport is to be closed.
    Closed(Ending),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program asked for it.
    Disconnected,
    /// The server, or the way to it, ended it.
    Lost,
    /// The server did not let the client in.
    Refused(ConnectReturnCode),
    /// The server broke the protocol.
    Failed(Error),
    /// The server did not answer in time.
    TimedOut,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("disconnected"),
            Self::Lost => f.write_str("connection lost"),
            Self::Refused(code) => write!(f, "connection refused: {code}"),
            Self::Failed(error) => write!(f, "the server broke the protocol: {error}"),
            Self::TimedOut => f.write_str("the server does not answer"),
        }
    }
}
