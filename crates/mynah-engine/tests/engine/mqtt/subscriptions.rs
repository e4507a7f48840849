//! Subscriptions: replacing, ending, several at once, wildcards.

use super::{CLEAN, NEW, World, ack, connect, publish};

//= mqtt-3.1.1 [MQTT-3.8.4-3]
#[test]
fn the_same_filter_replaces_its_subscription_and_replays() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, true, 1, "kept"));
    let subscriber = world.client("s");
    assert_eq!(world.subscribe(subscriber, &[("t", 0)]), publish("t", 0, true, 0, "kept"));
    assert_eq!(world.subscribe(subscriber, &[("t", 1)]), publish("t", 1, true, 1, "kept"));
    // One subscription, with the newer QoS; what comes meanwhile is not missed.
    world.say(publisher, &publish("t", 1, false, 2, "live"));
    assert_eq!(world.hear(subscriber), publish("t", 1, false, 2, "live"));
    world.unsubscribe(subscriber, &["t"]);
    world.say(publisher, &publish("t", 1, false, 3, "gone"));
    assert_eq!(world.hear(subscriber), b"");
}

//= mqtt-3.1.1 [MQTT-3.8.4-4]
#[test]
fn filters_of_one_subscribe_count_one_after_another() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &publish("a", 0, true, 0, "1"));
    world.say(publisher, &publish("b", 0, true, 0, "2"));
    let subscriber = world.client("s");
    let retained = [publish("b", 0, true, 0, "2"), publish("a", 0, true, 0, "1")].concat();
    assert_eq!(world.subscribe(subscriber, &[("b", 0), ("a", 2)]), retained);
    let twice = world.client("twice");
    world.subscribe(twice, &[("c", 2), ("c", 0)]);
    world.say(publisher, &publish("c", 2, false, 1, "x"));
    assert_eq!(world.hear(twice), publish("c", 0, false, 0, "x"), "the second replaced the first");
}

//= mqtt-3.1.1 [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-6]
#[test]
fn only_the_very_filter_is_ended() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[("a/b", 0), ("a/+", 0), ("c", 0), ("d", 0)]);
    let publisher = world.client("p");
    world.unsubscribe(subscriber, &["a/#", "a", "A/b", "+/+", "#"]);
    world.say(publisher, &publish("a/x", 0, false, 0, "1"));
    assert_eq!(world.hear(subscriber), publish("a/x", 0, false, 0, "1"));
    world.unsubscribe(subscriber, &["a/+", "c"]);
    for topic in ["a/x", "a/b", "c", "d"] {
        world.say(publisher, &publish(topic, 0, false, 0, "2"));
    }
    assert_eq!(
        world.hear(subscriber),
        [publish("a/b", 0, false, 0, "2"), publish("d", 0, false, 0, "2")].concat()
    );
}

//= mqtt-3.1.1 [MQTT-3.10.4-3]
#[test]
fn deliveries_that_were_begun_are_completed_after_the_end() {
    let mut world = World::new();
    let subscriber = world.connect(&connect(0, "s", b""), NEW);
    world.subscribe(subscriber, &[("t", 2)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, false, 1, "a"));
    world.say(publisher, &publish("t", 2, false, 2, "b"));
    world.hear(subscriber);
    world.unsubscribe(subscriber, &["t"]);
    assert_eq!(world.say(subscriber, &ack(0x50, 2)), ack(0x62, 2));
    world.0.cut(subscriber);
    let again = [super::again("t", 1, 1, "a"), ack(0x62, 2)].concat();
    world.connect(&connect(0, "s", b""), &[super::PRESENT, &again].concat());
}

//= mqtt-3.1.1 [MQTT-4.7.2-1]
#[test]
fn a_leading_wildcard_does_not_see_topics_with_a_dollar() {
    let mut world = World::new();
    world.0.advance(std::time::Duration::from_secs(11));
    let subscriber = world.client("s");
    assert_eq!(world.subscribe(subscriber, &[("#", 0), ("+/broker/version", 0), ("+/x", 0)]), b"");
    let publisher = world.client("p");
    world.say(publisher, &publish("$own/x", 0, false, 0, "x"));
    assert_eq!(world.hear(subscriber), b"");
    let named = world.subscriber("n", &[("$own/+", 0)]);
    world.say(publisher, &publish("$own/x", 0, false, 0, "x"));
    assert_eq!(world.hear(named), publish("$own/x", 0, false, 0, "x"));
    let version = world.client("v");
    assert!(world.subscribe(version, &[("$SYS/#", 0)]).len() > 10);
}

//= mqtt-3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3]
#[test]
fn wildcards_match_as_the_specification_shows() {
    let mut world = World::new();
    let publisher = world.connect(&connect(CLEAN, "p", b""), NEW);
    for (filter, topic, matches) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+/tennis/#", "sport/tennis", true),
    ] {
        let subscriber = world.subscriber("s", &[(filter, 0)]);
        world.say(publisher, &publish(topic, 0, false, 0, "x"));
        let expected = if matches { publish(topic, 0, false, 0, "x") } else { Vec::new() };
        assert_eq!(world.hear(subscriber), expected, "{filter} {topic}");
    }
}
