//! Peers that want more of the server than their share, alone and many at once: what each is answered, and what the
//! server keeps of it at most.

use std::time::Duration;

use mynah_coap::framing::Transport;
use mynah_coap::wire::{Block, BlockSize, Code, Kind, Message, OptionNumber};
use mynah_coap::{Coap, CoapConfig};
use mynah_model::{Class, Instant, Reason};

use crate::broker::Server;
use crate::message_layer::{at, hex, shown, tell, written};

/// What is written in a datagram: its kind, code, number and token.
fn parts(datagram: &str) -> (Kind, Code, u16, String) {
    let bytes = hex(datagram);
    let Message { kind, id, body } = Message::decode(&bytes, 32).unwrap();
    (kind, body.code, id.0, shown(body.token))
}

/// The codes of the answers in these datagrams.
fn codes(datagrams: &[String]) -> Vec<Code> {
    datagrams.iter().map(|datagram| parts(datagram).1).collect()
}

/// Many peers of one server, which trusts their addresses.
fn peers(count: usize, config: CoapConfig) -> (Coap, Vec<Server>) {
    let protocol = Coap::new(config, Transport::Datagram, [7, 9]).unwrap();
    let servers = (0..count).map(|_| Server::of(protocol.clone())).collect();
    (protocol, servers)
}

fn trusting() -> CoapConfig {
    CoapConfig { amplification_max: 0, ..CoapConfig::default() }
}

/// Lets time pass until nothing is to be done any more, or the association is over.
fn wear_out(server: &mut Server, mut now: Instant) -> Instant {
    for _ in 0..5_000 {
        let Some(due) = server.connection.deadline().filter(|_| server.closed.is_none()) else { break };
        now = now.max(due);
        server.timeout(now);
        written(server);
    }
    assert!(server.closed.is_some(), "it never ends");
    now
}

/// A PUT to `/t/a` of a block.
fn block1(id: u16, number: u32, more: bool, size: BlockSize, payload: &[u8], tag: &str) -> String {
    let block = Block { number, more, size }.to_uint();
    let request_tag = if tag.is_empty() { String::new() } else { format!("d1 fc {tag}") };
    format!("40 03 {id:04x} b174 0161 d3 03 {block:06x} {request_tag} ff {}", shown(payload))
}

/// Answers that wait for an acknowledgement are requests that are worked on: who acknowledges none of them gets no more.
#[test]
fn answers_that_nobody_acknowledges_are_bounded() {
    let mut server = Server::trusting();
    let mut refused = 0;
    let mut now = Instant::ZERO;
    for round in 0..20_u16 {
        server.holds = true;
        for number in 0..16_u16 {
            let id = round * 16 + number;
            let answers = tell(&mut server, now, &format!("42 02 {id:04x} {id:04x} b174 0161"));
            refused += codes(&answers).iter().filter(|code| **code == Code::TOO_MANY_REQUESTS).count();
        }
        now = now + Duration::from_secs(1);
        server.timeout(now);
        server.release(now);
        written(&mut server);
    }
    // The first is under way and fifteen wait for it; one more is worked on, as what is under way is not counted.
    assert_eq!((refused, server.published.len()), (19 * 16 - 1, 17));
    // Nobody is there: each is given up in its turn, and there is room again.
    now = wear_out(&mut server, now);
    assert_eq!(codes(&tell(&mut server, now, "40 01 7777 b174 0161")), [Code::NOT_FOUND]);
}

/// One message id for several requests: the first counts, whatever the others ask for.
#[test]
fn a_message_id_that_is_used_again_is_the_first_request_again() {
    let first = "41 02 1234 77 b174 0161 ff31";
    for again in [
        "41 02 1234 77 b174 0162 ff32",          // another topic
        "41 03 1234 77 b174 0161 ff32",          // another method
        "41 02 1234 78 b174 0161 ff31",          // another token
        "41 02 1234 77 b174 0161 d1ea1a ff31",   // other options
        "51 02 1234 77 b174 0161 ff31",          // not confirmable
        "41 01 1234 77 60 51 74 01 61",          // an observation
        "40 03 1234 b174 0161 d1 03 08 ff 6162", // a block
    ] {
        let mut server = Server::trusting();
        let answer = tell(&mut server, at(0), first);
        assert_eq!(codes(&answer), [Code::CHANGED]);
        assert_eq!(tell(&mut server, at(1), again), answer, "{again}");
        assert_eq!((server.published.len(), server.subscriptions.len()), (1, 0), "{again}");
    }
    // The other way round: what is not confirmable has no answer that could be given again.
    let mut server = Server::trusting();
    assert_eq!(tell(&mut server, at(0), "51 02 1234 77 b174 0161 ff31").len(), 1);
    assert_eq!(tell(&mut server, at(1), first), [""; 0]);
    assert_eq!(server.published.len(), 1);
}

