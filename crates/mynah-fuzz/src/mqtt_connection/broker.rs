//! The broker's side of the connection: keeps the contract, and checks that the connection does.

use std::collections::VecDeque;
use std::sync::Arc;

use core::time::Duration;

use mynah_model::{
    Class, DeliveryId, Filter, Header, Instant, Layout, MessageView, Properties, Reason, TenantId, Topic,
};
use mynah_mqtt::connection::ServerConnection;
use mynah_mqtt::error::connect_return_code;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::mapping::MqttCodec;
use mynah_mqtt::wire::{
    Ack, AckType, Connack, Connect, ConnectReturnCode, PacketId, PacketType, Publish, Suback,
    SubscribeReturnCode, Unsuback,
};
use mynah_mqtt::{Config, Error, Refused, UnknownLevel, Version};
use mynah_stack::{
    Close, Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Open, Opened, Outbound, Outcome,
    Settle, Settlement, Step, SubscribeResult,
};

pub(super) struct Broker {
    /// Whether each command is answered before the next step.
    pub(super) answers_at_once: bool,
    connection: ServerConnection,
    /// What CONNECT asked for.
    version: Version,
    unknown_level: UnknownLevel,
    receive_max: u16,
    filters_max: usize,
    now: Instant,
    unread: Vec<u8>,
    out: Outbound,
    phase: Phase,
    waiting: VecDeque<Waiting>,
    record: Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Opening,
    Open,
    Closed(Close),
}

/// A command that waits for its outcome.
enum Waiting {
    Open,
    Publish { receipt: u16, class: Class },
    Complete { receipt: u16 },
    Subscribe { receipt: u16, requests: Vec<SubscribeResult> },
    Unsubscribe { receipt: u16, count: usize },
    Received { id: DeliveryId },
}

/// All that can be seen of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    written: Vec<u8>,
    published: Vec<u8>,
    commands: usize,
    close: Option<Close>,
    unread: usize,
}

impl Broker {
    pub(super) fn new(config: &Config) -> Self {
        let settings = config.settings();
        Self {
            answers_at_once: false,
            version: Version::default(),
            unknown_level: settings.unknown_level,
            receive_max: settings.receive_max.get(),
            filters_max: settings.filters_per_packet_max,
            connection: ServerConnection::new(Arc::new(config.clone()), Instant::ZERO),
            now: Instant::ZERO,
            unread: Vec::new(),
            out: Outbound::new(),
            phase: Phase::Connecting,
            waiting: VecDeque::new(),
            record: Record {
                written: Vec::new(),
                published: Vec::new(),
                commands: 0,
                close: None,
                unread: 0,
            },
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn into_record(self) -> Record {
        let close = if let Phase::Closed(close) = self.phase { Some(close) } else { None };
        // What a closed connection leaves unread is of no meaning.
        let unread = if close.is_some() { 0 } else { self.unread.len() };
        Record { close, unread, ..self.record }
    }

    /// Bytes come from the client.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.drain_to_idle();
    }

    /// Answers the command that has waited longest.
    pub(super) fn answer(&mut self, result: Result<bool, Reason>) {
        let Some(waiting) = self.waiting.pop_front() else { return };
        self.answer_one(waiting, result);
        self.drain_to_idle();
    }

    /// Outcomes that nobody asked for change nothing before the session is open and never break the stream.
    pub(super) fn answer_nobody(&mut self, receipt: u16) {
        let outcomes = [
            Outcome::Completed { receipt, known: true },
            Outcome::Published { receipt, class: Class::AtMostOnce, result: Ok(true) },
            Outcome::Unsubscribed { receipt, results: &[] },
            Outcome::Value(Ok(None)),
        ];
        for outcome in outcomes {
            self.connection.handle_outcome(self.now, outcome, &mut self.out);
        }
        let written = self.take_written();
        assert!(self.is_open() || written.is_empty());
    }

    /// The session is taken from the connection.
    pub(super) fn end(&mut self, reason: Reason) {
        self.connection.handle_outcome(self.now, Outcome::Ended(reason), &mut self.out);
        self.expect_written(b"");
        self.drain_to_idle();
        assert!(matches!(self.phase, Phase::Closed(_)));
    }

    pub(super) fn shut_down(&mut self) {
        self.connection.handle_shutdown(self.now, &mut self.out);
        self.expect_written(b"");
        self.drain_to_idle();
        assert!(matches!(self.phase, Phase::Closed(_)));
    }

    /// Time passes; a timeout that comes too early does nothing.
    pub(super) fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        let due = self.connection.deadline().is_some_and(|deadline| deadline <= self.now);
        let before = self.phase;
        self.connection.handle_timeout(self.now, &mut self.out);
        self.expect_written(b"");
        self.drain_to_idle();
        match self.phase {
            Phase::Closed(_) => assert!(due || matches!(before, Phase::Closed(_))),
            phase => assert!(!due && phase == before),
        }
    }

