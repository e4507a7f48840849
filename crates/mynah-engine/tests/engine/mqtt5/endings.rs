//! How connections and sessions end: take-over, shutdown, keep-alive, and how long a session outlives its connection.

use std::time::Duration;

use mynah_model::Limits;
use mynah_mqtt::Settings;
use mynah_mqtt::wire::Connect;

use super::{World, connect, disconnect, encoded, entry, publish, resume};

//= mqtt-5.0 [MQTT-3.1.4-3] [MQTT-3.1.3-2]
#[test]
fn the_newer_connection_has_the_session_and_the_older_is_told() {
    let mut world = World::new();
    let old = world.connect(&resume("c", 100));
    world.subscribe(old, 0, &[entry("t", 1)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, 1, "x"));
    assert_eq!(world.hear(old), ["q1 #1 t=x"]);
    let (new, heard) = world.open(&resume("c", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q1 #1 dup t=x"]);
    assert_eq!(world.hear(old), ["DISCONNECT 8e"]);
    assert!(!world.0.is_connected(old));
    world.say(publisher, &publish("t", 0, 0, "y"));
    assert_eq!(world.hear(new), ["q0 t=y"]);
}

//= mqtt-5.0 [MQTT-3.1.2-4]
#[test]
fn a_clean_start_discards_the_session_of_a_connection_that_is_open() {
    let mut world = World::new();
    let old = world.connect(&resume("c", 100));
    world.subscribe(old, 0, &[entry("t", 1)]);
    let new = world.connect(&Connect { clean_session: true, ..resume("c", 100) });
    assert_eq!(world.hear(old), ["DISCONNECT 8e"]);
    let publisher = world.client("p");
    assert_eq!(world.say(publisher, &publish("t", 1, 1, "x")), ["PUBACK 1 10"]);
    assert!(world.hear(new).is_empty());
}

#[test]
fn at_shutdown_everybody_is_told_and_where_to_go() {
    for (server_reference, told) in
        [(None, "DISCONNECT 8b"), (Some("other:1883"), "DISCONNECT 9c other:1883")]
    {
        let server_reference = server_reference.map(Into::into);
        let mut world =
            World::with(2, Settings { server_reference, ..Settings::default() }, Limits::default());
        let clients: Vec<usize> = (0..4).map(|n| world.client(&format!("c{n}"))).collect();
        let now = world.0.now;
        world.0.engines.iter_mut().for_each(|engine| engine.handle_shutdown(now));
        world.0.settle();
        for client in clients {
            assert_eq!(world.hear(client), [told]);
            assert!(!world.0.is_connected(client));
        }
    }
}

//= mqtt-5.0 [MQTT-3.1.2-22]
#[test]
fn a_silent_client_is_told_and_counts_as_lost() {
    let mut world = World::new();
    let watcher = world.subscriber("w", &[entry("will/#", 0)]);
    let client = Connect { keep_alive: 10, ..super::willing(connect("c"), 0, false, Default::default()) };
    let client = world.connect(&client);
    world.wait(14);
    assert_eq!(world.say(client, b"\xc0\0"), ["PINGRESP"]);
    world.wait(14);
    assert!(world.0.is_connected(client));
    world.wait(2);
    assert_eq!(world.hear(client), ["DISCONNECT 8d"]);
    assert_eq!(world.hear(watcher), ["q0 will/t=bye"]);
    assert!(world.0.is_connected(watcher), "who promised nothing owes nothing");
}

//= mqtt-5.0 [MQTT-3.1.2-22]
#[test]
fn the_keep_alive_of_the_server_counts() {
    let keep_alive_max = std::num::NonZeroU16::new(20);
    let mut world = World::with(2, Settings { keep_alive_max, ..Settings::default() }, Limits::default());
    for keep_alive in [0, 21, 65_535] {
        let (client, heard) = world.open(&Connect { keep_alive, ..connect("c") });
        assert_eq!(heard, ["CONNACK 00 new keep-alive=20"]);
        world.wait(29);
        assert!(world.0.is_connected(client));
        world.wait(2);
        assert_eq!(world.hear(client), ["DISCONNECT 8d"]);
    }
    assert_eq!(world.open(&Connect { keep_alive: 20, ..connect("c") }).1, ["CONNACK 00 new"]);
}

//= mqtt-5.0 [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-3.1.2-23]
#[test]
fn a_session_lasts_as_long_as_its_connection_and_its_expiry_interval() {
    let mut world = World::new();
    let client = world.connect(&resume("c", 100));
    world.subscribe(client, 0, &[entry("t", 1)]);
    world.wait(1_000_000);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, 1, "x"));
    assert_eq!(world.hear(client), ["q1 #1 t=x"], "not while the connection is open");
    world.0.cut(client);
    world.wait(99);
    let (client, heard) = world.open(&resume("c", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q1 #1 dup t=x"]);
    world.0.cut(client);
    world.wait(99);
    assert_eq!(world.0.shared.sizes().filters, 1, "the interval begins anew");
    world.wait(2);
    assert_eq!(world.0.shared.sizes().filters, 0);
    assert_eq!(world.say(publisher, &publish("t", 1, 2, "y")), ["PUBACK 2 10"]);
    assert_eq!(world.open(&resume("c", 100)).1, ["CONNACK 00 new"]);
}

//= mqtt-5.0 [MQTT-3.1.2-23] [MQTT-4.1.0-2]
#[test]
fn disconnect_may_change_how_long_the_session_lasts() {
    for (asked, said, waited, kept) in [
        (100, None, 99, true),
        (100, Some(0), 0, false),
        (100, Some(10), 11, false),
        (10, Some(1_000), 900, true),
        (10, Some(u32::MAX), 4_000_000_000_u64, true),
    ] {
        let mut world = World::new();
        let client = world.connect(&resume("c", asked));
        world.say(client, &disconnect(0, said));
        world.0.advance(Duration::from_secs(waited));
        let expected = if kept { "CONNACK 00 present" } else { "CONNACK 00 new" };
        assert_eq!(world.open(&resume("c", asked)).1, [expected], "{asked} {said:?} {waited}");
    }
    // It cannot begin what CONNECT did not ask for.
    let mut world = World::new();
    let client = world.client("c");
    assert_eq!(world.say(client, &disconnect(0, Some(10))), ["DISCONNECT 82"]);
}

/// One session for all versions: what a client of MQTT 5.0 left, one of MQTT 3.1.1 finds.
#[test]
fn a_session_is_found_by_either_version() {
    let mut world = World::new();
    let client = world.connect(&resume("c", 100));
    world.subscribe(client, 7, &[entry("t", 1)]);
    world.0.cut(client);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, 1, "x"));
    let older = world.0.accept(0);
    world.0.send(older, b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01c");
    world.0.settle();
    assert_eq!(world.0.hear_bytes(older), b"\x20\x02\x01\0\x32\x06\0\x01t\0\x01x");
    let (_, heard) = world.open(&resume("c", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q1 #1 dup t=x id=7"]);
}

/// Errors that only the broker finds end the connection with their code.
#[test]
fn a_violation_that_the_broker_finds_is_told() {
    let mut world = World::new();
    let client = world.connect(&connect("c"));
    world.subscribe(client, 0, &[entry("t", 2)]);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 2, 1, "x"));
    assert_eq!(world.hear(client), ["q2 #1 t=x"]);
    assert_eq!(world.say(client, &super::puback(1)), ["DISCONNECT 82"]);
    let second = world.client("second");
    assert_eq!(world.say(second, &encoded(|out| connect("second").encode(out))), ["DISCONNECT 82"]);
    assert!(!world.0.is_connected(second));
}
