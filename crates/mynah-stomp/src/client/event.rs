//! What a client tells its program.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::wire::{Ack, AckOf, ErrorFrame, Frame};
use crate::{Error, Version, Violation};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server let the client in.
    Connected {
        /// What is spoken.
        version: Version,
        /// The server's name for the session.
        session: Option<Box<str>>,
        /// The server's name and version.
        server: Option<Box<str>>,
    },
    /// A message.
    Message(Delivered),
    /// What was asked for with this receipt is done.
    Receipt {
        /// What the request returned.
        number: u64,
    },
    /// The connection is over: when the outbound octets are written, the transport is to be closed.
    Closed(Ending),
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The subscription that it came by; a server of STOMP 1.0 need not say it.
    pub subscription: Option<Box<str>>,
    /// Where it was sent.
    pub destination: Box<str>,
    /// Names the message.
    pub message_id: Box<str>,
    /// Names it in an acknowledgement, in STOMP 1.2 and where one is wanted.
    pub ack: Option<Box<str>>,
    /// All headers in their order.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// The message.
    pub body: Box<[u8]>,
}

impl Delivered {
    pub(super) fn decode(frame: Frame<'_>, version: Version) -> Result<Self, Violation> {
        let text = |text: Cow<'_, str>| Box::from(&*text);
        let get = |name| frame.headers.get(name).map(text);
        let demanded = |name| get(name).ok_or(Violation::HeaderMissing(name));
        let subscription = get("subscription");
        if version.demands_subscription_ids() && subscription.is_none() {
            return Err(Violation::HeaderMissing("subscription"));
        }
        Ok(Self {
            subscription,
            destination: demanded("destination")?,
            message_id: demanded("message-id")?,
            ack: get("ack"),
            headers: frame.headers.iter().map(|(name, value)| (text(name), text(value))).collect(),
            body: frame.body.into(),
        })
    }

    /// The value of a header, the first of several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| **found == *name).map(|(_, value)| &**value)
    }

    /// How the message is named in ACK and NACK of this version.
    pub(super) fn to_ack<'d>(
        &'d self,
        is_nack: bool,
        transaction: Option<&'d str>,
        version: Version,
    ) -> Ack<'d> {
        let of = if version.has_ack_ids() {
            AckOf::Id(self.ack.as_deref().unwrap_or(&self.message_id).into())
        } else {
            AckOf::MessageId {
                message_id: (&*self.message_id).into(),
                subscription: self.subscription.as_deref().map(Cow::Borrowed),
            }
        };
        Ack { is_nack, of, transaction: transaction.map(Cow::Borrowed), requeue: None }
    }
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program asked for it, and all before has arrived.
    Disconnected,
    /// The server, or the way to it, ended it.
    Lost,
    /// The server said what is wrong.
    Refused(Refusal),
    /// The server broke the protocol.
    Failed(Error),
    /// The server did not answer, or gave no sign of life, in time.
    TimedOut,
}

/// The server's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, in a few words.
    pub message: Box<str>,
    /// The receipt of the request that is to blame.
    pub receipt: Option<u64>,
    /// More words.
    pub body: Box<[u8]>,
}

impl From<ErrorFrame<'_>> for Refusal {
    fn from(frame: ErrorFrame<'_>) -> Self {
        Self {
            message: Box::from(&*frame.message),
            receipt: frame.receipt_id.and_then(|receipt| receipt.parse().ok()),
            body: Box::from(&*frame.body),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("disconnected"),
            Self::Lost => f.write_str("connection lost"),
            Self::Refused(refusal) => write!(f, "ended by the server: {}", refusal.message),
            Self::Failed(error) => write!(f, "the server broke the protocol: {error}"),
            Self::TimedOut => f.write_str("the server does not answer"),
        }
    }
}
