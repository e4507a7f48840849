//! A client with a server over links that split, delay and break.

use std::time::Duration;

use mynah_model::{Class, Instant};
use mynah_mqtt::client::{Client, Ending, Event, LastWill, Misuse, Options};
use mynah_mqtt::wire::ConnectReturnCode;
use mynah_mqtt::{Config, Version};
use mynah_stack::testing::{Endpoint, Pair, Sequence};

use crate::broker::Server;

/// A client that takes every event at once.
struct Program {
    client: Client,
    events: Vec<Event>,
}

impl Program {
    fn new(options: Options) -> Self {
        Self { client: Client::new(options).unwrap(), events: Vec::new() }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.events.push(event);
        }
    }

    fn payloads(&self) -> Vec<u8> {
        let payload = |event: &Event| match event {
            Event::Message { message, .. } => message.payload().first().copied(),
            _ => None,
        };
        self.events.iter().filter_map(payload).collect()
    }

    fn acknowledged(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Acknowledged { .. })).count()
    }

    fn ending(&self) -> Option<Ending> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Closed { ending, .. } => Some(*ending),
            _ => None,
        })
    }
}

impl Endpoint for Program {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        self.client.handle_input(now, input);
        self.take_events();
    }

    fn handle_end(&mut self, _now: Instant) {
        self.client.handle_end();
        self.take_events();
    }

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.client.outbound().drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
        self.take_events();
    }

    fn is_finished(&self) -> bool {
        self.client.is_closed()
    }
}

fn pair(options: Options, seed: u64) -> Pair<Program, Server> {
    let server = Server::new(&Config::default(), Instant::ZERO);
    let mut pair = Pair::new(Program::new(options), server, seed);
    pair.a.client.connect(Instant::ZERO);
    pair
}

fn persistent(client_id: &str) -> Options {
    Options { clean_session: false, ..Options::new(client_id) }
}

#[test]
fn a_client_hears_what_it_publishes_in_order_and_is_acknowledged() {
    for seed in 0..20 {
        let mut pair = pair(Options::new("c"), seed);
        pair.settle();
        let now = pair.now();
        pair.a.client.subscribe(now, &[("a/#", Class::ExactlyOnce), ("b", Class::AtMostOnce)]).unwrap();
        for (number, class) in
            [Class::AtMostOnce, Class::AtLeastOnce, Class::ExactlyOnce].into_iter().enumerate()
        {
            pair.a.client.publish(now, "a/b", &[number as u8], class, false).unwrap();
        }
        pair.settle();
        assert_eq!(pair.a.payloads(), [0, 1, 2]);
        assert_eq!((pair.a.acknowledged(), pair.a.client.in_flight(), pair.b.unsettled()), (2, 0, 0));
        let granted = pair.a.events.iter().find_map(|event| match event {
            Event::Subscribed { granted, .. } => Some(granted.clone()),
            _ => None,
        });
        assert_eq!(granted, Some(vec![Ok(Class::ExactlyOnce), Ok(Class::AtMostOnce)]));

        pair.a.client.unsubscribe(now, &["a/#"]).unwrap();
        pair.a.client.publish(now, "a/b", &[9], Class::AtMostOnce, false).unwrap();
        pair.a.client.disconnect(now);
        pair.settle();
        assert_eq!(pair.a.payloads(), [0, 1, 2]);
        assert!(pair.b.closed.is_some_and(|close| !close.publish_will));
        assert_eq!(pair.a.ending(), Some(Ending::Disconnected));
    }
}

//= mqtt-3.1.1 [MQTT-2.3.1-3] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
/// With QoS 2 each message arrives once and in order, wherever the link breaks.
#[test]
fn exactly_once_holds_over_broken_links() {
    for version in [Version::V3_1, Version::V3_1_1] {
        exactly_once_over_broken_links(version);
    }
}

fn exactly_once_over_broken_links(version: Version) {
    let mut redelivered = 0;
    for seed in 0..200 {
        let mut pair = pair(Options { version, ..persistent("c") }, seed);
        let mut sequence = Sequence::new(seed);
        pair.settle();
        pair.a.client.subscribe(pair.clock.now(), &[("t", Class::ExactlyOnce)]).unwrap();
        pair.settle();
        for number in 0..30 {
            pair.a.client.publish(pair.clock.now(), "t", &[number], Class::ExactlyOnce, false).unwrap();
            if number % 5 == 4 {
                for _ in 0..sequence.between(0, 40) {
                    pair.step(pair.clock.now());
                }
                pair.cut();
                pair.reconnect();
                let now = pair.now();
                pair.b.accept(&Config::default(), now);
                pair.a.client.connect(now);
                pair.settle();
            }
        }
        pair.settle();
        assert!(pair.a.payloads().into_iter().eq(0..30), "seed {seed}: {:?}", pair.a.payloads());
        assert_eq!((pair.b.published.len(), pair.a.acknowledged()), (30, 30), "seed {seed}");
        assert_eq!((pair.a.client.in_flight(), pair.b.unsettled()), (0, 0), "seed {seed}");
        redelivered += pair.a.events.iter().filter(|e| matches!(e, Event::Message { dup: true, .. })).count();
    }
    assert!(redelivered > 0, "some links broke at a place that matters");
}

