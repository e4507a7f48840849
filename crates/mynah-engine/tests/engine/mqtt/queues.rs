//! `$queue/NAME` for clients before MQTT 5.0, which hear nothing of the topic that a message was published to.

use super::{World, ack, again, publish};

#[test]
fn clients_of_mqtt_3_1_1_consume_from_a_queue() {
    let mut world = World::new();
    let one = world.subscriber("one", &[("$queue/jobs", 1)]);
    let other = world.subscriber("other", &[("$queue/jobs", 2)]);
    let publisher = world.client("p");
    for (n, payload) in ["a", "b", "c"].iter().enumerate() {
        assert_eq!(world.say(publisher, &publish("$queue/jobs", 2, true, 1, payload)), ack(0x50, 1), "{n}");
        assert_eq!(world.say(publisher, &ack(0x62, 1)), ack(0x70, 1));
    }
    assert_eq!(
        world.hear(one),
        [publish("$queue/jobs", 1, false, 1, "a"), publish("$queue/jobs", 1, false, 2, "c")].concat()
    );
    assert_eq!(world.hear(other), publish("$queue/jobs", 2, false, 1, "b"));
    world.say(one, &ack(0x40, 1));
    assert_eq!(world.say(other, &ack(0x50, 1)), ack(0x62, 1));
    world.0.cut(one);
    assert_eq!(world.hear(other), again("$queue/jobs", 2, 2, "c"));
}
