//! Frames as data, one file for each kind that says more than its command.

mod ack;
mod command;
mod connect;
mod connected;
mod error;
mod escape;
mod headers;
mod heart_beat;
mod receipt;
mod send;
mod subscribe;
mod transaction;

use alloc::vec::Vec;

pub use ack::{Ack, AckOf};
pub use command::Command;
pub use connect::Connect;
pub use connected::Connected;
pub use error::ErrorFrame;
pub use escape::Escaping;
pub use headers::{HeaderRules, Headers, push_header};
pub use heart_beat::HeartBeat;
pub use receipt::Receipt;
pub use send::Send;
pub(crate) use send::truth;
pub use subscribe::{AckMode, Durable, Subscribe, Unsubscribe};
pub use transaction::Bracket;

/// A whole frame, borrowed from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Which frame.
    pub command: Command,
    /// Its headers.
    pub headers: Headers<'b>,
    /// What follows the blank line, without the NUL.
    pub body: &'b [u8],
    /// Headers, blank line and body as they lie one after another.
    pub octets: &'b [u8],
}

/// Appends the end of the headers, a body, and the end of the frame.
pub(crate) fn push_body(body: &[u8], out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
}

/// Begins a frame.
pub(crate) fn push_command(command: Command, out: &mut Vec<u8>) {
    out.extend_from_slice(command.text().as_bytes());
    out.push(b'\n');
}
