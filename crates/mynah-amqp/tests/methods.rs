//! The table of methods against the one in `vectors/amqp-0-9-1/methods.toml`, and every method both ways.

use std::fs;
use std::path::Path;

use mynah_amqp::v0_9_1::Malformed;
use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::wire::{
    Domain, FrameType, METHODS, Method, MethodId, MethodSpec, Sender, TableBuilder, Value,
};
use toml::Table;

#[expect(clippy::disallowed_methods, reason = "the crate reads no files, its tests do")]
fn vectors() -> Vec<Table> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/amqp-0-9-1/methods.toml");
    let table: Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    table["method"].as_array().unwrap().iter().map(|row| row.as_table().unwrap().clone()).collect()
}

fn row(spec: &MethodSpec) -> Table {
    let sender = match spec.sender {
        Sender::Client => "client",
        Sender::Server => "server",
        Sender::Both => "both",
    };
    let name = |name: &str| name.trim_start_matches("r#").to_owned();
    let arguments =
        spec.fields.iter().map(|(field, domain)| format!("{}:{}", name(field), domain.name()).into());
    Table::from_iter([
        ("name".to_owned(), spec.name.into()),
        ("class".to_owned(), i64::from(spec.id.class).into()),
        ("method".to_owned(), i64::from(spec.id.method).into()),
        ("sender".to_owned(), sender.into()),
        ("arguments".to_owned(), toml::Value::Array(arguments.collect())),
    ])
}

#[test]
fn the_table_of_methods_is_that_of_the_specification() {
    let mut ours: Vec<(MethodId, Table)> = METHODS.iter().map(|spec| (spec.id, row(spec))).collect();
    ours.sort_by_key(|(id, _)| *id);
    let ours: Vec<Table> = ours.into_iter().map(|(_, row)| row).collect();
    assert_eq!(ours, vectors());
}

/// Arguments that differ from one another, as the domains have them.
fn arguments(spec: &MethodSpec) -> Vec<u8> {
    let table = TableBuilder::new().with("x-n", Value::I32(7)).with("s", Value::LongStr(b"\xff"));
    let (mut bytes, mut bits) = (Vec::new(), 0);
    for (at, (name, domain)) in spec.fields.iter().enumerate() {
        let is_reserved = *name == "reserved";
        let n = if is_reserved { 0 } else { at as u8 + 1 };
        if *domain != Domain::Bit {
            bits = 0;
        }
        match domain {
            Domain::Bit => {
                if bits == 0 {
                    bytes.push(0);
                }
                let bit = u8::from(!is_reserved && !at.is_multiple_of(2));
                *bytes.last_mut().unwrap() |= bit << bits;
                bits += 1;
            }
            Domain::Octet => bytes.push(n),
            Domain::Short => bytes.extend([n, n]),
            Domain::Long => bytes.extend([n; 4]),
            Domain::LongLong => bytes.extend([n; 8]),
            Domain::ShortStr if is_reserved => bytes.push(0),
            Domain::ShortStr => bytes.extend([2, n, 0xff]),
            Domain::LongStr if is_reserved => bytes.extend([0; 4]),
            Domain::LongStr => bytes.extend([0, 0, 0, 1, n]),
            Domain::Table => {
                let table = table.as_table().as_bytes();
                bytes.extend((table.len() as u32).to_be_bytes());
                bytes.extend(table);
            }
        }
    }
    bytes
}

#[test]
fn every_method_is_read_and_written_by_its_row() {
    for spec in METHODS {
        let arguments = arguments(spec);
        let id = [spec.id.class.to_be_bytes(), spec.id.method.to_be_bytes()].concat();
        let payload = [&id[..], &arguments].concat();
        let method = Method::from_payload(&payload).unwrap();
        assert_eq!((method.spec(), method.id()), (spec, spec.id));
        let mut frame = Vec::new();
        method.encode(3, &mut frame);
        let mut input = frame.as_slice();
        let read = next_frame(&mut input, 4_096).unwrap().unwrap();
        assert_eq!((read.frame_type, read.channel, input), (FrameType::Method, 3, &b""[..]));
        assert_eq!(read.payload, payload, "{}", spec.name);
        for cut in 0..payload.len() {
            let error = Method::from_payload(&payload[..cut]).unwrap_err();
            assert!(matches!(error, Malformed::Truncated | Malformed::TableTruncated), "{} {cut}", spec.name);
        }
        let longer = [&payload[..], b"\0"].concat();
        assert_eq!(Method::from_payload(&longer), Err(Malformed::TrailingBytes), "{}", spec.name);
    }
}

#[test]
fn a_method_that_does_not_exist_is_told_by_its_numbers() {
    for class in 0..=100 {
        for method in 0..=130 {
            let id = MethodId::new(class, method);
            if METHODS.iter().all(|spec| spec.id != id) {
                let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
                assert_eq!(Method::from_payload(&payload), Err(Malformed::UnknownMethod(id)));
            }
        }
    }
    assert_eq!(MethodId::new(60, 40).to_string(), "basic.publish");
    assert_eq!(MethodId::new(60, 41).to_string(), "method 60.41");
}
