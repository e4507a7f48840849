//! User properties by which MQTT 5.0 carries what it has no property for.
//!
//! | name | value |
//! |---|---|
//! | `mynah-content-encoding` | how the payload is encoded, such as `gzip` |
//! | `mynah-message-id` | the publisher's name for the message |
//! | `mynah-created` | when the message was made: milliseconds since the Unix epoch, in decimal digits |
//! | `mynah-priority` | 0 to 9, one digit; 4 is not written |
//! | `mynah-topic` | of what a queue hands out: the topic that it was published to |
//!
//! They are read back, so that what another protocol said survives a client that publishes what it got. The names are the
//! broker's: a pair with one of them is never a user property of a message, and none of them is written for one. Of a
//! name that is repeated, the first value that can be read counts.

use mynah_model::{UserProperties, WallTime};

use crate::wire::properties::{PropertyId, Section, read_user_property};

/// Carries the content encoding.
pub const CONTENT_ENCODING: &str = "mynah-content-encoding";
/// Carries the message id.
pub const MESSAGE_ID: &str = "mynah-message-id";
/// Carries when the message was created.
pub const CREATED: &str = "mynah-created";
/// Carries the priority.
pub const PRIORITY: &str = "mynah-priority";
/// Carries the topic of a message that comes under that of a queue. It is not read back.
pub const TOPIC: &str = "mynah-topic";

/// Whether a name is one of these.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    matches!(name, CONTENT_ENCODING | MESSAGE_ID | CREATED | PRIORITY | TOPIC)
}

/// The first value under a name.
pub(super) fn text<'b>(section: Section<'b>, name: &str) -> Option<&'b str> {
    section.user().texts().find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The priority, if one is said.
pub(super) fn priority(section: Section<'_>) -> Option<u8> {
    if !section.has(PropertyId::UserProperty) {
        return None;
    }
    let digit = |value: &str| match value.as_bytes() {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        _ => None,
    };
    section.user().texts().filter(|(name, _)| *name == PRIORITY).find_map(|(_, value)| digit(value))
}

/// When the message was created, if that is said.
pub(super) fn created(section: Section<'_>) -> Option<WallTime> {
    let millis = |value: &str| {
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        value.parse().ok().filter(|_| is_number).map(WallTime::from_unix_millis)
    };
    section.user().texts().filter(|(name, _)| *name == CREATED).find_map(|(_, value)| millis(value))
}

/// The user properties beside these.
pub(super) fn others(section: Section<'_>) -> UserProperties<'_> {
    if !section.has(PropertyId::UserProperty) {
        return UserProperties::EMPTY;
    }
    UserProperties::new(section.as_bytes(), |rest| {
        loop {
            let pair = read_user_property(rest)?;
            if !is_reserved(pair.0) {
                return Some((pair.0, pair.1.into()));
            }
        }
    })
}
