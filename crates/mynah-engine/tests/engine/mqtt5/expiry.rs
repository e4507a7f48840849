//! Message expiry: what waits too long is not delivered, what is delivered is told what remains, and what was sent is
//! completed.

use mynah_core::DropReason;
use mynah_mqtt::wire::properties::Property;

use super::{World, entry, pubcomp, publish, publish_with, pubrec, pubrel, receiving, resume, retain};

const NOTHING: [&str; 0] = [];

fn expiring(topic: &str, qos: u8, id: u16, payload: &str, seconds: u32) -> Vec<u8> {
    publish_with(topic, qos, id, payload, &[Property::MessageExpiryInterval(seconds)])
}

fn expired(world: &World) -> u64 {
    world.0.shared.all_counters().iter().map(|c| c.dropped(DropReason::Expired).read()).sum()
}

//= mqtt-5.0 [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn what_waited_is_told_what_remains_or_is_gone() {
    for qos in 1..=2 {
        let mut world = World::new();
        let client = world.connect(&resume("c", 1_000));
        world.subscribe(client, 0, &[entry("t", qos)]);
        world.0.cut(client);
        let publisher = world.client("p");
        for (id, payload, seconds) in [(1, "short", 5), (2, "long", 60), (3, "shorter", 1)] {
            world.say(publisher, &expiring("t", qos, id, payload, seconds));
        }
        world.say(publisher, &publish("t", qos, 4, "ever"));
        world.wait(10);
        let (_, heard) = world.open(&resume("c", 1_000));
        let delivered = [format!("q{qos} #1 t=long expiry=50"), format!("q{qos} #2 t=ever")];
        assert_eq!(heard[1..], delivered);
        assert_eq!(expired(&world), 2);
    }
}

/// What was not yet sent for want of room expires as well.
//= mqtt-5.0 [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn what_waits_for_room_expires_while_the_client_is_there() {
    let mut world = World::new();
    let client = world.connect(&receiving(resume("c", 0), 1));
    world.subscribe(client, 0, &[entry("t", 1)]);
    let publisher = world.client("p");
    for (id, payload, seconds) in [(1, "a", 5), (2, "b", 5), (3, "c", 50)] {
        world.say(publisher, &expiring("t", 1, id, payload, seconds));
    }
    assert_eq!(world.hear(client), ["q1 #1 t=a expiry=5"]);
    world.wait(20);
    assert_eq!(world.say(client, &super::puback(1)), ["q1 #2 t=c expiry=30"]);
}

//= mqtt-5.0 [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn a_retained_message_is_told_what_remains_and_then_is_gone() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &retain(expiring("t", 1, 1, "x", 30)));
    world.wait(10);
    let first = world.client("first");
    assert_eq!(world.subscribe(first, 0, &[entry("t", 1)]), ["q1 #1 retain t=x expiry=20"]);
    world.wait(21);
    let second = world.client("second");
    assert_eq!(world.subscribe(second, 0, &[entry("t", 1)]), NOTHING);
}

//= mqtt-5.0 [MQTT-3.3.2-6]
#[test]
fn what_is_delivered_at_once_has_all_of_its_time() {
    let mut world = World::new();
    let subscriber = world.subscriber("s", &[entry("t", 0)]);
    let publisher = world.client("p");
    for seconds in [1, 4_000_000_000] {
        world.say(publisher, &expiring("t", 0, 0, "x", seconds));
        assert_eq!(world.hear(subscriber), [format!("q0 t=x expiry={seconds}")]);
    }
}

//= mqtt-5.0 [MQTT-4.3.3-7]
#[test]
fn what_was_sent_with_qos_2_is_completed_however_old_it_is() {
    let mut world = World::new();
    let client = world.connect(&resume("c", 1_000));
    world.subscribe(client, 0, &[entry("t", 2)]);
    let publisher = world.client("p");
    world.say(publisher, &expiring("t", 2, 1, "sent", 5));
    world.say(publisher, &expiring("t", 2, 2, "received", 5));
    assert_eq!(world.hear(client), ["q2 #1 t=sent expiry=5", "q2 #2 t=received expiry=5"]);
    assert_eq!(world.say(client, &pubrec(2)), ["PUBREL 2 00"]);
    world.0.cut(client);
    world.wait(100);
    let (client, heard) = world.open(&resume("c", 1_000));
    assert!(heard[1].starts_with("q2 #1 dup t=sent"), "{heard:?}");
    assert_eq!(heard[2..], ["PUBREL 2 00"]);
    assert_eq!(world.say(client, &[pubrec(1), pubcomp(2)].concat()), ["PUBREL 1 00"]);
    world.say(client, &pubcomp(1));
    assert_eq!(expired(&world), 0);
}

//= mqtt-5.0 [MQTT-4.3.3-13]
#[test]
fn an_exchange_goes_on_when_its_message_has_expired() {
    let mut world = World::new();
    let away = world.connect(&resume("away", 1_000));
    world.subscribe(away, 0, &[entry("t", 2)]);
    world.0.cut(away);
    let publisher = world.client("p");
    assert_eq!(world.say(publisher, &expiring("t", 2, 7, "x", 5)), ["PUBREC 7 00"]);
    world.wait(10);
    assert_eq!(world.open(&resume("away", 1_000)).1, ["CONNACK 00 present"], "it has expired");
    assert_eq!(world.say(publisher, &super::again(expiring("t", 2, 7, "x", 5))), ["PUBREC 7 00"]);
    assert_eq!(world.say(publisher, &pubrel(7)), ["PUBCOMP 7 00"]);
}
