//! Input that is malformed or out of order, and the exact reaction: what is written, why it closes, and that the will
//! is wanted. Every input is heard whole; a case that must not close says so by `Stays`.

use mynah_model::{Instant, Reason};
use mynah_mqtt::{Config, Error, Malformed, Refused, Settings, Violation};

use crate::broker::{CONNACK, CONNECT, Server, open_server};

/// What a server does.
#[derive(Debug, PartialEq)]
enum Reaction {
    /// Writes this and closes because of the error.
    Closes(&'static [u8], Error),
    /// Writes this and goes on.
    Stays(&'static [u8]),
}

use Reaction::{Closes, Stays};

fn malformed(error: Malformed) -> Reaction {
    Closes(b"", Error::Malformed(error))
}

fn violation(error: Violation) -> Reaction {
    Closes(b"", Error::Violation(error))
}

fn check(mut server: Server, input: &[u8], expected: &Reaction) {
    let out = server.hear(Instant::ZERO, input);
    let shown = input.escape_ascii();
    match *expected {
        Closes(bytes, error) => {
            assert_eq!((out.as_slice(), server.failure()), (bytes, Some(error)), "{shown}");
            let close = server.closed.unwrap();
            assert_eq!((close.reason, close.publish_will), (error.reason(), true), "{shown}");
            assert_eq!(server.hear(Instant::ZERO, b"\xc0\0"), b"", "{shown}: silent when closed");
        }
        Stays(bytes) => {
            assert_eq!((out.as_slice(), server.closed), (bytes, None), "{shown}");
            assert_eq!(server.hear(Instant::ZERO, b"\xc0\0"), b"\xd0\0", "{shown}: still there");
        }
    }
}

fn check_first(cases: &[(&[u8], Reaction)]) {
    for (input, expected) in cases {
        check(Server::new(&Config::default(), Instant::ZERO), input, expected);
    }
}

fn check_open(cases: &[(&[u8], Reaction)]) {
    for (input, expected) in cases {
        check(open_server(), input, expected);
    }
}

//= mqtt-3.1.1 [MQTT-3.1.0-1]
/// Each type shows at its first byte that it is not CONNECT.
#[test]
fn first_packets_that_are_not_connect() {
    for first in (0x00..=0x0f).chain(0x20..=0xff) {
        let server = Server::new(&Config::default(), Instant::ZERO);
        check(server, &[first], &violation(Violation::FirstPacketNotConnect));
    }
}

//= mqtt-3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-2.2.2-2] [MQTT-3.1.2-9] [MQTT-3.1.2-11]
//= mqtt-3.1.1 [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21] [MQTT-3.1.3-3]
//= mqtt-3.1.1 [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11] [MQTT-3.1.4-1] [MQTT-3.2.2-6]
#[test]
fn connects_that_are_malformed() {
    check_first(&[
        (b"\x11\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p", malformed(Malformed::Flags)),
        (b"\x12\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p", malformed(Malformed::Flags)),
        (b"\x1f\x0d\0\x04MQTT\x03\x02\0\x0a\0\x01p", malformed(Malformed::Flags)),
        (b"\x14\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p", malformed(Malformed::Flags)),
        (b"\x18\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p", malformed(Malformed::Flags)),
        (b"\x10\xff\xff\xff\xff", malformed(Malformed::RemainingLength)),
        (b"\x10\xff\xff\xff\xff\x7f\0\x04MQTT", malformed(Malformed::RemainingLength)),
        (b"\x10\xff\xff\xff\x7f", Closes(b"", Error::Refused(Refused::PacketTooLarge))),
        (b"\x10\x80\x40", Closes(b"", Error::Refused(Refused::PacketTooLarge))),
        (b"\x10\0", malformed(Malformed::Truncated)),
        (b"\x10\x01\0", malformed(Malformed::Truncated)),
        (b"\x10\x06\0\x04MQTT", malformed(Malformed::Truncated)),
        (b"\x10\x08\0\x04MQTT\x03\x02", malformed(Malformed::Truncated)),
        (b"\x10\x0a\0\x04MQTT\x04\x02\0\x0a", malformed(Malformed::Truncated)),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x02p", malformed(Malformed::Truncated)),
        (b"\x10\x0e\0\x04MQTT\x04\x02\0\x0a\0\x01pp", malformed(Malformed::TrailingBytes)),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01\0", malformed(Malformed::Nul)),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01\x01", malformed(Malformed::Discouraged)),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01\xff", malformed(Malformed::NotUtf8)),
        (b"\x10\x0f\0\x04MQTT\x04\x02\0\x0a\0\x03\xed\xa0\x80", malformed(Malformed::NotUtf8)),
        (b"\x10\x0f\0\x04MQTT\x04\x02\0\x0a\0\x03\xef\xbf\xbf", malformed(Malformed::Discouraged)),
        // A user name flag without a user name, a password flag without a password.
        (b"\x10\x0d\0\x04MQTT\x04\x82\0\x0a\0\x01p", malformed(Malformed::Truncated)),
        (b"\x10\x10\0\x04MQTT\x04\xc2\0\x0a\0\x01p\0\x01u", malformed(Malformed::Truncated)),
        (b"\x10\x10\0\x04MQTT\x04\x82\0\x0a\0\x01p\0\x01\x7f", malformed(Malformed::Discouraged)),
        (b"\x10\x10\0\x04MQTT\x04\x82\0\x0a\0\x01p\0\x01\xff", malformed(Malformed::NotUtf8)),
        // A user name, and a password, that no flag announces.
        (b"\x10\x10\0\x04MQTT\x04\x02\0\x0a\0\x01p\0\x01u", malformed(Malformed::TrailingBytes)),
        (b"\x10\x13\0\x04MQTT\x04\x82\0\x0a\0\x01p\0\x01u\0\x01p", malformed(Malformed::TrailingBytes)),
        // A will that no flag announces.
        (b"\x10\x13\0\x04MQTT\x04\x02\0\x0a\0\x01p\0\x01t\0\x01m", malformed(Malformed::TrailingBytes)),
        // A will flag without a will, without a message, with a topic that is none.
        (b"\x10\x0d\0\x04MQTT\x04\x06\0\x0a\0\x01p", malformed(Malformed::Truncated)),
        (b"\x10\x10\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01t", malformed(Malformed::Truncated)),
        (b"\x10\x13\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01\0\0\x01m", malformed(Malformed::Nul)),
        (b"\x10\x13\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01\xc3\0\x01m", malformed(Malformed::NotUtf8)),
    ]);
}

//= mqtt-3.1.1 [MQTT-3.1.2-1] [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-14]
//= mqtt-3.1.1 [MQTT-3.1.2-15] [MQTT-3.1.2-22] [MQTT-3.1.4-1]
#[test]
fn connects_that_break_a_rule() {
    check_first(&[
        (b"\x10\x0c\0\x03MQT\x04\x02\0\x0a\0\x01p", violation(Violation::ProtocolName)),
        (b"\x10\x09\0\0\x04\x02\0\x0a\0\x01p", violation(Violation::ProtocolName)),
        (b"\x10\x0d\0\x04mqtt\x04\x02\0\x0a\0\x01p", violation(Violation::ProtocolName)),
        (b"\x10\x0d\0\x04MQTU\x05\x02\0\x0a\0\x01p", violation(Violation::ProtocolName)),
        (b"\x10\x0d\0\x04MQTT\x04\x01\0\x0a\0\x01p", violation(Violation::ReservedConnectFlag)),
        (b"\x10\x0d\0\x04MQTT\x04\x0a\0\x0a\0\x01p", violation(Violation::WillFlagsWithoutWill)),
        (b"\x10\x0d\0\x04MQTT\x04\x22\0\x0a\0\x01p", violation(Violation::WillFlagsWithoutWill)),
        (b"\x10\x13\0\x04MQTT\x04\x1e\0\x0a\0\x01p\0\x01t\0\x01m", violation(Violation::WillQos)),
        (b"\x10\x10\0\x04MQTT\x04\x42\0\x0a\0\x01p\0\x01w", violation(Violation::PasswordWithoutUserName)),
        (b"\x10\x13\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01+\0\x01m", violation(Violation::TopicWildcard)),
        (b"\x10\x12\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\0\0\x01m", violation(Violation::TopicEmpty)),
    ]);
}

//= mqtt-3.1.1 [MQTT-3.1.2-2] [MQTT-3.1.3-8] [MQTT-3.2.2-4] [MQTT-3.2.2-5]
#[test]
fn connects_that_are_refused_with_a_return_code() {
    let level = || Closes(b"\x20\x02\0\x01", Error::Refused(Refused::ProtocolLevel));
    let unknown_level = || Closes(b"\x20\x02\0\x01", Error::Refused(Refused::UnknownProtocolLevel));
    let client_id = || Closes(b"\x20\x02\0\x02", Error::Refused(Refused::ClientId));
    check_first(&[
        (b"\x10\x0d\0\x04MQTT\x03\x02\0\x0a\0\x01p", level()),
        (b"\x10\x0d\0\x04MQTT\x06\x02\0\x0a\0\x01p", unknown_level()),
        (b"\x10\x0d\0\x04MQTT\x02\x02\0\x0a\0\x01p", unknown_level()),
        (b"\x10\x0f\0\x06MQIsdp\x06\x02\0\x0a\0\x01p", unknown_level()),
        (b"\x10\x0d\0\x04MQTT\x84\x02\0\x0a\0\x01p", unknown_level()),
        (b"\x10\x0f\0\x06MQIsdp\x04\x02\0\x0a\0\x01p", level()),
        (b"\x10\x0c\0\x04MQTT\x04\0\0\x0a\0\0", client_id()),
    ]);
}

//= mqtt-3.1.1 [MQTT-3.1.0-2] [MQTT-4.8.0-1]
#[test]
fn packets_that_only_a_server_sends() {
    let unexpected = || violation(Violation::UnexpectedPacket);
    check_open(&[
        (b"\x20\x02\0\0", unexpected()),
        (b"\x90\x03\0\x01\0", unexpected()),
        (b"\xb0\x02\0\x01", unexpected()),
        (b"\xd0\0", unexpected()),
        (CONNECT, violation(Violation::SecondConnect)),
        (b"\x10\0", violation(Violation::SecondConnect)),
    ]);
}

//= mqtt-3.1.1 [MQTT-2.2.2-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-4.8.0-1]
#[test]
fn fixed_headers_that_are_wrong() {
    check_open(&[
        (b"\0\0", malformed(Malformed::PacketType)),
        (b"\x02\0", malformed(Malformed::PacketType)),
        (b"\xf0\0", malformed(Malformed::PacketType)),
        (b"\xf0", malformed(Malformed::PacketType)),
        (b"\x41", malformed(Malformed::Flags)),
        (b"\x52", malformed(Malformed::Flags)),
        (b"\x60\x02\0\x01", malformed(Malformed::Flags)),
        (b"\x63\x02\0\x01", malformed(Malformed::Flags)),
        (b"\x66\x02\0\x01", malformed(Malformed::Flags)),
        (b"\x78\x02\0\x01", malformed(Malformed::Flags)),
        (b"\x80\x06\0\x01\0\x01p\0", malformed(Malformed::Flags)),
        (b"\x83\x06\0\x01\0\x01p\0", malformed(Malformed::Flags)),
        (b"\xa0\x05\0\x01\0\x01p", malformed(Malformed::Flags)),
        (b"\xa3\x05\0\x01\0\x01p", malformed(Malformed::Flags)),
        (b"\xc1\0", malformed(Malformed::Flags)),
        (b"\xc8\0", malformed(Malformed::Flags)),
        (b"\xe1\0", malformed(Malformed::Flags)),
        (b"\xe4\0", malformed(Malformed::Flags)),
        (b"\x30\xff\xff\xff\x80", malformed(Malformed::RemainingLength)),
        (b"\x30\xff\xff\xff\x7f", Closes(b"", Error::Refused(Refused::PacketTooLarge))),
    ]);
}

//= mqtt-3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-2.3.1-1] [MQTT-3.3.1-2] [MQTT-3.3.1-4]
//= mqtt-3.1.1 [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
#[test]
fn publishes_that_are_wrong() {
    check_open(&[
        (b"\x30\0", malformed(Malformed::Truncated)),
        (b"\x30\x01\0", malformed(Malformed::Truncated)),
        (b"\x30\x03\0\x02a", malformed(Malformed::Truncated)),
        (b"\x30\x02\0\0", violation(Violation::TopicEmpty)),
        (b"\x30\x05\0\0xyz", violation(Violation::TopicEmpty)),
        (b"\x30\x05\0\x03a/+", violation(Violation::TopicWildcard)),
        (b"\x30\x05\0\x03a/#", violation(Violation::TopicWildcard)),
        (b"\x30\x05\0\x03a+b", violation(Violation::TopicWildcard)),
        (b"\x30\x05\0\x03a\0b", malformed(Malformed::Nul)),
        (b"\x30\x05\0\x03a\x1fb", malformed(Malformed::Discouraged)),
        (b"\x30\x05\0\x03a\xc2\x9f", malformed(Malformed::Discouraged)),
        (b"\x30\x05\0\x03\xed\xa0\x80", malformed(Malformed::NotUtf8)),
        (b"\x30\x05\0\x03\xef\xbf\xbf", malformed(Malformed::Discouraged)),
        (b"\x36\x05\0\x01a\0\x01", malformed(Malformed::PublishQos)),
        (b"\x36\x03\0\x01a", malformed(Malformed::PublishQos)),
        (b"\x38\x03\0\x01a", violation(Violation::DupAtMostOnce)),
        (b"\x32\x05\0\x01a\0\0", malformed(Malformed::PacketIdZero)),
        (b"\x34\x05\0\x01a\0\0", malformed(Malformed::PacketIdZero)),
        (b"\x32\x03\0\x01a", malformed(Malformed::Truncated)),
        (b"\x34\x04\0\x01a\0", malformed(Malformed::Truncated)),
        (b"\x30\x03\0\x01a", Stays(b"")),
        (b"\x31\x03\0\x01a", Stays(b"")),
        (b"\x3a\x05\0\x01a\x12\x34", Stays(b"\x40\x02\x12\x34")),
        (b"\x3c\x05\0\x01a\x12\x34", Stays(b"\x50\x02\x12\x34")),
        (b"\x30\x83\x80\x80\0\0\x01a", Stays(b"")),
    ]);
}

//= mqtt-3.1.1 [MQTT-4.3.3-2]
/// A repetition of QoS 2 is answered, but not for ever if it comes without DUP.
#[test]
fn exchanges_that_are_begun_again_and_again() {
    let repeated = Closes(b"\x50\x02\0\x01\x50\x02\0\x01", Error::Violation(Violation::RepeatedWithoutDup));
    check_open(&[
        (&b"\x34\x05\0\x01a\0\x01".repeat(2), Stays(b"\x50\x02\0\x01\x50\x02\0\x01")),
        (&b"\x34\x05\0\x01a\0\x01".repeat(3), repeated),
        (&b"\x3c\x05\0\x01a\0\x01".repeat(3), Stays(b"\x50\x02\0\x01\x50\x02\0\x01\x50\x02\0\x01")),
    ]);
    // Another length is another message; the identifier is still taken.
    let others = [&b"\x34\x05\0\x01a\0\x01"[..], b"\x34\x06\0\x01a\0\x01x"].concat();
    assert_eq!(open_server().hear(Instant::ZERO, &others.repeat(2)), b"\x50\x02\0\x01".repeat(4));
    let exchange = b"\x34\x05\0\x01a\0\x01\x62\x02\0\x01";
    let answers = b"\x50\x02\0\x01\x70\x02\0\x01";
    assert_eq!(open_server().hear(Instant::ZERO, &exchange.repeat(9)), answers.repeat(9));
}

#[test]
fn acknowledgements_that_are_wrong_and_some_that_nobody_asked_for() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        let cases: [(&[u8], Reaction); 5] = [
            (&[first, 0], malformed(Malformed::Truncated)),
            (&[first, 1, 1], malformed(Malformed::Truncated)),
            (&[first, 3, 0, 1, 0], malformed(Malformed::TrailingBytes)),
            (&[first, 2, 0, 0], malformed(Malformed::PacketIdZero)),
            (
                &[first, 2, 0, 1],
                Stays(match first {
                    0x50 => b"\x62\x02\0\x01",
                    0x62 => b"\x70\x02\0\x01",
                    _ => b"",
                }),
            ),
        ];
        check_open(&cases);
    }
}

