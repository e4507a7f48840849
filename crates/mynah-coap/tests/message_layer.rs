//! Exact datagrams: what the message layer answers (RFC 7252, section 4).

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::framing::{Transport, next_datagram};
use mynah_coap::wire::{Code, Kind, Message, MessageId, OptionNumber};
use mynah_model::{Instant, Reason};

use crate::broker::Server;

/// The bytes that hexadecimal digits spell; spaces are between fields.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What has been written, datagram by datagram.
pub(crate) fn written(server: &mut Server) -> Vec<String> {
    let bytes = server.out.drain();
    let mut input = &bytes[..];
    let mut all = Vec::new();
    while let Some(datagram) = next_datagram(&mut input) {
        all.push(shown(datagram));
    }
    assert!(input.is_empty());
    all
}

/// What is answered to a datagram.
pub(crate) fn tell(server: &mut Server, now: Instant, datagram: &str) -> Vec<String> {
    let bytes = hex(datagram);
    server.hear(now, &[&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat());
    written(server)
}

pub(crate) const fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// GET /t/a, confirmable, with message number 0x1234 and token 0x77.
pub(crate) const GET_A: &str = "41 01 1234 77 b174 0161";
/// PUT /t/a with the payload `1`.
pub(crate) const PUT_A: &str = "41 03 2345 77 b174 0161 ff31";

//= rfc7252 [4.2-5] [5.2.1-1] [5.3.1-1]
#[test]
fn an_answer_is_in_the_acknowledgement() {
    let mut server = Server::trusting();
    assert_eq!(tell(&mut server, at(0), GET_A)[0][..10], *"6184123477");
    assert_eq!(tell(&mut server, at(0), PUT_A), ["6141234577"]);
    // ETag of the first value, and no Content-Format as none was said.
    assert_eq!(
        tell(&mut server, at(0), "40 01 0001 b174 0161"),
        ["604500014800000000000000 01ff31".replace(' ', "")]
    );
    assert_eq!(server.opens, 1);
}

//= rfc7252 [5.2.3-1] [4.3-1] [4.5-3]
#[test]
fn an_unconfirmable_request_has_an_unconfirmable_answer() {
    let mut server = Server::trusting();
    let answers = tell(&mut server, at(0), "51 02 1234 77 b174 0161 ff31");
    let bytes = hex(&answers[0]);
    let message = Message::decode(&bytes, 8).unwrap();
    assert_eq!(
        (message.kind, message.body.code, message.body.token),
        (Kind::NonConfirmable, Code::CHANGED, &[0x77][..])
    );
    assert_eq!(server.published.len(), 1);
    // The same again is neither carried out nor answered.
    assert_eq!(tell(&mut server, at(1), "51 02 1234 77 b174 0161 ff31"), [""; 0]);
    assert_eq!(server.published.len(), 1);
    // After NON_LIFETIME the number is free.
    assert_eq!(tell(&mut server, at(145_000), "51 02 1234 77 b174 0161 ff31").len(), 1);
    assert_eq!(server.published.len(), 2);
}

//= rfc7252 [4.5-1] [4.5-2]
#[test]
fn a_request_that_comes_again_is_answered_again_and_not_carried_out() {
    let mut server = Server::trusting();
    let first = tell(&mut server, at(0), PUT_A);
    for millis in [1, 3_000, 246_999] {
        assert_eq!(tell(&mut server, at(millis), PUT_A), first, "{millis}");
    }
    assert_eq!(server.published.len(), 1);
    assert_eq!(server.protocol.counts().duplicates.get(), 3);
    // After EXCHANGE_LIFETIME it is another request.
    tell(&mut server, at(247_000), PUT_A);
    assert_eq!(server.published.len(), 2);
}

//= rfc7252 [5.2.2-1] [5.2.2-2] [5.2.2-3]
#[test]
fn an_answer_that_takes_long_comes_by_itself() {
    let mut server = Server::trusting();
    server.holds = true;
    let post = "41 02 1234 77 b174 0161 ff31";
    assert_eq!(tell(&mut server, at(0), post), [""; 0]);
    assert_eq!(tell(&mut server, at(500), post), [""; 0]);
    server.timeout(at(1_000));
    assert_eq!(written(&mut server), ["60001234"]);
    assert_eq!(tell(&mut server, at(1_500), post), ["60001234"]);
    server.release(at(5_000));
    let answers = written(&mut server);
    let bytes = hex(&answers[0]);
    let message = Message::decode(&bytes, 8).unwrap();
    assert_eq!(
        (message.kind, message.body.code, message.body.token),
        (Kind::Confirmable, Code::CHANGED, &[0x77][..])
    );
    // It is sent again until it is acknowledged.
    let due = server.connection.deadline().unwrap();
    assert!((at(7_000)..=at(8_000)).contains(&due));
    server.timeout(due);
    assert_eq!(written(&mut server), answers);
    let MessageId(id) = message.id;
    assert_eq!(tell(&mut server, due, &format!("6000{id:04x}")), [""; 0]);
    server.timeout(due + Duration::from_secs(60));
    assert_eq!(written(&mut server), [""; 0]);
}

//= rfc7252 [4.2-6] [4.2-7] [4.2-8] [4.3-2] [5.3.2-1]
//= coap-plugtests [TD_COAP_CORE_31]
#[test]
fn what_has_no_meaning_is_rejected_or_passed_over() {
    let mut server = Server::trusting();
    for (datagram, answer) in [
        ("40 00 1234", Some("70001234")), // a ping
        ("40 45 1234", Some("70001234")), // an answer to nothing
        ("41 45 1234 77", Some("70001234")),
        ("50 45 1234", None),
        ("60 00 1234", None),
        ("70 00 1234", None),
        ("60 45 1234", None),
        ("60 01 1234", None), // a request in an acknowledgement
        ("70 01 1234", None),
        ("40 21 1234", Some("70001234")), // a code of a reserved class
        ("50 21 1234", None),
        ("40 01 1234 f0", Some("70001234")), // no option
        ("50 01 1234 f0", None),
        ("60 01 1234 f0", None),
        ("80 01 1234", None), // another version
    ] {
        assert_eq!(tell(&mut server, at(0), datagram), answer.into_iter().collect::<Vec<_>>(), "{datagram}");
    }
    assert_eq!(server.opens, 0);
    assert_eq!(server.protocol.counts().malformed.get(), 6);
}

#[test]
fn a_stranger_who_says_nothing_of_worth_is_forgotten() {
    let mut server = Server::trusting();
    tell(&mut server, at(0), "40 00 1234");
    let due = server.connection.deadline().unwrap();
    assert!(due <= at(10_000));
    server.timeout(due);
    assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
}

#[test]
fn an_association_that_is_silent_ends_when_its_exchanges_are_over() {
    let mut server = Server::trusting();
    tell(&mut server, at(0), PUT_A);
    let due = server.connection.deadline().unwrap();
    assert_eq!(due, at(300_000));
    server.timeout(due);
    assert!(server.closed.is_some());
    assert_eq!(server.connection.deadline(), None);
}

#[test]
fn who_is_not_let_in_is_told_once() {
    for (reason, code) in [
        (Reason::BadCredentials, Code::UNAUTHORIZED),
        (Reason::NotAuthorized, Code::FORBIDDEN),
        (Reason::ServerBusy, Code::SERVICE_UNAVAILABLE),
    ] {
        let mut server = Server::trusting();
        server.refuse_open = Some(reason);
        let answers = tell(&mut server, at(0), GET_A);
        let bytes = hex(&answers[0]);
        assert_eq!(Message::decode(&bytes, 8).unwrap().body.code, code);
        assert_eq!(server.closed.unwrap().reason, reason);
    }
}

#[test]
fn numbers_of_our_own_messages_begin_anywhere_and_do_not_repeat() {
    let mut server = Server::trusting();
    let mut ids = Vec::new();
    for number in 0..100_u16 {
        let answers = tell(&mut server, at(0), &format!("50 01 {number:04x} b174 0161"));
        let bytes = hex(&answers[0]);
        ids.push(Message::decode(&bytes, 8).unwrap().id.0);
    }
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    let mut other =
        Server::new(CoapConfig { amplification_max: 0, ..CoapConfig::default() }, Transport::Datagram);
    other.connection = mynah_stack::Protocol::accept(&server.protocol, at(0));
    let answers = tell(&mut other, at(0), "50 01 0001 b174 0161");
    let bytes = hex(&answers[0]);
    assert!(!ids.contains(&Message::decode(&bytes, 8).unwrap().id.0));
}

#[test]
fn too_many_requests_at_a_time_are_refused_with_a_time_to_wait() {
    let mut server = Server::trusting();
    server.holds = true;
    for number in 0..16_u16 {
        assert_eq!(tell(&mut server, at(0), &format!("41 02 {number:04x} 77 b174 0161")), [""; 0]);
    }
    let answers = tell(&mut server, at(0), "41 02 0100 77 b174 0161");
    let bytes = hex(&answers[0]);
    let message = Message::decode(&bytes, 8).unwrap();
    assert_eq!(message.body.code, Code::TOO_MANY_REQUESTS);
    assert_eq!(message.body.options.first(OptionNumber::MAX_AGE), Some(&[5][..]));
    server.release(at(100));
    assert_eq!(written(&mut server).len(), 16);
    assert_eq!(server.published.len(), 16);
}
