//! A broker of one connection for tests: topics, exchanges and queues with credit, leases and transactions. Answers at once,
//! unless it is told to hold its answers. Obvious rather than fast.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mynah_model::{
    Class, Expiry, Filter, Header, Instant, Layout, Message, MessageView, PRIORITY_DEFAULT, Properties,
    QueueSettings, Reason, SubscriptionId, TenantId, Topic, WallTime,
};
use mynah_stack::{
    Close, Command, Connection, ConsumerId, Credit, CreditChange, Declaration, Declared, Delivery,
    Destination, Entity, Frame, FrameKind, LayoutCodec, Lease, LeaseSettlement, Opened, Outbound, Outcome,
    Publish, QueueCommand, QueueOutcome, Refusal, SettleLeases, Step, Transaction,
};
use mynah_stomp::connection::ServerConnection;
use mynah_stomp::mapping::StompCodec;
use mynah_stomp::{Config, Error};

/// The time of day when the tests' clock is at its origin.
pub(crate) const EPOCH: WallTime = WallTime::from_unix_millis(1_700_000_000_000);

/// A message in a queue, and how often it was taken.
type Stored = (Message, u32);

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) queue: Vec<u8>,
    pub(crate) settled: bool,
    pub(crate) selector: Option<String>,
    pub(crate) credit: Credit,
    lease: u64,
    held: BTreeMap<u64, Stored>,
}

/// The broker's end of a connection.
pub(crate) struct Server {
    pub(crate) connection: ServerConnection,
    pub(crate) out: Outbound,
    pub(crate) closed: Option<Close>,
    pub(crate) published: Vec<(String, Message)>,
    pub(crate) queues: BTreeMap<Vec<u8>, VecDeque<Stored>>,
    pub(crate) declared: Vec<(Vec<u8>, Option<QueueSettings>)>,
    /// Exchange, queue and key.
    pub(crate) bound: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    attached: Vec<(Vec<u8>, SubscriptionId)>,
    pub(crate) consumers: BTreeMap<ConsumerId, Consumer>,
    pub(crate) rejected: Vec<Message>,
    /// The delay of the last publication that has one.
    pub(crate) delay: Option<Duration>,
    pub(crate) user: Option<(String, Option<String>)>,
    /// The tenant that the client named.
    pub(crate) tenant: Option<String>,
    pub(crate) refuse: Option<Reason>,
    /// Whether confirmed publications and settlements are not answered yet.
    pub(crate) holds: bool,
    held: Vec<Held>,
    input: Vec<u8>,
    now: Instant,
}

enum Held {
    Published(u16, Class),
    Settled(u32),
}

