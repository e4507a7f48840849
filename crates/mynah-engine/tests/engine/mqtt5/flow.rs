//! Flow control, sizes and topic aliases, in both directions.

use std::num::{NonZeroU16, NonZeroU32};

use mynah_core::DropReason;
use mynah_model::Limits;
use mynah_mqtt::Settings;
use mynah_mqtt::wire::properties::{ConnectProperties, Property};
use mynah_mqtt::wire::{AckType, Connect};

use super::{
    World, ack, connect, entry, puback, pubcomp, publish, publish_with, pubrec, pubrel, receiving, resume,
};

const NOTHING: [&str; 0] = [];

//= mqtt-5.0 [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2]
#[test]
fn a_client_is_sent_as_much_as_it_takes_and_the_rest_in_order() {
    let mut world = World::new();
    let client = world.connect(&receiving(connect("c"), 2));
    world.subscribe(client, 0, &[entry("t", 2)]);
    let publisher = world.client("p");
    for (id, qos) in [(1, 1), (2, 2), (3, 2), (4, 1), (5, 2), (6, 1)] {
        world.say(publisher, &publish("t", qos, id, &id.to_string()));
    }
    assert_eq!(world.hear(client), ["q1 #1 t=1", "q2 #2 t=2"]);
    // QoS 0 needs no room and keeps its place behind what does; answers do not wait.
    world.say(publisher, &publish("t", 0, 0, "zero"));
    assert_eq!(world.hear(client), NOTHING);
    assert_eq!(world.say(client, b"\xc0\0"), ["PINGRESP"]);
    assert_eq!(world.say(client, &publish("u", 1, 9, "x")), ["PUBACK 9 10"]);
    // PUBREC keeps the room until PUBCOMP; one that refuses does not, nor does PUBACK.
    assert_eq!(world.say(client, &pubrec(2)), ["PUBREL 2 00"]);
    assert_eq!(world.say(client, &pubcomp(2)), ["q2 #3 t=3"]);
    assert_eq!(world.say(client, &ack(AckType::Pubrec, 3, 0x80)), ["q1 #4 t=4"]);
    assert_eq!(world.say(client, &puback(1)), ["q2 #5 t=5"]);
    assert_eq!(world.say(client, &ack(AckType::Puback, 4, 0x97)), ["q1 #6 t=6", "q0 t=zero"]);
}

/// PUBREC of 0x80 or above ends the exchange: the identifier is free for another message.
//= mqtt-5.0 [MQTT-4.3.3-9]
#[test]
fn the_identifier_of_a_refused_publication_can_be_used_again() {
    let mut world = World::new();
    let client = world.client("c");
    world.subscribe(client, 0, &[entry("t", 2)]);
    let publisher = world.client("p");
    assert_eq!(world.say(publisher, &publish("$SYS/x", 2, 7, "no")), ["PUBREC 7 87"]);
    assert_eq!(world.say(publisher, &publish("t", 2, 7, "yes")), ["PUBREC 7 00"]);
    assert_eq!(world.hear(client), ["q2 #1 t=yes"]);
    assert_eq!(world.say(publisher, &pubrel(7)), ["PUBCOMP 7 00"]);
}

/// A client that comes back may take less than before, or more.
//= mqtt-5.0 [MQTT-3.3.4-9]
#[test]
fn what_a_client_takes_is_said_anew_by_each_connection() {
    let mut world = World::new();
    let client = world.connect(&receiving(resume("c", 100), 3));
    world.subscribe(client, 0, &[entry("t", 1)]);
    let publisher = world.client("p");
    (1..=5).for_each(|id| drop(world.say(publisher, &publish("t", 1, id, &id.to_string()))));
    assert_eq!(world.hear(client).len(), 3);
    world.0.cut(client);
    let (client, heard) = world.open(&receiving(resume("c", 100), 1));
    assert_eq!(heard[1..], ["q1 #1 dup t=1"]);
    assert_eq!(world.say(client, &puback(1)), ["q1 #2 dup t=2"]);
    world.0.cut(client);
    let (_, heard) = world.open(&receiving(resume("c", 100), 9));
    assert_eq!(heard[1..], ["q1 #2 dup t=2", "q1 #3 dup t=3", "q1 #4 t=4", "q1 #5 t=5"]);
}

