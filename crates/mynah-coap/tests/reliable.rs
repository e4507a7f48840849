//! Over TCP and WebSocket: signals, framing, large messages, and a client over links that split and delay (RFC 8323).

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::client::{Client, Event, Request, RequestId, Response};
use mynah_coap::framing::{Transport, next_message, next_web_socket};
use mynah_coap::wire::{Block, Body, Code, OptionNumber};
use mynah_model::{Class, Instant, Reason};
use mynah_stack::testing::{Endpoint, Link, Pair, Sequence};

use crate::broker::Server;
use crate::journeys::{on, put};
use crate::message_layer::{hex, shown};

/// Our capabilities: 64 KiB, blocks, tokens of 32 bytes.
const OWN_CSM: &str = "70e123010000202120";

fn server() -> Server {
    Server::new(CoapConfig::default(), Transport::Stream)
}

/// What is answered to bytes of a stream, in one piece.
fn tell(server: &mut Server, bytes: &str) -> String {
    server.hear(Instant::ZERO, &hex(bytes));
    shown(&server.out.drain())
}

/// A server that has heard an empty CSM.
fn greeted() -> Server {
    let mut server = server();
    assert_eq!(tell(&mut server, "00e1"), OWN_CSM);
    server
}

//= rfc8323 [3.3-1] [3.3-2] [3.4-1] [5.3-2]
#[test]
fn capabilities_come_first() {
    greeted();
    for first in ["0001", "0000", "00e2", "0045"] {
        let mut server = server();
        let answer = tell(&mut server, first);
        assert!(answer.starts_with(OWN_CSM) && answer[OWN_CSM.len()..].contains("e5ff"), "{first} {answer}");
        assert_eq!(server.closed.unwrap().reason, Reason::ProtocolViolation);
    }
    let mut server = greeted();
    assert_eq!(tell(&mut server, "0000 0000 2000b174"), "");
    assert_eq!(server.opens, 0);
}

//= rfc8323 [5.4-1] [5.4-2] [5.2-1] [5.6-1]
#[test]
fn pings_are_answered_and_unknown_critical_options_are_the_end() {
    let mut server = greeted();
    assert_eq!(tell(&mut server, "01e2 42"), "01e342");
    assert_eq!(tell(&mut server, "11e2 42 20"), "11e34220");
    assert_eq!(tell(&mut server, "31e2 42 c0 c0 40"), "01e342");
    assert_eq!(tell(&mut server, "01e3 42"), "");
    assert_eq!(tell(&mut server, "00ff"), "");
    let answer = tell(&mut server, "11e2 42 10");
    assert!(answer.contains("e5ff"), "{answer}");
    assert!(server.closed.is_some());
    let mut server = greeted();
    assert_eq!(tell(&mut server, "10e1 10"), "20e52101");
    assert!(server.closed.is_some());
}

//= rfc8323 [5.5-1] [5.6-2]
#[test]
fn leave_is_taken_both_ways() {
    for signal in ["00e4", "00e5"] {
        let mut server = greeted();
        assert_eq!(tell(&mut server, signal), "");
        assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
    }
    let mut server = greeted();
    server.connection.handle_shutdown(Instant::ZERO, &mut server.out);
    server.run(Instant::ZERO);
    assert_eq!(shown(&server.out.drain()), "00e4");
}

#[test]
fn bytes_that_are_no_message_are_the_end() {
    for bytes in ["0f01", "0021", "00c1", "10 01 ff", "10 01 f0", "f001 ffffffff", "e0 ffff 01", "0d01 ff"] {
        let mut server = greeted();
        let answer = tell(&mut server, bytes);
        assert!(answer.contains("e5ff"), "{bytes}: {answer}");
        assert_eq!(server.closed.unwrap().reason, Reason::ProtocolViolation, "{bytes}");
        assert_eq!(server.protocol.counts().malformed.get(), 1);
    }
}

//= rfc8323 [3.3-3] [4.2-1]
#[test]
fn requests_are_answered_with_their_tokens_in_any_order() {
    let mut server = greeted();
    assert_eq!(tell(&mut server, "62 03 aabb b174 0161 ff31"), "0241aabb");
    server.holds = true;
    assert_eq!(tell(&mut server, "62 02 0001 b174 0161 ff31  41 01 02 b174 0161"), "");
    server.release(Instant::ZERO);
    assert!(shown(&server.out.drain()).starts_with("02440001"));
    // A request may come in any pieces.
    let mut server = greeted();
    for piece in ["6", "2", "0", "3", "aabb", "b174", "0161", "ff"].concat().as_bytes().chunks(2) {
        assert_eq!(tell(&mut server, std::str::from_utf8(piece).unwrap()), "");
    }
    assert_eq!(tell(&mut server, "31"), "0241aabb");

    let mut server = Server::new(CoapConfig::default(), Transport::WebSocket);
    assert_eq!(tell(&mut server, "00000002 00e1"), format!("0000000900{}", &OWN_CSM[2..]));
    assert_eq!(tell(&mut server, "0000000a 02 03 aabb b174 0161 ff31"), "000000040241aabb");
    let answer = tell(&mut server, "00000003 10 01 00");
    assert!(answer.contains("e5ff") && server.closed.is_some());
}

