//! Servers over real sockets and links, with a protocol that echoes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod datagrams;
mod echo;
mod layers;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mynah_engine::Authenticated;
use mynah_model::{Identity, Instant, Reason, TenantId};
use mynah_net::{Caller, Server, StartError, Verify};
use mynah_stack::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addresses()[0].address.inet().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn peers_of_all_workers_are_served_and_told_of_the_end() {
    let server = echo::start(3, None);
    let mut peers: Vec<TcpStream> = (b'A'..=b'P')
        .map(|name| {
            let mut peer = connect(&server);
            peer.write_all(&[name, b'h', b'i']).unwrap();
            assert_eq!(read(&mut peer, 3), b"+hi");
            peer
        })
        .collect();
    let last = peers.pop().unwrap();
    drop(peers.pop());
    (&last).write_all(b"bye q").unwrap();
    assert_eq!(read_to_end(last), b"bye q");
    assert!(server.stop(), "everybody had gone");
    for peer in peers {
        assert_eq!(read_to_end(peer), b".");
    }
}

#[test]
fn what_a_fast_peer_sends_comes_back_whole_and_in_order() {
    let server = echo::start(2, None);
    let stream = connect(&server);
    let sent: Vec<u8> = (0..6_000_000u32).map(|i| b'a' + (i % 13) as u8).collect();
    let writer = {
        let (mut stream, sent) = (stream.try_clone().unwrap(), sent.clone());
        std::thread::spawn(move || {
            stream.write_all(b"Z").unwrap();
            stream.write_all(&sent).unwrap();
        })
    };
    let mut reader = stream;
    assert_eq!(read(&mut reader, 1), b"+");
    let mut got = Vec::new();
    while got.len() < sent.len() {
        // A reader that is slower than the writer: the broker has to stop reading for a while.
        got.extend(read(&mut reader, 50_000.min(sent.len() - got.len())));
    }
    writer.join().unwrap();
    assert!(got == sent);
    assert!(server.stop());
}

#[test]
fn a_link_is_a_connection_like_any_other() {
    let server = echo::start(2, None);
    let dialer = server.dialer(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut reader, mut writer) = tokio::io::split(dialer.dial(None));
        let sent: Vec<u8> = (0..2_000_000u32).map(|i| b'a' + (i % 11) as u8).collect();
        writer.write_all(b"Q").await.unwrap();
        let mut got = vec![0; sent.len() + 1];
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(got[0] == b'+' && got[1..] == sent);
        writer.write_all(b"q").await.unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"q");
    });
    for _ in 0..50 {
        drop(dialer.dial(None));
    }
    assert!(server.stop());
}

/// Knows one user, slowly.
struct Slow;

impl Verify for Slow {
    fn verify(
        &self,
        _: Instant,
        caller: &Caller,
        credentials: &Credentials,
    ) -> Result<Authenticated, Reason> {
        assert!(caller.is_local && caller.channel.is_none() && caller.address.is_some());
        std::thread::sleep(Duration::from_millis(50));
        Ok(Identity::user(TenantId::DEFAULT, &credentials.user).into())
    }

    fn recall(
        &self,
        _: Instant,
        _: &Caller,
        credentials: &Credentials,
    ) -> Option<Result<Authenticated, Reason>> {
        let known = || Identity::user(TenantId::DEFAULT, "known").into();
        (*credentials.user == *"known").then(|| Ok(known()))
    }
}

#[test]
fn a_password_is_verified_while_others_go_on() {
    let server = echo::start(1, Some(Arc::new(Slow)));
    let mut slow = connect(&server);
    slow.write_all(b"!hello").unwrap();
    let mut other = connect(&server);
    other.write_all(b"Ay").unwrap();
    assert_eq!(read(&mut other, 2), b"+y");
    assert_eq!(read(&mut slow, 6), b"+hello");
    drop((slow, other));
    assert!(server.stop());
}

#[test]
fn what_can_be_said_at_once_waits_for_nobody() {
    let server = echo::start(1, Some(Arc::new(Slow)));
    let mut slow: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    slow.iter_mut().for_each(|slow| slow.write_all(b"!").unwrap());
    let begun = std::time::Instant::now();
    let mut known = connect(&server);
    known.write_all(b"?z").unwrap();
    assert_eq!(read(&mut known, 2), b"+z");
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop((slow, known));
    assert!(server.stop());
}

#[test]
fn connections_of_who_may_not_be_here_any_more_end() {
    let server = echo::start(2, Some(Arc::new(Slow)));
    let mut known = connect(&server);
    known.write_all(b"?z").unwrap();
    assert_eq!(read(&mut known, 2), b"+z");
    let mut other = connect(&server);
    other.write_all(b"Ay").unwrap();
    assert_eq!(read(&mut other, 2), b"+y");
    let gone = HashMap::from([(Identity::user(TenantId::DEFAULT, "known"), None)]);
    server.change_identities(gone);
    assert_eq!(read_to_end(known), b"-");
    other.write_all(b"z").unwrap();
    assert_eq!(read(&mut other, 1), b"z");
    drop(other);
    assert!(server.stop());
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let server = echo::start(1, None);
    let address = server.addresses()[0].address.clone();
    let mut config = echo::config(1, None);
    config.sockets[0].address = address.clone();
    let Err(error @ StartError::Listen { .. }) = Server::start(config) else { panic!("the port is busy") };
    let text = error.to_string();
    assert!(text.starts_with(&format!("listener `tcp` cannot listen on {address}: ")), "{text}");
    assert!(text.contains("another program listens there"), "{text}");
    assert!(server.stop());
}
