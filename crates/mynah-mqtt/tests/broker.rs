//! A broker of one session for tests: answers commands at once, delivers what it gets to its own subscriber, and
//! keeps the session between connections. Obvious rather than fast.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use mynah_model::{
    Class, DeliveryId, Expiry, Filter, Header, Instant, Layout, Message, MessageView, Reason, SubscriptionId,
    SubscriptionOptions, TenantId,
};
use mynah_mqtt::connection::ServerConnection;
use mynah_mqtt::mapping::MqttCodec;
use mynah_mqtt::{Config, Error};
use mynah_stack::testing::Endpoint;
use mynah_stack::{
    Close, Command, Connection, Delivery, Exchange, Frame, FrameKind, LayoutCodec, Opened, Outbound, Outcome,
    Publish, Settle, Settlement, Step, SubscribeResult,
};

/// What outlives a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    filters: Vec<(Vec<u8>, SubscriptionOptions)>,
    unsettled: Vec<Unsettled>,
    /// What the client has no room for.
    waiting: VecDeque<Copy>,
    taken: BTreeSet<u16>,
    last_id: u16,
}

/// A message for this client.
#[derive(Clone, Debug)]
struct Copy {
    message: Message,
    class: Class,
    ids: Vec<SubscriptionId>,
}

#[derive(Debug)]
struct Unsettled {
    id: DeliveryId,
    copy: Copy,
    received: bool,
}

/// The broker's end of a connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connection: ServerConnection,
    pub(crate) out: Outbound,
    pub(crate) closed: Option<Close>,
    /// What every CONNECT, and every publication, is refused with.
    pub(crate) refuse_open: Option<Reason>,
    pub(crate) refuse_publish: Option<Reason>,
    /// Whether CONNECT stays unanswered.
    pub(crate) hold_open: bool,
    /// Whether anybody may see the messages, with what they were.
    pub(crate) published: Vec<Message>,
    pub(crate) will: Option<Message>,
    pub(crate) will_published: bool,
    pub(crate) last_open: Option<mynah_stack::Open>,
    /// The method that a client may authenticate by: it challenges everybody by `q` and is content with `a`.
    pub(crate) method: Option<String>,
    session: Option<Session>,
    keeps_session: bool,
    is_open: bool,
}

