//! PINGREQ and PINGRESP (sections 3.12 and 3.13): two bytes each.

use super::PacketType;
use super::fields::Fields;
use crate::Error;

/// The client shows that it is alive and asks whether the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pingreq;

/// The server is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pingresp;

impl Pingreq {
    /// Reads the body of a PINGREQ.
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
        [PacketType::Pingreq.first_byte(), 0]
    }
}

impl Pingresp {
    /// Reads the body of a PINGRESP.
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
        [PacketType::Pingresp.first_byte(), 0]
    }
}
