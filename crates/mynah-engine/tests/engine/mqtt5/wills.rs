//! Wills: retention, properties, and their delay against the client's return and the session's end.

use mynah_model::{Limits, UserProperties};
use mynah_mqtt::Settings;
use mynah_mqtt::wire::properties::{Property, WillProperties};

use super::{World, connect, disconnect, encoded, entry, resume, willing};

const NOTHING: [&str; 0] = [];

fn delayed(seconds: u32) -> WillProperties<'static> {
    WillProperties { will_delay_interval: Some(seconds), ..WillProperties::default() }
}

/// A world with somebody who watches wills, and sees the retain flag that they were published with.
fn watched() -> (World, usize) {
    let mut world = World::new();
    let wanted = mynah_mqtt::wire::SubscribeEntry { retain_as_published: true, ..entry("will/#", 2) };
    let watcher = world.subscriber("w", &[wanted]);
    (world, watcher)
}

//= mqtt-5.0 [MQTT-3.1.2-14] [MQTT-3.1.2-15]
#[test]
fn a_will_has_the_qos_and_the_retention_that_were_asked_for() {
    for (qos, is_retained, live) in
        [(0, false, "q0 will/t=bye"), (1, true, "q1 #1 retain will/t=bye"), (2, false, "q2 #1 will/t=bye")]
    {
        let (mut world, watcher) = watched();
        let client = world.connect(&willing(connect("c"), qos, is_retained, WillProperties::default()));
        world.0.cut(client);
        assert_eq!(world.hear(watcher), [live]);
        let late = world.client("late");
        let kept: &[&str] = if is_retained { &[live] } else { &[] };
        assert_eq!(world.subscribe(late, 0, &[entry("will/t", 2)]), kept);
    }
}

//= mqtt-5.0 [MQTT-3.1.3-10]
#[test]
fn a_will_has_its_properties_and_their_order() {
    let pairs = [("b", "1"), ("a", "2"), ("b", "0"), ("a", "2")];
    let user = encoded(|out| pairs.iter().for_each(|&pair| Property::UserProperty(pair).encode(out)));
    let user: UserProperties<'_> = mynah_mqtt::wire::properties::user_properties(&user);
    let properties = WillProperties {
        will_delay_interval: Some(3),
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        content_type: Some("text"),
        response_topic: Some("r"),
        correlation_data: Some(b"7"),
        user,
    };
    let (mut world, watcher) = watched();
    let client = world.connect(&willing(resume("c", 100), 0, false, properties));
    world.0.cut(client);
    world.wait(4);
    let heard = world.hear(watcher).concat();
    for part in ["q0 will/t=bye", " text=true", " expiry=60", " type=text", " reply=r", " correlation=7"] {
        assert!(heard.contains(part), "{heard}: {part}");
    }
    assert!(heard.ends_with(" b:1 a:2 b:0 a:2"), "{heard}");
}

//= mqtt-5.0 [MQTT-3.1.3-9]
#[test]
fn who_is_back_before_the_delay_is_over_leaves_no_will() {
    let (mut world, watcher) = watched();
    let client = world.connect(&willing(resume("c", 100), 0, false, delayed(10)));
    world.0.cut(client);
    world.wait(9);
    let (client, _) = world.open(&resume("c", 100));
    world.wait(50);
    assert_eq!(world.hear(watcher), NOTHING);
    world.0.cut(client);
    world.wait(200);
    assert_eq!(world.hear(watcher), NOTHING, "the new connection has no will");
}

//= mqtt-5.0 [MQTT-3.1.2-8]
#[test]
fn a_will_comes_when_its_delay_or_the_session_is_over_whichever_is_first() {
    for (expiry, delay, silent, told) in [(100, 3, 2, 2), (5, 60, 4, 2), (100, 0, 0, 0), (0, 60, 0, 0)] {
        let (mut world, watcher) = watched();
        let client = world.connect(&willing(resume("c", expiry), 0, false, delayed(delay)));
        world.0.cut(client);
        if silent > 0 {
            world.wait(silent);
            assert_eq!(world.hear(watcher), NOTHING, "expiry {expiry}, delay {delay}");
        }
        world.wait(told);
        assert_eq!(world.hear(watcher), ["q0 will/t=bye"], "expiry {expiry}, delay {delay}");
        world.wait(200);
        assert_eq!(world.hear(watcher), NOTHING, "once");
    }
}

//= mqtt-5.0 [MQTT-3.1.2-8]
#[test]
fn a_clean_start_ends_the_session_and_publishes_the_will_that_waited() {
    let (mut world, watcher) = watched();
    let client = world.connect(&willing(resume("c", 100), 0, false, delayed(50)));
    world.0.cut(client);
    world.connect(&connect("c"));
    assert_eq!(world.hear(watcher), ["q0 will/t=bye"]);
}

//= mqtt-5.0 [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[test]
fn disconnect_says_whether_the_will_is_wanted_and_how_long_the_session_lasts() {
    for (packet, after_0, after_9) in [
        (disconnect(0x00, None), 0, 0),
        (disconnect(0x04, None), 0, 1),
        // The session is over at once, and the will with it.
        (disconnect(0x04, Some(0)), 1, 0),
        (disconnect(0x00, Some(0)), 0, 0),
    ] {
        let (mut world, watcher) = watched();
        let client = world.connect(&willing(resume("c", 100), 0, false, delayed(8)));
        assert_eq!(world.say(client, &packet), NOTHING);
        assert!(!world.0.is_connected(client));
        assert_eq!(world.hear(watcher).len(), after_0, "{packet:?}");
        world.wait(9);
        assert_eq!(world.hear(watcher).len(), after_9, "{packet:?}");
    }
}

/// The broker's bound on how long sessions last holds for wills as well, and clients are told of it.
//= mqtt-5.0 [MQTT-3.1.2-8]
#[test]
fn a_delay_ends_with_the_session_that_the_broker_grants() {
    let limits = Limits { session_expiry_max: Some(std::time::Duration::from_secs(5)), ..Limits::default() };
    let mut world = World::with(2, Settings::default(), limits);
    let watcher = world.subscriber("w", &[entry("will/#", 0)]);
    let (client, heard) = world.open(&willing(resume("c", 100), 0, false, delayed(50)));
    assert_eq!(heard, ["CONNACK 00 new expiry=5"]);
    world.0.cut(client);
    world.wait(6);
    assert_eq!(world.hear(watcher), ["q0 will/t=bye"]);
    assert_eq!(world.open(&resume("c", 0)).1, ["CONNACK 00 new"]);
}
