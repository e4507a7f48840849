//! `$queue/NAME`: a session that subscribes to it consumes from the queue while it is connected.

use std::sync::Arc;

use mynah_core::rules::Action;
use mynah_model::Limits;
use mynah_mqtt::wire::AckType;
use mynah_mqtt::wire::properties::Property;
use mynah_mqtt::{Config, Mqtt, Settings};

use super::{
    World, ack, again, connect, disconnect, entry, puback, pubcomp, publish, publish_with, pubrec, pubrel,
    receiving, resume, retain,
};
use crate::broker::{Broker, settings};
use crate::rules::rule;

/// Brokers of one worker and of several: what is heard is the same. Behind the second listener lines are spoken.
fn worlds() -> [World; 2] {
    [1, 3].map(|workers| World(Broker::with(both(workers))))
}

fn both(workers: u16) -> mynah_engine::Settings {
    let mut settings = settings(workers, Limits::default());
    settings.listeners[0].protocol = Arc::new(Mqtt::new(Config::new(Settings::default()).unwrap()));
    settings.listeners[1].anonymous = true;
    settings
}

/// A peer that speaks lines.
fn lines(world: &mut World) -> usize {
    let peer = world.0.try_accept(0, 1).unwrap();
    world.0.say(peer, "open lines go");
    world.0.hear(peer);
    peer
}

fn says(world: &mut World, peer: usize, lines: &str) -> String {
    world.0.say(peer, lines);
    world.0.hear(peer)
}

/// Puts something into the queue by its name.
fn put(world: &mut World, publisher: usize, payload: &str) {
    let heard = world.say(publisher, &publish("$queue/jobs", 1, 7, payload));
    assert_eq!(heard.last().unwrap(), "PUBACK 7 00");
}

#[test]
fn sessions_that_subscribe_to_a_queue_share_what_is_in_it() {
    for mut world in worlds() {
        let one = world.subscriber("one", &[entry("$queue/jobs", 1)]);
        let other = world.subscriber("other", &[entry("$queue/jobs", 2)]);
        let publisher = world.client("p");
        for n in 0..4 {
            put(&mut world, publisher, &n.to_string());
        }
        assert_eq!(world.hear(one), ["q1 #1 $queue/jobs=0", "q1 #2 $queue/jobs=2"]);
        assert_eq!(world.hear(other), ["q1 #1 $queue/jobs=1", "q1 #2 $queue/jobs=3"]);
        // What is settled does not come back, and the rest goes to who is left, with a mark that it may be known.
        world.say(one, &puback(2));
        world.0.cut(one);
        assert_eq!(world.hear(other), ["q1 #3 dup $queue/jobs=0"]);
        world.say(other, &disconnect(0, None));
        let lines = lines(&mut world);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 3 0\n");
        assert_eq!(
            says(&mut world, lines, "eat 1 jobs *"),
            "eating 1\nlease 1 1 again 2 1 $queue/jobs 0\nlease 1 2 again 1 0 $queue/jobs 1\n\
             lease 1 3 again 1 0 $queue/jobs 3\n"
        );
    }
}

#[test]
fn a_message_shows_the_topic_that_it_was_published_to_unless_it_went_to_the_queue() {
    for mut world in worlds() {
        let peer = world.client("s");
        assert_eq!(world.subscribe(peer, 5, &[entry("$queue/jobs", 1)]), [""; 0]);
        let lines = lines(&mut world);
        says(&mut world, lines, "bind jobs t/+");
        let publisher = world.client("p");
        let said = [Property::UserProperty(("mynah-topic", "forged")), Property::UserProperty(("a", "b"))];
        world.say(publisher, &publish_with("t/x", 1, 1, "topic", &said));
        world.say(publisher, &retain(publish_with("$queue/jobs", 1, 2, "name", &said)));
        says(&mut world, lines, "pub t/y 0 - lines\nput jobs 1 put");
        assert_eq!(
            world.hear(peer),
            [
                "q1 #1 $queue/jobs=topic id=5 a:b mynah-topic:t/x",
                "q1 #2 $queue/jobs=name id=5 a:b",
                "q0 $queue/jobs=lines id=5 mynah-topic:t/y",
                "q1 #3 $queue/jobs=put id=5",
            ]
        );
        // What needs no acknowledgement left the queue when it was written.
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 0 1\n");
        world.0.cut(peer);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 3 0\n");
    }
}

