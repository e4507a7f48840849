//! Engines, driven by a protocol of lines: what the broker does whatever the protocol. `mqtt` and `mqtt5` are what MQTT
//! demands of one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod administration;
mod audit;
mod bridge;
mod broker;
mod disk;
mod disk_queues;
mod durable;
mod exchange_lines;
mod identity;
mod lines;
mod mqtt;
mod mqtt5;
mod named;
mod named_durable;
mod named_exchanges;
mod named_held;
mod named_held_reference;
mod named_later;
mod named_order;
mod named_times;
mod once;
mod presence;
mod queues;
mod retained;
mod rules;
mod sharing;
mod subscriptions;
mod wills;

use std::time::Duration;

use broker::{Broker, settings};
use mynah_model::{Class, Identity, Limits, Reason, TenantId};

#[test]
fn a_message_reaches_the_subscribers_of_every_worker() {
    let mut broker = Broker::new(3);
    let subscribers: Vec<usize> = (0..8).map(|i| broker.open(i % 3, &format!("open s{i} go"))).collect();
    let workers: std::collections::BTreeSet<usize> =
        subscribers.iter().map(|&s| broker.worker_of(s)).collect();
    assert!(workers.len() > 1, "names spread over workers");
    for &s in &subscribers {
        broker.say(s, "sub a/+ 0");
    }
    assert!(broker.shared.all_counters().iter().all(|c| c.half_open.read() == 0), "nobody is knocking");
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub a/b 0 - hello");
    for s in subscribers {
        assert_eq!(broker.hear(s), "subscribed 0\nmsg 0 0 a/b hello\n");
    }
}

#[test]
fn what_was_read_with_the_opening_goes_along_to_the_owner() {
    let mut broker = Broker::new(4);
    for i in 0..8 {
        let peer = broker.accept(0);
        broker.say(peer, &format!("open n{i} go\nsub t 1\npub t 1 - x"));
        assert_eq!(broker.hear(peer), "opened new\nsubscribed 1\nmsg 1 1 t x\npublished 3\n");
    }
}

#[test]
fn a_lower_class_of_the_subscription_counts_and_overlaps_deliver_once() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open a go");
    broker.say(peer, "sub t/# 0\nsub t/x 1\nsub +/x 0\npub t/x 2 - hi");
    let heard = broker.hear(peer);
    assert!(heard.ends_with("published 5\nmsg 1 1 t/x hi\n"), "{heard}");
    assert_eq!(heard.matches("msg").count(), 1);
}

#[test]
fn what_is_no_longer_subscribed_is_no_longer_delivered() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open a go");
    broker.say(peer, "sub t 0\nsub +/x 0\npub t 0 - one\nunsub t\nunsub t\npub t 0 - two\npub a/x 0 - three");
    assert_eq!(
        broker.hear(peer),
        "subscribed 0\nsubscribed 0\nmsg 0 0 t one\nunsubscribed true\nunsubscribed false\nmsg 0 0 a/x three\n"
    );
    assert_eq!(broker.shared.all_counters()[0].subscriptions.read(), 1);
}

#[test]
fn an_unconfirmed_delivery_is_repeated_to_the_next_connection_in_order_and_marked() {
    let mut broker = Broker::new(2);
    let first = broker.open(0, "open s stay");
    broker.say(first, "sub t 2");
    let publisher = broker.open(1, "open p go");
    broker.say(publisher, "pub t 1 - one\npub t 2 - two\npub t 1 - three");
    assert_eq!(broker.hear(first), "subscribed 2\nmsg 1 1 t one\nmsg 2 2 t two\n", "two at a time");
    broker.say(first, "rec 2");
    assert_eq!(broker.hear(first), "received 2\n");
    broker.cut(first);
    broker.say(publisher, "pub t 1 - four");
    let again = broker.accept(1);
    broker.say(again, "open s stay");
    assert_eq!(broker.hear(again), "opened again\nmsg 1 1 again t one\nrelease 2\n");
    broker.say(again, "ack 1");
    assert_eq!(broker.hear(again), "msg 3 1 t three\n");
    broker.say(again, "fin 2");
    assert_eq!(broker.hear(again), "msg 4 1 t four\n");
}

