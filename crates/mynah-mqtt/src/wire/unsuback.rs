//! UNSUBACK (section 3.11).
//!
//! ```text
//! | 0xB0 | 2 | packet identifier MSB | LSB |
//! | 0xB0 | remaining length | packet identifier (2) | properties | reason code | ...    (MQTT 5.0)
//! ```

use alloc::vec::Vec;

use super::fields::{Fields, push_packet};
use super::properties::{PropertyHolder, UnsubackProperties, encode_section};
use super::{PacketId, PacketType, ReasonCode, TextRule};
use crate::Error;

/// The answer to an UNSUBSCRIBE of MQTT 3.1.1 or 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
}

impl Unsuback {
    /// Reads the body of an UNSUBACK.
    ///
    /// # Errors
    /// The body is not exactly one identifier that is not zero.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        fields.finish()?;
        Ok(Self { packet_id })
    }

    /// The packet.
    #[must_use]
    pub const fn encode(self) -> [u8; 4] {
        let [high, low] = self.packet_id.number().to_be_bytes();
        [PacketType::Unsuback.first_byte(), 2, high, low]
    }
}

/// The answer to an UNSUBSCRIBE of MQTT 5.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubackV5<'b> {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// What is said beside.
    pub properties: UnsubackProperties<'b>,
    /// One code for each filter, in the order of the UNSUBSCRIBE.
    pub reason_codes: Vec<ReasonCode>,
}

impl<'b> UnsubackV5<'b> {
    /// Reads the body of an UNSUBACK.
    ///
    /// # Errors
    /// The identifier is missing or zero, properties that are not, no code, or one that the packet does not have.
    pub fn decode(body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let properties = fields.properties(PropertyHolder::Unsuback, rule)?.into();
        let reason_codes = ReasonCode::decode_list(fields, PacketType::Unsuback)?;
        Ok(Self { packet_id, properties, reason_codes })
    }

    /// Writes the packet, without explanations that would make it larger than `size_max` bytes ([MQTT-3.11.2-1], [MQTT-3.11.2-2]).
    /// False, and nothing is written, if it is larger without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let other = 2 + self.reason_codes.len();
        let Some(section) = encode_section(self.properties.iter(), other, size_max) else { return false };
        let codes: Vec<u8> = self.reason_codes.iter().map(|code| code.number()).collect();
        push_packet(PacketType::Unsuback, &[&self.packet_id.number().to_be_bytes(), &section, &codes], out);
        true
    }
}
