//! SUBSCRIBE (section 3.8).
//!
//! ```text
//! | 0x82 | remaining length | packet identifier (2) | properties, in MQTT 5.0 |
//! | topic filter | 000000, QoS (2) | ...
//! | topic filter | 00, retain handling (2), retain as published, no local, QoS (2) | ...    (MQTT 5.0)
//! ```

use alloc::vec::Vec;

use mynah_model::{Class, Filter};

use super::fields::{Fields, push_bytes, push_packet};
use super::properties::{PropertyHolder, SubscribeProperties, encode_section};
use super::{PacketId, PacketType, TextRule, check_topic_filter};
use crate::{Error, Malformed, Refused, Version, Violation};

const QOS: u8 = 0x03;
const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING: u8 = 0x30;
const RESERVED: u8 = 0xC0;

/// A request for subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// Names the request in its SUBACK.
    pub packet_id: PacketId,
    /// What is said beside; present exactly in MQTT 5.0.
    pub properties: Option<SubscribeProperties<'b>>,
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
    /// Messages that the client itself publishes are not wanted (MQTT 5.0).
    pub no_local: bool,
    /// The RETAIN flag is wanted as it was published (MQTT 5.0).
    pub retain_as_published: bool,
    /// Which retained messages are wanted; before MQTT 5.0 all.
    pub retain_handling: RetainHandling,
}

/// Which retained messages a subscription wants when it is made (section 3.8.3.1 of MQTT 5.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// All.
    #[default]
    Send = 0,
    /// All, if the subscription was not there before.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

impl<'b> SubscribeEntry<'b> {
    /// A subscription as MQTT 3.1.1 has it.
    #[must_use]
    pub const fn new(filter: Filter<'b>, class_max: Class) -> Self {
        let retain_handling = RetainHandling::Send;
        Self { filter, class_max, no_local: false, retain_as_published: false, retain_handling }
    }

    /// Whether the filter is that of a shared subscription (section 4.8.2 of MQTT 5.0).
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.filter.as_bytes().starts_with(b"$share/")
    }

    /// Reads the options of MQTT 5.0.
    fn decode_options(filter: Filter<'b>, options: u8) -> Result<Self, Error> {
        if options & RESERVED != 0 {
            return Err(Malformed::SubscribeOptions.into());
        }
        let retain_handling = match (options & RETAIN_HANDLING) >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Violation::RetainHandling.into()),
        };
        let entry = Self {
            filter,
            class_max: Class::from_number(options & QOS).ok_or(Violation::MaximumQos)?,
            no_local: options & NO_LOCAL != 0,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        };
        if entry.no_local && entry.is_shared() {
            return Err(Violation::NoLocalShared.into());
        }
        Ok(entry)
    }

    fn options(&self, version_has_them: bool) -> u8 {
        let flag = |on: bool, mask: u8| if on && version_has_them { mask } else { 0 };
        let handling = if version_has_them { (self.retain_handling as u8) << 4 } else { 0 };
        self.class_max.number()
            | flag(self.no_local, NO_LOCAL)
            | flag(self.retain_as_published, RETAIN_AS_PUBLISHED)
            | handling
    }
}

impl<'b> Subscribe<'b> {
    /// Reads the body of a SUBSCRIBE with at most `filters_max` filters.
    ///
    /// # Errors
    /// No filter at all ([MQTT-3.8.3-3]), too many, a filter that is none, a QoS byte that is not 0, 1 or 2
    /// ([MQTT-3-8.3-4]); in MQTT 5.0 properties or options that are not.
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
            properties = Some(fields.properties(PropertyHolder::Subscribe, rule)?.into());
        }
        let mut entries = Vec::new();
        while !fields.is_empty() {
            if entries.len() == filters_max {
                return Err(Refused::TooManyFilters.into());
            }
            let filter = check_topic_filter(fields.bytes()?, rule)?;
            let options = fields.byte()?;
            entries.push(if version.has_properties() {
                SubscribeEntry::decode_options(filter, options)?
            } else {
                SubscribeEntry::new(filter, Class::from_number(options).ok_or(Malformed::SubscribeQos)?)
            });
        }
        if entries.is_empty() {
            return Err(Violation::SubscribeEmpty.into());
        }
        Ok(Self { packet_id, properties, entries })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::from(self.packet_id.number().to_be_bytes());
        if let Some(properties) = self.properties {
            // Nothing of what a client says is left out for its size.
            body.extend(encode_section(properties.iter(), 0, usize::MAX).unwrap_or_default());
        }
        for entry in &self.entries {
            push_bytes(entry.filter.as_bytes(), &mut body);
            body.push(entry.options(self.properties.is_some()));
        }
        push_packet(PacketType::Subscribe, &[&body], out);
    }
}
