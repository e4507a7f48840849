//! An encoded PUBLISH of MQTT 5.0 with what one receiver gets beside: subscription identifiers and a topic alias.
//!
//! All receivers share one encoding; only its head is written again, into the receiver's outbound bytes, without an
//! allocation.

use core::num::NonZeroU16;

use mynah_model::{DeliveryId, SubscriptionId};
use mynah_stack::Outbound;

use crate::framing::{REMAINING_LENGTH_MAX, packet_len};
use crate::wire::properties::PropertyId;
use crate::wire::{read_variable, variable_bytes, variable_len};

/// The parts of an encoded PUBLISH of MQTT 5.0, at least up to its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishHead<'f> {
    /// What the fixed header says of the length.
    remaining: usize,
    topic: &'f [u8],
    /// The packet identifier, if one follows the topic.
    id: Option<[u8; 2]>,
    properties: &'f [u8],
    /// Whether its version has properties.
    has_properties: bool,
    /// What is there of the payload.
    payload: &'f [u8],
}

/// What one receiver gets beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra<'a> {
    /// How the topic is spelled.
    pub topic: TopicForm,
    /// The identifiers of the subscriptions that the message is for, each at most 268,435,455.
    pub subscription_ids: &'a [SubscriptionId],
}

/// How a topic is spelled (section 3.3.2.3.4 of MQTT 5.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicForm {
    /// By its name.
    #[default]
    Name,
    /// By its name, for which the alias stands from now on.
    NameAndAlias(NonZeroU16),
    /// By the alias alone.
    Alias(NonZeroU16),
}

impl TopicForm {
    const fn alias(self) -> Option<NonZeroU16> {
        match self {
            Self::Name => None,
            Self::NameAndAlias(alias) | Self::Alias(alias) => Some(alias),
        }
    }
}

impl Extra<'_> {
    /// Bytes of the properties.
    fn len(&self) -> usize {
        let id_len = |id: &SubscriptionId| 1 + variable_len(id.number() as usize);
        let alias_len = if self.topic.alias().is_some() { 3 } else { 0 };
        alias_len + self.subscription_ids.iter().map(id_len).sum::<usize>()
    }
}

impl<'f> PublishHead<'f> {
    /// Finds the parts of a packet whose first bytes these are: the head of a frame that [`super::MqttCodec`] encoded in
    /// [`super::LAYOUT_V5`], with an identifier if `identified`. None if it is not such a head.
    #[must_use]
    pub fn parse(head: &'f [u8], identified: bool) -> Option<Self> {
        let found = Self::parse_v3(head, identified)?;
        let (len, rest) = read_variable(found.payload)?;
        let (properties, payload) = rest.split_at_checked(len)?;
        Some(Self { properties, has_properties: true, payload, ..found })
    }

    /// The same of [`super::LAYOUT_V3`]. There is nothing beside that a receiver could be told.
    #[must_use]
    pub fn parse_v3(head: &'f [u8], identified: bool) -> Option<Self> {
        let (remaining, rest) = read_variable(head.get(1..)?)?;
        let (len, rest) = rest.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (id, payload) = match rest.split_first_chunk() {
            Some((id, rest)) if identified => (Some(*id), rest),
            None if identified => return None,
            _ => (None, rest),
        };
        Some(Self { remaining, topic, id, properties: &[], has_properties: false, payload })
    }

    /// The same packet with another topic and, if its version has them, other properties.
    #[must_use]
    pub fn with(self, topic: &'f [u8], properties: &'f [u8]) -> Self {
        let properties = if self.has_properties { properties } else { &[] };
        let len = |properties: &[u8]| variable_len(properties.len()) + properties.len();
        let less = self.topic.len() + len(self.properties);
        let remaining = self.remaining - less.min(self.remaining) + topic.len() + len(properties);
        Self { remaining, topic, properties, ..self }
    }

    /// The properties; none before MQTT 5.0.
    #[must_use]
    pub const fn properties(&self) -> &'f [u8] {
        self.properties
    }

    /// The name of the topic.
    #[must_use]
    pub const fn topic(&self) -> &'f [u8] {
        self.topic
    }

    /// The packet identifier that stands in these bytes, if one stands there.
    #[must_use]
    pub fn id(&self) -> Option<DeliveryId> {
        self.id.map(u16::from_be_bytes).and_then(DeliveryId::new)
    }

    /// Bytes of the whole packet with `extra`, with what of the payload follows the head.
    #[must_use]
    pub fn packet_len(&self, extra: &Extra<'_>) -> usize {
        packet_len(self.remaining_with(extra))
    }

    fn remaining_with(&self, extra: &Extra<'_>) -> usize {
        let added = extra.len();
        let len = self.properties.len();
        let more = added + variable_len(len + added) - variable_len(len);
        let less = if matches!(extra.topic, TopicForm::Alias(_)) { self.topic.len() } else { 0 };
        self.remaining + more - less
    }

    /// Appends the head with `extra` to a connection's outbound bytes, with `first` as its first byte and `id` in its
    /// place; a payload that the frame shares is to follow ([`mynah_stack::Frame::write_body`]). False, and nothing is appended, if the packet would be larger
    /// than MQTT can spell.
    #[must_use]
    pub fn compose(&self, first: u8, id: Option<DeliveryId>, extra: &Extra<'_>, out: &mut Outbound) -> bool {
        let remaining = self.remaining_with(extra);
        if remaining > REMAINING_LENGTH_MAX {
            return false;
        }
        out.append(&[first]);
        append_variable(remaining, out);
        let name = if matches!(extra.topic, TopicForm::Alias(_)) { &[] } else { self.topic };
        // A topic comes from a field with a length of two bytes.
        out.append(&(name.len() as u16).to_be_bytes());
        out.append(name);
        if self.id.is_some() {
            out.append(&id.map_or(0, DeliveryId::number).to_be_bytes());
        }
        if self.has_properties {
            append_variable(self.properties.len() + extra.len(), out);
        }
        if let Some(alias) = extra.topic.alias() {
            let [high, low] = alias.get().to_be_bytes();
            out.append(&[PropertyId::TopicAlias as u8, high, low]);
        }
        for id in extra.subscription_ids {
            out.append(&[PropertyId::SubscriptionIdentifier as u8]);
            append_variable(id.number() as usize, out);
        }
        out.append(self.properties);
        out.append(self.payload);
        true
    }
}

fn append_variable(number: usize, out: &mut Outbound) {
    let (bytes, len) = variable_bytes(number);
    out.append(&bytes[..len]);
}
