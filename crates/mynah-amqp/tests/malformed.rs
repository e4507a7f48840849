//! Input that is malformed, hostile or at the wrong time, and the exact answer. Every input is heard whole, and then, if
//! nothing is said to be closed, the connection has to be of use still.

use mynah_amqp::v0_9_1::wire::connection::TuneOk;
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, METHODS, MethodSpec, PropertiesBuilder, PropertyId, Sender, TableBuilder, Value, basic,
    channel, connection,
};
use mynah_amqp::v0_9_1::{Config, Settings};

use crate::broker::{Server, frame, method, open_host, plain, short, start_ok, tune_ok};

type Case<'c> = (&'c str, Vec<u8>, &'c [&'c str]);

fn config() -> Config {
    let settings = Settings { body_bytes_max: 10_000, contents_bytes_max: 15_000, ..Settings::default() };
    Config::new(settings).unwrap()
}

/// A heartbeat frame is legal at any time, and a publication shows that a channel is of use.
fn check(make: impl Fn() -> Server, cases: &[Case<'_>]) -> usize {
    for (name, input, expected) in cases {
        let mut server = make();
        assert_eq!(&server.hear(input), expected, "{name}");
        let closes = expected.iter().any(|word| word.contains("connection.close ")) || expected.is_empty();
        if closes && server.closed.is_none() && !expected.is_empty() {
            assert_eq!(server.hear(&method(1, channel::Open {})), [""; 0], "{name}: passes over what comes");
            assert_eq!(server.hear(&method(0, connection::CloseOk {})), [""; 0], "{name}");
            assert!(server.closed.is_some(), "{name}: closed");
        } else if server.closed.is_none() && !expected.is_empty() {
            assert_eq!(
                server.hear(&method(77, channel::Open {})),
                ["77 channel.open-ok"],
                "{name}: still there"
            );
        }
        // However the bytes are cut, the answer is the same.
        let mut server = make();
        let said: Vec<String> = input.chunks(1).flat_map(|byte| server.hear(byte)).collect();
        assert_eq!(&said, expected, "{name} byte by byte");
    }
    cases.len()
}

fn content_header(channel: u16, size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ContentHeader { body_size: size, properties: Default::default() }.encode(channel, &mut out);
    out
}

fn publish(channel: u16, exchange: &str, key: &str) -> Vec<u8> {
    let publish = basic::Publish { exchange: short(exchange), routing_key: short(key), ..Default::default() };
    method(channel, publish)
}

fn raw(channel: u16, class: u16, id: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &id.to_be_bytes(), arguments].concat())
}

//= amqp-0-9-1 [4.2.2-header]
#[test]
fn first_bytes_that_are_not_the_protocol_header() {
    let mut count = 0;
    let wrong: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\n",
        b"\x10\x0c\0\x04MQTT",
        b"AMQP\0\x01\0\0",
        b"AMQP\x03\x01\0\0",
        b"AMQP\x01\x01\0\x09",
        b"AMQP\0\0\x09\0",
        b"AMQP\0\0\x08\0",
        b"AMQP0091",
        b"amqp\0\0\x09\x01",
        b"\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\0\0\0\0\0\0\xce",
    ];
    for bytes in wrong {
        let mut server = Server::new(&config());
        assert_eq!(server.hear(bytes), [r"header \x00\x00\t\x01"], "{}", bytes.escape_ascii());
        assert!(server.closed.is_some());
        count += 1;
    }
    assert_eq!(count, 12);
}

