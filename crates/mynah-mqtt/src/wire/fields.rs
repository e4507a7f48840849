//! The field types of section 1.5, read from a packet's body and written to one.

use alloc::vec::Vec;

use super::{PacketId, TextRule, check_text};
use crate::{Error, Malformed};

/// What is left of a packet's body.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    /// An integer of two bytes (section 1.5.2).
    pub(super) fn integer(&mut self) -> Result<u16, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// A packet identifier, which is not zero ([MQTT-2.3.1-1]).
    pub(super) fn packet_id(&mut self) -> Result<PacketId, Malformed> {
        PacketId::new(self.integer()?).ok_or(Malformed::PacketIdZero)
    }

    /// Bytes with their length in two bytes before them.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        let len = usize::from(self.integer()?);
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A UTF-8 encoded string (section 1.5.3).
    pub(super) fn text(&mut self, rule: TextRule) -> Result<&'b str, Malformed> {
        check_text(self.bytes()?, rule)
    }

    /// Checks that nothing follows.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes.into()) }
    }
}

/// Writes bytes with their length before them. A field takes 65,535 bytes; whoever made the packet has checked that.
pub(super) fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    let len = bytes.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(&bytes[..len]);
}
