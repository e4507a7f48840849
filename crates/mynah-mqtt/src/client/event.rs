//! What a client tells its program.

use alloc::vec::Vec;
use core::fmt;

use mynah_model::{Class, Message, SubscriptionId};

use super::OwnedSection;
use crate::Error;
use crate::wire::{ConnectReturnCode, PacketId, ReasonCode};

/// What happened. Reason codes and properties are of MQTT 5.0; before, the codes say no more than yes and no, and there
/// are no properties.
#[derive(Clone, Debug)]
pub enum Event {
    /// The server let the client in. What it takes is in [`super::Client::terms`].
    Connected {
        /// Whether it still has the session of an earlier connection; never said in MQTT 3.1.
        session_present: bool,
        /// What it said, see [`crate::wire::properties::ConnackProperties`].
        properties: OwnedSection,
    },
    /// The server wants to hear more in an exchange of authentication: answer by [`super::Client::authenticate`].
    Challenge {
        /// What it said, see [`crate::wire::properties::AuthProperties`].
        properties: OwnedSection,
    },
    /// An authentication that [`super::Client::reauthenticate`] began has succeeded.
    Authenticated {
        /// What the server said, see [`crate::wire::properties::AuthProperties`].
        properties: OwnedSection,
    },
    /// A message. It is acknowledged when this event is taken.
    Message {
        /// The message; [`mynah_model::Header::retain`] says whether it is a retained value, and
        /// [`crate::mapping::section`] what is said beside.
        message: Message,
        /// Whether it may have come before.
        dup: bool,
        /// Which of the client's subscriptions it came by, of those that have an identifier.
        subscription_ids: Vec<SubscriptionId>,
    },
    /// A publication of QoS 1 or 2 is over.
    Acknowledged {
        /// What [`super::Client::publish`] returned.
        id: PacketId,
        /// Whether it has arrived, or why not. A failure may also be the client's: the server of a resumed session takes
        /// no such message, and it was not sent.
        reason_code: ReasonCode,
        /// What the server said, see [`crate::wire::properties::AckProperties`].
        properties: OwnedSection,
    },
    /// A SUBSCRIBE is answered.
    Subscribed {
        /// What [`super::Client::subscribe`] returned.
        id: PacketId,
        /// For each filter, in its order, the highest QoS, or why it was refused.
        granted: Vec<Result<Class, ReasonCode>>,
        /// What the server said, see [`crate::wire::properties::SubackProperties`].
        properties: OwnedSection,
    },
    /// An UNSUBSCRIBE is answered.
    Unsubscribed {
        /// What [`super::Client::unsubscribe`] returned.
        id: PacketId,
        /// For each filter, in its order, what became of it; empty before MQTT 5.0.
        reason_codes: Vec<ReasonCode>,
        /// What the server said, see [`crate::wire::properties::UnsubackProperties`].
        properties: OwnedSection,
    },
    /// The connection is over: when the outbound bytes are written, the transport is to be closed.
    Closed {
        /// Why.
        ending: Ending,
        /// What the server said in refusing or in leaving, such as another server to use: see
        /// [`crate::wire::properties::ConnackProperties`] and [`crate::wire::properties::DisconnectProperties`].
        properties: OwnedSection,
    },
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program asked for it.
    Disconnected,
    /// The server, or the way to it, ended it.
    Lost,
    /// The server did not let the client in, in the words of MQTT 3.1.1.
    Refused(ConnectReturnCode),
    /// The server did not let the client in, in the words of MQTT 5.0.
    NotAdmitted(ReasonCode),
    /// The server refused a subscription that a bridge needs.
    NotSubscribed(ReasonCode),
    /// The server took leave.
    Dismissed(ReasonCode),
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
            Self::NotAdmitted(code) => write!(f, "connection refused: {code}"),
            Self::NotSubscribed(code) => write!(f, "subscription refused: {code}"),
            Self::Dismissed(code) => write!(f, "disconnected by the server: {code}"),
            Self::Failed(error) => write!(f, "the server broke the protocol: {error}"),
            Self::TimedOut => f.write_str("the server does not answer"),
        }
    }
}
