//! Between the words of MQTT and those of the broker.
//!
//! **Native bytes** are the variable header and the payload as they came from the publisher, so that one copy makes a
//! message of them. Of layout [`LAYOUT_V3`], for MQTT 3.1.1 and 3.1:
//!
//! ```text
//! | topic length (2) | topic | packet identifier (2), if the class is confirmed | payload |
//! ```
//!
//! and of layout [`LAYOUT_V5`], for MQTT 5.0:
//!
//! ```text
//! | topic length (2) | topic | packet identifier (2), if the class is confirmed | property length | properties | payload |
//! ```
//!
//! The identifier is the publisher's and means nothing to anyone else; its place is kept, its value is not read. The topic
//! of a PUBLISH that came with an alias instead is put in its place ([`with_topic`]). Of the properties, Topic Alias
//! and Subscription Identifier are never forwarded, and Message Expiry Interval is written as what is left of it.
//!
//! What MQTT 5.0 has no property for travels as User Property, see [`user_property`].
//!
//! Lost on the way to MQTT 3.1.1: priority, content type and every other property, the remaining lifetime. A message
//! whose topic has more than 65,535 bytes or is not UTF-8 cannot be spelled. Left out on the way to MQTT 5.0: a
//! property that holds U+0000 or has more than 65,535 bytes, and a reply address that is not a topic name.

mod codec;
mod of_queue;
mod publish_head;
mod subscription;
pub mod user_property;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Expiry, Header, Instant, Layout, Message, MessageView, PRIORITY_DEFAULT, TenantId, Topic};
use mynah_stack::{Credentials, Exchange, Open, SessionRequest};

use crate::Version;
use crate::wire::properties::{Property, PropertyId, Section};
use crate::wire::{Connect, PacketId, Publish, Will, push_variable, variable_len};

pub use codec::MqttCodec;
pub use of_queue::properties_of_queue;
pub use publish_head::{Extra, PublishHead, TopicForm};
pub use subscription::{NamedFilter, subscribe_request};

/// The layout of messages from and for clients of MQTT 3.1 and 3.1.1.
pub const LAYOUT_V3: Layout = Layout { id: 1, version: 3 };

/// The layout of messages from and for clients of MQTT 5.0.
pub const LAYOUT_V5: Layout = Layout { id: 1, version: 5 };

/// A session expiry interval that has no end (section 3.1.2.11.2 of MQTT 5.0).
pub const EXPIRY_NEVER: u32 = u32::MAX;

/// What is said of a publisher to itself and of a receiver to nobody else.
const NOT_FORWARDED: [PropertyId; 2] = [PropertyId::TopicAlias, PropertyId::SubscriptionIdentifier];

/// The layout in which a client of `version` publishes and gets messages.
#[must_use]
pub const fn layout(version: Version) -> Layout {
    match version {
        Version::V3_1 | Version::V3_1_1 => LAYOUT_V3,
        Version::V5 => LAYOUT_V5,
    }
}

/// The header of a message whose native bytes are the body of `publish`, which came at `now` with its topic. The engine
/// fills in tenant and publisher.
#[must_use]
// Always: where the caller knows that there are no properties, little of this remains.
#[inline(always)]
pub fn header(publish: &Publish<'_>, now: Instant) -> Header {
    let topic_end = 2 + publish.topic.as_bytes().len();
    let mut payload_start = topic_end + if publish.packet_id.is_some() { 2 } else { 0 };
    let (mut layout, mut deadline, mut priority) = (LAYOUT_V3, None, PRIORITY_DEFAULT);
    if let Some(section) = publish.properties {
        layout = LAYOUT_V5;
        payload_start += 1;
        if !section.is_empty() {
            let len = section.as_bytes().len();
            payload_start += variable_len(len) + len - 1;
            (deadline, priority) = of_section(section, now);
        }
    }
    let payload_end = payload_start + publish.payload.len();
    // The remaining length of a packet has 28 bits.
    Header {
        tenant: TenantId::DEFAULT,
        layout,
        class: publish.class,
        retain: publish.retain,
        priority,
        topic: (2, topic_end as u32),
        payload: (payload_start as u32, payload_end as u32),
        deadline,
        publisher: None,
    }
}

/// The header and the native bytes of a PUBLISH that came at `now` with an alias of `topic` instead of its name.
#[must_use]
pub fn with_topic(publish: &Publish<'_>, topic: Topic<'_>, now: Instant) -> (Header, Vec<u8>) {
    let mut properties = Vec::with_capacity(publish.section().as_bytes().len());
    for (id, encoded) in publish.section().iter_encoded() {
        if !NOT_FORWARDED.contains(&id) {
            properties.extend_from_slice(encoded);
        }
    }
    let properties = publish.properties.map(|_| Section::from_checked(&properties));
    let publish = Publish { topic, properties, ..*publish };
    (header(&publish, now), native(&publish))
}

