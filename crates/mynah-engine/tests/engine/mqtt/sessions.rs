//! Sessions: what is kept, for how long, who takes it over, and wills.

use super::{CLEAN, NEW, PRESENT, World, ack, again, connect, publish};

/// CONNECT flags and payload of a will on `will/t`: message `bye` with this QoS.
fn will(qos: u8, retain: bool) -> (u8, &'static [u8]) {
    (0x04 | qos << 3 | u8::from(retain) << 5, b"\0\x06will/t\0\x03bye")
}

//= mqtt-3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.2.2-2] [MQTT-4.1.0-1] [MQTT-4.5.0-1]
#[test]
fn a_session_and_what_came_for_it_wait_for_the_client() {
    let mut world = World::new();
    let client = world.connect(&connect(0, "c", b""), NEW);
    world.subscribe(client, &[("t/+", 2)]);
    world.0.cut(client);
    let publisher = world.client("p");
    world.say(publisher, &publish("t/a", 0, false, 0, "zero"));
    world.say(publisher, &publish("t/a", 1, false, 1, "one"));
    world.say(publisher, &publish("t/b", 2, false, 2, "two"));
    let stored = [publish("t/a", 1, false, 1, "one"), publish("t/b", 2, false, 2, "two")].concat();
    let client = world.connect(&connect(0, "c", b""), &[PRESENT, &stored].concat());
    world.say(client, &[ack(0x40, 1), ack(0x50, 2), ack(0x70, 2)].concat());
    world.0.cut(client);
    // Acknowledged once: nothing of it is left, and the subscription still is.
    let client = world.connect(&connect(0, "c", b""), PRESENT);
    world.say(publisher, &publish("t/c", 0, false, 0, "live"));
    assert_eq!(world.hear(client), publish("t/c", 0, false, 0, "live"));
}

//= mqtt-3.1.1 [MQTT-3.1.2-6] [MQTT-3.1.4-3] [MQTT-3.2.2-1] [MQTT-3.2.2-3]
#[test]
fn a_clean_session_finds_nothing_and_leaves_nothing() {
    let mut world = World::new();
    let first = world.connect(&connect(0, "c", b""), NEW);
    world.subscribe(first, &[("t", 1)]);
    world.say(first, b"\xe0\0");
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, false, 1, "stored"));
    let clean = world.connect(&connect(CLEAN, "c", b""), NEW);
    world.say(publisher, &publish("t", 1, false, 2, "missed"));
    assert_eq!(world.hear(clean), b"");
    world.subscribe(clean, &[("t", 1)]);
    world.say(clean, b"\xe0\0");
    world.say(publisher, &publish("t", 1, false, 3, "missed too"));
    world.connect(&connect(0, "c", b""), NEW);
}

//= mqtt-3.1.1 [MQTT-4.1.0-2]
#[test]
fn a_session_lasts_as_long_as_its_connection() {
    let mut world = World::new();
    let client = world.connect(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c", NEW);
    world.subscribe(client, &[("t", 0)]);
    world.0.advance(std::time::Duration::from_secs(1_000_000));
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, false, 0, "x"));
    assert_eq!(world.hear(client), publish("t", 0, false, 0, "x"));
}

//= mqtt-3.1.1 [MQTT-3.1.2-7]
#[test]
fn retained_messages_outlive_the_session_of_their_publisher() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, true, 0, "kept"));
    world.say(publisher, b"\xe0\0");
    world.connect(&connect(CLEAN, "p", b""), NEW);
    let subscriber = world.client("s");
    assert_eq!(world.subscribe(subscriber, &[("t", 0)]), publish("t", 0, true, 0, "kept"));
}

//= mqtt-3.1.1 [MQTT-3.1.3-2] [MQTT-3.1.4-2]
#[test]
fn an_identifier_is_one_session_and_the_newer_connection_has_it() {
    let mut world = World::new();
    let old = world.connect(&connect(0, "same", b""), NEW);
    let other = world.connect(&connect(0, "other", b""), NEW);
    world.subscribe(old, &[("t", 0)]);
    let new = world.connect(&connect(0, "same", b""), PRESENT);
    assert!(!world.0.is_connected(old) && world.0.is_connected(other));
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 0, false, 0, "x"));
    assert_eq!(world.hear(new), publish("t", 0, false, 0, "x"));
    assert_eq!((world.hear(old), world.hear(other)), (Vec::new(), Vec::new()));
}

//= mqtt-3.1.1 [MQTT-3.1.3-5]
#[test]
fn every_character_that_a_server_has_to_take_is_taken() {
    let mut world = World::new();
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for len in 1..=23 {
        for start in (0..all.len()).step_by(len) {
            let id = &all[start..(start + len).min(all.len())];
            world.connect(&connect(CLEAN, id, b""), NEW);
        }
    }
}

//= mqtt-3.1.1 [MQTT-3.1.3-6]
#[test]
fn clients_without_an_identifier_get_one_each() {
    let mut world = World::new();
    let clients: Vec<usize> = (0..5).map(|_| world.subscriber("", &[("t", 0)])).collect();
    let publisher = world.client("");
    world.say(publisher, &publish("t", 0, false, 0, "x"));
    for client in clients {
        assert_eq!(world.hear(client), publish("t", 0, false, 0, "x"), "nobody took it over");
    }
}

