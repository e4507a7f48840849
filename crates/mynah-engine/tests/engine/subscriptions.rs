//! How subscriptions want their messages: identifiers, no local, retained values, and what a receiver does not take.

use std::time::Duration;

use mynah_core::DropReason;
use mynah_model::Limits;

use crate::broker::{Broker, settings};

/// Says `lines` and returns what came of it.
fn answer(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

//= mqtt-5.0 [MQTT-3.3.4-2]
//= mqtt-5.0 [MQTT-3.3.4-3]
//= mqtt-5.0 [MQTT-3.3.4-4]
#[test]
fn overlapping_subscriptions_are_named_with_one_delivery_at_their_highest_class() {
    let mut broker = Broker::new(2);
    let subscribers = [0, 1].map(|worker| broker.open(worker, &format!("open s{worker} stay")));
    let publisher = broker.open(0, "open p go");
    for s in subscribers {
        answer(&mut broker, s, "sub a/b 0 7\nsub a/+ 1 3\nsub a/# 0\nsub # 0 7");
    }
    broker.say(publisher, "pub a/b 2 - x");
    for s in subscribers {
        assert_eq!(broker.hear(s), "msg 1 1 #3 #7 a/b x\n");
        broker.cut(s);
    }
    broker.say(publisher, "pub a/b 1 - y\npub a/c 1 - z");
    for s in 0..2 {
        let again = broker.open_heard(0, &format!("open s{s} stay"));
        assert_eq!(again.1, "opened again\nmsg 1 1 again #3 #7 a/b x\nmsg 2 1 #3 #7 a/b y\n");
        assert_eq!(answer(&mut broker, again.0, "ack 1"), "msg 3 1 #3 #7 a/c z\n");
    }
}

//= mqtt-5.0 [MQTT-3.8.3-3]
#[test]
fn no_local_spares_a_session_its_own_messages_by_that_subscription_only() {
    let mut broker = Broker::new(2);
    let peer = broker.open(0, "open s stay");
    let other = broker.open(1, "open o go");
    answer(&mut broker, peer, "sub t/# 0 l,1\nsub t/both 0 2");
    assert_eq!(
        answer(&mut broker, peer, "pub t/a 0 - mine\npub t/both 0 - mine"),
        "msg 0 0 #2 t/both mine\n"
    );
    broker.say(other, "pub t/a 0 - theirs\npub t/both 0 - theirs");
    assert_eq!(broker.hear(peer), "msg 0 0 #1 t/a theirs\nmsg 0 0 #1 #2 t/both theirs\n");
}

#[test]
fn no_local_holds_for_retained_values_across_connections() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open s go");
    let other = broker.open(0, "open o go");
    broker.say(peer, "pub t/mine 0 keep m");
    broker.say(other, "pub t/theirs 0 keep t");
    broker.cut(peer);
    let peer = broker.open(0, "open s go");
    assert_eq!(answer(&mut broker, peer, "sub t/# 0 l"), "subscribed 0\nmsg 0 0 retained t/theirs t\n");
    assert!(answer(&mut broker, peer, "sub t/+ 0").contains("t/mine m"));
}

//= mqtt-5.0 [MQTT-3.3.1-9]
//= mqtt-5.0 [MQTT-3.3.1-10]
//= mqtt-5.0 [MQTT-3.3.1-11]
#[test]
fn retained_values_come_each_time_when_new_or_never_with_the_subscription_s_name() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open s go");
    broker.say(peer, "pub t 1 keep v");
    let value = "msg 0 0 retained #4 t v\n";
    broker.hear(peer);
    for (lines, expected) in [
        ("sub t 0 x,4", ""),
        ("sub t 0 4", value),
        ("sub t 0 4", value),
        ("sub t 0 n,4", ""),
        ("unsub t\nsub t 0 n,4", value),
    ] {
        let heard = answer(&mut broker, peer, lines);
        assert!(heard.ends_with(&format!("subscribed 0\n{expected}")), "{lines}: {heard}");
    }
}

