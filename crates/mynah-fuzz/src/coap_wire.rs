//! CoAP's decoders: datagrams, streams, WebSocket messages, options, links, paths and CBOR. The first byte says which;
//! options and paths are judged by readers that are written from the definitions.

use std::borrow::Cow;

use mynah_coap::framing::{Transport, encode_message, next_message, next_web_socket};
use mynah_coap::mapping::{topic_of_segments, uri_path};
use mynah_coap::wire::cbor::Reader;
use mynah_coap::wire::link_format::{LinkWriter, links};
use mynah_coap::wire::{Body, Malformed, Message, OptionNumber, OptionWriter, Options};
use mynah_model::Topic;

use crate::script::Script;

const TOKEN_MAX: usize = 40;
const BYTES_MAX: usize = 300;

/// Decodes `data` as what its first byte says.
///
/// # Panics
/// If a decoder differs from the definition, or what it decodes is encoded as something else.
pub fn coap_wire(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.below(7);
    let bytes = script.rest();
    match kind {
        0 => check_datagram(bytes),
        1 => check_stream(Transport::Stream, bytes),
        2 => check_stream(Transport::WebSocket, bytes),
        3 => check_options(bytes),
        4 => check_links(&String::from_utf8_lossy(bytes)),
        5 => check_path(bytes),
        _ => {
            let mut reader = Reader::new(bytes);
            while reader.skip(32).is_ok() {}
        }
    }
}

fn check_datagram(datagram: &[u8]) {
    let Ok(message) = Message::decode(datagram, TOKEN_MAX) else { return };
    assert_eq!(Message::peek(datagram), Some((message.kind, message.id)));
    let mut encoded = Vec::new();
    message.encode(&mut encoded);
    assert_eq!(Message::decode(&encoded, TOKEN_MAX), Ok(message));
    assert_eq!(encoded, datagram, "options are kept as they are, and the rest is spelled in one way");
}

fn read<'b>(transport: Transport, input: &mut &'b [u8]) -> Result<Option<Body<'b>>, Malformed> {
    match transport {
        Transport::WebSocket => next_web_socket(input, BYTES_MAX, TOKEN_MAX),
        _ => next_message(input, BYTES_MAX, TOKEN_MAX),
    }
}

/// Each message is there when its last byte is, and is the same after it was encoded.
fn check_stream(transport: Transport, bytes: &[u8]) {
    let mut input = bytes;
    loop {
        let before = input;
        let Ok(Some(body)) = read(transport, &mut input) else { return };
        let whole = &before[..before.len() - input.len()];
        for cut in [0, whole.len() / 2, whole.len() - 1] {
            assert_eq!(read(transport, &mut &whole[..cut]), Ok(None));
        }
        let mut encoded = Vec::new();
        encode_message(transport, &body, &mut encoded);
        assert_eq!(read(transport, &mut &encoded[..]), Ok(Some(body)));
    }
}

fn check_options(bytes: &[u8]) {
    let decoded = Options::decode(bytes).ok().map(|(options, payload)| {
        let all: Vec<(u16, Vec<u8>)> =
            options.iter().map(|(number, value)| (number.0, value.to_vec())).collect();
        (all, payload.to_vec())
    });
    assert_eq!(decoded, options_by_definition(bytes));
    let Some((all, _)) = decoded else { return };
    let mut encoded = Vec::new();
    let mut writer = OptionWriter::new(&mut encoded);
    for (number, value) in &all {
        writer.put(OptionNumber(*number), value);
    }
    let again = Options::decode(&encoded).unwrap().0;
    assert!(again.iter().map(|(number, value)| (number.0, value.to_vec())).eq(all));
}

type Read = (Vec<(u16, Vec<u8>)>, Vec<u8>);

/// RFC 7252, section 3.1, one byte at a time.
fn options_by_definition(bytes: &[u8]) -> Option<Read> {
    let mut bytes = bytes.iter().copied();
    let (mut all, mut number) = (Vec::new(), 0_u32);
    while let Some(first) = bytes.next() {
        if first == 0xff {
            let payload: Vec<u8> = bytes.collect();
            return (!payload.is_empty()).then_some((all, payload));
        }
        let mut field = |nibble: u8| match nibble {
            15 => None,
            14 => Some(u32::from(bytes.next()?) * 256 + u32::from(bytes.next()?) + 269),
            13 => Some(u32::from(bytes.next()?) + 13),
            small => Some(small.into()),
        };
        let (delta, len) = (field(first / 16)?, field(first % 16)?);
        number += delta;
        let mut value = Vec::new();
        for _ in 0..len {
            value.push(bytes.next()?);
        }
        all.push((u16::try_from(number).ok()?, value));
    }
    Some((all, Vec::new()))
}

fn check_links(document: &str) {
    let Ok(all) = links(document).collect::<Result<Vec<_>, _>>() else { return };
    let mut writer = LinkWriter::default();
    for link in &all {
        assert!(link.is_selected_by("href=*") && link.is_selected_by(&format!("href={}", link.target)));
        let attributes: String = link
            .attributes()
            .map(|(name, value)| match value {
                Some(value) if !value.contains('"') => format!(";{name}=\"{value}\""),
                _ => String::new(),
            })
            .collect();
        writer.put(link.target, &attributes);
    }
    let again = writer.finish();
    let targets = links(&again).map(|link| link.unwrap().target);
    assert!(targets.eq(all.iter().map(|link| link.target)));
}

/// Segments that the script's bytes name, and the topic that they spell.
fn check_path(bytes: &[u8]) {
    let segments: Vec<&[u8]> = bytes.split(|byte| *byte == b'|').collect();
    let Ok(Some(topic)) = topic_of_segments(segments.iter().copied()) else { return };
    let Ok(topic) = Topic::new(&topic) else {
        assert!(topic.is_empty());
        return;
    };
    assert_eq!(topic.segments().count(), segments.len());
    assert!(uri_path(topic).map(Cow::into_owned).eq(segments.iter().map(|s| s.to_vec())));
}
