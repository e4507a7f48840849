//! The broker's side of the connection: keeps the contract, and checks that the connection does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use core::time::Duration;

use mynah_model::{
    Class, DeliveryId, Filter, Header, Instant, Layout, MessageView, Properties, Reason, SubscriptionId,
    TenantId, Topic,
};
use mynah_mqtt::connection::ServerConnection;
use mynah_mqtt::error::connect_return_code;
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::mapping::MqttCodec;
use mynah_mqtt::wire::{
    Ack, AckType, Connack, Connect, ConnectReturnCode, PacketId, PacketType, Publish, ReasonCode, Suback,
    SubscribeReturnCode, Unsuback,
};
use mynah_mqtt::{Config, Error, Refused, Settings, UnknownLevel, Version};
use mynah_stack::{
    Close, Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Open, Opened, Outbound, Outcome,
    Settle, Settlement, Step, SubscribeResult,
};

use super::written::{Client, Written, subscription_ids};

pub(super) struct Broker {
    /// Whether each command is answered before the next step.
    pub(super) answers_at_once: bool,
    connection: ServerConnection,
    settings: Settings,
    /// What CONNECT asked for.
    version: Version,
    client: Client,
    /// Identifiers of exactly-once publications of MQTT 5.0 that were taken and are not complete.
    unfinished: BTreeSet<u16>,
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
    Authenticate,
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
        Self {
            answers_at_once: false,
            settings: config.settings().clone(),
            version: Version::default(),
            client: Client::default(),
            unfinished: BTreeSet::new(),
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
        (class, id): (Class, DeliveryId),
        retain: bool,
        redelivered: bool,
        subscription_ids: &[SubscriptionId],
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
        let delivery = Delivery::Message { frame: &frame, class, id, retain, redelivered, subscription_ids };
        let is_taken = self.connection.deliver(self.now, delivery, &mut self.out);
        if self.version == Version::V5 {
            return self.check_delivered(is_taken, id, &frame, subscription_ids);
        }

        let mut expected = Vec::new();
        let topic = Topic::new(b"a/b").unwrap();
        let dup = redelivered && class.is_confirmed();
        Publish { dup, class, retain, topic, packet_id: id.map(PacketId::from), properties: None, payload }
            .encode(&mut expected);
        self.expect_written_if_open(&expected);
    }

