//! Messages: retention, QoS, order, and taking each exactly-once message once.

use super::{CLEAN, NEW, World, ack, again, connect, publish};

//= mqtt-3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8]
#[test]
fn a_new_subscription_gets_the_last_retained_message_of_each_topic() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &publish("r/a", 2, true, 1, "old"));
    world.say(publisher, &publish("r/a", 0, true, 0, "new"));
    world.say(publisher, &publish("r/b", 1, true, 2, "b"));
    world.say(publisher, &publish("other", 1, true, 3, "x"));
    let subscriber = world.client("s");
    let expected = [publish("r/a", 0, true, 0, "new"), publish("r/b", 1, true, 1, "b")].concat();
    assert_eq!(world.subscribe(subscriber, &[("r/+", 2)]), expected);
}

//= mqtt-3.1.1 [MQTT-3.3.1-3] [MQTT-3.3.1-9]
#[test]
fn retain_and_dup_of_what_came_do_not_go_out() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("t", 2)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, true, 0, "x"));
    assert_eq!(world.hear(subscriber), publish("t", 0, false, 0, "x"));
    world.say(publisher, &again("t", 1, 1, "y"));
    world.say(publisher, &again("t", 2, 2, "z"));
    assert_eq!(
        world.hear(subscriber),
        [publish("t", 1, false, 1, "y"), publish("t", 2, false, 2, "z")].concat()
    );
}

//= mqtt-3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11]
#[test]
fn an_empty_retained_message_is_delivered_and_removes() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("t", 0)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, true, 0, "x"));
    world.say(publisher, &publish("t", 1, true, 1, ""));
    assert_eq!(
        world.hear(subscriber),
        [publish("t", 0, false, 0, "x"), publish("t", 0, false, 0, "")].concat()
    );
    let late = world.client("late");
    assert_eq!(world.subscribe(late, &[("t", 0)]), b"");
}

//= mqtt-3.1.1 [MQTT-3.3.1-12]
#[test]
fn a_message_without_retain_changes_nothing_that_is_retained() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, true, 0, "kept"));
    for payload in ["passing", ""] {
        world.say(publisher, &publish("t", 0, false, 0, payload));
        world.say(publisher, &publish("never", 1, false, 1, payload));
    }
    let subscriber = world.client("s");
    let heard = world.subscribe(subscriber, &[("t", 0), ("never", 0)]);
    assert_eq!(heard, publish("t", 0, true, 0, "kept"));
}

//= mqtt-3.1.1 [MQTT-3.8.4-6]
#[test]
fn a_message_comes_with_the_lower_of_both_qos() {
    for published in 0..=2 {
        for granted in 0..=2 {
            let mut world = World::new();
            let subscriber = world.subscriber("s", &[("t", granted)]);
            let publisher = world.client("p");
            world.say(publisher, &publish("t", published, false, 7, "x"));
            assert_eq!(world.hear(subscriber), publish("t", published.min(granted), false, 1, "x"));
        }
    }
}

//= mqtt-3.1.1 [MQTT-3.3.5-1]
#[test]
fn of_overlapping_subscriptions_the_highest_qos_counts() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("#", 0), ("t/#", 2), ("t/+", 1)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t/x", 2, false, 1, "x"));
    assert_eq!(world.hear(subscriber), publish("t/x", 2, false, 1, "x"));
    world.say(publisher, &publish("u", 2, false, 2, "y"));
    assert_eq!(world.hear(subscriber), publish("u", 0, false, 0, "y"));
}

//= mqtt-3.1.1 [MQTT-4.3.2-2]
#[test]
fn after_puback_an_identifier_is_a_new_message_whatever_dup_says() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("t", 0)]);
    let publisher = world.client("p");
    assert_eq!(world.say(publisher, &publish("t", 1, false, 5, "a")), ack(0x40, 5));
    assert_eq!(world.say(publisher, &again("t", 1, 5, "a")), ack(0x40, 5));
    assert_eq!(world.hear(subscriber), publish("t", 0, false, 0, "a").repeat(2));
}

//= mqtt-3.1.1 [MQTT-4.3.3-2]
#[test]
fn an_exactly_once_message_is_delivered_once_over_two_connections() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("t", 0)]);
    let publisher = world.connect(&connect(0, "p", b""), NEW);
    assert_eq!(world.say(publisher, &publish("t", 2, false, 5, "a")), ack(0x50, 5));
    assert_eq!(world.say(publisher, &again("t", 2, 5, "a")), ack(0x50, 5));
    world.0.cut(publisher);
    let publisher = world.connect(&connect(0, "p", b""), super::PRESENT);
    assert_eq!(world.say(publisher, &again("t", 2, 5, "a")), ack(0x50, 5));
    assert_eq!(world.hear(subscriber), publish("t", 0, false, 0, "a"));
    assert_eq!(world.say(publisher, &ack(0x62, 5)), ack(0x70, 5));
    assert_eq!(world.say(publisher, &ack(0x62, 5)), ack(0x70, 5), "a PUBREL that came twice");
    assert_eq!(world.say(publisher, &publish("t", 2, false, 5, "b")), ack(0x50, 5));
    assert_eq!(world.hear(subscriber), publish("t", 0, false, 0, "b"));
}

/// The publisher of an exactly-once message hears PUBREC before it hears its own message.
#[test]
fn a_publisher_that_subscribes_is_answered_first() {
    let mut world = World::new();
    let client = world.subscriber("c", &[("t", 2)]);
    let heard = world.say(client, &publish("t", 2, false, 9, "x"));
    assert_eq!(heard, [ack(0x50, 9), publish("t", 2, false, 1, "x")].concat());
    let nobody = world.client("n");
    assert_eq!(world.say(nobody, &publish("nobody", 2, false, 9, "x")), ack(0x50, 9));
}

//= mqtt-3.1.1 [MQTT-4.6.0-5] [MQTT-4.6.0-6]
#[test]
fn messages_of_a_publisher_keep_their_order_over_workers_and_absence() {
    for qos in 0..=2 {
        let mut world = World::new();
        let live: Vec<usize> = (0..4).map(|n| world.subscriber(&format!("s{n}"), &[("t", qos)])).collect();
        let away = world.connect(&connect(0, "away", b""), NEW);
        world.subscribe(away, &[("t", qos)]);
        world.0.cut(away);
        let publisher = world.client("p");
        let all: Vec<u8> = (1..=50).flat_map(|n| publish("t", qos, false, n, &n.to_string())).collect();
        world.say(publisher, &all);
        for subscriber in live {
            assert_eq!(world.hear(subscriber), all);
        }
        let stored = if qos == 0 { &[][..] } else { &all };
        world.connect(&connect(0, "away", b""), &[super::PRESENT, stored].concat());
    }
}

//= mqtt-3.1.1 [MQTT-3.3.2-3] [MQTT-4.7.3-4]
#[test]
fn topics_are_compared_as_they_are() {
    let mut world = World::new();
    let filters = ["a/b", "A/b", "a//b", "/a/b", "a/b/", "\u{e9}", "e\u{301}", " a/b", "%61/b"];
    let clients: Vec<usize> =
        filters.iter().map(|&filter| world.subscriber(filter, &[(filter, 0)])).collect();
    let publisher = world.connect(&connect(CLEAN, "p", b""), NEW);
    for topic in filters {
        world.say(publisher, &publish(topic, 0, false, 0, "x"));
    }
    for (client, filter) in clients.into_iter().zip(filters) {
        assert_eq!(world.hear(client), publish(filter, 0, false, 0, "x"), "{filter}");
    }
}