/// With QoS 1 nothing is lost; what comes twice says so.
#[test]
fn at_least_once_loses_nothing_over_broken_links() {
    for seed in 0..100 {
        let mut pair = pair(persistent("c"), seed);
        pair.settle();
        pair.a.client.subscribe(pair.clock.now(), &[("t", Class::AtLeastOnce)]).unwrap();
        pair.settle();
        for number in 0..10 {
            pair.a.client.publish(pair.clock.now(), "t", &[number], Class::AtLeastOnce, false).unwrap();
        }
        for _ in 0..seed % 37 {
            pair.step(pair.clock.now());
        }
        pair.cut();
        pair.reconnect();
        pair.b.accept(&Config::default(), pair.clock.now());
        pair.a.client.connect(pair.clock.now());
        pair.settle();
        let mut seen = pair.a.payloads();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.into_iter().eq(0..10), "seed {seed}");
        assert_eq!(pair.a.acknowledged(), 10, "seed {seed}");
    }
}

/// A client in an open session, which has heard and said nothing else.
fn open_client() -> Client {
    let mut client = Client::new(Options::new("c")).unwrap();
    client.connect(Instant::ZERO);
    client.handle_input(Instant::ZERO, &mut &b"\x20\x02\0\0"[..]);
    client.outbound().drain();
    client.poll_event();
    client
}

//= mqtt-3.1.1 [MQTT-4.5.0-2] [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn every_message_is_acknowledged_in_the_order_they_came() {
    let mut client = open_client();
    let all = [
        &b"\x32\x05\0\x01a\0\x09"[..],
        b"\x34\x05\0\x01b\0\x03",
        b"\x32\x05\0\x01c\0\x02",
        b"\x34\x05\0\x01d\0\x01",
    ];
    client.handle_input(Instant::ZERO, &mut all.concat().as_slice());
    while client.poll_event().is_some() {}
    let answers = [&b"\x40\x02\0\x09"[..], b"\x50\x02\0\x03", b"\x40\x02\0\x02", b"\x50\x02\0\x01"];
    assert_eq!(client.outbound().drain(), answers.concat());
}

//= mqtt-3.1.1 [MQTT-4.3.3-1] [MQTT-4.6.0-4]
#[test]
fn releases_have_the_order_of_the_receipts() {
    let mut client = open_client();
    for _ in 0..3 {
        client.publish(Instant::ZERO, "a", b"", Class::ExactlyOnce, false).unwrap();
    }
    client.outbound().drain();
    client.handle_input(Instant::ZERO, &mut &b"\x50\x02\0\x02\x50\x02\0\x03\x50\x02\0\x01"[..]);
    assert_eq!(client.outbound().drain(), b"\x62\x02\0\x02\x62\x02\0\x03\x62\x02\0\x01");
}

//= mqtt-3.1.1 [MQTT-3.14.4-1] [MQTT-3.14.4-2]
#[test]
fn a_good_bye_is_the_last_packet_and_the_end() {
    let mut client = open_client();
    client.handle_input(Instant::ZERO, &mut &b"\x32\x05\0\x01a\0\x09"[..]);
    client.disconnect(Instant::ZERO);
    assert_eq!(client.outbound().drain(), b"\xe0\0");
    while client.poll_event().is_some() {}
    client.handle_input(Instant::ZERO, &mut &b"\xd0\0"[..]);
    assert_eq!(client.ping(Instant::ZERO), Err(Misuse::NotOpen));
    assert!(client.is_closed() && client.outbound().is_empty());
}

/// A message that the program has not taken is not acknowledged, and the input waits.
#[test]
fn events_have_a_bound_and_taking_one_acknowledges() {
    let mut client = Client::new(Options { events_max: 2, ..Options::new("c") }).unwrap();
    client.connect(Instant::ZERO);
    client.outbound().drain();
    let all = [&b"\x20\x02\0\0"[..], b"\x32\x05\0\x01a\0\x07", b"\x34\x05\0\x01a\0\x08"].concat();
    let mut input = all.as_slice();
    client.handle_input(Instant::ZERO, &mut input);
    assert_eq!(input.len(), 7);
    assert!(matches!(client.poll_event(), Some(Event::Connected { .. })));
    assert!(client.outbound().is_empty());
    assert!(matches!(client.poll_event(), Some(Event::Message { .. })));
    assert_eq!(client.outbound().drain(), b"\x40\x02\0\x07");
    client.handle_input(Instant::ZERO, &mut input);
    assert!(matches!(client.poll_event(), Some(Event::Message { .. })));
    assert_eq!(client.outbound().drain(), b"\x50\x02\0\x08");

    // An acknowledgement does not go out on another connection than its message came on.
    client.handle_input(Instant::ZERO, &mut &b"\x32\x05\0\x01a\0\x09"[..]);
    client.connect(Instant::ZERO);
    client.handle_input(Instant::ZERO, &mut &b"\x20\x02\0\0"[..]);
    client.outbound().drain();
    while client.poll_event().is_some() {}
    assert!(client.outbound().is_empty());
}

