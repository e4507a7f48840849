//! Messages: who gets them, with which QoS and properties, and once if that was asked for.

use mynah_mqtt::wire::properties::Property;

use super::{World, again, entry, publish, publish_with, pubrel, resume};

//= mqtt-5.0 [MQTT-4.5.0-1]
#[test]
fn a_message_that_was_taken_is_added_to_every_session_that_wants_it() {
    for qos in 0..=2_u8 {
        let mut world = World::new();
        let here: Vec<usize> =
            (0..6).map(|n| world.subscriber(&format!("s{n}"), &[entry("t/+", 2)])).collect();
        let away = world.connect(&resume("away", 100));
        world.subscribe(away, 0, &[entry("t/#", 2)]);
        world.0.cut(away);
        let others = world.subscriber("others", &[entry("u", 2)]);
        let publisher = world.client("p");
        world.say(publisher, &publish("t/x", qos, 1, "m"));
        let id = if qos == 0 { "" } else { " #1" };
        let expected = format!("q{qos}{id} t/x=m");
        for client in here {
            assert_eq!(world.hear(client), [expected.as_str()]);
        }
        assert!(world.hear(others).is_empty());
        let waited: &[String] = if qos == 0 { &[] } else { &[expected] };
        assert_eq!(world.open(&resume("away", 100)).1[1..], *waited);
    }
}

//= mqtt-5.0 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_go_to_every_worker_and_stay_with_what_waits() {
    let properties = [
        Property::UserProperty(("b", "1")),
        Property::PayloadFormatIndicator(true),
        Property::ContentType("text"),
        Property::UserProperty(("a", "2")),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"7"),
        Property::UserProperty(("b", "1")),
    ];
    let expected = "q1 #1 t=x b:1 text=true type=text a:2 reply=r correlation=7 b:1";
    let mut world = World::new();
    let here: Vec<usize> = (0..4).map(|n| world.subscriber(&format!("s{n}"), &[entry("t", 1)])).collect();
    let away = world.connect(&resume("away", 100));
    world.subscribe(away, 0, &[entry("t", 1)]);
    world.0.cut(away);
    let publisher = world.client("p");
    world.say(publisher, &super::retain(publish_with("t", 1, 1, "x", &properties)));
    for client in here {
        assert_eq!(world.hear(client), [expected]);
    }
    assert_eq!(world.open(&resume("away", 100)).1[1..], [expected]);
    let late = world.client("late");
    assert_eq!(world.subscribe(late, 0, &[entry("t", 1)]), [expected.replace("#1 ", "#1 retain ")]);
    // Who speaks an older version gets the message without them.
    let older = world.0.accept(1);
    world.0.send(older, b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01o\x82\x06\0\x01\0\x01t\0");
    world.0.settle();
    assert_eq!(world.0.hear_bytes(older), b"\x20\x02\0\0\x90\x03\0\x01\0\x31\x04\0\x01tx");
}

//= mqtt-5.0 [MQTT-4.3.3-10] [MQTT-4.3.3-12]
#[test]
fn an_exactly_once_message_is_delivered_once_over_two_connections() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[entry("t", 0)]);
    let publisher = world.connect(&resume("p", 100));
    assert_eq!(world.say(publisher, &publish("t", 2, 5, "a")), ["PUBREC 5 00"]);
    world.0.cut(publisher);
    let (publisher, _) = world.open(&resume("p", 100));
    assert_eq!(world.say(publisher, &again(publish("t", 2, 5, "a"))), ["PUBREC 5 00"]);
    assert_eq!(world.hear(subscriber), ["q0 t=a"]);
    assert_eq!(world.say(publisher, &pubrel(5)), ["PUBCOMP 5 00"]);
    assert_eq!(world.say(publisher, &pubrel(5)), ["PUBCOMP 5 92"], "it is over");
    assert_eq!(world.say(publisher, &publish("t", 2, 5, "b")), ["PUBREC 5 00"]);
    assert_eq!(world.hear(subscriber), ["q0 t=b"]);
}

/// A publisher is told whether anybody wants what it publishes.
#[test]
fn nobody_who_subscribes_is_said_in_the_acknowledgement() {
    let mut world = World::new();
    let publisher = world.client("p");
    assert_eq!(world.say(publisher, &publish("t", 1, 1, "x")), ["PUBACK 1 10"]);
    assert_eq!(world.say(publisher, &publish("t", 2, 2, "x")), ["PUBREC 2 10"]);
    world.subscriber("s", &[entry("t", 0)]);
    assert_eq!(world.say(publisher, &publish("t", 1, 3, "x")), ["PUBACK 3 00"]);
    assert_eq!(world.say(publisher, &publish("t", 2, 4, "x")), ["PUBREC 4 00"]);
}

//= mqtt-5.0 [MQTT-4.3.3-2] [MQTT-4.4.0-1]
#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_with_its_identifiers() {
    let mut world = World::new();
    let client = world.connect(&resume("c", 100));
    world.subscribe(client, 0, &[entry("t", 2)]);
    let publisher = world.client("p");
    for (qos, id, payload) in [(1, 1, "a"), (2, 2, "b"), (1, 3, "c"), (2, 4, "d"), (2, 5, "e"), (1, 6, "f")] {
        world.say(publisher, &publish("t", qos, id, payload));
    }
    let answers = [super::pubrec(4), super::puback(3), super::pubrec(2), super::pubcomp(2)].concat();
    world.say(client, &answers);
    world.0.cut(client);
    let (client, heard) = world.open(&resume("c", 100));
    assert_eq!(heard[1..], ["q1 #1 dup t=a", "PUBREL 4 00", "q2 #5 dup t=e", "q1 #6 dup t=f"]);
    // An identifier that was released is free, one that is in use is not.
    world.say(publisher, &publish("t", 1, 7, "g"));
    assert_eq!(world.hear(client), ["q1 #7 t=g"]);
}
