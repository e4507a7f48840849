//! ACK and NACK: what a client has done with a message ("ACK", "NACK").

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::send::truth;
use super::{Command, Frame, push_body, push_command, push_header};
use crate::{Version, Violation};

/// ACK or NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'b> {
    /// Whether the message was not consumed.
    pub is_nack: bool,
    /// Which message.
    pub of: AckOf<'b>,
    /// The transaction that it is part of.
    pub transaction: Option<Cow<'b, str>>,
    /// Whether a message that was not consumed is to be offered again (RabbitMQ's `requeue`); absent: as the profile has it.
    pub requeue: Option<bool>,
}

/// How a message is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckOf<'b> {
    /// By the `ack` header of its MESSAGE: STOMP 1.2.
    Id(Cow<'b, str>),
    /// By its `message-id`, and since STOMP 1.1 by its `subscription`.
    MessageId {
        /// The message.
        message_id: Cow<'b, str>,
        /// The subscription that it came by.
        subscription: Option<Cow<'b, str>>,
    },
}

impl<'b> Ack<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// A header is missing that the version wants, or has a value that it cannot have.
    pub fn decode(frame: Frame<'b>, version: Version) -> Result<Self, Violation> {
        let headers = frame.headers;
        let of = if version.has_ack_ids() {
            AckOf::Id(headers.get("id").ok_or(Violation::HeaderMissing("id"))?)
        } else {
            let message_id = headers.get("message-id").ok_or(Violation::HeaderMissing("message-id"))?;
            AckOf::MessageId { message_id, subscription: headers.get("subscription") }
        };
        let requeue = headers.get("requeue").map(|value| truth("requeue", &value)).transpose()?;
        let is_nack = frame.command == Command::Nack;
        Ok(Self { is_nack, of, transaction: headers.get("transaction"), requeue })
    }

    /// Appends the frame, with a receipt if one is wanted.
    pub fn encode(&self, receipt: Option<&str>, version: Version, out: &mut Vec<u8>) {
        push_command(if self.is_nack { Command::Nack } else { Command::Ack }, out);
        let mut push = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                push_header(name, value, version.escaping(), out);
            }
        };
        match &self.of {
            AckOf::Id(id) => push("id", Some(id)),
            AckOf::MessageId { message_id, subscription } => {
                push("message-id", Some(message_id));
                push("subscription", subscription.as_deref());
            }
        }
        push("transaction", self.transaction.as_deref());
        push("requeue", self.requeue.map(|requeue| if requeue { "true" } else { "false" }));
        push("receipt", receipt);
        push_body(b"", out);
    }
}