//= amqp-0-9-1 [4.2.3-type] [4.2.3-size] [4.2.3-end] [connection.tune-min]
//= amqp-0-9-1 [4.2.4-syntax]
#[test]
fn what_comes_before_anybody_is_known() {
    let close = |words: &'static str| [words].to_vec();
    let (frame_error, syntax) = (close("0 connection.close 501 0.0"), close("0 connection.close 502 10.11"));
    let start_ok_501 = ["0 connection.close 501 0.0"];
    let cases: Vec<Case<'_>> = vec![
        ("type 0", frame(0, 0, b""), &frame_error),
        ("type 4", frame(4, 0, b""), &frame_error),
        ("type 9", frame(9, 0, b""), &frame_error),
        ("type 255", frame(255, 0, b""), &frame_error),
        ("second protocol header", b"AMQP\0\0\x09\x01".to_vec(), &frame_error),
        ("frame larger than before tuning", b"\x01\0\0\0\0\x20\x01".to_vec(), &start_ok_501),
        ("frame of 4 GiB", b"\x01\0\0\xff\xff\xff\xff".to_vec(), &start_ok_501),
        ("wrong end", b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xcd".to_vec(), &start_ok_501),
        ("header frame", frame(2, 0, b""), &["0 connection.close 505 0.0"]),
        ("body frame", frame(3, 0, b""), &["0 connection.close 505 0.0"]),
        ("header frame on a channel", frame(2, 1, b""), &["0 connection.close 504 0.0"]),
        ("method on a channel", method(1, channel::Open {}), &["0 connection.close 504 20.10"]),
        ("empty method", frame(1, 0, b""), &["0 connection.close 502 0.0"]),
        ("half a method number", frame(1, 0, b"\0\x0a\0"), &["0 connection.close 502 0.0"]),
        ("unknown class", raw(0, 99, 1, b""), &["0 connection.close 540 99.1"]),
        ("unknown method", raw(0, 10, 99, b""), &["0 connection.close 540 10.99"]),
        ("start-ok without arguments", raw(0, 10, 11, b""), &syntax),
        ("start-ok with a table that is too long", raw(0, 10, 11, b"\xff\xff\xff\xff"), &syntax),
        ("start-ok with an unknown type", raw(0, 10, 11, b"\0\0\0\x03\x01k?"), &syntax),
        ("start-ok with a field that ends behind the table", raw(0, 10, 11, b"\0\0\0\x02\x05k"), &syntax),
        (
            "start-ok with more behind it",
            {
                let mut bytes = plain();
                let len = bytes.len();
                bytes.splice(len - 1.., *b"\0\xce");
                bytes[6] = bytes[6].wrapping_add(1);
                bytes
            },
            &syntax,
        ),
        ("tune-ok first", tune_ok(), &["0 connection.close 503 10.31"]),
        ("open first", open_host("/"), &["0 connection.close 503 10.40"]),
        ("secure-ok first", raw(0, 10, 21, b"\0\0\0\0"), &["0 connection.close 503 10.21"]),
        ("start from a client", raw(0, 10, 61, b""), &["0 connection.close 503 10.61"]),
        ("basic.qos first", raw(0, 60, 10, b"\0\0\0\0\0\0\0"), &["0 connection.close 503 60.10"]),
        ("close-ok of nothing", method(0, connection::CloseOk {}), &["0 connection.close 503 10.51"]),
    ];
    assert_eq!(check(|| Server::started(&config()), &cases), 27);
}

//= amqp-0-9-1 [connection.start-ok-mechanism]
#[test]
fn mechanisms_and_responses_that_are_not_taken() {
    let syntax = ["0 connection.close 502 10.11"];
    let cases: Vec<Case<'_>> = vec![
        (
            "unknown mechanism",
            start_ok("GSSAPI", b"", TableBuilder::new().as_table()),
            &["0 connection.close 403 10.11"],
        ),
        (
            "no mechanism",
            start_ok("", b"", TableBuilder::new().as_table()),
            &["0 connection.close 403 10.11"],
        ),
        (
            "mechanism that is not offered",
            start_ok("EXTERNAL", b"", TableBuilder::new().as_table()),
            &["0 connection.close 403 10.11"],
        ),
        ("PLAIN without a password", start_ok("PLAIN", b"\0guest", TableBuilder::new().as_table()), &syntax),
        (
            "PLAIN for somebody else",
            start_ok("PLAIN", b"root\0guest\0guest", TableBuilder::new().as_table()),
            &syntax,
        ),
        (
            "PLAIN with a name that is not UTF-8",
            start_ok("PLAIN", b"\0\xff\0guest", TableBuilder::new().as_table()),
            &syntax,
        ),
        (
            "AMQPLAIN that is no table",
            start_ok("AMQPLAIN", b"guest", TableBuilder::new().as_table()),
            &syntax,
        ),
        ("AMQPLAIN without a login", start_ok("AMQPLAIN", b"", TableBuilder::new().as_table()), &syntax),
    ];
    assert_eq!(check(|| Server::started(&config()), &cases), 8);
}

//= amqp-0-9-1 [4.2.5.5-letters]
#[test]
fn tables_that_are_deep_are_refused_and_cost_nothing() {
    let mut table = Vec::new();
    for _ in 0..400 {
        let mut outer = b"\x01kF".to_vec();
        outer.extend((table.len() as u32).to_be_bytes());
        outer.extend(table);
        table = outer;
    }
    let arguments = [&(table.len() as u32).to_be_bytes()[..], &table, b"\x05PLAIN\0\0\0\0\0"].concat();
    let mut server = Server::started(&config());
    assert_eq!(server.hear(&raw(0, 10, 11, &arguments)), ["0 connection.close 502 10.11"]);
}

