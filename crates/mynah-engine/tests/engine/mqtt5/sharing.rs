//! Shared subscriptions of MQTT 5.0 clients: whose turn it is, and what becomes of a message whose member fails it.

use mynah_core::DropReason;
use mynah_mqtt::wire::AckType;

use super::{World, ack, connect, disconnect, entry, puback, pubcomp, publish, pubrec, receiving, resume};

const NOTHING: [&str; 0] = [];

/// Members `m0`, `m1` and so on of a group for `t/#`, whose subscriptions have the identifiers 1, 2 and so on.
fn group(world: &mut World, count: usize, qos: u8) -> Vec<usize> {
    let mut member = |n: usize| {
        let peer = world.connect(&resume(&format!("m{n}"), 100));
        assert_eq!(world.subscribe(peer, n as u32 + 1, &[entry("$share/g/t/#", qos)]), NOTHING);
        peer
    };
    (0..count).map(&mut member).collect()
}

fn say_all(world: &mut World, publisher: usize, qos: u8, payloads: &[&str]) {
    for (payload, id) in payloads.iter().zip(1..) {
        world.say(publisher, &publish("t/x", qos, id, payload));
        if qos == 2 {
            world.say(publisher, &super::pubrel(id));
        }
    }
}

//= mqtt-5.0 [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn members_of_all_workers_take_turns() {
    for qos in 0..=2 {
        let mut world = World::new();
        let members = group(&mut world, 4, 2);
        let workers: std::collections::BTreeSet<usize> =
            members.iter().map(|&member| world.0.worker_of(member)).collect();
        assert!(workers.len() > 1);
        let alone = world.subscriber("alone", &[entry("t/#", 0)]);
        let publisher = world.client("p");
        say_all(&mut world, publisher, qos, &["0", "1", "2", "3", "4", "5", "6", "7"]);
        for (n, &member) in members.iter().enumerate() {
            let number = |id: u16| if qos == 0 { String::new() } else { format!(" #{id}") };
            let expected = [(1, n), (2, n + 4)]
                .map(|(id, payload)| format!("q{qos}{} t/x={payload} id={}", number(id), n + 1));
            assert_eq!(world.hear(member), expected);
        }
        assert_eq!(world.hear(alone).len(), 8, "who does not share gets all");
    }
}

//= mqtt-5.0 [MQTT-4.8.2-3]
#[test]
fn each_member_has_the_qos_that_it_was_granted() {
    let mut world = World::new();
    let members: Vec<usize> =
        (0..3_u8).map(|qos| world.subscriber(&format!("m{qos}"), &[entry("$share/g/t", qos)])).collect();
    let publisher = world.client("p");
    for id in 1..=3 {
        world.say(publisher, &publish("t", 2, id, "x"));
    }
    for (member, expected) in members.into_iter().zip(["q0 t=x", "q1 #1 t=x", "q2 #1 t=x"]) {
        assert_eq!(world.hear(member), [expected]);
    }
}

#[test]
fn retained_messages_are_not_sent_for_a_shared_subscription() {
    let mut world = World::new();
    let publisher = world.client("p");
    world.say(publisher, &super::retain(publish("t/x", 1, 1, "kept")));
    let members = group(&mut world, 1, 1);
    world.say(publisher, &publish("t/x", 0, 0, "live"));
    assert_eq!(world.hear(members[0]), ["q0 t/x=live id=1"]);
}

#[test]
fn members_that_are_away_get_only_what_nobody_else_can_take() {
    let mut world = World::new();
    let members = group(&mut world, 3, 1);
    let publisher = world.client("p");
    world.0.cut(members[0]);
    world.say(members[1], &disconnect(0, None));
    say_all(&mut world, publisher, 1, &["a", "b", "c"]);
    assert_eq!(world.hear(members[2]), ["q1 #1 t/x=a id=3", "q1 #2 t/x=b id=3", "q1 #3 t/x=c id=3"]);
    world.say(members[2], &[puback(1), puback(2), puback(3)].concat());
    world.0.cut(members[2]);
    say_all(&mut world, publisher, 1, &["d", "e", "f"]);
    let mut heard: Vec<String> =
        (0..3).flat_map(|n| world.open(&resume(&format!("m{n}"), 100)).1.split_off(1)).collect();
    heard.sort_by_key(|text| text.split_once('=').unwrap().1.to_owned());
    let payloads: Vec<&str> = heard.iter().map(|text| &text[text.find('=').unwrap() + 1..][..1]).collect();
    assert_eq!(payloads, ["d", "e", "f"]);
}

