//! Bodies in blocks: `TD_COAP_BLOCK`.

use mynah_coap::wire::{Block, Code, Kind, OptionNumber};
use mynah_model::Class;

use super::{NOW, after, block, options};
use crate::broker::Server;
use crate::devices::{Said, ask, message, registered, request, said};

/// Reads a body block by block as a client does that asks for blocks of this size, or wants the later ones smaller.
fn read_in_blocks(server: &mut Server, id: &mut u16, early: Option<usize>, late: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut wanted = early.map(|size| block(0, false, size));
    loop {
        *id += 1;
        let more: Vec<_> = wanted.iter().map(|wanted| (OptionNumber::BLOCK2, *wanted)).collect();
        let get = message(Kind::Confirmable, *id, Code::GET, b"b", &options("t/large", &more), b"");
        let part = ask(server, NOW, &get);
        let got = part.block(OptionNumber::BLOCK2).expect("it goes in blocks");
        let size = got.size.bytes();
        if let Some(wanted) = wanted.and_then(|wanted| Block::decode(&wanted.to_be_bytes()[1..])) {
            assert_eq!((got.number, size), (wanted.number, wanted.size.bytes()));
        }
        assert_eq!((part.code, got.offset()), (Code::CONTENT, body.len()));
        assert!(if got.more { part.payload.len() == size } else { part.payload.len() <= size });
        body.extend(part.payload);
        if !got.more {
            return body;
        }
        wanted = Some(block((body.len() / late) as u32, false, late));
    }
}

//= coap-plugtests [TD_COAP_BLOCK_01] [TD_COAP_BLOCK_02] [TD_COAP_BLOCK_06]
#[test]
fn large_values_are_read_in_blocks_of_the_size_that_is_asked_for() {
    let body: Vec<u8> = (0..2_345_u32).map(|n| (n % 251) as u8).collect();
    let mut server = Server::trusting();
    server.publish(NOW, "large", &body, Class::AtMostOnce, true);
    let mut id = 0;
    for (early, late) in
        [(Some(64), 64), (Some(1_024), 1_024), (None, 1_024), (None, 64), (Some(512), 128), (Some(16), 16)]
    {
        assert_eq!(read_in_blocks(&mut server, &mut id, early, late), body, "{early:?} {late}");
    }
}

/// Sends a body in blocks of 64 bytes, the last with an option more; the answer to that.
fn send_in_blocks(
    server: &mut Server,
    (method, path): (Code, &str),
    body: &[u8],
    last: &[(OptionNumber, u32)],
) -> Vec<Said> {
    let pieces: Vec<&[u8]> = body.chunks(64).collect();
    let mut answers = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        let sent = block(number as u32, !is_last, 64);
        let mut more = vec![(OptionNumber::CONTENT_FORMAT, 40), (OptionNumber::BLOCK1, sent)];
        more.extend(last.iter().filter(|_| is_last));
        let id = 2_000 + number as u16;
        server.hear(NOW, &message(Kind::Confirmable, id, method, b"up", &options(path, &more), piece));
        answers = said(server);
        let got = answers[0].block(OptionNumber::BLOCK1);
        if !is_last {
            assert_eq!((answers[0].code, got.map(Block::to_uint)), (Code::CONTINUE, Some(sent)));
        }
    }
    answers
}

//= coap-plugtests [TD_COAP_BLOCK_03] [TD_COAP_BLOCK_04]
#[test]
fn large_bodies_are_sent_in_blocks_and_acted_upon_as_one() {
    let mut server = Server::with_directory(10);
    let body = vec![b'x'; 1_000];
    for (expected, count) in [(Code::CREATED, 1), (Code::CHANGED, 2)] {
        let answers = send_in_blocks(&mut server, (Code::PUT, "t/large"), &body, &[]);
        assert_eq!((answers.len(), answers[0].code), (1, expected));
        assert_eq!(answers[0].block(OptionNumber::BLOCK1).map(Block::to_uint), Some(block(15, false, 64)));
        assert_eq!((server.published.len(), server.published[0].payload()), (count, &body[..]));
        server.timeout(after(300_000));
    }
    let links = format!("<{}>;rt=\"x\"", "/y".repeat(200));
    let created = send_in_blocks(&mut server, (Code::POST, "rd?ep=large"), links.as_bytes(), &[]);
    assert_eq!(created[0].code, Code::CREATED);
    assert_eq!(created[0].all(OptionNumber::LOCATION_PATH)[0], "rd");
    assert_eq!(created[0].block(OptionNumber::BLOCK1).map(Block::to_uint), Some(block(6, false, 64)));
    let found = ask(&mut server, NOW, &request(9, Code::GET, "rd-lookup/res?ep=large", None, b""));
    assert!(String::from_utf8(found.payload).unwrap().contains(&"/y".repeat(200)));
}

/// What is posted is large, and so is the answer of who was asked.
//= coap-plugtests [TD_COAP_BLOCK_05]
#[test]
fn a_large_post_has_a_large_answer() {
    let (mut server, _) = registered();
    let (body, answer) = (vec![b'q'; 300], vec![b'a'; 150]);
    let called = send_in_blocks(
        &mut server,
        (Code::POST, "r/node/log"),
        &body,
        &[(OptionNumber::BLOCK2, block(0, false, 64))],
    );
    assert_eq!(called[0].payload, body);
    let reply = message(Kind::Acknowledgement, called[0].id, Code::CHANGED, &called[0].token, b"", &answer);
    server.hear(NOW, &reply);
    let mut next = said(&mut server).remove(0);
    assert_eq!(next.block(OptionNumber::BLOCK1).map(Block::to_uint), Some(block(4, false, 64)));
    let mut got = Vec::new();
    for number in 0..3 {
        let part = next.block(OptionNumber::BLOCK2).unwrap();
        assert_eq!((next.code, part.to_uint()), (Code::CHANGED, block(number, number < 2, 64)));
        got.extend(next.payload);
        if number == 2 {
            break;
        }
        let more = [(OptionNumber::CONTENT_FORMAT, 40), (OptionNumber::BLOCK2, block(number + 1, false, 64))];
        let id = 3_000 + number as u16;
        next = ask(
            &mut server,
            NOW,
            &message(Kind::Confirmable, id, Code::POST, b"up", &options("r/node/log", &more), b""),
        );
    }
    assert_eq!(got, answer);
}
