//! Observers: what they are notified of, how they are kept in order, and how an observation ends.

use std::time::Duration;

use mynah_coap::CoapConfig;
use mynah_coap::client::Request;
use mynah_coap::framing::Transport;
use mynah_coap::wire::cbor::{Item, Reader, Writer};
use mynah_coap::wire::{Code, Kind, Message, OptionNumber};
use mynah_model::{Class, Instant, Reason};

use crate::broker::Server;
use crate::journeys::{on, put};
use crate::message_layer::{at, hex, tell, written};
use crate::network::World;

/// A message of ours, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    id: u16,
    code: Code,
    token: Vec<u8>,
    observe: Option<Vec<u8>>,
    payload: Vec<u8>,
}

fn seen(datagrams: Vec<String>) -> Vec<Seen> {
    let one = |datagram: String| {
        let bytes = hex(&datagram);
        let Message { kind, id, body } = Message::decode(&bytes, 8).unwrap();
        let observe = body.options.first(OptionNumber::OBSERVE).map(<[u8]>::to_vec);
        let (token, payload) = (body.token.to_vec(), body.payload.to_vec());
        Seen { kind, id: id.0, code: body.code, token, observe, payload }
    };
    datagrams.into_iter().map(one).collect()
}

/// A server with one observer of topic `a`, token 0x77, who has shown that it is there.
fn observed(query: &str) -> Server {
    let mut server = Server::trusting();
    let first = seen(tell(&mut server, at(0), &format!("41 01 0001 77 60 51 74 01 61 {query}")));
    assert_eq!((first[0].code, first[0].observe.is_some()), (Code::CONTENT, true));
    server.publish(at(0), "a", b"0", Class::AtMostOnce, false);
    let check = seen(written(&mut server));
    assert_eq!(check[0].kind, Kind::Confirmable);
    tell(&mut server, at(0), &format!("6000 {:04x}", check[0].id));
    server
}

fn publish(server: &mut Server, now: Instant, payload: &[u8], class: Class) -> Vec<Seen> {
    server.publish(now, "a", payload, class, false);
    seen(written(server))
}

//= rfc7641 [3.1-1] [4.1-1] [4.2-1]
#[test]
fn the_first_answer_is_the_value_and_what_follows_has_its_token() {
    let mut world = World::fair();
    world.ask(put("a", b"1"));
    let observed = world.request(on(Code::GET, "a").observe());
    world.run_for(Duration::from_secs(1));
    let first = world.answer(observed).unwrap();
    assert_eq!((first.code, &first.payload[..]), (Code::CONTENT, &b"1"[..]));
    assert!(first.option(OptionNumber::OBSERVE).is_some());
    world.ask(put("a", b"2"));
    world.ask(put("a", b"3"));
    let got: Vec<_> = world.notifications(observed).into_iter().map(|r| r.payload).collect();
    assert_eq!(got, [b"2", b"3"]);
}

//= rfc7641 [4.2-3]
#[test]
fn a_topic_without_a_value_is_observed_too() {
    let mut world = World::fair();
    let octets = world.request(on(Code::GET, "a").observe());
    world.run_for(Duration::from_secs(1));
    let first = world.answer(octets).unwrap();
    assert_eq!((first.code, first.uint(OptionNumber::CONTENT_FORMAT)), (Code::CONTENT, Some(42)));
    assert!(first.payload.is_empty());
    let json = world.request(on(Code::GET, "b").observe().uint(OptionNumber::ACCEPT, 50));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.answer(json).unwrap().uint(OptionNumber::CONTENT_FORMAT), Some(50));
    // Under octets, any type may come and is named.
    world.ask(on(Code::PUT, "a").payload(50, b"{}"));
    let got = &world.notifications(octets)[0];
    assert_eq!(got.uint(OptionNumber::CONTENT_FORMAT), Some(42));
    assert_eq!(got.option(OptionNumber::CONTENT_TYPE), Some(&b"application/json"[..]));
    // Under another format, another type is the end.
    world.ask(put("b", b"text"));
    let got = world.notifications(json);
    assert_eq!((got[0].code, got[0].option(OptionNumber::OBSERVE)), (Code::NOT_ACCEPTABLE, None));
    assert_eq!(world.server.subscriptions.len(), 1);
}

