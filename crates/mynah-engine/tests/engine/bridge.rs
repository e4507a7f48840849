//! Two brokers with a bridge between them over a link that breaks at any byte: nothing of QoS 1 is lost, QoS 2 comes once,
//! and the order is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mynah_engine::Listener;
use mynah_model::{Class, Identity, Limits, TenantId};
use mynah_mqtt::bridge::{self, Bridge, Direction, TopicRule, Watch};
use mynah_mqtt::client::{Client, Ending, Event, Options, OptionsV5};
use mynah_mqtt::{Config, Mqtt, Version};
use mynah_stack::testing::Sequence;

use crate::broker::{Broker, settings};

/// The place of the bridge among the listeners.
const BRIDGE: u16 = 2;

#[derive(Default)]
struct Counts {
    connected: AtomicUsize,
    ended: AtomicUsize,
    moved: AtomicUsize,
}

impl Watch for Counts {
    fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, _ending: Ending) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn message_in(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    fn message_out(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
}

fn mqtt() -> Arc<Mqtt> {
    Arc::new(Mqtt::new(Config::default()))
}

fn options(version: Version, id: &str) -> Options {
    let v5 = OptionsV5 { session_expiry: 600, ..OptionsV5::default() };
    Options { version, clean_session: false, v5, ..Options::new(id) }
}

/// A client at one of the brokers.
struct Peer {
    client: Client,
    place: usize,
    heard: Vec<(String, u8)>,
}

impl Peer {
    fn new(broker: &mut Broker, id: &str, filter: &str) -> Self {
        let place = broker.try_accept(0, 0).unwrap();
        let client = Client::new(Options::new(id)).unwrap();
        let mut peer = Self { client, place, heard: Vec::new() };
        peer.client.connect(broker.now);
        peer.run(broker);
        peer.client.subscribe(broker.now, &[(filter, Class::ExactlyOnce)]).unwrap();
        peer.run(broker);
        peer
    }

    fn publish(&mut self, broker: &mut Broker, topic: &str, number: u8, class: Class) {
        self.client.publish(broker.now, topic, &[number], class, false).unwrap();
        self.run(broker);
    }

    /// Exchanges bytes until nobody has more to say. Returns whether anybody had.
    fn run(&mut self, broker: &mut Broker) -> bool {
        let mut ran = false;
        loop {
            let heard = broker.hear_bytes(self.place);
            self.client.handle_input(broker.now, &mut heard.as_slice());
            while let Some(event) = self.client.poll_event() {
                if let Event::Message { message, .. } = event {
                    let topic = String::from_utf8(message.topic().as_bytes().to_vec()).unwrap();
                    self.heard.push((topic, message.payload()[0]));
                }
            }
            let said = self.client.outbound().drain();
            if heard.is_empty() && said.is_empty() {
                return ran;
            }
            ran = true;
            if !said.is_empty() {
                broker.send(self.place, &said);
                broker.settle();
            }
        }
    }

    fn numbers(&self, topic: &str) -> Vec<u8> {
        self.heard.iter().filter(|(heard, _)| heard == topic).map(|(_, number)| *number).collect()
    }
}

struct World {
    near: Broker,
    far: Broker,
    /// The ends of the bridge's connection.
    link: Option<(usize, usize)>,
    counts: Arc<Counts>,
}

impl World {
    fn new(version: Version, class_max: Class, receive_max: u16) -> Self {
        let counts = Arc::new(Counts::default());
        let rule = |direction, filter, local_prefix, remote_prefix| TopicRule {
            direction,
            filter,
            local_prefix,
            remote_prefix,
            class_max,
        };
        let settings_of_bridge = bridge::Settings {
            options: options(version, "near"),
            session: b"$bridge/far"[..].into(),
            receive_max,
            bridge_bit: false,
            watch: Arc::<Counts>::clone(&counts),
        };
        let rules = [
            rule(Direction::Out, "#", "out/", "from-near/"),
            rule(Direction::In, "#", "from-far/", "in/"),
            rule(Direction::Both, "both/#", "", ""),
        ];
        let bridge = Bridge::new(settings_of_bridge, &rules).unwrap();
        let broker = |bridge: Option<Bridge>| {
            let mut settings = settings(2, Limits::default());
            for listener in &mut settings.listeners {
                listener.protocol = mqtt();
            }
            if let Some(bridge) = bridge {
                settings.listeners.push(Listener {
                    name: "bridge:far".into(),
                    protocol: Arc::new(bridge),
                    tenant: TenantId::DEFAULT,
                    anonymous: false,
                    certificates: false,
                    identity: Some(Identity::user(TenantId::DEFAULT, "bridge:far")),
                });
            }
            Broker::with(settings)
        };
        let mut world = Self { near: broker(Some(bridge)), far: broker(None), link: None, counts };
        world.dial();
        world
    }

    fn dial(&mut self) {
        let near = self.near.try_accept(0, BRIDGE).unwrap();
        self.link = Some((near, self.far.try_accept(0, 0).unwrap()));
        // The timer of a new bridge is due.
        self.near.advance(Duration::from_millis(10));
        self.far.advance(Duration::from_millis(10));
    }

    /// Carries bytes both ways until nobody has more to say, or until so many were carried: then the link breaks.
    fn carry(&mut self, mut budget: Option<usize>) -> bool {
        let mut ran = false;
        while let Some((near, far)) = self.link {
            let (out, back) = (self.near.hear_bytes(near), self.far.hear_bytes(far));
            if out.is_empty() && back.is_empty() {
                break;
            }
            ran = true;
            for (bytes, broker, place) in [(out, &mut self.far, far), (back, &mut self.near, near)] {
                let count = budget.map_or(bytes.len(), |budget| budget.min(bytes.len()));
                if broker.is_connected(place) && count > 0 {
                    broker.send(place, &bytes[..count]);
                    broker.settle();
                }
                budget = budget.map(|budget| budget - count);
            }
            if budget == Some(0) {
                self.near.cut(near);
                self.far.cut(far);
                self.link = None;
            }
        }
        ran
    }
}

const ALL: Class = Class::ExactlyOnce;

#[test]
fn topics_cross_both_ways_under_their_names_and_do_not_come_back() {
    topics_cross(Version::V3_1_1);
    topics_cross(Version::V5);
}

fn topics_cross(version: Version) {
    let mut world = World::new(version, ALL, 4);
    world.carry(None);
    let mut here = Peer::new(&mut world.near, "here", "#");
    let mut there = Peer::new(&mut world.far, "there", "#");
    for (number, class) in [Class::AtMostOnce, Class::AtLeastOnce, Class::ExactlyOnce].into_iter().enumerate()
    {
        here.publish(&mut world.near, "out/a", number as u8, class);
        there.publish(&mut world.far, "in/b", number as u8, class);
        there.publish(&mut world.far, "elsewhere", number as u8, class);
        world.carry(None);
        here.run(&mut world.near);
        there.run(&mut world.far);
    }
    assert_eq!(there.numbers("from-near/a"), [0, 1, 2]);
    assert_eq!(here.numbers("from-far/b"), [0, 1, 2]);
    assert_eq!((here.heard.len(), there.heard.len()), (6, 9));
    assert_eq!(world.counts.moved.load(Ordering::Relaxed), 6);
    assert_eq!(world.counts.connected.load(Ordering::Relaxed), 1);
}

/// The same topics in both directions: what has crossed does not cross again. A broker of MQTT 3.1.1 sends it back once, one of
/// MQTT 5.0 knows better.
#[test]
fn a_topic_that_crosses_both_ways_does_not_go_round() {
    for (version, times) in [(Version::V3_1_1, 2), (Version::V5, 1)] {
        let mut world = World::new(version, ALL, 4);
        world.carry(None);
        let mut here = Peer::new(&mut world.near, "here", "both/#");
        let mut there = Peer::new(&mut world.far, "there", "both/#");
        here.publish(&mut world.near, "both/a", 1, Class::AtLeastOnce);
        there.publish(&mut world.far, "both/b", 2, Class::AtLeastOnce);
        while world.carry(None) | here.run(&mut world.near) | there.run(&mut world.far) {}
        assert_eq!(here.numbers("both/a"), vec![1; times], "{version:?}");
        assert_eq!((here.numbers("both/b"), there.heard.len()), (vec![2], 2), "{version:?}");
    }
}

/// A broken link at any byte: the sessions on either side hold what did not cross.
#[test]
fn nothing_is_lost_over_a_link_that_breaks() {
    for class in [Class::AtLeastOnce, Class::ExactlyOnce] {
        for seed in 0..60 {
            let version = if seed % 2 == 0 { Version::V3_1_1 } else { Version::V5 };
            cut_at_random(version, class, seed);
        }
    }
}

fn cut_at_random(version: Version, class: Class, seed: u64) {
    let mut world = World::new(version, class, if seed.is_multiple_of(3) { 100 } else { 4 });
    let mut sequence = Sequence::new(seed);
    world.carry(None);
    let mut here = Peer::new(&mut world.near, "here", "from-far/#");
    let mut there = Peer::new(&mut world.far, "there", "from-near/#");
    for number in 0..40 {
        here.publish(&mut world.near, "out/a", number, class);
        there.publish(&mut world.far, "in/b", number, class);
        match (sequence.between(0, 3), world.link) {
            (0, Some(_)) => drop(world.carry(Some(sequence.between(1, 120) as usize))),
            (0, None) => world.dial(),
            (1, Some(_)) => drop(world.carry(None)),
            _ => {}
        }
        here.run(&mut world.near);
        there.run(&mut world.far);
    }
    if world.link.is_none() {
        world.dial();
    }
    while world.carry(None) | here.run(&mut world.near) | there.run(&mut world.far) {}
    for mut seen in [there.numbers("from-near/a"), here.numbers("from-far/b")] {
        if class == Class::AtLeastOnce {
            // What comes again comes later; the first of each are in order.
            let mut first = Vec::new();
            seen.retain(|number| {
                !first.contains(number) && {
                    first.push(*number);
                    true
                }
            });
        }
        assert!(seen.iter().copied().eq(0..40), "{version:?} {class:?} seed {seed}: {seen:?}");
    }
    let connected = world.counts.connected.load(Ordering::Relaxed);
    assert!(connected >= 1 && world.counts.ended.load(Ordering::Relaxed) <= connected + 40);
}

/// Whoever is let in: the names of bridges are kept for them, also before a bridge has been there.
#[test]
fn nobody_else_gets_the_session_of_a_bridge() {
    for (version, code) in [(Version::V3_1_1, 2), (Version::V5, 0x85)] {
        let mut world = World::new(version, ALL, 4);
        for id in ["$bridge/far", "$bridge/other", "$bridge/"] {
            let place = world.near.try_accept(0, 0).unwrap();
            let mut client = Client::new(options(version, id)).unwrap();
            client.connect(world.near.now);
            world.near.send(place, &client.outbound().drain());
            world.near.settle();
            let heard = world.near.hear_bytes(place);
            assert!(heard[0] == 0x20 && heard[3] == code, "{id}: {heard:?}");
            assert!(!world.near.is_connected(place));
        }
        assert!(world.carry(None), "the bridge itself gets it");
        assert_eq!(world.counts.connected.load(Ordering::Relaxed), 1);
        let mut other = Peer::new(&mut world.near, "$bridge", "#");
        other.publish(&mut world.near, "t", 1, Class::AtMostOnce);
        assert_eq!(other.numbers("t"), [1]);
    }
}
