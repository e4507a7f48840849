//! A broker for tests: answers commands at once, or holds the answers back, and remembers what was published. Obvious
//! rather than fast.

use std::sync::Arc;

use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::mapping::{AmqpCodec, LAYOUT};
use mynah_amqp::v0_9_1::wire::connection::{Open, StartOk, TuneOk};
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, FrameType, LongStr, Method, PROTOCOL_HEADER, ShortStr, Table, TableBuilder, Value, channel,
};
use mynah_amqp::v0_9_1::{Config, Exception};
use mynah_model::{Class, Death, Expiry, Instant, Message, Properties, Reason, WallTime};
use mynah_stack::{
    Close, Command, Connection, ConsumerId, Declared, Delivery, Destination, Entity, Frame, FrameKind,
    LayoutCodec, Lease, Opened, Outbound, Outcome, Publish, QueueCommand, QueueOutcome, Refusal, Step,
};

/// The broker's end of a connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connection: ServerConnection,
    pub(crate) out: Outbound,
    pub(crate) closed: Option<Close>,
    pub(crate) published: Vec<Message>,
    pub(crate) user: String,
    pub(crate) tenant: Option<String>,
    pub(crate) refuse_open: Option<Reason>,
    pub(crate) refuse_publish: Option<Reason>,
    /// Whether somebody wants what is published.
    pub(crate) matches: bool,
    /// Whether publications stay unanswered for now.
    pub(crate) holds_answers: bool,
    pub(crate) held: Vec<(u16, Class)>,
    /// What was asked about queues, in words.
    pub(crate) asked: Vec<String>,
    /// How what is asked about queues is refused.
    pub(crate) refuse_queue: Option<(Reason, &'static str)>,
    /// What comes to consumers that ask for a message.
    pub(crate) ready: Vec<Message>,
    /// Bytes that were heard and are not read yet.
    unread: Vec<u8>,
}

/// A frame that a server wrote, in words.
pub(crate) fn shown(bytes: &[u8]) -> Vec<String> {
    let mut input = bytes;
    let mut shown = Vec::new();
    if input.starts_with(b"AMQP") {
        shown.push(format!("header {}", input[4..8].escape_ascii()));
        input = &input[8..];
    }
    while let Some(frame) = next_frame(&mut input, 1 << 20).unwrap() {
        let channel = frame.channel;
        shown.push(match frame.frame_type {
            FrameType::Method => match Method::from_payload(frame.payload).unwrap() {
                Method::ConnectionClose(close) => format!(
                    "{channel} connection.close {} {}.{}",
                    close.reply_code, close.class_id, close.method_id
                ),
                Method::ChannelClose(close) => format!(
                    "{channel} channel.close {} {}.{}",
                    close.reply_code, close.class_id, close.method_id
                ),
                Method::BasicAck(ack) => format!("{channel} ack {} {}", ack.delivery_tag, ack.multiple),
                Method::BasicNack(nack) => format!("{channel} nack {} {}", nack.delivery_tag, nack.multiple),
                method => format!("{channel} {}", method.id()),
            },
            FrameType::Header => {
                format!("{channel} header {}", ContentHeader::decode(frame.payload).unwrap().body_size)
            }
            FrameType::Body => format!("{channel} body {}", frame.payload.escape_ascii()),
            FrameType::Heartbeat => format!("{channel} heartbeat"),
        });
    }
    assert!(input.is_empty(), "whole frames only");
    shown
}

/// A method frame.
pub(crate) fn method<'m>(channel: u16, method: impl Into<Method<'m>>) -> Vec<u8> {
    let mut out = Vec::new();
    method.into().encode(channel, &mut out);
    out
}

/// Any frame.
pub(crate) fn frame(frame_type: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let [c0, c1] = channel.to_be_bytes();
    let [l0, l1, l2, l3] = (payload.len() as u32).to_be_bytes();
    [&[frame_type, c0, c1, l0, l1, l2, l3], payload, b"\xce"].concat()
}

pub(crate) fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).unwrap()
}

pub(crate) fn start_ok(mechanism: &str, response: &[u8], properties: Table<'_>) -> Vec<u8> {
    let start_ok = StartOk {
        client_properties: properties,
        mechanism: short(mechanism),
        response: LongStr(response),
        locale: short("en_US"),
    };
    method(0, start_ok)
}

/// Everything that a usual client understands.
pub(crate) fn capabilities() -> TableBuilder {
    let mut known = TableBuilder::new();
    for name in ["authentication_failure_close", "connection.blocked", "consumer_cancel_notify"] {
        known.push(name, Value::Bool(true));
    }
    TableBuilder::new().with("capabilities", Value::Table(known.as_table()))
}

pub(crate) fn plain() -> Vec<u8> {
    start_ok("PLAIN", b"\0guest\0guest", capabilities().as_table())
}

pub(crate) fn tune_ok() -> Vec<u8> {
    method(0, TuneOk { channel_max: 100, frame_max: 4_096, heartbeat: 0 })
}

pub(crate) fn open_host(name: &str) -> Vec<u8> {
    method(0, Open { virtual_host: short(name) })
}