//= rfc7641 [3.2-1] [4.2-2]
#[test]
fn a_value_that_is_cleared_is_a_last_notification() {
    let mut world = World::fair();
    world.ask(put("a", b"1"));
    let observed = world.request(on(Code::GET, "a").observe());
    world.run_for(Duration::from_secs(1));
    world.ask(on(Code::DELETE, "a"));
    let got = world.notifications(observed);
    assert_eq!((got[0].code, got[0].option(OptionNumber::OBSERVE)), (Code::NOT_FOUND, None));
    assert!(world.server.subscriptions.is_empty());
}

//= rfc7641 [3.6-1] [4.1-2]
#[test]
fn an_observer_leaves_by_asking_or_by_a_reset() {
    let mut server = observed("");
    let answer = seen(tell(&mut server, at(0), "41 01 0002 77 61 01 51 74 01 61"));
    assert_eq!((answer[0].code, answer[0].observe.clone()), (Code::NOT_FOUND, None));
    assert!(server.subscriptions.is_empty());
    assert_eq!(publish(&mut server, at(0), b"x", Class::AtMostOnce), []);

    for class in [Class::AtMostOnce, Class::AtLeastOnce] {
        let mut server = observed("");
        let sent = publish(&mut server, at(0), b"x", class);
        let kind = if class.is_confirmed() { Kind::Confirmable } else { Kind::NonConfirmable };
        assert_eq!(sent[0].kind, kind);
        tell(&mut server, at(0), &format!("7000 {:04x}", sent[0].id));
        assert!(server.subscriptions.is_empty(), "{class:?}");
    }
}

//= rfc7641 [4.5-1] [4.5.2-1]
#[test]
fn only_the_newest_state_waits_for_an_acknowledgement() {
    let mut server = observed("");
    let first = publish(&mut server, at(0), b"1", Class::AtLeastOnce);
    for payload in [b"2", b"3", b"4"] {
        assert_eq!(publish(&mut server, at(100), payload, Class::AtLeastOnce), []);
    }
    let next = seen(tell(&mut server, at(200), &format!("6000 {:04x}", first[0].id)));
    assert_eq!((next.len(), &next[0].payload[..]), (1, &b"4"[..]));
    assert!(next[0].observe > first[0].observe);
}

//= rfc7641 [4.5.2-2]
#[test]
fn what_is_sent_again_is_the_newest_state_under_a_new_number() {
    let mut server = observed("");
    let first = publish(&mut server, at(0), b"1", Class::AtLeastOnce);
    publish(&mut server, at(100), b"2", Class::AtLeastOnce);
    let due = server.connection.deadline().unwrap();
    server.timeout(due);
    let again = seen(written(&mut server));
    assert_eq!(&again[0].payload, b"2");
    assert_ne!(again[0].id, first[0].id);
    // The tries go on counting: after four more the observation is over, and nothing else.
    for _ in 0..4 {
        server.timeout(server.connection.deadline().unwrap());
    }
    assert!(server.subscriptions.is_empty());
    assert_eq!(server.protocol.counts().observers_lost.get(), 1);
    assert!(server.closed.is_none());
}

//= rfc7641 [4.5-3]
#[test]
fn one_observation_that_fails_leaves_the_others() {
    let mut server = observed("");
    tell(&mut server, at(0), "41 01 0002 78 60 51 74 01 62");
    assert_eq!(server.subscriptions.len(), 2);
    publish(&mut server, at(0), b"1", Class::AtLeastOnce);
    for _ in 0..5 {
        server.timeout(server.connection.deadline().unwrap());
    }
    assert!(server.subscriptions.contains_key(&b"b"[..]) && server.subscriptions.len() == 1);
    written(&mut server);
    server.publish(at(100_000), "b", b"x", Class::AtMostOnce, false);
    assert_eq!(seen(written(&mut server))[0].token, [0x78]);
}

//= rfc7641 [4.1-3]
#[test]
fn the_same_token_or_topic_again_takes_the_place_of_the_observation() {
    let mut server = observed("");
    let again = seen(tell(&mut server, at(0), "41 01 0002 77 60 51 74 01 61"));
    assert_eq!(again[0].code, Code::CONTENT);
    let other = seen(tell(&mut server, at(0), "41 01 0003 99 60 51 74 01 61"));
    assert_eq!(other[0].code, Code::CONTENT);
    let got = publish(&mut server, at(0), b"x", Class::AtMostOnce);
    assert_eq!((got.len(), &got[0].token[..]), (1, &[0x99][..]));
    assert_eq!(server.subscriptions.len(), 1);
}