//= mqtt-3.1.1 [MQTT-2.3.1-1] [MQTT-3.8.3-1] [MQTT-3.8.3-3] [MQTT-3-8.3-4]
//= mqtt-3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
#[test]
fn subscribes_that_are_wrong() {
    check_open(&[
        (b"\x82\0", malformed(Malformed::Truncated)),
        (b"\x82\x01\x12", malformed(Malformed::Truncated)),
        (b"\x82\x02\0\0", malformed(Malformed::PacketIdZero)),
        (b"\x82\x02\0\x01", violation(Violation::SubscribeEmpty)),
        (b"\x82\x03\0\x01\0", malformed(Malformed::Truncated)),
        (b"\x82\x04\0\x01\0\x01", malformed(Malformed::Truncated)),
        (b"\x82\x05\0\x01\0\x01p", malformed(Malformed::Truncated)),
        (b"\x82\x07\0\x01\0\x01p\0\0", malformed(Malformed::Truncated)),
        (b"\x82\x05\0\x01\0\0\0", violation(Violation::TopicEmpty)),
        (b"\x82\x09\0\x01\0\x01q\0\0\0\0", violation(Violation::TopicEmpty)),
        (b"\x82\x06\0\x01\0\x01p\x03", malformed(Malformed::SubscribeQos)),
        (b"\x82\x06\0\x01\0\x01p\x04", malformed(Malformed::SubscribeQos)),
        (b"\x82\x06\0\x01\0\x01p\x80", malformed(Malformed::SubscribeQos)),
        (b"\x82\x06\0\x01\0\x01\0\0", malformed(Malformed::Nul)),
        (b"\x82\x06\0\x01\0\x01\x7f\0", malformed(Malformed::Discouraged)),
        (b"\x82\x07\0\x01\0\x02\xc0\x80\0", malformed(Malformed::NotUtf8)),
        (b"\x82\x07\0\x01\0\x02a#\0", violation(Violation::FilterWildcard)),
        (b"\x82\x07\0\x01\0\x02+a\0", violation(Violation::FilterWildcard)),
        (b"\x82\x08\0\x01\0\x03#/a\0", violation(Violation::FilterWildcard)),
        (b"\x82\x0d\0\x01\0\x08$share/g\0", Stays(b"\x90\x03\0\x01\x80")),
    ]);
}

