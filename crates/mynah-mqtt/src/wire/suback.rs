//! SUBACK (section 3.9).
//!
//! ```text
//! | 0x90 | remaining length | packet identifier (2) | return code | ...
//! | 0x90 | remaining length | packet identifier (2) | properties | reason code | ...    (MQTT 5.0)
//! ```

use alloc::vec::Vec;

use mynah_model::Class;

use super::fields::{Fields, push_packet};
use super::properties::{PropertyHolder, SubackProperties, encode_section};
use super::{PacketId, PacketType, ReasonCode, TextRule};
use crate::framing::encode_fixed_header;
use crate::{Error, Malformed};

/// The answer to a SUBSCRIBE of MQTT 3.1.1 or 3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suback {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One code for each filter, in the order of the SUBSCRIBE.
    pub return_codes: Vec<SubscribeReturnCode>,
}

/// What became of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeReturnCode {
    /// Subscribed, with at most this QoS.
    Granted(Class),
    /// Not subscribed.
    Failure,
}

impl SubscribeReturnCode {
    const FAILURE: u8 = 0x80;

    /// The code with this number ([MQTT-3.9.3-2]: there are four).
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match Class::from_number(number) {
            Some(class) => Some(Self::Granted(class)),
            None if number == Self::FAILURE => Some(Self::Failure),
            None => None,
        }
    }

    /// The number of the code.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Granted(class) => class.number(),
            Self::Failure => Self::FAILURE,
        }
    }
}

impl Suback {
    /// Reads the body of a SUBACK.
    ///
    /// # Errors
    /// The identifier is missing or zero, or a code is not defined.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let code = |&number| SubscribeReturnCode::from_number(number).ok_or(Malformed::SubackCode);
        let return_codes = fields.0.iter().map(code).collect::<Result<_, _>>()?;
        Ok(Self { packet_id, return_codes })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_fixed_header(PacketType::Suback.first_byte(), 2 + self.return_codes.len(), out);
        out.extend_from_slice(&self.packet_id.number().to_be_bytes());
        out.extend(self.return_codes.iter().map(|code| code.number()));
    }
}

/// The answer to a SUBSCRIBE of MQTT 5.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubackV5<'b> {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// What is said beside.
    pub properties: SubackProperties<'b>,
    /// One code for each filter, in the order of the SUBSCRIBE.
    pub reason_codes: Vec<ReasonCode>,
}

impl<'b> SubackV5<'b> {
    /// Reads the body of a SUBACK.
    ///
    /// # Errors
    /// The identifier is missing or zero, properties that are not, no code, or one that the packet does not have.
    pub fn decode(body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let properties = fields.properties(PropertyHolder::Suback, rule)?.into();
        let reason_codes = ReasonCode::decode_list(fields, PacketType::Suback)?;
        Ok(Self { packet_id, properties, reason_codes })
    }

    /// Writes the packet, without explanations that would make it larger than `size_max` bytes ([MQTT-3.9.2-1], [MQTT-3.9.2-2]).
    /// False, and nothing is written, if it is larger without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let other = 2 + self.reason_codes.len();
        let Some(section) = encode_section(self.properties.iter(), other, size_max) else { return false };
        let codes: Vec<u8> = self.reason_codes.iter().map(|code| code.number()).collect();
        push_packet(PacketType::Suback, &[&self.packet_id.number().to_be_bytes(), &section, &codes], out);
        true
    }
}
