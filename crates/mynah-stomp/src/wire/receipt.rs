//! RECEIPT: the server has done what a client asked for ("RECEIPT").

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Command, Frame, push_body, push_command, push_header};
use crate::{Version, Violation};

/// The server's answer to a frame with a `receipt` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt<'b> {
    /// What the `receipt` header said.
    pub receipt_id: Cow<'b, str>,
}

impl<'b> Receipt<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// It does not say what it is a receipt for.
    pub fn decode(frame: Frame<'b>) -> Result<Self, Violation> {
        let receipt_id = frame.headers.get("receipt-id").ok_or(Violation::HeaderMissing("receipt-id"))?;
        Ok(Self { receipt_id })
    }

    /// Appends the frame. What a client of this version has said, it can be told.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        push_command(Command::Receipt, out);
        push_header("receipt-id", &self.receipt_id, version.escaping(), out);
        push_body(b"", out);
    }
}
