//! A consumer from queues by STOMP: it acknowledges one by one, up to one, or in transactions in which it sends on what it
//! took.

use std::net::SocketAddr;

use mynah_stomp::client::{Client, Delivered, Event, Misuse};
use mynah_stomp::wire::{AckMode, Command};

use super::{DONE, Manner, PREFETCH, Peer, Pending, Visitor};
use crate::broker::Addresses;
use crate::ledger::Taken;
use crate::payload::{self, MessageId};
use crate::shared::Phase;

pub(crate) struct StompConsumer {
    peer: Peer<Client>,
    manner: Manner,
    queues: &'static [&'static str],
    pending: Pending,
    /// What came and is not acknowledged.
    held: Vec<(MessageId, Delivered)>,
}

/// The name of its transaction.
const TRANSACTION: &str = "moving";

impl Visitor for StompConsumer {
    type Machine = Client;

    const STAYS_PERCENT: u64 = 40;

    fn address(addresses: &Addresses) -> SocketAddr {
        addresses.stomp
    }

    fn peer(&mut self) -> &mut Peer<Client> {
        &mut self.peer
    }

    fn hear(&mut self) -> bool {
        while let Some(event) = self.peer.connection.poll() {
            match event {
                Event::Connected { .. } => {
                    if self.subscribe().is_err() {
                        return false;
                    }
                }
                Event::Message(message) => {
                    let redelivered = message.header("redelivered") == Some("true");
                    let (queue, run) = (&*message.destination, self.peer.run);
                    let taken = Taken { queue, payload: &message.body, redelivered, run };
                    let id = self.peer.shared.ledger().take(self.peer.place, taken);
                    self.held.extend(id.map(|id| (id, message)));
                }
                Event::Receipt { number } => self.pending.answered(&self.peer.shared, number),
                Event::Closed(_) => return false,
            }
        }
        true
    }

    fn work(&mut self, phase: Phase) -> bool {
        let is_slow = phase == Phase::Work && self.peer.random.happens(60);
        is_slow || self.acknowledge(phase).is_ok()
    }

    fn is_idle(&mut self) -> bool {
        self.held.is_empty() && self.pending.0.is_empty() && self.peer.connection.client().1.is_open()
    }

    fn leave(&mut self) {
        self.pending.give_up(&self.peer.shared);
        self.held.clear();
    }

    fn pause_ms(&mut self) -> u64 {
        let away = if self.peer.random.happens(30) { 100..=600 } else { 3..=80 };
        self.peer.random.between(away)
    }
}

impl StompConsumer {
    pub(crate) fn new(peer: Peer<Client>, manner: Manner, queues: &'static [&'static str]) -> Self {
        Self { peer, manner, queues, pending: Pending::default(), held: Vec::new() }
    }

    fn subscribe(&mut self) -> Result<(), Misuse> {
        let mode =
            if self.manner == Manner::Cumulative { AckMode::Client } else { AckMode::ClientIndividual };
        let prefetch = PREFETCH.to_string();
        for queue in self.queues {
            let (now, client) = self.peer.connection.client();
            client.subscribe(now, queue, queue, mode, [("prefetch-count", &*prefetch)], false)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, phase: Phase) -> Result<(), Misuse> {
        if self.held.is_empty() || !self.peer.connection.client().1.is_open() {
            return Ok(());
        }
        match self.manner {
            Manner::Individual => self.one_by_one(phase == Phase::Work),
            Manner::Cumulative => self.up_to_the_last(),
            Manner::SendsOn => self.send_on(),
        }
    }

    fn one_by_one(&mut self, returns: bool) -> Result<(), Misuse> {
        for (id, message) in std::mem::take(&mut self.held) {
            if returns && self.peer.random.happens(5) {
                let (now, client) = self.peer.connection.client();
                client.nack(now, &message, None, false)?;
                continue;
            }
            let group = self.peer.shared.ledger().begin_group(false);
            self.peer.shared.ledger().settle_message(group, id);
            let (now, client) = self.peer.connection.client();
            let receipt = client.ack(now, &message, None, true)?;
            self.pending.insert(receipt, group);
        }
        Ok(())
    }

    /// The last of each queue stands for all before it.
    fn up_to_the_last(&mut self) -> Result<(), Misuse> {
        let held = std::mem::take(&mut self.held);
        for queue in self.queues {
            let group = self.peer.shared.ledger().begin_group(false);
            let mut last = None;
            for (id, message) in held.iter().filter(|(_, message)| *message.destination == **queue) {
                self.peer.shared.ledger().settle_message(group, *id);
                last = Some(message);
            }
            if let Some(message) = last {
                let (now, client) = self.peer.connection.client();
                let receipt = client.ack(now, message, None, true)?;
                self.pending.insert(receipt, group);
            } else {
                self.peer.shared.ledger().confirm_group(group);
            }
        }
        Ok(())
    }

    /// All that is held is acknowledged, and sent on, in one transaction.
    fn send_on(&mut self) -> Result<(), Misuse> {
        let group = self.peer.shared.ledger().begin_group(true);
        let (now, client) = self.peer.connection.client();
        client.transact(now, Command::Begin, TRANSACTION, false)?;
        for (id, message) in std::mem::take(&mut self.held) {
            let on = self.peer.next_message();
            self.peer.shared.ledger().settle_message(group, id);
            self.peer.shared.ledger().send(group, on, DONE);
            let (now, client) = self.peer.connection.client();
            client.ack(now, &message, Some(TRANSACTION), false)?;
            let headers = [("persistent", "true"), ("transaction", TRANSACTION)];
            client.send(now, DONE, headers, &payload::encode(on, DONE, 100), false)?;
        }
        self.peer.shared.ledger().commit_group(group);
        let (now, client) = self.peer.connection.client();
        let receipt = client.transact(now, Command::Commit, TRANSACTION, true)?;
        self.pending.insert(receipt, group);
        Ok(())
    }
}
