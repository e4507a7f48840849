//! SUBSCRIBE (section 3.8).
//!
//! ```text
//! | 0x82 | remaining length | packet identifier (2) |
//! | topic filter | 000000, QoS (2) | ...
//! ```

use alloc::vec::Vec;

use mynah_model::{Class, Filter};

use super::fields::{Fields, push_bytes};
use super::{PacketId, PacketType, TextRule, check_topic_filter};
use crate::framing::encode_fixed_header;
use crate::{Error, Malformed, Refused, Violation};

/// A request for subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// Names the request in its SUBACK.
    pub packet_id: PacketId,
    /// The subscriptions, at least one.
    pub entries: Vec<SubscribeEntry<'b>>,
}

/// One subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeEntry<'b> {
    /// Which topics.
    pub filter: Filter<'b>,
    /// The highest QoS that is wanted.
    pub class_max: Class,
}

impl<'b> Subscribe<'b> {
    /// Reads the body of a SUBSCRIBE with at most `filters_max` filters.
    ///
    /// # Errors
    /// No filter at all ([MQTT-3.8.3-3]), too many, a filter that is none, a QoS byte that is not 0, 1 or 2
    /// ([MQTT-3-8.3-4]).
    pub fn decode(body: &'b [u8], filters_max: usize, rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let mut entries = Vec::new();
        while !fields.is_empty() {
            if entries.len() == filters_max {
                return Err(Refused::TooManyFilters.into());
            }
            let filter = check_topic_filter(fields.bytes()?, rule)?;
            let class_max = Class::from_number(fields.byte()?).ok_or(Malformed::SubscribeQos)?;
            entries.push(SubscribeEntry { filter, class_max });
        }
        if entries.is_empty() {
            return Err(Violation::SubscribeEmpty.into());
        }
        Ok(Self { packet_id, entries })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = self.entries.iter().map(|entry| 3 + entry.filter.as_bytes().len()).sum::<usize>();
        encode_fixed_header(PacketType::Subscribe.first_byte(), 2 + len, out);
        out.extend_from_slice(&self.packet_id.number().to_be_bytes());
        for entry in &self.entries {
            push_bytes(entry.filter.as_bytes(), out);
            out.push(entry.class_max.number());
        }
    }
}