//= mqtt-3.1.1 [MQTT-3.1.2-23]
#[test]
fn pings_keep_a_connection_alive_and_a_dead_one_is_noticed_at_both_ends() {
    let mut pair = pair(Options { keep_alive: 20, ..Options::new("c") }, 1);
    pair.run_until(Instant::ZERO + Duration::from_secs(600));
    assert!(pair.a.client.is_open() && pair.b.closed.is_none());
    // Both directions fall silent without an end.
    pair.to_a.cut();
    pair.to_b.cut();
    pair.run_until(Instant::ZERO + Duration::from_secs(629));
    assert!(pair.b.closed.is_none());
    pair.run_until(Instant::ZERO + Duration::from_secs(700));
    assert_eq!(pair.a.ending(), Some(Ending::TimedOut));
    assert_eq!(pair.b.closed.unwrap().reason, mynah_model::Reason::KeepAliveTimeout);
}

//= mqtt-3.1.1 [MQTT-3.1.2-6]
/// Nothing of an earlier connection is used in a clean session.
#[test]
fn a_clean_session_begins_with_nothing_in_flight() {
    for (options, left) in [(Options::new("c"), 0), (persistent("c"), 2)] {
        let mut client = Client::new(options).unwrap();
        for _ in 0..2 {
            client.connect(Instant::ZERO);
            client.handle_input(Instant::ZERO, &mut &b"\x20\x02\0\0"[..]);
            client.outbound().drain();
            if client.in_flight() == 0 {
                client.publish(Instant::ZERO, "a", b"", Class::AtLeastOnce, false).unwrap();
                client.publish(Instant::ZERO, "a", b"", Class::ExactlyOnce, false).unwrap();
                // A request is not asked again on another connection.
                client.subscribe(Instant::ZERO, &[("a", Class::AtMostOnce)]).unwrap();
                client.handle_end();
            }
        }
        client.connect(Instant::ZERO);
        assert_eq!(client.in_flight(), left);
    }
}

#[test]
fn a_refused_client_hears_why() {
    let mut pair = pair(Options::new("c"), 1);
    pair.b.refuse_open = Some(mynah_model::Reason::BadCredentials);
    pair.settle();
    assert_eq!(pair.a.ending(), Some(Ending::Refused(ConnectReturnCode::BadUserNameOrPassword)));
}

#[test]
fn a_will_is_published_when_the_link_breaks() {
    let will = Some(LastWill::new("gone", b"x"));
    let mut pair = pair(Options { will, ..Options::new("c") }, 1);
    pair.settle();
    pair.cut();
    assert!(pair.b.will_published);
    assert_eq!(pair.a.ending(), Some(Ending::Lost));
}

//= mqtt-3.1.1 [MQTT-3.1.2-22] [MQTT-3.1.3-7] [MQTT-3.3.2-2] [MQTT-4.7.1-1]
#[test]
fn misuse_is_told_and_writes_nothing() {
    let misuse = |options| Client::new(options).map(|_| ()).unwrap_err();
    assert_eq!(misuse(persistent("")), Misuse::ClientIdMissing);
    assert_eq!(misuse(Options::new(&"x".repeat(65_536))), Misuse::TooLarge);
    let password = Some(b"x"[..].into());
    assert_eq!(misuse(Options { password, ..Options::new("c") }), Misuse::PasswordWithoutUserName);

    let now = Instant::ZERO;
    let mut client = Client::new(Options { in_flight_max: 1, ..Options::new("c") }).unwrap();
    assert_eq!(client.publish(now, "a", b"", Class::AtMostOnce, false), Err(Misuse::NotOpen));
    client.connect(now);
    client.handle_input(now, &mut &b"\x20\x02\0\0"[..]);
    client.outbound().drain();
    assert!(matches!(client.publish(now, "a/+", b"", Class::AtMostOnce, false), Err(Misuse::Invalid(_))));
    assert!(matches!(client.subscribe(now, &[("a+", Class::AtMostOnce)]), Err(Misuse::Invalid(_))));
    assert_eq!(client.subscribe(now, &[]), Err(Misuse::NoFilter));
    assert!(client.outbound().is_empty());
    client.publish(now, "a", b"", Class::AtLeastOnce, false).unwrap();
    assert_eq!(client.publish(now, "a", b"", Class::AtLeastOnce, false), Err(Misuse::InFlightFull));
}
