//! Properties of MQTT 5.0 as a program gives them, and as it gets them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::options::{Misuse, binary_field, text_field};
use crate::wire::properties::{Property, Section};
use crate::wire::{TextRule, check_topic_name};

/// Names and values that mean something to the application; names may repeat, the order is kept.
pub type UserPairs = Vec<(Box<str>, Box<str>)>;

/// What is said of a message beside its topic and payload (section 3.3.2.3 of MQTT 5.0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Whether the payload is UTF-8 text.
    pub is_text: bool,
    /// Seconds for which the message is wanted.
    pub expiry: Option<u32>,
    /// What the payload is, such as a MIME type.
    pub content_type: Option<Box<str>>,
    /// Where a reply is wanted: a topic name.
    pub response_topic: Option<Box<str>>,
    /// Ties a reply to its request.
    pub correlation: Option<Box<[u8]>>,
    /// What the application says beside.
    pub user: UserPairs,
}

impl MessageProperties {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes the properties, without the length before them.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.is_text {
            Property::PayloadFormatIndicator(true).encode(out);
        }
        if let Some(seconds) = self.expiry {
            Property::MessageExpiryInterval(seconds).encode(out);
        }
        if let Some(text) = &self.content_type {
            Property::ContentType(text_field(text)?).encode(out);
        }
        if let Some(topic) = &self.response_topic {
            check_topic_name(binary_field(topic.as_bytes())?, TextRule::AcceptDiscouraged)
                .map_err(Misuse::Invalid)?;
            Property::ResponseTopic(topic).encode(out);
        }
        if let Some(data) = &self.correlation {
            Property::CorrelationData(binary_field(data)?).encode(out);
        }
        encode_user(&self.user, out)
    }
}

/// Writes user properties.
pub(super) fn encode_user(pairs: &UserPairs, out: &mut Vec<u8>) -> Result<(), Misuse> {
    for (name, value) in pairs {
        Property::UserProperty((text_field(name)?, text_field(value)?)).encode(out);
    }
    Ok(())
}

/// The properties of a packet that came, such as those of CONNACK; empty before MQTT 5.0.
///
/// They are read by name through the sets of [`crate::wire::properties`]:
/// `DisconnectProperties::from(section.section()).server_reference`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OwnedSection(Box<[u8]>);

impl OwnedSection {
    /// The properties.
    #[must_use]
    pub fn section(&self) -> Section<'_> {
        Section::from_checked(&self.0)
    }
}

impl<'b> FromIterator<Property<'b>> for OwnedSection {
    fn from_iter<I: IntoIterator<Item = Property<'b>>>(properties: I) -> Self {
        let mut encoded = Vec::new();
        properties.into_iter().for_each(|property| property.encode(&mut encoded));
        Self(encoded.into())
    }
}

impl fmt::Debug for OwnedSection {
    /// Shows which properties there are; what a method of authentication says is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.section().iter().map(|property| property.id())).finish()
    }
}
