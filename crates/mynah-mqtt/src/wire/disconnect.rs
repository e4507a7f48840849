//! DISCONNECT (section 3.14): the client's good-bye, two bytes; in MQTT 5.0 either end's.
//!
//! ```text
//! | 0xE0 | 0 |      or in MQTT 5.0      | 0xE0 | remaining length | reason code | properties |
//! ```

use alloc::vec::Vec;

use super::fields::{Fields, push_packet};
use super::properties::{DisconnectProperties, PropertyHolder, encode_section};
use super::{PacketType, ReasonCode, TextRule};
use crate::Error;

/// The client leaves, and its will is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect;

impl Disconnect {
    /// Reads the body of a DISCONNECT.
    ///
    /// # Errors
    /// The body is not empty.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        Fields(body).finish()?;
        Ok(Self)
    }

    /// The packet.
    #[must_use]
    pub const fn encode(self) -> [u8; 2] {
        [PacketType::Disconnect.first_byte(), 0]
    }
}

/// An end of an MQTT 5.0 connection leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisconnectV5<'b> {
    /// Why.
    pub reason_code: ReasonCode,
    /// What is said beside.
    pub properties: DisconnectProperties<'b>,
}

impl<'b> DisconnectV5<'b> {
    /// A good-bye without properties.
    #[must_use]
    pub fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: DisconnectProperties::default() }
    }

    /// Reads the body of a DISCONNECT. Without a reason code it is Success: a normal disconnection.
    ///
    /// # Errors
    /// A reason code that the packet does not have, properties that are not.
    pub fn decode(body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let mut decoded = Self::new(ReasonCode::Success);
        if !fields.is_empty() {
            decoded.reason_code = ReasonCode::decode(fields.byte()?, PacketType::Disconnect)?;
        }
        if !fields.is_empty() {
            decoded.properties = fields.properties(PropertyHolder::Disconnect, rule)?.into();
            fields.finish()?;
        }
        Ok(decoded)
    }

    /// Writes the packet in as few bytes as it needs, without explanations that would make it larger than `size_max` bytes
    /// ([MQTT-3.14.2-3], [MQTT-3.14.2-4]). False, and nothing is written, if it is larger without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let code = [self.reason_code.number()];
        let section = encode_section(self.properties.iter(), 1, size_max);
        let is_success = self.reason_code == ReasonCode::Success;
        let DisconnectProperties { session_expiry_interval, server_reference, .. } = self.properties;
        if section.is_none() && (session_expiry_interval.is_some() || server_reference.is_some()) {
            return false;
        }
        match section.filter(|section| section.len() > 1) {
            Some(section) => push_packet(PacketType::Disconnect, &[&code, &section], out),
            None if is_success && size_max >= 2 => push_packet(PacketType::Disconnect, &[], out),
            None if size_max >= 3 => push_packet(PacketType::Disconnect, &[&code], out),
            None => return false,
        }
        true
    }
}
