//! Generated tables, frames and streams: what is written is read as it was, and no bytes do harm.

use mynah_amqp::v0_9_1::Config;
use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::wire::frame::encode_body;
use mynah_amqp::v0_9_1::wire::{
    Array, BasicProperties, FrameType, Method, PropertiesBuilder, PropertyId, Table, TableBuilder, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::broker::{Server, frame};

/// A value that owns what it says.
#[derive(Clone, Debug)]
enum Owned {
    Bool(bool),
    Integer(i64, u8),
    Float(f64),
    Decimal(u8, u32),
    Text(Vec<u8>),
    Timestamp(u64),
    Void,
    Table(Vec<(String, Owned)>),
}

fn owned() -> impl Strategy<Value = Owned> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        (any::<i64>(), 0..7_u8).prop_map(|(number, width)| Owned::Integer(number, width)),
        (-1.0e300..1.0e300).prop_map(Owned::Float),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, number)| Owned::Decimal(scale, number)),
        vec(any::<u8>(), 0..40).prop_map(Owned::Text),
        any::<u64>().prop_map(Owned::Timestamp),
        Just(Owned::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| vec(("[a-z]{0,6}", inner), 0..4).prop_map(Owned::Table))
}

fn push(table: &mut TableBuilder, name: &str, value: &Owned) {
    match value {
        Owned::Bool(value) => table.push(name, Value::Bool(*value)),
        Owned::Integer(number, width) => table.push(
            name,
            match width {
                0 => Value::I8(*number as i8),
                1 => Value::U8(*number as u8),
                2 => Value::I16(*number as i16),
                3 => Value::U16(*number as u16),
                4 => Value::I32(*number as i32),
                5 => Value::U32(*number as u32),
                _ => Value::I64(*number),
            },
        ),
        Owned::Float(number) => table.push(name, Value::F64(*number)),
        Owned::Decimal(scale, number) => table.push(name, Value::Decimal(*scale, *number)),
        Owned::Text(bytes) => table.push(name, Value::LongStr(bytes)),
        Owned::Timestamp(seconds) => table.push(name, Value::Timestamp(*seconds)),
        Owned::Void => table.push(name, Value::Void),
        Owned::Table(fields) => {
            let inner = build(fields);
            table.push(name, Value::Table(inner.as_table()));
        }
    }
}

fn build(fields: &[(String, Owned)]) -> TableBuilder {
    let mut table = TableBuilder::new();
    for (name, value) in fields {
        push(&mut table, name, value);
    }
    table
}

/// The same fields, encoded from what was read.
fn rebuilt(table: Table<'_>) -> TableBuilder {
    let mut again = TableBuilder::new();
    for (name, value) in table.iter() {
        again.push(name.as_str().unwrap(), value);
    }
    again
}

proptest! {
    #[test]
    fn a_table_is_read_as_it_was_written(fields in vec(("[a-z]{0,9}", owned()), 0..6)) {
        let built = build(&fields);
        let table = Table::new(built.as_table().as_bytes()).unwrap();
        prop_assert_eq!(table.iter().count(), fields.len());
        let again = rebuilt(table);
        prop_assert_eq!(again.as_table().as_bytes(), built.as_table().as_bytes());
        for cut in 0..table.as_bytes().len() {
            // A table that is cut between two fields is a shorter one.
            if let Ok(part) = Table::new(&table.as_bytes()[..cut]) {
                prop_assert!(part.iter().count() < fields.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Method::from_payload(&bytes);
        if let Ok(properties) = BasicProperties::new(&bytes) {
            prop_assert_eq!(properties.as_bytes(), &bytes[..]);
        }
        if let Ok(table) = Table::new(&bytes) {
            for (_, value) in table.iter() {
                if let Value::Array(array) = value {
                    prop_assert!(Array::iter(array).count() <= bytes.len());
                }
            }
        }
    }

    #[test]
    fn any_stream_is_heard_without_harm(
        frames in vec((0..10_u8, 0..4_u16, vec(any::<u8>(), 0..40)), 0..12),
        cut in 1..50_usize,
    ) {
        let stream: Vec<u8> =
            frames.iter().flat_map(|(frame_type, channel, payload)| frame(*frame_type, *channel, payload)).collect();
        let mut server = Server::with_channel(&Config::default());
        for piece in stream.chunks(cut) {
            server.hear(piece);
        }
    }

    #[test]
    fn a_body_is_divided_and_joined(
        body in vec(any::<u8>(), 0..20_000),
        frame_bytes_max in 4_096..10_000_usize,
    ) {
        let mut bytes = Vec::new();
        encode_body(5, &body, frame_bytes_max, &mut bytes);
        let (mut input, mut joined) = (bytes.as_slice(), Vec::new());
        while let Some(frame) = next_frame(&mut input, frame_bytes_max).unwrap() {
            prop_assert_eq!((frame.frame_type, frame.channel), (FrameType::Body, 5));
            joined.extend_from_slice(frame.payload);
        }
        prop_assert_eq!(joined, body);
    }

    #[test]
    fn properties_are_found_whichever_are_there(
        texts in vec(proptest::option::of("[ -~]{0,30}"), 3..4),
        mode in proptest::option::of(any::<u8>()),
        seconds in proptest::option::of(any::<u64>()),
    ) {
        let [content_type, reply_to, app_id] = &texts[..] else { unreachable!("three are drawn") };
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        let made = PropertiesBuilder::new()
            .text(PropertyId::ContentType, bytes(content_type).as_deref())
            .octet(PropertyId::DeliveryMode, mode)
            .text(PropertyId::ReplyTo, bytes(reply_to).as_deref())
            .timestamp(seconds)
            .text(PropertyId::AppId, bytes(app_id).as_deref());
        let properties = BasicProperties::new(made.as_properties().as_bytes()).unwrap();
        prop_assert_eq!(properties.text(PropertyId::ContentType), content_type.as_deref());
        prop_assert_eq!(properties.octet(PropertyId::DeliveryMode), mode);
        prop_assert_eq!(properties.text(PropertyId::ReplyTo), reply_to.as_deref());
        prop_assert_eq!(properties.timestamp(), seconds);
        prop_assert_eq!(properties.text(PropertyId::AppId), app_id.as_deref());
    }
}
