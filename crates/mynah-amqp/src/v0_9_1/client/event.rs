//! What a client tells its program.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::v0_9_1::wire::{BasicProperties, Method, MethodId, connection, split_id};
use crate::v0_9_1::{Error, Malformed};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The virtual host is open.
    Connected,
    /// The mechanism wants to hear more: answer by [`super::Client::respond`].
    Challenge(Box<[u8]>),
    /// A channel is open.
    ChannelOpened(u16),
    /// A channel is closed: by the server with the reason, or by the program without one.
    ChannelClosed {
        /// Its number.
        channel: u16,
        /// channel.close, as it came.
        reason: Option<OwnedMethod>,
    },
    /// A method of the server: an answer, or basic.cancel, or connection.blocked and unblocked.
    Method {
        /// The channel.
        channel: u16,
        /// The method.
        method: OwnedMethod,
    },
    /// A message: by basic.deliver, basic.get-ok or basic.return.
    Message {
        /// The channel.
        channel: u16,
        /// The method.
        method: OwnedMethod,
        /// What the message says of itself, see [`Event::properties`].
        properties: Box<[u8]>,
        /// The body.
        body: Box<[u8]>,
    },
    /// Publications are confirmed.
    Confirmed {
        /// The channel.
        channel: u16,
        /// Their numbers.
        tags: Vec<u64>,
        /// Whether they were taken.
        accepted: bool,
    },
    /// The server stops or starts contents of a channel; it has been answered.
    Flow {
        /// The channel.
        channel: u16,
        /// Whether contents may be sent.
        active: bool,
    },
    /// The connection is over: when the outbound bytes are written, the transport is to be closed.
    Closed(Ending),
}

impl Event {
    /// The properties of a message.
    #[must_use]
    pub fn properties(&self) -> BasicProperties<'_> {
        match self {
            Self::Message { properties, .. } => BasicProperties::from_checked(properties),
            _ => BasicProperties::EMPTY,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program said good-bye.
    Finished,
    /// The transport was closed.
    Lost,
    /// The server did not answer, or was silent for too long.
    TimedOut,
    /// The server closed it: connection.close, as it came.
    Refused(OwnedMethod),
    /// The server speaks another version.
    Version,
    /// The server offers no mechanism that the client has.
    Mechanism,
    /// The server broke the protocol.
    Error(Error),
}

/// A method that has been checked, in memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMethod(Box<[u8]>);

impl OwnedMethod {
    pub(super) fn new(payload: &[u8]) -> Result<Self, Malformed> {
        Method::from_payload(payload)?;
        Ok(Self(payload.into()))
    }

    /// The method.
    #[must_use]
    pub fn get(&self) -> Method<'_> {
        Method::from_payload(&self.0).unwrap_or(Method::ConnectionCloseOk(connection::CloseOk {}))
    }

    /// The method's numbers.
    #[must_use]
    pub fn id(&self) -> MethodId {
        split_id(&self.0).map_or(MethodId::NONE, |(id, _)| id)
    }
}
