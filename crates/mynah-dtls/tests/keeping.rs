//! What is kept, and for how long: the bounds of half-open handshakes, and honest clients beside a flood.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mynah_dtls::{
    Certification, Client, Credentials, Datagrams, Demultiplexer, HALF_OPEN_BYTES_MAX, HALF_OPEN_MAX,
    HALF_OPEN_PER_PREFIX_MAX, PeerAddress, Suite, Verdict,
};
use mynah_model::Instant;
use ring::rand::SystemRandom;

use crate::hostile::{Hello, give, greet, message, record};
use crate::path::{Wallet, demultiplexer, peer, settings};

const PSK: u16 = 0x00A8;

/// Peers of as many networks as are asked for.
fn nth(number: usize, networks: usize) -> PeerAddress {
    let network = number % networks;
    let mut address = peer(1_000 + (number / networks) as u16);
    (address.ip[12], address.ip[13], address.ip[14]) = (10, (network / 256) as u8, (network % 256) as u8);
    address
}

fn fill(server: &mut Demultiplexer, count: usize, networks: usize) {
    for number in 0..count {
        let mut hello = Hello::new(PSK);
        hello.random[..8].copy_from_slice(&number.to_be_bytes());
        let _ = greet(server, Instant::ZERO, nth(number, networks), &mut hello);
    }
}

/// Whether the handshake of a peer is there: then its key is read.
fn is_kept(server: &mut Demultiplexer, peer: PeerAddress) -> bool {
    !matches!(give(server, Instant::ZERO, peer, &message(16, 2, &[0, 1, b'x'])).1, Verdict::Ignored)
}

#[test]
fn the_oldest_handshake_goes_for_a_new_one_and_nobody_is_refused() {
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    fill(&mut server, HALF_OPEN_MAX + 10, 600);
    assert_eq!(server.half_open(), HALF_OPEN_MAX);
    for number in [0, 9] {
        assert!(!is_kept(&mut server, nth(number, 600)), "{number}");
    }
    for number in [10, HALF_OPEN_MAX + 9] {
        assert!(is_kept(&mut server, nth(number, 600)), "{number}");
    }
}

#[test]
fn one_network_does_not_push_out_the_others() {
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let mut hello = Hello::new(PSK);
    let _ = greet(&mut server, Instant::ZERO, peer(7), &mut hello);
    fill(&mut server, HALF_OPEN_PER_PREFIX_MAX + 300, 1);
    assert_eq!(server.half_open(), HALF_OPEN_PER_PREFIX_MAX + 1);
    assert!(is_kept(&mut server, peer(7)));
    assert!(!is_kept(&mut server, nth(0, 1)) && is_kept(&mut server, nth(HALF_OPEN_PER_PREFIX_MAX + 299, 1)));
}

#[test]
fn a_handshake_in_which_nothing_happens_is_dropped_after_five_seconds() {
    let mut server = demultiplexer(Wallet::new(false, Certification::None));
    let _ = greet(&mut server, Instant::ZERO, peer(1), &mut Hello::new(PSK));
    let (mut said, mut out) = (0, Datagrams::default());
    for tenths in 1..=49 {
        let now = Instant::ZERO + Duration::from_millis(tenths * 100);
        while server.handle_time(now, &mut out).is_some() {}
        // What does not go on does not count.
        let _ = give(&mut server, now, peer(1), &record(20, 0, 9, &[1]));
        said += out.iter().count();
        out.clear();
    }
    assert_eq!((server.half_open(), said), (1, 2), "the flight was said again after one second and three");
    while server.handle_time(Instant::ZERO + Duration::from_secs(5), &mut out).is_some() {}
    assert_eq!((server.half_open(), server.deadline()), (0, None));
}

#[test]
fn a_handshake_takes_no_more_than_it_may_at_any_time() {
    for (suite, certification) in
        [(Suite::PskCcm8, Certification::None), (Suite::EcdsaGcm, Certification::Required)]
    {
        let own = Wallet { padding: 900, ..Wallet::new(true, Certification::None) };
        let wallet = Wallet { padding: 1_100, ..Wallet::new(true, certification) };
        let mut server = demultiplexer(wallet);
        let (mut out, random) = (Datagrams::default(), SystemRandom::new());
        let own: Arc<dyn Credentials> = Arc::new(own);
        let mut client =
            Client::new(Instant::ZERO, settings(&[suite]), Some(own), &random, &mut out).unwrap();
        let (mut most, mut is_done) = (0, false);
        while !is_done && !out.is_empty() {
            let mut answers = Datagrams::default();
            for datagram in out.iter() {
                let mut verdict = server.receive(Instant::ZERO, peer(1), datagram, &mut answers);
                most = most.max(server.bytes());
                while let Some((_, next)) = server.work(Instant::ZERO, &mut answers) {
                    most = most.max(server.bytes());
                    verdict = next;
                }
                is_done |= matches!(verdict, Verdict::Established(_));
            }
            out.clear();
            for datagram in answers.iter() {
                let _ = client.receive(Instant::ZERO, datagram, &random, &mut out).unwrap();
            }
        }
        assert!(is_done && most <= HALF_OPEN_BYTES_MAX, "{suite:?}: {most} bytes");
    }
}

