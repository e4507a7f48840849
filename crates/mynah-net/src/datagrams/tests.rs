//! Sockets for datagrams over loopback.

use std::net::UdpSocket as Peer;
use std::slice;
use std::time::Duration;

use mio::{Events, Poll};

use super::*;

fn path(peer: SocketAddr) -> Path {
    Path { peer, local: None }
}

fn connection(slot: u32) -> ConnectionId {
    ConnectionId { slot, generation: 0 }
}

struct Bench {
    poll: Poll,
    ports: Ports,
    address: SocketAddr,
}

impl Bench {
    fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    fn at(address: &str) -> Self {
        let poll = Poll::new().unwrap();
        let socket = open(address.parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let mut ports = Ports::default();
        ports.watch(poll.registry(), socket, (3, None), Token).unwrap();
        Self { poll, ports, address }
    }

    fn know(&mut self, peers: &[Peer]) {
        for (number, peer) in peers.iter().enumerate() {
            self.ports.associate(0, path(peer.local_addr().unwrap()), connection(number as u32), None);
        }
    }

    /// The datagrams that come within a second.
    fn receive(&mut self, count: usize) -> Vec<(Path, Vec<u8>)> {
        let mut received = Vec::new();
        let mut events = Events::with_capacity(8);
        while received.len() < count {
            if !self.ports.is_ready() {
                self.poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
                assert!(!events.is_empty(), "{} of {count}", received.len());
                for event in &events {
                    self.ports.note_ready(event.token().0, event.is_readable(), event.is_writable());
                }
            }
            while let Some(arrivals) = self.ports.receive(0) {
                received.extend((0..arrivals.len()).map(|number| {
                    let (path, bytes) = arrivals.get(number);
                    (path, bytes.to_vec())
                }));
                self.ports.give_back(arrivals);
            }
        }
        received
    }
}

fn prefixed(datagram: &[u8]) -> Vec<u8> {
    let mut bytes = (datagram.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(datagram);
    bytes
}

#[test]
fn datagrams_come_in_with_their_lengths_and_senders() {
    let mut bench = Bench::new();
    let peers: Vec<Peer> = (0..3).map(|_| Peer::bind("127.0.0.1:0").unwrap()).collect();
    for number in 0..100_u8 {
        let datagram = vec![number; usize::from(number)];
        peers[usize::from(number % 3)].send_to(&datagram, bench.address).unwrap();
    }
    for (number, (from, bytes)) in bench.receive(100).into_iter().enumerate() {
        assert_eq!(from, path(peers[number % 3].local_addr().unwrap()));
        assert_eq!(bytes, prefixed(&vec![number as u8; number]));
    }
}

#[test]
fn a_datagram_that_is_too_long_is_counted_and_the_next_is_read() {
    let mut bench = Bench::new();
    let peer = Peer::bind("127.0.0.1:0").unwrap();
    peer.send_to(&[1; 9_000], bench.address).unwrap();
    peer.send_to(b"after", bench.address).unwrap();
    assert_eq!(bench.receive(1), [(path(peer.local_addr().unwrap()), prefixed(b"after"))]);
    assert_eq!(bench.ports.arrivals.as_ref().unwrap().oversized, 1);
}

#[test]
fn datagrams_leave_as_they_were_cut_to_whom_they_are_for() {
    let mut bench = Bench::new();
    let peers: Vec<Peer> = (0..2).map(|_| Peer::bind("127.0.0.1:0").unwrap()).collect();
    let mut expected = vec![Vec::new(), Vec::new()];
    bench.know(&peers);
    for round in 0..60_u8 {
        for (peer, expected) in peers.iter().zip(&mut expected) {
            let mut outbound = Outbound::new();
            for datagram in [&[round][..], &[round; 40], &[]] {
                outbound.append(&prefixed(datagram));
                expected.push(datagram.to_vec());
            }
            let taken = bench.ports.take(0, peer.local_addr().unwrap(), &outbound);
            assert_eq!(taken, (outbound.len(), 0));
        }
    }
    assert_eq!(bench.ports.send(), 0);
    assert!(bench.ports.ports[0].departures.is_empty());
    for (peer, expected) in peers.iter().zip(expected) {
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 100];
        for datagram in expected {
            let (len, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&datagram[..], bench.address));
        }
    }
}

