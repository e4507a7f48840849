//! Properties of a message, as a view that is decoded when asked.

use core::fmt;
use core::time::Duration;

use crate::{PropertyValue, WallTime};

/// What a message says about itself beside topic, class, retain and priority (those are in the [`crate::Header`]).
/// Borrowed from the native bytes by the codec of their layout. Absent means that nobody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'m> {
    /// The media type of the payload, such as `application/json`.
    pub content_type: Option<&'m str>,
    /// How the payload is encoded beside its media type, such as `gzip`. The broker never decodes it.
    pub content_encoding: Option<&'m str>,
    /// Ties a reply to its request, in the requester's own bytes.
    pub correlation: Option<&'m [u8]>,
    /// Where a reply is wanted, as the publisher spelled it. Carried, never answered for.
    pub reply_to: Option<&'m str>,
    /// The publisher's name for the message.
    pub message_id: Option<&'m str>,
    /// When the publisher says that it made the message.
    pub created: Option<WallTime>,
    /// Whether the publisher says that the payload is UTF-8 text.
    pub is_text: bool,
    /// Whatever else the publisher says.
    pub user: UserProperties<'m>,
    /// How long the message is still wanted. Not of the native bytes: who asks for the properties fills it in, see
    /// [`crate::Header::remaining`].
    pub remaining: Option<Duration>,
}

impl Properties<'_> {
    /// Nobody said anything.
    pub const EMPTY: Self = Self {
        content_type: None,
        content_encoding: None,
        correlation: None,
        reply_to: None,
        message_id: None,
        created: None,
        is_text: false,
        user: UserProperties::EMPTY,
        remaining: None,
    };
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Reads the first key and value of encoded user properties and moves the bytes past them; `None` at the end.
pub type ReadPair = for<'m> fn(&mut &'m [u8]) -> Option<(&'m str, PropertyValue<'m>)>;

/// Pairs of a key and a value in the order in which the publisher gave them; keys may repeat. They stay in the encoding of their
/// layout, whose codec says how a pair is read.
#[derive(Clone, Copy)]
pub struct UserProperties<'m> {
    encoded: &'m [u8],
    read: ReadPair,
}

impl<'m> UserProperties<'m> {
    /// No pairs.
    pub const EMPTY: Self = Self { encoded: &[], read: |_| None };

    /// The pairs that `read` finds in `encoded`. It has to come to an end.
    #[must_use]
    pub const fn new(encoded: &'m [u8], read: ReadPair) -> Self {
        Self { encoded, read }
    }

    /// Keys and values in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'m str, PropertyValue<'m>)> {
        let mut rest = self.encoded;
        core::iter::from_fn(move || (self.read)(&mut rest))
    }

    /// Those whose value is text: all of them in protocols that know nothing else.
    pub fn texts(self) -> impl Iterator<Item = (&'m str, &'m str)> {
        self.iter().filter_map(|(key, value)| Some((key, value.as_text()?)))
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for UserProperties<'_> {
    /// Compares the pairs, whatever their encodings.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// Pairs of one byte each.
    fn bytes<'m>(encoded: &mut &'m [u8]) -> Option<(&'m str, PropertyValue<'m>)> {
        let (pair, rest) = encoded.split_at_checked(2)?;
        *encoded = rest;
        let (key, value) = core::str::from_utf8(pair).ok()?.split_at(1);
        Some((key, value.into()))
    }

    #[test]
    fn pairs_are_equal_whatever_their_encodings() {
        let read = UserProperties::new(b"a1a2", bytes);
        let fixed = UserProperties::new(b"..", |rest| {
            let (key, value) = *[("a", "2"), ("a", "1")].get(rest.len().checked_sub(1)?)?;
            *rest = &rest[1..];
            Some((key, value.into()))
        });
        assert_eq!(read, fixed);
        assert_ne!(read, UserProperties::new(b"a2a1", bytes));
        assert!(!read.is_empty() && UserProperties::EMPTY.is_empty());
        assert_eq!(format!("{read:?}"), r#"[("a", "1"), ("a", "2")]"#);
        assert_eq!(Properties::default(), Properties::EMPTY);
    }
}