//= mqtt-3.1.1 [MQTT-2.3.1-1] [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-4.7.3-2]
#[test]
fn unsubscribes_that_are_wrong() {
    check_open(&[
        (b"\xa2\0", malformed(Malformed::Truncated)),
        (b"\xa2\x01\x12", malformed(Malformed::Truncated)),
        (b"\xa2\x02\0\x01", violation(Violation::UnsubscribeEmpty)),
        (b"\xa2\x03\0\x01\x01", malformed(Malformed::Truncated)),
        (b"\xa2\x04\0\x01\0\x01", malformed(Malformed::Truncated)),
        (b"\xa2\x07\0\x01\0\x01q\0\0", violation(Violation::TopicEmpty)),
        (b"\xa2\x05\0\0\0\x01p", malformed(Malformed::PacketIdZero)),
        (b"\xa2\x05\0\x01\0\x01\0", malformed(Malformed::Nul)),
        (b"\xa2\x05\0\x01\0\x01\xff", malformed(Malformed::NotUtf8)),
        (b"\xa2\x06\0\x01\0\x02#a", violation(Violation::FilterWildcard)),
        (b"\xa2\x05\0\x01\0\x01p", Stays(b"\xb0\x02\0\x01")),
    ]);
}

#[test]
fn bodies_where_none_belongs() {
    check_open(&[
        (b"\xc0\x01\0", malformed(Malformed::TrailingBytes)),
        (b"\xe0\x01\0", malformed(Malformed::TrailingBytes)),
    ]);
}

#[test]
fn more_filters_than_are_taken() {
    let config = Config::new(Settings { filters_per_packet_max: 2, ..Settings::default() }).unwrap();
    for (input, reason) in [
        (&b"\x82\x0e\0\x01\0\x01a\0\0\x01b\0\0\x01c\0"[..], Some(Reason::TooLarge)),
        (b"\x82\x0a\0\x01\0\x01a\0\0\x01b\0", None),
        (b"\xa2\x0b\0\x01\0\x01a\0\x01b\0\x01c", Some(Reason::TooLarge)),
    ] {
        let mut server = Server::new(&config, Instant::ZERO);
        assert_eq!(server.hear(Instant::ZERO, CONNECT), CONNACK);
        server.hear(Instant::ZERO, input);
        assert_eq!(server.closed.map(|close| close.reason), reason);
    }
}