impl Server {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            connection: ServerConnection::new(Arc::new(config.clone()), WallTime::default(), Instant::ZERO),
            out: Outbound::new(),
            closed: None,
            published: Vec::new(),
            user: String::new(),
            tenant: None,
            refuse_open: None,
            refuse_publish: None,
            matches: true,
            holds_answers: false,
            held: Vec::new(),
            asked: Vec::new(),
            refuse_queue: None,
            ready: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// A server that has got the protocol header.
    pub(crate) fn started(config: &Config) -> Self {
        let mut server = Self::new(config);
        assert_eq!(server.hear(&PROTOCOL_HEADER), ["0 connection.start"]);
        server
    }

    /// A server that waits for tune-ok.
    pub(crate) fn tuning(config: &Config) -> Self {
        let mut server = Self::started(config);
        assert_eq!(server.hear(&plain()), ["0 connection.tune"]);
        server
    }

    /// A server whose virtual host is open.
    pub(crate) fn open(config: &Config) -> Self {
        let mut server = Self::tuning(config);
        assert_eq!(server.hear(&[tune_ok(), open_host("/")].concat()), ["0 connection.open-ok"]);
        server
    }

    /// The same with channel 1.
    pub(crate) fn with_channel(config: &Config) -> Self {
        let mut server = Self::open(config);
        assert_eq!(server.hear(&method(1, channel::Open {})), ["1 channel.open-ok"]);
        server
    }