    pub(super) fn wait_for_deadline(&mut self) {
        if let Some(deadline) = self.connection.deadline() {
            let late = deadline.as_micros().saturating_sub(self.now.as_micros());
            self.wait(Duration::from_micros(late));
        }
    }

    pub(super) fn deliver(
        &mut self,
        class: Class,
        id: DeliveryId,
        retain: bool,
        redelivered: bool,
        payload: &[u8],
    ) {
        let native = [&b"a/b"[..], payload].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 200, version: 1 },
            class,
            retain,
            priority: 4,
            topic: (0, 3),
            payload: (3, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &native }.to_message();
        let id = Some(id).filter(|_| class.is_confirmed());
        let kind = FrameKind { identified: id.is_some(), retain };
        let mut frame = Frame::default();
        let layout = self.connection.layout();
        assert!(MqttCodec.encode(message.view(), &Properties::default(), layout, kind, &mut frame));
        if frame.wants_message() {
            frame.attach(&message);
        }
        let delivery =
            Delivery::Message { frame: &frame, class, id, retain, redelivered, subscription_ids: &[] };
        self.connection.deliver(self.now, delivery, &mut self.out);

        let mut expected = Vec::new();
        let topic = Topic::new(b"a/b").unwrap();
        let dup = redelivered && class.is_confirmed();
        Publish { dup, class, retain, topic, packet_id: id.map(PacketId::from), properties: None, payload }
            .encode(&mut expected);
        self.expect_written_if_open(&expected);
    }

    /// The client has said that it received an exactly-once delivery, in an earlier connection.
    pub(super) fn release(&mut self, id: DeliveryId) {
        self.connection.deliver(self.now, Delivery::Release { id }, &mut self.out);
        self.expect_written_if_open(&ack(AckType::Pubrel, id.number()));
    }

    /// Steps until the connection is idle or closes. Each command took at least two bytes.
    fn drain_to_idle(&mut self) {
        let steps_max = self.unread.len() / 2 + 2;
        for _ in 0..steps_max {
            if !self.step() {
                return;
            }
        }
        panic!("more steps than packets");
    }

    /// One step. Returns whether there may be more.
    fn step(&mut self) -> bool {
        let unread = std::mem::take(&mut self.unread);
        if self.phase == Phase::Connecting {
            self.version = version(&unread).unwrap_or(self.version);
        }
        let mut input = unread.as_slice();
        let step = self.connection.step(self.now, &mut input, &mut self.out);
        let waiting = match step {
            Step::Idle => {
                let is_read = input.len() < unread.len();
                assert!(self.phase != Phase::Opening || !is_read, "nothing is read while opening");
                self.unread = input.to_vec();
                self.check_idle();
                return false;
            }
            Step::Close(close) => {
                self.check_close(close);
                return false;
            }
            Step::Command(command) => self.take_command(command),
        };
        self.unread = input.to_vec();
        assert!(self.unread.len() + 2 <= unread.len(), "a command takes at least a packet");
        self.record.commands += 1;
        let pongs = self.take_written();
        check_pongs(&pongs, self.version);
        if let Some(waiting) = waiting {
            if self.answers_at_once {
                self.answer_one(waiting, Ok(true));
            } else {
                self.waiting.push_back(waiting);
            }
        }
        true
    }

    fn check_idle(&mut self) {
        let pongs = self.take_written();
        assert!(self.is_open() || pongs.is_empty());
        check_pongs(&pongs, self.version);
        assert!(!matches!(self.phase, Phase::Closed(_)), "a connection that closed stays closed");
        if self.phase != Phase::Opening {
            assert!(self.unread.len() < self.connection.input_bytes_max(), "a packet that never fits");
            let mut input = self.unread.as_slice();
            assert_eq!(next_unit(&mut input, self.version, usize::MAX), Ok(None), "a whole packet was left");
        }
    }

    fn check_close(&mut self, close: Close) {
        if let Phase::Closed(before) = self.phase {
            assert_eq!(close, before);
            return self.expect_written(b"");
        }
        let written = self.take_written();
        if self.phase == Phase::Connecting {
            if self.version == Version::V5 {
                check_packets(&written);
            } else {
                assert_eq!(written, self.refusal(), "a CONNECT that is refused by itself");
            }
        } else {
            check_pongs(&written, self.version);
        }
        if let Some(error) = self.connection.failure() {
            assert_eq!((close.reason, close.publish_will), (error.reason(), true));
        }
        if close.reason == Reason::Disconnected && self.version != Version::V5 {
            assert!(!close.publish_will);
        }
        assert_eq!(self.connection.deadline(), None);
        self.phase = Phase::Closed(close);
        self.waiting.clear();
        self.unread.clear();
    }

    /// What is written when CONNECT, or what comes in its place, is not taken.
    fn refusal(&self) -> Vec<u8> {
        let Some(failure) = self.connection.failure() else { return Vec::new() };
        if failure == Error::Refused(Refused::UnknownProtocolLevel)
            && self.unknown_level == UnknownLevel::AsV5
        {
            return b"\x20\x03\0\x84\0".to_vec();
        }
        let connack = |return_code| Connack { session_present: false, return_code }.encode().to_vec();
        failure.connect_return_code().map_or(Vec::new(), connack)
    }

    /// Checks a command and notes what it waits for.
    fn take_command(&mut self, command: Command<'_>) -> Option<Waiting> {
        let due = if matches!(command, Command::Open(_)) { Phase::Connecting } else { Phase::Open };
        assert_eq!(self.phase, due, "{command:?}");
        match command {
            Command::Open(open) => {
                self.phase = Phase::Opening;
                check_open(&open, self.receive_max, self.version);
                Some(Waiting::Open)
            }
            Command::Publish(publish) => {
                let class = publish.header.class;
                let view = publish.view();
                assert!(Topic::new(view.topic().as_bytes()).is_ok());
                assert_eq!(publish.header.payload_range().end, publish.native.len());
                assert_eq!(publish.receipt != 0, class.is_confirmed());
                self.record.published.extend_from_slice(&publish.native);
                class.is_confirmed().then_some(Waiting::Publish { receipt: publish.receipt, class })
            }
            Command::Complete { receipt } => Some(Waiting::Complete { receipt }),
            Command::Subscribe(subscribe) => {
                assert!((1..=self.filters_max).contains(&subscribe.requests.len()) && subscribe.receipt != 0);
                let granted = |request: &Result<mynah_stack::SubscribeRequest<'_>, Reason>| {
                    request.map(|request| {
                        assert!(Filter::new(request.filter.as_bytes()).is_ok());
                        request.options.class_max
                    })
                };
                let requests = subscribe.requests.iter().map(granted).collect();
                Some(Waiting::Subscribe { receipt: subscribe.receipt, requests })
            }
            Command::Unsubscribe(unsubscribe) => {
                let count = unsubscribe.requests.len();
                assert!((1..=self.filters_max).contains(&count) && unsubscribe.receipt != 0);
                Some(Waiting::Unsubscribe { receipt: unsubscribe.receipt, count })
            }
            Command::Settle(Settle { delivery, settlement }) => {
                (settlement == Settlement::Received).then_some(Waiting::Received { id: delivery })
            }
            // Another exchange of authentication, which goes on for ever.
            Command::Authenticate(_) => None,
            other => panic!("MQTT has no {other:?}"),
        }
    }

    /// Answers a command, and knows what that writes. A refusal takes the place of the answer where there is one.
    fn answer_one(&mut self, waiting: Waiting, result: Result<bool, Reason>) {
        let expected = match waiting {
            Waiting::Open => return self.answer_open(result),
            Waiting::Publish { receipt, class } => {
                self.tell(Outcome::Published { receipt, class, result });
                let kind = if class == Class::AtLeastOnce { AckType::Puback } else { AckType::Pubrec };
                let is_answered = matches!(result, Ok(_) | Err(Reason::NotAuthorized | Reason::TopicInvalid));
                if is_answered { ack(kind, receipt) } else { Vec::new() }
            }
            Waiting::Complete { receipt } => {
                self.tell(Outcome::Completed { receipt, known: true });
                ack(AckType::Pubcomp, receipt)
            }
            Waiting::Subscribe { receipt, requests } => {
                let results: Vec<SubscribeResult> = requests
                    .into_iter()
                    .map(|request| request.and_then(|class| result.map(|_| class)))
                    .collect();
                self.tell(Outcome::Subscribed { receipt, results: &results });
                let code = |r: &SubscribeResult| {
                    r.map_or(SubscribeReturnCode::Failure, SubscribeReturnCode::Granted)
                };
                let return_codes = results.iter().map(code).collect();
                let mut packet = Vec::new();
                Suback { packet_id: PacketId::new(receipt).unwrap(), return_codes }.encode(&mut packet);
                packet
            }
            Waiting::Unsubscribe { receipt, count } => {
                self.tell(Outcome::Unsubscribed { receipt, results: &vec![result == Ok(true); count] });
                Unsuback { packet_id: PacketId::new(receipt).unwrap() }.encode().to_vec()
            }
            Waiting::Received { id } => {
                self.tell(Outcome::Received { id, known: true });
                ack(AckType::Pubrel, id.number())
            }
        };
        self.expect_written(&expected);
    }

    fn answer_open(&mut self, result: Result<bool, Reason>) {
        let opened = |session_present| Opened::new(session_present, mynah_model::Expiry::Never);
        self.tell(Outcome::Opened(result.map(opened)));
        let session_present = result == Ok(true) && self.version.tells_session_present();
        let return_code = result.map_or_else(connect_return_code, |_| ConnectReturnCode::Accepted);
        self.expect_written(&Connack { session_present, return_code }.encode());
        if result.is_ok() {
            self.phase = Phase::Open;
        }
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
    }

    fn take_written(&mut self) -> Vec<u8> {
        let written = self.out.drain();
        self.record.written.extend_from_slice(&written);
        written
    }

    /// What is written is exactly this; in MQTT 5.0, where the words are the server's choice, it is packets.
    fn expect_written(&mut self, expected: &[u8]) {
        let written = self.take_written();
        if self.version == Version::V5 {
            return check_packets(&written);
        }
        assert_eq!(written, expected);
    }

    fn expect_written_if_open(&mut self, expected: &[u8]) {
        let expected = if self.is_open() { expected } else { b"" };
        self.expect_written(expected);
    }
}

