//! Settings of a listener that change what a client of MQTT 5.0 is told: each beside what the default says.

use mynah_model::{Class, Instant, Reason};
use mynah_mqtt::connection::Answers;
use mynah_mqtt::{Config, Settings, SubscribeRefused};
use mynah_stack::{Command, Connection, Outcome, Step};

use crate::broker::Server;
use crate::malformed_v5::{CONNECT, bytes};
use crate::written_v5::{described, packet};

const NOW: Instant = Instant::ZERO;
const NONE: [&str; 0] = [];

fn server(settings: Settings) -> Server {
    Server::new(&Config::new(settings).unwrap(), NOW)
}

fn open_server(settings: Settings) -> Server {
    let mut server = server(settings);
    assert_eq!(described(&server.hear(NOW, CONNECT)), ["CONNACK 0x00"]);
    server
}

/// The head and the properties of the one packet that was written.
fn only(written: &[u8]) -> (String, Vec<String>) {
    let (packet, rest) = packet(written);
    assert!(rest.is_empty());
    (packet.head, packet.properties)
}

fn mosquitto() -> Settings {
    Settings { answers: Answers::Mosquitto, ..Settings::default() }
}

#[test]
fn a_server_that_stops_names_another_one_if_there_is_one() {
    let quiet = || Settings { reason_strings: false, ..Settings::default() };
    for (settings, answer) in [
        (quiet(), ("DISCONNECT 0x8b", vec![])),
        (
            Settings { server_reference: Some("b:1".into()), ..quiet() },
            ("DISCONNECT 0x9c", vec!["1c:0003623a31"]),
        ),
    ] {
        let mut server = open_server(settings);
        server.connection.handle_shutdown(NOW, &mut server.out);
        let (head, properties) = only(&server.out.drain());
        assert_eq!(
            (head.as_str(), properties),
            (answer.0, answer.1.into_iter().map(str::to_owned).collect())
        );
    }
}

//= mqtt-5.0 [MQTT-3.1.2-28]
#[test]
fn response_information_is_for_those_who_ask_for_it() {
    let asking = |wanted: u8| bytes(&format!("10 10 0004 4d515454 05 02 000a 02 19 {wanted:02x} 0001 70"));
    let told = || Settings { response_information: Some("r/".into()), ..Settings::default() };
    for (settings, connect, is_told) in [
        (told(), asking(1), true),
        (told(), asking(0), false),
        (told(), CONNECT.to_vec(), false),
        (Settings::default(), asking(1), false),
    ] {
        let (head, properties) = only(&server(settings).hear(NOW, &connect));
        assert_eq!(head, "CONNACK 0x00 new");
        let information: Vec<_> = properties.iter().filter(|shown| shown.starts_with("1a:")).collect();
        assert_eq!(information, ["1a:0002722f"][..usize::from(is_told)].iter().collect::<Vec<_>>());
    }
}

/// What a client hears that subscribes to two filters, of which one is refused.
fn subscribe(settings: Settings, refused: Reason) -> Vec<String> {
    let mut server = open_server(settings);
    let sent = bytes("82 0b 0007 00 0001 61 01 0001 62 01");
    let Step::Command(Command::Subscribe(subscribe)) =
        server.connection.step(NOW, &mut &sent[..], &mut server.out)
    else {
        panic!("a subscription")
    };
    let receipt = subscribe.receipt;
    let results = [Ok(Class::AtLeastOnce), Err(refused)];
    server.connection.handle_outcome(
        NOW,
        Outcome::Subscribed { receipt, results: &results },
        &mut server.out,
    );
    described(&server.out.drain())
}

#[test]
fn a_subscription_that_is_not_permitted_is_refused_with_the_code_that_was_set() {
    let unspecified = || Settings { subscribe_refused: SubscribeRefused::Unspecified, ..Settings::default() };
    assert_eq!(subscribe(Settings::default(), Reason::NotAuthorized), ["SUBACK 7 0x01 0x87"]);
    assert_eq!(subscribe(unspecified(), Reason::NotAuthorized), ["SUBACK 7 0x01 0x80"]);
    // Another reason is not hidden.
    for settings in [Settings::default(), unspecified()] {
        assert_eq!(subscribe(settings, Reason::QuotaExceeded), ["SUBACK 7 0x01 0x97"]);
    }
}

