//! A bridge under a script: a remote broker that says anything, a core that answers, delivers and ends as it likes. What the
//! bridge writes is always packets of a client, and the core is asked for nothing that is out of order.

use core::num::NonZeroU16;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use mynah_model::{
    Class, DeliveryId, Expiry, Header, Instant, Layout, MessageView, Properties, Reason, TenantId, Topic,
};
use mynah_mqtt::bridge::{Bridge, Direction, Settings, TopicRule, Watch};
use mynah_mqtt::client::{Ending, Options, OptionsV5};
use mynah_mqtt::framing::next_unit;
use mynah_mqtt::mapping::MqttCodec;
use mynah_mqtt::wire::{PacketId, PacketType, Publish};
use mynah_mqtt::{TextRule, Version};
use mynah_stack::{
    Close, Command, Connection, Delivery, Frame, FrameKind, LayoutCodec, Opened, Outbound, Outcome, Protocol,
    Settlement, Step,
};

use crate::script::Script;

/// Deliveries that the bridge takes at a time, and publications that it takes from the remote broker.
const RECEIVE_MAX: u16 = 4;

/// Bytes of the largest packet that the remote broker may send.
const PACKET_BYTES_MAX: usize = 256;

const RULES: [TopicRule<'static>; 3] = [
    rule(Direction::In, "a/#", "in/", "", Class::ExactlyOnce),
    rule(Direction::Out, "a/#", "", "out/", Class::ExactlyOnce),
    rule(Direction::Both, "both/+", "", "", Class::AtLeastOnce),
];

const fn rule(
    direction: Direction,
    filter: &'static str,
    local_prefix: &'static str,
    remote_prefix: &'static str,
    class_max: Class,
) -> TopicRule<'static> {
    TopicRule { direction, filter, local_prefix, remote_prefix, class_max }
}

/// Carries out `data`: a byte of settings, then a script.
///
/// # Panics
/// If the bridge writes what is no packet, or asks the core for what is not its turn.
pub fn mqtt_bridge(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let version = if flags & 1 == 0 { Version::V3_1_1 } else { Version::V5 };
    let counts = Arc::new(Counts::default());
    let bridge = bridge(version, flags, &counts);
    let mut connections = 0;
    let mut now = Instant::ZERO;
    while !script.is_empty() {
        connections += 1;
        let mut run = Run::new(&bridge, version, now);
        while !script.is_empty() && run.act(&mut script) {}
        now = run.now;
        drop(run);
        assert_eq!(counts.ended.load(Ordering::Relaxed), connections, "each end is told once");
        assert!(counts.connected.load(Ordering::Relaxed) <= connections);
    }
}

/// How often the bridge was let in, and came to its end.
#[derive(Default)]
struct Counts {
    connected: AtomicUsize,
    ended: AtomicUsize,
}

impl Watch for Counts {
    fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }
    fn ended(&self, _ending: Ending) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
    fn message_in(&self) {}
    fn message_out(&self) {}
}

/// A bridge with these settings. The filters of a bridge are never given back: all bridges have those of the first.
fn bridge(version: Version, flags: u8, counts: &Arc<Counts>) -> Bridge {
    static FIRST: OnceLock<Bridge> = OnceLock::new();
    let first = FIRST.get_or_init(|| Bridge::new(settings(version, 0, &Arc::default()), &RULES).unwrap());
    first.with_settings(settings(version, flags, counts)).unwrap()
}