#[test]
fn a_stream_is_a_queue_of_its_own_bound() {
    let config =
        CoapConfig { amplification_max: 0, stream_messages_max: 3, receive_max: 2, ..CoapConfig::default() };
    let mut server = Server::new(config, Transport::Datagram);
    tell(&mut server, at(0), "41 01 0001 77 60 51 74 01 61 4b 6d6f64653d73747265616d");
    let first = publish(&mut server, at(0), b"0", Class::AtMostOnce);
    assert_eq!(first[0].kind, Kind::Confirmable);
    for byte in b"12345" {
        assert_eq!(publish(&mut server, at(0), &[*byte], Class::AtMostOnce), []);
    }
    assert_eq!(server.protocol.counts().stream_dropped.get(), 2);
    let mut got = Vec::new();
    let mut id = first[0].id;
    while let Some(next) = seen(tell(&mut server, at(0), &format!("6000 {id:04x}"))).pop() {
        got.extend(next.payload);
        id = next.id;
    }
    assert_eq!(got, b"345");
    // What is confirmed waits in the broker, not here.
    for byte in b"abcdef" {
        publish(&mut server, at(0), &[*byte], Class::AtLeastOnce);
    }
    assert_eq!(server.protocol.counts().stream_dropped.get(), 2);
    assert!(server.settled.is_empty());
}

//= rfc7641 [4.5-2]
#[test]
fn an_observer_is_asked_now_and_then_whether_it_is_there() {
    let mut server = observed("");
    assert_eq!(publish(&mut server, at(1_000), b"x", Class::AtMostOnce)[0].kind, Kind::NonConfirmable);
    let hour = 3_600_000;
    let probe = publish(&mut server, at(hour), b"x", Class::AtMostOnce);
    assert_eq!(probe[0].kind, Kind::Confirmable);
    tell(&mut server, at(hour), &format!("6000 {:04x}", probe[0].id));
    assert_eq!(publish(&mut server, at(hour + 1), b"x", Class::AtMostOnce)[0].kind, Kind::NonConfirmable);
    // When nothing is published, a ping asks.
    let due = server.connection.deadline().unwrap();
    assert_eq!(due, at(2 * hour));
    server.timeout(due);
    let ping = seen(written(&mut server));
    assert_eq!((ping[0].kind, ping[0].code), (Kind::Confirmable, Code::EMPTY));
    tell(&mut server, due, &format!("7000 {:04x}", ping[0].id));
    assert!(!server.subscriptions.is_empty());
    let due = server.connection.deadline().unwrap();
    server.timeout(due);
    for _ in 0..5 {
        server.timeout(server.connection.deadline().unwrap());
    }
    assert_eq!(server.closed.unwrap().reason, Reason::KeepAliveTimeout);
}

#[test]
fn an_address_that_nobody_has_shown_to_be_its_own_gets_one_notification_at_a_time() {
    let mut server = Server::new(CoapConfig::default(), Transport::Datagram);
    tell(&mut server, at(0), "41 01 0001 77 60 51 74 01 61");
    assert_eq!(publish(&mut server, at(0), b"1", Class::AtMostOnce)[0].kind, Kind::Confirmable);
    for _ in 0..100 {
        assert_eq!(publish(&mut server, at(0), b"2", Class::AtMostOnce), []);
    }
}

//= rfc7959 [2.6-1]
#[test]
fn large_notifications_are_read_in_blocks() {
    let mut world = World::fair();
    let observed = world.request(on(Code::GET, "a").observe());
    world.run_for(Duration::from_secs(1));
    for len in [1_500, 5_000] {
        let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        world.server.publish(world.now, "a", &payload, Class::AtMostOnce, false);
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.notifications(observed).last().unwrap().payload, payload);
    }
}

/// A FETCH on `/t` with the filters in CBOR.
fn select(filters: &[&str]) -> Request {
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.map(1);
    writer.text("filters");
    writer.array(filters.len() as u64);
    filters.iter().for_each(|filter| writer.text(filter));
    Request::new(Code::FETCH).option(OptionNumber::URI_PATH, b"t").payload(60, &payload)
}

fn topic_of(envelope: &[u8]) -> String {
    let mut reader = Reader::new(envelope);
    let Ok(Item::Map(pairs)) = reader.item() else { panic!("an envelope is a map") };
    assert!(pairs > 0);
    assert_eq!(reader.item(), Ok(Item::Text("topic")));
    let Ok(Item::Text(topic)) = reader.item() else { panic!("a topic is a text") };
    topic.to_owned()
}

