//! A producer to queues by AMQP 0-9-1, whose publications are confirmed one by one, or are committed together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mynah_amqp::v0_9_1::client::{Client, Event, Misuse};
use mynah_amqp::v0_9_1::wire::{Method, PropertiesBuilder, PropertyId, ShortStr, basic, confirm, queue, tx};

use super::{DONE, Peer, Pending, QUEUES, Visitor, name_of, payload_bytes};
use crate::broker::Addresses;
use crate::ledger::GroupId;
use crate::payload;
use crate::shared::Phase;

/// Confirms that a producer waits for.
const PENDING_MAX: usize = 64;

pub(crate) struct AmqpProducer {
    peer: Peer<Client>,
    /// The channel, once it confirms or transacts.
    channel: Option<u16>,
    /// Whether it transacts.
    transacts: bool,
    /// What waits to be confirmed, by its tag, or by the number of its commit.
    pending: Pending,
    commits: Commits,
    /// When it sends again.
    next: Instant,
}

/// Commits of one channel, which are answered in their order.
#[derive(Debug, Default)]
pub(super) struct Commits {
    asked: u64,
    answered: u64,
}

impl Commits {
    pub(super) const fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    pub(super) const fn answer(&mut self) -> u64 {
        self.answered += 1;
        self.answered
    }
}

impl Visitor for AmqpProducer {
    type Machine = Client;

    const STAYS_PERCENT: u64 = 50;

    fn address(addresses: &Addresses) -> SocketAddr {
        addresses.amqp
    }

    fn peer(&mut self) -> &mut Peer<Client> {
        &mut self.peer
    }

    fn hear(&mut self) -> bool {
        while let Some(event) = self.peer.connection.poll() {
            if self.take(event).is_err() {
                return false;
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
        match self.channel.filter(|_| self.pending.0.len() < PENDING_MAX) {
            Some(channel) if self.transacts => self.transact(channel).is_ok(),
            Some(channel) => self.publish_some(channel).is_ok(),
            None => true,
        }
    }

    fn is_idle(&mut self) -> bool {
        self.pending.0.is_empty()
    }

    fn leave(&mut self) {
        self.channel = None;
        self.commits = Commits::default();
        self.pending.give_up(&self.peer.shared);
    }

    fn pause_ms(&mut self) -> u64 {
        self.peer.random.between(2..=60)
    }
}

impl AmqpProducer {
    pub(crate) fn new(peer: Peer<Client>) -> Self {
        let (pending, commits) = (Pending::default(), Commits::default());
        Self { peer, channel: None, transacts: false, pending, commits, next: Instant::now() }
    }

    /// Takes an event. An error ends the connection.
    fn take(&mut self, event: Event) -> Result<(), Misuse> {
        match event {
            Event::Connected => {
                let (now, client) = self.peer.connection.client();
                client.open_channel(now)?;
            }
            Event::ChannelOpened(channel) => self.prepare(channel)?,
            Event::Method { channel, method } => match method.get() {
                Method::ConfirmSelectOk(_) | Method::TxSelectOk(_) => self.channel = Some(channel),
                Method::TxCommitOk(_) => {
                    let number = self.commits.answer();
                    self.pending.answered(&self.peer.shared, number);
                }
                _ => {}
            },
            Event::Confirmed { tags, accepted: true, .. } => {
                tags.iter().for_each(|tag| self.pending.answered(&self.peer.shared, *tag));
            }
            Event::Confirmed { tags, .. } => {
                tags.iter().for_each(|tag| self.pending.refused(&self.peer.shared, *tag));
            }
            Event::Closed(_) | Event::ChannelClosed { .. } => return Err(Misuse::NotOpen),
            Event::Challenge(_) | Event::Message { .. } | Event::Flow { .. } => {}
        }
        Ok(())
    }

    fn prepare(&mut self, channel: u16) -> Result<(), Misuse> {
        self.transacts = self.peer.random.happens(40);
        let (now, client) = self.peer.connection.client();
        declare(now, client, channel)?;
        if self.transacts {
            client.send(now, channel, tx::Select {})
        } else {
            client.send(now, channel, confirm::Select { nowait: false })
        }
    }

    /// Messages that stand for themselves.
    fn publish_some(&mut self, channel: u16) -> Result<(), Misuse> {
        for _ in 0..self.peer.random.between(1..=6) {
            let group = self.peer.shared.ledger().begin_group(false);
            let tag = self.publish(channel, group)?;
            self.pending.insert(tag, group);
        }
        Ok(())
    }

    /// Messages that are published together, or after all not.
    fn transact(&mut self, channel: u16) -> Result<(), Misuse> {
        let group = self.peer.shared.ledger().begin_group(true);
        for _ in 0..self.peer.random.between(1..=5) {
            self.publish(channel, group)?;
        }
        let rolls_back = self.peer.random.happens(20);
        if self.peer.random.happens(20) {
            // The broker holds it for a while.
            self.peer.connection.flush();
            self.peer.shared.sleep(Duration::from_millis(5));
        }
        let (now, client) = self.peer.connection.client();
        if rolls_back {
            return client.send(now, channel, tx::Rollback {});
        }
        self.peer.shared.ledger().commit_group(group);
        client.send(now, channel, tx::Commit {})?;
        self.pending.insert(Some(self.commits.ask()), group);
        Ok(())
    }

    /// Publishes the next message. Returns its number where they are confirmed.
    fn publish(&mut self, channel: u16, group: GroupId) -> Result<Option<u64>, Misuse> {
        let id = self.peer.next_message();
        let queue = QUEUES[self.peer.random.below(QUEUES.len())];
        let payload = payload::encode(id, queue, payload_bytes(&mut self.peer.random));
        self.peer.shared.ledger().send(group, id, queue);
        let (now, client) = self.peer.connection.client();
        publish_to(now, client, channel, queue, &payload)
    }
}

/// Declares all queues, as everybody does who comes first.
pub(super) fn declare(now: mynah_model::Instant, client: &mut Client, channel: u16) -> Result<(), Misuse> {
    for name in QUEUES.into_iter().chain([DONE]) {
        let queue = ShortStr::cut(name_of(name));
        client.send(now, channel, queue::Declare { queue, durable: true, ..Default::default() })?;
    }
    Ok(())
}

/// Publishes a persistent message to a queue.
pub(super) fn publish_to(
    now: mynah_model::Instant,
    client: &mut Client,
    channel: u16,
    queue: &str,
    payload: &[u8],
) -> Result<Option<u64>, Misuse> {
    let publish = basic::Publish { routing_key: ShortStr::cut(name_of(queue)), ..basic::Publish::default() };
    let persistent = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(2));
    client.publish(now, channel, publish, persistent.as_properties(), payload)
}
