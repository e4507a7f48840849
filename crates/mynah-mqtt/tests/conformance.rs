//! What the server does, statement by statement of MQTT 3.1.1.

use std::num::NonZeroU16;
use std::time::Duration;

use mynah_model::{Class, DeliveryId, Expiry, Instant, Reason};
use mynah_mqtt::mapping::{LAYOUT_V3, LAYOUT_V5};
use mynah_mqtt::{Config, Mqtt, Settings, TextRule};
use mynah_stack::{Connection, Outcome, Protocol, Step};

use crate::broker::{CONNACK, CONNECT, Server, open_server};

const NOW: Instant = Instant::ZERO;

fn at(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

fn new_server(settings: Settings) -> Server {
    Server::new(&Config::new(settings).unwrap(), NOW)
}

/// A server that has heard CONNECT of a client with a will.
fn server_with_will() -> Server {
    let mut server = Server::new(&Config::default(), NOW);
    let connect = b"\x10\x13\0\x04MQTT\x04\x06\0\x0a\0\x01p\0\x01t\0\x01m";
    assert_eq!(server.hear(NOW, connect), CONNACK);
    server
}

//= mqtt-3.1.1 [MQTT-3.1.4-3] [MQTT-3.1.4-4] [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
#[test]
fn clean_session_decides_about_the_session_and_connack_tells() {
    let mut server = Server::new(&Config::default(), NOW);
    let stays = b"\x10\x0d\0\x04MQTT\x04\0\0\x0a\0\x01p";
    assert_eq!(server.hear(NOW, stays), b"\x20\x02\0\0");
    let session = server.last_open.as_ref().unwrap().session.clone().unwrap();
    assert_eq!((session.clean_start, session.expiry, &*session.client_id), (false, Expiry::Never, &b"p"[..]));
    server.hear(NOW, b"\xe0\0");

    server.accept(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, stays), b"\x20\x02\x01\0");
    server.hear(NOW, b"\xe0\0");

    server.accept(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, CONNECT), b"\x20\x02\0\0");
    let session = server.last_open.as_ref().unwrap().session.clone().unwrap();
    assert_eq!((session.clean_start, session.expiry), (true, Expiry::WithConnection));
    server.hear(NOW, b"\xe0\0");

    server.accept(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, stays), b"\x20\x02\0\0");
}

//= mqtt-3.1.1 [MQTT-3.1.3-9]
#[test]
fn an_empty_client_identifier_needs_a_clean_session() {
    let clean = b"\x10\x0c\0\x04MQTT\x04\x02\0\x0a\0\0";
    let mut server = Server::new(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, clean), CONNACK);
    assert!(server.last_open.unwrap().session.unwrap().client_id.is_empty());

    let mut server = new_server(Settings { allow_empty_client_id: false, ..Settings::default() });
    assert_eq!(server.hear(NOW, clean), b"\x20\x02\0\x02");
    assert_eq!(server.closed.unwrap().reason, Reason::ClientIdRefused);
}

//= mqtt-3.1.1 [MQTT-3.1.2-9]
#[test]
fn a_will_is_kept_as_it_was_asked_for() {
    let mut server = Server::new(&Config::default(), NOW);
    server.hear(NOW, b"\x10\x15\0\x04MQTT\x04\x36\0\x0a\0\x01p\0\x02ab\0\x02xy");
    let will = server.will.unwrap();
    assert_eq!((will.topic().as_bytes(), will.payload()), (&b"ab"[..], &b"xy"[..]));
    assert_eq!((will.header().class, will.header().retain), (Class::ExactlyOnce, true));
    assert_eq!(will.header().layout, LAYOUT_V3);
}

//= mqtt-3.1.1 [MQTT-3.14.1-1] [MQTT-3.14.4-3]
#[test]
fn a_will_is_wanted_at_every_end_but_a_good_bye() {
    let mut server = server_with_will();
    server.hear(NOW, b"\xe0\0");
    assert!(!server.will_published && server.closed.unwrap().reason == Reason::Disconnected);

    let mut server = server_with_will();
    server.hear(NOW, b"\xe1\0");
    assert!(server.will_published);

    let mut server = server_with_will();
    server.connection.handle_outcome(NOW, Outcome::Ended(Reason::TakenOver), &mut server.out);
    server.hear(NOW, b"");
    assert!(server.will_published && server.closed.unwrap().reason == Reason::TakenOver);
}

