//! Subscriptions: identifiers, overlapping filters, no local, and which filters match what.

use mynah_model::Limits;
use mynah_mqtt::wire::SubscribeEntry;
use mynah_mqtt::{Overlapping, Settings};

use super::{World, entry, publish, resume};

const NOTHING: [&str; 0] = [];

//= mqtt-5.0 [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
#[test]
fn one_copy_names_all_overlapping_subscriptions() {
    let mut world = World::new();
    let subscriber = world.client("s");
    world.subscribe(subscriber, 2, &[entry("t/+", 0)]);
    world.subscribe(subscriber, 3, &[entry("t/#", 2)]);
    world.subscribe(subscriber, 0, &[entry("#", 1)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t/x", 2, 1, "both"));
    world.say(publisher, &publish("t/x/y", 1, 2, "one"));
    world.say(publisher, &publish("u", 0, 0, "none"));
    assert_eq!(world.hear(subscriber), ["q2 #1 t/x=both id=2 id=3", "q1 #2 t/x/y=one id=3", "q0 u=none"]);
    // A new identifier takes the place of the old one, also none.
    world.subscribe(subscriber, 0, &[entry("t/+", 0)]);
    world.subscribe(subscriber, 268_435_455, &[entry("t/#", 0)]);
    world.say(publisher, &publish("t/x", 0, 0, "after"));
    assert_eq!(world.hear(subscriber), ["q0 t/x=after id=268435455"]);
}

//= mqtt-5.0 [MQTT-3.3.4-5]
#[test]
fn each_copy_names_its_own_subscription() {
    let mqtt = Settings { overlapping: Overlapping::Each, ..Settings::default() };
    let mut world = World::with(2, mqtt, Limits::default());
    let subscriber = world.client("s");
    world.subscribe(subscriber, 10, &[entry("t/+", 0)]);
    world.subscribe(subscriber, 20, &[entry("t/#", 1)]);
    world.subscribe(subscriber, 0, &[entry("#", 0)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t/x", 1, 1, "x"));
    let mut heard = world.hear(subscriber);
    heard.sort();
    assert_eq!(heard, ["q0 t/x=x", "q0 t/x=x id=10", "q1 #1 t/x=x id=20"]);
}

//= mqtt-5.0 [MQTT-3.3.4-3]
#[test]
fn identifiers_are_told_with_what_was_retained_or_waited() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &super::retain(publish("t/x", 1, 1, "kept")));
    let client = world.connect(&resume("s", 100));
    assert_eq!(world.subscribe(client, 5, &[entry("t/+", 1)]), ["q1 #1 retain t/x=kept id=5"]);
    world.subscribe(client, 6, &[entry("t/y", 1)]);
    world.0.cut(client);
    world.say(publisher, &publish("t/y", 1, 2, "later"));
    let (_, heard) = world.open(&resume("s", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q1 #1 dup retain t/x=kept id=5", "q1 #2 t/y=later id=5 id=6"]);
}

//= mqtt-5.0 [MQTT-3.8.3-3]
#[test]
fn no_local_spares_a_client_its_own_messages() {
    let mut world = World::new();
    let spared = SubscribeEntry { no_local: true, ..entry("t/#", 1) };
    let client = world.connect(&resume("c", 100));
    world.subscribe(client, 1, &[spared]);
    let other = world.subscriber("o", &[spared]);
    for qos in 0..=2 {
        world.say(client, &publish("t/x", qos, 1, "own"));
    }
    assert_eq!(world.hear(client), NOTHING);
    assert_eq!(world.hear(other), ["q0 t/x=own", "q1 #1 t/x=own", "q1 #2 t/x=own"]);
    world.say(other, &publish("t/x", 0, 0, "another's"));
    assert_eq!(world.hear(client), ["q0 t/x=another's id=1"]);
    // Another subscription that wants them brings them, and names itself alone.
    world.subscribe(client, 2, &[entry("t/x", 0)]);
    assert_eq!(world.say(client, &publish("t/x", 0, 0, "own")), ["q0 t/x=own id=2"]);
    world.say(other, &publish("t/x", 0, 0, "another's"));
    assert_eq!(world.hear(client), ["q0 t/x=another's id=1 id=2"]);
}

/// The same identifier, not the same connection, is what a client's own messages are known by.
//= mqtt-5.0 [MQTT-3.8.3-3]
#[test]
fn no_local_holds_over_connections_and_for_the_will() {
    let mut world = World::new();
    let spared = SubscribeEntry { no_local: true, ..entry("#", 1) };
    let will = super::willing(resume("c", 100), 1, false, Default::default());
    let client = world.connect(&will);
    world.subscribe(client, 0, &[spared]);
    world.0.cut(client);
    let (client, heard) = world.open(&will);
    assert_eq!(heard, ["CONNACK 00 present"], "its own will");
    assert_eq!(world.say(client, &publish("t", 0, 0, "own")), NOTHING);
}

//= mqtt-5.0 [MQTT-4.7.2-1]
#[test]
fn a_leading_wildcard_does_not_see_topics_with_a_dollar() {
    let mut world = World::new();
    world.wait(11);
    let subscriber = world.client("s");
    let wanted = [entry("#", 0), entry("+/broker/version", 0), entry("+/x", 0)];
    assert_eq!(world.subscribe(subscriber, 0, &wanted), NOTHING);
    let publisher = world.client("p");
    world.say(publisher, &publish("$own/x", 0, 0, "x"));
    assert_eq!(world.hear(subscriber), NOTHING);
    let named = world.subscriber("n", &[entry("$own/+", 0)]);
    world.say(publisher, &publish("$own/x", 0, 0, "x"));
    assert_eq!(world.hear(named), ["q0 $own/x=x"]);
}

//= mqtt-5.0 [MQTT-4.7.3-4]
#[test]
fn topics_are_compared_as_they_are() {
    let mut world = World::new();
    let filters = ["a/b", "A/b", "a//b", "/a/b", "a/b/", "\u{e9}", "e\u{301}", " a/b", "%61/b"];
    let clients: Vec<usize> =
        filters.iter().map(|filter| world.subscriber(filter, &[entry(filter, 0)])).collect();
    let publisher = world.client("p");
    for topic in filters {
        world.say(publisher, &publish(topic, 0, 0, "x"));
    }
    for (client, filter) in clients.into_iter().zip(filters) {
        assert_eq!(world.hear(client), [format!("q0 {filter}=x")]);
    }
}

#[test]
fn the_longest_topic_goes_through() {
    let longest = "x".repeat(65_535);
    let mut world = World::new();
    let subscriber = world.client("s");
    assert_eq!(world.subscribe(subscriber, 0, &[entry(&longest, 0), entry("+", 0)]), NOTHING);
    let publisher = world.client("p");
    world.say(publisher, &publish(&longest, 0, 0, "y"));
    assert_eq!(world.hear(subscriber), [format!("q0 {longest}=y")]);
}
