//! Datagrams over real sockets, with a protocol that says back what it hears.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use mynah_model::{Instant, Layout, Reason};
use mynah_net::{Address, Config, Server};
use mynah_stack::{
    Close, Command, Connection, Delivery, LayoutCodec, Open, Outbound, Outcome, Protocol, Step,
};

use crate::echo;

/// A datagram that begins with `q` ends the association; one that begins with `2` is said back twice.
struct Datagrams;

impl Protocol for Datagrams {
    fn name(&self) -> &'static str {
        "datagrams"
    }

    fn accept(&self, _: Instant) -> Box<dyn Connection> {
        Box::new(Association { is_open: false, heard: 0 })
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        echo::Echo.codec()
    }
}

struct Association {
    is_open: bool,
    /// How many datagrams were heard: shows that an association is remembered.
    heard: u8,
}

impl Connection for Association {
    fn step<'b>(&mut self, _: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        if !self.is_open {
            return Step::Command(Command::Open(Box::new(Open::new(1))));
        }
        let Some((length, rest)) = input.split_first_chunk() else { return Step::Idle };
        let (datagram, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        *input = rest;
        self.heard += 1;
        for _ in 0..if datagram.starts_with(b"2") { 2 } else { 1 } {
            out.append(&(datagram.len() as u16 + 1).to_be_bytes());
            out.append(&[self.heard]);
            out.append(datagram);
        }
        let ends = datagram.starts_with(b"q");
        assert!(input.is_empty(), "a turn brings one datagram at a time");
        if ends { Step::Close(Close::new(Reason::Disconnected, false)) } else { Step::Idle }
    }

    fn deliver(&mut self, _: Instant, _: Delivery<'_>, _: &mut Outbound) -> bool {
        true
    }

    fn handle_outcome(&mut self, _: Instant, outcome: Outcome<'_>, _: &mut Outbound) {
        self.is_open |= matches!(outcome, Outcome::Opened(Ok(_)));
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Outbound) {}

    fn handle_shutdown(&mut self, _: Instant, _: &mut Outbound) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn layout(&self) -> Layout {
        echo::LAYOUT
    }

    fn input_bytes_max(&self) -> usize {
        1 << 16
    }
}

fn start(workers: u16) -> Server {
    let mut config: Config = echo::config(workers, None);
    config.settings.listeners[0].protocol = Arc::new(Datagrams);
    config.sockets[0].address = Address::Datagrams(([127, 0, 0, 1], 0).into());
    Server::start(config).unwrap()
}

fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].address.inet().unwrap()
}

fn peer(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect(address).unwrap();
    socket
}

fn receive(peer: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 9_000];
    let len = peer.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn peers_are_told_apart_and_remembered_whichever_worker_has_them() {
    let server = start(3);
    assert_eq!(server.addresses()[0].address.to_string(), format!("udp:{}", address(&server)));
    let peers: Vec<UdpSocket> = (0..40).map(|_| peer(address(&server))).collect();
    for round in 1..=3_u8 {
        for (number, peer) in peers.iter().enumerate() {
            peer.send(&[b'a', number as u8]).unwrap();
        }
        for (number, peer) in peers.iter().enumerate() {
            assert_eq!(receive(peer), [round, b'a', number as u8]);
        }
    }
    assert!(server.stop());
}

#[test]
fn datagrams_stay_apart_and_an_association_that_ended_begins_anew() {
    let server = start(2);
    let peer = peer(address(&server));
    for (sent, expected) in [
        (&b"2x"[..], &[&b"\x012x"[..], b"\x012x"][..]),
        (b"", &[b"\x02"]),
        (b"q", &[b"\x03q"]),
        (b"again", &[b"\x01again"]),
    ] {
        peer.send(sent).unwrap();
        for datagram in expected {
            assert_eq!(receive(&peer), *datagram);
        }
    }
    let large = vec![b'l'; 8_000];
    peer.send(&large).unwrap();
    assert_eq!(receive(&peer).len(), 8_001);
    assert!(server.stop());
}
