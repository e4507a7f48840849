//! A producer to queues by AMQP 0-9-1, whose publications are confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mynah_amqp::v0_9_1::client::{Client, Event, Misuse};
use mynah_amqp::v0_9_1::wire::{Method, PropertiesBuilder, PropertyId, ShortStr, basic, confirm, queue};

use super::connection::Connection;
use super::{QUEUES, TURN};
use crate::ledger::GroupId;
use crate::payload::{self, MessageId};
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// Confirms that a producer waits for.
const PENDING_MAX: usize = 64;

pub(crate) struct Confirmed {
    shared: Arc<Shared>,
    peer: usize,
    producer: u16,
    sequence: u32,
    random: Random,
    connection: Connection<Client>,
    /// The channel, once it confirms.
    channel: Option<u16>,
    /// What waits to be confirmed, by its tag.
    pending: BTreeMap<u64, GroupId>,
}

impl Confirmed {
    pub(crate) fn new(shared: Arc<Shared>, peer: usize, random: Random) -> Result<Self, String> {
        let (connection, pending) = (Connection::by_amqp(), BTreeMap::new());
        let producer = u16::try_from(peer).map_err(|error| error.to_string())?;
        Ok(Self { shared, peer, producer, sequence: 0, random, connection, channel: None, pending })
    }

    /// Works until the phase is over.
    pub(crate) fn run(mut self) {
        while self.shared.phase() != Phase::Stop {
            if self.shared.address().is_some_and(|to| self.connection.open(to.amqp)) {
                self.channel = None;
                self.shared.ledger().connect(self.producer, self.sequence + 1);
                self.serve();
                for group in std::mem::take(&mut self.pending).into_values() {
                    self.shared.ledger().give_up_group(group);
                }
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
            if self.hear().is_err() {
                return self.connection.cut();
            }
            let now = Instant::now();
            match self.shared.phase() {
                Phase::Stop => return self.connection.cut(),
                Phase::Drain => self.shared.set_idle(self.peer, self.pending.is_empty()),
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

    /// Takes events. An error ends the connection.
    fn hear(&mut self) -> Result<(), Misuse> {
        while let Some(event) = self.connection.poll() {
            let (now, client) = self.connection.client();
            match event {
                Event::Connected => drop(client.open_channel(now)?),
                Event::ChannelOpened(channel) => {
                    for name in QUEUES {
                        let queue = ShortStr::cut(name_of(name));
                        client.send(
                            now,
                            channel,
                            queue::Declare { queue, durable: true, ..Default::default() },
                        )?;
                    }
                    client.send(now, channel, confirm::Select { nowait: false })?;
                }
                Event::Method { channel, method } => {
                    if matches!(method.get(), Method::ConfirmSelectOk(_)) {
                        self.channel = Some(channel);
                    }
                }
                Event::Confirmed { tags, accepted, .. } => {
                    for group in tags.iter().filter_map(|tag| self.pending.remove(tag)) {
                        if accepted {
                            self.shared.ledger().confirm_group(group);
                        } else {
                            self.shared.ledger().give_up_group(group);
                        }
                    }
                }
                Event::Closed(_) | Event::ChannelClosed { .. } => return Err(Misuse::NotOpen),
                Event::Challenge(_) | Event::Message { .. } | Event::Flow { .. } => {}
            }
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), Misuse> {
        let Some(channel) = self.channel.filter(|_| self.pending.len() < PENDING_MAX) else { return Ok(()) };
        for _ in 0..self.random.between(1..=6) {
            self.sequence += 1;
            let id = MessageId { producer: self.producer, sequence: self.sequence };
            let queue = QUEUES[self.random.below(QUEUES.len())];
            let bytes = if self.random.happens(10) { 4_000..=20_000 } else { 40..=400 };
            let bytes = usize::try_from(self.random.between(bytes)).unwrap_or(0);
            let group = self.shared.ledger().begin_group(false);
            self.shared.ledger().send(group, id, queue);
            let publish =
                basic::Publish { routing_key: ShortStr::cut(name_of(queue)), ..basic::Publish::default() };
            let persistent = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(2));
            let payload = payload::encode(id, queue, bytes);
            let (now, client) = self.connection.client();
            let tag = client.publish(now, channel, publish, persistent.as_properties(), &payload)?;
            self.pending.extend(tag.map(|tag| (tag, group)));
        }
        Ok(())
    }
}

/// The name of a queue whose destination by STOMP this is.
fn name_of(destination: &str) -> &str {
    destination.strip_prefix("/queue/").unwrap_or(destination)
}