/// Message ids and tokens are each peer's own: a thousand peers use the same at the same time.
#[test]
fn numbers_of_peers_do_not_meet() {
    let (protocol, mut servers) = peers(1_000, trusting());
    for (number, server) in servers.iter_mut().enumerate() {
        let put = format!("42 03 1234 aabb b174 0161 ff {}", shown(number.to_string().as_bytes()));
        assert_eq!(codes(&tell(server, at(0), &put)), [Code::CREATED]);
        assert_eq!(server.published[0].payload(), number.to_string().as_bytes());
        let observed = tell(server, at(0), "42 01 1235 aabb 60 51 74 01 61");
        assert_eq!(codes(&observed), [Code::CONTENT]);
    }
    assert_eq!(protocol.counts().duplicates.get(), 0);
    // A notification of each has the token, and none is another's.
    for (number, server) in servers.iter_mut().enumerate() {
        server.publish(at(10), "a", number.to_string().as_bytes(), Class::AtMostOnce, false);
        let got = written(server);
        assert_eq!((got.len(), parts(&got[0]).3), (1, "aabb".to_owned()));
        assert!(hex(&got[0]).ends_with(number.to_string().as_bytes()));
    }
}

/// One token for several requests at a time: each is answered with it, in its own acknowledgement.
#[test]
fn a_token_may_be_used_twice_at_a_time() {
    let mut server = Server::trusting();
    server.holds = true;
    for id in 1..=3 {
        assert_eq!(tell(&mut server, at(0), &format!("41 02 {id:04x} 77 b174 0161 ff3{id}")), [""; 0]);
    }
    server.release(at(100));
    let mut got: Vec<_> = written(&mut server).iter().map(|datagram| parts(datagram)).collect();
    got.sort_by_key(|(_, _, id, _)| *id);
    let expected = |id| (Kind::Acknowledgement, Code::CHANGED, id, "77".to_owned());
    assert_eq!(got, [expected(1), expected(2), expected(3)]);
    // No token is a token, too: the observations of one take each other's place.
    for (id, topic) in [(4, "61"), (5, "62"), (6, "63")] {
        let observed = tell(&mut server, at(0), &format!("40 01 {id:04x} 60 51 74 01 {topic}"));
        assert_eq!(codes(&observed), [Code::CONTENT]);
    }
    assert_eq!(server.subscriptions.keys().collect::<Vec<_>>(), [b"c"]);
}

/// The deduplication of one peer has bounds in messages and in bytes; what is forgotten is counted.
#[test]
fn what_is_remembered_of_a_peer_is_bounded() {
    let config = CoapConfig { dedup_messages_max: 8, dedup_bytes_max: 1_280, ..trusting() };
    let mut server = Server::new(config, Transport::Datagram);
    server.publish(at(0), "a", &[7; 500], Class::AtMostOnce, true);
    for id in 0..1_000_u16 {
        assert_eq!(codes(&tell(&mut server, at(0), &format!("40 01 {id:04x} b174 0161"))), [Code::CONTENT]);
    }
    // Of the last eight, the latest two answers fit.
    assert!(server.protocol.counts().forgotten_answers.get() >= 998);
    for id in 992..1_000_u16 {
        let again = tell(&mut server, at(0), &format!("40 01 {id:04x} b174 0161"));
        assert_eq!(again.len(), usize::from(id >= 998), "{id}");
    }
    // What was forgotten is carried out again.
    assert_eq!(codes(&tell(&mut server, at(0), "40 02 0000 b174 0161")), [Code::CHANGED]);
}

