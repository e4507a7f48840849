//! DISCONNECT (section 3.14): the client's good-bye, two bytes.

use super::PacketType;
use super::fields::Fields;
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