//= mqtt-5.0 [MQTT-3.3.1-12]
//= mqtt-5.0 [MQTT-3.3.1-13]
#[test]
fn the_retain_flag_is_shown_as_published_to_who_wants_that() {
    let mut broker = Broker::new(1);
    let [plain, shown] = ["sub t 1", "sub t 1 p"].map(|line| {
        let peer = broker.open(0, &format!("open {} stay", line.len()));
        answer(&mut broker, peer, line);
        peer
    });
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 1 keep v\npub t 1 - w");
    assert_eq!(broker.hear(plain), "msg 1 1 t v\nmsg 2 1 t w\n");
    assert_eq!(broker.hear(shown), "msg 1 1 retained t v\nmsg 2 1 t w\n");
}

//= mqtt-5.0 [MQTT-3.1.2-24]
//= mqtt-5.0 [MQTT-3.1.2-25]
#[test]
fn what_a_receiver_does_not_take_is_dropped_counted_and_blocks_nothing() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open s stay");
    let publisher = broker.open(0, "open p go");
    answer(&mut broker, peer, "small\nsub t 1");
    broker
        .say(publisher, "pub t 1 - large\npub t 0 - large\npub t 1 - large\npub t 1 - large\npub t 1 - fits");
    assert_eq!(broker.hear(peer), "msg 4 1 t fits\n");
    broker.cut(peer);
    broker.say(publisher, "pub t 1 - large\npub t 1 - large\npub t 1 - last");
    let peer = broker.accept(0);
    assert_eq!(
        answer(&mut broker, peer, "small\nopen s stay"),
        "opened again\nmsg 4 1 again t fits\nmsg 7 1 t last\n"
    );
    let counters = &broker.shared.all_counters()[0];
    assert_eq!(counters.dropped(DropReason::TooLarge).read(), 6);
}

#[test]
fn what_a_receiver_rejects_is_dropped_and_counted() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open s stay");
    answer(&mut broker, peer, "sub t 2");
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 1 - a\npub t 2 - b\npub t 1 - c");
    assert_eq!(answer(&mut broker, peer, "rej 1\nrej 2"), "msg 1 1 t a\nmsg 2 2 t b\nmsg 3 1 t c\n");
    broker.cut(peer);
    assert_eq!(broker.open_heard(0, "open s stay").1, "opened again\nmsg 3 1 again t c\n");
    let counters = &broker.shared.all_counters()[0];
    assert_eq!(counters.dropped(DropReason::Rejected).read(), 2);
}

//= mqtt-5.0 [MQTT-3.3.4-9]
#[test]
fn a_resumed_session_repeats_no_more_than_its_peer_takes_now() {
    let mut broker = Broker::with(settings(1, Limits::default()));
    let peer = broker.accept(0);
    answer(&mut broker, peer, "take 5\nopen s stay\nsub t 2");
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 1 - a\npub t 2 - b\npub t 1 - c\npub t 1 - d");
    broker.cut(peer);
    let peer = broker.accept(0);
    assert_eq!(answer(&mut broker, peer, "take 1\nopen s stay"), "opened again\nmsg 1 1 again t a\n");
    broker.say(publisher, "pub t 1 - e");
    assert_eq!(answer(&mut broker, peer, "ack 1"), "msg 2 2 again t b\n");
    assert_eq!(answer(&mut broker, peer, "rec 2"), "received 2\n");
    assert_eq!(answer(&mut broker, peer, "fin 2"), "msg 3 1 again t c\n");
    assert_eq!(answer(&mut broker, peer, "ack 3"), "msg 4 1 again t d\n");
    assert_eq!(answer(&mut broker, peer, "ack 4"), "msg 5 1 t e\n");
}

//= mqtt-5.0 [MQTT-3.3.2-5]
#[test]
fn what_expires_on_its_way_to_another_worker_is_delivered_to_nobody() {
    let mut broker = Broker::new(2);
    let publisher = broker.open(0, "open p go");
    let from = broker.worker_of(publisher);
    let peers: Vec<usize> = (0..8).map(|i| broker.open(0, &format!("open s{i} go"))).collect();
    let far = peers.into_iter().find(|&peer| broker.worker_of(peer) != from).unwrap();
    broker.say(far, "sub t 0");
    broker.hear(far);
    broker.send(publisher, b"for 1000 pub t 0 - x\n");
    broker.advance(Duration::from_millis(1000));
    assert_eq!(broker.hear(far), "");
    let expired = broker.shared.all_counters().iter().map(|c| c.dropped(DropReason::Expired).read());
    assert_eq!(expired.sum::<u64>(), 1);
}