/// Ten thousand observations of one peer: what is above the bound is answered without Observe, and does not grow.
#[test]
fn one_peer_observes_as_much_as_it_may() {
    let mut server = Server::trusting();
    let mut observed = 0;
    for number in 0..10_000_u16 {
        let topic = shown(format!("{number:04}").as_bytes());
        let get = format!("42 01 {number:04x} {number:04x} 60 51 74 04 {topic}");
        let answer = tell(&mut server, at(u64::from(number)), &get);
        let bytes = hex(&answer[0]);
        let body = Message::decode(&bytes, 8).unwrap().body;
        match body.options.first(OptionNumber::OBSERVE) {
            Some(_) => observed += 1,
            None => assert_eq!(body.code, Code::NOT_FOUND),
        }
    }
    assert_eq!((observed, server.subscriptions.len()), (64, 64));
    // So are selections, which have no answer without Observe.
    let filters = |id: u16| {
        format!("42 05 {id:04x} {id:04x} 60 51 74 61 3c ff a167 66696c74657273 81 65 74 {id:04x} 2f23")
    };
    let mut refused = 0;
    for id in 10_000..10_100_u16 {
        let id = id | 0x0101;
        let answer = tell(&mut server, at(20_000), &filters(id));
        refused += codes(&answer).iter().filter(|code| **code == Code::TOO_MANY_REQUESTS).count();
    }
    assert!(refused > 0 && server.subscriptions.len() == 64, "{refused}");
}

/// A thousand observers vanish: each is given up after its tries, and nothing of it stays.
#[test]
fn observers_that_vanish_are_forgotten() {
    let (protocol, mut servers) = peers(1_000, trusting());
    let mut sent = 0;
    for server in &mut servers {
        tell(server, at(0), "41 01 0001 77 60 51 74 01 61");
        for payload in 0..20_u8 {
            server.publish(at(1), "a", &[payload], Class::AtLeastOnce, false);
            sent += written(server).len();
        }
    }
    // Whoever acknowledges nothing gets one at a time.
    assert_eq!(sent, 1_000);
    for server in &mut servers {
        let mut again = 0;
        while !server.subscriptions.is_empty() {
            let due = server.connection.deadline().unwrap();
            assert!(due <= at(100_000));
            server.timeout(due);
            again += written(server).len();
        }
        assert_eq!(again, 4);
        wear_out(server, at(100_000));
        assert_eq!(server.closed.unwrap().reason, Reason::Disconnected);
    }
    assert_eq!(protocol.counts().observers_lost.get(), 1_000);
}

/// Resets without end: those that fit end one observation, the others mean nothing, and none is answered.
#[test]
fn a_storm_of_resets_ends_what_they_name_and_nothing_else() {
    let mut server = Server::trusting();
    for (id, topic) in [(1, "61"), (2, "62"), (3, "63")] {
        tell(&mut server, at(0), &format!("41 01 {id:04x} {id:02x} 60 51 74 01 {topic}"));
    }
    server.publish(at(1), "b", b"x", Class::AtMostOnce, false);
    let (_, _, id, _) = parts(&written(&mut server)[0]);
    for number in (0..=u16::MAX).filter(|number| *number != id) {
        assert_eq!(tell(&mut server, at(2), &format!("7000 {number:04x}")), [""; 0]);
    }
    assert_eq!(server.subscriptions.len(), 3);
    assert_eq!(tell(&mut server, at(2), &format!("7000 {id:04x}")), [""; 0]);
    assert_eq!(server.subscriptions.keys().collect::<Vec<_>>(), [b"a", b"c"]);
    // Acknowledgements of nothing are passed over as well.
    for number in 0..1_000_u16 {
        assert_eq!(tell(&mut server, at(3), &format!("6000 {number:04x}")), [""; 0]);
    }
    assert_eq!(server.subscriptions.len(), 2);
}

