//! Clients of AMQP 0-9-1 that send to queues and take from them, with all that may be done with a message.

use std::collections::BTreeMap;

use mynah_amqp::v0_9_1::client::{Client as Amqp, Ending, Event, Login, Misuse, Options};
use mynah_amqp::v0_9_1::wire::{
    Method, PropertiesBuilder, PropertyId, ShortStr, TableBuilder, Value, basic, confirm, exchange, queue, tx,
};
use mynah_crash::ledger::GroupId;
use mynah_crash::payload::{self, MessageId};
use mynah_model::Instant;
use mynah_stack::testing::Sequence;

use super::book::{Book, Key};
use super::{DEAD, EXCHANGE, QUEUES};
use crate::outage::broker::{Broker, Speaks};

/// Publications of one producer that wait for their confirms.
const PENDING_MAX: usize = 16;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Publishes, and is confirmed.
    Confirmed,
    /// Publishes in transactions, some of which it rolls back.
    Committer,
    /// Takes from these queues.
    Taker(&'static [usize]),
    /// Takes from these queues, settles in transactions, and sends on in some.
    Mover(&'static [usize]),
    /// Takes single messages.
    Getter,
}

/// What the world is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients do everything; if it is rough, they break connections too.
    Work { is_rough: bool },
    /// Nobody begins anything.
    Rest,
    /// Everything is taken and accepted.
    Drain,
}

/// A transaction under way.
#[derive(Debug, Default)]
struct Transaction {
    groups: Vec<GroupId>,
    sent: Vec<Key>,
    settled: Vec<(u64, Key, bool)>,
    is_asked: bool,
    rolls_back: bool,
}

/// A client with its connection.
pub(super) struct Client {
    place: usize,
    role: Role,
    amqp: Amqp,
    link: Option<u64>,
    input: Vec<u8>,
    /// The channel that it works on.
    channel: Option<u16>,
    sequence: u32,
    /// What waits to be confirmed, by its tag.
    pending: BTreeMap<u64, (GroupId, Key)>,
    /// What it has and has not settled, by its tag.
    held: BTreeMap<u64, Key>,
    transaction: Option<Transaction>,
    /// It has asked for what it holds to be given back: what comes before the answer is.
    recovers: bool,
    /// It has asked for a single message of this queue.
    gets: Option<usize>,
    /// How often it has begun to consume.
    consumers: u32,
}

impl Client {
    pub(super) fn new(place: usize, role: Role) -> Self {
        let login = Login::Plain { user: "guest".into(), password: b"guest"[..].into() };
        Self {
            place,
            role,
            amqp: Amqp::new(Options::new(login)),
            link: None,
            input: Vec::new(),
            channel: None,
            sequence: 0,
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            transaction: None,
            recovers: false,
            gets: None,
            consumers: 0,
        }
    }

    pub(super) fn name(&self) -> String {
        format!("{:?} {}", self.role, self.place)
    }

    /// Whether it waits for no answer.
    pub(super) fn is_idle(&self) -> bool {
        let commits = self.transaction.as_ref().is_some_and(|transaction| transaction.is_asked);
        self.channel.is_some() && self.pending.is_empty() && !commits && !self.recovers && self.gets.is_none()
    }

    /// Whether it has settled all that came.
    pub(super) fn has_nothing(&self) -> bool {
        self.held.is_empty() && self.transaction.is_none()
    }

