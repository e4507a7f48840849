//! What is malformed, misplaced or hostile: each case of `vectors/coap` with its answer, and nothing else changes.

use std::path::Path;

use mynah_coap::CoapConfig;
use mynah_coap::framing::{Transport, next_message, next_web_socket};
use mynah_coap::wire::{Kind, Message};
use mynah_model::{Class, Instant};
use serde::Deserialize;

use crate::broker::Server;
use crate::message_layer::{hex, tell};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    by: Vec<String>,
    sends: String,
    answers: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors")]
fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/coap").join(file);
    let cases: Cases = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.case.iter().all(|case| !case.by.is_empty()));
    cases.case
}

fn server(transport: Transport) -> Server {
    let mut server = Server::new(CoapConfig { amplification_max: 0, ..CoapConfig::default() }, transport);
    server.publish(Instant::ZERO, "a", b"1", Class::AtMostOnce, true);
    server
}

fn named(datagram: &str) -> String {
    let bytes = hex(datagram);
    let Message { kind, id, body } = Message::decode(&bytes, 32).unwrap();
    match kind {
        Kind::Reset => {
            assert_eq!(id.0, 0x1234);
            "RST".to_owned()
        }
        Kind::Acknowledgement => {
            assert_eq!(id.0, 0x1234);
            body.code.to_string()
        }
        Kind::NonConfirmable => format!("NON {}", body.code),
        Kind::Confirmable => "CON".to_owned(),
    }
}

/// Who sends what is wrong is served as before when it sends what is right.
//= rfc7252 [5.4.1-3] [5.8-1]
//= rfc7959 [2.2-2]
#[test]
fn datagrams_have_their_answers_and_cost_nothing_else() {
    let cases = cases("udp.toml");
    assert!(cases.len() >= 200, "{}", cases.len());
    for Case { name, sends, answers, .. } in cases {
        let mut server = server(Transport::Datagram);
        let got: Vec<_> = tell(&mut server, Instant::ZERO, &sends).iter().map(|d| named(d)).collect();
        assert_eq!(got, answers, "{name}");
        // The same again has the same answer and is not carried out.
        let published = server.published.len();
        let again: Vec<_> = tell(&mut server, Instant::ZERO, &sends).iter().map(|d| named(d)).collect();
        let is_repeated = answers.iter().all(|answer| !answer.starts_with("NON"));
        assert_eq!(again, if is_repeated { answers } else { Vec::new() }, "{name}");
        assert_eq!(server.published.len(), published, "{name}");
        let right = tell(&mut server, Instant::ZERO, "40 01 4321 b174 0161");
        assert_eq!(right[0][..8], *"60454321", "{name}");
        assert!(server.closed.is_none(), "{name}");
    }
}

fn codes(transport: Transport, bytes: &[u8]) -> Vec<String> {
    let mut input = bytes;
    let mut all = Vec::new();
    loop {
        let read = match transport {
            Transport::Stream => next_message(&mut input, 1 << 20, 32),
            _ => next_web_socket(&mut input, 1 << 20, 32),
        };
        match read.unwrap() {
            Some(body) => all.push(body.code.to_string()),
            None => break,
        }
    }
    assert!(input.is_empty());
    all
}

#[test]
fn streams_have_their_answers_however_they_are_cut() {
    for (file, transport, count) in
        [("tcp.toml", Transport::Stream, 40), ("websocket.toml", Transport::WebSocket, 20)]
    {
        let cases = cases(file);
        assert!(cases.len() >= count, "{}", cases.len());
        for Case { name, sends, answers, .. } in cases {
            let bytes = hex(&sends);
            for piece_bytes in [bytes.len(), 1, 3] {
                let mut server = server(transport);
                for piece in bytes.chunks(piece_bytes) {
                    if server.closed.is_none() {
                        server.hear(Instant::ZERO, piece);
                    }
                }
                let mut got = codes(transport, &server.out.drain());
                assert_eq!(got.remove(0), "7.01", "{name}");
                assert_eq!(got, answers, "{name}, cut by {piece_bytes}");
                let is_over = answers.iter().any(|answer| answer == "7.05")
                    || matches!(&name[..], "a release" | "an abort");
                assert_eq!(server.closed.is_some(), is_over, "{name}");
            }
        }
    }
}