impl Server {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            connection: ServerConnection::new(Arc::new(config), EPOCH, Instant::ZERO),
            out: Outbound::new(),
            closed: None,
            published: Vec::new(),
            queues: BTreeMap::new(),
            declared: Vec::new(),
            bound: Vec::new(),
            attached: Vec::new(),
            consumers: BTreeMap::new(),
            rejected: Vec::new(),
            delay: None,
            user: None,
            tenant: None,
            refuse: None,
            holds: false,
            held: Vec::new(),
            input: Vec::new(),
            now: Instant::ZERO,
        }
    }

    /// A server with an open session of this version.
    pub(crate) fn open(version: &str) -> Self {
        Self::open_with(version, Config::default())
    }

    pub(crate) fn open_with(version: &str, config: Config) -> Self {
        let mut server = Self::new(config);
        let connect = format!("CONNECT\naccept-version:{version}\nhost:h\n\n\0");
        let connected = server.hear(&connect);
        assert!(connected.starts_with(&format!("CONNECTED\nversion:{version}\n")), "{connected}");
        server
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.connection.failure()
    }

    /// Hears octets, and gives what is written: `^@` stands for NUL.
    pub(crate) fn hear(&mut self, input: impl AsRef<[u8]>) -> String {
        self.hear_at(Instant::ZERO, input)
    }

    pub(crate) fn hear_at(&mut self, now: Instant, input: impl AsRef<[u8]>) -> String {
        self.input.extend_from_slice(input.as_ref());
        self.run(now);
        self.written()
    }

    pub(crate) fn written(&mut self) -> String {
        String::from_utf8_lossy(&self.out.drain()).replace('\0', "^@")
    }

    /// Answers what was held.
    pub(crate) fn release(&mut self) -> String {
        for held in std::mem::take(&mut self.held) {
            let outcome = match held {
                Held::Published(receipt, class) => Outcome::Published { receipt, class, result: Ok(true) },
                Held::Settled(receipt) => Outcome::Queue(QueueOutcome::Settled { receipt }),
            };
            self.tell(outcome);
        }
        self.run(Instant::ZERO);
        self.written()
    }

    pub(crate) fn timeout(&mut self, now: Instant) -> String {
        self.connection.handle_timeout(now, &mut self.out);
        self.run(now);
        self.written()
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
    }

    fn run(&mut self, now: Instant) {
        self.now = now;
        let octets = std::mem::take(&mut self.input);
        let mut input = octets.as_slice();
        while self.closed.is_none() {
            match self.connection.step(now, &mut input, &mut self.out) {
                Step::Idle => break,
                Step::Close(close) => self.closed = Some(close),
                Step::Command(Command::Prepared(mut prepared)) => self.carry_out(now, prepared.command()),
                Step::Command(command) => self.carry_out(now, command),
            }
        }
        self.input = input.to_vec();
    }

    fn carry_out(&mut self, now: Instant, command: Command<'_>) {
        match command {
            Command::Open(open) => {
                self.tenant = open.tenant.map(String::from);
                self.user = open.credentials.map(|credentials| {
                    let password = credentials.password.map(|secret| String::from_utf8_lossy(&secret).into());
                    (credentials.user.into(), password)
                });
                let opened = Opened::new(false, Expiry::WithConnection);
                self.tell(Outcome::Opened(self.refuse.map_or(Ok(opened), Err)));
            }
            Command::Publish(publish) => {
                let (receipt, class) = (publish.receipt, publish.header.class);
                if let Some(reason) = self.refuse {
                    return self.tell(Outcome::Published { receipt, class, result: Err(reason) });
                }
                self.publish(now, &publish);
                if self.holds && (receipt != 0 || class.is_confirmed()) {
                    return self.held.push(Held::Published(receipt, class));
                }
                if class.is_confirmed() || publish.confirm {
                    self.tell(Outcome::Published { receipt, class, result: Ok(true) });
                }
            }
            Command::Subscribe(subscribe) => {
                let request = subscribe.requests[0].unwrap();
                if self.refuse.is_none() {
                    self.attached.push((request.filter.as_bytes().into(), request.options.id.unwrap()));
                }
                let results = [self.refuse.map_or(Ok(request.options.class_max), Err)];
                self.tell(Outcome::Subscribed { receipt: subscribe.receipt, results: &results });
            }
            Command::Unsubscribe(unsubscribe) => {
                let filter = unsubscribe.requests[0].filter.as_bytes();
                self.attached.retain(|(own, _)| own != filter);
                self.tell(Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &[true] });
            }
            Command::Queue(command) => self.queue(now, command),
            other => panic!("STOMP has no such words: {other:?}"),
        }
        self.serve(now);
    }

    fn queue(&mut self, now: Instant, command: QueueCommand<'_>) {
        let refusal = |reason| Refusal { reason, detail: "as the test wants" };
        match command {
            QueueCommand::Declare(declare) => {
                let Entity::Queue(name) = declare.entity else { panic!("{declare:?}") };
                let name = if name.is_empty() { &b"gen-1"[..] } else { name };
                let settings = match declare.declaration {
                    Declaration::Queue(settings) => Some(settings),
                    _ => None,
                };
                self.declared.push((name.into(), settings));
                self.queues.entry(name.into()).or_default();
                let declared = Declared { name, messages: 0, consumers: 0 };
                let result = self.refuse.map_or(Ok(declared), |reason| Err(refusal(reason)));
                let receipt = declare.receipt;
                self.tell(Outcome::Queue(QueueOutcome::Declared { receipt, result }));
            }
            QueueCommand::Bind(bind) => {
                let Entity::Queue(queue) = bind.destination else { panic!("{bind:?}") };
                self.bound.push((bind.source.into(), queue.into(), bind.key.into()));
                self.tell(Outcome::Queue(QueueOutcome::Bound { receipt: bind.receipt, result: Ok(()) }));
            }
            QueueCommand::Consume(consume) => {
                let consumer = consume.consumer;
                let is_there = self.queues.contains_key(consume.queue);
                let result = if is_there { Ok(()) } else { Err(refusal(Reason::NotFound)) };
                if is_there {
                    let new = Consumer {
                        queue: consume.queue.into(),
                        settled: consume.options.settled,
                        selector: consume.options.selector.map(Into::into),
                        credit: consume.credit,
                        lease: 0,
                        held: BTreeMap::new(),
                    };
                    self.consumers.insert(consumer, new);
                }
                self.tell(Outcome::Queue(QueueOutcome::Consuming { consumer, result }));
            }
            QueueCommand::Cancel { consumer, .. } => {
                let ended = self.consumers.remove(&consumer).unwrap();
                self.put_back(&ended.queue, ended.held.into_values());
                self.tell(Outcome::Queue(QueueOutcome::Cancelled(consumer)));
            }
            QueueCommand::Delete(delete) => {
                let Entity::Queue(queue) = delete.entity else { panic!("{delete:?}") };
                let result = self.queues.remove(queue).map_or(Err(refusal(Reason::NotFound)), |_| Ok(0));
                let receipt = delete.receipt;
                self.tell(Outcome::Queue(QueueOutcome::Deleted { receipt, result }));
            }
            QueueCommand::Flow(flow) => {
                let CreditChange::Add(more) = flow.change else { panic!("{flow:?}") };
                let credit = &mut self.consumers.get_mut(&flow.consumer).unwrap().credit;
                credit.messages += more.messages;
                credit.bytes += more.bytes;
            }
            QueueCommand::Settle(settle) => self.settle(settle),
            QueueCommand::Hold(_) => {}
            QueueCommand::Transact(transaction) => self.transact(now, *transaction),
            other => panic!("STOMP has no such words: {other:?}"),
        }
    }

    fn transact(&mut self, now: Instant, transaction: Transaction<'_>) {
        let receipt = transaction.receipt;
        let result = match self.refuse {
            Some(reason) => Err(Refusal { reason, detail: "as the test wants" }),
            None => {
                transaction.publications.iter().for_each(|publish| self.publish(now, publish));
                transaction.settlements.into_iter().for_each(|settle| self.settle(settle));
                Ok(())
            }
        };
        self.tell(Outcome::Queue(QueueOutcome::Committed { receipt, result, unwanted: &[] }));
    }

    fn settle(&mut self, settle: SettleLeases) {
        let consumer = self.consumers.get_mut(&settle.consumer).unwrap();
        let (queue, mut back) = (consumer.queue.clone(), Vec::new());
        for lease in settle.first..=settle.last {
            let Some(stored) = consumer.held.remove(&lease) else { continue };
            match settle.settlement {
                LeaseSettlement::Accepted => {}
                LeaseSettlement::Rejected => self.rejected.push(stored.0),
                _ => back.push(stored),
            }
        }
        self.put_back(&queue, back.into_iter());
        if let Some(receipt) = settle.receipt {
            if self.holds {
                self.held.push(Held::Settled(receipt));
            } else {
                self.tell(Outcome::Queue(QueueOutcome::Settled { receipt }));
            }
        }
    }

    fn put_back(&mut self, queue: &[u8], stored: impl DoubleEndedIterator<Item = Stored>) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        stored.rev().for_each(|(message, acquired)| queue.push_front((message, acquired + 1)));
    }

    fn publish(&mut self, now: Instant, publish: &Publish<'_>) {
        self.delay = publish.delay.or(self.delay);
        let message = publish.view().to_message();
        let (to, space) = match publish.to {
            Destination::Topic => ("topic".to_owned(), &b"amq.topic"[..]),
            Destination::Queue => ("queue".to_owned(), &b""[..]),
            Destination::Exchange(name) => (format!("exchange {}", name.escape_ascii()), name),
        };
        self.published.push((to, message.clone()));
        self.distribute(now, &message, space);
    }

    /// Brings a message of another protocol to those who want its topic.
    pub(crate) fn bring(&mut self, topic: &str, payload: &[u8], class: Class) -> String {
        let native = [topic.as_bytes(), payload].concat();
        let end = topic.len() as u32;
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 99, version: 1 },
            class,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (0, end),
            payload: (end, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &native }.to_message();
        self.distribute(Instant::ZERO, &message, b"amq.topic");
        self.serve(Instant::ZERO);
        self.written()
    }

    fn distribute(&mut self, now: Instant, message: &Message, space: &[u8]) {
        let selects = |filter: &[u8]| Filter::from_checked(filter).matches(message.topic());
        if space == b"amq.topic" {
            let wanted = self.attached.iter().filter(|(filter, _)| selects(filter));
            let ids: Vec<_> = wanted.map(|(_, id)| *id).collect();
            if !ids.is_empty() {
                let frame = encode(message, self.connection.layout());
                let delivery = Delivery::Message {
                    frame: &frame,
                    class: Class::AtMostOnce,
                    id: None,
                    retain: false,
                    redelivered: false,
                    subscription_ids: &ids,
                };
                self.connection.deliver(now, delivery, &mut self.out);
            }
        }
        let mut to: Vec<Vec<u8>> = Vec::new();
        if space.is_empty() {
            to.push(message.topic().as_bytes().into());
        }
        let bound = self.bound.iter().filter(|(exchange, _, key)| exchange == space && selects(key));
        to.extend(bound.map(|(_, queue, _)| queue.clone()));
        for queue in to {
            if let Some(queue) = self.queues.get_mut(&queue) {
                queue.push_back((message.clone(), 0));
            }
        }
    }

    /// Hands out what credit allows.
    fn serve(&mut self, now: Instant) {
        let layout = self.connection.layout();
        for (&id, consumer) in &mut self.consumers {
            let Some(queue) = self.queues.get_mut(&consumer.queue) else { continue };
            while consumer.credit.messages > 0 && consumer.credit.bytes > 0 {
                let Some((message, acquired)) = queue.pop_front() else { break };
                consumer.lease += 1;
                if consumer.credit != Credit::UNLIMITED {
                    consumer.credit.messages -= 1;
                    consumer.credit.bytes =
                        consumer.credit.bytes.saturating_sub(message.payload().len() as u64);
                }
                let frame = encode(&message, layout);
                let lease = Lease {
                    frame: &frame,
                    message: message.view(),
                    routed: None,
                    consumer: id,
                    lease: consumer.lease,
                    acquired,
                    failed: 0,
                    offset: consumer.lease,
                    ready: queue.len() as u64,
                    deaths: &[],
                    subscribed: None,
                    until: None,
                };
                self.connection.deliver(now, Delivery::Leased(&lease), &mut self.out);
                if !consumer.settled {
                    consumer.held.insert(consumer.lease, (message, acquired));
                }
            }
        }
    }
}

/// A message in a layout of deliveries.
pub(crate) fn encode(message: &Message, layout: Layout) -> Frame {
    let codec = StompCodec::new(EPOCH);
    let properties = if message.header().layout.id == layout.id {
        codec.properties(message.view())
    } else {
        Properties::EMPTY
    };
    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain: false };
    assert!(codec.encode(message.view(), &properties, layout, kind, &mut frame));
    if frame.wants_message() {
        frame.attach(message);
    }
    frame
}

/// The topic of a message, as text.
pub(crate) fn topic(message: &Message) -> String {
    let topic: Topic<'_> = message.topic();
    String::from_utf8_lossy(topic.as_bytes()).into()
}
