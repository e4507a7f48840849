//! MQTT packets, both directions: the input is a stream. What decodes is encoded to the same bytes; what is refused is
//! refused however much of it is there; a message keeps its bytes through the broker's layout.

use mynah_model::{Instant, MessageView, Properties, Topic};
use mynah_mqtt::Version;
use mynah_mqtt::framing::{FixedHeader, Unit, encode_fixed_header, next_unit};
use mynah_mqtt::mapping::{self, Extra, MqttCodec, PublishHead};
use mynah_mqtt::wire::properties::PropertyId;
use mynah_mqtt::wire::{
    Ack, AckType, AckV5, Auth, Connack, ConnackV5, Connect, Disconnect, DisconnectV5, PacketType, Pingreq,
    Pingresp, Publish, Suback, SubackV5, Subscribe, TextRule, Unsuback, UnsubackV5, Unsubscribe,
};
use mynah_stack::{Frame, FrameKind, LayoutCodec, Outbound};

/// Larger than any input, smaller than what four length bytes can announce.
const PACKET_BYTES_MAX: usize = 1 << 20;
const FILTERS_MAX: usize = 64;

/// Reads `data` as a stream of packets of each version.
///
/// # Panics
/// If a promise of the codec is broken.
pub fn mqtt_wire(data: &[u8]) {
    for version in Version::ALL {
        check_stream(data, version);
    }
}

fn check_stream(data: &[u8], version: Version) {
    let mut input = data;
    loop {
        let start = input;
        match next_unit(&mut input, version, PACKET_BYTES_MAX) {
            Ok(Some(unit)) => {
                let packet = &start[..start.len() - input.len()];
                check_cuts(packet, version);
                check_unit(unit, packet, version);
            }
            Ok(None) => {
                assert_eq!(input, start, "an incomplete packet stays");
                return check_incomplete(input, version);
            }
            Err(_) => {
                assert_eq!(input, start, "a malformed packet stays");
                return;
            }
        }
    }
}

/// A whole packet is not taken before its last byte is there, and its size is judged by its header.
fn check_cuts(packet: &[u8], version: Version) {
    for cut in [1, 2, packet.len() / 2, packet.len() - 1] {
        let mut part = &packet[..cut.min(packet.len() - 1)];
        assert_eq!(next_unit(&mut part, version, PACKET_BYTES_MAX), Ok(None));
    }
    let mut whole = packet;
    assert!(next_unit(&mut whole, version, packet.len() - 1).is_err(), "one byte more than the limit");
    assert!(matches!(next_unit(&mut whole, version, packet.len()), Ok(Some(_))));
}

fn check_incomplete(input: &[u8], version: Version) {
    if let Ok(Some(header)) = FixedHeader::decode(input, version) {
        assert!(header.header_len + header.remaining > input.len());
        assert!(header.header_len + header.remaining <= PACKET_BYTES_MAX);
    } else {
        assert!(input.len() < 5, "a header has five bytes at the most");
    }
}

/// The packet as an encoder writes it: its length in as few bytes as it needs, and no flags that mean nothing.
fn canonical(unit: Unit<'_>, packet: &[u8]) -> Vec<u8> {
    let first = match unit.packet_type {
        PacketType::Publish => packet[0],
        other => other.first_byte(),
    };
    let mut out = Vec::new();
    encode_fixed_header(first, unit.body.len(), &mut out);
    out.extend_from_slice(unit.body);
    assert!(out.len() <= packet.len());
    out
}