    /// What the server says to these bytes.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        self.hear_at(Instant::ZERO, bytes);
        shown(&self.out.drain())
    }

    /// What the server says when there is room to store more.
    pub(crate) fn hear_of_room(&mut self) -> Vec<String> {
        if self.connection.awaits_room() {
            self.connection.handle_room(Instant::ZERO, &mut self.out);
        }
        shown(&self.out.drain())
    }

    pub(crate) fn hear_at(&mut self, now: Instant, bytes: &[u8]) {
        if self.closed.is_some() {
            return;
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let mut input = unread.as_slice();
        self.drain(now, &mut input);
        assert!(input.len() <= self.connection.input_bytes_max(), "what is kept is bounded");
        self.unread = input.to_vec();
    }

    pub(crate) fn failure(&self) -> Option<&Exception> {
        self.connection.failure()
    }

    /// Steps until there is nothing more to do.
    fn drain(&mut self, now: Instant, input: &mut &[u8]) {
        loop {
            match self.connection.step(now, input, &mut self.out) {
                Step::Idle => return,
                Step::Close(close) => {
                    self.closed = Some(close);
                    return;
                }
                Step::Command(command) => self.carry_out(now, command),
            }
        }
    }

    fn carry_out(&mut self, now: Instant, command: Command<'_>) {
        match command {
            Command::Open(open) => {
                self.tenant = open.tenant.as_deref().map(Into::into);
                if let Some(credentials) = &open.credentials {
                    self.user = credentials.user.to_string();
                }
                let challenge = open.exchange.is_some().then_some(&b"who?"[..]);
                let outcome = match (self.refuse_open, challenge) {
                    (Some(reason), _) => Outcome::Opened(Err(reason)),
                    (None, Some(challenge)) => Outcome::Challenge(challenge),
                    (None, None) => Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection))),
                };
                self.connection.handle_outcome(now, outcome, &mut self.out);
            }
            Command::Authenticate(exchange) => {
                let outcome = match (&*exchange.method, &*exchange.data) {
                    ("SCRAM-SHA-256", b"me") => {
                        Outcome::Opened(Ok(Opened::new(false, Expiry::WithConnection)))
                    }
                    ("SCRAM-SHA-256", _) => Outcome::Opened(Err(Reason::BadCredentials)),
                    ("PLAIN", b"\0guest\0new") => Outcome::Authenticated(Ok(None)),
                    _ => Outcome::Authenticated(Err(Reason::BadCredentials)),
                };
                self.connection.handle_outcome(now, outcome, &mut self.out);
            }
            Command::Publish(publish) => {
                self.published.push(publish.view().to_message());
                self.note_place(&publish);
                assert!(publish.confirm, "each publication is answered");
                self.held.push((publish.receipt, publish.header.class));
                if !self.holds_answers {
                    self.answer(now, 0);
                }
            }
            Command::Queue(command) => self.carry_out_queue(now, command),
            Command::Prepared(mut prepared) => self.carry_out(now, prepared.command()),
            other => panic!("{other:?}"),
        }
    }

    /// Answers the publication that was held back at this place.
    pub(crate) fn answer(&mut self, now: Instant, at: usize) {
        let (receipt, class) = self.held.remove(at);
        let result = self.refuse_publish.map_or(Ok(self.matches), Err);
        let outcome = Outcome::Published { receipt, class, result };
        self.connection.handle_outcome(now, outcome, &mut self.out);
    }

    fn note_place(&mut self, publish: &Publish<'_>) {
        let topic = publish.view().topic().as_bytes().escape_ascii().to_string();
        match publish.to {
            Destination::Topic => {}
            Destination::Queue => self.asked.push(format!("publish to queue {topic}")),
            Destination::Exchange(name) => {
                self.asked.push(format!("publish to {} by {topic}", name.escape_ascii()));
            }
        }
    }

    fn carry_out_queue(&mut self, now: Instant, command: QueueCommand<'_>) {
        let refusal = self.refuse_queue.map(|(reason, detail)| Refusal { reason, detail });
        let done = refusal.map_or(Ok(()), Err);
        let named = |entity: &Entity<'_>| match entity {
            Entity::Queue(name) => format!("queue {}", name.escape_ascii()),
            Entity::Exchange(name) => format!("exchange {}", name.escape_ascii()),
        };
        let (asked, outcome) = match &command {
            QueueCommand::Declare(declare) => {
                let name = match declare.entity {
                    Entity::Queue(b"") => &b"amq.gen-1"[..],
                    Entity::Queue(name) | Entity::Exchange(name) => name,
                };
                let declared = Declared { name, messages: 3, consumers: 2 };
                let (receipt, result) = (declare.receipt, done.map(|()| declared));
                let asked = format!("declare {} {:?}", named(&declare.entity), declare.declaration);
                (asked, Some(QueueOutcome::Declared { receipt, result }))
            }
            QueueCommand::Delete(delete) => {
                let (receipt, result) = (delete.receipt, done.map(|()| 4));
                let flags = (delete.if_unused, delete.if_empty);
                let asked = format!("delete {} {flags:?}", named(&delete.entity));
                (asked, Some(QueueOutcome::Deleted { receipt, result }))
            }
            QueueCommand::Purge(purge) => {
                let (receipt, result) = (purge.receipt, done.map(|()| 4));
                let asked = format!("purge {}", purge.queue.escape_ascii());
                (asked, Some(QueueOutcome::Deleted { receipt, result }))
            }
            QueueCommand::Bind(bind) | QueueCommand::Unbind(bind) => {
                let word = if matches!(command, QueueCommand::Bind(_)) { "bind" } else { "unbind" };
                let (source, key) = (bind.source.escape_ascii(), bind.key.escape_ascii());
                let asked =
                    format!("{word} {} to {source} by {key} {:?}", named(&bind.destination), bind.arguments);
                (asked, Some(QueueOutcome::Bound { receipt: bind.receipt, result: done }))
            }
            QueueCommand::Consume(consume) => {
                let (consumer, queue) = (consume.consumer, consume.queue.escape_ascii());
                let asked = format!("consume {} {queue} {}", consumer.0, consume.credit.messages);
                (asked, Some(QueueOutcome::Consuming { consumer, result: done }))
            }
            QueueCommand::Cancel { consumer, keep } => {
                (format!("cancel {} {keep}", consumer.0), Some(QueueOutcome::Cancelled(*consumer)))
            }
            QueueCommand::Flow(flow) => {
                if let Some(message) = self.ready.pop().filter(|_| flow.drain) {
                    assert!(self.lend(flow.consumer.0, 1, &message, &[]));
                }
                let drained = flow.drain.then_some(QueueOutcome::Drained(flow.consumer));
                (format!("flow {} {:?}", flow.consumer.0, flow.change), drained)
            }
            QueueCommand::Settle(settle) => {
                let row = (settle.first, settle.last, settle.settlement);
                (format!("settle {} {row:?}", settle.consumer.0), None)
            }
            QueueCommand::Hold(_) => ("hold".into(), None),
            QueueCommand::Transact(transaction) => {
                let counts = (transaction.publications.len(), transaction.settlements.len());
                let unwanted: &[u32] = if self.matches { &[] } else { &[0, 1] };
                let (receipt, result) = (transaction.receipt, done);
                let outcome = QueueOutcome::Committed { receipt, result, unwanted };
                (format!("commit {counts:?}"), Some(outcome))
            }
        };
        self.asked.push(asked);
        if let Some(outcome) = outcome {
            self.connection.handle_outcome(now, Outcome::Queue(outcome), &mut self.out);
        }
    }

    /// The broker says something that was not asked for.
    pub(crate) fn tell(&mut self, outcome: QueueOutcome<'_>) -> Vec<String> {
        self.connection.handle_outcome(Instant::ZERO, Outcome::Queue(outcome), &mut self.out);
        self.hear(b"")
    }

    /// A message of a queue comes, of the layout of AMQP.
    pub(crate) fn lend(&mut self, consumer: u32, lease: u64, message: &Message, deaths: &[Death]) -> bool {
        let mut frame = Frame::default();
        let kind = FrameKind { identified: true, retain: false };
        assert!(AmqpCodec.encode(message.view(), &Properties::EMPTY, LAYOUT, kind, &mut frame));
        if frame.wants_message() {
            frame.attach(message);
        }
        let lease = Lease {
            frame: &frame,
            message: message.view(),
            routed: None,
            consumer: ConsumerId(consumer),
            lease,
            acquired: 0,
            failed: 0,
            offset: 0,
            ready: 9,
            deaths,
            subscribed: None,
            until: None,
        };
        self.connection.deliver(Instant::ZERO, Delivery::Leased(&lease), &mut self.out)
    }
}