    /// A message is written whole or, if it is too large for the client, not at all.
    fn check_delivered(
        &mut self,
        is_taken: bool,
        id: Option<DeliveryId>,
        frame: &Frame,
        ids: &[SubscriptionId],
    ) {
        let written = self.out.drain();
        self.record.written.extend_from_slice(&written);
        let packets = self.client.check(&written);
        if !self.is_open() {
            return assert!(packets.is_empty());
        }
        if !is_taken {
            let smallest = frame.len() - if self.client.has_aliases() { 3 } else { 0 };
            assert!(packets.is_empty() && !self.client.takes(smallest + 8 * ids.len()), "it would fit");
            return;
        }
        let id = id.map_or(0, DeliveryId::number);
        let codes = Vec::new();
        assert_eq!(packets, [Written { packet_type: PacketType::Publish, id, codes }]);
        assert!(subscription_ids(&written).into_iter().eq(ids.iter().map(|id| id.number())));
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
            self.client = Client::new(&unread, &self.settings);
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
        self.expect_pongs();
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
        let is_silent = self.expect_pongs();
        assert!(self.is_open() || is_silent);
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
                self.client.check(&written);
            } else {
                assert_eq!(written, self.refusal(), "a CONNECT that is refused by itself");
            }
        } else {
            self.check_pongs(&written);
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
            && self.settings.unknown_level == UnknownLevel::AsV5
        {
            return b"\x20\x03\0\x84\0".to_vec();
        }
        let connack = |return_code| Connack { session_present: false, return_code }.encode().to_vec();
        failure.connect_return_code().map_or(Vec::new(), connack)
    }

    /// Checks a command and notes what it waits for.
    fn take_command(&mut self, command: Command<'_>) -> Option<Waiting> {
        let due = match command {
            Command::Open(_) => Phase::Connecting,
            Command::Authenticate(_) if self.phase == Phase::Opening => Phase::Opening,
            _ => Phase::Open,
        };
        assert_eq!(self.phase, due, "{command:?}");
        match command {
            Command::Open(open) => {
                self.phase = Phase::Opening;
                check_open(&open, self.settings.receive_max.get(), self.version);
                Some(Waiting::Open)
            }
            Command::Publish(publish) => {
                let class = publish.header.class;
                let view = publish.view();
                assert!(Topic::new(view.topic().as_bytes()).is_ok());
                assert_eq!(publish.header.payload_range().end, publish.native.len());
                assert_eq!(publish.receipt != 0, class.is_confirmed());
                self.record.published.extend_from_slice(&publish.native);
                self.count(publish.receipt, class);
                class.is_confirmed().then_some(Waiting::Publish { receipt: publish.receipt, class })
            }
            Command::Complete { receipt } => Some(Waiting::Complete { receipt }),
            Command::Subscribe(subscribe) => {
                assert!(
                    (1..=self.settings.filters_per_packet_max).contains(&subscribe.requests.len())
                        && subscribe.receipt != 0
                );
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
                assert!(
                    (1..=self.settings.filters_per_packet_max).contains(&count) && unsubscribe.receipt != 0
                );
                Some(Waiting::Unsubscribe { receipt: unsubscribe.receipt, count })
            }
            Command::Settle(Settle { delivery, settlement }) => {
                (settlement == Settlement::Received).then_some(Waiting::Received { id: delivery })
            }
            Command::Authenticate(_) => Some(Waiting::Authenticate),
            other => panic!("MQTT has no {other:?}"),
        }
    }

    /// A client of MQTT 5.0 has no more publications under way than it may ([MQTT-3.3.4-7]).
    fn count(&mut self, id: u16, class: Class) {
        if self.version != Version::V5 || !class.is_confirmed() {
            return;
        }
        let is_waiting = |waiting: &&Waiting| matches!(waiting, Waiting::Publish { receipt, class: Class::AtLeastOnce } if *receipt != 0);
        let at_least_once = self.waiting.iter().filter(is_waiting).count();
        if class == Class::ExactlyOnce {
            self.unfinished.insert(id);
        }
        let all = at_least_once + self.unfinished.len() + usize::from(class == Class::AtLeastOnce);
        assert!(all <= usize::from(self.settings.publications_max.get()), "{all} publications under way");
    }

    /// Answers a command, and knows what that writes. A refusal takes the place of the answer where there is one.
    fn answer_one(&mut self, waiting: Waiting, result: Result<bool, Reason>) {
        if self.version == Version::V5 {
            return self.answer_v5(&waiting, result);
        }
        let expected = match waiting {
            Waiting::Open => return self.answer_open(result),
            Waiting::Authenticate => unreachable!("there is no AUTH before MQTT 5.0"),
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

    /// Tells a client of MQTT 5.0 an outcome: at most one packet of the type that answers, and its identifier.
    fn answer_v5(&mut self, waiting: &Waiting, result: Result<bool, Reason>) {
        let (packet_type, id, count) = match *waiting {
            Waiting::Open => return self.answer_open(result),
            Waiting::Authenticate => return self.answer_authenticate(result),
            Waiting::Publish { receipt, class } => {
                self.tell(Outcome::Published { receipt, class, result });
                if result.is_err() {
                    self.unfinished.remove(&receipt);
                }
                let is_once = class == Class::ExactlyOnce;
                (if is_once { PacketType::Pubrec } else { PacketType::Puback }, receipt, 1)
            }
            Waiting::Complete { receipt } => {
                self.unfinished.remove(&receipt);
                self.tell(Outcome::Completed { receipt, known: true });
                (PacketType::Pubcomp, receipt, 1)
            }
            Waiting::Subscribe { receipt, ref requests } => {
                let granted = |request: &SubscribeResult| request.and_then(|class| result.map(|_| class));
                let results: Vec<SubscribeResult> = requests.iter().map(granted).collect();
                self.tell(Outcome::Subscribed { receipt, results: &results });
                (PacketType::Suback, receipt, results.len())
            }
            Waiting::Unsubscribe { receipt, count } => {
                self.tell(Outcome::Unsubscribed { receipt, results: &vec![result == Ok(true); count] });
                (PacketType::Unsuback, receipt, count)
            }
            Waiting::Received { id } => {
                self.tell(Outcome::Received { id, known: true });
                (PacketType::Pubrel, id.number(), 1)
            }
        };
        let written = self.take_written();
        let packets = self.client.check(&written);
        let [packet] = &packets[..] else {
            // Two bytes, an identifier, and for each filter a code.
            return assert!(packets.is_empty() && !self.client.takes(5 + count), "{packets:?}");
        };
        assert_eq!((packet.packet_type, packet.id, packet.codes.len()), (packet_type, id, count));
    }

    fn answer_authenticate(&mut self, result: Result<bool, Reason>) {
        match (self.phase, result) {
            (_, Ok(true)) => self.tell(Outcome::Challenge(b"q")),
            (Phase::Open, result) => self.tell(Outcome::Authenticated(result.map(|_| Some(&b"w"[..])))),
            (_, result) => return self.answer_open(result),
        }
        let written = self.take_written();
        let packets = self.client.check(&written);
        let codes = [ReasonCode::ContinueAuthentication, ReasonCode::Success];
        let is_answer = |packet: &Written| match packet.packet_type {
            PacketType::Auth => packet.codes == [codes[usize::from(result != Ok(true))]],
            packet_type => packet_type == PacketType::Disconnect,
        };
        assert!(packets.len() <= 1 && packets.iter().all(is_answer), "{packets:?}");
    }

    fn answer_open(&mut self, result: Result<bool, Reason>) {
        let opened = |session_present| Opened::new(session_present, mynah_model::Expiry::Never);
        self.tell(Outcome::Opened(result.map(opened)));
        let session_present = result == Ok(true) && self.version.tells_session_present();
        let return_code = result.map_or_else(connect_return_code, |_| ConnectReturnCode::Accepted);
        if self.version == Version::V5 {
            let written = self.take_written();
            let packets = self.client.check(&written);
            let is_accepted = |packet: &Written| packet.codes == [ReasonCode::Success];
            assert!(packets.len() <= 1 && packets.iter().all(|p| p.packet_type == PacketType::Connack));
            assert!(result.is_ok() || !packets.iter().any(is_accepted));
        } else {
            self.expect_written(&Connack { session_present, return_code }.encode());
        }
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
            self.client.check(&written);
            return;
        }
        assert_eq!(written, expected);
    }

    /// What was written without an outcome. Returns whether that was nothing.
    fn expect_pongs(&mut self) -> bool {
        let written = self.take_written();
        self.check_pongs(&written);
        written.is_empty()
    }

    /// Nothing but PINGRESP is written without an outcome, before MQTT 5.0.
    fn check_pongs(&mut self, written: &[u8]) {
        if self.version == Version::V5 {
            self.client.check(written);
            return;
        }
        assert!(written.chunks(2).all(|packet| packet == [PacketType::Pingresp.first_byte(), 0]));
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

fn ack(ack_type: AckType, number: u16) -> Vec<u8> {
    let packet_id = PacketId::new(number).unwrap();
    Ack { ack_type, packet_id }.encode().to_vec()
}

/// The version that the CONNECT at the start of `input` asks for.
fn version(mut input: &[u8]) -> Option<Version> {
    let unit = next_unit(&mut input, Version::default(), usize::MAX).ok()??;
    Connect::version(unit.body)
}
