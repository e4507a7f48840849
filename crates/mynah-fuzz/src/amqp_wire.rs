//! Frames of AMQP 0-9-1, both directions: the input is a stream. What decodes is encoded to the same, and a message keeps
//! its bytes through the broker's layout.

use mynah_amqp::v0_9_1::framing::{Frame, next_frame};
use mynah_amqp::v0_9_1::mapping::arguments::{ConsumeArguments, QueueArguments};
use mynah_amqp::v0_9_1::mapping::{self, AmqpCodec, Encoded};
use mynah_amqp::v0_9_1::wire::{
    BasicProperties, ContentHeader, FRAME_OVERHEAD, FrameType, METHODS, Method, PropertyId, ShortStr, Table,
    Value,
};
use mynah_model::{Instant, MessageView, Properties};
use mynah_stack::{Frame as Shared, FrameKind, LayoutCodec};

/// Larger than any input, smaller than what a frame can announce.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Reads `data` as a stream of frames, and then as one table.
///
/// # Panics
/// If a promise of the codec is broken.
pub fn amqp_wire(data: &[u8]) {
    let mut input = data;
    loop {
        let start = input;
        match next_frame(&mut input, FRAME_BYTES_MAX) {
            Ok(Some(frame)) => {
                let bytes = &start[..start.len() - input.len()];
                check_cuts(bytes);
                check_frame(frame);
            }
            Ok(None) => {
                assert_eq!(input, start, "an incomplete frame stays");
                break;
            }
            Err(_) => {
                assert_eq!(input, start, "a malformed frame stays");
                break;
            }
        }
    }
    if let Ok(table) = Table::new(data) {
        check_table(table, 0);
    }
}

fn check_cuts(bytes: &[u8]) {
    for cut in [1, 7, bytes.len() / 2, bytes.len() - 1] {
        let mut part = &bytes[..cut.min(bytes.len() - 1)];
        assert_eq!(next_frame(&mut part, FRAME_BYTES_MAX), Ok(None));
    }
    if let Some(max) = bytes.len().checked_sub(FRAME_OVERHEAD + 1) {
        assert!(next_frame(&mut &bytes[..], max).is_err(), "a payload of one byte more than the limit");
    }
}

fn check_frame(frame: Frame<'_>) {
    match frame.frame_type {
        FrameType::Method => {
            if let Ok(method) = Method::from_payload(frame.payload) {
                check_method(frame.channel, method);
            }
        }
        FrameType::Header => {
            if let Ok(header) = ContentHeader::decode(frame.payload) {
                let mut payload = Vec::new();
                header.encode_payload(&mut payload);
                assert_eq!(payload, frame.payload, "a header keeps its bytes");
                check_properties(header.properties);
            }
        }
        FrameType::Body | FrameType::Heartbeat => {}
    }
}

/// Reserved arguments and bits are not kept, so that only the second encoding has to be the first.
fn check_method(channel: u16, method: Method<'_>) {
    assert!(METHODS.contains(method.spec()));
    let mut bytes = Vec::new();
    method.encode(channel, &mut bytes);
    let frame = next_frame(&mut bytes.as_slice(), FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!((frame.channel, Method::from_payload(frame.payload)), (channel, Ok(method)));
    let mut again = Vec::new();
    method.encode(channel, &mut again);
    assert_eq!(again, bytes);
    let tables = match method {
        Method::QueueDeclare(declare) => declare.arguments,
        Method::BasicConsume(consume) => consume.arguments,
        _ => Table::EMPTY,
    };
    for words in [QueueArguments::read(tables).err(), ConsumeArguments::read(tables).err()] {
        assert!(words.is_none_or(|words| !words.is_empty()));
    }
}

fn check_table(table: Table<'_>, depth: usize) {
    let mut encoded = Vec::new();
    for (name, value) in table.iter() {
        assert!(table.get(name.as_str().unwrap_or_default()).is_some() || name.as_str().is_none());
        encoded.push(name.as_bytes().len() as u8);
        encoded.extend_from_slice(name.as_bytes());
        value.encode(&mut encoded);
        if let Value::Table(inner) = value {
            check_table(inner, depth + 1);
        }
    }
    assert_eq!(encoded.len(), table.as_bytes().len(), "nothing is passed over");
    assert!(depth <= mynah_amqp::v0_9_1::wire::TABLE_DEPTH_MAX);
}

fn check_properties(properties: BasicProperties<'_>) {
    let Ok(delivered) = mapping::delivered(properties) else { return };
    let mut native = Vec::new();
    let [exchange, key] = ["amq.topic", "a.b"].map(ShortStr::cut);
    mapping::push_lead(exchange, key, &mut native, |out| out.extend_from_slice(b"a/b"));
    native.extend_from_slice(properties.as_bytes());
    let body_at = native.len();
    native.extend_from_slice(b"body");
    let header = mapping::header(&delivered, 3, (body_at, native.len()), Instant::ZERO);
    let message = MessageView { header: &header, native: &native };
    let view = AmqpCodec.properties(message);
    assert_eq!(view.content_type, properties.text(PropertyId::ContentType));
    assert!(view.user.iter().count() <= native.len());
    let mut frame = Shared::default();
    let kind = FrameKind { identified: true, retain: false };
    assert!(AmqpCodec.encode(message, &Properties::EMPTY, mapping::LAYOUT, kind, &mut frame));
    let encoded = Encoded::new(&frame).unwrap();
    assert_eq!((encoded.exchange, encoded.routing_key, encoded.body), (exchange, key, &b"body"[..]));
    assert_eq!(ContentHeader::decode(encoded.header).map(|header| header.properties), Ok(properties));
}