fn settings(version: Version, flags: u8, counts: &Arc<Counts>) -> Settings {
    let v5 = OptionsV5 {
        session_expiry: 60,
        receive_max: NonZeroU16::new(RECEIVE_MAX).unwrap(),
        topic_alias_max: 2,
        ..OptionsV5::default()
    };
    Settings {
        options: Options {
            version,
            clean_session: flags & 2 != 0,
            packet_bytes_max: PACKET_BYTES_MAX,
            v5,
            ..Options::new("b")
        },
        session: b"$bridge/b"[..].into(),
        receive_max: RECEIVE_MAX,
        bridge_bit: flags & 4 != 0,
        watch: Arc::<Counts>::clone(counts),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Opening,
    Open,
    Closed(Close),
}

/// A command that waits for its outcome.
#[derive(Clone, Copy)]
enum Waiting {
    Open,
    Publish { receipt: u16, class: Class },
    Complete { receipt: u16 },
    Subscribe,
    Received { id: DeliveryId },
}

/// One connection, from the side of the core.
struct Run {
    connection: Box<dyn Connection>,
    version: Version,
    now: Instant,
    out: Outbound,
    unread: Vec<u8>,
    phase: Phase,
    waiting: VecDeque<Waiting>,
    has_subscribed: bool,
}

impl Run {
    fn new(bridge: &Bridge, version: Version, now: Instant) -> Self {
        let mut run = Self {
            connection: bridge.accept(now),
            version,
            now,
            out: Outbound::new(),
            unread: Vec::new(),
            phase: Phase::Connecting,
            waiting: VecDeque::new(),
            has_subscribed: false,
        };
        run.connection.handle_timeout(now, &mut run.out);
        assert_eq!(run.packets().len(), 1);
        run
    }

    /// One act of the script. Returns whether the connection goes on.
    fn act(&mut self, script: &mut Script<'_>) -> bool {
        let id = DeliveryId::new(u16::from(script.byte()) + 1).unwrap();
        match script.below(12) {
            0..5 => self.hear(script.piece(64)),
            5 => {
                let present = u8::from(script.flag());
                let is_v5 = self.version == Version::V5;
                let accepted = if is_v5 { vec![0x20, 3, present, 0, 0] } else { vec![0x20, 2, present, 0] };
                self.hear(&accepted);
            }
            6 => self.answer(Ok(true)),
            7 => {
                let reasons = [Reason::NotAuthorized, Reason::QuotaExceeded, Reason::ServerBusy];
                self.answer(Err(reasons[usize::from(script.below(3))]));
            }
            8 => self.deliver(id, script),
            9 if self.phase == Phase::Open => {
                self.connection.deliver(self.now, Delivery::Release { id }, &mut self.out);
            }
            10 => {
                self.now = self.now + Duration::from_millis(100 * u64::from(script.number()));
                self.connection.handle_timeout(self.now, &mut self.out);
            }
            _ => match script.below(3) {
                0 => self.tell(Outcome::Ended(Reason::TakenOver)),
                1 => self.connection.handle_shutdown(self.now, &mut self.out),
                _ => return false,
            },
        }
        self.drain_to_idle();
        !matches!(self.phase, Phase::Closed(_))
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
    }

    /// Answers the command that has waited longest.
    fn answer(&mut self, result: Result<bool, Reason>) {
        let known = result.is_ok();
        match self.waiting.pop_front() {
            Some(Waiting::Open) => {
                let is_open = result.is_ok();
                self.tell(Outcome::Opened(result.map(|present| Opened::new(present, Expiry::Never))));
                self.phase = if is_open { Phase::Open } else { self.phase };
            }
            Some(Waiting::Publish { receipt, class }) => {
                self.tell(Outcome::Published { receipt, class, result });
            }
            Some(Waiting::Complete { receipt }) => self.tell(Outcome::Completed { receipt, known }),
            Some(Waiting::Subscribe) => {
                let results = [Ok(Class::AtLeastOnce), result.map(|_| Class::AtMostOnce)];
                self.tell(Outcome::Subscribed { receipt: 0, results: &results });
            }
            Some(Waiting::Received { id }) => self.tell(Outcome::Received { id, known }),
            None => {}
        }
    }

    /// Delivers a message that crosses, or one that no rule knows.
    fn deliver(&mut self, id: DeliveryId, script: &mut Script<'_>) {
        if self.phase != Phase::Open {
            return;
        }
        let topics = [("a/b", "out/a/b"), ("both/x", "both/x"), ("c", "")];
        let (topic, name) = topics[usize::from(script.below(3))];
        let class = Class::from_number(script.below(3)).unwrap();
        let (bits, payload) = (script.byte(), script.piece(32));
        let frame = self.frame(topic, class, payload);
        let id = Some(id).filter(|_| class.is_confirmed());
        let (retain, redelivered) = (bits & 1 != 0, bits & 2 != 0);
        let delivery =
            Delivery::Message { frame: &frame, class, id, retain, redelivered, subscription_ids: &[] };
        let crossed = self.connection.deliver(self.now, delivery, &mut self.out);
        assert!(!crossed || !name.is_empty(), "a topic that does not cross");
        let written = self.out.drain();
        let mut input = written.as_slice();
        if let Some(unit) = next_unit(&mut input, self.version, usize::MAX).unwrap() {
            assert!(crossed && input.is_empty() && unit.packet_type == PacketType::Publish);
            let rule = TextRule::AcceptDiscouraged;
            let publish = Publish::decode(unit.flags, unit.body, rule, self.version).unwrap();
            assert_eq!((publish.topic.as_bytes(), publish.payload), (name.as_bytes(), payload));
            assert_eq!(publish.packet_id.map(PacketId::number), id.map(DeliveryId::number));
        }
    }

    fn frame(&self, topic: &str, class: Class, payload: &[u8]) -> Frame {
        let native = [topic.as_bytes(), payload].concat();
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 200, version: 1 },
            class,
            retain: false,
            priority: 4,
            topic: (0, topic.len() as u32),
            payload: (topic.len() as u32, native.len() as u32),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &native }.to_message();
        let kind = FrameKind { identified: class.is_confirmed(), retain: false };
        let mut frame = Frame::default();
        let layout = self.connection.layout();
        assert!(MqttCodec.encode(message.view(), &Properties::default(), layout, kind, &mut frame));
        if frame.wants_message() {
            frame.attach(&message);
        }
        frame
    }

    /// Steps until the connection is idle or closes. A packet makes two commands at the most.
    fn drain_to_idle(&mut self) {
        for _ in 0..self.unread.len() + 3 {
            let unread = core::mem::take(&mut self.unread);
            let mut input = unread.as_slice();
            let step = self.connection.step(self.now, &mut input, &mut self.out);
            let goes_on = match step {
                Step::Idle => {
                    assert!(self.phase == Phase::Opening || input.len() < self.connection.input_bytes_max());
                    assert!(!matches!(self.phase, Phase::Closed(_)), "what has closed stays closed");
                    false
                }
                Step::Close(close) => {
                    assert!(
                        matches!(self.phase, Phase::Closed(before) if before == close) || self.is_running()
                    );
                    assert_eq!(self.connection.deadline(), None);
                    self.phase = Phase::Closed(close);
                    false
                }
                Step::Command(command) => {
                    self.take_command(command);
                    true
                }
            };
            self.unread = input.to_vec();
            self.check_written();
            if !goes_on {
                return;
            }
        }
        panic!("more steps than packets");
    }

    const fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Closed(_))
    }

    /// Checks a command and notes what it waits for.
    fn take_command(&mut self, command: Command<'_>) {
        let due = if matches!(command, Command::Open(_)) { Phase::Connecting } else { Phase::Open };
        assert_eq!(self.phase, due, "{command:?}");
        let waiting = match command {
            Command::Open(open) => {
                self.phase = Phase::Opening;
                assert!((1..=RECEIVE_MAX).contains(&open.receive_max));
                assert_eq!(&*open.session.unwrap().client_id, b"$bridge/b");
                Some(Waiting::Open)
            }
            Command::Publish(publish) => {
                let class = publish.header.class;
                let topic = publish.view().topic();
                assert!(Topic::new(topic.as_bytes()).is_ok());
                assert!([&b"in/a"[..], b"both/"].iter().any(|prefix| topic.as_bytes().starts_with(prefix)));
                assert_eq!(publish.header.payload_range().end, publish.native.len());
                assert_eq!(publish.receipt != 0, class.is_confirmed());
                class.is_confirmed().then_some(Waiting::Publish { receipt: publish.receipt, class })
            }
            Command::Complete { receipt } => Some(Waiting::Complete { receipt }),
            Command::Subscribe(subscribe) => {
                assert_eq!(subscribe.requests.len(), 2);
                assert!(!core::mem::replace(&mut self.has_subscribed, true));
                Some(Waiting::Subscribe)
            }
            Command::Settle(settle) => (settle.settlement == Settlement::Received)
                .then_some(Waiting::Received { id: settle.delivery }),
            other => panic!("a bridge has no {other:?}"),
        };
        self.waiting.extend(waiting);
    }

    /// The packets that the bridge has written.
    fn packets(&mut self) -> Vec<PacketType> {
        let bytes = self.out.drain();
        let mut input = bytes.as_slice();
        let mut packets = Vec::new();
        while let Some(unit) = next_unit(&mut input, self.version, usize::MAX).unwrap() {
            packets.push(unit.packet_type);
        }
        assert!(input.is_empty(), "half a packet");
        packets
    }

    fn check_written(&mut self) {
        for packet in self.packets() {
            let of_a_client = !matches!(
                packet,
                PacketType::Connect
                    | PacketType::Connack
                    | PacketType::Suback
                    | PacketType::Unsuback
                    | PacketType::Pingresp
            );
            assert!(of_a_client, "{packet:?}");
            assert!(
                self.phase != Phase::Connecting && self.phase != Phase::Opening,
                "{packet:?} is too early"
            );
        }
    }
}