fn check_unit(unit: Unit<'_>, packet: &[u8], version: Version) {
    let same = canonical(unit, packet);
    let body = unit.body;
    match unit.packet_type {
        PacketType::Connect => check_connect(unit, &same),
        PacketType::Auth => check_v5(unit),
        _ if version == Version::V5 && has_own_form(unit.packet_type) => check_v5(unit),
        PacketType::Connack => check_connack(body, &same, version),
        PacketType::Publish => check_publish(unit, &same, version),
        PacketType::Subscribe | PacketType::Unsubscribe => check_request(unit, &same, version),
        PacketType::Puback => check_ack(AckType::Puback, body, &same),
        PacketType::Pubrec => check_ack(AckType::Pubrec, body, &same),
        PacketType::Pubrel => check_ack(AckType::Pubrel, body, &same),
        PacketType::Pubcomp => check_ack(AckType::Pubcomp, body, &same),
        PacketType::Suback => check_same(Suback::decode(body).map(|p| encoded(|out| p.encode(out))), &same),
        PacketType::Unsuback => check_same(Unsuback::decode(body).map(|p| p.encode().to_vec()), &same),
        PacketType::Pingreq => check_same(Pingreq::decode(body).map(|_| Pingreq.encode().to_vec()), &same),
        PacketType::Pingresp => check_same(Pingresp::decode(body).map(|_| Pingresp.encode().to_vec()), &same),
        PacketType::Disconnect => {
            check_same(Disconnect::decode(body).map(|_| Disconnect.encode().to_vec()), &same);
        }
    }
    if version.checks_reserved_flags() && unit.packet_type != PacketType::Connect {
        assert_eq!(same[0], packet[0], "flags that mean nothing have their value");
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn check_same<E>(encoded: Result<Vec<u8>, E>, expected: &[u8]) {
    if let Ok(encoded) = encoded {
        assert_eq!(encoded, expected, "what was decoded is encoded to the same bytes");
    }
}

fn check_ack(ack_type: AckType, body: &[u8], same: &[u8]) {
    check_same(Ack::decode(ack_type, body).map(|ack| ack.encode().to_vec()), same);
}

/// Decodes by both rules: the strict one refuses more, and what it takes is read alike.
fn by_both_rules<T: PartialEq, E>(decode: impl Fn(TextRule) -> Result<T, E>) -> Option<T> {
    let strict = decode(TextRule::RefuseDiscouraged).ok();
    let lenient = decode(TextRule::AcceptDiscouraged).ok();
    assert!(strict.is_none() || strict == lenient, "the strict rule only takes away");
    lenient
}

fn check_connack(body: &[u8], same: &[u8], version: Version) {
    let Ok(connack) = Connack::decode(body, version) else { return };
    let encoded = connack.encode();
    assert_eq!((encoded[3], encoded.len()), (same[3], same.len()));
    assert_eq!(Connack::decode(&encoded[2..], version), Ok(connack));
    assert!(!version.tells_session_present() || encoded == *same);
}

/// The version of a CONNECT is what it says itself.
fn check_connect(unit: Unit<'_>, same: &[u8]) {
    let decode = |rule| Connect::decode(unit.flags, unit.body, rule);
    let Some(connect) = by_both_rules(decode) else { return };
    let encoded = encoded(|out| connect.encode(out));
    if connect.version == Version::V3_1_1 {
        assert_eq!((encoded.as_slice(), unit.flags), (same, 0));
    } else {
        // What was not used, or announced and missing, is not written; properties have their order.
        let mut input = encoded.as_slice();
        let again = next_unit(&mut input, connect.version, PACKET_BYTES_MAX).unwrap().unwrap();
        assert_eq!(Connect::decode(again.flags, again.body, TextRule::AcceptDiscouraged), Ok(connect));
    }
    let open = mapping::open(&connect, 10);
    assert_eq!(open.will.is_some(), connect.will.is_some());
    if let (Some(wanted), Some(will)) = (open.will, connect.will) {
        assert_eq!((wanted.message.topic(), wanted.message.payload()), (will.topic, will.message));
    }
}

fn check_request(unit: Unit<'_>, same: &[u8], version: Version) {
    if unit.packet_type == PacketType::Subscribe {
        let decode = |rule| Subscribe::decode(unit.body, FILTERS_MAX, rule, version);
        let Some(subscribe) = by_both_rules(decode) else { return };
        assert!((1..=FILTERS_MAX).contains(&subscribe.entries.len()));
        let encoded = encoded(|out| subscribe.encode(out));
        check_reordered(&encoded, same, version, |body| {
            Subscribe::decode(body, FILTERS_MAX, TextRule::AcceptDiscouraged, version).as_ref()
                == Ok(&subscribe)
        });
    } else {
        let decode = |rule| Unsubscribe::decode(unit.body, FILTERS_MAX, rule, version);
        let Some(unsubscribe) = by_both_rules(decode) else { return };
        assert!((1..=FILTERS_MAX).contains(&unsubscribe.filters.len()));
        let encoded = encoded(|out| unsubscribe.encode(out));
        check_reordered(&encoded, same, version, |body| {
            Unsubscribe::decode(body, FILTERS_MAX, TextRule::AcceptDiscouraged, version).as_ref()
                == Ok(&unsubscribe)
        });
    }
}

/// Properties may come in any order and are written in one: then the packet is read alike.
fn check_reordered(encoded: &[u8], same: &[u8], version: Version, is_alike: impl Fn(&[u8]) -> bool) {
    if version.has_properties() {
        let mut input = encoded;
        let again = next_unit(&mut input, version, PACKET_BYTES_MAX).unwrap().unwrap();
        assert!(is_alike(again.body), "what was decoded and encoded is read alike");
        assert_eq!(encoded.len(), same.len());
    } else {
        assert_eq!(encoded, same, "what was decoded is encoded to the same bytes");
    }
}

/// Whether MQTT 5.0 has a form of its own for packets of this type.
fn has_own_form(packet_type: PacketType) -> bool {
    matches!(
        packet_type,
        PacketType::Connack
            | PacketType::Puback
            | PacketType::Pubrec
            | PacketType::Pubrel
            | PacketType::Pubcomp
            | PacketType::Suback
            | PacketType::Unsuback
            | PacketType::Disconnect
            | PacketType::Auth
    )
}

/// What was decoded is encoded in at most as many bytes, and read alike; explanations are left out where they do not fit.
macro_rules! check_answer {
    ($body:expr, $decode:expr) => {{
        let Some(packet) = by_both_rules(|rule| $decode($body, rule)) else { return };
        let mut whole = Vec::new();
        assert!(packet.encode(usize::MAX, &mut whole));
        let mut input = whole.as_slice();
        let again = next_unit(&mut input, Version::V5, PACKET_BYTES_MAX).unwrap().unwrap();
        assert!(again.body.len() <= $body.len());
        assert_eq!($decode(again.body, TextRule::AcceptDiscouraged), Ok(packet.clone()));
        for max in [whole.len(), whole.len() - 1, whole.len() / 2] {
            let mut part = Vec::new();
            let is_written = packet.encode(max, &mut part);
            assert!(part.len() <= max && is_written != part.is_empty(), "not larger than is allowed");
            assert!(max < whole.len() || part == whole);
        }
    }};
}

fn check_v5(unit: Unit<'_>) {
    let body = unit.body;
    match unit.packet_type {
        PacketType::Connack => check_connack_v5(body),
        PacketType::Puback => check_ack_v5(AckType::Puback, body),
        PacketType::Pubrec => check_ack_v5(AckType::Pubrec, body),
        PacketType::Pubrel => check_ack_v5(AckType::Pubrel, body),
        PacketType::Pubcomp => check_ack_v5(AckType::Pubcomp, body),
        PacketType::Suback => check_suback_v5(body),
        PacketType::Unsuback => check_unsuback_v5(body),
        PacketType::Disconnect => check_disconnect_v5(body),
        _ => check_auth(body),
    }
}

fn check_connack_v5(body: &[u8]) {
    check_answer!(body, ConnackV5::decode);
}

fn check_suback_v5(body: &[u8]) {
    check_answer!(body, SubackV5::decode);
}

fn check_unsuback_v5(body: &[u8]) {
    check_answer!(body, UnsubackV5::decode);
}

fn check_disconnect_v5(body: &[u8]) {
    check_answer!(body, DisconnectV5::decode);
}

fn check_auth(body: &[u8]) {
    check_answer!(body, Auth::decode);
}

fn check_ack_v5(ack_type: AckType, body: &[u8]) {
    check_answer!(body, |body, rule| AckV5::decode(ack_type, body, rule));
}

fn check_publish(unit: Unit<'_>, same: &[u8], version: Version) {
    let Some(publish) = by_both_rules(|rule| Publish::decode(unit.flags, unit.body, rule, version)) else {
        return;
    };
    assert_eq!(encoded(|out| publish.encode(out)), same);
    assert_eq!(publish.packet_id.is_some(), publish.class.is_confirmed());

    // Through the broker: one copy of the body, encoded for a receiver of the same class.
    if publish.topic.as_bytes().is_empty() {
        return check_aliased(&publish);
    }
    let header = mapping::header(&publish, Instant::ZERO);
    let message = MessageView { header: &header, native: unit.body }.to_message();
    assert_eq!((message.topic(), message.payload()), (publish.topic, publish.payload));
    let kind = FrameKind { identified: publish.packet_id.is_some(), retain: publish.retain };
    let mut frame = Frame::default();
    let layout = header.layout;
    assert!(MqttCodec.encode(message.view(), &Properties::default(), layout, kind, &mut frame));
    if frame.wants_message() {
        frame.attach(&message);
    }
    let mut out = Outbound::new();
    let id = publish.packet_id.and_then(|id| mynah_model::DeliveryId::new(id.number()));
    frame.write(&mut out, Publish::first_byte(publish.class, publish.dup, publish.retain), id);
    let is_forwarded_whole =
        !publish.section().has_any(&[PropertyId::TopicAlias, PropertyId::SubscriptionIdentifier]);
    let written = out.drain();
    assert!(written == same || !is_forwarded_whole, "a message keeps its bytes");
    if version.has_properties() {
        let head = PublishHead::parse(&frame.head, kind.identified).expect("a head of MQTT 5.0");
        let mut composed = Outbound::new();
        assert!(head.compose(written[0], id, &Extra::default(), &mut composed));
        assert!(written.starts_with(&composed.drain()), "nothing beside changes nothing");
        assert_eq!(head.packet_len(&Extra::default()), written.len());
        check_properties(message.view(), kind);
    }
}

/// A message whose topic came as an alias has native bytes with its name.
fn check_aliased(publish: &Publish<'_>) {
    let (header, native) = mapping::with_topic(publish, Topic::from_checked(b"t"), Instant::ZERO);
    let view = MessageView { header: &header, native: &native };
    assert_eq!((view.topic().as_bytes(), view.payload()), (&b"t"[..], publish.payload));
    check_properties(view, FrameKind { identified: false, retain: false });
}

/// Its properties are read, and written for receivers of each layout in a section that can be read.
fn check_properties(message: MessageView<'_>, kind: FrameKind) {
    let remaining = message.header.remaining(Instant::ZERO);
    let properties = Properties { remaining, ..MqttCodec.properties(message) };
    assert!(properties.user.iter().count() <= message.native.len());
    for layout in [mapping::LAYOUT_V3, mapping::LAYOUT_V5] {
        let mut frame = Frame::default();
        assert!(MqttCodec.encode(message, &properties, layout, kind, &mut frame));
        if layout == mapping::LAYOUT_V5 {
            assert!(PublishHead::parse(&frame.head, kind.identified).is_some());
        }
    }
}