#[test]
fn an_exactly_once_publication_is_taken_once_until_it_is_complete() {
    let mut broker = Broker::new(1);
    let subscriber = broker.open(0, "open s go");
    broker.say(subscriber, "sub t 0");
    let publisher = broker.open(0, "open p stay");
    broker.say(publisher, "pub t 2 - x");
    assert_eq!(broker.hear(publisher), "published 2\n");
    broker.cut(publisher);
    // The second connection's first line is its opening, so its publication has the same receipt.
    let again = broker.open(0, "open p stay");
    broker.say(again, "pub t 2 - x");
    broker.say(again, "done 2");
    assert_eq!(broker.hear(again), "published 2\ncompleted 2\n");
    assert_eq!(broker.hear(subscriber), "subscribed 0\nmsg 0 0 t x\n");
}

#[test]
fn a_settlement_must_fit_how_far_the_delivery_has_come() {
    for (class, said, fits) in [
        (1, "ack 1", true),
        (1, "ack 1\nack 1", true),
        (1, "ack 7", true),
        (1, "rec 1", false),
        (1, "fin 1", false),
        (2, "rec 1\nfin 1", true),
        (2, "rec 1\nrec 1", true),
        (2, "rec 9", true),
        (2, "ack 1", false),
        (2, "fin 1", false),
        (2, "rec 1\nack 1", false),
    ] {
        let mut broker = Broker::new(1);
        let peer = broker.open(0, "open s stay");
        broker.say(peer, &format!("sub t {class}\npub t {class} - x\n{said}"));
        assert_eq!(broker.is_connected(peer), fits, "{class} {said}: {}", broker.hear(peer));
    }
}

#[test]
fn a_will_is_published_unless_the_peer_said_good_bye() {
    let mut broker = Broker::new(2);
    let watcher = broker.open(0, "open w go");
    broker.say(watcher, "sub wills/# 0");
    broker.hear(watcher);
    let polite = broker.open(0, "open a go wills/a");
    broker.say(polite, "quit");
    assert!(!broker.is_connected(polite));
    let rude = broker.open(1, "open b go wills/b");
    broker.cut(rude);
    let wrong = broker.open(1, "open c go wills/c");
    broker.say(wrong, "nonsense");
    assert_eq!(broker.hear(watcher), "msg 0 0 wills/b gone\nmsg 0 0 wills/c gone\n");
}

#[test]
fn a_take_over_ends_the_older_connection_and_publishes_its_will_once() {
    let mut broker = Broker::new(3);
    let watcher = broker.open(0, "open w go");
    broker.say(watcher, "sub wills/# 0");
    broker.hear(watcher);
    let old = broker.open(0, "open a stay wills/a");
    let new = broker.accept(2);
    broker.say(new, "open a stay wills/a");
    assert_eq!(broker.hear(new), "opened again\n");
    assert_eq!(broker.hear(old), "ended session taken over\n");
    assert!(!broker.is_connected(old));
    assert_eq!(broker.hear(watcher), "msg 0 0 wills/a gone\n");
}

#[test]
fn a_clean_start_leaves_nothing_of_the_session_before() {
    let mut broker = Broker::new(1);
    let first = broker.open(0, "open s stay");
    broker.say(first, "sub t 1");
    broker.cut(first);
    assert_eq!(broker.shared.sizes().filters, 1);
    let second = broker.accept(0);
    broker.say(second, "open s go\npub t 1 - x");
    assert_eq!(broker.hear(second), "opened new\npublished 2 unwanted\n");
    assert_eq!(broker.shared.sizes().filters, 0);
}

