//! A server's half of an AMQP 0-9-1 connection under a script: bytes in any pieces, and between them answers, refusals,
//! timeouts and shutdowns. What it writes is always whole frames that a server may send, and nothing after its end.

use core::num::NonZeroU16;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::mapping::{AmqpCodec, LAYOUT};
use mynah_amqp::v0_9_1::wire::connection::{Open, StartOk, TuneOk};
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, FrameType, LongStr, Method, PROTOCOL_HEADER, Sender, ShortStr, Table, channel, confirm,
};
use mynah_amqp::v0_9_1::{Config, Mechanism, Settings};
use mynah_model::{
    Class, CreditChange, Expiry, Header, Instant, Layout, MessageView, Properties, Reason, TenantId, WallTime,
};
use mynah_stack::{
    Command, Connection, ConsumerId, Declared, Delivery, Destination, Entity, Frame, FrameKind, LayoutCodec,
    Lease, Opened, Outbound, Outcome, QueueCommand, QueueOutcome, Refusal, Step,
};

use crate::script::Script;

const REASONS: [Reason; 8] = [
    Reason::NotAuthorized,
    Reason::TopicInvalid,
    Reason::BadCredentials,
    Reason::QuotaExceeded,
    Reason::StorageFull,
    Reason::ServerBusy,
    Reason::TakenOver,
    Reason::SlowConsumer,
];

/// Bytes of the largest body.
const BODY_BYTES_MAX: usize = 1_024;

/// Carries out `data`: a byte of settings, then either one stream that is read in several ways, or a script.
///
/// # Panics
/// If the connection breaks its contract.
pub fn amqp_connection(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    if flags & 0x10 != 0 {
        return check_splits(flags, script);
    }
    let mut broker = Broker::open(flags);
    broker.answers_at_once = flags & 0x02 != 0;
    while !script.is_empty() && broker.closed.is_none() {
        act(&mut broker, &mut script);
    }
}

fn act(broker: &mut Broker, script: &mut Script<'_>) {
    let reason = |script: &mut Script<'_>| REASONS[usize::from(script.below(8))];
    match script.below(17) {
        0..9 => broker.hear(script.piece(64)),
        9 => broker.answer(script.byte(), Ok(script.flag())),
        10 => broker.answer(script.byte(), Err(reason(script))),
        11 => broker.wait(Duration::from_millis(10 * u64::from(script.number()))),
        12 => {
            if let Some(deadline) = broker.connection.deadline() {
                broker.now = broker.now.max(deadline);
                broker.wait(Duration::ZERO);
            }
        }
        13 => broker.outcome(Outcome::Challenge(b"who?")),
        14 => broker.outcome(Outcome::Ended(reason(script))),
        15 => broker.lend(usize::from(script.byte())),
        _ => {
            broker.connection.handle_shutdown(broker.now, &mut broker.out);
            broker.hear(b"");
        }
    }
}

/// However a stream is cut into reads, what is written, asked for and decided is the same.
fn check_splits(flags: u8, mut script: Script<'_>) {
    let odd = 2 + usize::from(script.below(61));
    let stream = script.rest();
    let run = |piece: usize| {
        let mut broker = Broker::open(flags);
        broker.answers_at_once = true;
        for piece in stream.chunks(piece.max(1)) {
            broker.hear(piece);
        }
        // Confirms are told together where they are known together: only what they say has to be the same.
        (broker.said, broker.commands, broker.closed.is_some(), broker.confirmed)
    };
    let whole = run(stream.len());
    for piece in [1, odd] {
        assert_eq!(run(piece), whole, "in pieces of {piece}");
    }
}

/// What the broker has to answer.
enum Waiting {
    Published(u16, Class),
    Declared(u32, Vec<u8>),
    Deleted(u32),
    Bound(u32),
    Consuming(ConsumerId, u32),
    Cancelled(ConsumerId),
    Drained(ConsumerId),
    Committed(u32),
}

/// The broker's side of the contract.
struct Broker {
    connection: ServerConnection,
    out: Outbound,
    now: Instant,
    unread: Vec<u8>,
    answers_at_once: bool,
    is_opening: bool,
    waiting: Vec<Waiting>,
    /// What consumers may be given, and the numbers of their last leases.
    consumers: BTreeMap<u32, (u32, u64)>,
    closed: Option<Reason>,
    said: Vec<String>,
    commands: Vec<String>,
    confirmed: Vec<(u16, u64)>,
}

