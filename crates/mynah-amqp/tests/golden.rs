//! The golden vectors of `vectors/amqp-0-9-1/frames.toml`, both ways: what another implementation writes is read, and
//! written to the same bytes.

use std::fs;
use std::path::Path;

use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::wire::frame::encode_body;
use mynah_amqp::v0_9_1::wire::{ContentHeader, FrameType, HEARTBEAT, Method, PropertyId};
use toml::Table;

const PROPERTIES: [(&str, PropertyId); 14] = [
    ("content-type", PropertyId::ContentType),
    ("content-encoding", PropertyId::ContentEncoding),
    ("headers", PropertyId::Headers),
    ("delivery-mode", PropertyId::DeliveryMode),
    ("priority", PropertyId::Priority),
    ("correlation-id", PropertyId::CorrelationId),
    ("reply-to", PropertyId::ReplyTo),
    ("expiration", PropertyId::Expiration),
    ("message-id", PropertyId::MessageId),
    ("timestamp", PropertyId::Timestamp),
    ("type", PropertyId::Type),
    ("user-id", PropertyId::UserId),
    ("app-id", PropertyId::AppId),
    ("reserved", PropertyId::Reserved),
];

#[expect(clippy::disallowed_methods, reason = "the crate reads no files, its tests do")]
fn vectors() -> Vec<Table> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/amqp-0-9-1/frames.toml");
    let table: Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    table["vector"].as_array().unwrap().iter().map(|row| row.as_table().unwrap().clone()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn frames_of_another_implementation_are_read_and_written_alike() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 49);
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let bytes = bytes(vector["bytes"].as_str().unwrap());
        let mut input = bytes.as_slice();
        let frame = next_frame(&mut input, 4_096).unwrap().unwrap();
        assert!(input.is_empty(), "{name}");
        assert_eq!(i64::from(frame.channel), vector["channel"].as_integer().unwrap(), "{name}");
        let mut written = Vec::new();
        match frame.frame_type {
            FrameType::Method => {
                let method = Method::from_payload(frame.payload).unwrap();
                assert_eq!(method.id().to_string(), name);
                method.encode(frame.channel, &mut written);
            }
            FrameType::Header => {
                let header = ContentHeader::decode(frame.payload).unwrap();
                assert_eq!(header.body_size as i64, vector["body_size"].as_integer().unwrap(), "{name}");
                let there = PROPERTIES.iter().filter(|(_, id)| header.properties.has(*id));
                let expected = vector["properties"].as_array().unwrap();
                assert!(there.map(|(name, _)| *name).eq(expected.iter().map(|it| it.as_str().unwrap())));
                header.encode(frame.channel, &mut written);
            }
            FrameType::Body => encode_body(frame.channel, frame.payload, 4_096, &mut written),
            FrameType::Heartbeat => written.extend(HEARTBEAT),
        }
        // What is reserved is not kept: connection.open has a bit of it that is set here.
        if name != "connection.open" {
            assert_eq!(written, bytes, "{name}");
        }
    }
}
