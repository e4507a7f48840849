//! A bridge between a scripted broker and a scripted core: what it says to either, byte by byte and command by command.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex};

use mynah_model::{Class, DeliveryId, Expiry, Instant, Reason};
use mynah_mqtt::Version;
use mynah_mqtt::bridge::{Bridge, Direction, Settings, TopicRule, Watch};
use mynah_mqtt::client::{Ending, Options, OptionsV5};
use mynah_mqtt::wire::properties::ConnackProperties;
use mynah_mqtt::wire::{ConnackV5, ReasonCode};
use mynah_stack::{
    Command, Connection, Delivery, Frame, Opened, Outbound, Outcome, Protocol, Settlement, Step,
};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;

#[derive(Default)]
struct Ends(Mutex<Vec<Ending>>);

impl Watch for Ends {
    fn connected(&self) {}
    fn ended(&self, ending: Ending) {
        self.0.lock().unwrap().push(ending);
    }
    fn message_in(&self) {}
    fn message_out(&self) {}
}

struct Run {
    bridge: Box<dyn Connection>,
    out: Outbound,
    ends: Arc<Ends>,
}

impl Run {
    fn new(version: Version, bridge_bit: bool) -> Self {
        let ends = Arc::new(Ends::default());
        let v5 = OptionsV5 { session_expiry: 60, topic_alias_max: 2, ..OptionsV5::default() };
        let settings = Settings {
            options: Options { version, clean_session: false, v5, ..Options::new("c") },
            session: b"s"[..].into(),
            receive_max: 9,
            bridge_bit,
            watch: Arc::<Ends>::clone(&ends),
        };
        let rule = |direction, local_prefix, remote_prefix| TopicRule {
            direction,
            filter: "#",
            local_prefix,
            remote_prefix,
            class_max: Class::ExactlyOnce,
        };
        let rules = [rule(Direction::In, "l/", "r/"), rule(Direction::Out, "o/", "")];
        let bridge = Bridge::new(settings, &rules).unwrap().accept(NOW);
        let mut run = Self { bridge, out: Outbound::new(), ends };
        assert!(run.said().is_empty());
        run.bridge.handle_timeout(NOW, &mut run.out);
        run
    }

    /// A bridge that the remote broker has let in, and that has subscribed on either side.
    fn open(connack: &[u8], receive_max: u16) -> Self {
        let version = if connack.len() == 4 { Version::V3_1_1 } else { Version::V5 };
        let mut run = Self::new(version, false);
        run.said();
        let mut input = connack;
        let Step::Command(Command::Open(open)) = run.bridge.step(NOW, &mut input, &mut run.out) else {
            panic!("no session is asked for")
        };
        assert_eq!((open.receive_max, &*open.session.unwrap().client_id), (receive_max, &b"s"[..]));
        run.bridge.handle_outcome(NOW, Outcome::Opened(Ok(Opened::new(false, Expiry::Never))), &mut run.out);
        run
    }

    fn said(&mut self) -> Vec<u8> {
        self.out.drain()
    }

    fn hear<'b>(&mut self, bytes: &'b [u8]) -> Step<'b> {
        self.bridge.step(NOW, &mut &*bytes, &mut self.out)
    }

    fn deliver(&mut self, topic: &str, class: Class, retain: bool, payload_len: usize) -> bool {
        let id = DeliveryId::new(7).filter(|_| class.is_confirmed());
        let mut head = vec![0x30, 0, 0, topic.len() as u8];
        head.extend_from_slice(topic.as_bytes());
        if id.is_some() {
            head.extend_from_slice(&[0, 0]);
        }
        head.push(0);
        head.resize(head.len() + payload_len, b'x');
        head[1] = head.len() as u8 - 2;
        let mut frame = Frame::default();
        frame.head = head;
        let delivery =
            Delivery::Message { frame: &frame, class, id, retain, redelivered: false, subscription_ids: &[] };
        self.bridge.deliver(NOW, delivery, &mut self.out)
    }
}

fn connack(session_present: bool, properties: ConnackProperties<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    let connack = ConnackV5 { session_present, reason_code: ReasonCode::Success, properties };
    assert!(connack.encode(usize::MAX, &mut packet));
    packet
}

#[test]
fn a_bridge_says_that_it_is_one_where_that_is_wanted() {
    for (bit, level) in [(false, 4), (true, 0x84)] {
        assert_eq!(Run::new(Version::V3_1_1, bit).said()[8], level);
    }
}

//= mqtt-5.0 [MQTT-3.8.3-3]
#[test]
fn it_subscribes_on_either_side_and_wants_nothing_back() {
    let mut run = Run::open(&connack(false, ConnackProperties::default()), 9);
    let subscribe = run.said();
    // QoS 2, No Local, Retain As Published, retained messages if the subscription is new.
    assert_eq!((subscribe[0], &subscribe[4..]), (0x82, &b"\0\0\x03r/#\x1e"[..]));
    let Step::Command(Command::Subscribe(subscribe)) = run.hear(b"") else { panic!("no filters") };
    let request = subscribe.requests[0].unwrap();
    assert_eq!(request.filter.as_bytes(), b"o/#");
    assert!(request.options.no_local && request.options.retain_as_published);
    assert!(matches!(run.hear(b""), Step::Idle));
}

