//! Tables: letters, order, depth, what is not one.

use alloc::vec;

use super::*;

//= amqp-0-9-1 [4.2.5.5-letters]
#[test]
fn every_type_has_the_letter_that_rabbitmq_gives_it() {
    let inner = TableBuilder::new().with("k", Value::Void);
    for (value, bytes) in [
        (Value::Bool(true), &b"t\x01"[..]),
        (Value::I8(-1), b"b\xff"),
        (Value::U8(255), b"B\xff"),
        (Value::I16(-2), b"s\xff\xfe"),
        (Value::U16(2), b"u\0\x02"),
        (Value::I32(-3), b"I\xff\xff\xff\xfd"),
        (Value::U32(3), b"i\0\0\0\x03"),
        (Value::I64(-4), b"l\xff\xff\xff\xff\xff\xff\xff\xfc"),
        (Value::F32(1.0), b"f\x3f\x80\0\0"),
        (Value::F64(1.0), b"d\x3f\xf0\0\0\0\0\0\0"),
        (Value::Decimal(2, 314), b"D\x02\0\0\x01\x3a"),
        (Value::LongStr(b"ab"), b"S\0\0\0\x02ab"),
        (Value::Bytes(b"\xff"), b"x\0\0\0\x01\xff"),
        (Value::Array(Array(b"VV")), b"A\0\0\0\x02VV"),
        (Value::Timestamp(5), b"T\0\0\0\0\0\0\0\x05"),
        (Value::Table(inner.as_table()), b"F\0\0\0\x03\x01kV"),
        (Value::Void, b"V"),
    ] {
        let mut out = Vec::new();
        value.encode(&mut out);
        assert_eq!(out, bytes, "{value:?}");
        assert_eq!(read_value(&mut &bytes[..]), Ok(value));
        for cut in 0..bytes.len() {
            assert_eq!(read_value(&mut &bytes[..cut]), Err(TableError::Truncated), "{value:?}");
        }
    }
    // The letter that the specification has for the same.
    assert_eq!(read_value(&mut &b"L\0\0\0\0\0\0\0\x01"[..]), Ok(Value::I64(1)));
    for letter in (0..=u8::MAX).filter(|letter| !b"tbBsuIilLfdDSxATFV".contains(letter)) {
        let field = [1, b'k', letter, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Table::new(&field), Err(TableError::UnknownType(letter)));
    }
}

//= amqp-0-9-1 [4.2.5.5-first]
#[test]
fn the_first_of_two_fields_with_one_name_counts() {
    let table = TableBuilder::new().with("a", Value::U8(1)).with("b", Value::Void).with("a", Value::U8(2));
    let table = table.as_table();
    assert_eq!((table.get("a"), table.get("c")), (Some(Value::U8(1)), None));
    let names: Vec<&[u8]> = table.iter().map(|(name, _)| name.as_bytes()).collect();
    assert_eq!(names, [b"a", b"b", b"a"]);
    assert_eq!(Table::new(table.as_bytes()), Ok(table));
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![], |inner, _| {
        let mut outer = b"\x01kF".to_vec();
        push_long(&inner, &mut outer);
        outer
    })
}

#[test]
fn depth_is_bounded() {
    assert!(Table::new(&nested(TABLE_DEPTH_MAX - 1)).is_ok());
    assert_eq!(Table::new(&nested(TABLE_DEPTH_MAX)), Err(TableError::TooDeep));
    assert_eq!(Table::new(&nested(4_000)), Err(TableError::TooDeep));
    let mut arrays = vec![];
    for _ in 0..TABLE_DEPTH_MAX {
        let mut outer = b"A".to_vec();
        push_long(&arrays, &mut outer);
        arrays = outer;
    }
    arrays.splice(0..0, *b"\x01k");
    assert_eq!(Table::new(&arrays), Err(TableError::TooDeep));
}

#[test]
fn what_is_wrong_inside_is_found_at_once() {
    for (bytes, error) in [
        (&b"\x05ab"[..], TableError::Truncated),
        (b"\x01k", TableError::Truncated),
        (b"\x01kS\xff\xff\xff\xffab", TableError::Truncated),
        (b"\x01kF\0\0\0\x02\x01x", TableError::Truncated),
        (b"\x01kA\0\0\0\x01?", TableError::UnknownType(b'?')),
        (b"\x01kF\0\0\0\x03\x01x?", TableError::UnknownType(b'?')),
    ] {
        assert_eq!(Table::new(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn integers_are_compared_by_value() {
    for value in [Value::U8(7), Value::I16(7), Value::U16(7), Value::I32(7), Value::U32(7), Value::I64(7)] {
        assert_eq!(value.as_integer(), Some(7));
    }
    assert_eq!((Value::F64(7.0).as_integer(), Value::LongStr(b"7").as_integer()), (None, None));
    assert_eq!((Value::LongStr(b"7").as_text(), Value::LongStr(b"\xff").as_text()), (Some("7"), None));
}
