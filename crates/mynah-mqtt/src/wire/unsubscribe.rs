//! UNSUBSCRIBE (section 3.10).
//!
//! ```text
//! | 0xA2 | remaining length | packet identifier (2) | topic filter | ...
//! ```

use alloc::vec::Vec;

use mynah_model::Filter;

use super::fields::{Fields, push_bytes};
use super::{PacketId, PacketType, TextRule, check_topic_filter};
use crate::framing::encode_fixed_header;
use crate::{Error, Refused, Violation};

/// A request to end subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'b> {
    /// Names the request in its UNSUBACK.
    pub packet_id: PacketId,
    /// The filters, at least one.
    pub filters: Vec<Filter<'b>>,
}

impl<'b> Unsubscribe<'b> {
    /// Reads the body of an UNSUBSCRIBE with at most `filters_max` filters.
    ///
    /// # Errors
    /// No filter at all ([MQTT-3.10.3-2]), too many, or a filter that is none.
    pub fn decode(body: &'b [u8], filters_max: usize, rule: TextRule) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let mut filters = Vec::new();
        while !fields.is_empty() {
            if filters.len() == filters_max {
                return Err(Refused::TooManyFilters.into());
            }
            filters.push(check_topic_filter(fields.bytes()?, rule)?);
        }
        if filters.is_empty() {
            return Err(Violation::UnsubscribeEmpty.into());
        }
        Ok(Self { packet_id, filters })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = self.filters.iter().map(|filter| 2 + filter.as_bytes().len()).sum::<usize>();
        encode_fixed_header(PacketType::Unsubscribe.first_byte(), 2 + len, out);
        out.extend_from_slice(&self.packet_id.number().to_be_bytes());
        for filter in &self.filters {
            push_bytes(filter.as_bytes(), out);
        }
    }
}
