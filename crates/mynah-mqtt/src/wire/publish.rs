//! PUBLISH (section 3.3).
//!
//! ```text
//! | 0011, DUP, QoS (2), RETAIN | remaining length |
//! | topic name | packet identifier (2), if QoS > 0 | properties, in MQTT 5.0 | payload |
//! ```

use alloc::vec::Vec;
use core::num::NonZeroU16;

use mynah_model::{Class, Topic};

use super::fields::{Fields, push_bytes, push_variable, variable_len};
use super::properties::{Property, PropertyHolder, PropertyId, Section};
use super::{PacketId, PacketType, TextRule, check_topic_name};
use crate::framing::{REMAINING_LENGTH_MAX, encode_fixed_header};
use crate::{Error, Malformed, Version, Violation};

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// It may have been sent before.
    pub dup: bool,
    /// QoS.
    pub class: Class,
    /// From a client: becomes the topic's retained value. To a client: is one.
    pub retain: bool,
    /// Where. Empty in MQTT 5.0 if a topic alias among the properties stands for it: who receives it has to look that up.
    pub topic: Topic<'b>,
    /// Present exactly if the QoS is not 0.
    pub packet_id: Option<PacketId>,
    /// What is said beside; present exactly in MQTT 5.0.
    pub properties: Option<Section<'b>>,
    /// What.
    pub payload: &'b [u8],
}

impl<'b> Publish<'b> {
    /// Reads the body of a PUBLISH with these flags.
    ///
    /// # Errors
    /// QoS 3 ([MQTT-3.3.1-4]), DUP without QoS ([MQTT-3.3.1-2]), a topic name that is none, an identifier of zero,
    /// properties that are not, or a body that ends too early.
    #[inline]
    pub fn decode(flags: u8, body: &'b [u8], rule: TextRule, version: Version) -> Result<Self, Error> {
        if version.has_properties() {
            Self::decode_v5(flags, body, rule)
        } else {
            Self::decode_v3(flags, body, rule)
        }
    }

    /// Reads the body of a PUBLISH before MQTT 5.0.
    ///
    /// # Errors
    /// As [`Publish::decode`].
    // Here and below: inlined into a caller that has asked for the version, the step of a plain message takes 153
    // instructions in place of 320.
    #[inline(always)]
    pub(crate) fn decode_v3(flags: u8, body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let (head, name, payload) = Self::decode_head(flags, body)?;
        Ok(Self { topic: check_topic_name(name, rule)?, payload, ..head })
    }

    /// Reads the body of a PUBLISH of MQTT 5.0.
    ///
    /// # Errors
    /// As [`Publish::decode`].
    #[inline(always)]
    pub(crate) fn decode_v5(flags: u8, body: &'b [u8], rule: TextRule) -> Result<Self, Error> {
        let (head, name, rest) = Self::decode_head(flags, body)?;
        let mut fields = Fields(rest);
        let section = fields.properties(PropertyHolder::Publish, rule)?;
        let is_aliased = name.is_empty() && section.has(PropertyId::TopicAlias);
        let topic = if is_aliased { Topic::from_checked(name) } else { check_topic_name(name, rule)? };
        Ok(Self { topic, properties: Some(section), payload: fields.0, ..head })
    }

    /// What all versions have at the same place; besides, the bytes of the topic name and what follows the head.
    #[inline(always)]
    fn decode_head(flags: u8, body: &'b [u8]) -> Result<(Self, &'b [u8], &'b [u8]), Error> {
        let class = Class::from_number((flags >> 1) & 0b11).ok_or(Malformed::PublishQos)?;
        let (len, rest) = body.split_first_chunk().ok_or(Malformed::Truncated)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (name, mut rest) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        let dup = flags & DUP != 0;
        let mut packet_id = None;
        if class.is_confirmed() {
            let (id, behind) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
            packet_id = Some(PacketId::new(u16::from_be_bytes(*id)).ok_or(Malformed::PacketIdZero)?);
            rest = behind;
        } else if dup {
            return Err(Violation::DupAtMostOnce.into());
        }
        let topic = Topic::from_checked(&[]);
        let retain = flags & RETAIN != 0;
        Ok((Self { dup, class, retain, topic, packet_id, properties: None, payload: &[] }, name, rest))
    }

    /// The properties; none before MQTT 5.0.
    #[must_use]
    pub fn section(&self) -> Section<'b> {
        self.properties.unwrap_or_default()
    }

    /// The alias that stands for the topic from now on, or did before if the topic is empty.
    #[must_use]
    pub fn topic_alias(&self) -> Option<NonZeroU16> {
        match self.section().find(PropertyId::TopicAlias) {
            Some(Property::TopicAlias(alias)) => Some(alias),
            _ => None,
        }
    }

    /// Checks what only a client may not send: subscription identifiers ([MQTT-3.3.4-6] of MQTT 5.0).
    ///
    /// # Errors
    /// There is one.
    #[inline]
    pub fn check_from_client(&self) -> Result<(), Violation> {
        match self.properties {
            Some(section) if section.has(PropertyId::SubscriptionIdentifier) => {
                Err(Violation::SubscriptionIdentifierFromClient)
            }
            _ => Ok(()),
        }
    }

    /// The first byte of a PUBLISH.
    #[must_use]
    pub const fn first_byte(class: Class, dup: bool, retain: bool) -> u8 {
        let dup = if dup && class.is_confirmed() { DUP } else { 0 };
        PacketType::Publish.first_byte() | dup | class.number() << 1 | retain as u8
    }

    /// Whether a PUBLISH with a topic and with properties and payload of these lengths can be spelled.
    #[must_use]
    pub const fn fits(topic_len: usize, rest_len: usize) -> bool {
        topic_len <= u16::MAX as usize && rest_len <= REMAINING_LENGTH_MAX - 4 - topic_len
    }

    /// Writes the packet, which [`Publish::fits`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let section_len =
            |section: Section<'_>| variable_len(section.as_bytes().len()) + section.as_bytes().len();
        let properties_len = self.properties.map_or(0, section_len);
        let remaining = 2 + self.topic.as_bytes().len() + id_len + properties_len + self.payload.len();
        out.reserve(5 + remaining);
        encode_fixed_header(Self::first_byte(self.class, self.dup, self.retain), remaining, out);
        push_bytes(self.topic.as_bytes(), out);
        if let Some(id) = self.packet_id {
            out.extend_from_slice(&id.number().to_be_bytes());
        }
        if let Some(section) = self.properties {
            push_variable(section.as_bytes().len(), out);
            out.extend_from_slice(section.as_bytes());
        }
        out.extend_from_slice(self.payload);
    }
}
