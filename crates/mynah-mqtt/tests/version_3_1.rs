//! What a client of MQTT 3.1 gets otherwise than one of 3.1.1, and what stays the same.

use mynah_model::{Instant, Reason};
use mynah_mqtt::client::{Client, Event, Misuse, Options};
use mynah_mqtt::mapping::LAYOUT_V3;
use mynah_mqtt::wire::{Connack, Connect, ConnectReturnCode, TextRule};
use mynah_mqtt::{Config, Error, Malformed, Settings, UnknownLevel, Version, Violation};
use mynah_stack::Connection;

use crate::broker::{CONNACK, Server};

const NOW: Instant = Instant::ZERO;
/// CONNECT of client `p` with a clean session and a keep-alive of 10 s.
pub(crate) const CONNECT: &[u8] = b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x0a\0\x01p";

fn server_after(connect: &[u8]) -> (Server, Vec<u8>) {
    let mut server = Server::new(&Config::default(), NOW);
    let answer = server.hear(NOW, connect);
    (server, answer)
}

#[test]
fn a_client_is_let_in_and_exchanges_messages() {
    let (mut server, answer) = server_after(CONNECT);
    assert_eq!((answer.as_slice(), server.connection.layout()), (CONNACK, LAYOUT_V3));
    assert_eq!(server.hear(NOW, b"\x82\x06\0\x01\0\x01a\x01"), b"\x90\x03\0\x01\x01");
    assert_eq!(server.hear(NOW, b"\x32\x06\0\x01a\0\x09x"), b"\x40\x02\0\x09\x32\x06\0\x01a\0\x01x");
    assert_eq!(server.hear(NOW, b"\x40\x02\0\x01\xc0\0"), b"\xd0\0");
    server.hear(NOW, b"\xe0\0");
    assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
}

/// The flags of packets other than PUBLISH are unused; a client that repeats a request sets DUP.
#[test]
fn unused_flags_are_disregarded() {
    for first in [0x10, 0x11, 0x14, 0x1e] {
        let (_, answer) = server_after(&[&[first], &CONNECT[1..]].concat());
        assert_eq!(answer, CONNACK);
    }
    let (mut server, _) = server_after(CONNECT);
    assert_eq!(server.hear(NOW, b"\x8a\x06\0\x01\0\x01a\0"), b"\x90\x03\0\x01\0");
    assert_eq!(server.hear(NOW, b"\x34\x05\0\x01b\0\x02\x6a\x02\0\x02"), b"\x50\x02\0\x02\x70\x02\0\x02");
    assert_eq!(server.hear(NOW, b"\xaa\x05\0\x03\0\x01a"), b"\xb0\x02\0\x03");
    assert_eq!(server.hear(NOW, b"\xc1\0"), b"\xd0\0");
    assert_eq!(server.closed, None);
    for (first, error) in [
        (b"\xf0\0", Error::Malformed(Malformed::PacketType)),
        (b"\x36\0", Error::Malformed(Malformed::PublishQos)),
    ] {
        let (mut server, _) = server_after(CONNECT);
        server.hear(NOW, first);
        assert_eq!(server.failure(), Some(error));
    }
}

/// The reserved connect flag, and the will's flags without a will.
#[test]
fn unused_connect_flags_are_disregarded() {
    for flags in [0x03, 0x0a, 0x1a, 0x22, 0x3b] {
        let connect = [&CONNECT[..11], &[flags], &CONNECT[12..]].concat();
        let (server, answer) = server_after(&connect);
        assert_eq!((answer.as_slice(), server.will.is_none()), (CONNACK, true), "{flags:x}");
    }
    let (server, _) = server_after(b"\x10\x15\0\x06MQIsdp\x03\x1e\0\x0a\0\x01p\0\x01t\0\x01m");
    assert_eq!(server.failure(), Some(Violation::WillQos.into()));
}

/// The remaining length takes precedence over the flags of user name and password.
#[test]
fn credentials_may_be_missing_although_they_were_announced() {
    for (connect, user, password) in [
        (&b"\x10\x0f\0\x06MQIsdp\x03\xc2\0\x0a\0\x01p"[..], None, None),
        (b"\x10\x12\0\x06MQIsdp\x03\xc2\0\x0a\0\x01p\0\x01u", Some("u"), None),
        (b"\x10\x15\0\x06MQIsdp\x03\xc2\0\x0a\0\x01p\0\x01u\0\x01w", Some("u"), Some(&b"w"[..])),
    ] {
        let (server, answer) = server_after(connect);
        assert_eq!(answer, CONNACK);
        let credentials = server.last_open.unwrap().credentials;
        assert_eq!(credentials.as_ref().map(|c| &*c.user), user);
        assert_eq!(credentials.as_ref().and_then(|c| c.password.as_deref()), password);
    }
    for (connect, error) in [
        (&b"\x10\x10\0\x06MQIsdp\x03\x82\0\x0a\0\x01p\0"[..], Error::Malformed(Malformed::Truncated)),
        (b"\x10\x0f\0\x06MQIsdp\x03\x42\0\x0a\0\x01p", Violation::PasswordWithoutUserName.into()),
    ] {
        let (server, answer) = server_after(connect);
        assert_eq!((answer.as_slice(), server.failure()), (&b""[..], Some(error)));
    }
}