#[test]
fn a_queue_takes_no_wildcard_no_share_and_no_local_exception() {
    for mut world in worlds() {
        let peer = world.client("s");
        for (filter, no_local, code) in [
            ("$queue/+", false, "8f"),
            ("$queue/#", false, "8f"),
            ("$queue", false, "8f"),
            ("$share/g/$queue/jobs", false, "8f"),
            ("$exchange/e/k", false, "8f"),
            ("$queue/jobs", true, "83"),
        ] {
            let entry = mynah_mqtt::wire::SubscribeEntry { no_local, ..entry(filter, 1) };
            let properties = Some(Default::default());
            let entries = vec![super::entry("t", 0), entry, super::entry("$queue/jobs", 2)];
            let subscribe =
                mynah_mqtt::wire::Subscribe { packet_id: super::packet_id(9), properties, entries };
            let heard = world.say(peer, &super::encoded(|out| subscribe.encode(out)));
            assert_eq!(heard, [format!("SUBACK 9 00 {code} 02")], "{filter}");
        }
    }
}

#[test]
fn queues_and_the_session_together_deliver_no_more_than_the_client_takes() {
    for mut world in worlds() {
        let peer = world.connect(&receiving(connect("s"), 2));
        world.subscribe(peer, 0, &[entry("$queue/jobs", 1), entry("t", 1)]);
        let publisher = world.client("p");
        world.say(publisher, &publish("t", 1, 1, "a"));
        for n in 0..4 {
            put(&mut world, publisher, &n.to_string());
        }
        world.say(publisher, &publish("t", 1, 1, "b"));
        let mut heard = world.hear(peer);
        assert_eq!(heard, ["q1 #1 t=a", "q1 #2 $queue/jobs=0"]);
        for id in 1..=6 {
            let more = world.say(peer, &puback(id));
            assert_eq!(more.len(), usize::from(id <= 4), "{id}: {more:?}");
            heard.extend(more);
        }
        let of = |topic: &str| heard.iter().filter(|line| line.contains(topic)).count();
        assert_eq!((of(" t="), of("$queue/jobs=")), (2, 4));
    }
}

#[test]
fn an_error_in_the_acknowledgement_makes_a_dead_letter() {
    for mut world in worlds() {
        let lines = lines(&mut world);
        says(&mut world, lines, "declare grave -\ndeclare jobs dead=grave");
        let peer = world.subscriber("s", &[entry("$queue/jobs", 2)]);
        says(&mut world, lines, "put jobs 1 one\nput jobs 2 two\nput jobs 2 three");
        assert_eq!(
            world.hear(peer),
            ["q1 #1 $queue/jobs=one", "q2 #2 $queue/jobs=two", "q2 #3 $queue/jobs=three"]
        );
        let refused = [ack(AckType::Puback, 1, 0x80), ack(AckType::Pubrec, 2, 0x83)].concat();
        assert_eq!(world.say(peer, &refused), [""; 0]);
        assert_eq!(world.say(peer, &pubrec(3)), ["PUBREL 3 00"]);
        assert_eq!(says(&mut world, lines, "present grave"), "declared grave 2 0\n");
        assert_eq!(world.say(peer, &pubcomp(3)), [""; 0]);
        world.0.cut(peer);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 0 0\n");
    }
}

