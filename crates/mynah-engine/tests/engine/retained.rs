//! Retained values: writes that depend on what is there, and values that expire.

use std::sync::Barrier;
use std::time::Duration;

use mynah_engine::{ConnectionId, Engine};
use mynah_model::Limits;

use crate::broker::{Broker, settings};

/// The tag of a topic's value, as a peer reads it.
fn tag(broker: &mut Broker, peer: usize, topic: &str) -> String {
    broker.say(peer, &format!("tag {topic}"));
    broker.hear(peer)
}

#[test]
fn a_publication_can_depend_on_the_retained_value() {
    let mut broker = Broker::new(2);
    let watcher = broker.open(0, "open w go");
    broker.say(watcher, "sub t 0");
    broker.hear(watcher);
    let peer = broker.open(1, "open p go");
    for (line, heard) in [
        ("if present pub t 1 keep a", "refused 2 condition not met\n"),
        ("if absent pub t 1 keep b", "published 3\n"),
        ("if absent pub t 2 keep c", "refused 4 condition not met\n"),
        // An answer comes whatever the class.
        ("if absent pub t 0 keep d", "refused 5 condition not met\n"),
        ("if present pub t 0 keep e", "published 6\n"),
        ("if is=1 pub t 1 - f", "refused 7 condition not met\n"),
        ("if not=1 pub t 1 - g", "published 8\n"),
    ] {
        broker.say(peer, line);
        assert_eq!(broker.hear(peer), heard, "{line}");
    }
    assert_eq!(
        broker.hear(watcher),
        "msg 0 0 t b\nmsg 0 0 t e\nmsg 0 0 t g\n",
        "what is refused reaches nobody"
    );
    let seen = tag(&mut broker, peer, "t");
    broker.say(peer, &format!("if is={seen} pub t 1 keep h"));
    broker.say(peer, &format!("if is={seen} pub t 1 keep i"));
    broker.say(peer, "read t");
    assert_eq!(broker.hear(peer), "published 10\nrefused 11 condition not met\nvalue Some(\"h\")\n");
    let seen = tag(&mut broker, peer, "t");
    broker.say(peer, &format!("if is={seen} pub t 1 keep \nread t"));
    assert!(broker.hear(peer).ends_with("value None\n"));
}

#[test]
fn a_conditional_value_that_cannot_be_kept_is_refused() {
    let limits = Limits { retained_messages_max: 1, retained_message_bytes_max: 500, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let peer = broker.open(0, "open p go");
    broker.say(peer, &format!("sub # 0\nif absent pub t 1 keep {}", "x".repeat(500)));
    broker.say(peer, "if absent pub t 1 keep a\nif absent pub u 1 keep b");
    let expected =
        "subscribed 0\nrefused 3 message too large\nmsg 0 0 t a\npublished 4\nrefused 5 quota exceeded\n";
    assert_eq!(broker.hear(peer), expected);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a race is what is tested")]
fn of_all_who_want_to_be_first_one_is() {
    const TOPICS: usize = 200;
    let mut broker = Broker::new(4);
    let peers: Vec<usize> = (0..12).map(|p| broker.open(p % 4, &format!("open p{p} go"))).collect();
    let places: Vec<(usize, ConnectionId)> = peers.iter().map(|&peer| broker.place_of(peer)).collect();
    let (now, engines) = (broker.now, std::mem::take(&mut broker.engines));
    let start = Barrier::new(engines.len());
    let race = |(worker, mut engine): (usize, Engine)| {
        let (start, places) = (&start, &places);
        move || {
            let own: Vec<_> = places.iter().filter(|(w, _)| *w == worker).map(|&(_, id)| id).collect();
            start.wait();
            for topic in 0..TOPICS {
                for id in &own {
                    engine.handle_bytes(now, *id, format!("if absent pub t/{topic} 1 keep x\n").as_bytes());
                }
            }
            let heard =
                |id: &ConnectionId| engine.outbound(*id).unwrap().slices().collect::<Vec<_>>().concat();
            own.iter().map(|id| String::from_utf8(heard(id)).unwrap()).collect::<String>()
        }
    };
    let heard: String = std::thread::scope(|scope| {
        let runs: Vec<_> = engines.into_iter().enumerate().map(|e| scope.spawn(race(e))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(heard.matches("published").count(), TOPICS);
    assert_eq!(heard.matches("condition not met").count(), TOPICS * (peers.len() - 1));
}

#[test]
fn an_expired_value_is_gone_for_readers_at_once_and_from_memory_soon() {
    let mut broker = Broker::new(2);
    let peer = broker.open(1, "open p go");
    broker.say(peer, "for 500 pub a 1 keep v\nfor 5000 pub b 1 keep w\nread a");
    assert!(broker.hear(peer).ends_with("value Some(\"v\")\n"));
    broker.now = broker.now + Duration::from_millis(500);
    broker.say(peer, "read a\nsub + 0\nif absent pub a 1 - x");
    let expected = "value None\nsubscribed 0\nmsg 0 0 a x\npublished 7\nmsg 0 0 retained b w\n";
    assert_eq!(broker.hear(peer), expected);
    assert_eq!(broker.shared.sizes().retained_messages, 2);
    broker.advance(Duration::from_secs(1));
    assert_eq!(broker.shared.sizes().retained_messages, 1);
    broker.advance(Duration::from_secs(5));
    assert_eq!(broker.shared.sizes().retained_messages, 0);
    assert_eq!(broker.engines[1].deadline(), None, "nothing is left to wait for");
}

#[test]
fn a_value_that_was_set_under_a_condition_expires_too() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open p go");
    broker.say(peer, "for 500 if absent pub a 1 keep v");
    assert_eq!(broker.shared.sizes().retained_messages, 1);
    broker.advance(Duration::from_millis(1_002));
    assert_eq!(broker.shared.sizes().retained_messages, 0);
}

#[test]
fn a_crowd_that_expires_at_once_goes_in_pieces_without_waiting() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open p go");
    for i in 0..2_500 {
        broker.send(peer, format!("for 900 pub t/{i} 0 keep v\n").as_bytes());
    }
    broker.advance(Duration::from_secs(2));
    assert_eq!(broker.shared.sizes().retained_messages, 2_500 - 1_024);
    broker.advance(Duration::from_millis(2));
    broker.advance(Duration::from_millis(2));
    assert_eq!(broker.shared.sizes().retained_messages, 0);
}

#[test]
fn an_earlier_deadline_wakes_earlier() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open p go");
    broker.say(peer, "for 60000 pub a 0 keep v\nfor 3000 pub b 0 keep v");
    broker.advance(Duration::from_millis(3_002));
    assert_eq!(broker.shared.sizes().retained_messages, 1);
    broker.say(peer, "pub a 0 keep w");
    broker.advance(Duration::from_secs(100));
    assert_eq!(broker.shared.sizes().retained_messages, 1, "the value without a deadline stays");
}

#[test]
fn what_expires_in_a_backlog_is_not_delivered() {
    let mut broker = Broker::new(1);
    let subscriber = broker.open(0, "open s stay");
    broker.say(subscriber, "sub t 1");
    broker.cut(subscriber);
    let peer = broker.open(0, "open p go");
    broker.say(peer, "for 1000 pub t 1 - short\nfor 9000 pub t 1 - long");
    broker.advance(Duration::from_secs(2));
    let again = broker.accept(0);
    broker.say(again, "open s stay");
    assert_eq!(broker.hear(again), "opened again\nmsg 1 1 t long\n");
    let counters = &broker.shared.all_counters()[0];
    assert_eq!(counters.dropped(mynah_core::DropReason::Expired).read(), 1);
}