    /// Reads, acts and writes.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        broker: &mut Broker,
        book: &mut Book,
        sequence: &mut Sequence,
        phase: Phase,
    ) {
        let Some(number) = self.link else {
            self.link = broker.connect(now, Speaks::Amqp, sequence);
            if self.link.is_some() {
                self.amqp.connect(now);
                book.ledger.connect(self.place as u16, self.sequence + 1);
            }
            return self.write(broker);
        };
        if let Some(link) = broker.link(number) {
            let count = sequence.between(0, link.to_client.len() as u64) as usize;
            self.input.extend(link.to_client.drain(..count));
        }
        self.amqp.handle_timeout(now);
        if self.read(now, book).is_err() {
            book.accuse(format!("{} could not go on", self.name()));
        }
        if let Some(channel) = self.channel
            && self.act(now, channel, book, sequence, phase).is_err()
        {
            book.accuse(format!("{} could not do something", self.name()));
        }
        let breaks = phase == Phase::Work { is_rough: true } && sequence.between(1, 100) <= 1;
        if breaks && sequence.between(0, 1) == 0 {
            // What was asked for arrives, and nobody hears the answers.
            self.amqp.close(now);
        }
        self.write(broker);
        if breaks {
            self.end(book);
            if let Some(link) = broker.link(number) {
                link.client_is_gone = true;
            }
        }
    }

    fn write(&mut self, broker: &mut Broker) {
        let bytes = self.amqp.outbound().drain();
        if let Some(link) = self.link.and_then(|link| broker.link(link)) {
            link.to_broker.extend(bytes);
        }
    }

    /// The broker is gone; what it has said still comes.
    pub(super) fn lose_broker(&mut self, now: Instant, broker: &mut Broker, book: &mut Book) {
        if let Some(link) = self.link.and_then(|link| broker.link(link)) {
            self.input.append(&mut link.to_client);
        }
        if self.read(now, book).is_err() {
            book.accuse(format!("{} could not go on", self.name()));
        }
        self.end(book);
    }

    /// The connection is over.
    fn end(&mut self, book: &mut Book) {
        self.amqp.handle_end();
        while self.amqp.poll_event().is_some() {}
        (self.link, self.channel, self.gets, self.recovers) = (None, None, None, false);
        self.input.clear();
        self.held.clear();
        for (group, _) in std::mem::take(&mut self.pending).into_values() {
            book.ledger.give_up_group(group);
        }
        for group in self.transaction.take().into_iter().flat_map(|transaction| transaction.groups) {
            book.ledger.give_up_group(group);
        }
        book.end(self.place);
    }

    /// Takes what the broker says.
    fn read(&mut self, now: Instant, book: &mut Book) -> Result<(), Misuse> {
        let mut input = self.input.as_slice();
        self.amqp.handle_input(now, &mut input);
        let read = self.input.len() - input.len();
        self.input.drain(..read);
        while let Some(event) = self.amqp.poll_event() {
            match event {
                Event::Connected => drop(self.amqp.open_channel(now)?),
                Event::ChannelOpened(channel) => self.set_up(now, channel)?,
                Event::Method { channel, method } => self.hear(channel, method.get(), book),
                Event::Message { method, body, .. } => self.take(method.get(), &body, book),
                Event::Confirmed { tags, accepted, .. } => {
                    for (group, key) in tags.iter().filter_map(|tag| self.pending.remove(tag)) {
                        if accepted {
                            book.ledger.confirm_group(group);
                            book.confirmed(key);
                        } else {
                            book.accuse(format!("{} was not taken", key.1));
                        }
                    }
                }
                Event::Closed(Ending::Finished | Ending::Lost) | Event::Flow { .. } | Event::Challenge(_) => {
                }
                Event::Closed(ending) => book.accuse(format!("{}: {ending:?}", self.name())),
                Event::ChannelClosed { reason, .. } => {
                    let reason = reason.as_ref().map(|reason| format!("{:?}", reason.get()));
                    book.accuse(format!("{}: the channel was closed, {reason:?}", self.name()));
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, channel: u16, method: Method<'_>, book: &mut Book) {
        match method {
            Method::ConfirmSelectOk(_) | Method::TxSelectOk(_) | Method::BasicQosOk(_) => {
                self.channel = Some(channel);
            }
            Method::BasicRecoverOk(_) => self.recovers = false,
            Method::BasicGetEmpty(_) => self.gets = None,
            Method::TxCommitOk(_) => {
                let done = self.transaction.take().unwrap_or_default();
                for group in done.groups {
                    book.ledger.confirm_group(group);
                }
                for key in done.sent {
                    book.confirmed(key);
                }
                for (_, key, _) in done.settled {
                    book.settled(self.place, key);
                }
            }
            Method::TxRollbackOk(_) => {
                let undone = self.transaction.take().unwrap_or_default();
                self.held.extend(undone.settled.into_iter().map(|(tag, key, _)| (tag, key)));
            }
            _ => {}
        }
    }

    fn take(&mut self, method: Method<'_>, body: &[u8], book: &mut Book) {
        let (tag, queue, redelivered) = match method {
            Method::BasicDeliver(deliver) => {
                let name = deliver.consumer_tag.as_str().and_then(|tag| tag.split('.').next());
                let queue = QUEUES.iter().position(|queue| Some(*queue) == name);
                (deliver.delivery_tag, queue, deliver.redelivered)
            }
            Method::BasicGetOk(got) => (got.delivery_tag, self.gets.take(), got.redelivered),
            _ => return,
        };
        let Some(queue) = queue else { return book.accuse(format!("{method:?} was not asked for")) };
        // Otherwise it is given back already, and somebody else may have it.
        if !self.recovers
            && let Some(key) = book.take(self.place, queue, body, redelivered)
        {
            self.held.insert(tag, key);
        }
    }

    /// Declares what there has to be, and begins.
    fn set_up(&mut self, now: Instant, channel: u16) -> Result<(), Misuse> {
        let name = ShortStr::cut(EXCHANGE);
        let r#type = ShortStr::cut("direct");
        let declare = exchange::Declare { exchange: name, r#type, durable: true, ..Default::default() };
        self.amqp.send(now, channel, declare)?;
        for (place, queue) in QUEUES.into_iter().enumerate() {
            let name = ShortStr::cut(queue);
            let table = arguments(place);
            let arguments = table.as_table();
            let declare = queue::Declare { queue: name, durable: true, arguments, ..Default::default() };
            self.amqp.send(now, channel, declare)?;
            let exchange = ShortStr::cut(EXCHANGE);
            let bind = queue::Bind { queue: name, exchange, routing_key: name, ..Default::default() };
            self.amqp.send(now, channel, bind)?;
        }
        match self.role {
            Role::Confirmed => self.amqp.send(now, channel, confirm::Select { nowait: false }),
            Role::Committer => self.amqp.send(now, channel, tx::Select {}),
            Role::Getter => self.amqp.send(now, channel, basic::Qos::default()),
            Role::Taker(queues) | Role::Mover(queues) => {
                let prefetch_count = 1 + (self.place + self.consumers as usize) as u16 % 8;
                let last = basic::Qos { prefetch_count, ..Default::default() };
                self.amqp.send(now, channel, last)?;
                if matches!(self.role, Role::Mover(_)) {
                    self.amqp.send(now, channel, tx::Select {})?;
                }
                queues.iter().try_for_each(|queue| self.consume(now, channel, *queue))
            }
        }
    }

    fn consume(&mut self, now: Instant, channel: u16, queue: usize) -> Result<(), Misuse> {
        self.consumers += 1;
        let tag = format!("{}.{}", QUEUES[queue], queue);
        let (queue, consumer_tag) = (ShortStr::cut(QUEUES[queue]), ShortStr::cut(&tag));
        self.amqp.send(now, channel, basic::Consume { queue, consumer_tag, ..Default::default() })
    }

    fn act(
        &mut self,
        now: Instant,
        channel: u16,
        book: &mut Book,
        sequence: &mut Sequence,
        phase: Phase,
    ) -> Result<(), Misuse> {
        let works = matches!(phase, Phase::Work { .. });
        if phase == Phase::Rest || self.recovers || (works && sequence.between(1, 100) <= 40) {
            return Ok(());
        }
        match self.role {
            Role::Confirmed if works && self.pending.len() < PENDING_MAX => {
                let group = book.ledger.begin_group(false);
                let (key, tag) = self.publish(now, channel, group, book, sequence)?;
                book.sent(key);
                self.pending.extend(tag.map(|tag| (tag, (group, key))));
                Ok(())
            }
            Role::Committer | Role::Mover(_) => self.transact(now, channel, book, sequence, works),
            Role::Taker(_) | Role::Getter if works => self.do_something(now, channel, book, sequence),
            Role::Taker(_) | Role::Getter => self.settle(now, channel, book, u64::MAX, false),
            Role::Confirmed => Ok(()),
        }
    }

    fn publish(
        &mut self,
        now: Instant,
        channel: u16,
        group: GroupId,
        book: &mut Book,
        sequence: &mut Sequence,
    ) -> Result<(Key, Option<u64>), Misuse> {
        self.sequence += 1;
        let id = MessageId { producer: self.place as u16, sequence: self.sequence };
        let queue = sequence.between(0, DEAD as u64 - 1) as usize;
        let exchange = if queue == 2 { EXCHANGE } else { "" };
        let (exchange, routing_key) = (ShortStr::cut(exchange), ShortStr::cut(QUEUES[queue]));
        book.ledger.send(group, id, QUEUES[queue]);
        let bytes = if sequence.between(0, 20) == 0 { 5_000 } else { 60 };
        let persistent = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(2));
        let publish = basic::Publish { exchange, routing_key, ..Default::default() };
        let payload = payload::encode(id, QUEUES[queue], bytes);
        let tag = self.amqp.publish(now, channel, publish, persistent.as_properties(), &payload)?;
        Ok(((queue, id), tag))
    }

    /// Does some of a transaction, or ends it.
    fn transact(
        &mut self,
        now: Instant,
        channel: u16,
        book: &mut Book,
        sequence: &mut Sequence,
        works: bool,
    ) -> Result<(), Misuse> {
        let mut transaction = self.transaction.take().unwrap_or_default();
        if !transaction.is_asked {
            let publishes = works && (self.role == Role::Committer || sequence.between(0, 3) == 0);
            let has_some = !transaction.groups.is_empty() || publishes || !self.held.is_empty();
            if !has_some {
                return Ok(());
            }
            if transaction.groups.is_empty() {
                transaction.groups.push(book.ledger.begin_group(true));
                transaction.rolls_back = works && sequence.between(0, 4) == 0;
            }
            if publishes {
                let key = self.publish(now, channel, transaction.groups[0], book, sequence)?.0;
                transaction.sent.push(key);
            }
            for (tag, key) in std::mem::take(&mut self.held) {
                let rejects = works && key.0 != DEAD && sequence.between(0, 5) == 0;
                if rejects {
                    let reject = basic::Reject { delivery_tag: tag, requeue: false };
                    self.amqp.send(now, channel, reject)?;
                } else {
                    self.amqp.send(now, channel, basic::Ack { delivery_tag: tag, multiple: false })?;
                }
                transaction.settled.push((tag, key, rejects));
            }
            if !works || sequence.between(0, 2) == 0 {
                self.finish(now, channel, book, &mut transaction)?;
            }
        }
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Commits, or does not.
    fn finish(
        &mut self,
        now: Instant,
        channel: u16,
        book: &mut Book,
        transaction: &mut Transaction,
    ) -> Result<(), Misuse> {
        transaction.is_asked = true;
        if transaction.rolls_back {
            return self.amqp.send(now, channel, tx::Rollback {});
        }
        let whole = transaction.groups[0];
        for (_, key, rejects) in &transaction.settled {
            if key.0 != DEAD && *rejects {
                forget(book, *key);
            } else if key.0 != DEAD {
                book.ledger.settle_message(whole, key.1);
            }
            book.settle(self.place, *key, *rejects);
        }
        for key in &transaction.sent {
            book.sent(*key);
        }
        book.ledger.commit_group(whole);
        self.amqp.send(now, channel, tx::Commit {})
    }

    /// Something that a consumer may do.
    fn do_something(
        &mut self,
        now: Instant,
        channel: u16,
        book: &mut Book,
        sequence: &mut Sequence,
    ) -> Result<(), Misuse> {
        match sequence.between(1, 100) {
            1..=3 => {
                for (_, key) in std::mem::take(&mut self.held) {
                    book.give_back(self.place, key);
                }
                self.recovers = true;
                self.amqp.send(now, channel, basic::Recover { requeue: true })
            }
            4..=7 => {
                let Role::Taker(queues) = self.role else { return Ok(()) };
                let queue = queues[sequence.between(0, queues.len() as u64 - 1) as usize];
                let tag = format!("{}.{}", QUEUES[queue], queue);
                let cancel = basic::Cancel { consumer_tag: ShortStr::cut(&tag), no_wait: false };
                self.amqp.send(now, channel, cancel)?;
                self.consume(now, channel, queue)
            }
            8..=50 if self.role == Role::Getter => self.get(now, channel, sequence),
            percent => {
                let Some(count) = (self.held.len() as u64).checked_sub(1) else { return Ok(()) };
                let place = sequence.between(0, count) as usize;
                let Some((&tag, &key)) = self.held.iter().nth(place) else { return Ok(()) };
                match percent {
                    51..=60 => {
                        self.held.remove(&tag);
                        book.give_back(self.place, key);
                        self.amqp.send(now, channel, basic::Reject { delivery_tag: tag, requeue: true })
                    }
                    61..=70 if key.0 != DEAD => {
                        self.held.remove(&tag);
                        forget(book, key);
                        book.settle(self.place, key, true);
                        self.amqp.send(now, channel, basic::Reject { delivery_tag: tag, requeue: false })
                    }
                    _ => self.settle(now, channel, book, tag, percent > 85),
                }
            }
        }
    }

    /// Accepts one message, or all up to one.
    fn settle(
        &mut self,
        now: Instant,
        channel: u16,
        book: &mut Book,
        tag: u64,
        only_one: bool,
    ) -> Result<(), Misuse> {
        let later = self.held.split_off(&tag.saturating_add(1));
        let mut settled = std::mem::replace(&mut self.held, later);
        if only_one {
            let last = settled.pop_last();
            self.held.append(&mut settled);
            settled.extend(last);
        }
        let Some(&delivery_tag) = settled.keys().next_back() else { return Ok(()) };
        for key in settled.into_values() {
            forget(book, key);
            book.settle(self.place, key, false);
        }
        self.amqp.send(now, channel, basic::Ack { delivery_tag, multiple: !only_one })
    }

    fn get(&mut self, now: Instant, channel: u16, sequence: &mut Sequence) -> Result<(), Misuse> {
        if self.gets.is_some() {
            return Ok(());
        }
        let queue = sequence.between(0, DEAD as u64) as usize;
        self.gets = Some(queue);
        self.amqp.send(now, channel, basic::Get { queue: ShortStr::cut(QUEUES[queue]), no_ack: false })
    }
}

/// A message is settled in a way that is not answered: what comes of it is known if it comes back.
fn forget(book: &mut Book, key: Key) {
    if key.0 != DEAD {
        let group = book.ledger.begin_group(false);
        book.ledger.settle_message(group, key.1);
        book.ledger.give_up_group(group);
    }
}

/// What a queue is declared with.
fn arguments(queue: usize) -> TableBuilder {
    let table = TableBuilder::new();
    if queue == DEAD {
        return table;
    }
    let table = table
        .with("x-dead-letter-exchange", Value::LongStr(b""))
        .with("x-dead-letter-routing-key", Value::LongStr(QUEUES[DEAD].as_bytes()));
    if queue == 1 { table.with("x-single-active-consumer", Value::Bool(true)) } else { table }
}