/// Observe registers and ends in turn without end: no subscription is left behind.
#[test]
fn observing_on_and_off_leaves_nothing() {
    let mut server = Server::trusting();
    for round in 0..2_000_u16 {
        let (on, off) = (2 * round, 2 * round + 1);
        assert_eq!(tell(&mut server, at(0), &format!("41 01 {on:04x} 77 60 51 74 01 61")).len(), 1);
        assert_eq!(server.subscriptions.len(), 1);
        assert_eq!(tell(&mut server, at(0), &format!("41 01 {off:04x} 77 61 01 51 74 01 61")).len(), 1);
        assert_eq!(server.subscriptions.len(), 0);
    }
}

/// A body is begun by as many peers as there are, and none goes on: the budget of all holds, and comes back.
#[test]
fn bodies_that_are_begun_and_left_share_one_budget() {
    let config = CoapConfig { uploads_bytes_max: 1 << 20, ..trusting() };
    let (protocol, mut servers) = peers(1_000, config);
    let kilobyte = BlockSize::at_most(1_024);
    let mut taken = 0;
    for server in &mut servers {
        for (id, tag) in [(1, "01"), (2, "02")] {
            let answer = codes(&tell(server, at(0), &block1(id, 0, true, kilobyte, &[1; 1_024], tag)));
            match answer[0] {
                Code::CONTINUE => taken += 1,
                code => assert_eq!(code, Code::SERVICE_UNAVAILABLE),
            }
        }
        // A third at a time is more than one peer may begin.
        let third = tell(server, at(0), &block1(3, 0, true, kilobyte, &[1; 1_024], "03"));
        assert!(matches!(codes(&third)[0], Code::TOO_MANY_REQUESTS | Code::SERVICE_UNAVAILABLE));
    }
    // 4 KiB each.
    assert_eq!(taken, 256);
    // Who has no room is told, and small requests are served as ever.
    let last = servers.last_mut().unwrap();
    assert_eq!(codes(&tell(last, at(1), "40 03 0009 b174 0161 ff31")), [Code::CREATED]);
    for server in &mut servers {
        server.timeout(at(247_000));
    }
    // What was begun is given up, and what had no room was at once: three of each peer behind the first 128.
    assert_eq!(protocol.counts().uploads_dropped.get(), 256 + 3 * (1_000 - 128));
    let again = tell(&mut servers[0], at(247_001), &block1(9, 0, true, kilobyte, &[1; 1_024], "04"));
    assert_eq!(codes(&again), [Code::CONTINUE]);
    // A peer that goes gives back what it had.
    drop(servers);
    let mut server = Server::of(protocol);
    assert_eq!(
        codes(&tell(&mut server, at(0), &block1(1, 0, true, kilobyte, &[1; 1_024], ""))),
        [Code::CONTINUE]
    );
}

/// A value that is read in blocks stays as it was for each reader, within the budget of all.
#[test]
fn bodies_that_are_read_and_left_share_one_budget() {
    let config = CoapConfig { downloads_bytes_max: 100 << 10, ..trusting() };
    let (protocol, mut servers) = peers(100, config);
    let mut pinned = 0;
    for server in &mut servers {
        server.publish(at(0), "a", &[1; 4_000], Class::AtMostOnce, true);
        assert_eq!(codes(&tell(server, at(0), "40 01 0001 b174 0161 c106")), [Code::CONTENT]);
        server.publish(at(1), "a", &[2; 4_000], Class::AtMostOnce, true);
        let next = hex(&tell(server, at(1), "40 01 0002 b174 0161 c116")[0]);
        pinned += usize::from(next.last() == Some(&1));
    }
    // A body of 4,000 bytes and its topic each; whoever has no room reads what is there now, under another tag.
    assert_eq!((pinned, protocol.counts().downloads_dropped.get()), (25, 75));
    // After a minute without the next block there is room again.
    servers.iter_mut().for_each(|server| server.timeout(at(61_002)));
    let mut server = Server::of(protocol.clone());
    server.publish(at(70_000), "a", &[1; 4_000], Class::AtMostOnce, true);
    tell(&mut server, at(70_000), "40 01 0001 b174 0161 c106");
    assert_eq!(protocol.counts().downloads_dropped.get(), 75);
}

