//! AUTH (section 3.15 of MQTT 5.0): extended authentication, in either direction.
//!
//! ```text
//! | 0xF0 | remaining length | reason code | properties |      or      | 0xF0 | 0 |
//! ```

use alloc::vec::Vec;

use super::fields::{Fields, push_packet};
use super::properties::{AuthProperties, PropertyHolder, encode_section};
use super::{PacketType, ReasonCode, TextRule};
use crate::{Error, Violation};

/// A step of an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'b> {
    /// Success, ContinueAuthentication or ReAuthenticate.
    pub reason_code: ReasonCode,
    /// The method and what it says. Who receives them checks that the method is the one of CONNECT ([MQTT-4.12.0-5]).
    pub properties: AuthProperties<'b>,
}

impl<'b> Auth<'b> {
    /// Reads the body of an AUTH. Without a reason code it is Success.
    ///
    /// # Errors
    /// A reason code that is not one of the three, properties that are not, data without a method.
    pub fn decode(body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        if fields.is_empty() {
            return Ok(Self { reason_code: ReasonCode::Success, properties: AuthProperties::default() });
        }
        let reason_code = ReasonCode::decode(fields.byte()?, PacketType::Auth)?;
        let properties = AuthProperties::from(fields.properties(PropertyHolder::Auth, rule)?);
        fields.finish()?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(Violation::AuthenticationDataAlone.into());
        }
        Ok(Self { reason_code, properties })
    }

    /// Writes the packet, without explanations that would make it larger than `size_max` bytes ([MQTT-3.15.2-2],
    /// [MQTT-3.15.2-3]). False, and nothing is written, if it is larger without them.
    #[must_use]
    pub fn encode(&self, size_max: usize, out: &mut Vec<u8>) -> bool {
        let section = encode_section(self.properties.iter(), 1, size_max);
        let AuthProperties { authentication_method, authentication_data, .. } = self.properties;
        let says_nothing = authentication_method.is_none() && authentication_data.is_none();
        match section.filter(|section| section.len() > 1) {
            Some(section) => push_packet(PacketType::Auth, &[&[self.reason_code.number()], &section], out),
            None if !says_nothing => return false,
            None if self.reason_code == ReasonCode::Success && size_max >= 2 => {
                push_packet(PacketType::Auth, &[], out);
            }
            None if size_max >= 4 => push_packet(PacketType::Auth, &[&[self.reason_code.number(), 0]], out),
            None => return false,
        }
        true
    }
}
