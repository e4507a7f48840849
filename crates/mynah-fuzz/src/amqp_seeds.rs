//! Inputs that the targets of AMQP start from: each method with arguments, contents, streams of a client.

use mynah_amqp::v0_9_1::wire::frame::encode_body;
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, Domain, FrameType, METHODS, MethodSpec, PropertiesBuilder, PropertyId, ShortStr,
    TableBuilder, Value, basic, frame,
};

use crate::Input;

/// Frames: one of each method, and contents.
pub(crate) fn frames() -> Vec<Input> {
    let mut frames: Vec<Input> = METHODS.iter().map(method).collect();
    frames.push(publication(&TableBuilder::new(), b""));
    frames.push(publication(&table(), b"body"));
    frames.push(frame::HEARTBEAT.to_vec());
    frames.push(table().as_table().as_bytes().to_vec());
    frames
}

/// The same as what a connection hears that is open, in pieces and by a script.
pub(crate) fn connections() -> Vec<Input> {
    let mut seeds = vec![b"\x10\x05AMQP\0\0\x09\x01".to_vec(), b"\x10\x05AMQP\0\x01\0\0".to_vec()];
    for frame in frames() {
        seeds.push([&[0x11, 5], &frame[..]].concat());
        if let Ok(len @ ..64) = u8::try_from(frame.len()) {
            // Hear it, answer it, wait until something is due.
            seeds.push([&[0x09, 0, len], &frame[..], &[9, 0, 1, 12, 0, 12]].concat());
        }
    }
    seeds
}

fn table() -> TableBuilder {
    let inner = TableBuilder::new().with("k", Value::Void);
    TableBuilder::new()
        .with("x-message-ttl", Value::I32(1))
        .with("x-mqtt-retain", Value::Bool(true))
        .with("t", Value::Table(inner.as_table()))
        .with("s", Value::LongStr(b"text"))
        .with("d", Value::Decimal(1, 2))
}

fn method(spec: &MethodSpec) -> Input {
    let (mut payload, mut bits) = (Vec::new(), 0);
    payload.extend(spec.id.class.to_be_bytes());
    payload.extend(spec.id.method.to_be_bytes());
    for (_, domain) in spec.fields {
        match domain {
            Domain::Bit if bits % 8 != 0 => {}
            Domain::Bit => payload.push(1),
            Domain::Octet => payload.push(1),
            Domain::Short => payload.extend([0, 1]),
            Domain::Long => payload.extend([0, 0, 0x10, 0]),
            Domain::LongLong => payload.extend(1_u64.to_be_bytes()),
            Domain::ShortStr => payload.extend(b"\x01a"),
            Domain::LongStr => payload.extend(b"\0\0\0\x01a"),
            Domain::Table => {
                let table = table();
                let table = table.as_table().as_bytes();
                payload.extend((table.len() as u32).to_be_bytes());
                payload.extend(table);
            }
        }
        bits = if *domain == Domain::Bit { bits + 1 } else { 0 };
    }
    let channel = u16::from(spec.id.class != 10);
    let mut bytes = frame::head(FrameType::Method, channel, payload.len()).to_vec();
    bytes.extend(payload);
    bytes.push(frame::FRAME_END);
    bytes
}

fn publication(headers: &TableBuilder, body: &[u8]) -> Input {
    let mut bytes = Vec::new();
    let publish = basic::Publish {
        exchange: ShortStr::cut("amq.topic"),
        routing_key: ShortStr::cut("a.b"),
        mandatory: true,
        immediate: false,
    };
    publish.encode(1, &mut bytes);
    let made = PropertiesBuilder::new()
        .headers(headers.as_table())
        .octet(PropertyId::DeliveryMode, Some(2))
        .text(PropertyId::Expiration, Some(b"1000"));
    ContentHeader { body_size: body.len() as u64, properties: made.as_properties() }.encode(1, &mut bytes);
    encode_body(1, body, 10, &mut bytes);
    bytes
}