/// A stranger gets nothing kept that it is not given.
#[test]
fn nothing_is_pinned_for_who_is_asked_to_repeat_something() {
    let config = CoapConfig { downloads_bytes_max: 4_001, ..CoapConfig::default() };
    let (protocol, mut servers) = peers(2, config);
    for server in &mut servers {
        server.publish(at(0), "a", &[1; 4_000], Class::AtMostOnce, true);
    }
    assert_eq!(codes(&tell(&mut servers[0], at(0), "40 01 0001 b174 0161")), [Code::UNAUTHORIZED]);
    // Sixteen bytes at a time are not too much for anybody, and the room is there.
    assert_eq!(codes(&tell(&mut servers[1], at(0), "40 01 0001 b174 0161 c100")), [Code::CONTENT]);
    assert_eq!(protocol.counts().downloads_dropped.get(), 0);
}

/// One peer begins to read many bodies: the oldest gives way.
#[test]
fn one_peer_reads_four_bodies_at_a_time() {
    let mut server = Server::trusting();
    for topic in 0..100_u8 {
        server.publish(at(0), &format!("{topic:02}"), &[1; 3_000], Class::AtMostOnce, true);
        let name = shown(format!("{topic:02}").as_bytes());
        let first = format!("40 01 {topic:04x} b174 02{name} c106");
        assert_eq!(codes(&tell(&mut server, at(0), &first)), [Code::CONTENT]);
        server.publish(at(0), &format!("{topic:02}"), &[2; 3_000], Class::AtMostOnce, true);
    }
    let mut kept = 0;
    for topic in 0..100_u8 {
        let name = shown(format!("{topic:02}").as_bytes());
        let next = hex(&tell(&mut server, at(1), &format!("40 01 01{topic:02x} b174 02{name} c116"))[0]);
        kept += usize::from(next.last() == Some(&1));
    }
    assert_eq!(kept, 4);
}

/// Who says nothing, or not what comes first, gets ten seconds and little memory.
#[test]
fn a_connection_without_capabilities_is_short() {
    for (transport, said) in [
        (Transport::Stream, ""),
        (Transport::Stream, "e0"),         // more is to come
        (Transport::Stream, "e0 0300 e1"), // 1,037 bytes of options are to come
        (Transport::WebSocket, ""),
        (Transport::WebSocket, "0000 0400 00"),
    ] {
        let mut server = Server::new(CoapConfig::default(), transport);
        server.hear(at(0), &hex(said));
        server.out.drain();
        assert!(server.closed.is_none(), "{said}");
        // One byte a second of what was begun changes nothing.
        for second in (1..10).filter(|_| !said.is_empty()) {
            server.hear(at(second * 1_000), &[1]);
        }
        let due = server.connection.deadline().unwrap();
        assert_eq!(due, at(10_000), "{said}");
        server.timeout(due);
        assert!(server.closed.is_some(), "{said}");
    }
    // A length that no CSM has is the end at once; behind one it is a message like others.
    for (transport, csm, said) in
        [(Transport::Stream, "00 e1", "e0 0fff"), (Transport::WebSocket, "0000 0002 00 e1", "0000 1000 00")]
    {
        let mut server = Server::new(CoapConfig::default(), transport);
        server.hear(at(0), &hex(&format!("{said} e1")));
        assert_eq!(server.closed.map(|close| close.reason), Some(Reason::ProtocolViolation), "{said}");
        let mut server = Server::new(CoapConfig::default(), transport);
        server.hear(at(0), &hex(csm));
        server.hear(at(1), &hex(&format!("{said} 01")));
        assert!(server.closed.is_none(), "{said}");
    }
}

/// A message whose length never completes ends with the silence of its connection.
#[test]
fn a_message_that_never_completes_is_not_waited_for_without_end() {
    let mut server = Server::new(CoapConfig::default(), Transport::Stream);
    server.hear(at(0), &hex("00 e1  00 01  e0 f000 03 b174 0161 ff"));
    let mut now = at(0);
    while server.closed.is_none() {
        // A byte now and then is nothing whole.
        server.hear(now, &[7]);
        let due = server.connection.deadline().unwrap();
        now = due.min(now + Duration::from_secs(30));
        if now == due {
            server.timeout(now);
        }
        assert!(now <= at(400_000), "it is still there");
    }
    assert_eq!((server.closed.unwrap().reason, server.published.len()), (Reason::Disconnected, 0));
}