#[test]
fn a_refused_subscription_ends_the_connection() {
    let mut run = Run::open(b"\x20\x02\0\0", 9);
    let subscribe = run.said();
    run.hear(b"");
    assert!(run.hear(&[0x90, 3, subscribe[2], subscribe[3], 0x80]).is_close());
    assert_eq!(*run.ends.0.lock().unwrap(), [Ending::NotSubscribed(ReasonCode::UnspecifiedError)]);
}

trait IsClose {
    fn is_close(&self) -> bool;
}

impl IsClose for Step<'_> {
    fn is_close(&self) -> bool {
        matches!(self, Step::Close(_))
    }
}

//= mqtt-5.0 [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15]
#[test]
fn what_the_remote_broker_does_not_take_does_not_cross() {
    let properties = ConnackProperties {
        receive_maximum: NonZeroU16::new(3),
        maximum_qos: Some(true),
        retain_available: Some(false),
        maximum_packet_size: NonZeroU32::new(20),
        ..ConnackProperties::default()
    };
    let mut run = Run::open(&connack(false, properties), 3);
    run.said();
    assert!(run.deliver("o/a", Class::AtLeastOnce, true, 2));
    assert_eq!(run.said(), b"\x32\x08\0\x01a\0\x07\0xx");
    assert!(!run.deliver("o/a", Class::ExactlyOnce, false, 2));
    assert!(!run.deliver("o/a", Class::AtLeastOnce, false, 13));
    assert!(run.deliver("o/a", Class::AtLeastOnce, false, 12));
    assert!(!run.deliver("elsewhere", Class::AtMostOnce, false, 0));
}

//= mqtt-5.0 [MQTT-4.3.3-4]
#[test]
fn what_the_remote_broker_says_of_a_delivery_settles_it() {
    let mut run = Run::open(&connack(true, ConnackProperties::default()), 9);
    run.hear(b"");
    for (packet, expected) in [
        (&b"\x40\x02\0\x07"[..], Settlement::Accepted),
        (b"\x40\x03\0\x07\x97", Settlement::Rejected),
        (b"\x50\x02\0\x07", Settlement::Received),
        (b"\x50\x03\0\x07\x87", Settlement::Rejected),
        (b"\x70\x02\0\x07", Settlement::Completed),
        (b"\x70\x03\0\x07\x92", Settlement::Completed),
    ] {
        let Step::Command(Command::Settle(settle)) = run.hear(packet) else { panic!("{packet:?}") };
        assert_eq!((settle.delivery.number(), settle.settlement), (7, expected));
    }
}

/// The core may still know an identifier from a session that the remote broker has lost.
#[test]
fn a_message_of_a_new_session_is_not_taken_for_one_of_a_lost_session() {
    let publish = b"\x34\x08\0\x03r/a\0\x05\0";
    for present in [true, false] {
        let mut run = Run::open(&connack(present, ConnackProperties::default()), 9);
        run.said();
        run.hear(b"");
        let mut input = &publish[..];
        if !present {
            let step = run.bridge.step(NOW, &mut input, &mut run.out);
            assert!(matches!(step, Step::Command(Command::Complete { receipt: 5 })));
            run.bridge.handle_outcome(NOW, Outcome::Completed { receipt: 5, known: true }, &mut run.out);
            assert!(run.said().is_empty());
        }
        let Step::Command(Command::Publish(publish)) = run.bridge.step(NOW, &mut input, &mut run.out) else {
            panic!("the message is not published")
        };
        assert_eq!((publish.view().topic().as_bytes(), publish.receipt), (&b"l/a"[..], 5));
        let (class, result) = (Class::ExactlyOnce, Ok(true));
        run.bridge.handle_outcome(NOW, Outcome::Published { receipt: 5, class, result }, &mut run.out);
        assert_eq!(run.said(), b"\x50\x02\0\x05");
        assert!(matches!(run.hear(b"\x62\x02\0\x05"), Step::Command(Command::Complete { receipt: 5 })));
        run.bridge.handle_outcome(NOW, Outcome::Completed { receipt: 5, known: true }, &mut run.out);
        assert_eq!(run.said(), b"\x70\x02\0\x05");
    }
}

/// A refusal that may pass is no acknowledgement: the remote broker keeps the message.
#[test]
fn a_message_that_finds_no_room_stays_with_the_remote_broker() {
    let mut run = Run::open(b"\x20\x02\x01\0", 9);
    run.said();
    run.hear(b"");
    assert!(matches!(run.hear(b"\x32\x07\0\x03r/a\0\x05"), Step::Command(Command::Publish(_))));
    let (class, result) = (Class::AtLeastOnce, Err(Reason::QuotaExceeded));
    run.bridge.handle_outcome(NOW, Outcome::Published { receipt: 5, class, result }, &mut run.out);
    assert_eq!(run.said(), b"\xe0\0");
    assert!(run.hear(b"").is_close());
}

proptest! {
    #[test]
    fn a_bridge_survives_any_bytes(
        bytes in prop::collection::vec(prop_oneof![0..8u8, Just(0x30), Just(0x34), Just(0x90), any::<u8>()], 0..80),
        v5 in any::<bool>(),
    ) {
        let connack = if v5 { connack(false, ConnackProperties::default()) } else { b"\x20\x02\0\0".to_vec() };
        let mut run = Run::open(&connack, 9);
        let mut input = bytes.as_slice();
        for _ in 0..200 {
            match run.bridge.step(NOW, &mut input, &mut run.out) {
                Step::Command(_) => {}
                Step::Idle | Step::Close(_) => break,
            }
        }
    }
}