#[test]
fn an_answer_that_does_not_fit_ends_the_connection_and_the_message_goes_back() {
    for mut world in worlds() {
        let peer = world.subscriber("s", &[entry("$queue/jobs", 1)]);
        let publisher = world.client("p");
        put(&mut world, publisher, "x");
        world.hear(peer);
        assert_eq!(world.say(peer, &pubrec(1)), ["DISCONNECT 82"]);
        let lines = lines(&mut world);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 1 0\n");
    }
}

#[test]
fn a_session_that_comes_back_consumes_again_and_ends_what_it_had_received() {
    for mut world in worlds() {
        let peer = world.connect(&resume("s", 100));
        world.subscribe(peer, 0, &[entry("$queue/jobs", 2)]);
        let publisher = world.client("p");
        for payload in ["received", "not", "never"] {
            world.say(publisher, &publish("$queue/jobs", 2, 1, payload));
            world.say(publisher, &pubrel(1));
        }
        world.hear(peer);
        assert_eq!(world.say(peer, &pubrec(1)), ["PUBREL 1 00"]);
        world.0.cut(peer);
        let lines = lines(&mut world);
        assert_eq!(
            says(&mut world, lines, "present jobs"),
            "declared jobs 2 0\n",
            "offline it holds nothing"
        );
        let (peer, heard) = world.open(&resume("s", 100));
        let expected = [
            "CONNACK 00 present expiry=100",
            "PUBREL 1 00",
            "q2 #4 dup $queue/jobs=not",
            "q2 #5 dup $queue/jobs=never",
        ];
        assert_eq!(heard[1..], expected[1..]);
        world.say(peer, &[pubcomp(1), pubrec(4), pubcomp(4), pubrec(5), pubcomp(5)].concat());
        world.0.cut(peer);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 0 0\n");
    }
}

#[test]
fn who_unsubscribes_gets_no_more_and_may_still_settle() {
    for mut world in worlds() {
        let peer = world.subscriber("s", &[entry("$queue/jobs", 1)]);
        let publisher = world.client("p");
        put(&mut world, publisher, "held");
        world.hear(peer);
        world.unsubscribe(peer, "$queue/jobs");
        put(&mut world, publisher, "later");
        assert_eq!(world.hear(peer), [""; 0]);
        let lines = lines(&mut world);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 1 0\n");
        world.say(peer, &puback(1));
        assert_eq!(world.subscribe(peer, 0, &[entry("$queue/jobs", 0)]), ["q0 $queue/jobs=later"]);
        world.0.cut(peer);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 0 0\n");
    }
}

#[test]
fn a_queue_that_is_deleted_is_subscribed_to_no_more() {
    for mut world in worlds() {
        let peer = world.subscriber("s", &[entry("$queue/jobs", 1)]);
        let lines = lines(&mut world);
        says(&mut world, lines, "drop jobs");
        assert_eq!(world.say(peer, &again(publish("$queue/jobs", 1, 1, "anew"))), ["PUBACK 1 00"]);
        assert_eq!(world.subscribe(peer, 0, &[entry("$queue/jobs", 1)]), ["q1 #1 $queue/jobs=anew"]);
    }
}

#[test]
fn a_full_queue_and_one_that_may_not_be_made_refuse() {
    for mut world in worlds() {
        let lines = lines(&mut world);
        says(&mut world, lines, "declare jobs len=1,reject");
        let publisher = world.client("p");
        put(&mut world, publisher, "fits");
        assert_eq!(world.say(publisher, &publish("$queue/jobs", 1, 2, "no")), ["PUBACK 2 97"]);
        let exact = publish("$queue/jobs", 2, 3, "no");
        assert_eq!(world.say(publisher, &exact), ["PUBREC 3 97"]);

        let rules = vec![
            rule("*", &[Action::Configure], &["mine/#"], &[]),
            rule("*", &[Action::Publish], &["$queue/#"], &[]),
            rule("*", &[Action::Consume], &["jobs", "other", "mine/x"], &[]),
        ];
        world.0.change_rules(rules);
        assert_eq!(world.say(publisher, &publish("$queue/other", 1, 4, "no")), ["PUBACK 4 87"]);
        let subscribe = mynah_mqtt::wire::Subscribe {
            packet_id: super::packet_id(9),
            properties: Some(Default::default()),
            entries: vec![
                entry("$queue/other", 1),
                entry("$queue/jobs", 1),
                entry("$queue/not", 1),
                entry("$queue/mine/x", 1),
            ],
        };
        let mut heard = world.say(publisher, &super::encoded(|out| subscribe.encode(out)));
        heard.sort();
        assert_eq!(heard, ["SUBACK 9 87 01 87 01", "q1 #1 $queue/jobs=fits"]);
    }
}

