//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): four packets of one shape.
//!
//! ```text
//! | type, flags | 2 | packet identifier MSB | LSB |
//! ```

use super::fields::Fields;
use super::{PacketId, PacketType};
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
}

/// An acknowledgement of a publication.
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
