//! The field types of section 1.5, read from a packet's body and written to one.

use alloc::vec::Vec;

use super::properties::{PropertyHolder, Section};
use super::{PacketId, PacketType, TextRule, check_text};
use crate::framing::{REMAINING_LENGTH_MAX, encode_fixed_header};
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

    /// An integer of four bytes (section 1.5.3 of MQTT 5.0).
    pub(super) fn long(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A variable byte integer (section 1.5.5 of MQTT 5.0), in as few bytes as it needs ([MQTT-1.5.5-1]).
    #[inline]
    pub(super) fn variable(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(Malformed::VariableByteInteger) } else { Ok(number) };
            }
        }
        Err(Malformed::VariableByteInteger)
    }

    /// Properties with their length before them (section 2.2.2 of MQTT 5.0).
    #[inline]
    pub(super) fn properties(
        &mut self,
        holder: PropertyHolder,
        rule: TextRule,
    ) -> Result<Section<'b>, Error> {
        // Nearly every section is empty.
        if let Some((0, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(Section::EMPTY);
        }
        self.section(holder, rule)
    }

    /// A section with its length before it.
    // Out of line: the compiler would copy the checks of all properties into each decoder.
    #[inline(never)]
    fn section(&mut self, holder: PropertyHolder, rule: TextRule) -> Result<Section<'b>, Error> {
        let len = self.variable()? as usize;
        let (encoded, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Section::check(encoded, holder, rule)
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

/// Writes a packet of a type whose flags are fixed.
pub(super) fn push_packet(packet_type: PacketType, parts: &[&[u8]], out: &mut Vec<u8>) {
    encode_fixed_header(packet_type.first_byte(), parts.iter().map(|part| part.len()).sum(), out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Writes a variable byte integer, which is at most 268,435,455, in as few bytes as it needs.
#[inline]
pub(crate) fn push_variable(number: usize, out: &mut Vec<u8>) {
    let (bytes, len) = variable_bytes(number);
    out.extend_from_slice(&bytes[..len]);
}

/// A variable byte integer, which is at most 268,435,455, and how many of the bytes it has.
#[inline]
pub(crate) const fn variable_bytes(number: usize) -> ([u8; 4], usize) {
    debug_assert!(number <= REMAINING_LENGTH_MAX);
    let mut bytes = [0; 4];
    let mut rest = number;
    let mut len = 0;
    while len < 4 {
        // Seven bits fit a byte.
        bytes[len] = (rest & 0x7F) as u8;
        rest >>= 7;
        len += 1;
        if rest == 0 {
            break;
        }
        bytes[len - 1] |= 0x80;
    }
    (bytes, len)
}

/// Reads a variable byte integer and says what follows it.
pub(crate) fn read_variable(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut fields = Fields(bytes);
    let number = fields.variable().ok()?;
    Some((number as usize, fields.0))
}

/// Bytes of a variable byte integer.
pub(crate) const fn variable_len(number: usize) -> usize {
    match number {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}
