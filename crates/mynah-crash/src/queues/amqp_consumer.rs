//! A consumer from queues by AMQP 0-9-1: it acknowledges one by one or up to one, which nobody answers, or in transactions
//! in which it sends on what it took.

use std::net::SocketAddr;

use mynah_amqp::v0_9_1::client::{Client, Event, Misuse};
use mynah_amqp::v0_9_1::wire::{Method, ShortStr, basic, tx};

use super::amqp_producer::{Commits, declare, publish_to};
use super::{DONE, Manner, PREFETCH, Peer, Pending, Visitor};
use crate::broker::Addresses;
use crate::ledger::Taken;
use crate::payload::{self, MessageId};
use crate::shared::Phase;

pub(crate) struct AmqpConsumer {
    peer: Peer<Client>,
    manner: Manner,
    queues: &'static [&'static str],
    /// The channel, once it is open.
    channel: Option<u16>,
    pending: Pending,
    commits: Commits,
    /// What came and is not acknowledged, with its tag.
    held: Vec<(MessageId, u64)>,
}

impl Visitor for AmqpConsumer {
    type Machine = Client;

    const STAYS_PERCENT: u64 = 40;

    fn address(addresses: &Addresses) -> SocketAddr {
        addresses.amqp
    }

    fn peer(&mut self) -> &mut Peer<Client> {
        &mut self.peer
    }

    fn hear(&mut self) -> bool {
        while let Some(event) = self.peer.connection.poll() {
            if self.take(&event).is_err() {
                return false;
            }
        }
        true
    }

    fn work(&mut self, phase: Phase) -> bool {
        let is_slow = phase == Phase::Work && self.peer.random.happens(60);
        let Some(channel) = self.channel.filter(|_| !is_slow && !self.held.is_empty()) else { return true };
        let done = match self.manner {
            Manner::Individual => self.one_by_one(channel, phase == Phase::Work),
            Manner::Cumulative => self.up_to_the_last(channel),
            Manner::SendsOn => self.send_on(channel, phase == Phase::Work),
        };
        done.is_ok()
    }

    fn is_idle(&mut self) -> bool {
        self.held.is_empty() && self.pending.0.is_empty() && self.channel.is_some()
    }

    fn leave(&mut self) {
        self.channel = None;
        self.commits = Commits::default();
        self.pending.give_up(&self.peer.shared);
        self.held.clear();
    }

    fn pause_ms(&mut self) -> u64 {
        let away = if self.peer.random.happens(30) { 100..=600 } else { 3..=80 };
        self.peer.random.between(away)
    }
}