//= mqtt-3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.1.2-12] [MQTT-3.14.4-3]
#[test]
fn a_will_is_published_once_at_every_end_but_a_good_bye() {
    let (flags, rest) = will(0, false);
    let published = publish("will/t", 0, false, 0, "bye");
    let ends: [(&str, Option<&[u8]>, bool); 4] = [
        ("the network fails", None, true),
        ("a violation", Some(b"\xf0\0"), true),
        ("a take-over", Some(&connect(CLEAN, "c", b"")), true),
        ("a good-bye", Some(b"\xe0\0"), false),
    ];
    for (end, bytes, wanted) in ends {
        let mut world = World::new();
        let watcher = world.subscriber("w", &[("will/#", 0)]);
        let client = world.connect(&connect(flags, "c", rest), NEW);
        match bytes {
            None => world.0.cut(client),
            Some(connect) if connect[0] == 0x10 => {
                world.connect(connect, NEW);
            }
            Some(bytes) => {
                world.say(client, bytes);
            }
        }
        assert!(!world.0.is_connected(client), "{end}");
        assert_eq!(world.hear(watcher), if wanted { &published[..] } else { b"" }, "{end}");
        // The session was kept; its next connection has no will of its own.
        let client = world.0.accept(1);
        world.say(client, &connect(0, "c", b""));
        world.0.cut(client);
        assert_eq!(world.hear(watcher), b"", "{end}");
    }
}

//= mqtt-3.1.1 [MQTT-3.1.2-24]
#[test]
fn a_silent_client_counts_as_lost() {
    let (flags, rest) = will(0, false);
    let mut world = World::new();
    let watcher = world.connect(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01w", NEW);
    world.subscribe(watcher, &[("will/#", 0)]);
    let client = world.connect(&connect(flags | CLEAN, "c", rest), NEW);
    world.0.advance(std::time::Duration::from_secs(89));
    assert!(world.0.is_connected(client));
    world.0.advance(std::time::Duration::from_secs(2));
    assert!(!world.0.is_connected(client));
    assert_eq!(world.hear(watcher), publish("will/t", 0, false, 0, "bye"));
}

//= mqtt-3.1.1 [MQTT-3.1.2-9] [MQTT-3.1.2-16] [MQTT-3.1.2-17]
#[test]
fn a_will_has_the_qos_and_the_retention_that_were_asked_for() {
    for (qos, retain) in [(0, false), (1, true), (2, false), (2, true)] {
        let (flags, rest) = will(qos, retain);
        let mut world = World::new();
        let watcher = world.subscriber("w", &[("will/#", 2)]);
        let client = world.connect(&connect(flags | CLEAN, "c", rest), NEW);
        world.0.cut(client);
        assert_eq!(world.hear(watcher), publish("will/t", qos, false, 1, "bye"));
        let late = world.client("late");
        let kept = if retain { publish("will/t", qos, true, 1, "bye") } else { Vec::new() };
        assert_eq!(world.subscribe(late, &[("will/t", 2)]), kept);
    }
}

//= mqtt-3.1.1 [MQTT-2.3.1-4] [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_with_its_identifiers() {
    let mut world = World::new();
    let client = world.connect(&connect(0, "c", b""), NEW);
    world.subscribe(client, &[("t", 2)]);
    let publisher = world.client("p");
    for (qos, id, payload) in [(1, 1, "a"), (2, 2, "b"), (1, 3, "c"), (2, 4, "d"), (2, 5, "e"), (1, 6, "f")] {
        world.say(publisher, &publish("t", qos, false, id, payload));
    }
    world.say(client, &[ack(0x50, 4), ack(0x40, 3), ack(0x50, 2), ack(0x70, 2)].concat());
    world.0.cut(client);
    let again = [again("t", 1, 1, "a"), ack(0x62, 4), again("t", 2, 5, "e"), again("t", 1, 6, "f")].concat();
    let client = world.connect(&connect(0, "c", b""), &[PRESENT, &again].concat());
    // An identifier that was released is free, one that is in use is not.
    world.say(publisher, &publish("t", 1, false, 7, "g"));
    assert_eq!(world.hear(client), publish("t", 1, false, 7, "g"));
}

/// While the oldest delivery is unacknowledged, identifiers go round without it.
//= mqtt-3.1.1 [MQTT-2.3.1-4]
#[test]
fn an_identifier_in_use_is_not_given_to_another_delivery() {
    let mut world = World::new();
    let client = world.subscriber("c", &[("t", 1)]);
    let publisher = world.client("p");
    let id_of = |heard: &[u8]| {
        assert_eq!((heard.len(), &heard[..5]), (7, &b"\x32\x05\0\x01t"[..]));
        u16::from_be_bytes([heard[5], heard[6]])
    };
    for expected in (1..=65_535).chain(2..=9) {
        world.say(publisher, &publish("t", 1, false, 1, ""));
        let heard = world.hear(client);
        assert_eq!(id_of(&heard), expected);
        if expected != 1 {
            world.say(client, &[0x40, 2, heard[5], heard[6]]);
        }
    }
    world.say(client, &ack(0x40, 1));
}

/// MQTT 3.1 and 3.1.1 have one session between them.
#[test]
fn a_session_is_found_by_either_version() {
    let mut world = World::new();
    let older: &[u8] = b"\x10\x0f\0\x06MQIsdp\x03\0\0\x0a\0\x01c";
    let client = world.connect(older, NEW);
    world.subscribe(client, &[("t", 1)]);
    world.0.cut(client);
    let publisher = world.client("p");
    world.say(publisher, &publish("t", 1, false, 1, "x"));
    let client = world.connect(&connect(0, "c", b""), &[PRESENT, &publish("t", 1, false, 1, "x")].concat());
    world.0.cut(client);
    // The older version does not say that there was a session.
    world.connect(older, &[NEW, &again("t", 1, 1, "x")].concat());
}
