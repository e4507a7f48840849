//! A producer to queues by STOMP: with receipts, alone and in transactions, some of which it aborts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mynah_stomp::client::{Client, Event, Misuse};
use mynah_stomp::wire::Command;

use super::{Peer, Pending, QUEUES, Visitor, payload_bytes};
use crate::broker::Addresses;
use crate::payload::{self, MessageId};
use crate::shared::Phase;

/// Receipts that a producer waits for.
const PENDING_MAX: usize = 32;

pub(crate) struct StompProducer {
    peer: Peer<Client>,
    pending: Pending,
    /// When it sends again.
    next: Instant,
}

impl Visitor for StompProducer {
    type Machine = Client;

    const STAYS_PERCENT: u64 = 50;

    fn address(addresses: &Addresses) -> SocketAddr {
        addresses.stomp
    }

    fn peer(&mut self) -> &mut Peer<Client> {
        &mut self.peer
    }

    fn hear(&mut self) -> bool {
        while let Some(event) = self.peer.connection.poll() {
            match event {
                Event::Receipt { number } => self.pending.answered(&self.peer.shared, number),
                Event::Closed(_) => return false,
                Event::Connected { .. } | Event::Message(_) => {}
            }
        }
        true
    }

    fn work(&mut self, phase: Phase) -> bool {
        let now = Instant::now();
        if phase != Phase::Work || now < self.next {
            return true;
        }
        self.next = now + Duration::from_millis(self.peer.random.between(2..=14));
        self.send().is_ok()
    }

    fn is_idle(&mut self) -> bool {
        self.pending.0.is_empty()
    }

    fn leave(&mut self) {
        self.pending.give_up(&self.peer.shared);
    }

    fn pause_ms(&mut self) -> u64 {
        self.peer.random.between(2..=60)
    }
}

impl StompProducer {
    pub(crate) fn new(peer: Peer<Client>) -> Self {
        Self { peer, pending: Pending::default(), next: Instant::now() }
    }

    fn send(&mut self) -> Result<(), Misuse> {
        if !self.peer.connection.client().1.is_open() || self.pending.0.len() >= PENDING_MAX {
            return Ok(());
        }
        if self.peer.random.happens(30) { self.transact() } else { self.send_some() }
    }

    /// Messages that stand for themselves.
    fn send_some(&mut self) -> Result<(), Misuse> {
        for _ in 0..self.peer.random.between(1..=6) {
            let group = self.peer.shared.ledger().begin_group(false);
            let (id, queue, payload) = self.next();
            self.peer.shared.ledger().send(group, id, queue);
            let (now, client) = self.peer.connection.client();
            let receipt = client.send(now, queue, [("persistent", "true")], &payload, true)?;
            self.pending.insert(receipt, group);
        }
        Ok(())
    }

    /// Messages that are sent together, or after all not.
    fn transact(&mut self) -> Result<(), Misuse> {
        let group = self.peer.shared.ledger().begin_group(true);
        let (now, client) = self.peer.connection.client();
        client.transact(now, Command::Begin, "t", false)?;
        for _ in 0..self.peer.random.between(1..=5) {
            let (id, queue, payload) = self.next();
            self.peer.shared.ledger().send(group, id, queue);
            let (now, client) = self.peer.connection.client();
            let headers = [("persistent", "true"), ("transaction", "t")];
            client.send(now, queue, headers, &payload, false)?;
        }
        let aborts = self.peer.random.happens(20);
        if self.peer.random.happens(20) {
            // The broker holds it for a while.
            self.peer.connection.flush();
            self.peer.shared.sleep(Duration::from_millis(5));
        }
        let (now, client) = self.peer.connection.client();
        if aborts {
            return client.transact(now, Command::Abort, "t", false).map(|_| ());
        }
        self.peer.shared.ledger().commit_group(group);
        let receipt = client.transact(now, Command::Commit, "t", true);
        self.pending.insert(receipt?, group);
        Ok(())
    }

    fn next(&mut self) -> (MessageId, &'static str, Vec<u8>) {
        let id = self.peer.next_message();
        let queue = QUEUES[self.peer.random.below(QUEUES.len())];
        let bytes = payload_bytes(&mut self.peer.random);
        (id, queue, payload::encode(id, queue, bytes))
    }
}
