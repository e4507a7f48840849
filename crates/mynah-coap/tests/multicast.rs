//! Requests that came to a group of hosts (RFC 7252, section 8).

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::wire::{Code, Kind, Message, OptionNumber};
use mynah_model::{Instant, Reason};

use crate::broker::Server;
use crate::message_layer::{at, hex, tell, written};

/// Non-confirmable GET of `/.well-known/core?rt=core.rd` with the token 0x77; the message number is `xxxx`.
const WHERE_IS_THE_DIRECTORY: &str =
    "51 01 xxxx 77 bb2e77656c6c2d6b6e6f776e 04636f7265 4a 72743d636f72652e7264";
/// The same of everything.
const WHAT_IS_THERE: &str = "51 01 xxxx 77 bb2e77656c6c2d6b6e6f776e 04636f7265";

fn tell_group(server: &mut Server, now: Instant, datagram: &str) {
    let bytes = hex(datagram);
    server.hear(now, &[&(bytes.len() as u16 | 0x8000).to_be_bytes(), &bytes[..]].concat());
    assert_eq!(written(server), [""; 0], "nothing is answered at once");
}

/// What is answered within the leisure of 5 s, and when.
fn answered(server: &mut Server, from: Instant) -> Option<(Duration, Vec<u8>)> {
    (0..=50).find_map(|step| {
        let after = Duration::from_millis(step * 100);
        server.timeout(from + after);
        let all = written(server);
        assert!(all.len() <= 1);
        all.first().map(|datagram| (after, hex(datagram)))
    })
}

//= rfc7252 [8.2-2]
#[test]
fn discovery_is_answered_after_a_while_that_chance_chooses() {
    let mut waits = Vec::new();
    let mut server = Server::with_directory(8);
    for number in 0..20 {
        let now = at(number * 10_000);
        tell_group(&mut server, now, &WHERE_IS_THE_DIRECTORY.replace("xxxx", &format!("{number:04x}")));
        let (after, datagram) = answered(&mut server, now).unwrap();
        let message = Message::decode(&datagram, 8).unwrap();
        assert_eq!((message.kind, message.body.code), (Kind::NonConfirmable, Code::CONTENT));
        assert_eq!(
            (message.body.token, message.body.payload),
            (&[0x77][..], &b"</rd>;rt=\"core.rd\";ct=40"[..])
        );
        waits.push(after);
    }
    waits.sort();
    assert!(waits[0] < Duration::from_secs(2) && waits[19] > Duration::from_secs(3), "{waits:?}");
    assert_eq!(server.opens, 1);
}

#[test]
fn a_request_that_comes_twice_is_answered_once() {
    let mut server = Server::with_directory(8);
    let request = WHERE_IS_THE_DIRECTORY.replace("xxxx", "1234");
    tell_group(&mut server, at(0), &request);
    tell_group(&mut server, at(1), &request);
    assert!(answered(&mut server, at(1)).is_some());
    assert_eq!(answered(&mut server, at(5_001)), None);
}

/// The whole list is more than a stranger gets; a block of it is not (section 11.3).
#[test]
fn a_stranger_gets_a_small_block_and_goes_on_by_itself() {
    let mut server = Server::with_directory_and(8, CoapConfig::default());
    tell_group(&mut server, at(0), &WHAT_IS_THERE.replace("xxxx", "1234"));
    let (_, datagram) = answered(&mut server, at(0)).unwrap();
    assert!(datagram.len() <= CoapConfig::UNVERIFIED_BYTES, "{}", datagram.len());
    let message = Message::decode(&datagram, 8).unwrap();
    // Number 0, more, of 32 or 64 bytes.
    let block = message.body.options.first(OptionNumber::BLOCK2).unwrap();
    assert!(matches!(block, [0x09 | 0x0a]), "{block:x?}");
    let next = format!("{:02x}", block[0] | 0x10);
    let more =
        tell(&mut server, at(9_000), &format!("41 01 1235 78 bb2e77656c6c2d6b6e6f776e 04636f7265 c1{next}"));
    let more = hex(&more[0]);
    assert_eq!(Message::decode(&more, 8).unwrap().body.code, Code::CONTENT);
}

//= rfc7252 [8.1-1] [8.2-1]
#[test]
fn everything_else_is_passed_over() {
    for (why, datagram) in [
        ("it wants an acknowledgement", "41 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265"),
        ("a ping", "40 00 1234"),
        ("a value", "51 01 1234 77 b174 0161"),
        ("a publication", "51 03 1234 77 b174 0161 ff31"),
        ("nothing is selected", "51 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265 44 72743d78"),
        ("a format that there is not", "51 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265 613c"),
        ("a critical option that nobody knows", "51 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265 d101 01"),
        ("no answer is wanted", "51 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265 d1ea 02"),
        ("a block after the first", "51 01 1234 77 bb2e77656c6c2d6b6e6f776e 04636f7265 c1 10"),
        ("no message", "ff"),
        ("too short a token", "58 01 1234 77"),
    ] {
        let mut server = Server::with_directory(8);
        tell_group(&mut server, at(0), datagram);
        assert_eq!(answered(&mut server, at(0)), None, "{why}");
        assert!(server.published.is_empty());
    }
}

#[test]
fn who_is_not_let_in_is_not_answered() {
    let mut server = Server::with_directory(8);
    server.refuse_open = Some(Reason::NotAuthorized);
    tell_group(&mut server, at(0), &WHERE_IS_THE_DIRECTORY.replace("xxxx", "1234"));
    assert_eq!(answered(&mut server, at(0)), None);
}

/// Who asks without end has a few answers coming.
#[test]
fn what_waits_for_one_peer_is_bounded() {
    let mut server = Server::with_directory(8);
    for number in 0..100 {
        tell_group(&mut server, at(0), &WHERE_IS_THE_DIRECTORY.replace("xxxx", &format!("{number:04x}")));
    }
    server.timeout(at(5_000));
    assert_eq!(written(&mut server).len(), 4);
}