//= amqp-0-9-1 [connection.tune-ok-limits] [connection.open-host] [connection.open-early]
#[test]
fn what_comes_before_a_virtual_host_is_open() {
    let tune = |channel_max, frame_max| method(0, TuneOk { channel_max, frame_max, heartbeat: 0 });
    let not_allowed = ["0 connection.close 530 10.31"];
    let cases: Vec<Case<'_>> = vec![
        ("larger frames than proposed", tune(0, (128 << 10) + 1), &not_allowed),
        ("frames of 4 GiB", tune(0, u32::MAX), &not_allowed),
        ("frames that are too small", tune(0, 4_095), &not_allowed),
        ("frames of one byte", tune(0, 1), &not_allowed),
        ("more channels than proposed", tune(2_048, 0), &not_allowed),
        ("all channels", tune(u16::MAX, 0), &not_allowed),
        ("start-ok again", plain(), &["0 connection.close 503 10.11"]),
        ("open without tune-ok", open_host("/"), &["0 connection.close 503 10.40"]),
        ("tune-ok twice", [tune_ok(), tune_ok()].concat(), &["0 connection.close 503 10.31"]),
        ("unknown virtual host", [tune_ok(), open_host("other")].concat(), &["0 connection.close 530 10.40"]),
        (
            "virtual host without a name",
            [tune_ok(), open_host("")].concat(),
            &["0 connection.close 530 10.40"],
        ),
        (
            "channel first",
            [tune_ok(), method(1, channel::Open {})].concat(),
            &["0 connection.close 504 20.10"],
        ),
        ("tune-ok without arguments", raw(0, 10, 31, b""), &["0 connection.close 502 10.31"]),
        ("tune-ok cut short", raw(0, 10, 31, b"\0\0\0\0\x10\0\0"), &["0 connection.close 502 10.31"]),
        (
            "open without arguments",
            [tune_ok(), raw(0, 10, 40, b"")].concat(),
            &["0 connection.close 502 10.40"],
        ),
        (
            "frame above what the client chose",
            [tune_ok(), b"\x01\0\0\0\0\x10\x01".to_vec()].concat(),
            &["0 connection.close 501 0.0"],
        ),
    ];
    assert_eq!(check(|| Server::tuning(&config()), &cases), 16);
}

//= amqp-0-9-1 [channel.open-first] [channel.max] [4.2.7-heartbeat] [1.1-hard]
#[test]
fn what_the_connection_does_not_take() {
    let over = method(101, channel::Open {});
    let cases: Vec<Case<'_>> = vec![
        ("channel above the maximum", over, &["0 connection.close 504 20.10"]),
        ("channel 65535", method(u16::MAX, channel::Open {}), &["0 connection.close 504 20.10"]),
        ("publish on a channel that is not open", publish(1, "", "q"), &["0 connection.close 504 60.40"]),
        (
            "close of a channel that is not open",
            method(1, channel::Close::default()),
            &["0 connection.close 504 20.40"],
        ),
        (
            "close-ok of a channel that is not open",
            method(1, channel::CloseOk {}),
            &["0 connection.close 504 20.41"],
        ),
        (
            "unknown method on a channel that is not open",
            raw(1, 77, 7, b""),
            &["0 connection.close 504 77.7"],
        ),
        ("no method on a channel that is not open", frame(1, 1, b""), &["0 connection.close 504 0.0"]),
        ("open with a table too many", raw(1, 20, 10, b"\0\0"), &["0 connection.close 502 20.10"]),
        ("open without its field", raw(1, 20, 10, b""), &["0 connection.close 502 20.10"]),
        ("header on a channel that is not open", frame(2, 1, b""), &["0 connection.close 504 0.0"]),
        ("body on a channel that is not open", frame(3, 1, b""), &["0 connection.close 504 0.0"]),
        ("header on the connection", frame(2, 0, b""), &["0 connection.close 505 0.0"]),
        ("body on the connection", frame(3, 0, b"x"), &["0 connection.close 505 0.0"]),
        ("heartbeat on a channel", frame(8, 1, b""), &["0 connection.close 503 0.0"]),
        ("heartbeat with a payload", frame(8, 0, b"x"), &["0 connection.close 501 0.0"]),
        ("unknown frame", frame(7, 0, b""), &["0 connection.close 501 0.0"]),
        ("channel method on the connection", method(0, channel::Open {}), &["0 connection.close 503 20.10"]),
        ("basic method on the connection", publish(0, "", "q"), &["0 connection.close 503 60.40"]),
        ("open again", open_host("/"), &["0 connection.close 503 10.40"]),
        ("start-ok again", plain(), &["0 connection.close 503 10.11"]),
        ("tune-ok again", tune_ok(), &["0 connection.close 503 10.31"]),
        ("close-ok of nothing", method(0, connection::CloseOk {}), &["0 connection.close 503 10.51"]),
        ("open-ok from a client", method(0, connection::OpenOk {}), &["0 connection.close 503 10.41"]),
        (
            "blocked from a client",
            method(0, connection::Blocked::default()),
            &["0 connection.close 503 10.60"],
        ),
        ("unknown method", raw(0, 10, 99, b""), &["0 connection.close 540 10.99"]),
        ("close without its text", raw(0, 10, 50, b"\0\xc8"), &["0 connection.close 502 10.50"]),
        (
            "good-bye, then more",
            [method(0, connection::Close::default()), publish(1, "", "q")].concat(),
            &["0 connection.close-ok"],
        ),
        ("frame of one byte too many", b"\x01\0\0\0\0\x10\x01".to_vec(), &["0 connection.close 501 0.0"]),
    ];
    assert_eq!(check(|| Server::open(&config()), &cases), 28);
}

