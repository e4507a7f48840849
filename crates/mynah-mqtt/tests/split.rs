//! However a stream is cut into reads, the answers are the same.

use mynah_model::{Class, Instant};

use crate::broker::{CONNECT, Server};
use mynah_mqtt::Config;
use mynah_stack::testing::Endpoint;

/// Every packet that a client sends, one after another.
fn conversation() -> Vec<u8> {
    [
        CONNECT,
        b"\x82\x0a\0\x01\0\x01#\x02\0\x01a\x01",
        b"\x30\x05\0\x01axy",
        b"\x32\x07\0\x01a\0\x07xy",
        b"\x34\x07\0\x01a\0\x08xy",
        b"\x62\x02\0\x08",
        b"\x40\x02\0\x01\x50\x02\0\x02\x70\x02\0\x02",
        b"\xa2\x05\0\x02\0\x01a",
        b"\xc0\0",
        b"\xe0\0",
    ]
    .concat()
}

fn hear_in_pieces(pieces: &[&[u8]]) -> (Vec<u8>, Option<mynah_stack::Close>, usize) {
    let mut server = Server::new(&Config::default(), Instant::ZERO);
    let mut unread = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        let mut input = unread.as_slice();
        server.handle_input(Instant::ZERO, &mut input);
        unread = input.to_vec();
    }
    assert!(unread.is_empty());
    (server.out.drain(), server.closed, server.published.len())
}

#[test]
fn a_cut_at_any_byte_changes_nothing() {
    let all = conversation();
    let whole = hear_in_pieces(&[&all]);
    assert_eq!(whole.2, 3);
    assert!(whole.1.is_some_and(|close| !close.publish_will));
    for cut in 0..=all.len() {
        assert_eq!(hear_in_pieces(&[&all[..cut], &all[cut..]]), whole, "cut at {cut}");
    }
}

#[test]
fn byte_by_byte_changes_nothing() {
    let all = conversation();
    let bytes: Vec<&[u8]> = all.chunks(1).collect();
    assert_eq!(hear_in_pieces(&bytes), hear_in_pieces(&[&all]));
}

#[test]
fn an_incomplete_packet_is_left_in_the_input() {
    let mut server = Server::new(&Config::default(), Instant::ZERO);
    for cut in 0..CONNECT.len() {
        let mut input = &CONNECT[..cut];
        server.handle_input(Instant::ZERO, &mut input);
        assert_eq!(input.len(), cut);
    }
    server.hear(Instant::ZERO, CONNECT);
    server.hear(Instant::ZERO, b"\x82\x06\0\x01\0\x01#\x02");
    server.publish_from_elsewhere(Instant::ZERO, b"a", b"", Class::AtMostOnce);
    assert_eq!(server.out.drain(), b"\x30\x03\0\x01a");
}