#[test]
fn a_peer_that_cannot_be_reached_keeps_nobody_waiting() {
    let mut bench = Bench::new();
    let peer = Peer::bind("127.0.0.1:0").unwrap();
    let mut outbound = Outbound::new();
    outbound.append(&prefixed(b"x"));
    // A socket of IPv4 cannot send there.
    let unreachable = "[2001:db8::1]:5683".parse().unwrap();
    bench.ports.associate(0, path(unreachable), connection(7), None);
    bench.know(slice::from_ref(&peer));
    bench.ports.take(0, unreachable, &outbound);
    bench.ports.take(0, peer.local_addr().unwrap(), &outbound);
    assert_eq!(bench.ports.send(), 1);
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(peer.recv(&mut buffer).unwrap(), 1);
}

#[test]
fn what_waits_for_the_kernel_is_bounded() {
    let mut departures = Departures::default();
    let mut outbound = Outbound::new();
    for _ in 0..64 {
        outbound.append(&prefixed(&[0; 8_000]));
    }
    let to = path("127.0.0.1:9".parse().unwrap());
    let dropped: u64 = (0..20).map(|_| departures.take(to, &outbound)).sum();
    assert_eq!(dropped as usize + departures.datagrams.len(), 20 * 64);
    assert!(dropped > 600 && departures.bytes.len() < 6 << 20, "{dropped}");
}

#[test]
fn an_association_is_found_by_its_address_until_it_is_forgotten() {
    let mut bench = Bench::new();
    let peer = "192.0.2.1:5683".parse().unwrap();
    bench.ports.associate(0, path(peer), connection(7), None);
    assert_eq!((bench.ports.find(0, peer), bench.ports.listener(0)), (Some(connection(7)), 3));
    bench.ports.forget(0, peer, connection(8));
    assert_eq!(bench.ports.find(0, peer), Some(connection(7)), "another association is over");
    bench.ports.forget(0, peer, connection(7));
    assert_eq!((bench.ports.find(0, peer), bench.ports.len()), (None, 1));
}

/// Asks a socket that has all addresses at two of them in turn, and expects to hear from the one that was asked.
fn ask_and_hear(mut bench: Bench, own: &str, asked: &[&str]) {
    let peer = Peer::bind((own, 0)).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut outbound = Outbound::new();
    outbound.append(&prefixed(b"answer"));
    for (number, ip) in asked.iter().enumerate() {
        let asked = SocketAddr::new(ip.parse().unwrap(), bench.address.port());
        peer.send_to(b"request", asked).unwrap();
        let (from, bytes) = bench.receive(1).remove(0);
        let expected = Path { peer: peer.local_addr().unwrap(), local: Some(asked.ip()) };
        assert_eq!((from, bytes), (expected, prefixed(b"request")));
        if number == 0 {
            bench.ports.associate(0, from, connection(7), None);
        }
        bench.ports.note_asked(0, from);
        bench.ports.take(0, from.peer, &outbound);
        assert_eq!(bench.ports.send(), 0);
        let mut buffer = [0; 100];
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (6, asked));
    }
}

//= rfc7252 [5.3.2-2]
#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    ask_and_hear(Bench::at("0.0.0.0:0"), "127.0.0.1", &["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
}

#[test]
fn an_answer_of_ipv6_leaves_from_the_address_that_was_asked() {
    // A machine may be without IPv6.
    if Peer::bind("[::1]:0").is_ok() {
        ask_and_hear(Bench::at("[::]:0"), "::1", &["::1"]);
    }
}