//= amqp-0-9-1 [4.2.6-order] [4.2.6.1-class] [4.2.6.1-weight] [channel.open-once] [1.1-soft]
#[test]
fn contents_that_are_wrong() {
    let begin = || publish(1, "amq.topic", "a");
    let with = |frames: &[Vec<u8>]| [begin(), frames.concat()].concat();
    let header = |payload: &[u8]| with(&[frame(2, 1, payload)]);
    let unexpected = ["0 connection.close 505 60.40"];
    let syntax = ["0 connection.close 502 60.40"];
    let cases: Vec<Case<'_>> = vec![
        ("header of nothing", content_header(1, 1), &unexpected),
        ("body of nothing", frame(3, 1, b"x"), &unexpected),
        ("body without a header", with(&[frame(3, 1, b"x")]), &unexpected),
        ("header twice", with(&[content_header(1, 1), content_header(1, 1)]), &unexpected),
        ("publish in a publish", with(&[begin()]), &unexpected),
        ("publish in a body", with(&[content_header(1, 2), frame(3, 1, b"x"), begin()]), &unexpected),
        ("qos in a publish", with(&[method(1, basic::Qos::default())]), &["0 connection.close 505 60.10"]),
        (
            "close of the channel in a publish",
            with(&[method(1, channel::Close::default())]),
            &["0 connection.close 505 20.40"],
        ),
        (
            "body that is too long",
            with(&[content_header(1, 1), frame(3, 1, b"xy")]),
            &["0 connection.close 501 60.40"],
        ),
        ("body of more than nothing", with(&[content_header(1, 0), frame(3, 1, b"x")]), &unexpected),
        ("header without a payload", header(b""), &syntax),
        ("header cut short", header(b"\0\x3c\0\0\0\0\0\0\0\0\0"), &syntax),
        ("header without flags", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0"), &syntax),
        ("header of another class", header(b"\0\x32\0\0\0\0\0\0\0\0\0\0\0\0"), &unexpected),
        ("header with a weight", header(b"\0\x3c\0\x01\0\0\0\0\0\0\0\0\0\0"), &syntax),
        ("reserved flag", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\x01"), &syntax),
        ("other reserved flag", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\x02"), &syntax),
        ("flag without its value", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0"), &syntax),
        ("value that is too short", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0\x05ab"), &syntax),
        ("value without its flag", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0\x01a"), &syntax),
        (
            "headers with an unknown type",
            header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x03\x01k?"),
            &syntax,
        ),
        ("headers that are too long", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\xff\xff\xff\xff"), &syntax),
        ("timestamp cut short", header(b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0"), &syntax),
    ];
    assert_eq!(check(|| Server::with_channel(&config()), &cases), 23);
}

#[test]
fn contents_that_are_read_and_not_taken() {
    let begin = || publish(1, "amq.topic", "a");
    let with = |frames: &[Vec<u8>]| [begin(), frames.concat()].concat();
    let expiration = |text: &[u8]| {
        let made = PropertiesBuilder::new().text(PropertyId::Expiration, Some(text));
        let mut out = begin();
        ContentHeader { body_size: 0, properties: made.as_properties() }.encode(1, &mut out);
        out
    };
    let user = {
        let made = PropertiesBuilder::new().text(PropertyId::UserId, Some(b"other"));
        let mut out = begin();
        ContentHeader { body_size: 0, properties: made.as_properties() }.encode(1, &mut out);
        out
    };
    let cases: Vec<Case<'_>> = vec![
        ("body of 10001 bytes", with(&[content_header(1, 10_001)]), &["1 channel.close 311 60.40"]),
        ("body of 2^64 - 1 bytes", with(&[content_header(1, u64::MAX)]), &["1 channel.close 311 60.40"]),
        (
            "body that is too large, and comes all the same",
            with(&[content_header(1, 10_001), frame(3, 1, &[7; 4_000]), frame(3, 1, &[7; 4_000]), begin()]),
            &["1 channel.close 311 60.40"],
        ),
        (
            "properties on two channels that are too large together",
            {
                let long = TableBuilder::new().with("k", Value::LongStr(&[b'x'; 3_000]));
                let made = PropertiesBuilder::new().headers(long.as_table());
                let mut out = method(2, channel::Open {});
                for channel in [1, 2] {
                    out.extend(publish(channel, "amq.topic", "a"));
                    let header = ContentHeader { body_size: 5_000, properties: made.as_properties() };
                    header.encode(channel, &mut out);
                }
                out
            },
            &["2 channel.open-ok", "0 connection.close 506 60.40"],
        ),
        (
            "bodies on two channels that are too large together",
            [
                method(2, channel::Open {}),
                with(&[content_header(1, 9_000)]),
                publish(2, "amq.topic", "a"),
                content_header(2, 9_000),
            ]
            .concat(),
            &["2 channel.open-ok", "0 connection.close 506 60.40"],
        ),
        ("expiration that is no number", expiration(b"soon"), &["1 channel.close 406 60.40"]),
        ("expiration below zero", expiration(b"-1"), &["1 channel.close 406 60.40"]),
        ("expiration without digits", expiration(b""), &["1 channel.close 406 60.40"]),
        ("expiration of more than ten years", expiration(b"315360000001"), &["1 channel.close 406 60.40"]),
        ("somebody else's user id", user, &["1 channel.close 406 60.40"]),
    ];
    assert_eq!(check(|| Server::with_channel(&config()), &cases), 10);
}

/// Arguments of a method as short as they can be.
fn least(spec: &MethodSpec) -> Vec<u8> {
    use mynah_amqp::v0_9_1::wire::Domain;
    let (mut bytes, mut bits) = (Vec::new(), 0);
    for (_, domain) in spec.fields {
        let len = match domain {
            Domain::Bit if bits % 8 != 0 => 0,
            Domain::Bit | Domain::Octet | Domain::ShortStr => 1,
            Domain::Short => 2,
            Domain::Long | Domain::LongStr | Domain::Table => 4,
            Domain::LongLong => 8,
        };
        bits = if *domain == Domain::Bit { bits + 1 } else { 0 };
        bytes.extend(vec![0; len]);
    }
    bytes
}

fn numbers(spec: &MethodSpec) -> String {
    format!("{}.{}", spec.id.class, spec.id.method)
}

/// Of each method that only a server sends, and each of the connection, on a channel.
#[test]
fn methods_that_a_client_may_not_send_on_a_channel() {
    let mut count = 0;
    for spec in METHODS.iter().filter(|spec| spec.sender == Sender::Server || spec.id.class == 10) {
        let input = raw(1, spec.id.class, spec.id.method, &least(spec));
        let expected = format!("0 connection.close 503 {}", numbers(spec));
        count += check(|| Server::with_channel(&config()), &[(spec.name, input, &[&expected])]);
    }
    assert_eq!(count, 35);
}

//= amqp-0-9-1 [4.2.4-syntax]
/// Each method with an argument, without its last byte and with one too many.
#[test]
fn methods_that_are_too_short_or_too_long() {
    let mut count = 0;
    for spec in METHODS.iter().filter(|spec| spec.id.class != 10) {
        let arguments = least(spec);
        let expected = format!("0 connection.close 502 {}", numbers(spec));
        let longer = raw(1, spec.id.class, spec.id.method, &[&arguments[..], b"\0"].concat());
        let mut cases: Vec<Case<'_>> = Vec::new();
        let expected = [expected.as_str()];
        cases.push((spec.name, longer, &expected));
        if let Some((_, shorter)) = arguments.split_last() {
            cases.push((spec.name, raw(1, spec.id.class, spec.id.method, shorter), &expected));
        }
        count += check(|| Server::with_channel(&config()), &cases);
    }
    assert_eq!(count, 84);
}