#[test]
fn a_session_expires_when_nobody_came_back_for_its_time() {
    let mut broker = Broker::new(1);
    let first = broker.open(0, "open s hour");
    broker.say(first, "sub t 1");
    broker.cut(first);
    broker.advance(Duration::from_secs(3_000));
    let second = broker.open(0, "open s hour");
    broker.cut(second);
    broker.advance(Duration::from_secs(3_000));
    assert_eq!(broker.shared.sizes().filters, 1, "the hour counts from the last connection");
    broker.advance(Duration::from_secs(700));
    assert_eq!(broker.shared.sizes().filters, 0);
}

#[test]
fn sessions_are_counted_while_they_exist() {
    let mut broker = Broker::new(1);
    let sessions = |broker: &Broker| broker.shared.all_counters()[0].sessions.read();
    let stays = broker.open(0, "open a stay");
    let goes = broker.open(0, "open b go");
    assert_eq!(sessions(&broker), 2);
    broker.cut(stays);
    assert_eq!(sessions(&broker), 2, "the session outlives its connection");
    broker.cut(goes);
    assert_eq!(sessions(&broker), 1);
    broker.open(0, "open a go");
    assert_eq!(sessions(&broker), 1, "one takes the place of the other");
}

#[test]
fn retained_values_are_replayed_and_read_and_cleared() {
    let mut broker = Broker::new(2);
    let peer = broker.open(0, "open p go");
    for i in 0..40 {
        broker.say(peer, &format!("pub r/{i:02} 0 keep v{i}"));
    }
    broker.say(peer, "pub r/05 0 keep ");
    let subscriber = broker.open(1, "open s go");
    broker.say(subscriber, "sub r/# 0");
    let heard = broker.hear(subscriber);
    assert_eq!(heard.matches("msg 0 0 retained").count(), 39);
    assert!(heard.starts_with("subscribed 0\nmsg 0 0 retained r/00 v0\n"));
    broker.say(peer, "read r/07\nread r/05");
    assert!(broker.hear(peer).ends_with("value Some(\"v7\")\nvalue None\n"));
}

#[test]
fn confirmed_replay_goes_at_the_pace_of_the_receiver() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open p go");
    for i in 0..9 {
        broker.say(peer, &format!("pub r/{i} 1 keep v{i}"));
    }
    let subscriber = broker.open(0, "open s go");
    broker.say(subscriber, "sub r/+ 1");
    let mut got = String::new();
    for id in 1..=9 {
        got.push_str(&broker.hear(subscriber));
        assert_eq!(got.matches("msg").count(), (id + 1).min(9), "never more than two unconfirmed");
        broker.say(subscriber, &format!("ack {id}"));
    }
}