/// A broker that stops is not a client that is lost.
#[test]
fn a_shutdown_closes_without_a_will_and_without_a_packet() {
    let mut server = server_with_will();
    server.connection.handle_shutdown(NOW, &mut server.out);
    assert_eq!(server.hear(NOW, b"\xc0\0"), b"");
    assert!(!server.will_published && server.closed.unwrap().reason == Reason::ShuttingDown);
}

//= mqtt-3.1.1 [MQTT-3.1.2-24] [MQTT-3.12.4-1]
/// One and a half times the keep-alive, counted from the last packet.
#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    let mut server = server_with_will();
    assert_eq!(server.connection.deadline(), Some(at(15)));
    assert_eq!(server.hear(at(10), b"\xc0\0"), b"\xd0\0");
    assert_eq!(server.connection.deadline(), Some(at(25)));
    server.connection.handle_timeout(at(24), &mut server.out);
    assert_eq!(server.hear(at(24), b""), b"");
    assert_eq!(server.closed, None, "a timeout that comes early");
    server.connection.handle_timeout(at(25), &mut server.out);
    server.hear(at(25), b"");
    assert_eq!(server.closed.unwrap().reason, Reason::KeepAliveTimeout);
    assert!(server.will_published);
}

/// A large packet on a slow way is not silence.
#[test]
fn bytes_of_a_packet_under_way_are_a_sign_of_life() {
    let mut server = open_server();
    let publish = b"\x30\x05\0\x01axy";
    let mut step = |now, len: usize| {
        let step = server.connection.step(now, &mut &publish[..len], &mut server.out);
        assert!(matches!(step, Step::Idle));
        server.connection.deadline()
    };
    assert_eq!(step(at(5), 3), Some(at(20)));
    assert_eq!(step(at(9), 3), Some(at(20)), "nothing new came");
    assert_eq!(step(at(12), 4), Some(at(27)));
}

/// Section 3.1.2.10: zero turns the mechanism off.
#[test]
fn a_keep_alive_of_zero_never_times_out_unless_a_maximum_is_set() {
    let forever = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01p";
    let mut server = Server::new(&Config::default(), NOW);
    assert_eq!(server.hear(NOW, forever), CONNACK);
    assert_eq!(server.connection.deadline(), None);

    for (connect, answer) in [
        (&forever[..], b"\x20\x02\0\x02"),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x0b\0\x01p", b"\x20\x02\0\x02"),
        (CONNECT, b"\x20\x02\0\0"),
    ] {
        let mut server = new_server(Settings { keep_alive_max: NonZeroU16::new(10), ..Settings::default() });
        assert_eq!(server.hear(NOW, connect), answer);
    }
}

/// Section 3.1.4: a server closes if CONNECT does not come within a reasonable time.
#[test]
fn an_opening_has_a_time_limit() {
    let mut server = Server::new(&Config::default(), NOW);
    assert_eq!(server.connection.deadline(), Some(at(10)));
    assert_eq!(server.hear(at(9), &CONNECT[..5]), b"");
    assert_eq!(server.connection.deadline(), Some(at(10)), "trickling bytes do not prolong it");
    server.connection.handle_timeout(at(10), &mut server.out);
    server.hear(at(10), b"");
    assert_eq!(server.closed.unwrap().reason, Reason::OpeningTimeout);

    // The keep-alive is counted from the answer.
    let mut server = Server::new(&Config::default(), NOW);
    server.hold_open = true;
    server.hear(at(1), CONNECT);
    assert_eq!(server.connection.deadline(), Some(at(10)));
    let opened = mynah_stack::Opened::new(false, Expiry::Never);
    server.connection.handle_outcome(at(4), Outcome::Opened(Ok(opened)), &mut server.out);
    assert_eq!(server.connection.deadline(), Some(at(19)));
}

