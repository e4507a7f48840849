//! MQTT packets, both directions: the input is a stream. What decodes is encoded to the same bytes; what is refused is
//! refused however much of it is there; a message keeps its bytes through the broker's layout.

use mynah_model::Properties;
use mynah_mqtt::Version;
use mynah_mqtt::framing::{FixedHeader, Unit, encode_fixed_header, next_unit};
use mynah_mqtt::mapping::{self, MqttCodec};
use mynah_mqtt::wire::{
    Ack, AckType, Connack, Connect, Disconnect, PacketType, Pingreq, Pingresp, Publish, Suback, Subscribe,
    TextRule, Unsuback, Unsubscribe,
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
        PacketType::Connack => check_connack(body, &same, version),
        PacketType::Publish => check_publish(unit, &same),
        PacketType::Subscribe | PacketType::Unsubscribe => check_request(unit, &same),
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
    if connect.version.checks_reserved_flags() {
        assert_eq!((encoded.as_slice(), unit.flags), (same, 0));
    } else {
        // What was not used, or announced and missing, is not written.
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

fn check_request(unit: Unit<'_>, same: &[u8]) {
    if unit.packet_type == PacketType::Subscribe {
        let decode = |rule| Subscribe::decode(unit.body, FILTERS_MAX, rule);
        let Some(subscribe) = by_both_rules(decode) else { return };
        assert!((1..=FILTERS_MAX).contains(&subscribe.entries.len()));
        assert_eq!(encoded(|out| subscribe.encode(out)), same);
    } else {
        let decode = |rule| Unsubscribe::decode(unit.body, FILTERS_MAX, rule);
        let Some(unsubscribe) = by_both_rules(decode) else { return };
        assert!((1..=FILTERS_MAX).contains(&unsubscribe.filters.len()));
        assert_eq!(encoded(|out| unsubscribe.encode(out)), same);
    }
}

fn check_publish(unit: Unit<'_>, same: &[u8]) {
    let Some(publish) = by_both_rules(|rule| Publish::decode(unit.flags, unit.body, rule)) else { return };
    assert_eq!(encoded(|out| publish.encode(out)), same);
    assert_eq!(publish.packet_id.is_some(), publish.class.is_confirmed());

    // Through the broker: one copy of the body, encoded for a receiver of the same class.
    let header = mapping::header(&publish);
    let message = mynah_model::MessageView { header: &header, native: unit.body }.to_message();
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
    assert_eq!(out.drain(), same, "a message keeps its bytes");
}