#[test]
fn what_a_dead_member_had_not_acknowledged_goes_to_another_but_not_qos_2() {
    let mut world = World::new();
    let members = group(&mut world, 2, 2);
    let publisher = world.client("p");
    for (id, qos) in [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (6, 0)] {
        world.say(publisher, &publish("t/x", qos, id, &id.to_string()));
    }
    assert_eq!(world.hear(members[0]), ["q1 #1 t/x=1 id=1", "q2 #2 t/x=3 id=1", "q1 #3 t/x=5 id=1"]);
    assert_eq!(world.hear(members[1]), ["q1 #1 t/x=2 id=2", "q1 #2 t/x=4 id=2", "q0 t/x=6 id=2"]);
    world.say(members[0], &puback(3));
    world.0.cut(members[0]);
    assert_eq!(world.hear(members[1]), ["q1 #3 t/x=1 id=2"], "new to this member");
    //= mqtt-5.0 [MQTT-4.8.2-4]
    let (back, heard) = world.open(&resume("m0", 100));
    assert_eq!(heard, ["CONNACK 00 present", "q2 #2 dup t/x=3 id=1"]);
    assert_eq!(world.say(back, &pubrec(2)), ["PUBREL 2 00"]);
    world.0.cut(back);
    let (back, heard) = world.open(&resume("m0", 100));
    assert_eq!(heard, ["CONNACK 00 present", "PUBREL 2 00"]);
    world.say(back, &pubcomp(2));
    assert_eq!(world.hear(members[1]), NOTHING);
}

//= mqtt-5.0 [MQTT-4.8.2-5]
#[test]
fn a_qos_2_message_that_was_sent_ends_with_its_session() {
    for how in ["DISCONNECT", "expiry", "clean start"] {
        let mut world = World::new();
        let members = group(&mut world, 2, 2);
        let publisher = world.client("p");
        say_all(&mut world, publisher, 2, &["a"]);
        assert_eq!(world.hear(members[0]), ["q2 #1 t/x=a id=1"]);
        match how {
            "DISCONNECT" => drop(world.say(members[0], &disconnect(0, Some(0)))),
            "expiry" => {
                world.0.cut(members[0]);
                world.wait(101);
            }
            _ => drop(world.connect(&connect("m0"))),
        }
        assert_eq!(world.hear(members[1]), NOTHING, "{how}");
        assert_eq!(world.open(&resume("m0", 100)).1, ["CONNACK 00 new"], "{how}");
        let dropped =
            world.0.shared.all_counters().iter().map(|c| c.dropped(DropReason::SessionEnded).read());
        assert_eq!(dropped.sum::<u64>(), 1, "{how}");
    }
}

/// What had no room yet was not sent: it goes to another also at QoS 2.
//= mqtt-5.0 [MQTT-4.8.2-4] [MQTT-4.8.2-5]
#[test]
fn a_qos_2_message_that_was_not_sent_goes_to_another() {
    let mut world = World::new();
    let first = world.connect(&receiving(resume("first", 100), 1));
    let second = world.connect(&resume("second", 100));
    for member in [first, second] {
        world.subscribe(member, 0, &[entry("$share/g/t/#", 2)]);
    }
    let publisher = world.client("p");
    say_all(&mut world, publisher, 2, &["a", "b", "c", "d"]);
    assert_eq!(world.hear(first), ["q2 #1 t/x=a"]);
    assert_eq!(world.hear(second), ["q2 #1 t/x=b", "q2 #2 t/x=d"]);
    world.0.cut(first);
    assert_eq!(world.hear(second), ["q2 #3 t/x=c"]);
    assert_eq!(world.open(&resume("first", 100)).1, ["CONNACK 00 present", "q2 #1 dup t/x=a"]);
}

//= mqtt-5.0 [MQTT-4.8.2-6]
#[test]
fn what_a_member_refuses_is_discarded() {
    for (qos, refusal) in [(1, AckType::Puback), (2, AckType::Pubrec)] {
        for code in [0x80, 0x83, 0x87, 0x97, 0x99] {
            let mut world = World::new();
            let members = group(&mut world, 2, 2);
            let publisher = world.client("p");
            say_all(&mut world, publisher, qos, &["a"]);
            assert_eq!(world.hear(members[0]), [format!("q{qos} #1 t/x=a id=1")]);
            assert_eq!(world.say(members[0], &ack(refusal, 1, code)), NOTHING);
            // Neither now, nor when the member goes, nor when it comes again.
            world.0.cut(members[0]);
            assert_eq!(world.hear(members[1]), NOTHING);
            assert_eq!(world.open(&resume("m0", 100)).1, ["CONNACK 00 present"]);
        }
    }
    // An acknowledgement below 0x80 refuses nothing.
    let mut world = World::new();
    let members = group(&mut world, 2, 2);
    let publisher = world.client("p");
    say_all(&mut world, publisher, 2, &["a"]);
    world.hear(members[0]);
    assert_eq!(world.say(members[0], &ack(AckType::Pubrec, 1, 0x10)), ["PUBREL 1 00"]);
}

#[test]
fn who_unsubscribes_shares_no_longer_and_completes_what_it_has() {
    let mut world = World::new();
    let members = group(&mut world, 2, 1);
    let publisher = world.client("p");
    say_all(&mut world, publisher, 1, &["a"]);
    assert_eq!(world.hear(members[0]), ["q1 #1 t/x=a id=1"]);
    world.unsubscribe(members[0], "$share/g/t/#");
    say_all(&mut world, publisher, 1, &["b", "c"]);
    assert_eq!(world.hear(members[1]), ["q1 #1 t/x=b id=2", "q1 #2 t/x=c id=2"]);
    assert_eq!(world.say(members[0], &puback(1)), NOTHING);
    world.unsubscribe(members[1], "$share/g/t/#");
    assert_eq!(world.say(publisher, &publish("t/x", 1, 9, "d")), ["PUBACK 9 10"], "nobody is left");
}
