//! A consumer from queues: it acknowledges one by one, up to one, or in transactions in which it sends on what it took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_stomp::client::{Client, Delivered, Event, Misuse};
use mynah_stomp::wire::{AckMode, Command};

use super::connection::Connection;
use super::{DONE, Pending, TURN};
use crate::ledger::Taken;
use crate::payload::{self, MessageId};
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// Messages that a consumer may hold.
const PREFETCH: &str = "20";

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each by itself; some it gives back.
    Individual,
    /// Each with all before it.
    Cumulative,
    /// Each in a transaction, in which it is sent on.
    SendsOn,
}

pub(crate) struct Taker {
    shared: Arc<Shared>,
    peer: usize,
    name: &'static str,
    manner: Manner,
    queues: &'static [&'static str],
    /// The number of its last message.
    sequence: u32,
    random: Random,
    connection: Connection<Client>,
    pending: Pending,
    /// What came and is not acknowledged.
    held: Vec<(MessageId, Delivered)>,
}

impl Taker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        peer: usize,
        (name, manner, queues): (&'static str, Manner, &'static [&'static str]),
        random: Random,
    ) -> Result<Self, String> {
        let connection = Connection::by_stomp().map_err(|misuse| format!("{name}: {misuse}"))?;
        let (pending, held) = (Pending::default(), Vec::new());
        Ok(Self { shared, peer, name, manner, queues, sequence: 0, random, connection, pending, held })
    }

    /// Works until the phase is over.
    pub(crate) fn run(mut self) {
        while self.shared.phase() != Phase::Stop {
            if self.shared.address().is_some_and(|to| self.connection.open(to.stomp)) {
                let producer = u16::try_from(self.peer).unwrap_or(u16::MAX);
                self.shared.ledger().connect(producer, self.sequence + 1);
                self.serve();
                self.pending.give_up(&self.shared);
                self.held.clear();
            }
            self.shared.set_idle(self.peer, false);
            let away = if self.random.happens(30) { 100..=600 } else { 3..=80 };
            let pause = if self.shared.phase() == Phase::Work { self.random.between(away) } else { 5 };
            self.shared.sleep(Duration::from_millis(pause));
        }
    }

    /// One connection, to its end.
    fn serve(&mut self) {
        let stays = self.random.happens(40);
        let end = Instant::now() + Duration::from_millis(self.random.between(5..=700));
        loop {
            self.connection.turn(TURN);
            if !self.hear() {
                return;
            }
            let phase = self.shared.phase();
            let is_slow = phase == Phase::Work && self.random.happens(60);
            if !is_slow && self.acknowledge().is_err() {
                return self.connection.cut();
            }
            match phase {
                Phase::Stop => return self.connection.cut(),
                Phase::Drain => {
                    let is_idle = self.held.is_empty() && self.pending.0.is_empty();
                    let is_open = self.connection.client().1.is_open();
                    self.shared.set_idle(self.peer, is_idle && is_open);
                }
                Phase::Work if Instant::now() > end && !stays => {
                    if self.random.happens(50) {
                        // What was written arrives, and nobody hears the answers.
                        self.connection.flush();
                    }
                    return self.connection.cut();
                }
                Phase::Work => {}
            }
        }
    }

    /// Takes events. Says whether the connection goes on.
    fn hear(&mut self) -> bool {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected { .. } => {
                    if self.subscribe().is_err() {
                        return false;
                    }
                }
                Event::Message(message) => {
                    let redelivered = message.header("redelivered") == Some("true");
                    let queue = &*message.destination;
                    let taken = Taken { queue, payload: &message.body, redelivered };
                    let id = self.shared.ledger().take(self.peer, taken);
                    self.held.extend(id.map(|id| (id, message)));
                }
                Event::Receipt { number } => self.pending.answered(&self.shared, number),
                Event::Closed(_) => return false,
            }
        }
        true
    }

    fn subscribe(&mut self) -> Result<(), Misuse> {
        let mode =
            if self.manner == Manner::Cumulative { AckMode::Client } else { AckMode::ClientIndividual };
        for queue in self.queues {
            let (now, client) = self.connection.client();
            client.subscribe(now, queue, queue, mode, [("prefetch-count", PREFETCH)], false)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), Misuse> {
        if self.held.is_empty() || !self.connection.client().1.is_open() {
            return Ok(());
        }
        match self.manner {
            Manner::Individual => self.one_by_one(),
            Manner::Cumulative => self.up_to_the_last(),
            Manner::SendsOn => self.send_on(),
        }
    }

    fn one_by_one(&mut self) -> Result<(), Misuse> {
        let returns = self.shared.phase() == Phase::Work;
        for (id, message) in std::mem::take(&mut self.held) {
            if returns && self.random.happens(5) {
                let (now, client) = self.connection.client();
                client.nack(now, &message, None, false)?;
                continue;
            }
            let group = self.shared.ledger().begin_group(false);
            self.shared.ledger().settle_message(group, id);
            let (now, client) = self.connection.client();
            let receipt = client.ack(now, &message, None, true)?;
            self.pending.insert(receipt, group);
        }
        Ok(())
    }

    /// The last of each queue stands for all before it.
    fn up_to_the_last(&mut self) -> Result<(), Misuse> {
        let held = std::mem::take(&mut self.held);
        for queue in self.queues {
            let group = self.shared.ledger().begin_group(false);
            let mut last = None;
            for (id, message) in held.iter().filter(|(_, message)| *message.destination == **queue) {
                self.shared.ledger().settle_message(group, *id);
                last = Some(message);
            }
            if let Some(message) = last {
                let (now, client) = self.connection.client();
                let receipt = client.ack(now, message, None, true)?;
                self.pending.insert(receipt, group);
            } else {
                self.shared.ledger().confirm_group(group);
            }
        }
        Ok(())
    }

    /// All that is held is acknowledged, and sent on, in one transaction.
    fn send_on(&mut self) -> Result<(), Misuse> {
        let group = self.shared.ledger().begin_group(true);
        let (now, client) = self.connection.client();
        client.transact(now, Command::Begin, self.name, false)?;
        for (id, message) in std::mem::take(&mut self.held) {
            self.sequence += 1;
            let producer = u16::try_from(self.peer).unwrap_or(u16::MAX);
            let on = MessageId { producer, sequence: self.sequence };
            self.shared.ledger().settle_message(group, id);
            self.shared.ledger().send(group, on, DONE);
            let (now, client) = self.connection.client();
            client.ack(now, &message, Some(self.name), false)?;
            let headers = [("persistent", "true"), ("transaction", self.name)];
            client.send(now, DONE, headers, &payload::encode(on, DONE, 100), false)?;
        }
        self.shared.ledger().commit_group(group);
        let (now, client) = self.connection.client();
        let receipt = client.transact(now, Command::Commit, self.name, true)?;
        self.pending.insert(receipt, group);
        Ok(())
    }
}