impl Server {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            connection: ServerConnection::new(Arc::new(config.clone()), now),
            out: Outbound::new(),
            closed: None,
            refuse_open: None,
            refuse_publish: None,
            hold_open: false,
            published: Vec::new(),
            will: None,
            will_published: false,
            last_open: None,
            method: None,
            session: None,
            keeps_session: false,
            is_open: false,
        }
    }

    /// Takes another connection of the same client.
    pub(crate) fn accept(&mut self, config: &Config, now: Instant) {
        self.connection = ServerConnection::new(Arc::new(config.clone()), now);
        self.out = Outbound::new();
        self.closed = None;
        self.is_open = false;
    }

    /// Everything that the connection answers to these bytes.
    pub(crate) fn hear(&mut self, now: Instant, mut bytes: &[u8]) -> Vec<u8> {
        self.handle_input(now, &mut bytes);
        self.out.drain()
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.connection.failure()
    }

    /// A message from somebody else.
    pub(crate) fn publish_from_elsewhere(
        &mut self,
        now: Instant,
        topic: &[u8],
        payload: &[u8],
        class: Class,
    ) {
        let native = [topic, payload].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 200, version: 1 },
            class,
            retain: false,
            priority: mynah_model::PRIORITY_DEFAULT,
            topic: (0, topic.len() as u32),
            payload: (topic.len() as u32, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &native }.to_message();
        self.route(now, &message);
    }

    fn execute(&mut self, now: Instant, command: Command<'_>) {
        match command {
            Command::Open(open) => self.open(now, *open),
            Command::Publish(publish) => self.publish(now, &publish),
            Command::Complete { receipt } => {
                let known = self.session().taken.remove(&receipt);
                self.answer(now, Outcome::Completed { receipt, known });
            }
            Command::Subscribe(subscribe) => {
                let mut results: Vec<SubscribeResult> = Vec::new();
                for request in subscribe.requests {
                    results.push(request.map(|r| {
                        let filter = r.filter.as_bytes().to_vec();
                        self.session().filters.retain(|(f, _)| *f != filter);
                        self.session().filters.push((filter, r.options));
                        r.options.class_max
                    }));
                }
                self.answer(now, Outcome::Subscribed { receipt: subscribe.receipt, results: &results });
            }
            Command::Unsubscribe(unsubscribe) => {
                let results: Vec<bool> =
                    unsubscribe.requests.iter().map(|r| self.drop_filter(r.filter)).collect();
                self.answer(now, Outcome::Unsubscribed { receipt: unsubscribe.receipt, results: &results });
            }
            Command::Settle(settle) => self.settle(now, settle),
            Command::Authenticate(exchange) => self.authenticate(now, &exchange),
            Command::Read(_) | Command::PublishIf(_) | Command::Queue(_) | Command::Prepared(_) => {
                unreachable!("MQTT has no such words")
            }
        }
    }

    fn open(&mut self, now: Instant, open: mynah_stack::Open) {
        let request = open.session.clone().expect("MQTT always asks for a session");
        self.will = open.will.as_ref().map(|will| will.message.clone());
        self.last_open = Some(open);
        if self.hold_open {
            return;
        }
        if let Some(reason) = self.refuse_open {
            return self.answer(now, Outcome::Opened(Err(reason)));
        }
        if request.clean_start {
            self.session = None;
        }
        self.keeps_session = request.expiry != Expiry::WithConnection;
        let exchange = self.last_open.as_ref().and_then(|open| open.exchange.as_ref());
        match exchange.map(|exchange| Some(&*exchange.method) == self.method.as_deref()) {
            Some(true) => self.answer(now, Outcome::Challenge(b"q")),
            Some(false) => self.answer(now, Outcome::Opened(Err(Reason::BadAuthenticationMethod))),
            None => self.let_in(now),
        }
    }

    fn authenticate(&mut self, now: Instant, exchange: &Exchange) {
        let result = match &*exchange.data {
            b"a" => Ok(()),
            b"" => return self.answer(now, Outcome::Challenge(b"q")),
            _ => Err(Reason::NotAuthorized),
        };
        match (self.is_open, result) {
            (true, result) => self.answer(now, Outcome::Authenticated(result.map(|()| None))),
            (false, Ok(())) => self.let_in(now),
            (false, Err(reason)) => self.answer(now, Outcome::Opened(Err(reason))),
        }
    }

    fn let_in(&mut self, now: Instant) {
        let session_present = self.session.is_some();
        self.session.get_or_insert_default();
        let request = self.last_open.as_ref().unwrap().session.clone().unwrap();
        let assigned_client_id = request.client_id.is_empty().then_some(&b"assigned"[..]);
        let opened = Opened { assigned_client_id, ..Opened::new(session_present, request.expiry) };
        self.answer(now, Outcome::Opened(Ok(opened)));
        self.is_open = true;
        for at in 0..self.session().unsettled.len() {
            let unsettled = &self.session().unsettled[at];
            let (id, copy) = (unsettled.id, unsettled.copy.clone());
            if unsettled.received {
                self.connection.deliver(now, Delivery::Release { id }, &mut self.out);
            } else {
                self.deliver(now, &copy, Some(id), true);
            }
        }
    }

    fn publish(&mut self, now: Instant, publish: &Publish<'_>) {
        let class = publish.header.class;
        let receipt = publish.receipt;
        if let Some(reason) = self.refuse_publish {
            return self.answer(now, Outcome::Published { receipt, class, result: Err(reason) });
        }
        let is_new = class != Class::ExactlyOnce || self.session().taken.insert(receipt);
        if is_new {
            let message = publish.view().to_message();
            self.published.push(message.clone());
            if class.is_confirmed() {
                self.answer(now, Outcome::Published { receipt, class, result: Ok(true) });
            }
            self.route(now, &message);
        } else {
            self.answer(now, Outcome::Published { receipt, class, result: Ok(true) });
        }
    }

    fn route(&mut self, now: Instant, message: &Message) {
        let matches = |f: &[u8]| Filter::from_checked(f).matches(message.topic());
        let options: Vec<_> =
            self.session().filters.iter().filter(|(f, _)| matches(f)).map(|(_, options)| *options).collect();
        let Some(class) = options.iter().map(|o| o.class_max).max() else { return };
        let class = class.min(message.header().class);
        let ids = options.iter().filter_map(|o| o.id).collect();
        self.session().waiting.push_back(Copy { message: message.clone(), class, ids });
        self.pump(now);
    }

    /// Sends what waits, as far as the client has room for it: in order, but that QoS 0 needs no room.
    fn pump(&mut self, now: Instant) {
        let room = usize::from(self.last_open.as_ref().unwrap().receive_max);
        let mut held = VecDeque::new();
        while let Some(copy) = self.session().waiting.pop_front() {
            if copy.class.is_confirmed() && self.session().unsettled.len() >= room {
                held.push_back(copy);
                continue;
            }
            let id = copy.class.is_confirmed().then(|| {
                let session = self.session();
                session.last_id += 1;
                let id = DeliveryId::new(session.last_id).expect("few messages in a test");
                session.unsettled.push(Unsettled { id, copy: copy.clone(), received: false });
                id
            });
            if !self.deliver(now, &copy, id, false) {
                self.session().unsettled.retain(|unsettled| Some(unsettled.id) != id);
            }
        }
        self.session().waiting = held;
    }

    fn deliver(&mut self, now: Instant, copy: &Copy, id: Option<DeliveryId>, redelivered: bool) -> bool {
        let mut frame = Frame::default();
        let Copy { message, class, ids } = copy;
        let kind = FrameKind { identified: id.is_some(), retain: false };
        let properties = MqttCodec.properties(message.view());
        let layout = self.connection.layout();
        assert!(MqttCodec.encode(message.view(), &properties, layout, kind, &mut frame));
        if frame.wants_message() {
            frame.attach(message);
        }
        let (class, retain) = (*class, false);
        let delivery =
            Delivery::Message { frame: &frame, class, id, retain, redelivered, subscription_ids: ids };
        self.connection.deliver(now, delivery, &mut self.out)
    }

    fn settle(&mut self, now: Instant, settle: Settle) {
        let id = settle.delivery;
        let fits = |unsettled: &Unsettled| match settle.settlement {
            Settlement::Received => unsettled.copy.class == Class::ExactlyOnce,
            Settlement::Accepted => unsettled.copy.class == Class::AtLeastOnce,
            Settlement::Rejected => !unsettled.received,
            Settlement::Completed => unsettled.received,
        };
        if self.session().unsettled.iter().any(|u| u.id == id && !fits(u)) {
            return self.answer(now, Outcome::Ended(Reason::ProtocolViolation));
        }
        match settle.settlement {
            Settlement::Received => {
                let mut known = false;
                for unsettled in self.session().unsettled.iter_mut().filter(|u| u.id == id) {
                    unsettled.received = true;
                    known = true;
                }
                self.answer(now, Outcome::Received { id, known });
            }
            Settlement::Accepted | Settlement::Completed | Settlement::Rejected => {
                self.session().unsettled.retain(|u| u.id != id);
                self.pump(now);
            }
        }
    }

    fn drop_filter(&mut self, filter: Filter<'_>) -> bool {
        let before = self.session().filters.len();
        self.session().filters.retain(|(f, _)| f != filter.as_bytes());
        self.session().filters.len() < before
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("commands come after the session is open")
    }

    fn answer(&mut self, now: Instant, outcome: Outcome<'_>) {
        self.connection.handle_outcome(now, outcome, &mut self.out);
    }

    fn end(&mut self, publish_will: bool) {
        if self.will.take().is_some() && publish_will {
            self.will_published = true;
        }
        if !self.keeps_session {
            self.session = None;
        }
    }

    /// The messages that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.session.as_ref().map_or(0, |s| s.unsettled.len())
    }
}

impl Endpoint for Server {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        loop {
            match self.connection.step(now, input, &mut self.out) {
                Step::Idle => return,
                Step::Command(command) => self.execute(now, command),
                Step::Close(close) => {
                    if self.closed.is_none() {
                        self.closed = Some(close);
                        if let Some(expiry) = close.expiry {
                            self.keeps_session = expiry != Expiry::WithConnection;
                        }
                        self.end(close.publish_will);
                    }
                    return;
                }
            }
        }
    }

    fn handle_end(&mut self, _now: Instant) {
        self.end(true);
    }

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.out.drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.connection.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now, &mut self.out);
        self.handle_input(now, &mut &[][..]);
    }

    fn is_finished(&self) -> bool {
        self.closed.is_some()
    }
}

/// A server with an open clean session, and nothing unread.
pub(crate) fn open_server() -> Server {
    let mut server = Server::new(&Config::default(), Instant::ZERO);
    assert_eq!(server.hear(Instant::ZERO, CONNECT), CONNACK);
    server
}

/// CONNECT of client `p` with a clean session and a keep-alive of 10 s.
pub(crate) const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x0a\0\x01p";
/// CONNACK: accepted, no session.
pub(crate) const CONNACK: &[u8] = b"\x20\x02\0\0";