#[test]
fn several_topics_are_observed_by_filters() {
    let mut world = World::fair();
    world.ask(put("a/x", b"1"));
    let observed = world.request(select(&["a/+", "b"]).observe());
    world.run_for(Duration::from_secs(1));
    let first = world.answer(observed).unwrap();
    assert_eq!((first.code, &first.payload[..]), (Code::CONTENT, &[0xa0][..]));
    world.server.publish(world.now, "a/y", b"2", Class::AtMostOnce, false);
    world.server.publish(world.now, "b", &[7; 4_000], Class::AtLeastOnce, false);
    world.server.publish(world.now, "c", b"4", Class::AtMostOnce, false);
    world.run_for(Duration::from_secs(10));
    let got = world.notifications(observed);
    let topics: Vec<_> = got.iter().map(|response| topic_of(&response.payload)).collect();
    assert_eq!(topics, ["a/x", "a/y", "b"]);
    assert!(got[2].payload.ends_with(&[7; 4_000]));
    // The same by a query.
    let get = Request::new(Code::GET).option(OptionNumber::URI_PATH, b"t").query("f=c/#").observe();
    let by_query = world.request(get);
    world.run_for(Duration::from_secs(1));
    world.server.publish(world.now, "c/d", b"5", Class::AtMostOnce, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(topic_of(&world.notifications(by_query)[0].payload), "c/d");
}

#[test]
fn a_selection_that_cannot_be_served_says_why() {
    let mut world = World::fair();
    for (request, code) in [
        (select(&["a/+"]), Code::BAD_REQUEST),
        (select(&[]).observe(), Code::BAD_REQUEST),
        (select(&["a+"]).observe(), Code::BAD_REQUEST),
        (select(&["a"]).observe().query("mode=state"), Code::BAD_REQUEST),
        (select(&["a"]).observe().uint(OptionNumber::ACCEPT, 50), Code::NOT_ACCEPTABLE),
        (on(Code::FETCH, "a"), Code::METHOD_NOT_ALLOWED),
        (on(Code::PATCH, "a"), Code::METHOD_NOT_ALLOWED),
        (on(Code::IPATCH, "a"), Code::METHOD_NOT_ALLOWED),
        (Request::new(Code::POST).option(OptionNumber::URI_PATH, b"t"), Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(world.ask(request.clone()).code, code, "{request:?}");
    }
    assert!(world.server.subscriptions.is_empty());
}

#[test]
fn observers_are_told_when_the_broker_stops() {
    let mut server = observed("");
    server.connection.handle_shutdown(at(0), &mut server.out);
    server.run(at(0));
    let last = seen(written(&mut server));
    assert_eq!((last[0].code, last[0].observe.clone()), (Code::SERVICE_UNAVAILABLE, None));
    assert_eq!(server.closed.unwrap().reason, Reason::ShuttingDown);
}

//= rfc7641 [4.1-4]
#[test]
fn observations_of_one_peer_are_bounded() {
    let config = CoapConfig { amplification_max: 0, observations_max: 2, ..CoapConfig::default() };
    let mut server = Server::new(config, Transport::Datagram);
    for (id, observes) in [(0x61, true), (0x62, true), (0x63, false)] {
        server.publish(at(0), std::str::from_utf8(&[id]).unwrap(), b"x", Class::AtMostOnce, true);
        let answer =
            seen(tell(&mut server, at(0), &format!("41 01 00{id:02x} {id:02x} 60 51 74 01 {id:02x}")));
        assert_eq!((answer[0].code, answer[0].observe.is_some()), (Code::CONTENT, observes));
    }
}

/// Whose first answer is a demand to repeat something does not observe yet.
#[test]
fn a_stranger_that_is_asked_to_repeat_something_observes_nothing() {
    let mut server = Server::new(CoapConfig::default(), Transport::Datagram);
    server.publish(at(0), "a", &[7; 600], Class::AtMostOnce, true);
    let first = seen(tell(&mut server, at(0), "41 01 0001 77 60 51 74 01 61"));
    assert_eq!((first[0].code, first[0].observe.clone()), (Code::UNAUTHORIZED, None));
    assert!(server.subscriptions.is_empty());
    assert_eq!(publish(&mut server, at(0), b"x", Class::AtMostOnce), []);
}
