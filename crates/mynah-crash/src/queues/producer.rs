//! A producer to queues: with receipts, alone and in transactions, some of which it aborts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_stomp::client::{Client, Event, Misuse};
use mynah_stomp::wire::Command;

use super::connection::Connection;
use super::{Pending, QUEUES, TURN};
use crate::payload::{self, MessageId};
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// Receipts that a producer waits for.
const PENDING_MAX: usize = 32;

pub(crate) struct Sender {
    shared: Arc<Shared>,
    peer: usize,
    producer: u16,
    sequence: u32,
    random: Random,
    connection: Connection<Client>,
    pending: Pending,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, peer: usize, random: Random) -> Result<Self, String> {
        let connection = Connection::by_stomp().map_err(|misuse| misuse.to_string())?;
        let producer = u16::try_from(peer).map_err(|error| error.to_string())?;
        Ok(Self { shared, peer, producer, sequence: 0, random, connection, pending: Pending::default() })
    }

    /// Works until the phase is over.
    pub(crate) fn run(mut self) {
        while self.shared.phase() != Phase::Stop {
            if self.shared.address().is_some_and(|to| self.connection.open(to.stomp)) {
                self.shared.ledger().connect(self.producer, self.sequence + 1);
                self.serve();
                self.pending.give_up(&self.shared);
            }
            self.shared.set_idle(self.peer, self.shared.phase() == Phase::Drain);
            let pause = self.random.between(2..=60);
            self.shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One connection, to its end.
    fn serve(&mut self) {
        let stays = self.random.happens(50);
        let end = Instant::now() + Duration::from_millis(self.random.between(20..=800));
        let mut next = Instant::now();
        loop {
            self.connection.turn(TURN);
            if !self.hear() {
                return;
            }
            let now = Instant::now();
            match self.shared.phase() {
                Phase::Stop => return self.connection.cut(),
                Phase::Drain => self.shared.set_idle(self.peer, self.pending.0.is_empty()),
                Phase::Work if now > end && !stays => {
                    if self.random.happens(50) {
                        // What was written arrives, and nobody hears the answers.
                        self.connection.flush();
                    }
                    return self.connection.cut();
                }
                Phase::Work if now > next => {
                    if self.work().is_err() {
                        return self.connection.cut();
                    }
                    next = now + Duration::from_millis(self.random.between(2..=14));
                }
                Phase::Work => {}
            }
        }
    }

    /// Takes events. Says whether the connection goes on.
    fn hear(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Receipt { number } => self.pending.answered(&self.shared, number),
                Event::Closed(_) => return false,
                Event::Connected { .. } | Event::Message(_) => {}
            }
        }
        true
    }

    fn work(&mut self) -> Result<(), Misuse> {
        if !self.connection.client().1.is_open() || self.pending.0.len() >= PENDING_MAX {
            return Ok(());
        }
        if self.random.happens(30) { self.transact() } else { self.send_some() }
    }

    /// Messages that stand for themselves.
    fn send_some(&mut self) -> Result<(), Misuse> {
        for _ in 0..self.random.between(1..=6) {
            let group = self.shared.ledger().begin_group(false);
            let (id, queue, payload) = self.next();
            self.shared.ledger().send(group, id, queue);
            let (now, client) = self.connection.client();
            let receipt = client.send(now, queue, [("persistent", "true")], &payload, true)?;
            self.pending.insert(receipt, group);
        }
        Ok(())
    }

    /// Messages that are sent together, or after all not.
    fn transact(&mut self) -> Result<(), Misuse> {
        let group = self.shared.ledger().begin_group(true);
        let (now, client) = self.connection.client();
        client.transact(now, Command::Begin, "t", false)?;
        for _ in 0..self.random.between(1..=5) {
            let (id, queue, payload) = self.next();
            self.shared.ledger().send(group, id, queue);
            let (now, client) = self.connection.client();
            let headers = [("persistent", "true"), ("transaction", "t")];
            client.send(now, queue, headers, &payload, false)?;
        }
        let aborts = self.random.happens(20);
        if self.random.happens(20) {
            // The broker holds it for a while.
            self.connection.flush();
            self.shared.sleep(Duration::from_millis(5));
        }
        let (now, client) = self.connection.client();
        if aborts {
            return client.transact(now, Command::Abort, "t", false).map(|_| ());
        }
        self.shared.ledger().commit_group(group);
        let receipt = client.transact(now, Command::Commit, "t", true);
        self.pending.insert(receipt?, group);
        Ok(())
    }

    fn next(&mut self) -> (MessageId, &'static str, Vec<u8>) {
        self.sequence += 1;
        let id = MessageId { producer: self.producer, sequence: self.sequence };
        let queue = QUEUES[self.random.below(QUEUES.len())];
        let bytes = if self.random.happens(10) { 4_000..=20_000 } else { 40..=400 };
        let bytes = usize::try_from(self.random.between(bytes)).unwrap_or(0);
        (id, queue, payload::encode(id, queue, bytes))
    }
}
