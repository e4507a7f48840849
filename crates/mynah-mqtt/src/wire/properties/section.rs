//! A section of properties: checked in one pass, then read as often as it is wanted without further checks.

use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use mynah_model::{PropertyValue, UserProperties};

use super::property::{Kind, Property, PropertyId};
use crate::wire::fields::Fields;
use crate::wire::{TextRule, check_text, check_topic_name};
use crate::{Error, Malformed, Violation};

/// What a section of properties is in: a packet, by its type, or the will in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the packets of section 3")]
#[repr(u8)]
pub enum PropertyHolder {
    Will = 0,
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Disconnect = 14,
    Auth = 15,
}

/// Properties that have been checked, in the order in which they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Section<'b> {
    encoded: &'b [u8],
    /// One bit for each identifier that is there.
    present: u64,
}

impl Default for Section<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl core::fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'b> Section<'b> {
    /// No properties.
    pub const EMPTY: Self = Self { encoded: &[], present: 0 };

    /// Checks properties, without the length before them.
    ///
    /// # Errors
    /// Malformed: an unknown identifier, one that `holder` does not have (section 2.2.2.2), a value that ends behind
    /// the section or is not of its type. A violation: a property that is there twice, a value that is not allowed.
    #[inline]
    pub fn check(encoded: &'b [u8], holder: PropertyHolder, rule: TextRule) -> Result<Self, Error> {
        if encoded.is_empty() {
            return Ok(Self::EMPTY);
        }
        check_properties(encoded, holder, rule)
    }

    /// The section of a message that was checked when it came. What is not as it was checked ends the reading.
    #[must_use]
    pub fn from_checked(encoded: &'b [u8]) -> Self {
        let mut present = 0;
        let mut rest = encoded;
        while let Some(id) = skip(&mut rest) {
            present |= bit(id);
        }
        Self { encoded, present }
    }

    /// The bytes of the properties, without the length before them.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.encoded
    }

    /// Whether there are no properties.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.encoded.is_empty()
    }

    /// Whether a property is there.
    #[must_use]
    pub const fn has(self, id: PropertyId) -> bool {
        self.present & bit(id) != 0
    }

    /// Whether one of these properties is there.
    #[must_use]
    pub fn has_any(self, ids: &[PropertyId]) -> bool {
        ids.iter().any(|&id| self.has(id))
    }

    /// The properties in their order.
    pub fn iter(self) -> impl Iterator<Item = Property<'b>> {
        let mut rest = self.encoded;
        core::iter::from_fn(move || read(&mut rest))
    }

    /// The first property with this identifier.
    #[must_use]
    pub fn find(self, id: PropertyId) -> Option<Property<'b>> {
        if self.has(id) { self.iter().find(|property| property.id() == id) } else { None }
    }

    /// The properties with their bytes, in their order.
    pub(crate) fn iter_encoded(self) -> impl Iterator<Item = (PropertyId, &'b [u8])> {
        let mut rest = self.encoded;
        core::iter::from_fn(move || {
            let start = rest;
            let id = skip(&mut rest)?;
            Some((id, &start[..start.len() - rest.len()]))
        })
    }

    /// The User Properties in their order.
    #[must_use]
    pub fn user(self) -> UserProperties<'b> {
        if self.has(PropertyId::UserProperty) { user_properties(self.encoded) } else { UserProperties::EMPTY }
    }
}

/// The User Properties among checked properties.
#[must_use]
pub const fn user_properties(encoded: &[u8]) -> UserProperties<'_> {
    UserProperties::new(encoded, |rest| {
        let (name, value) = read_user_property(rest)?;
        Some((name, PropertyValue::Text(value)))
    })
}

/// Reads the next User Property among checked properties, and moves past it.
pub(crate) fn read_user_property<'b>(rest: &mut &'b [u8]) -> Option<(&'b str, &'b str)> {
    loop {
        if let Property::UserProperty(pair) = read(rest)? {
            return Some(pair);
        }
    }
}

/// Writes a User Property, to be read by [`user_properties`]. Neither string has more than 65,535 bytes.
pub fn push_user_property(name: &str, value: &str, out: &mut Vec<u8>) {
    Property::UserProperty((name, value)).encode(out);
}

const fn bit(id: PropertyId) -> u64 {
    1 << id as u8
}

fn check_properties(encoded: &[u8], holder: PropertyHolder, rule: TextRule) -> Result<Section<'_>, Error> {
    let mut fields = Fields(encoded);
    let mut present = 0;
    while !fields.is_empty() {
        let property = fields.0;
        let id = PropertyId::from_number(fields.variable()?).ok_or(Malformed::PropertyId)?;
        if !id.is_allowed_in(holder) {
            // What is not whole is that first.
            skip(&mut &*property).ok_or(Malformed::Truncated)?;
            return Err(Malformed::PropertyMisplaced.into());
        }
        if present & bit(id) != 0 && !id.may_repeat_in(holder) {
            return Err(Violation::PropertyRepeated.into());
        }
        present |= bit(id);
        check_value(id, &mut fields, rule)?;
    }
    Ok(Section { encoded, present })
}

