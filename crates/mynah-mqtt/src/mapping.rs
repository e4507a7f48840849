//! Between the words of MQTT and those of the broker.
//!
//! **Native bytes of layout [`LAYOUT_V3`]** are the variable header and the payload as they came from the publisher,
//! so that one copy makes a message of them:
//!
//! ```text
//! | topic length (2) | topic | packet identifier (2), if the class is confirmed | payload |
//! ```
//!
//! The identifier is the publisher's and means nothing to anyone else; its place is kept, its value is not read.
//!
//! Lost on the way to MQTT 3.1.1: priority, content type and every other property, the remaining lifetime. A message
//! whose topic has more than 65,535 bytes or is not UTF-8 cannot be spelled.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{
    Expiry, Header, Layout, Message, MessageView, PRIORITY_DEFAULT, Properties, Reason, SubscriptionOptions,
    TenantId,
};
use mynah_stack::{Credentials, Frame, FrameKind, LayoutCodec, Open, SessionRequest, SubscribeRequest};

use crate::Version;
use crate::framing::encode_fixed_header;
use crate::wire::{Connect, PacketId, Publish, SubscribeEntry, Will};

/// The layout of messages from and for clients of MQTT 3.1 and 3.1.1.
pub const LAYOUT_V3: Layout = Layout { id: 1, version: 3 };

/// The layout in which a client of `version` publishes and gets messages.
#[must_use]
pub const fn layout(version: Version) -> Layout {
    match version {
        Version::V3_1 | Version::V3_1_1 => LAYOUT_V3,
    }
}

/// The header of a message whose native bytes are the body of `publish`. The engine fills in tenant and publisher.
#[must_use]
#[inline]
pub fn header(publish: &Publish<'_>) -> Header {
    let topic_end = 2 + publish.topic.as_bytes().len();
    let payload_start = topic_end + if publish.packet_id.is_some() { 2 } else { 0 };
    let payload_end = payload_start + publish.payload.len();
    // The remaining length of a packet has 28 bits.
    Header {
        tenant: TenantId::DEFAULT,
        layout: LAYOUT_V3,
        class: publish.class,
        retain: publish.retain,
        priority: PRIORITY_DEFAULT,
        topic: (2, topic_end as u32),
        payload: (payload_start as u32, payload_end as u32),
        deadline: None,
        publisher: None,
    }
}

/// A message of its own, not taken from a stream: a will, or what a client publishes.
#[must_use]
pub fn message(publish: &Publish<'_>) -> Message {
    let topic = publish.topic.as_bytes();
    let mut native = Vec::with_capacity(4 + topic.len() + publish.payload.len());
    // A topic comes from a field with a length of two bytes.
    native.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    native.extend_from_slice(topic);
    if let Some(id) = publish.packet_id {
        native.extend_from_slice(&id.number().to_be_bytes());
    }
    native.extend_from_slice(publish.payload);
    MessageView { header: &header(publish), native: &native }.to_message()
}

/// The will of a client as the message that the broker keeps until it is wanted.
#[must_use]
pub fn will(will: &Will<'_>) -> Message {
    let hole = will.class.is_confirmed().then(|| PacketId::new(1)).flatten();
    message(&Publish {
        dup: false,
        class: will.class,
        retain: will.retain,
        topic: will.topic,
        packet_id: hole,
        payload: will.message,
    })
}

/// CONNECT as the broker's request to be let in. A clean session neither finds nor leaves anything; another stays
/// until it is discarded ([MQTT-3.1.2-4] to [MQTT-3.1.2-6]).
#[must_use]
pub fn open(connect: &Connect<'_>, receive_max: u16) -> Open {
    let credentials = connect
        .user_name
        .map(|user| Credentials { user: user.into(), password: connect.password.map(Box::from) });
    let session = SessionRequest {
        client_id: connect.client_id.as_bytes().into(),
        clean_start: connect.clean_session,
        expiry: if connect.clean_session { Expiry::WithConnection } else { Expiry::Never },
    };
    let will = connect.will.as_ref().map(|w| mynah_model::Will { message: will(w), delay: Duration::ZERO });
    Open { credentials, session: Some(session), will, ..Open::new(receive_max) }
}

/// One entry of a SUBSCRIBE as the broker's request. Every SUBSCRIBE replays retained values ([MQTT-3.8.4-3]), and
/// only those show the retain flag ([MQTT-3.3.1-9]).
///
/// # Errors
/// `$share/…` and `$queue/…` are names that the broker keeps for what this version does not serve.
pub fn subscribe_request<'b>(entry: &SubscribeEntry<'b>) -> Result<SubscribeRequest<'b>, Reason> {
    let first = entry.filter.as_bytes().split(|&byte| byte == b'/').next();
    if matches!(first, Some(b"$share" | b"$queue")) {
        return Err(Reason::FilterInvalid);
    }
    let options = SubscriptionOptions::new(entry.class_max);
    Ok(SubscribeRequest { filter: entry.filter, share: None, options })
}