//= mqtt-3.1.1 [MQTT-3.1.4-5] [MQTT-3.2.0-1]
/// What follows CONNECT waits until the client is let in, and is not read before.
#[test]
fn nothing_is_read_while_opening() {
    let mut server = Server::new(&Config::default(), NOW);
    server.hold_open = true;
    let all = [CONNECT, b"\xc0\0"].concat();
    let mut input = all.as_slice();
    assert!(matches!(server.connection.step(NOW, &mut input, &mut server.out), Step::Command(_)));
    assert!(matches!(server.connection.step(NOW, &mut input, &mut server.out), Step::Idle));
    assert_eq!(input, b"\xc0\0");
    assert!(server.out.is_empty() && server.connection.input_bytes_max() == 8_192);

    let opened = mynah_stack::Opened::new(false, Expiry::Never);
    server.connection.handle_outcome(NOW, Outcome::Opened(Ok(opened)), &mut server.out);
    assert!(matches!(server.connection.step(NOW, &mut input, &mut server.out), Step::Idle));
    assert_eq!(server.out.drain(), [CONNACK, b"\xd0\0"].concat());
    assert_eq!(server.connection.input_bytes_max(), 16 << 20);
}

//= mqtt-3.1.1 [MQTT-3.1.4-5] [MQTT-3.2.2-4] [MQTT-3.2.2-5]
/// Table 3.1.
#[test]
fn a_refusal_has_the_code_of_its_reason_and_closes() {
    for (reason, code) in [
        (Reason::BadCredentials, 4),
        (Reason::NotAuthorized, 5),
        (Reason::ClientIdRefused, 2),
        (Reason::ServerBusy, 3),
        (Reason::QuotaExceeded, 3),
        (Reason::ShuttingDown, 3),
    ] {
        let mut server = Server::new(&Config::default(), NOW);
        server.refuse_open = Some(reason);
        assert_eq!(server.hear(NOW, &[CONNECT, b"\xc0\0"].concat()), [0x20, 2, 0, code]);
        assert_eq!(server.closed.unwrap().reason, reason);
    }
}

//= mqtt-3.1.1 [MQTT-3.1.2-19] [MQTT-3.1.2-21]
#[test]
fn credentials_are_handed_on_and_a_password_may_be_any_bytes() {
    let mut server = Server::new(&Config::default(), NOW);
    server.hear(NOW, b"\x10\x14\0\x04MQTT\x04\xc2\0\x0a\0\x01p\0\x01u\0\x02\0\xff");
    let credentials = server.last_open.unwrap().credentials.unwrap();
    assert_eq!((&*credentials.user, credentials.password.as_deref()), ("u", Some(&b"\0\xff"[..])));
    assert!(!format!("{credentials:?}").contains("255"));
    assert!(open_server().last_open.unwrap().credentials.is_none());
}

//= mqtt-3.1.1 [MQTT-2.3.1-6] [MQTT-3.3.4-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]
#[test]
fn a_publication_is_answered_by_its_class() {
    let mut server = open_server();
    assert_eq!(server.hear(NOW, b"\x30\x04\0\x01ax"), b"");
    assert_eq!(server.hear(NOW, b"\x32\x06\0\x01a\x12\x34x"), b"\x40\x02\x12\x34");
    assert_eq!(server.hear(NOW, b"\x34\x06\0\x01a\x56\x78x"), b"\x50\x02\x56\x78");
    // Sent again before the release: answered again, published once.
    assert_eq!(server.hear(NOW, b"\x3c\x06\0\x01a\x56\x78x"), b"\x50\x02\x56\x78");
    assert_eq!(server.published.len(), 3);
    assert_eq!(server.hear(NOW, b"\x62\x02\x56\x78"), b"\x70\x02\x56\x78");
    // The identifier may be used again for another message.
    assert_eq!(server.hear(NOW, b"\x34\x06\0\x01a\x56\x78y"), b"\x50\x02\x56\x78");
    assert_eq!(server.published.len(), 4);
}