/// The properties of a message from or for MQTT 5.0; none of one from elsewhere.
#[must_use]
pub fn section(message: MessageView<'_>) -> Section<'_> {
    if message.header.layout == LAYOUT_V5 {
        Section::from_checked(codec::native_section(message))
    } else {
        Section::EMPTY
    }
}

/// A message of its own, not taken from a stream, made at `now`: what a client publishes.
#[must_use]
pub fn message(publish: &Publish<'_>, now: Instant) -> Message {
    MessageView { header: &header(publish, now), native: &native(publish) }.to_message()
}

fn native(publish: &Publish<'_>) -> Vec<u8> {
    let topic = publish.topic.as_bytes();
    let section = publish.section().as_bytes();
    let mut native = Vec::with_capacity(8 + topic.len() + section.len() + publish.payload.len());
    // A topic comes from a field with a length of two bytes.
    native.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    native.extend_from_slice(topic);
    if let Some(id) = publish.packet_id {
        native.extend_from_slice(&id.number().to_be_bytes());
    }
    if publish.properties.is_some() {
        push_variable(section.len(), &mut native);
        native.extend_from_slice(section);
    }
    native.extend_from_slice(publish.payload);
    native
}

/// The will of a client of `version` as the message that the broker keeps until it is wanted. It has no deadline: its
/// lifetime, [`crate::wire::properties::WillProperties::message_expiry_interval`], begins when it is published.
#[must_use]
pub fn will(will: &Will<'_>, version: Version) -> Message {
    let mut properties = Vec::new();
    for property in will.properties.iter() {
        if !matches!(property, Property::WillDelayInterval(_)) {
            property.encode(&mut properties);
        }
    }
    let publish = Publish {
        dup: false,
        class: will.class,
        retain: will.retain,
        topic: will.topic,
        packet_id: will.class.is_confirmed().then(|| PacketId::new(1)).flatten(),
        properties: version.has_properties().then(|| Section::from_checked(&properties)),
        payload: will.message,
    };
    let header = Header { deadline: None, ..header(&publish, Instant::ZERO) };
    MessageView { header: &header, native: &native(&publish) }.to_message()
}

/// CONNECT as the broker's request to be let in. Before MQTT 5.0 a clean session neither finds nor leaves anything; another
/// stays until it is discarded ([MQTT-3.1.2-4] to [MQTT-3.1.2-6]). The client takes at most `receive_max` deliveries at
/// a time, or fewer if it says so.
#[must_use]
pub fn open(connect: &Connect<'_>, receive_max: u16) -> Open {
    let credentials = (connect.user_name.is_some() || connect.password.is_some()).then(|| Credentials {
        user: connect.user_name.unwrap_or_default().into(),
        password: connect.password.map(Box::from),
    });
    let session = SessionRequest {
        client_id: connect.client_id.as_bytes().into(),
        clean_start: connect.clean_session,
        expiry: session_expiry(connect),
    };
    let takes = connect.properties.receive_maximum.map_or(u16::MAX, core::num::NonZeroU16::get);
    let will = connect.will.as_ref().map(|w| mynah_model::Will {
        message: will(w, connect.version),
        delay: Duration::from_secs(u64::from(w.properties.will_delay_interval.unwrap_or(0))),
        lifetime: w.properties.message_expiry_interval.map(|s| Duration::from_secs(u64::from(s))),
    });
    let properties = &connect.properties;
    let exchange = properties.authentication_method.map(|method| Exchange {
        method: method.into(),
        data: properties.authentication_data.unwrap_or_default().into(),
    });
    Open { credentials, exchange, session: Some(session), will, ..Open::new(receive_max.min(takes)) }
}

/// How long the session that a CONNECT asks for outlives the connection.
#[must_use]
pub fn session_expiry(connect: &Connect<'_>) -> Expiry {
    if connect.version.has_properties() {
        return expiry_of_seconds(connect.properties.session_expiry_interval.unwrap_or(0));
    }
    if connect.clean_session { Expiry::WithConnection } else { Expiry::Never }
}

/// A Session Expiry Interval in the broker's words.
#[must_use]
pub const fn expiry_of_seconds(seconds: u32) -> Expiry {
    match seconds {
        0 => Expiry::WithConnection,
        EXPIRY_NEVER => Expiry::Never,
        seconds => Expiry::After(Duration::from_secs(seconds as u64)),
    }
}

/// An expiry as a Session Expiry Interval, rounded up.
#[must_use]
pub fn seconds_of_expiry(expiry: Expiry) -> u32 {
    match expiry {
        Expiry::WithConnection => 0,
        Expiry::Never => EXPIRY_NEVER,
        Expiry::After(duration) => {
            let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
            u32::try_from(seconds).unwrap_or(EXPIRY_NEVER)
        }
    }
}

/// The deadline and the priority of a message that came at `now` with these properties.
#[inline(never)]
fn of_section(section: Section<'_>, now: Instant) -> (Option<Instant>, u8) {
    let deadline = match section.find(PropertyId::MessageExpiryInterval) {
        Some(Property::MessageExpiryInterval(seconds)) => Some(now + Duration::from_secs(u64::from(seconds))),
        _ => None,
    };
    (deadline, user_property::priority(section).unwrap_or(PRIORITY_DEFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::Class;

    #[test]
    fn a_will_has_the_layout_of_a_publication() {
        let topic = Topic::new(b"gone").unwrap();
        for (class, native) in
            [(Class::AtMostOnce, &b"\0\x04gonebye"[..]), (Class::ExactlyOnce, b"\0\x04gone\0\x01bye")]
        {
            let message = will(
                &Will { topic, message: b"bye", class, retain: true, properties: Default::default() },
                Version::V3_1_1,
            );
            assert_eq!(message.view().native, native);
            assert_eq!((message.topic(), message.payload()), (topic, &b"bye"[..]));
            assert!(message.header().retain);
        }
    }

    //= mqtt-5.0 [MQTT-3.1.3-9]
    #[test]
    fn a_will_of_mqtt_5_keeps_its_properties_and_not_its_delay() {
        let mut properties = Vec::new();
        for property in [Property::WillDelayInterval(9), Property::ContentType("x")] {
            property.encode(&mut properties);
        }
        let section = Section::from_checked(&properties);
        let topic = Topic::from_checked(b"gone");
        let class = Class::AtMostOnce;
        let message = will(
            &Will { topic, message: b"bye", class, retain: false, properties: section.into() },
            Version::V5,
        );
        assert_eq!(message.view().native, b"\0\x04gone\x04\x03\0\x01xbye");
        assert_eq!((message.payload(), message.header().layout), (&b"bye"[..], LAYOUT_V5));
    }

    #[test]
    fn a_session_lasts_as_long_as_its_version_says() {
        for (version, clean, seconds, expiry) in [
            (Version::V3_1_1, true, None, Expiry::WithConnection),
            (Version::V3_1_1, false, None, Expiry::Never),
            (Version::V5, false, None, Expiry::WithConnection),
            (Version::V5, true, Some(7), Expiry::After(Duration::from_secs(7))),
            (Version::V5, true, Some(u32::MAX), Expiry::Never),
        ] {
            let connect = Connect {
                version,
                clean_session: clean,
                keep_alive: 0,
                properties: crate::wire::properties::ConnectProperties {
                    session_expiry_interval: seconds,
                    receive_maximum: core::num::NonZeroU16::new(3),
                    ..Default::default()
                },
                client_id: "c",
                will: None,
                user_name: None,
                password: Some(b"p"),
            };
            let open = open(&connect, 10);
            assert_eq!(open.session.map(|session| session.expiry), Some(expiry));
            assert_eq!((open.receive_max, open.credentials.map(|c| c.user)), (3, Some("".into())));
        }
    }

    //= mqtt-5.0 [MQTT-3.3.2-12]
    #[test]
    fn a_topic_takes_the_place_of_its_alias() {
        let publish = Publish::decode(
            0x02,
            b"\0\0\0\x07\x0a\x23\0\x05\x02\0\0\0\x09\x01\x01hi",
            crate::TextRule::default(),
            Version::V5,
        )
        .unwrap();
        assert_eq!(publish.topic_alias().map(core::num::NonZeroU16::get), Some(5));
        let now = Instant::from_micros(1_000_000);
        let (header, native) = with_topic(&publish, Topic::from_checked(b"a/b"), now);
        assert_eq!(native, b"\0\x03a/b\0\x07\x07\x02\0\0\0\x09\x01\x01hi");
        assert_eq!(
            (&native[header.topic_range()], &native[header.payload_range()]),
            (&b"a/b"[..], &b"hi"[..])
        );
        assert_eq!(header.deadline, Some(Instant::from_micros(10_000_000)));
    }
}