/// Frames of Ethernet, which have 60 bytes or more, with IPv4 or IPv6 and UDP around a datagram.
fn frame_bytes(head: usize, datagram: usize) -> usize {
    (14 + head + 8 + datagram).max(60)
}

/// Whatever a stranger says, it is answered with no more than three times the bytes on the wire.
#[test]
fn a_stranger_gets_no_more_than_three_times_what_it_said() {
    let mut challenged = 0;
    for value_bytes in (0..1_200).step_by(9) {
        for pad_bytes in (0..250).step_by(31) {
            let mut server = Server::new(CoapConfig::default(), Transport::Datagram);
            server.publish(at(0), "a", &vec![7; value_bytes], Class::AtMostOnce, true);
            // An elective option that nobody knows, after those of the request: 11 and 0x1000.
            let pad = match pad_bytes {
                0..13 => format!("e{pad_bytes:x} 0ef8 {}", "61".repeat(pad_bytes)),
                _ => format!("ed 0ef8 {:02x} {}", pad_bytes - 13, "61".repeat(pad_bytes)),
            };
            for get in ["40 01 0001 b174 0161", "50 01 0002 b174 0161", "41 01 0003 77 60 51 74 01 61"] {
                let request = format!("{get} {pad}");
                let said = hex(&request).len();
                let answers = tell(&mut server, at(0), &request);
                assert!(answers.len() <= 1);
                for head in [20, 40] {
                    let heard: usize = answers.iter().map(|answer| frame_bytes(head, answer.len() / 2)).sum();
                    let most = 3 * frame_bytes(head, said);
                    assert!(heard <= most, "{heard} for {said}: {value_bytes}");
                }
                challenged += codes(&answers).iter().filter(|code| **code == Code::UNAUTHORIZED).count();
            }
        }
    }
    assert!(challenged > 1_000, "{challenged}");
}

/// A large notification waits for a stranger to show that it is there; a small one goes out, one at a time.
#[test]
fn a_stranger_who_observes_is_asked_before_it_gets_anything_large() {
    let observed = || {
        let mut server = Server::new(CoapConfig::default(), Transport::Datagram);
        tell(&mut server, at(0), "41 01 0001 77 60 51 74 01 61");
        server
    };
    for class in [Class::AtMostOnce, Class::AtLeastOnce] {
        let mut server = observed();
        server.publish(at(1), "a", &[7; 500], class, false);
        let asked = written(&mut server);
        let (kind, code, id, _) = parts(&asked[0]);
        assert_eq!((asked.len(), kind, code), (1, Kind::Confirmable, Code::EMPTY));
        server.publish(at(2), "a", &[8; 600], class, false);
        assert_eq!(written(&mut server), [""; 0]);
        // The reset of the empty message brings the newest.
        let notified = tell(&mut server, at(3), &format!("7000 {id:04x}"));
        assert_eq!(codes(&notified), [Code::CONTENT]);
        assert!(hex(&notified[0]).ends_with(&[8; 600]));
        assert_eq!(server.subscriptions.len(), 1);
    }
    // Who never answers has got five empty messages, and nothing is left of it.
    let mut server = observed();
    server.publish(at(1), "a", &[7; 500], Class::AtLeastOnce, false);
    let mut bytes: usize = written(&mut server).iter().map(|datagram| datagram.len() / 2).sum();
    while server.closed.is_none() {
        server.timeout(server.connection.deadline().unwrap());
        bytes += written(&mut server).iter().map(|datagram| datagram.len() / 2).sum::<usize>();
    }
    assert_eq!(bytes, 5 * 4);
    // What is sent again does not grow behind the stranger's back.
    let mut server = observed();
    server.publish(at(1), "a", b"small", Class::AtLeastOnce, false);
    let first = written(&mut server);
    assert!(hex(&first[0]).ends_with(b"small"));
    server.publish(at(2), "a", &[7; 500], Class::AtLeastOnce, false);
    server.timeout(server.connection.deadline().unwrap());
    assert_eq!(written(&mut server), first);
    let large = tell(&mut server, at(9_000), &format!("6000 {:04x}", parts(&first[0]).2));
    assert!(hex(&large[0]).ends_with(&[7; 500]));
}