impl Broker {
    /// A connection, already open with two channels if the flags say so.
    fn open(flags: u8) -> Self {
        let mut settings = Settings { body_bytes_max: BODY_BYTES_MAX, ..Settings::default() };
        settings.contents_bytes_max = 2 * BODY_BYTES_MAX;
        settings.mechanisms = Mechanism::ALL.into();
        if flags & 0x04 != 0 {
            settings.publications_max = NonZeroU16::new(2).unwrap();
            settings.channel_max = NonZeroU16::new(3).unwrap();
        }
        let mut broker = Self {
            connection: ServerConnection::new(
                Arc::new(Config::new(settings).unwrap()),
                WallTime::default(),
                Instant::ZERO,
            ),
            out: Outbound::new(),
            now: Instant::ZERO,
            unread: Vec::new(),
            answers_at_once: true,
            is_opening: false,
            waiting: Vec::new(),
            consumers: BTreeMap::new(),
            closed: None,
            said: Vec::new(),
            commands: Vec::new(),
            confirmed: Vec::new(),
        };
        if flags & 0x01 != 0 {
            broker.hear(&opening(flags));
            assert_eq!(broker.closed, None);
        }
        broker
    }

    fn hear(&mut self, bytes: &[u8]) {
        if self.closed.is_some() {
            return;
        }
        let mut unread = core::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let mut input = unread.as_slice();
        loop {
            match self.connection.step(self.now, &mut input, &mut self.out) {
                Step::Idle => break,
                Step::Close(close) => {
                    self.closed = Some(close.reason);
                    break;
                }
                Step::Command(command) => self.carry_out(command),
            }
        }
        let waits = self.is_opening || !self.waiting.is_empty();
        assert!(waits || self.closed.is_some() || input.len() <= self.connection.input_bytes_max());
        self.unread = input.to_vec();
        self.listen();
    }

    fn carry_out(&mut self, command: Command<'_>) {
        self.commands.push(format!("{command:?}"));
        match command {
            Command::Open(_) | Command::Authenticate(_) => {
                self.is_opening = true;
                if self.answers_at_once {
                    self.answer(0, Ok(true));
                }
            }
            Command::Publish(publish) => {
                assert!(publish.view().payload().len() <= BODY_BYTES_MAX);
                let topic = publish.view().topic();
                let is_key = publish.to != Destination::Topic;
                assert!(is_key || mynah_model::Topic::new(topic.as_bytes()).is_ok());
                self.waiting.push(Waiting::Published(publish.receipt, publish.header.class));
            }
            Command::Queue(command) => {
                let waiting = self.carry_out_queue(command);
                self.waiting.extend(waiting);
            }
            Command::Prepared(mut prepared) => return self.carry_out(prepared.command()),
            other => panic!("{other:?}"),
        }
        if self.answers_at_once && !self.waiting.is_empty() {
            self.answer(0, Ok(true));
        }
    }

    fn carry_out_queue(&mut self, command: QueueCommand<'_>) -> Option<Waiting> {
        Some(match command {
            QueueCommand::Declare(declare) => {
                let (Entity::Queue(name) | Entity::Exchange(name)) = declare.entity;
                let name = if name.is_empty() { b"amq.gen-1".to_vec() } else { name.to_vec() };
                Waiting::Declared(declare.receipt, name)
            }
            QueueCommand::Delete(delete) => Waiting::Deleted(delete.receipt),
            QueueCommand::Purge(purge) => Waiting::Deleted(purge.receipt),
            QueueCommand::Bind(bind) | QueueCommand::Unbind(bind) => Waiting::Bound(bind.receipt),
            QueueCommand::Consume(consume) => Waiting::Consuming(consume.consumer, consume.credit.messages),
            QueueCommand::Cancel { consumer, keep } => {
                if !keep {
                    self.consumers.remove(&consumer.0);
                }
                Waiting::Cancelled(consumer)
            }
            QueueCommand::Flow(flow) => {
                let (credit, _) = self.consumers.get_mut(&flow.consumer.0)?;
                *credit = match flow.change {
                    CreditChange::Add(more) => credit.saturating_add(more.messages),
                    CreditChange::Set(new) => new.messages,
                };
                return flow.drain.then_some(Waiting::Drained(flow.consumer));
            }
            QueueCommand::Settle(settle) => {
                assert!(0 < settle.first && settle.first <= settle.last);
                return None;
            }
            QueueCommand::Hold(hold) => panic!("AMQP has no such words: {hold:?}"),
            QueueCommand::Transact(transaction) => {
                assert!(!transaction.publications.is_empty() || !transaction.settlements.is_empty());
                Waiting::Committed(transaction.receipt)
            }
        })
    }