fn read(transport: Transport, bytes: &[u8]) -> (Code, Vec<u8>, Option<Block>) {
    let mut input = bytes;
    let body: Body<'_> = match transport {
        Transport::Stream => next_message(&mut input, 1 << 20, 8),
        _ => next_web_socket(&mut input, 1 << 20, 8),
    }
    .unwrap()
    .unwrap();
    assert!(input.is_empty());
    let block = body.options.first(OptionNumber::BLOCK2).and_then(Block::decode);
    (body.code, body.payload.to_vec(), block)
}

//= rfc8323 [6-1] [5.3.1-1]
#[test]
fn a_large_value_is_one_message_if_the_peer_takes_it_and_blocks_if_not() {
    let body: Vec<u8> = (0..5_000).map(|n| (n % 251) as u8).collect();
    let value = |csm: &str, get: &str| {
        let mut server = server();
        server.publish(Instant::ZERO, "a", &body, Class::AtMostOnce, true);
        tell(&mut server, csm);
        let answer = hex(&tell(&mut server, get));
        read(Transport::Stream, &answer)
    };
    let get = "40 01 b174 0161";
    // 64 KiB and blocks: whole.
    let (_, payload, block) = value("50 e1 23 010000 20", get);
    assert!(payload == body && block.is_none());
    // 4,096 and blocks: three at once.
    let (_, payload, block) = value("40 e1 22 1000 20", get);
    assert_eq!((payload.len(), block.map(Block::to_uint)), (3_072, Some(0x0f)));
    // What everybody takes: one.
    let (_, payload, block) = value("00 e1", get);
    assert_eq!((payload.len(), block.map(Block::to_uint)), (1_024, Some(0x0e)));
}

/// A program over a link of the harness.
struct Program {
    client: Client,
    events: Vec<Event>,
}

impl Program {
    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.events.push(event);
        }
    }

    fn answer(&self, id: RequestId) -> Option<Response> {
        self.events.iter().find_map(|event| match event {
            Event::Response { request, response } if *request == id => Some(response.clone()),
            _ => None,
        })
    }
}

impl Endpoint for Program {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        self.client.handle_input(now, input);
        self.take_events();
    }

    fn handle_end(&mut self, _now: Instant) {}

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.client.outbound().drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
    }

    fn is_finished(&self) -> bool {
        false
    }
}

impl Endpoint for Server {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        self.hear(now, input);
        *input = &[];
    }

    fn handle_end(&mut self, _now: Instant) {}

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.out.drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.connection.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.timeout(now);
    }

    fn is_finished(&self) -> bool {
        self.closed.is_some()
    }
}

fn ask(pair: &mut Pair<Program, Server>, request: Request) -> Response {
    let now = pair.now();
    let id = pair.a.client.request(now, request);
    pair.run_until(now + Duration::from_secs(20));
    pair.a.answer(id).expect("there is an answer")
}

#[test]
fn a_client_works_over_every_reliable_transport() {
    for (transport, seed) in [(Transport::Stream, 1), (Transport::WebSocket, 2), (Transport::Stream, 3)] {
        let client = Client::new(CoapConfig::default(), transport, [seed, 0]);
        let program = Program { client, events: Vec::new() };
        let mut pair = Pair::new(program, Server::new(CoapConfig::default(), transport), seed);
        let delay = Duration::ZERO..=Duration::from_millis(50);
        pair.to_a = Link::new(Sequence::new(seed)).with_delay(delay.clone()).with_reads(700);
        pair.to_b = Link::new(Sequence::new(seed + 9)).with_delay(delay).with_reads(700);
        let body: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(ask(&mut pair, on(Code::PUT, "a").payload(42, &body)).code, Code::CREATED);
        assert_eq!(pair.b.published[0].payload(), body);
        assert_eq!(ask(&mut pair, on(Code::GET, "a")).payload, body);
        let observed = ask(&mut pair, on(Code::GET, "s").observe().query("mode=stream"));
        assert_eq!(observed.code, Code::CONTENT);
        for number in 0..50_u8 {
            let now = pair.now();
            pair.b.publish(now, "s", &[number], Class::AtLeastOnce, false);
        }
        let now = pair.now();
        pair.run_until(now + Duration::from_secs(60));
        let got: Vec<u8> = pair
            .a
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Notification { response, .. } => response.payload.first().copied(),
                _ => None,
            })
            .collect();
        assert!(got.iter().copied().eq(0..50), "{got:?}");
        assert_eq!(pair.b.settled.len(), 50);
        assert_eq!(ask(&mut pair, put("b", b"x")).code, Code::CREATED);
    }
}

//= rfc8323 [7.4-1]
#[test]
fn a_peer_that_is_silent_is_asked_and_then_given_up() {
    let mut server = greeted();
    tell(&mut server, "51 01 77 60 51 74 01 61");
    assert_eq!(server.subscriptions.len(), 1);
    let due = server.connection.deadline().unwrap();
    server.timeout(due);
    assert_eq!(shown(&server.out.drain()), "00e2");
    let due = server.connection.deadline().unwrap();
    server.timeout(due);
    assert_eq!(server.closed.unwrap().reason, Reason::KeepAliveTimeout);
}

#[test]
fn leave_is_taken_of_a_peer_that_wants_nothing_any_more() {
    let mut server = greeted();
    tell(&mut server, "62 03 aabb b174 0161 ff31");
    let due = server.connection.deadline().unwrap();
    server.timeout(due);
    assert_eq!(shown(&server.out.drain()), "00e4");
    assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
}