#[test]
fn a_durable_session_consumes_again_after_a_crash() {
    for (workers, then) in [(1, 1), (3, 2)] {
        let mut world = World(Broker::durable(workers).crash_into(both(workers)));
        let peer = world.connect(&resume("s", 1_000));
        world.subscribe(peer, 0, &[entry("$queue/jobs", 2)]);
        let publisher = world.client("p");
        for payload in ["a", "b"] {
            world.say(publisher, &publish("$queue/jobs", 2, 1, payload));
            assert_eq!(world.say(publisher, &pubrel(1)), ["PUBCOMP 1 00"]);
        }
        assert_eq!(world.hear(peer), ["q2 #1 $queue/jobs=a", "q2 #2 $queue/jobs=b"]);
        assert_eq!(world.say(peer, &pubrec(1)), ["PUBREL 1 00"]);
        let mut world = World(world.0.crash_into(both(then)));
        let (peer, heard) = world.open(&resume("s", 1_000));
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[1].starts_with("q2 #") && heard[1].ends_with(" dup $queue/jobs=b"), "{heard:?}");
        let id = heard[1][4..].split(' ').next().unwrap().parse().unwrap();
        world.say(peer, &[pubrec(id), pubcomp(id)].concat());
        let mut world = World(world.0.crash_into(both(workers)));
        let (peer, heard) = world.open(&resume("s", 1_000));
        assert_eq!(heard.len(), 1, "{heard:?}");
        world.unsubscribe(peer, "$queue/jobs");
        let lines = lines(&mut world);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 0 0\n");
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    for mut world in worlds() {
        let slow = world.subscriber("slow", &[entry("$queue/jobs", 0)]);
        world.0.limit(slow, Some(0));
        let quick = world.subscriber("quick", &[entry("$queue/jobs", 1)]);
        let publisher = world.client("p");
        let payload = "x".repeat(100_000);
        for _ in 0..60 {
            put(&mut world, publisher, &payload);
        }
        let mut heard = 0;
        for id in 1..=60 {
            heard += world.say(quick, &puback(id)).len();
        }
        assert!((30..=60).contains(&heard), "{heard}");
        world.0.limit(slow, None);
        world.0.settle();
        heard += world.hear(slow).len();
        assert_eq!(heard, 60);
    }
}

#[test]
fn what_a_client_had_no_room_for_goes_back_when_it_unsubscribes() {
    for mut world in worlds() {
        let peer = world.connect(&receiving(connect("s"), 2));
        world.subscribe(peer, 0, &[entry("t", 1), entry("$queue/jobs", 1)]);
        let publisher = world.client("p");
        world.say(publisher, &publish("t", 1, 1, "a"));
        world.say(publisher, &publish("t", 1, 1, "b"));
        put(&mut world, publisher, "waits");
        assert_eq!(world.hear(peer), ["q1 #1 t=a", "q1 #2 t=b"]);
        world.unsubscribe(peer, "$queue/jobs");
        let lines = lines(&mut world);
        assert_eq!(says(&mut world, lines, "present jobs"), "declared jobs 1 0\n");
    }
}