    /// Lends a message to a consumer that has credit.
    fn lend(&mut self, at: usize) {
        let able = self.consumers.iter_mut().filter(|(_, (credit, _))| *credit > 0);
        let Some((consumer, (credit, lease))) = able.take(1 + at).last() else { return };
        *credit -= 1;
        *lease += 1;
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtLeastOnce,
            retain: false,
            priority: 4,
            topic: (0, 1),
            payload: (1, 6),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: b"q hello" };
        let (mut frame, kind) = (Frame::default(), FrameKind { identified: true, retain: false });
        assert!(AmqpCodec.encode(message, &Properties::EMPTY, LAYOUT, kind, &mut frame));
        let lease = Lease {
            frame: &frame,
            message,
            routed: None,
            consumer: ConsumerId(*consumer),
            lease: *lease,
            acquired: 0,
            failed: 0,
            offset: 0,
            ready: 0,
            deaths: &[],
            subscribed: None,
            until: None,
        };
        assert!(self.connection.deliver(self.now, Delivery::Leased(&lease), &mut self.out));
        self.hear(b"");
    }

    fn answer(&mut self, at: u8, result: Result<bool, Reason>) {
        if self.is_opening {
            self.is_opening = false;
            let opened = result.map(|_| Opened::new(false, Expiry::WithConnection));
            return self.outcome(Outcome::Opened(opened));
        }
        if self.waiting.is_empty() {
            return;
        }
        let waiting = self.waiting.remove(usize::from(at) % self.waiting.len());
        let done = result.map(|_| ()).map_err(|reason| Refusal { reason, detail: "" });
        let outcome = match waiting {
            Waiting::Published(receipt, class) => Outcome::Published { receipt, class, result },
            Waiting::Declared(receipt, name) => {
                let declared = Declared { name: &name, messages: 0, consumers: 0 };
                let result = done.map(|()| declared);
                return self.outcome(Outcome::Queue(QueueOutcome::Declared { receipt, result }));
            }
            Waiting::Deleted(receipt) => {
                Outcome::Queue(QueueOutcome::Deleted { receipt, result: done.map(|()| 0) })
            }
            Waiting::Bound(receipt) => Outcome::Queue(QueueOutcome::Bound { receipt, result: done }),
            Waiting::Consuming(consumer, credit) => {
                if done.is_ok() {
                    self.consumers.insert(consumer.0, (credit, 0));
                }
                Outcome::Queue(QueueOutcome::Consuming { consumer, result: done })
            }
            Waiting::Cancelled(consumer) => {
                self.consumers.remove(&consumer.0);
                Outcome::Queue(QueueOutcome::Cancelled(consumer))
            }
            Waiting::Drained(consumer) => {
                if let Some((credit, _)) = self.consumers.get_mut(&consumer.0) {
                    *credit = 0;
                }
                Outcome::Queue(QueueOutcome::Drained(consumer))
            }
            Waiting::Committed(receipt) => {
                Outcome::Queue(QueueOutcome::Committed { receipt, result: done, unwanted: &[0, 2] })
            }
        };
        self.outcome(outcome);
    }

    fn outcome(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
        if !self.answers_at_once {
            self.hear(b"");
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        if self.connection.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.out);
        }
        self.hear(b"");
        let deadline = self.connection.deadline();
        assert!(self.closed.is_some() || deadline.is_none_or(|deadline| deadline > self.now), "it is met");
    }

    /// What was written is frames that a server sends.
    fn listen(&mut self) {
        let bytes = self.out.drain();
        let mut input = bytes.strip_prefix(&PROTOCOL_HEADER).unwrap_or(&bytes);
        while let Some(frame) = next_frame(&mut input, 128 << 10).unwrap() {
            match frame.frame_type {
                FrameType::Method => {
                    let method = Method::from_payload(frame.payload).unwrap();
                    assert_ne!(method.spec().sender, Sender::Client);
                    match method {
                        Method::BasicAck(ack) => {
                            self.note_confirmed(frame.channel, ack.delivery_tag, ack.multiple);
                        }
                        Method::BasicNack(nack) => {
                            self.note_confirmed(frame.channel, nack.delivery_tag, nack.multiple);
                        }
                        method => self.said.push(format!("{} {method:?}", frame.channel)),
                    }
                }
                FrameType::Header => drop(ContentHeader::decode(frame.payload).unwrap()),
                FrameType::Body => assert!(!frame.payload.is_empty()),
                FrameType::Heartbeat => assert_eq!(frame.channel, 0),
            }
        }
        assert!(input.is_empty(), "whole frames only");
    }

    fn note_confirmed(&mut self, channel: u16, tag: u64, multiple: bool) {
        assert!(tag > 0);
        let first = if multiple { 1 } else { tag };
        for tag in first..=tag {
            if !self.confirmed.contains(&(channel, tag)) {
                self.confirmed.push((channel, tag));
            }
        }
    }
}

/// What a client says until it has two channels, the first with confirms.
fn opening(flags: u8) -> Vec<u8> {
    let mut bytes = PROTOCOL_HEADER.to_vec();
    let start_ok = StartOk {
        client_properties: Table::EMPTY,
        mechanism: ShortStr::cut("PLAIN"),
        response: LongStr(b"\0u\0p"),
        locale: ShortStr::cut("en_US"),
    };
    start_ok.encode(0, &mut bytes);
    let heartbeat = if flags & 0x08 != 0 { 5 } else { 0 };
    TuneOk { channel_max: 0, frame_max: 4_096, heartbeat }.encode(0, &mut bytes);
    Open { virtual_host: ShortStr::cut("/") }.encode(0, &mut bytes);
    for number in [1, 2] {
        channel::Open {}.encode(number, &mut bytes);
    }
    confirm::Select { nowait: true }.encode(1, &mut bytes);
    bytes
}
