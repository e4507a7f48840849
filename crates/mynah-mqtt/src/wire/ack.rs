//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): four packets of one shape.
//!
//! ```text
//! | type, flags | 2 | packet identifier MSB | LSB |
//! | type, flags | remaining length | packet identifier (2) | reason code | properties |    (MQTT 5.0)
//! ```

use alloc::vec::Vec;

use super::fields::{Fields, push_packet};
use super::properties::{AckProperties, PropertyHolder, encode_section};
use super::{PacketId, PacketType, ReasonCode, TextRule};
use crate::Error;

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckType {
    /// A PUBLISH of QoS 1 has been taken.
    Puback,
    /// A PUBLISH of QoS 2 has been received.
    Pubrec,
    /// The receiver may forget the identifier.
    Pubrel,
    /// The receiver has forgotten the identifier.
    Pubcomp,
}

impl AckType {
    /// The packet type.
    #[must_use]
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::Puback => PacketType::Puback,
            Self::Pubrec => PacketType::Pubrec,
            Self::Pubrel => PacketType::Pubrel,
            Self::Pubcomp => PacketType::Pubcomp,
        }
    }

    const fn property_holder(self) -> PropertyHolder {
        match self {
            Self::Puback => PropertyHolder::Puback,
            Self::Pubrec => PropertyHolder::Pubrec,
            Self::Pubrel => PropertyHolder::Pubrel,
            Self::Pubcomp => PropertyHolder::Pubcomp,
        }
    }
}

/// An acknowledgement of a publication. In MQTT 5.0 it is the short form of one that says Success and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which acknowledgement.
    pub ack_type: AckType,
    /// The identifier of the PUBLISH.
    pub packet_id: PacketId,
}

impl Ack {
    /// Reads the body of an acknowledgement.
    ///
    /// # Errors
    /// The body is not exactly one identifier that is not zero.
    #[inline]
    pub fn decode(ack_type: AckType, body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        fields.finish()?;
        Ok(Self { ack_type, packet_id })
    }

    /// The packet.
    #[must_use]
    pub const fn encode(self) -> [u8; 4] {
        let [high, low] = self.packet_id.number().to_be_bytes();
        [self.ack_type.packet_type().first_byte(), 2, high, low]
    }
}

/// An acknowledgement of MQTT 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckV5<'b> {
    /// Which acknowledgement, and of what.
    pub ack: Ack,
    /// What became of the publication.
    pub reason_code: ReasonCode,
    /// What is said beside.
    pub properties: AckProperties<'b>,
}

impl<'b> AckV5<'b> {
    /// An acknowledgement without properties.
    #[must_use]
    pub fn new(ack_type: AckType, packet_id: PacketId, reason_code: ReasonCode) -> Self {
        Self { ack: Ack { ack_type, packet_id }, reason_code, properties: AckProperties::default() }
    }

    /// Reads the body of an acknowledgement. Without a reason code it is Success.
    ///
    /// # Errors
    /// An identifier of zero, a reason code that the packet does not have, properties that are not.
    #[inline]
    pub fn decode(ack_type: AckType, body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        if fields.is_empty() {
            return Ok(Self::new(ack_type, packet_id, ReasonCode::Success));
        }
        let reason_code = ReasonCode::decode(fields.byte()?, ack_type.packet_type())?;
        let mut decoded = Self::new(ack_type, packet_id, reason_code);
        if !fields.is_empty() {
            decoded.properties = fields.properties(ack_type.property_holder(), rule)?.into();
            fields.finish()?;
        }
        Ok(decoded)
    }

    /// Writes the packet in as few bytes as it needs, without explanations that would make it larger than `size_max` bytes
    /// ([MQTT-3.4.2-2], [MQTT-3.4.2-3] and those of the other three). False, and nothing is written, if it is larger
    /// without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let packet_type = self.ack.ack_type.packet_type();
        let id = self.ack.packet_id.number().to_be_bytes();
        let code = [self.reason_code.number()];
        let section = encode_section(self.properties.iter(), 3, size_max).filter(|section| section.len() > 1);
        let is_success = self.reason_code == ReasonCode::Success;
        let short = if is_success { 4 } else { 5 };
        match section {
            Some(section) => push_packet(packet_type, &[&id, &code, &section], out),
            None if size_max < short => return false,
            None if is_success => push_packet(packet_type, &[&id], out),
            None => push_packet(packet_type, &[&id, &code], out),
        }
        true
    }
}