/// One of the clients that are honest, and what is on its way from and to it.
struct Honest {
    client: Client,
    done_at: Option<Instant>,
}

/// Datagrams by when they arrive: whose they are, and whether they go to the server.
#[derive(Default)]
struct Way {
    under_way: BTreeMap<(Instant, usize), (usize, bool, Vec<u8>)>,
    last: usize,
}

impl Way {
    fn put(&mut self, at: Instant, number: usize, to_server: bool, out: &Datagrams) {
        for datagram in out.iter() {
            self.last += 1;
            self.under_way.insert((at, self.last), (number, to_server, datagram.into()));
        }
    }

    fn take(&mut self, now: Instant) -> Option<(usize, bool, Vec<u8>)> {
        let first = self.under_way.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

/// 100 clients 50 ms away, while 2,000 hellos come from addresses that are not their senders' in each second; one step of
/// asymmetric cryptography is done in a millisecond.
#[test]
fn honest_clients_are_done_in_time_beside_a_flood() {
    let (random, delay) = (SystemRandom::new(), Duration::from_millis(50));
    let mut server = demultiplexer(Wallet::new(true, Certification::None));
    let (mut way, mut honest) = (Way::default(), Vec::new());
    for number in 0..100 {
        let mut out = Datagrams::default();
        let suite = if number % 2 == 0 { Suite::PskCcm8 } else { Suite::EcdsaCcm8 };
        let own: Arc<dyn Credentials> = Arc::new(Wallet::new(false, Certification::None));
        let client = Client::new(Instant::ZERO, settings(&[suite]), Some(own), &random, &mut out).unwrap();
        way.put(Instant::ZERO + delay, number, true, &out);
        honest.push(Honest { client, done_at: None });
    }
    let (mut heard, mut said, mut most) = (0, 0, 0);
    for millis in 0..10_000_u64 {
        let now = Instant::ZERO + Duration::from_millis(millis);
        for half in 0..2_u64 {
            let mut hello = Hello::new(PSK);
            hello.random[..8].copy_from_slice(&(millis * 2 + half).to_be_bytes());
            let datagram = hello.datagram(0);
            let mut answers = Datagrams::default();
            let spoofed = nth((millis * 2 + half) as usize, 60_000);
            let _ = server.receive(now, spoofed, &datagram, &mut answers);
            heard += datagram.len();
            said += answers.iter().map(<[u8]>::len).sum::<usize>();
        }
        let mut out = Datagrams::default();
        while let Some((number, to_server, datagram)) = way.take(now) {
            out.clear();
            if to_server {
                let _ = server.receive(now, nth(number, 1), &datagram, &mut out);
            } else if honest[number].done_at.is_none() {
                let done = honest[number].client.receive(now, &datagram, &random, &mut out).unwrap();
                honest[number].done_at = done.map(|_| now);
            }
            way.put(now + delay, number, !to_server, &out);
        }
        out.clear();
        if let Some((address, _)) = server.work(now, &mut out) {
            way.put(now + delay, usize::from(address.port - 1_000), false, &out);
        }
        out.clear();
        while let Some(address) = server.handle_time(now, &mut out) {
            way.put(now + delay, usize::from(address.port - 1_000), false, &out);
            out.clear();
        }
        most = most.max(server.half_open());
        for (number, one) in honest.iter_mut().enumerate().filter(|(_, one)| one.done_at.is_none()) {
            out.clear();
            one.client.handle_time(now, &mut out);
            way.put(now + delay, number, true, &out);
        }
    }
    let late: Vec<_> = (0..100).filter(|number| honest[*number].done_at.is_none()).collect();
    assert_eq!(late, [0; 0], "these are not done");
    assert!(most <= 100, "{most} handshakes were kept: spoofed hellos keep none");
    assert!(said <= heard, "{said} bytes were answered to {heard}");
}