/// Reads and writes messages in the layouts of MQTT.
#[derive(Clone, Copy, Debug, Default)]
pub struct MqttCodec;

impl LayoutCodec for MqttCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT_V3]
    }

    fn properties<'m>(&self, _message: MessageView<'m>) -> Properties<'m> {
        Properties::default()
    }

    fn encode(
        &self,
        message: MessageView<'_>,
        _properties: &Properties<'_>,
        _layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        let (topic, payload) = (message.topic().as_bytes(), message.payload());
        // What came as MQTT was checked when it came.
        let is_checked = message.header.layout.id == LAYOUT_V3.id;
        if !Publish::fits(topic.len(), payload.len()) || !is_checked && core::str::from_utf8(topic).is_err() {
            return false;
        }
        let hole_len = if kind.identified { 2 } else { 0 };
        let remaining = 2 + topic.len() + hole_len + payload.len();
        let head = &mut frame.head;
        head.reserve(
            7 + topic.len() + if payload.len() < Frame::SHARED_BYTES_MIN { payload.len() } else { 0 },
        );
        encode_fixed_header(Publish::first_byte(message.header.class, false, kind.retain), remaining, head);
        head.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        head.extend_from_slice(topic);
        if kind.identified {
            frame.id_at = Some(frame.head.len());
            frame.head.extend_from_slice(&[0, 0]);
        }
        frame.payload(payload);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::{Class, Topic};

    const CLASS_0: FrameKind = FrameKind { identified: false, retain: false };

    fn foreign(topic: &[u8], payload: &[u8]) -> Message {
        let native = [topic, payload].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 99, version: 1 },
            class: Class::AtMostOnce,
            retain: false,
            priority: 0,
            topic: (0, topic.len() as u32),
            payload: (topic.len() as u32, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        MessageView { header: &header, native: &native }.to_message()
    }

    fn encode(message: &Message, kind: FrameKind) -> Option<Frame> {
        let mut frame = Frame::default();
        let done = MqttCodec.encode(message.view(), &Properties::default(), LAYOUT_V3, kind, &mut frame);
        done.then_some(frame)
    }

    #[test]
    fn a_foreign_message_becomes_a_publish() {
        let frame = encode(&foreign(b"a/b", b"hi"), FrameKind { identified: true, retain: true }).unwrap();
        assert_eq!(frame.head, b"\x31\x09\0\x03a/b\0\0hi");
        assert_eq!(frame.id_at, Some(7));
        let frame = encode(&foreign(b"a/b", b"hi"), CLASS_0).unwrap();
        assert_eq!((&frame.head[..], frame.id_at), (&b"\x30\x07\0\x03a/bhi"[..], None));
    }

    //= mqtt-3.1.1 [MQTT-4.7.3-3]
    #[test]
    fn what_mqtt_cannot_spell_is_not_encoded() {
        assert!(encode(&foreign(&[b'a'; 65_535], b""), CLASS_0).is_some());
        assert!(encode(&foreign(&[b'a'; 65_536], b""), CLASS_0).is_none());
        assert!(encode(&foreign(b"a\xff", b""), CLASS_0).is_none());
    }

    #[test]
    fn a_large_payload_counts_although_it_is_shared() {
        let message = foreign(b"a", &[7; 3_000]);
        let mut frame = encode(&message, CLASS_0).unwrap();
        assert!(frame.wants_message());
        assert_eq!(frame.head, [0x30, 0xBB, 0x17, 0, 1, b'a']);
        frame.attach(&message);
        assert_eq!(frame.len(), 3 + 0xBB - 0x80 + (0x17 << 7));
    }

    #[test]
    fn a_will_has_the_layout_of_a_publication() {
        let topic = Topic::new(b"gone").unwrap();
        for (class, native) in
            [(Class::AtMostOnce, &b"\0\x04gonebye"[..]), (Class::ExactlyOnce, b"\0\x04gone\0\x01bye")]
        {
            let message = will(&Will { topic, message: b"bye", class, retain: true });
            assert_eq!(message.view().native, native);
            assert_eq!((message.topic(), message.payload()), (topic, &b"bye"[..]));
            assert!(message.header().retain);
        }
    }

    #[test]
    fn names_of_queues_and_shares_are_refused_and_their_neighbours_are_not() {
        for (filter, refused) in [
            (&b"$share/g/a"[..], true),
            (b"$share", true),
            (b"$queue/jobs", true),
            (b"$shared/a", false),
            (b"a/$share", false),
        ] {
            let filter = mynah_model::Filter::new(filter).unwrap();
            let request = subscribe_request(&SubscribeEntry { filter, class_max: Class::AtLeastOnce });
            assert_eq!(request.is_err(), refused);
        }
    }
}
