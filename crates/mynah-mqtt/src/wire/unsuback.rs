//! UNSUBACK (section 3.11).
//!
//! ```text
//! | 0xB0 | 2 | packet identifier MSB | LSB |
//! ```

use super::fields::Fields;
use super::{PacketId, PacketType};
use crate::Error;

/// The answer to UNSUBSCRIBE.
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
