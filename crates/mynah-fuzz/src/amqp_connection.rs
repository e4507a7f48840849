//! A server's half of an AMQP 0-9-1 connection under a script: bytes in any pieces, and between them answers, refusals,
//! timeouts and shutdowns. What it writes is always whole frames that a server may send, and nothing after its end.

use core::num::NonZeroU16;
use core::time::Duration;
use std::sync::Arc;

use mynah_amqp::v0_9_1::connection::ServerConnection;
use mynah_amqp::v0_9_1::framing::next_frame;
use mynah_amqp::v0_9_1::wire::connection::{Open, StartOk, TuneOk};
use mynah_amqp::v0_9_1::wire::{
    ContentHeader, FrameType, LongStr, Method, PROTOCOL_HEADER, Sender, ShortStr, Table, channel, confirm,
};
use mynah_amqp::v0_9_1::{Config, Mechanism, Settings};
use mynah_model::{Class, Expiry, Instant, Reason, WallTime};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Step};

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
    match script.below(16) {
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

/// The broker's side of the contract.
struct Broker {
    connection: ServerConnection,
    out: Outbound,
    now: Instant,
    unread: Vec<u8>,
    answers_at_once: bool,
    is_opening: bool,
    waiting: Vec<(u16, Class)>,
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
                assert!(mynah_model::Topic::new(publish.view().topic().as_bytes()).is_ok());
                if publish.header.class.is_confirmed() {
                    self.waiting.push((publish.receipt, publish.header.class));
                    if self.answers_at_once {
                        self.answer(0, Ok(true));
                    }
                }
            }
            other => panic!("{other:?}"),
        }
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
        let (receipt, class) = self.waiting.remove(usize::from(at) % self.waiting.len());
        self.outcome(Outcome::Published { receipt, class, result });
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