fn check_open(open: &Open, receive_max: u16, version: Version) {
    let session = open.session.as_ref().unwrap();
    assert!(core::str::from_utf8(&session.client_id).is_ok());
    assert!(!session.client_id.is_empty() || session.clean_start || version == Version::V5);
    assert!(open.receive_max == receive_max || (version == Version::V5 && open.receive_max < receive_max));
    if let Some(will) = &open.will {
        assert!(Topic::new(will.message.topic().as_bytes()).is_ok());
    }
}

/// Whole packets, and nothing else.
fn check_packets(mut written: &[u8]) {
    while !written.is_empty() {
        assert!(next_unit(&mut written, Version::V5, usize::MAX).unwrap().is_some());
    }
}

/// Nothing but PINGRESP is written without an outcome, before MQTT 5.0.
fn check_pongs(written: &[u8], version: Version) {
    if version == Version::V5 {
        return check_packets(written);
    }
    assert!(written.chunks(2).all(|packet| packet == [PacketType::Pingresp.first_byte(), 0]));
}

fn ack(ack_type: AckType, number: u16) -> Vec<u8> {
    let packet_id = PacketId::new(number).unwrap();
    Ack { ack_type, packet_id }.encode().to_vec()
}

/// The version that the CONNECT at the start of `input` asks for.
fn version(mut input: &[u8]) -> Option<Version> {
    let unit = next_unit(&mut input, Version::default(), usize::MAX).ok()??;
    Connect::version(unit.body)
}