//= mqtt-5.0 [MQTT-3.3.4-7] [MQTT-4.9.0-3]
#[test]
fn a_client_that_sends_more_than_the_server_takes_is_sent_away() {
    let publications_max = NonZeroU16::new(2).unwrap();
    let mut world = World::with(2, Settings { publications_max, ..Settings::default() }, Limits::default());
    let (client, heard) = world.open(&resume("c", 100));
    assert_eq!(heard, ["CONNACK 00 new receive=2"]);
    // Those that are answered at once do not count, nor does one that is repeated.
    (1..=9).for_each(|id| drop(world.say(client, &publish("t", 1, id, "x"))));
    for id in 1..=2 {
        assert_eq!(world.say(client, &publish("t", 2, id, "x")), [format!("PUBREC {id} 10")]);
    }
    world.say(client, &super::again(publish("t", 2, 2, "x")));
    assert_eq!(world.say(client, &pubrel(1)), ["PUBCOMP 1 00"]);
    assert_eq!(world.say(client, &publish("t", 2, 3, "x")), ["PUBREC 3 10"]);
    assert_eq!(world.say(client, &publish("t", 2, 4, "x")), ["DISCONNECT 93"]);
    assert!(!world.0.is_connected(client));
    // The next connection goes on with what was taken.
    let (client, heard) = world.open(&resume("c", 100));
    assert_eq!(heard, ["CONNACK 00 present receive=2"]);
    assert_eq!(world.say(client, &[pubrel(2), pubrel(3)].concat()), ["PUBCOMP 2 00", "PUBCOMP 3 00"]);
    assert_eq!(world.say(client, &pubrel(4)), ["PUBCOMP 4 92"], "it was not taken");
}

fn taking<'b>(connect: Connect<'b>, packet_bytes: u32) -> Connect<'b> {
    let properties =
        ConnectProperties { maximum_packet_size: NonZeroU32::new(packet_bytes), ..connect.properties };
    Connect { properties, ..connect }
}

//= mqtt-5.0 [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn what_is_too_large_for_a_client_is_dropped_for_it_alone() {
    let mut world = World::new();
    let small = world.connect(&taking(receiving(resume("small", 100), 1), 30));
    let large = world.subscriber("large", &[entry("t", 1)]);
    // With an identifier of its subscription, a message has three bytes more.
    world.subscribe(small, 200, &[entry("t", 2)]);
    let publisher = world.client("p");
    let fits = "x".repeat(19);
    for (id, payload) in [(1, "xx".repeat(50)), (2, fits.clone()), (3, format!("{fits}y")), (4, "end".into())]
    {
        assert_eq!(world.say(publisher, &publish("t", 1, id, &payload)), [format!("PUBACK {id} 00")]);
    }
    assert_eq!(world.hear(large).len(), 4);
    let mut heard = world.hear(small);
    for id in 1..=4 {
        heard.extend(world.say(small, &puback(id)));
    }
    let heard: Vec<&str> = heard.iter().map(|packet| packet.split_once(" t=").unwrap().1).collect();
    assert_eq!(heard, [format!("{fits} id=200"), "end id=200".to_owned()]);
    let dropped = |world: &World| {
        world.0.shared.all_counters().iter().map(|c| c.dropped(DropReason::TooLarge).read()).sum::<u64>()
    };
    assert_eq!(dropped(&world), 2);
    // Also what waited, and what is retained.
    world.0.cut(small);
    world.say(publisher, &publish("t", 1, 5, &"z".repeat(50)));
    world.say(publisher, &super::retain(publish("t", 1, 6, &"r".repeat(50))));
    let (small, heard) = world.open(&taking(resume("small", 100), 30));
    assert_eq!(heard, ["CONNACK 00 present"]);
    assert_eq!(world.subscribe(small, 0, &[entry("t", 1)]), NOTHING);
    assert_eq!(dropped(&world), 5);
}

