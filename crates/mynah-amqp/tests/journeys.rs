//! A client and a server over links that split, delay and break.

use std::time::Duration;

use mynah_amqp::v0_9_1::client::{Client, Ending, Event, Login, Misuse, Options};
use mynah_amqp::v0_9_1::wire::{
    BasicProperties, Method, PropertiesBuilder, PropertyId, ShortStr, TableBuilder, Value, basic, channel,
    confirm, connection,
};
use mynah_amqp::v0_9_1::{Config, Error, Malformed, Mechanism, Settings, Violation};
use mynah_model::{Instant, Reason};
use mynah_stack::Connection;
use mynah_stack::testing::{Endpoint, Pair};

use crate::broker::{Server, frame, method, short};

/// A client as an end of a link.
pub(crate) struct Peer {
    client: Client,
    events: Vec<Event>,
}

impl Endpoint for Peer {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        self.client.handle_input(now, input);
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn handle_end(&mut self, _now: Instant) {
        self.client.handle_end();
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.client.outbound().drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn is_finished(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Closed(_)))
    }
}

impl Endpoint for Server {
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        self.hear_at(now, input);
        *input = &input[input.len()..];
    }

    fn handle_end(&mut self, _now: Instant) {}

    fn transmit(&mut self, _now: Instant) -> Vec<u8> {
        self.out.drain()
    }

    fn deadline(&self) -> Option<Instant> {
        self.connection.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now, &mut self.out);
        self.hear_at(now, b"");
    }

    fn is_finished(&self) -> bool {
        self.closed.is_some()
    }
}

fn guest() -> Login {
    Login::Plain { user: "guest".into(), password: b"guest"[..].into() }
}

fn pair(options: Options, config: &Config, seed: u64) -> Pair<Peer, Server> {
    let mut client = Client::new(options);
    client.connect(Instant::ZERO);
    let delay = Duration::ZERO..=Duration::from_millis(20);
    let mut pair = Pair::new(Peer { client, events: Vec::new() }, Server::new(config), seed);
    pair.to_a = pair.to_a.with_delay(delay.clone());
    pair.to_b = pair.to_b.with_delay(delay);
    pair
}

fn settled(mut pair: Pair<Peer, Server>) -> Pair<Peer, Server> {
    pair.settle();
    pair
}

/// Small frames, so that bodies come in parts.
fn small() -> Options {
    Options { frame_bytes_max: 4_096, heartbeat: Some(0), ..Options::new(guest()) }
}

