//! A client with a server over fair and foul networks.

use std::time::Duration;

use mynah_coap::client::{Event, Failure, Request};
use mynah_coap::wire::{Code, OptionNumber, content_format};
use mynah_model::{Class, Topic};

use crate::broker::Server;
use crate::network::{Weather, World};

pub(crate) fn on(method: Code, topic: &str) -> Request {
    Request::topic(method, Topic::new(topic.as_bytes()).unwrap())
}

pub(crate) fn put(topic: &str, payload: &[u8]) -> Request {
    on(Code::PUT, topic).payload(content_format::TEXT, payload)
}

//= rfc7252 [5.8.1-1] [5.8.3-1] [5.8.4-1]
#[test]
fn values_are_set_read_and_cleared() {
    let mut world = World::fair();
    assert_eq!(world.ask(on(Code::GET, "a/b")).code, Code::NOT_FOUND);
    assert_eq!(world.ask(put("a/b", b"22.5")).code, Code::CREATED);
    assert_eq!(world.ask(put("a/b", b"23")).code, Code::CHANGED);
    let value = world.ask(on(Code::GET, "a/b"));
    assert_eq!((value.code, &value.payload[..]), (Code::CONTENT, &b"23"[..]));
    assert_eq!(value.uint(OptionNumber::CONTENT_FORMAT), Some(0));
    assert_eq!(world.ask(on(Code::DELETE, "a/b")).code, Code::DELETED);
    assert_eq!(world.ask(on(Code::GET, "a/b")).code, Code::NOT_FOUND);
    let published = &world.server.published;
    let seen: Vec<_> = published.iter().map(|m| (m.payload().to_vec(), m.header().retain)).collect();
    assert_eq!(seen, [(b"22.5".to_vec(), true), (b"23".to_vec(), true), (Vec::new(), true)]);
    assert!(published.iter().all(|message| message.header().class == Class::AtLeastOnce));
}

//= rfc7252 [5.8.2-1]
#[test]
fn events_are_no_values() {
    let mut world = World::fair();
    assert_eq!(world.ask(on(Code::POST, "a").payload(50, b"{}")).code, Code::CHANGED);
    assert_eq!(world.ask(on(Code::GET, "a")).code, Code::NOT_FOUND);
    let non = on(Code::POST, "a").payload(50, b"{}").non_confirmable();
    assert_eq!(world.ask(non).code, Code::CHANGED);
    let classes: Vec<_> = world.server.published.iter().map(|m| m.header().class).collect();
    assert_eq!(classes, [Class::AtLeastOnce, Class::AtMostOnce]);
}

/// Every request is carried out once and answered, whatever the network does.
//= rfc7252 [4.2-4] [4.5-2] [5.2.2-4]
#[test]
fn requests_are_carried_out_once_in_foul_weather() {
    let mut failures = 0;
    for seed in 0..60 {
        let mut world = World::new(Server::trusting(), Weather::FOUL, seed);
        let mut sent = Vec::new();
        for number in 0..5_u8 {
            sent.push(world.request(on(Code::POST, "a").payload(42, &[number])));
        }
        world.run_for(Duration::from_secs(600));
        let payloads: Vec<u8> = world.server.published.iter().map(|m| m.payload()[0]).collect();
        let mut once = payloads.clone();
        once.dedup();
        assert_eq!(payloads, once, "seed {seed}");
        for (number, id) in sent.into_iter().enumerate() {
            match world.answer(id) {
                Some(response) => {
                    assert_eq!(response.code, Code::CHANGED);
                    assert!(payloads.contains(&(number as u8)));
                }
                None => {
                    assert!(world.events.contains(&Event::Failed { request: id, why: Failure::Timeout }));
                    failures += 1;
                }
            }
        }
    }
    // Five tries that are lost one way or the other: (1 - 0.7 * 0.7)^5 = 3.5%.
    assert!(failures <= 20, "{failures} of 300");
}