#[inline]
fn check_value(id: PropertyId, fields: &mut Fields<'_>, rule: TextRule) -> Result<(), Error> {
    let is_allowed = match id.kind() {
        Kind::Flag => fields.byte()? <= 1,
        Kind::Two => fields.integer().map(|_| true)?,
        Kind::TwoNotZero => fields.integer()? != 0,
        Kind::Four => fields.long().map(|_| true)?,
        Kind::FourNotZero => fields.long()? != 0,
        Kind::Variable => fields.variable()? != 0,
        Kind::Text => fields.text(rule).map(|_| true)?,
        Kind::TopicName => check_topic_name(fields.bytes()?, rule).map(|_| true)?,
        Kind::Binary => fields.bytes().map(|_| true)?,
        Kind::Pair => {
            check_text(fields.bytes()?, rule)?;
            fields.text(rule).map(|_| true)?
        }
    };
    match (is_allowed, id) {
        (true, _) => Ok(()),
        (false, PropertyId::TopicAlias) => Err(Violation::TopicAlias.into()),
        (false, _) => Err(Violation::PropertyValue.into()),
    }
}

/// Moves past a property that was checked, without a look at its value.
#[inline]
fn skip(rest: &mut &[u8]) -> Option<PropertyId> {
    let (&number, value) = rest.split_first()?;
    let id = PropertyId::from_number(u32::from(number))?;
    let mut fields = Fields(value);
    match id.kind() {
        Kind::Flag => fields.byte().map(drop),
        Kind::Two | Kind::TwoNotZero => fields.integer().map(drop),
        Kind::Four | Kind::FourNotZero => fields.long().map(drop),
        Kind::Variable => fields.variable().map(drop),
        Kind::Text | Kind::TopicName | Kind::Binary => fields.bytes().map(drop),
        Kind::Pair => fields.bytes().and_then(|_| fields.bytes()).map(drop),
    }
    .ok()?;
    *rest = fields.0;
    Some(id)
}

/// Reads a property that was checked; nothing at the end, and nothing where the bytes are not as they were checked.
#[inline]
fn read<'b>(rest: &mut &'b [u8]) -> Option<Property<'b>> {
    let mut fields = Fields(rest);
    let (number, after) = fields.0.split_first()?;
    fields.0 = after;
    let property = read_value(PropertyId::from_number(u32::from(*number))?, &mut fields)?;
    *rest = fields.0;
    Some(property)
}

fn read_value<'b>(id: PropertyId, fields: &mut Fields<'b>) -> Option<Property<'b>> {
    fn flag(fields: &mut Fields<'_>) -> Option<bool> {
        fields.byte().ok().map(|byte| byte != 0)
    }
    fn two(fields: &mut Fields<'_>) -> Option<u16> {
        fields.integer().ok()
    }
    fn two_not_zero(fields: &mut Fields<'_>) -> Option<NonZeroU16> {
        NonZeroU16::new(two(fields)?)
    }
    fn four(fields: &mut Fields<'_>) -> Option<u32> {
        fields.long().ok()
    }
    fn text<'b>(fields: &mut Fields<'b>) -> Option<&'b str> {
        str::from_utf8(fields.bytes().ok()?).ok()
    }
    fn binary<'b>(fields: &mut Fields<'b>) -> Option<&'b [u8]> {
        fields.bytes().ok()
    }
    Some(match id {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(flag(fields)?),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(four(fields)?),
        PropertyId::ContentType => Property::ContentType(text(fields)?),
        PropertyId::ResponseTopic => Property::ResponseTopic(text(fields)?),
        PropertyId::CorrelationData => Property::CorrelationData(binary(fields)?),
        PropertyId::SubscriptionIdentifier => {
            Property::SubscriptionIdentifier(NonZeroU32::new(fields.variable().ok()?)?)
        }
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(four(fields)?),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text(fields)?),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(two(fields)?),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text(fields)?),
        PropertyId::AuthenticationData => Property::AuthenticationData(binary(fields)?),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag(fields)?),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(four(fields)?),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag(fields)?),
        PropertyId::ResponseInformation => Property::ResponseInformation(text(fields)?),
        PropertyId::ServerReference => Property::ServerReference(text(fields)?),
        PropertyId::ReasonString => Property::ReasonString(text(fields)?),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(two_not_zero(fields)?),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(two(fields)?),
        PropertyId::TopicAlias => Property::TopicAlias(two_not_zero(fields)?),
        PropertyId::MaximumQos => Property::MaximumQos(flag(fields)?),
        PropertyId::RetainAvailable => Property::RetainAvailable(flag(fields)?),
        PropertyId::UserProperty => Property::UserProperty((text(fields)?, text(fields)?)),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(NonZeroU32::new(four(fields)?)?),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag(fields)?),
        PropertyId::SubscriptionIdentifierAvailable => {
            Property::SubscriptionIdentifierAvailable(flag(fields)?)
        }
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag(fields)?),
    })
}