/// What is wrong, the bytes, the answer by the specification and the one of Mosquitto; an empty one is silence.
const ERRORS: [(&str, &str, &str, &str); 18] = [
    ("a misplaced property", "30 09 0001 61 05 11 00000000", "DISCONNECT 0x81", "DISCONNECT 0x82"),
    ("the same in SUBSCRIBE", "82 0c 0001 05 11 00000000 0001 61 00", "DISCONNECT 0x81", "DISCONNECT 0x81"),
    ("flags of PUBREL", "60 02 0001", "DISCONNECT 0x81", "DISCONNECT 0x82"),
    ("flags of DISCONNECT", "e1 00", "DISCONNECT 0x81", "DISCONNECT 0x82"),
    ("flags of SUBSCRIBE", "80 07 0001 00 0001 61 00", "DISCONNECT 0x81", "DISCONNECT 0x81"),
    ("packet type 0", "00 00", "DISCONNECT 0x81", "DISCONNECT 0x82"),
    ("a length of five bytes", "30 ffffffff 01", "DISCONNECT 0x81", ""),
    ("PINGREQ with a body", "c0 01 00", "DISCONNECT 0x81", ""),
    ("PINGRESP", "d0 00", "DISCONNECT 0x82", "DISCONNECT 0x82"),
    ("PINGRESP with a body", "d0 01 00", "DISCONNECT 0x82", ""),
    ("SUBSCRIBE without a filter", "82 03 0001 00", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("UNSUBSCRIBE without a filter", "a2 03 0001 00", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("QoS 3", "82 07 0001 00 0001 61 03", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("Retain Handling 3", "82 07 0001 00 0001 61 30", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("SUBSCRIBE 0", "82 07 0000 00 0001 61 00", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("PUBACK 0", "40 02 0000", "DISCONNECT 0x82", "DISCONNECT 0x82"),
    ("neither topic nor alias", "30 03 0000 00", "DISCONNECT 0x82", "DISCONNECT 0x81"),
    ("an empty Response Topic", "30 07 0001 61 03 08 0000", "DISCONNECT 0x82", "DISCONNECT 0x82"),
];

/// The same of CONNECT.
const REFUSALS: [(&str, &str, &str, &str); 4] = [
    (
        "a misplaced property",
        "10 11 0004 4d515454 05 02 000a 03 13003c 0001 70",
        "CONNACK 0x81",
        "CONNACK 0x82",
    ),
    ("a client identifier", "10 0e 0004 4d515454 05 02 000a 00 0001 ff", "CONNACK 0x81", "CONNACK 0x85"),
    ("a user name", "10 11 0004 4d515454 05 82 000a 00 0001 70 0001 ff", "CONNACK 0x81", ""),
    ("a will of QoS 3", "10 14 0004 4d515454 05 1e 000a 00 0001 70 00 0001 77 0000", "CONNACK 0x81", ""),
];

#[test]
fn errors_are_answered_as_the_specification_has_it_or_as_mosquitto_does() {
    for (is_open, cases) in [(true, &ERRORS[..]), (false, &REFUSALS[..])] {
        for (what, sent, specification, by_mosquitto) in cases {
            for (settings, answer) in [(Settings::default(), specification), (mosquitto(), by_mosquitto)] {
                let whose = settings.answers;
                let mut server = if is_open { open_server(settings) } else { server(settings) };
                let wanted = if answer.is_empty() { &NONE[..] } else { &[*answer] };
                assert_eq!(described(&server.hear(NOW, &bytes(sent))), wanted, "{what}: {whose:?}");
                assert!(server.closed.is_some(), "{what}: {whose:?}");
            }
        }
    }
}

#[test]
fn identifiers_that_nobody_knows_are_told_or_passed_over() {
    for (settings, code) in [(Settings::default(), "0x92"), (mosquitto(), "0x00")] {
        let mut server = open_server(settings);
        let written = server.hear(NOW, &bytes("62 02 0009  50 02 0008"));
        assert_eq!(described(&written), [format!("PUBCOMP 9 {code}"), format!("PUBREL 8 {code}")]);
        assert!(server.closed.is_none());
    }
}

/// What a client hears whose publication had this result.
fn publish(settings: Settings, sent: &str, result: Result<bool, Reason>) -> Vec<String> {
    let mut server = open_server(settings);
    let sent = bytes(sent);
    let Step::Command(Command::Publish(publish)) =
        server.connection.step(NOW, &mut &sent[..], &mut server.out)
    else {
        panic!("a publication")
    };
    let (receipt, class) = (publish.receipt, publish.header.class);
    server.connection.handle_outcome(NOW, Outcome::Published { receipt, class, result }, &mut server.out);
    described(&server.out.drain())
}

#[test]
fn a_publication_without_subscribers_or_to_no_topic_is_answered_as_was_set() {
    let (once, exactly) = ("32 06 0001 61 0005 00", "34 06 0001 61 0005 00");
    for (sent, result, specification, by_mosquitto) in [
        (once, Ok(true), "PUBACK 5 0x00", "PUBACK 5 0x00"),
        (once, Ok(false), "PUBACK 5 0x10", "PUBACK 5 0x10"),
        (exactly, Ok(false), "PUBREC 5 0x10", "PUBREC 5 0x00"),
        (exactly, Err(Reason::TopicInvalid), "PUBREC 5 0x90", "PUBREC 5 0x87"),
        (exactly, Err(Reason::QuotaExceeded), "PUBREC 5 0x97", "PUBREC 5 0x97"),
    ] {
        assert_eq!(publish(Settings::default(), sent, result), [specification]);
        assert_eq!(publish(mosquitto(), sent, result), [by_mosquitto]);
    }
}

//= mqtt-5.0 [MQTT-4.3.3-10]
#[test]
fn who_repeats_a_publication_for_ever_is_answered_or_ended() {
    let thrice = "34 06 0001 61 0005 00".repeat(3);
    let mut server = open_server(Settings::default());
    assert_eq!(described(&server.hear(NOW, &bytes(&thrice))), ["PUBREC 5 0x00"; 3]);
    assert!(server.closed.is_none());
    let mut server = open_server(mosquitto());
    let answers = ["PUBREC 5 0x00", "PUBREC 5 0x00", "DISCONNECT 0x82"];
    assert_eq!(described(&server.hear(NOW, &bytes(&thrice))), answers);
    assert!(server.closed.is_some());
}
