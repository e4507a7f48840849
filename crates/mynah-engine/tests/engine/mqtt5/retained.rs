//! Retained messages: what is kept, who is sent it and when, and which flag it carries.

use mynah_mqtt::wire::{RetainHandling, SubscribeEntry};

use super::{World, entry, publish, retain};

const NOTHING: [&str; 0] = [];

//= mqtt-5.0 [MQTT-3.3.1-5] [MQTT-3.3.1-9]
#[test]
fn the_last_retained_message_of_each_topic_is_kept() {
    let mut world = World::new();
    let publisher = world.client("p");
    for (topic, qos, payload) in [("r/a", 2, "old"), ("r/b", 1, "b"), ("other", 1, "x"), ("r/a", 0, "new")] {
        world.say(publisher, &retain(publish(topic, qos, 7, payload)));
    }
    let subscriber = world.client("s");
    let mut heard = world.subscribe(subscriber, 0, &[entry("r/+", 2)]);
    heard.sort();
    assert_eq!(heard, ["q0 retain r/a=new", "q1 #1 retain r/b=b"]);
}

//= mqtt-5.0 [MQTT-3.3.1-6] [MQTT-3.3.1-7]
#[test]
fn an_empty_retained_message_is_delivered_and_removes() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[entry("t", 1)]);
    let publisher = world.client("p");
    world.say(publisher, &retain(publish("t", 0, 0, "x")));
    assert_eq!(world.say(publisher, &retain(publish("t", 1, 1, ""))), ["PUBACK 1 00"]);
    assert_eq!(world.hear(subscriber), ["q0 t=x", "q1 #1 t="]);
    let late = world.client("late");
    assert_eq!(world.subscribe(late, 0, &[entry("t", 0)]), NOTHING);
    assert_eq!(world.0.shared.sizes().retained_messages, 0);
}

//= mqtt-5.0 [MQTT-3.3.1-8]
#[test]
fn a_message_without_retain_changes_nothing_that_is_retained() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &retain(publish("t", 0, 0, "kept")));
    for payload in ["passing", ""] {
        world.say(publisher, &publish("t", 0, 0, payload));
        world.say(publisher, &publish("never", 1, 1, payload));
    }
    let subscriber = world.client("s");
    let heard = world.subscribe(subscriber, 0, &[entry("t", 0), entry("never", 0)]);
    assert_eq!(heard, ["q0 retain t=kept"]);
}

//= mqtt-5.0 [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]
#[test]
fn retain_handling_says_when_retained_messages_are_sent() {
    let kept = ["q0 retain t=kept"];
    for (handling, first, second) in [
        (RetainHandling::Send, &kept[..], &kept[..]),
        (RetainHandling::SendIfNew, &kept, &NOTHING),
        (RetainHandling::DoNotSend, &NOTHING, &NOTHING),
    ] {
        let mut world = World::new();
        let publisher = world.client("p");
        world.say(publisher, &retain(publish("t", 0, 0, "kept")));
        let subscriber = world.client("s");
        let wanted = [SubscribeEntry { retain_handling: handling, ..entry("t", 0) }];
        assert_eq!(world.subscribe(subscriber, 0, &wanted), first, "{handling:?}");
        assert_eq!(world.subscribe(subscriber, 0, &wanted), second, "{handling:?}, again");
        // What is published live comes whatever was said of what is retained.
        world.say(publisher, &publish("t", 0, 0, "live"));
        assert_eq!(world.hear(subscriber), ["q0 t=live"]);
        // Another filter, and one that was ended, is new.
        let other = SubscribeEntry { retain_handling: handling, ..entry("+", 0) };
        assert_eq!(world.subscribe(subscriber, 0, &[other]), first);
        world.unsubscribe(subscriber, "t");
        assert_eq!(world.subscribe(subscriber, 0, &wanted), first);
    }
}

/// A subscription is not new to a session that was resumed.
//= mqtt-5.0 [MQTT-3.3.1-10]
#[test]
fn a_subscription_is_known_over_connections() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &retain(publish("t", 0, 0, "kept")));
    let wanted = [SubscribeEntry { retain_handling: RetainHandling::SendIfNew, ..entry("t", 0) }];
    let client = world.connect(&super::resume("s", 100));
    assert_eq!(world.subscribe(client, 0, &wanted), ["q0 retain t=kept"]);
    world.0.cut(client);
    let (client, heard) = world.open(&super::resume("s", 100));
    assert_eq!(heard, ["CONNACK 00 present"]);
    assert_eq!(world.subscribe(client, 0, &wanted), NOTHING);
}

/// While its subscription is replaced, a client misses nothing and hears nothing twice.
//= mqtt-5.0 [MQTT-3.8.4-4]
#[test]
fn a_replacement_loses_nothing() {
    let mut world = World::new();
    let publisher = world.client("p");
    let subscriber = world.subscriber("s", &[entry("t/#", 1)]);
    for round in 0..20_u16 {
        // The publication, and the replacement, are on their way at the same time.
        world.0.send(publisher, &publish("t/x", 1, 7, &round.to_string()));
        let heard = world.subscribe(subscriber, 0, &[entry("t/#", 1)]);
        let late = world.hear(subscriber);
        let all: Vec<String> = heard.into_iter().chain(late).collect();
        assert_eq!(all, [format!("q1 #{} t/x={round}", round + 1)]);
        world.hear(publisher);
    }
}

//= mqtt-5.0 [MQTT-3.3.1-12] [MQTT-3.3.1-13]
#[test]
fn live_messages_carry_the_flag_they_were_published_with_only_where_that_is_wanted() {
    let mut world = World::new();
    let as_published = SubscribeEntry { retain_as_published: true, ..entry("t", 0) };
    let with = world.subscriber("with", &[as_published]);
    let without = world.subscriber("without", &[entry("t", 0)]);
    let publisher = world.client("p");
    world.say(publisher, &retain(publish("t", 0, 0, "a")));
    world.say(publisher, &publish("t", 0, 0, "b"));
    assert_eq!(world.hear(with), ["q0 retain t=a", "q0 t=b"]);
    assert_eq!(world.hear(without), ["q0 t=a", "q0 t=b"]);
    // What is retained has the flag for everybody.
    for (client, wanted) in [(with, as_published), (without, entry("t", 0))] {
        assert_eq!(world.subscribe(client, 0, &[wanted]), ["q0 retain t=a"]);
    }
}

/// Also where the message waited for its client.
//= mqtt-5.0 [MQTT-3.3.1-13]
#[test]
fn the_flag_is_kept_while_a_message_waits() {
    let mut world = World::new();
    let client = world.connect(&super::resume("s", 100));
    world.subscribe(
        client,
        0,
        &[SubscribeEntry { retain_as_published: true, ..entry("a", 1) }, entry("b", 1)],
    );
    world.0.cut(client);
    let publisher = world.client("p");
    for topic in ["a", "b"] {
        world.say(publisher, &retain(publish(topic, 1, 1, "x")));
    }
    let (_, heard) = world.open(&super::resume("s", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q1 #1 retain a=x", "q1 #2 b=x"]);
}
