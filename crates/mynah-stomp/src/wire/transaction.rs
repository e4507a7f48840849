//! BEGIN, COMMIT and ABORT: the brackets of a transaction.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Command, Frame, push_body, push_command, push_header};
use crate::{Version, Violation};

/// BEGIN, COMMIT or ABORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket<'b> {
    /// Which of them.
    pub command: Command,
    /// The transaction.
    pub transaction: Cow<'b, str>,
}

impl<'b> Bracket<'b> {
    /// Reads the frame.
    ///
    /// # Errors
    /// It does not name a transaction.
    pub fn decode(frame: Frame<'b>) -> Result<Self, Violation> {
        let transaction = frame.headers.get("transaction").ok_or(Violation::HeaderMissing("transaction"))?;
        Ok(Self { command: frame.command, transaction })
    }

    /// Appends the frame, with a receipt if one is wanted.
    pub fn encode(&self, receipt: Option<&str>, version: Version, out: &mut Vec<u8>) {
        push_command(self.command, out);
        push_header("transaction", &self.transaction, version.escaping(), out);
        if let Some(receipt) = receipt {
            push_header("receipt", receipt, version.escaping(), out);
        }
        push_body(b"", out);
    }
}
