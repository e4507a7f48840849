//! A broker of one association for tests: answers commands at once or when told to, keeps retained values and
//! subscriptions, and delivers with a window. Obvious rather than fast.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use mynah_coap::directory::{Directory, SharedDirectory};
use mynah_coap::framing::Transport;
use mynah_coap::mapping::CoapCodec;
use mynah_coap::{Coap, CoapConfig};
use mynah_model::{
    Class, DeliveryId, Expiry, Filter, Header, Instant, Layout, LeaseSettlement, Message, MessageView,
    Properties, Reason, RetainHandling, SubscriptionOptions, TenantId, Topic, ValueTag, WallTime,
};
use mynah_stack::{
    Close, Command, Connection, ConsumerId, Delivery, Frame, FrameKind, Hold, Holding, LayoutCodec, Lease,
    Opened, Outbound, Outcome, Protocol, Publish, QueueCommand, QueueOutcome, Refusal, Step, Value,
};

/// Messages that came by another protocol: topic, then payload.
const ELSEWHERE: Layout = Layout { id: 200, version: 1 };

/// The broker's end of an association.
pub(crate) struct Server {
    pub(crate) protocol: Coap,
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) out: Outbound,
    pub(crate) closed: Option<Close>,
    unread: Vec<u8>,
    pub(crate) retained: BTreeMap<Vec<u8>, (Message, u64)>,
    tags: u64,
    pub(crate) subscriptions: BTreeMap<Vec<u8>, SubscriptionOptions>,
    pub(crate) published: Vec<Message>,
    pub(crate) settled: Vec<(u16, bool)>,
    leased: BTreeMap<u16, ()>,
    backlog: VecDeque<Waiting>,
    last_id: u16,
    window: usize,
    pub(crate) opens: usize,
    /// What openings, publications and reads are refused with.
    pub(crate) refuse_open: Option<Reason>,
    pub(crate) refuse: Option<Reason>,
    /// Whether outcomes wait until [`Server::release`].
    pub(crate) holds: bool,
    held: VecDeque<Held>,
    /// Messages of the queue `jobs`, and those that are leased.
    pub(crate) queued: VecDeque<Message>,
    pub(crate) lent: BTreeMap<u64, Message>,
}

#[derive(Clone)]
struct Waiting {
    message: Message,
    class: Class,
    retain: bool,
    id: mynah_model::SubscriptionId,
}

enum Held {
    Published(u16, Class, Result<bool, Reason>),
    Value(Vec<u8>),
}

#[derive(Debug)]
struct Locked(Mutex<Directory>);

impl SharedDirectory for Locked {
    fn with(&self, work: &mut dyn FnMut(&mut Directory)) {
        work(&mut self.0.lock().unwrap());
    }
}

impl Server {
    pub(crate) fn new(config: CoapConfig, transport: Transport) -> Self {
        Self::of(Coap::new(config, transport, [7, 9]).unwrap())
    }

    /// A server that trusts its peers and has a directory where so many may register.
    pub(crate) fn with_directory(registrations_max: usize) -> Self {
        Self::with_directory_and(
            registrations_max,
            CoapConfig { amplification_max: 0, ..CoapConfig::default() },
        )
    }

    pub(crate) fn with_directory_and(registrations_max: usize, config: CoapConfig) -> Self {
        let directory = Arc::new(Locked(Mutex::new(Directory::new(registrations_max))));
        Self::of(Coap::new(config, Transport::Datagram, [7, 9]).unwrap().with_directory(directory))
    }

    pub(crate) fn of(protocol: Coap) -> Self {
        let connection = protocol.accept(Instant::ZERO);
        Self {
            protocol,
            connection,
            out: Outbound::new(),
            closed: None,
            unread: Vec::new(),
            retained: BTreeMap::new(),
            tags: 0,
            subscriptions: BTreeMap::new(),
            published: Vec::new(),
            settled: Vec::new(),
            leased: BTreeMap::new(),
            backlog: VecDeque::new(),
            last_id: 0,
            window: 0,
            opens: 0,
            refuse_open: None,
            refuse: None,
            holds: false,
            held: VecDeque::new(),
            queued: VecDeque::new(),
            lent: BTreeMap::new(),
        }
    }

