//! UNSUBSCRIBE (section 3.10).
//!
//! ```text
//! | 0xA2 | remaining length | packet identifier (2) | properties, in MQTT 5.0 | topic filter | ...
//! ```

use alloc::vec::Vec;

use mynah_model::Filter;

use super::fields::{Fields, push_bytes, push_packet};
use super::properties::{PropertyHolder, UnsubscribeProperties, encode_section};
use super::{PacketId, PacketType, TextRule, check_topic_filter};
use crate::{Error, Refused, Version, Violation};

/// A request to end subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'b> {
    /// Names the request in its UNSUBACK.
    pub packet_id: PacketId,
    /// What is said beside; present exactly in MQTT 5.0.
    pub properties: Option<UnsubscribeProperties<'b>>,
    /// The filters, at least one.
    pub filters: Vec<Filter<'b>>,
}

impl<'b> Unsubscribe<'b> {
    /// Reads the body of an UNSUBSCRIBE with at most `filters_max` filters.
    ///
    /// # Errors
    /// No filter at all ([MQTT-3.10.3-2]), too many, a filter that is none, or in MQTT 5.0 properties that
    /// are not.
    pub fn decode(
        body: &'b [u8],
        filters_max: usize,
        rule: TextRule,
        version: Version,
    ) -> Result<Self, Error> {
        let mut fields = Fields(body);
        let packet_id = fields.packet_id()?;
        let mut properties = None;
        if version.has_properties() {
            properties = Some(fields.properties(PropertyHolder::Unsubscribe, rule)?.into());
        }
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
        Ok(Self { packet_id, properties, filters })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::from(self.packet_id.number().to_be_bytes());
        if let Some(properties) = self.properties {
            // Nothing of what a client says is left out for its size.
            body.extend(encode_section(properties.iter(), 0, usize::MAX).unwrap_or_default());
        }
        for filter in &self.filters {
            push_bytes(filter.as_bytes(), &mut body);
        }
        push_packet(PacketType::Unsubscribe, &[&body], out);
    }
}