#[test]
fn a_slow_reader_loses_what_needs_no_confirmation_and_nothing_else() {
    let limits = Limits { outbound_bytes_max: 1_000, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let slow = broker.open(0, "open slow go");
    let quick = broker.open(0, "open quick go");
    broker.say(slow, "sub t/# 1");
    broker.say(quick, "sub t/# 0");
    broker.hear(slow);
    broker.hear(quick);
    broker.limit(slow, Some(0));
    let publisher = broker.open(0, "open p go");
    for i in 0..200 {
        broker.say(publisher, &format!("pub t/{i} 0 - fast"));
    }
    for i in 0..5 {
        broker.say(publisher, &format!("pub t/{i} 1 - sure"));
    }
    assert_eq!(broker.hear(quick).matches("msg").count(), 205);
    broker.limit(slow, None);
    broker.settle();
    let mut heard = broker.hear(slow);
    let fast = heard.matches("fast").count();
    assert!((30..100).contains(&fast), "{fast}");
    for id in 1..=5 {
        broker.say(slow, &format!("ack {id}"));
    }
    heard.push_str(&broker.hear(slow));
    assert_eq!(heard.matches("sure").count(), 5);
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_not_read_from() {
    let limits = Limits { outbound_bytes_max: 100, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let peer = broker.open(0, "open p go");
    broker.limit(peer, Some(0));
    let line = "pub t 1 - x\n";
    broker.send(peer, line.repeat(6).as_bytes());
    broker.settle();
    assert!(broker.wants_bytes(peer), "six answers of 21 bytes are more than the bound, not twice as much");
    broker.send(peer, line.repeat(94).as_bytes());
    broker.settle();
    let taken = broker.shared.all_counters()[0].messages_received(Class::AtLeastOnce).read();
    assert_eq!(taken, 10, "answers of 21 and 22 bytes stop at twice the bound");
    assert!(!broker.wants_bytes(peer));
    broker.limit(peer, None);
    broker.settle();
    assert_eq!(broker.hear(peer).matches("published").count(), 100);
}

#[test]
fn only_so_many_may_knock_at_a_time_and_not_for_long() {
    let limits = Limits { half_open_max: 3, connections_max: 4, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let knocking: Vec<usize> = (0..3).map(|_| broker.accept(0)).collect();
    assert_eq!(broker.try_accept(0, 0), None);
    broker.say(knocking[0], "open a go");
    let fourth = broker.accept(0);
    assert_eq!(broker.try_accept(0, 0), None, "four connections in all");
    broker.advance(Duration::from_secs(11));
    assert!(broker.is_connected(knocking[0]) && !broker.is_connected(fourth));
    assert_eq!(broker.engines[0].connections(), 1);
    assert_eq!(broker.shared.all_counters()[0].half_open.read(), 0);
    assert!((0..3).all(|_| broker.try_accept(0, 0).is_some()), "those who left made room");
}

#[test]
fn a_guarded_listener_lets_in_whom_the_verifier_knows() {
    let mut broker = Broker::new(2);
    let nobody = broker.try_accept(0, 1).unwrap();
    broker.say(nobody, "open x go");
    assert_eq!(broker.hear(nobody), "ended bad user name or password\n");
    let results = [Ok(Identity::user(TenantId::DEFAULT, "u")), Err(Reason::BadCredentials)];
    for (result, expected) in results.into_iter().zip(["opened new\n", "ended bad user name or password\n"]) {
        let peer = broker.try_accept(0, 1).unwrap();
        broker.say(peer, "open @u go\nread t");
        assert_eq!(broker.hear(peer), "", "nothing is answered before the verdict");
        let (worker, id, user) = broker.asked.pop().unwrap();
        assert_eq!(user, "u");
        broker.engines[worker].handle_authenticated(broker.now, id, result.map(Into::into));
        broker.settle();
        assert!(broker.hear(peer).starts_with(expected));
    }
}

#[test]
fn a_name_has_as_many_bytes_and_segments_as_it_may() {
    let limits = Limits { topic_segments_max: 3, topic_bytes_max: 8, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    for (name, fits) in [
        ("a/b/c", true),
        ("abcdef/h", true),
        ("//", true),
        ("a/b/c/d", false),
        ("///", false),
        ("abcdef/hi", false),
    ] {
        let peer = broker.open(0, "open p go");
        broker.say(peer, &format!("pub {name} 1 - x\nsub {name} 0"));
        let expected = if fits {
            "published 2 unwanted\nsubscribed 0\n"
        } else {
            "refused 2 topic not usable here\nrefused filter not usable here\n"
        };
        assert_eq!(broker.hear(peer), expected, "{name}");
    }
}

#[test]
fn a_session_belongs_to_the_identity_that_made_it() {
    let mut broker = Broker::new(1);
    for (user, expected) in [("a", "opened new\n"), ("b", "ended client identifier refused\n")] {
        let peer = broker.try_accept(0, 1).unwrap();
        broker.say(peer, "open @s stay");
        let (worker, id, _) = broker.asked.pop().unwrap();
        let identity = Identity::user(TenantId::DEFAULT, user);
        broker.engines[worker].handle_authenticated(broker.now, id, Ok(identity.into()));
        broker.settle();
        assert_eq!(broker.hear(peer), expected);
    }
}

#[test]
fn what_a_layout_cannot_spell_is_dropped_counted_and_blocks_nothing() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open p go");
    broker.say(
        peer,
        "sub # 1\npub unspellable 1 - x\npub unspellable 1 - x\npub unspellable 1 - x\npub t 1 - y",
    );
    assert!(broker.hear(peer).contains("t y\n"));
    let counters = &broker.shared.all_counters()[0];
    assert_eq!(counters.dropped(mynah_core::DropReason::Unspellable).read(), 3);
}

#[test]
fn large_payloads_are_shared_and_arrive_whole() {
    let mut broker = Broker::new(2);
    let subscribers: Vec<usize> = (0..4).map(|i| broker.open(i % 2, &format!("open s{i} go"))).collect();
    for &s in &subscribers {
        broker.say(s, "sub big 1");
        broker.hear(s);
    }
    let publisher = broker.open(0, "open p go");
    let payload = "x".repeat(100_000);
    broker.say(publisher, &format!("pub big 1 - {payload}"));
    for s in subscribers {
        assert_eq!(broker.hear(s), format!("msg 1 1 big {payload}\n"));
    }
}

#[test]
fn at_shutdown_everybody_is_told_and_nobody_is_let_in() {
    let mut broker = Broker::new(1);
    let watcher = broker.open(0, "open w go");
    broker.say(watcher, "sub wills/# 0");
    let peer = broker.open(0, "open p go wills/p");
    let now = broker.now;
    broker.engines[0].handle_shutdown(now);
    broker.settle();
    assert_eq!(broker.hear(peer), "bye\n");
    assert!(broker.hear(watcher).ends_with("bye\n"), "no wills at a shutdown");
    assert_eq!(broker.engines[0].connections(), 0);
    assert_eq!(broker.try_accept(0, 0), None);
}

#[test]
fn the_broker_alone_writes_its_own_topics() {
    let mut broker = Broker::with(mynah_engine::Settings {
        sys_interval: Some(Duration::from_secs(10)),
        ..settings(1, Limits::default())
    });
    broker.advance(Duration::from_secs(1));
    let peer = broker.open(0, "open p go");
    broker.say(peer, "pub $SYS/broker/version 1 keep fake");
    assert_eq!(broker.hear(peer), "refused 2 not authorized\n");
    broker.say(peer, "sub # 0\nsub $SYS/broker/version 0\nsub $SYS/broker/clients/connected 0");
    let heard = broker.hear(peer);
    assert!(heard.contains("msg 0 0 retained $SYS/broker/version mynah 0\n"), "{heard}");
    broker.advance(Duration::from_secs(11));
    assert!(broker.hear(peer).contains("msg 0 0 $SYS/broker/clients/connected 1\n"));
}

#[test]
fn connections_are_counted_wherever_they_open_and_close() {
    let mut broker = Broker::new(3);
    let peers: Vec<usize> = (0..9).map(|i| broker.open(0, &format!("open p{i} go"))).collect();
    let count = |broker: &Broker| {
        let sum = |read: fn(&mynah_core::Counters) -> u64| {
            broker.shared.all_counters().iter().map(read).sum::<u64>()
        };
        (
            sum(|c| c.connections_opened.read()),
            sum(|c| c.connections_closed.read()),
            sum(|c| c.half_open.read()),
        )
    };
    assert_eq!(count(&broker), (9, 0, 0));
    for (i, peer) in peers.into_iter().enumerate() {
        if i % 2 == 0 { broker.cut(peer) } else { broker.say(peer, "quit") }
    }
    assert_eq!(count(&broker), (9, 9, 0));
}
