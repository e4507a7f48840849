//! The test descriptions of ETSI's CoAP plugtests, which Californium's checker has as a program: what a server has to do in
//! each, by exact messages. `specs/coap-plugtests.toml` lists them.

use std::time::Duration;

use mynah_coap::client::{Event, Failure};
use mynah_coap::wire::{Block, BlockSize, Code, Kind, OptionNumber, OptionWriter};
use mynah_model::{Class, Instant};

use crate::broker::Server;
use crate::devices::{Said, ask, message, request, said};
use crate::journeys::on;
use crate::network::{Weather, World};

mod blocks;
mod links;
mod observing;

const NOW: Instant = Instant::ZERO;

fn after(millis: u64) -> Instant {
    NOW + Duration::from_millis(millis)
}

/// The options of a path with its query, and those that are given, in the order of their numbers.
fn options(path: &str, more: &[(OptionNumber, u32)]) -> Vec<u8> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut all: Vec<(OptionNumber, Vec<u8>)> = Vec::new();
    all.extend(path.split('/').map(|segment| (OptionNumber::URI_PATH, segment.into())));
    let query = query.split('&').filter(|part| !part.is_empty());
    all.extend(query.map(|part| (OptionNumber::URI_QUERY, part.into())));
    for (number, value) in more {
        let bytes = value.to_be_bytes();
        let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        all.push((*number, bytes[from..].to_vec()));
    }
    all.sort_by_key(|(number, _)| number.0);
    let mut bytes = Vec::new();
    let mut writer = OptionWriter::new(&mut bytes);
    all.iter().for_each(|(number, value)| writer.put(*number, value));
    bytes
}

fn block(number: u32, more: bool, size: usize) -> u32 {
    Block { number, more, size: BlockSize::at_most(size) }.to_uint()
}

/// An acknowledgement, or a reset, of a message.
fn empty(kind: Kind, id: u16) -> Vec<u8> {
    message(kind, id, Code::EMPTY, b"", b"", b"")
}

//= coap-plugtests [TD_COAP_CORE_01] [TD_COAP_CORE_02] [TD_COAP_CORE_03] [TD_COAP_CORE_04]
//= coap-plugtests [TD_COAP_CORE_05] [TD_COAP_CORE_06] [TD_COAP_CORE_07] [TD_COAP_CORE_08]
//= coap-plugtests [TD_COAP_CORE_10] [TD_COAP_CORE_12]
#[test]
fn every_method_is_answered_in_the_kind_and_with_the_token_of_its_request() {
    let mut id = 0;
    for kind in [Kind::Confirmable, Kind::NonConfirmable] {
        for token in [&b""[..], b"\x07", b"12345678"] {
            let mut server = Server::trusting();
            for (method, payload, expected) in [
                (Code::GET, &b""[..], Code::NOT_FOUND),
                (Code::PUT, b"1", Code::CREATED),
                (Code::PUT, b"2", Code::CHANGED),
                (Code::GET, b"", Code::CONTENT),
                (Code::POST, b"3", Code::CHANGED),
                (Code::DELETE, b"", Code::DELETED),
                (Code::GET, b"", Code::NOT_FOUND),
            ] {
                id += 1;
                let format =
                    if payload.is_empty() { vec![] } else { vec![(OptionNumber::CONTENT_FORMAT, 0)] };
                let request = message(kind, id, method, token, &options("t/test", &format), payload);
                let answer = ask(&mut server, NOW, &request);
                assert_eq!((answer.code, &answer.token[..]), (expected, token), "{method}");
                match kind {
                    Kind::Confirmable => assert_eq!((answer.kind, answer.id), (Kind::Acknowledgement, id)),
                    _ => assert_eq!(answer.kind, Kind::NonConfirmable),
                }
                if expected == Code::CONTENT {
                    assert_eq!(
                        (&answer.payload[..], answer.all(OptionNumber::CONTENT_FORMAT)),
                        (&b"2"[..], vec![""])
                    );
                }
            }
        }
    }
}

//= coap-plugtests [TD_COAP_CORE_09] [TD_COAP_CORE_11]
#[test]
fn a_get_that_takes_long_is_acknowledged_and_answered_by_itself() {
    for token in [&b""[..], b"\x01\x02\x03"] {
        let mut server = Server::trusting();
        server.publish(NOW, "separate", b"late", Class::AtMostOnce, true);
        server.holds = true;
        server.hear(NOW, &message(Kind::Confirmable, 7, Code::GET, token, &options("t/separate", &[]), b""));
        server.timeout(after(1_000));
        let acknowledged = said(&mut server);
        assert_eq!(acknowledged.len(), 1);
        assert_eq!(
            (acknowledged[0].kind, acknowledged[0].id, acknowledged[0].code),
            (Kind::Acknowledgement, 7, Code::EMPTY)
        );
        server.release(after(5_000));
        let answered = said(&mut server);
        let Said { kind, code, id, token: with, payload, .. } = &answered[0];
        assert_eq!((answered.len(), *kind, *code, &with[..]), (1, Kind::Confirmable, Code::CONTENT, token));
        assert_eq!(payload, b"late");
        server.hear(after(5_100), &empty(Kind::Acknowledgement, *id));
        server.timeout(after(60_000));
        assert!(said(&mut server).is_empty());
    }
}