//= rfc7252 [4.6-1]
#[test]
fn large_bodies_go_both_ways_in_blocks_in_foul_weather() {
    let mut whole = 0;
    for seed in 0..12 {
        let weather = Weather { lost_percent: 10, ..Weather::FOUL };
        let mut world = World::new(Server::trusting(), weather, seed);
        let body: Vec<u8> = (0..7_777_u32).map(|n| (n * 7 % 251) as u8).collect();
        let sent = world.request(on(Code::PUT, "big").payload(42, &body));
        world.run_for(Duration::from_secs(600));
        let Some(answer) = world.answer(sent) else { continue };
        assert_eq!(answer.code, Code::CREATED, "seed {seed}");
        assert_eq!(world.server.published[0].payload(), body);
        let read = world.request(on(Code::GET, "big"));
        world.run_for(Duration::from_secs(600));
        if let Some(value) = world.answer(read) {
            assert_eq!((value.code, value.payload), (Code::CONTENT, body));
            whole += 1;
        }
    }
    assert!(whole >= 10, "{whole} of 12");
}

/// Stream mode: over a network that loses a tenth, an observer gets every message once and in order.
#[test]
fn a_stream_is_whole_in_foul_weather() {
    let mut whole = 0;
    for seed in 0..12 {
        let weather = Weather { lost_percent: 10, ..Weather::FOUL };
        let mut world = World::new(Server::trusting(), weather, seed);
        let observed = world.request(on(Code::GET, "s").observe().query("mode=stream"));
        world.run_for(Duration::from_secs(120));
        assert_eq!(world.answer(observed).expect("it begins").code, Code::CONTENT);
        for number in 0..40_u8 {
            world.server.publish(world.now, "s", &[number], Class::AtLeastOnce, false);
        }
        world.run_for(Duration::from_secs(2_000));
        let got: Vec<u8> = world.notifications(observed).iter().map(|r| r.payload[0]).collect();
        if world.server.protocol.counts().observers_lost.get() == 0 {
            assert!(got.iter().copied().eq(0..40), "seed {seed}: {got:?}");
            assert_eq!(world.server.settled.len(), 40);
            assert!(world.server.settled.iter().all(|(_, is_accepted)| *is_accepted));
            assert!(world.server.protocol.counts().retransmitted.get() > 0);
            whole += 1;
        }
    }
    assert!(whole >= 10, "{whole} of 12");
}

/// State mode: what comes last is the state, and everything that comes is newer than what came before.
//= rfc7641 [1.3-1] [3.4-1] [4.4-2]
#[test]
fn an_observer_ends_with_the_last_state_in_foul_weather() {
    let mut complete = 0;
    for seed in 0..20 {
        let weather = Weather { lost_percent: 15, ..Weather::FOUL };
        let mut world = World::new(Server::trusting(), weather, seed);
        let observed = world.request(on(Code::GET, "s").observe());
        world.run_for(Duration::from_secs(120));
        for number in 0..30_u8 {
            world.server.publish(world.now, "s", &[number], Class::AtLeastOnce, true);
            world.run_for(Duration::from_millis(300));
        }
        world.run_for(Duration::from_secs(300));
        let got: Vec<u8> = world.notifications(observed).iter().map(|r| r.payload[0]).collect();
        assert!(got.is_sorted(), "seed {seed}: {got:?}");
        if world.server.protocol.counts().observers_lost.get() == 0 {
            assert_eq!(got.last(), Some(&29), "seed {seed}");
            complete += 1;
        }
    }
    assert!(complete >= 16, "{complete} of 20");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new(Server::trusting(), Weather::FOUL, 5);
        for number in 0..3 {
            world.request(on(Code::POST, "a").payload(42, &[number]));
        }
        world.run_for(Duration::from_secs(300));
        (world.events, world.counts)
    };
    assert_eq!(run(), run());
}