/// An identifier has 1 to 23 characters. A longer one is taken, as most servers do; without one there is code 2.
#[test]
fn a_client_identifier_is_needed_and_may_be_long() {
    for flags in [0x00, 0x02] {
        let connect = [&b"\x10\x0e\0\x06MQIsdp\x03"[..], &[flags], b"\0\x0a\0\0"].concat();
        let (server, answer) = server_after(&connect);
        assert_eq!(answer, b"\x20\x02\0\x02");
        assert_eq!(server.closed.unwrap().reason, Reason::ClientIdRefused);
    }
    let (_, answer) = server_after(b"\x10\x26\0\x06MQIsdp\x03\x02\0\x0a\0\x18abcdefghijklmnopqrstuvwx");
    assert_eq!(answer, CONNACK);
}

/// The first byte of CONNACK's variable header is reserved.
#[test]
fn a_resumed_session_is_not_announced() {
    let stays = b"\x10\x0f\0\x06MQIsdp\x03\0\0\x0a\0\x01p";
    let (mut server, answer) = server_after(stays);
    assert_eq!(answer, CONNACK);
    server.hear(NOW, b"\x82\x06\0\x01\0\x01#\x01");
    server.publish_from_elsewhere(NOW, b"a", b"x", mynah_model::Class::AtLeastOnce);
    server.accept(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, stays), [CONNACK, b"\x3a\x06\0\x01a\0\x01x"].concat());
}

/// The version has no code for it and does not use the high bits: a client that ignores them takes it for QoS 0.
#[test]
fn a_refused_filter_gets_the_code_of_3_1_1() {
    let (mut server, _) = server_after(CONNECT);
    assert_eq!(server.hear(NOW, b"\x82\x0d\0\x01\0\x08$share/g\0"), b"\x90\x03\0\x01\x80");
}

#[test]
fn a_level_of_no_version_may_be_answered_as_5_0_does() {
    let settings = Settings { unknown_level: UnknownLevel::AsV5, ..Settings::default() };
    let config = Config::new(settings).unwrap();
    for (connect, answer) in [
        (&b"\x10\x0f\0\x06MQIsdp\x06\x02\0\x0a\0\x01p"[..], &b"\x20\x03\0\x84\0"[..]),
        (b"\x10\x0d\0\x04MQTT\x02\x02\0\x0a\0\x01p", b"\x20\x03\0\x84\0"),
        (b"\x10\x0d\0\x04MQTT\x03\x02\0\x0a\0\x01p", b"\x20\x02\0\x01"),
        (CONNECT, CONNACK),
    ] {
        let mut server = Server::new(&config, NOW);
        assert_eq!(server.hear(NOW, connect), answer);
        assert_eq!(server.closed.is_some(), answer != CONNACK);
    }
}

#[test]
fn the_packets_differ_in_name_level_and_the_reserved_byte() {
    let connect = Connect::decode(4, &CONNECT[2..], TextRule::RefuseDiscouraged).unwrap();
    assert_eq!((connect.version, connect.client_id), (Version::V3_1, "p"));
    let mut out = Vec::new();
    connect.encode(&mut out);
    assert_eq!(out, CONNECT);
    let accepted = Connack { session_present: false, return_code: ConnectReturnCode::Accepted };
    assert_eq!(Connack::decode(&[1, 0], Version::V3_1), Ok(accepted));
}

/// A lost session shows only by its identifiers: what comes with DUP was there before, what comes without is new.
#[test]
fn a_client_tells_new_messages_of_a_resumed_session_by_dup() {
    let options = Options { version: Version::V3_1, clean_session: false, ..Options::new("c") };
    let mut client = Client::new(options).unwrap();
    let mut hear = |packet: &[u8]| {
        client.connect(NOW);
        client.handle_input(NOW, &mut [CONNACK, packet].concat().as_slice());
        let is_message = |event: &Event| matches!(event, Event::Message { .. });
        std::iter::from_fn(|| client.poll_event()).filter(is_message).count()
    };
    assert_eq!(hear(b"\x34\x05\0\x01a\0\x01"), 1);
    assert_eq!(hear(b"\x3c\x05\0\x01a\0\x01"), 0);
    assert_eq!(hear(b"\x34\x05\0\x01b\0\x01"), 1);
    assert_eq!(hear(b"\x62\x02\0\x01\x3c\x05\0\x01c\0\x01"), 1);
}

#[test]
fn a_client_speaks_it_too() {
    let options = |client_id| Options { version: Version::V3_1, ..Options::new(client_id) };
    for (client_id, misuse) in
        [("", Misuse::ClientIdMissing), ("abcdefghijklmnopqrstuvwx", Misuse::ClientIdTooLong)]
    {
        assert_eq!(Client::new(options(client_id)).err(), Some(misuse));
    }
    let mut client = Client::new(options("ä2345678901234567890123")).unwrap();
    client.connect(NOW);
    let connect = client.outbound().drain();
    assert_eq!(&connect[..9], b"\x10\x26\0\x06MQIsd");
    let (mut server, answer) = server_after(&connect);
    client.handle_input(NOW, &mut answer.as_slice());
    assert!(matches!(client.poll_event(), Some(Event::Connected { session_present: false, .. })));
    client.subscribe(NOW, &[("a", mynah_model::Class::AtMostOnce)]).unwrap();
    let answer = server.hear(NOW, &client.outbound().drain());
    client.handle_input(NOW, &mut answer.as_slice());
    assert!(matches!(client.poll_event(), Some(Event::Subscribed { .. })));
}