#[test]
fn messages_arrive_whole_in_order_and_are_confirmed() {
    for seed in 0..20 {
        let mut pair = settled(pair(small(), &Config::default(), seed));
        assert_eq!(pair.a.events, [Event::Connected]);
        let now = pair.now();
        let number = pair.a.client.open_channel(now).unwrap();
        pair.settle();
        pair.a.client.send(now, number, confirm::Select { nowait: false }).unwrap();
        let made = PropertiesBuilder::new().octet(PropertyId::DeliveryMode, Some(2));
        let publish =
            basic::Publish { exchange: short("amq.topic"), routing_key: short("a.b"), ..Default::default() };
        for at in 0..10_u8 {
            let body = vec![at; usize::from(at) * 1_100];
            let tag = pair.a.client.publish(now, number, publish, made.as_properties(), &body);
            assert_eq!(tag, Ok(Some(u64::from(at) + 1)));
        }
        pair.settle();
        let lengths: Vec<usize> = pair.b.published.iter().map(|message| message.payload().len()).collect();
        assert_eq!(lengths, (0..10).map(|at| at * 1_100).collect::<Vec<usize>>());
        let confirmed: Vec<u64> = pair
            .a
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Confirmed { tags, accepted: true, .. } => Some(tags.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(confirmed, (1..=10).collect::<Vec<u64>>());
        pair.a.client.close(now);
        pair.settle();
        assert_eq!(pair.a.events.last(), Some(&Event::Closed(Ending::Finished)));
        assert_eq!(pair.b.closed.map(|close| close.reason), Some(Reason::Disconnected));
    }
}

#[test]
fn a_message_that_comes_back_comes_whole() {
    let mut pair = settled(pair(small(), &Config::default(), 1));
    pair.b.matches = false;
    let now = pair.now();
    let number = pair.a.client.open_channel(now).unwrap();
    pair.settle();
    let headers = TableBuilder::new().with("n", Value::I8(-1));
    let made = PropertiesBuilder::new().headers(headers.as_table()).octet(PropertyId::DeliveryMode, Some(2));
    let publish = basic::Publish {
        exchange: short("amq.topic"),
        routing_key: short("a"),
        mandatory: true,
        ..Default::default()
    };
    let body: Vec<u8> = (0..9_000).map(|at| at as u8).collect();
    pair.a.client.publish(now, number, publish, made.as_properties(), &body).unwrap();
    pair.settle();
    let event = pair.a.events.last().unwrap();
    let Event::Message { method, body: returned, .. } = event else { panic!("{event:?}") };
    let Method::BasicReturn(returned_by) = method.get() else { panic!("{method:?}") };
    assert_eq!((returned_by.reply_code, returned_by.reply_text.as_str()), (312, Some("NO_ROUTE")));
    assert_eq!((&**returned, event.properties()), (&body[..], made.as_properties()));
}

#[test]
fn every_login_works() {
    let settings = Settings { mechanisms: Mechanism::ALL.into(), ..Settings::default() };
    let config = Config::new(settings).unwrap();
    let amqplain = Login::Amqplain { user: "guest".into(), password: b"guest"[..].into() };
    for login in [guest(), amqplain] {
        let pair = settled(pair(Options { login, ..small() }, &config, 3));
        assert_eq!((&pair.a.events[..], &*pair.b.user), (&[Event::Connected][..], "guest"));
    }
    let login = Login::Other { mechanism: "SCRAM-SHA-256".into(), response: b"n,,n=u,r=x"[..].into() };
    let mut pair = settled(pair(Options { login, ..small() }, &config, 3));
    assert_eq!(pair.a.events, [Event::Challenge(b"who?"[..].into())]);
    let now = pair.now();
    pair.a.client.respond(now, b"me").unwrap();
    pair.settle();
    assert_eq!(pair.a.events.last(), Some(&Event::Connected));
    assert!(!format!("{:?}", guest()).contains("guest"), "secrets are not shown");
}

#[test]
fn a_refusal_is_told() {
    let reply_code = |pair: &Pair<Peer, Server>| match pair.a.events.last() {
        Some(Event::Closed(Ending::Refused(method))) => match method.get() {
            Method::ConnectionClose(close) => close.reply_code,
            _ => 0,
        },
        _ => 0,
    };
    let host = settled(pair(Options { virtual_host: "other".into(), ..small() }, &Config::default(), 4));
    assert_eq!(reply_code(&host), 530);
    let mut refused = pair(small(), &Config::default(), 4);
    refused.b.refuse_open = Some(Reason::BadCredentials);
    refused.settle();
    assert_eq!(reply_code(&refused), 403);
    let external = settled(pair(Options { login: Login::External, ..small() }, &Config::default(), 4));
    assert_eq!(external.a.events, [Event::Closed(Ending::Mechanism)]);
}

#[test]
fn heartbeats_keep_a_connection_alive_and_silence_ends_it() {
    let options = Options { heartbeat: Some(2), ..small() };
    let mut pair = pair(options, &Config::default(), 5);
    pair.run_until(Instant::ZERO + Duration::from_secs(60));
    assert_eq!(pair.a.events, [Event::Connected]);
    assert!(pair.b.closed.is_none());
    pair.to_a.cut();
    pair.to_b.cut();
    pair.run_until(Instant::ZERO + Duration::from_secs(65));
    assert_eq!(pair.a.events.last(), Some(&Event::Closed(Ending::TimedOut)));
    assert_eq!(pair.b.closed.map(|close| close.reason), Some(Reason::KeepAliveTimeout));
}

/// A client that hears these bytes after its channel 1 is open.
fn hearing(bytes: &[u8]) -> Vec<Event> {
    let mut pair = settled(pair(small(), &Config::default(), 6));
    let now = pair.now();
    pair.a.client.open_channel(now).unwrap();
    pair.settle();
    pair.a.events.clear();
    pair.a.handle_input(now, &mut &bytes[..]);
    pair.a.events
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    let ack = |delivery_tag| method(1, basic::Ack { delivery_tag, multiple: false });
    for (bytes, error) in [
        (frame(9, 0, b""), Error::Malformed(Malformed::FrameType(9))),
        (frame(8, 1, b""), Violation::HeartbeatChannel.into()),
        (frame(2, 0, b""), Violation::ContentWithoutMethod.into()),
        (frame(2, 1, b""), Violation::ContentWithoutMethod.into()),
        (frame(1, 1, b"\0\x3c"), Malformed::Truncated.into()),
        (method(2, channel::OpenOk {}), Violation::ChannelNotOpen.into()),
        (method(1, channel::OpenOk {}), Violation::UnexpectedAnswer.into()),
        (method(1, basic::Qos::default()), Violation::Sender.into()),
        (method(0, connection::OpenOk {}), Violation::UnexpectedMethod.into()),
        (method(1, connection::CloseOk {}), Violation::ChannelZero.into()),
        (ack(1), Violation::UnexpectedAnswer.into()),
        ([method(1, basic::Deliver::default()), ack(1)].concat(), Violation::ContentExpected.into()),
        (vec![1, 0, 0, 0, 1, 0, 0], Violation::FrameTooLarge.into()),
    ] {
        assert_eq!(hearing(&bytes), [Event::Closed(Ending::Error(error))], "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_client_answers_what_asks_for_nothing_more() {
    let close = channel::Close { reply_code: 404, reply_text: short("gone"), class_id: 60, method_id: 40 };
    let events = hearing(&method(1, close));
    let [Event::ChannelClosed { channel: 1, reason: Some(reason) }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(reason.get(), close.into());
    assert_eq!(
        hearing(&method(1, channel::Flow { active: false })),
        [Event::Flow { channel: 1, active: false }]
    );
    let events = hearing(&method(0, connection::Blocked { reason: short("disk") }));
    assert!(matches!(&events[..], [Event::Method { channel: 0, .. }]));
}

#[test]
fn misuse_is_told_and_writes_nothing() {
    let now = Instant::ZERO;
    let mut client = Client::new(small());
    assert_eq!(client.open_channel(now), Err(Misuse::NotOpen));
    assert_eq!(client.respond(now, b""), Err(Misuse::NotAsked));
    let mut pair = settled(pair(Options { channel_max: 1, ..small() }, &Config::default(), 7));
    let now = pair.now();
    let client = &mut pair.a.client;
    let publish = basic::Publish::default();
    let empty = BasicProperties::EMPTY;
    assert_eq!(client.publish(now, 1, publish, empty, b""), Err(Misuse::ChannelNotOpen));
    assert_eq!(client.open_channel(now), Ok(1));
    assert_eq!(client.open_channel(now), Err(Misuse::NoChannelLeft));
    assert_eq!(client.publish(now, 1, publish, empty, b""), Err(Misuse::ChannelNotOpen), "not yet");
    pair.settle();
    let client = &mut pair.a.client;
    assert_eq!(client.send(now, 1, basic::Deliver::default()), Err(Misuse::Sender));
    assert_eq!(client.send(now, 1, publish), Err(Misuse::WrongChannel));
    assert_eq!(client.send(now, 0, connection::Close::default()), Err(Misuse::WrongChannel));
    let long = TableBuilder::new().with("k", Value::LongStr(&[b'x'; 5_000]));
    let made = PropertiesBuilder::new().headers(long.as_table());
    assert_eq!(client.publish(now, 1, publish, made.as_properties(), b""), Err(Misuse::PropertiesTooLarge));
    let consume =
        basic::Consume { queue: ShortStr::cut("q"), arguments: long.as_table(), ..Default::default() };
    assert_eq!(client.send(now, 1, consume), Err(Misuse::MethodTooLarge));
    assert!(client.outbound().is_empty());
}