impl AmqpConsumer {
    pub(crate) fn new(peer: Peer<Client>, manner: Manner, queues: &'static [&'static str]) -> Self {
        let (pending, commits) = (Pending::default(), Commits::default());
        Self { peer, manner, queues, channel: None, pending, commits, held: Vec::new() }
    }

    /// Takes an event. An error ends the connection.
    fn take(&mut self, event: &Event) -> Result<(), Misuse> {
        match event {
            Event::Connected => {
                let (now, client) = self.peer.connection.client();
                client.open_channel(now)?;
            }
            Event::ChannelOpened(channel) => self.consume(*channel)?,
            Event::Message { method, body, .. } => {
                if let Method::BasicDeliver(deliver) = method.get() {
                    let basic::Deliver { consumer_tag, delivery_tag, redelivered, .. } = deliver;
                    let (queue, run) = (consumer_tag.as_str().unwrap_or_default(), self.peer.run);
                    let taken = Taken { queue, payload: body, redelivered, run };
                    let id = self.peer.shared.ledger().take(self.peer.place, taken);
                    self.held.extend(id.map(|id| (id, delivery_tag)));
                }
            }
            Event::Method { method, .. } => {
                if let Method::TxCommitOk(_) = method.get() {
                    let number = self.commits.answer();
                    self.pending.answered(&self.peer.shared, number);
                }
            }
            Event::Closed(_) | Event::ChannelClosed { .. } => return Err(Misuse::NotOpen),
            Event::Challenge(_) | Event::Confirmed { .. } | Event::Flow { .. } => {}
        }
        Ok(())
    }

    /// Consumers have the destinations of their queues as their names.
    fn consume(&mut self, channel: u16) -> Result<(), Misuse> {
        self.channel = Some(channel);
        let (now, client) = self.peer.connection.client();
        declare(now, client, channel)?;
        client.send(now, channel, basic::Qos { prefetch_count: PREFETCH, ..Default::default() })?;
        if self.manner == Manner::SendsOn {
            client.send(now, channel, tx::Select {})?;
        }
        for destination in self.queues {
            let (queue, consumer_tag) =
                (ShortStr::cut(super::name_of(destination)), ShortStr::cut(destination));
            client.send(now, channel, basic::Consume { queue, consumer_tag, ..Default::default() })?;
        }
        Ok(())
    }

    fn one_by_one(&mut self, channel: u16, returns: bool) -> Result<(), Misuse> {
        for (id, delivery_tag) in std::mem::take(&mut self.held) {
            let (gives_back, by_nack) = (self.peer.random.happens(5), self.peer.random.happens(50));
            if !gives_back || !returns {
                self.acknowledge(channel, &[id], basic::Ack { delivery_tag, multiple: false })?;
                continue;
            }
            let (now, client) = self.peer.connection.client();
            if by_nack {
                client.send(now, channel, basic::Nack { delivery_tag, multiple: false, requeue: true })?;
            } else {
                client.send(now, channel, basic::Reject { delivery_tag, requeue: true })?;
            }
        }
        Ok(())
    }

    /// The last stands for all before it, of all queues.
    fn up_to_the_last(&mut self, channel: u16) -> Result<(), Misuse> {
        let held = std::mem::take(&mut self.held);
        let Some((_, delivery_tag)) = held.last().copied() else { return Ok(()) };
        let ids: Vec<MessageId> = held.iter().map(|(id, _)| *id).collect();
        self.acknowledge(channel, &ids, basic::Ack { delivery_tag, multiple: true })
    }

    /// An acknowledgement without a transaction has no answer, and is none of several messages together: what came of it for
    /// each of them nobody knows.
    fn acknowledge(&mut self, channel: u16, ids: &[MessageId], ack: basic::Ack) -> Result<(), Misuse> {
        let mut ledger = self.peer.shared.ledger();
        for id in ids {
            let group = ledger.begin_group(false);
            ledger.settle_message(group, *id);
            ledger.give_up_group(group);
        }
        drop(ledger);
        let (now, client) = self.peer.connection.client();
        client.send(now, channel, ack)
    }

    /// All that is held is acknowledged, and sent on, in one transaction. After a rollback it is held still.
    fn send_on(&mut self, channel: u16, rolls_back: bool) -> Result<(), Misuse> {
        let group = self.peer.shared.ledger().begin_group(true);
        let rolls_back = rolls_back && self.peer.random.happens(15);
        for (id, delivery_tag) in self.held.clone() {
            let on = self.peer.next_message();
            if !rolls_back {
                self.peer.shared.ledger().settle_message(group, id);
            }
            self.peer.shared.ledger().send(group, on, DONE);
            let (now, client) = self.peer.connection.client();
            client.send(now, channel, basic::Ack { delivery_tag, multiple: false })?;
            publish_to(now, client, channel, DONE, &payload::encode(on, DONE, 100))?;
        }
        let (now, client) = self.peer.connection.client();
        if rolls_back {
            return client.send(now, channel, tx::Rollback {});
        }
        self.held.clear();
        self.peer.shared.ledger().commit_group(group);
        client.send(now, channel, tx::Commit {})?;
        self.pending.insert(Some(self.commits.ask()), group);
        Ok(())
    }
}