/// Section 4.3: the bytes of a publication are the message.
#[test]
fn a_message_keeps_the_bytes_that_came() {
    let mut server = open_server();
    server.hear(NOW, b"\x35\x08\0\x03a/b\x12\x34x");
    let message = &server.published[0];
    assert_eq!(message.view().native, b"\0\x03a/b\x12\x34x");
    assert_eq!((message.topic().as_bytes(), message.payload()), (&b"a/b"[..], &b"x"[..]));
    let header = message.header();
    assert_eq!((header.class, header.retain, header.layout), (Class::ExactlyOnce, true, LAYOUT_V3));
    server.hear(NOW, b"\x30\x05\0\x03a/b");
    assert!(server.published[1].payload().is_empty());
}

//= mqtt-3.1.1 [MQTT-3.3.5-2] [MQTT-4.8.0-2]
/// A publication that is not authorised gets the usual answer; where there is no room the connection is closed.
#[test]
fn a_refused_publication_is_acknowledged_or_closes_the_connection() {
    for (reason, answer, closes) in [
        (Reason::NotAuthorized, &b"\x40\x02\0\x07"[..], false),
        (Reason::TopicInvalid, b"\x40\x02\0\x07", false),
        (Reason::QuotaExceeded, b"", true),
        (Reason::TooLarge, b"", true),
    ] {
        let mut server = open_server();
        server.refuse_publish = Some(reason);
        assert_eq!(server.hear(NOW, b"\x32\x05\0\x01a\0\x07"), answer);
        assert_eq!(server.closed.map(|close| close.reason), closes.then_some(reason));
    }
}

//= mqtt-3.1.1 [MQTT-2.3.1-7] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.9.3-1]
#[test]
fn a_subscribe_gets_one_suback_with_a_code_for_each_filter() {
    let mut server = open_server();
    let subscribe = b"\x82\x1b\x12\x34\0\x01a\0\0\x03b/#\x02\0\x08$queue/+\x01\0\x01+\x01";
    assert_eq!(server.hear(NOW, subscribe), b"\x90\x06\x12\x34\0\x02\x80\x01");
}

//= mqtt-3.1.1 [MQTT-2.3.1-7] [MQTT-3.10.4-4] [MQTT-3.10.4-5]
#[test]
fn an_unsubscribe_is_answered_also_if_nothing_was_there() {
    let mut server = open_server();
    server.hear(NOW, b"\x82\x06\0\x01\0\x01a\0");
    assert_eq!(server.hear(NOW, b"\xa2\x08\x12\x34\0\x01a\0\x01b"), b"\xb0\x02\x12\x34");
    server.publish_from_elsewhere(NOW, b"a", b"", Class::AtMostOnce);
    assert!(server.out.is_empty());
}

//= mqtt-3.1.1 [MQTT-2.3.1-5] [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
#[test]
fn deliveries_of_each_class_go_through_their_exchange() {
    let mut server = open_server();
    server.hear(NOW, b"\x82\x06\0\x01\0\x01#\x02");
    server.publish_from_elsewhere(NOW, b"a", b"0", Class::AtMostOnce);
    assert_eq!(server.out.drain(), b"\x30\x04\0\x01a0");
    server.publish_from_elsewhere(NOW, b"a", b"1", Class::AtLeastOnce);
    assert_eq!(server.out.drain(), b"\x32\x06\0\x01a\0\x011");
    assert_eq!(server.hear(NOW, b"\x40\x02\0\x01"), b"");
    server.publish_from_elsewhere(NOW, b"a", b"2", Class::ExactlyOnce);
    assert_eq!(server.out.drain(), b"\x34\x06\0\x01a\0\x022");
    assert_eq!(server.hear(NOW, b"\x50\x02\0\x02"), b"\x62\x02\0\x02");
    assert_eq!(server.unsettled(), 1);
    assert_eq!(server.hear(NOW, b"\x50\x02\0\x02"), b"\x62\x02\0\x02", "a PUBREC that came twice");
    assert_eq!(server.hear(NOW, b"\x70\x02\0\x02"), b"");
    assert_eq!(server.unsettled(), 0);
}