//= mqtt-5.0 [MQTT-3.1.2-24]
#[test]
fn what_is_too_large_for_the_server_ends_the_connection() {
    let mqtt = Settings { packet_bytes_max: 2_000, connect_packet_bytes_max: 500, ..Settings::default() };
    let mut world = World::with(2, mqtt, Limits::default());
    let client = world.client("c");
    assert_eq!(world.say(client, &publish("t", 1, 1, &"x".repeat(1_900))), ["PUBACK 1 10"]);
    assert_eq!(world.say(client, &publish("t", 1, 1, &"x".repeat(2_000))), ["DISCONNECT 95"]);
}

fn aliased(topic: &str, qos: u8, id: u16, payload: &str, alias: u16) -> Vec<u8> {
    publish_with(topic, qos, id, payload, &[Property::TopicAlias(NonZeroU16::new(alias).unwrap())])
}

//= mqtt-5.0 [MQTT-3.3.2-7] [MQTT-3.3.2-12]
#[test]
fn aliases_of_a_publisher_reach_subscribers_as_topics() {
    let mut world = World::new();
    let subscribers: Vec<usize> =
        (0..4).map(|n| world.subscriber(&format!("s{n}"), &[entry("#", 2)])).collect();
    let away = world.connect(&resume("away", 100));
    world.subscribe(away, 0, &[entry("#", 1)]);
    world.0.cut(away);
    let publisher = world.connect(&resume("p", 100));
    for (qos, (topic, alias)) in
        [("a/b", 1), ("", 1), ("c", 16), ("", 16), ("d", 1), ("", 1)].into_iter().enumerate()
    {
        world.say(publisher, &aliased(topic, qos as u8 % 3, 5, "x", alias));
        world.say(publisher, &pubrel(5));
    }
    let expected =
        ["q0 a/b=x", "q1 #1 a/b=x", "q2 #2 c=x", "q0 c=x", "q1 #3 d=x", "q2 #4 d=x"].map(str::to_owned);
    for subscriber in subscribers {
        assert_eq!(world.hear(subscriber), expected);
    }
    assert_eq!(
        world.open(&resume("away", 100)).1[1..],
        ["q1 #1 a/b=x", "q1 #2 c=x", "q1 #3 d=x", "q1 #4 d=x"]
    );
    // The next connection has none.
    world.0.cut(publisher);
    let (publisher, _) = world.open(&resume("p", 100));
    assert_eq!(world.say(publisher, &aliased("", 1, 5, "x", 1)), ["DISCONNECT 82"]);
}

//= mqtt-5.0 [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-7]
#[test]
fn a_subscriber_is_sent_the_aliases_it_takes() {
    let mut world = World::new();
    let taking = |maximum| {
        let properties =
            ConnectProperties { topic_alias_maximum: Some(maximum), ..resume("s", 100).properties };
        Connect { properties, ..resume("s", 100) }
    };
    let subscriber = world.connect(&taking(1));
    world.subscribe(subscriber, 3, &[entry("#", 2)]);
    let none = world.subscriber("none", &[entry("#", 0)]);
    let publisher = world.client("p");
    for (topic, qos) in [("t", 0), ("t", 1), ("u", 2), ("t", 2)] {
        world.say(publisher, &publish(topic, qos, 1, "x"));
        world.say(publisher, &pubrel(1));
    }
    let mut heard = world.hear(subscriber);
    // The order of properties is of no meaning.
    heard.iter_mut().for_each(|text| *text = text.replace(" id=3", ""));
    assert_eq!(heard, ["q0 t=x alias=1", "q1 #1 =x alias=1", "q2 #2 u=x", "q2 #3 =x alias=1"]);
    assert_eq!(world.hear(none), ["q0 t=x", "q0 t=x", "q0 u=x", "q0 t=x"]);
    world.0.cut(subscriber);
    let (_, heard) = world.open(&taking(2));
    let heard: Vec<String> = heard[1..].iter().map(|text| text.replace(" id=3", "")).collect();
    assert_eq!(heard, ["q1 #1 dup t=x alias=1", "q2 #2 dup u=x alias=2", "q2 #3 dup =x alias=1"]);
}