//= coap-plugtests [TD_COAP_CORE_17]
#[test]
fn an_unconfirmable_get_that_takes_long_is_not_acknowledged() {
    let mut server = Server::trusting();
    server.publish(NOW, "separate", b"late", Class::AtMostOnce, true);
    server.holds = true;
    server.hear(NOW, &message(Kind::NonConfirmable, 7, Code::GET, b"t", &options("t/separate", &[]), b""));
    server.timeout(after(3_000));
    assert!(said(&mut server).is_empty());
    server.release(after(5_000));
    let answered = said(&mut server);
    assert_eq!((answered[0].kind, answered[0].code), (Kind::NonConfirmable, Code::CONTENT));
    assert_eq!((&answered[0].token[..], &answered[0].payload[..]), (&b"t"[..], &b"late"[..]));
}

//= coap-plugtests [TD_COAP_CORE_13] [TD_COAP_CORE_14] [TD_COAP_CORE_18]
#[test]
fn paths_queries_and_locations_have_several_options() {
    let mut server = Server::with_directory(10);
    server.publish(NOW, "seg1/seg2/seg3", b"deep", Class::AtMostOnce, true);
    let deep = ask(&mut server, NOW, &request(1, Code::GET, "t/seg1/seg2/seg3", None, b""));
    assert_eq!((deep.code, &deep.payload[..]), (Code::CONTENT, &b"deep"[..]));
    let path = ".well-known/core?rt=core.rd&ct=40&href=/rd";
    let found = ask(&mut server, NOW, &request(2, Code::GET, path, None, b""));
    assert!(found.code == Code::CONTENT && found.payload.starts_with(b"</rd>;"), "{found:?}");
    let created = ask(&mut server, NOW, &request(3, Code::POST, "rd?ep=node&lt=600&et=x", Some(40), b"</s>"));
    let location = created.all(OptionNumber::LOCATION_PATH);
    assert_eq!((created.code, location.len(), location[0]), (Code::CREATED, 2, "rd"));
    assert!(location.iter().all(|segment| !segment.contains('/')));
}

/// A gateway loses three of ten, both ways; a try that is lost five times is nobody's fault.
//= coap-plugtests [TD_COAP_CORE_15] [TD_COAP_CORE_16]
#[test]
fn a_get_is_answered_over_a_path_that_loses_messages() {
    let weather = Weather { repeated_percent: 0, ..Weather::FOUL };
    for takes_long in [false, true] {
        let mut answered = 0;
        for seed in 0..40 {
            let mut world = World::new(Server::trusting(), weather, seed);
            world.server.publish(world.now, "a", b"1", Class::AtMostOnce, true);
            world.server.holds = takes_long;
            let asked = world.request(on(Code::GET, "a"));
            world.run_for(Duration::from_secs(10));
            world.server.release(world.now);
            world.run_for(Duration::from_secs(300));
            match world.answer(asked) {
                Some(value) => {
                    assert_eq!((value.code, &value.payload[..]), (Code::CONTENT, &b"1"[..]));
                    answered += 1;
                }
                None => {
                    assert!(world.events.contains(&Event::Failed { request: asked, why: Failure::Timeout }));
                }
            }
        }
        assert!(answered >= 36, "{answered} of 40, {takes_long}");
    }
}

//= coap-plugtests [TD_COAP_CORE_20]
#[test]
fn accept_is_the_format_of_the_answer_or_4_06() {
    let mut server = Server::trusting();
    for (id, topic, format, other) in [(1, "t/text", 0, 41), (5, "t/xml", 41, 0)] {
        assert_eq!(
            ask(&mut server, NOW, &request(id, Code::PUT, topic, Some(format), b"<a/>")).code,
            Code::CREATED
        );
        let get = |id, accept| {
            message(
                Kind::Confirmable,
                id,
                Code::GET,
                b"",
                &options(topic, &[(OptionNumber::ACCEPT, accept)]),
                b"",
            )
        };
        let value = ask(&mut server, NOW, &get(id + 1, format));
        assert_eq!((value.code, value.payload.len()), (Code::CONTENT, 4));
        assert_eq!(ask(&mut server, NOW, &get(id + 2, other)).code, Code::NOT_ACCEPTABLE);
    }
}