    /// A server over datagrams whose peers are known to be where they say.
    pub(crate) fn trusting() -> Self {
        let config = CoapConfig { amplification_max: 0, ..CoapConfig::default() };
        Self::new(config, Transport::Datagram)
    }

    pub(crate) fn hear(&mut self, now: Instant, bytes: &[u8]) {
        if self.closed.take().is_some() {
            // Over datagrams, who is heard after the end begins anew.
            self.connection = self.protocol.accept(now);
            self.subscriptions.clear();
            self.leased.clear();
        }
        self.unread.extend_from_slice(bytes);
        self.run(now);
    }

    /// Lets the connection work until it is idle.
    pub(crate) fn run(&mut self, now: Instant) {
        loop {
            let unread = std::mem::take(&mut self.unread);
            let mut input = &unread[..];
            let step = self.connection.step(now, &mut input, &mut self.out);
            let command = match step {
                Step::Idle => None,
                Step::Close(close) => {
                    assert!(self.closed.replace(close).is_none(), "it ends once");
                    None
                }
                Step::Command(Command::Prepared(mut named)) => {
                    self.execute(now, named.command());
                    Some(())
                }
                Step::Command(command) => {
                    self.execute(now, command);
                    Some(())
                }
            };
            self.unread = input.to_vec();
            if command.is_none() {
                break;
            }
        }
        self.pump(now);
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now, &mut self.out);
        self.run(now);
    }

    /// Answers what was held back.
    pub(crate) fn release(&mut self, now: Instant) {
        self.holds = false;
        while let Some(held) = self.held.pop_front() {
            match held {
                Held::Published(receipt, class, result) => {
                    let outcome = Outcome::Published { receipt, class, result };
                    self.connection.handle_outcome(now, outcome, &mut self.out);
                }
                Held::Value(topic) => self.answer_value(now, &topic),
            }
            self.run(now);
        }
    }

    /// A message of another protocol.
    pub(crate) fn publish(&mut self, now: Instant, topic: &str, payload: &[u8], class: Class, retain: bool) {
        let native = [topic.as_bytes(), payload].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: ELSEWHERE,
            class,
            retain,
            priority: mynah_model::PRIORITY_DEFAULT,
            topic: (0, topic.len() as u32),
            payload: (topic.len() as u32, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &native }.to_message();
        self.spread(now, &message);
        self.run(now);
    }

    fn execute(&mut self, now: Instant, command: Command<'_>) {
        match command {
            Command::Open(open) => {
                self.opens += 1;
                self.window = open.receive_max.into();
                let opened = Opened::new(false, Expiry::WithConnection);
                let outcome = Outcome::Opened(self.refuse_open.map_or(Ok(opened), Err));
                self.connection.handle_outcome(now, outcome, &mut self.out);
            }
            Command::Publish(publish) => {
                let is_answered = publish.header.class.is_confirmed();
                let (receipt, class) = (publish.receipt, publish.header.class);
                let result = self.take(now, &publish);
                if is_answered {
                    self.answer(now, Held::Published(receipt, class, result));
                }
            }
            Command::PublishIf(command) => {
                let topic = command.publish.view().topic().as_bytes().to_vec();
                let tag = self.retained.get(&topic).map(|(_, tag)| ValueTag::from_number(*tag));
                let holds = command.conditions.iter().all(|condition| condition.holds(tag));
                let result =
                    if holds { self.take(now, &command.publish) } else { Err(Reason::ConditionFailed) };
                let (receipt, class) = (command.publish.receipt, command.publish.header.class);
                self.answer(now, Held::Published(receipt, class, result));
            }
            Command::Read(topic) => self.answer(now, Held::Value(topic.as_bytes().to_vec())),
            Command::Subscribe(subscribe) => {
                let mut results = Vec::new();
                let mut replays = Vec::new();
                for request in subscribe.requests.into_iter().map(Result::unwrap) {
                    let filter = request.filter.as_bytes().to_vec();
                    if let Some(reason) = self.refuse {
                        results.push(Err(reason));
                        continue;
                    }
                    if request.options.retain_handling != RetainHandling::Never {
                        replays.push((filter.clone(), request.options));
                    }
                    self.subscriptions.insert(filter, request.options);
                    results.push(Ok(request.options.class_max));
                }
                let outcome = Outcome::Subscribed { receipt: subscribe.receipt, results: &results };
                self.connection.handle_outcome(now, outcome, &mut self.out);
                for (filter, options) in replays {
                    self.replay(&filter, options);
                }
            }
            Command::Unsubscribe(unsubscribe) => {
                let remove = |name: &[u8]| self.subscriptions.remove(name).is_some();
                let results: Vec<bool> =
                    unsubscribe.requests.iter().map(|r| r.filter.as_bytes()).map(remove).collect();
                let outcome = Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &results };
                self.connection.handle_outcome(now, outcome, &mut self.out);
            }
            Command::Settle(settle) => {
                let is_accepted = settle.settlement == mynah_stack::Settlement::Accepted;
                assert!(self.leased.remove(&settle.delivery.number()).is_some(), "it is settled once");
                self.settled.push((settle.delivery.number(), is_accepted));
                self.pump(now);
            }
            Command::Queue(QueueCommand::Hold(hold)) => self.hold(now, &hold),
            other => panic!("CoAP has no such words: {other:?}"),
        }
    }

    fn hold(&mut self, now: Instant, hold: &Hold<'_>) {
        let until = WallTime::from_unix_millis(1_000);
        let result = match hold.holding {
            _ if hold.queue != b"jobs" => Err(Refusal { reason: Reason::NotFound, detail: "" }),
            Holding::Take { credit, .. } => {
                for _ in 0..credit.messages {
                    let Some(message) = self.queued.pop_front() else { break };
                    self.lend(now, &message, until);
                }
                Ok(Some(until))
            }
            Holding::Settle(lease, settlement) => Ok(self.lent.remove(&lease).map(|message| {
                if settlement != LeaseSettlement::Accepted {
                    self.queued.push_front(message);
                }
                until
            })),
            Holding::Extend(lease, _) => Ok(self.lent.get(&lease).map(|_| until)),
        };
        let outcome = Outcome::Queue(QueueOutcome::Held { receipt: hold.receipt, result });
        self.connection.handle_outcome(now, outcome, &mut self.out);
    }

    fn lend(&mut self, now: Instant, message: &Message, until: WallTime) {
        let number = self.lent.len() as u64 + 1;
        let mut frame = Frame::default();
        let kind = FrameKind { identified: true, retain: false };
        let said = properties(message.view(), now);
        assert!(CoapCodec.encode(message.view(), &said, self.connection.layout(), kind, &mut frame));
        if frame.wants_message() {
            frame.attach(message);
        }
        let lease = Lease {
            frame: &frame,
            message: message.view(),
            routed: None,
            consumer: ConsumerId(1),
            lease: number,
            acquired: 0,
            failed: 0,
            offset: 0,
            ready: 0,
            deaths: &[],
            subscribed: None,
            until: Some(until),
        };
        assert!(self.connection.deliver(now, Delivery::Leased(&lease), &mut self.out));
        self.lent.insert(number, message.clone());
    }

    fn replay(&mut self, filter: &[u8], options: SubscriptionOptions) {
        let filter = Filter::new(filter).unwrap();
        for (message, _) in self.retained.values() {
            if filter.matches(message.topic()) {
                let class = message.header().class.min(options.class_max);
                let id = options.id.unwrap();
                self.backlog.push_back(Waiting { message: message.clone(), class, retain: true, id });
            }
        }
    }

    fn answer(&mut self, now: Instant, held: Held) {
        if self.holds {
            return self.held.push_back(held);
        }
        match held {
            Held::Published(receipt, class, result) => {
                let outcome = Outcome::Published { receipt, class, result };
                self.connection.handle_outcome(now, outcome, &mut self.out);
            }
            Held::Value(topic) => self.answer_value(now, &topic),
        }
    }

    fn answer_value(&mut self, now: Instant, topic: &[u8]) {
        if let Some(reason) = self.refuse {
            return self.connection.handle_outcome(now, Outcome::Value(Err(reason)), &mut self.out);
        }
        assert!(Topic::new(topic).is_ok());
        let found = self.retained.get(topic).cloned();
        let value = found.as_ref().map(|(message, tag)| Value {
            message,
            properties: properties(message.view(), now),
            tag: ValueTag::from_number(*tag),
        });
        self.connection.handle_outcome(now, Outcome::Value(Ok(value.as_ref())), &mut self.out);
    }

    fn take(&mut self, now: Instant, publish: &Publish<'_>) -> Result<bool, Reason> {
        if let Some(reason) = self.refuse {
            return Err(reason);
        }
        let message = publish.view().to_message();
        self.published.push(message.clone());
        if message.topic().as_bytes() == b"$queue/jobs" {
            self.queued.push_back(message);
            return Ok(true);
        }
        Ok(self.spread(now, &message))
    }

    /// Delivers to whoever wants it; false if nobody does.
    fn spread(&mut self, now: Instant, message: &Message) -> bool {
        let mut is_wanted = false;
        let topic = message.topic().as_bytes().to_vec();
        if message.header().retain {
            self.tags += 1;
            match message.payload() {
                [] => drop(self.retained.remove(&topic)),
                _ => drop(self.retained.insert(topic.clone(), (message.clone(), self.tags))),
            }
        }
        for (filter, options) in &self.subscriptions {
            if Filter::new(filter).unwrap().matches(message.topic()) {
                is_wanted = true;
                let class = message.header().class.min(options.class_max);
                let (retain, id) =
                    (message.header().retain && options.retain_as_published, options.id.unwrap());
                self.backlog.push_back(Waiting { message: message.clone(), class, retain, id });
            }
        }
        self.pump(now);
        is_wanted
    }

    /// Delivers what waits, in order, as far as the window allows.
    fn pump(&mut self, now: Instant) {
        while let Some(waiting) = self.backlog.front() {
            if waiting.class.is_confirmed() && self.leased.len() >= self.window {
                return;
            }
            let Waiting { message, class, retain, id } = self.backlog.pop_front().unwrap();
            let mut delivery_id = None;
            if class.is_confirmed() {
                self.last_id += 1;
                delivery_id = DeliveryId::new(self.last_id);
                self.leased.insert(self.last_id, ());
            }
            let mut frame = Frame::default();
            let kind = FrameKind { identified: delivery_id.is_some(), retain };
            let layout = self.connection.layout();
            let said = properties(message.view(), now);
            assert!(CoapCodec.encode(message.view(), &said, layout, kind, &mut frame));
            if frame.wants_message() {
                frame.attach(&message);
            }
            let delivery = Delivery::Message {
                frame: &frame,
                class,
                id: delivery_id,
                retain,
                redelivered: false,
                subscription_ids: &[id],
            };
            self.connection.deliver(now, delivery, &mut self.out);
        }
    }
}

fn properties(message: MessageView<'_>, now: Instant) -> Properties<'_> {
    let said =
        if message.header.layout == ELSEWHERE { Properties::EMPTY } else { CoapCodec.properties(message) };
    Properties { remaining: message.header.remaining(now), ..said }
}