//= mqtt-3.1.1 [MQTT-3.3.1-1]
#[test]
fn a_resumed_session_gets_again_what_it_did_not_acknowledge() {
    let connect = b"\x10\x0d\0\x04MQTT\x04\0\0\x0a\0\x01p";
    let mut server = Server::new(&Config::default(), NOW);
    server.hear(NOW, connect);
    server.hear(NOW, b"\x82\x06\0\x01\0\x01#\x02");
    server.publish_from_elsewhere(NOW, b"a", b"x", Class::AtLeastOnce);
    server.publish_from_elsewhere(NOW, b"a", b"y", Class::ExactlyOnce);
    server.publish_from_elsewhere(NOW, b"a", b"z", Class::ExactlyOnce);
    server.hear(NOW, b"\x50\x02\0\x02");
    server.accept(&Config::default(), NOW);
    let expected =
        [&b"\x20\x02\x01\0"[..], b"\x3a\x06\0\x01a\0\x01x", b"\x62\x02\0\x02", b"\x3c\x06\0\x01a\0\x03z"];
    assert_eq!(server.hear(NOW, connect), expected.concat());
}

/// Nothing reaches a client that is closing.
#[test]
fn a_closed_connection_writes_nothing() {
    let mut server = open_server();
    server.hear(NOW, b"\xe0\0");
    let id = DeliveryId::new(1).unwrap();
    server.connection.handle_outcome(NOW, Outcome::Received { id, known: true }, &mut server.out);
    server.connection.deliver(NOW, mynah_stack::Delivery::Release { id }, &mut server.out);
    server.connection.handle_shutdown(NOW, &mut server.out);
    assert!(server.out.is_empty());
    assert_eq!((server.connection.deadline(), server.closed.unwrap().reason), (None, Reason::Disconnected));
}

/// A connection that ends while its opening is answered also says that the will is wanted; the core
/// knows whether there is one.
#[test]
fn an_end_while_opening_closes() {
    let mut server = Server::new(&Config::default(), NOW);
    server.hold_open = true;
    server.hear(NOW, CONNECT);
    server.connection.handle_outcome(NOW, Outcome::Ended(Reason::ServerBusy), &mut server.out);
    assert_eq!(server.hear(NOW, b""), b"");
    assert_eq!(server.closed.unwrap().reason, Reason::ServerBusy);
    let opened = mynah_stack::Opened::new(false, Expiry::Never);
    server.connection.handle_outcome(NOW, Outcome::Opened(Ok(opened)), &mut server.out);
    assert!(server.out.is_empty());
}

//= mqtt-3.1.1 [MQTT-1.5.3-2]
/// Section 1.5.3: discouraged characters may be taken; U+0000 may not.
#[test]
fn discouraged_characters_are_a_setting() {
    let mut server = new_server(Settings { text_rule: TextRule::AcceptDiscouraged, ..Settings::default() });
    assert_eq!(server.hear(NOW, b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01\x07"), CONNACK);
    server.hear(NOW, b"\x30\x03\0\x01\x07");
    assert_eq!(server.published.len(), 1);
    server.hear(NOW, b"\x30\x03\0\x01\0");
    assert!(server.closed.is_some());
}

/// A limit is checked when the header is there, before and after the session is open.
#[test]
fn packets_have_a_limit_before_and_after_connect() {
    let settings = Settings { packet_bytes_max: 1_024, connect_packet_bytes_max: 128, ..Settings::default() };
    let mut server = new_server(settings.clone());
    server.hear(NOW, b"\x10\x7f");
    assert_eq!(server.closed.unwrap().reason, Reason::TooLarge);

    for (header, reason) in [(b"\x30\xfd\x07", None), (b"\x30\xfe\x07", Some(Reason::TooLarge))] {
        let mut server = new_server(settings.clone());
        server.hear(NOW, CONNECT);
        server.hear(NOW, header);
        assert_eq!(server.closed.map(|close| close.reason), reason);
    }
}

#[test]
fn the_protocol_makes_connections_and_knows_its_layouts() {
    let protocol = Mqtt::new(Config::default());
    assert_eq!(protocol.name(), "mqtt");
    assert_eq!(protocol.codec().layouts(), [LAYOUT_V3, LAYOUT_V5]);
    let connection = protocol.accept(at(1));
    assert_eq!((connection.layout(), connection.deadline()), (LAYOUT_V3, Some(at(11))));
}
