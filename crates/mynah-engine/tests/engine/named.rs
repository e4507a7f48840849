//! Named queues, whichever worker they and their consumers are at.

use std::time::Duration;

use mynah_core::rules::Action;
use mynah_model::Limits;

use crate::broker::{Broker, settings};
use crate::rules::{self, rule};

/// Brokers of one worker and of several: what is heard is the same.
fn brokers() -> [Broker; 2] {
    [Broker::new(1), Broker::new(3)]
}

/// Peers at different workers, if there are several.
fn peers(broker: &mut Broker) -> [usize; 3] {
    ["open a go", "open b go", "open d go"].map(|line| broker.open(0, line))
}

/// What a peer hears after it has said something.
fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

#[test]
fn consumers_of_all_workers_share_what_is_in_a_queue() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        assert_eq!(says(&mut broker, a, "declare q -"), "declared q 0 0\n");
        assert_eq!(says(&mut broker, a, "eat 1 q *"), "eating 1\n");
        assert_eq!(says(&mut broker, b, "eat 7 q *"), "eating 7\n");
        for n in 0..4 {
            assert_eq!(says(&mut broker, d, &format!("put q 1 {n}")), format!("published {}\n", n + 2));
        }
        assert_eq!(broker.hear(a), "lease 1 1 q 0\nlease 1 2 q 2\n");
        assert_eq!(broker.hear(b), "lease 7 1 q 1\nlease 7 2 q 3\n");
        assert_eq!(says(&mut broker, a, "yes! 1 1 2"), "settled 4\n");
        // What the other holds goes back when it is gone, and has failed.
        broker.cut(b);
        assert_eq!(broker.hear(a), "lease 1 3 again 1 1 q 1\nlease 1 4 again 1 1 q 3\n");
        assert_eq!(says(&mut broker, d, "present q"), "declared q 0 1\n");
    }
}

#[test]
fn credit_bounds_what_is_delivered_and_is_given_up_by_draining() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        says(&mut broker, a, "put q 0 1\nput q 0 2\nput q 0 3");
        assert_eq!(says(&mut broker, b, "eat 1 q 1"), "eating 1\nlease 1 1 q 1\n");
        assert_eq!(says(&mut broker, b, "yes 1 1 1"), "");
        assert_eq!(says(&mut broker, b, "flow 1 5 drain"), "lease 1 2 q 2\nlease 1 3 q 3\ndrained 1\n");
        says(&mut broker, a, "put q 0 4");
        assert_eq!(broker.hear(b), "");
        assert_eq!(says(&mut broker, b, "back 1 2 2\nflow 1 1"), "lease 1 4 again 1 0 q 2\n");
        assert_eq!(says(&mut broker, b, "stop 1"), "stopped 1\n");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 3 0\n");
        assert_eq!(says(&mut broker, a, "purge q"), "deleted 3\n");
    }
}

#[test]
fn a_filter_that_is_attached_to_a_queue_brings_it_what_it_selects_once() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        assert_eq!(says(&mut broker, a, "bind q a/+\nbind q a/#"), "bound\nbound\n");
        assert_eq!(says(&mut broker, b, "pub a/x 1 - hello"), "published 2\n");
        assert_eq!(says(&mut broker, a, "unbind q a/+\nunbind q a/#"), "bound\nbound\n");
        assert_eq!(says(&mut broker, b, "pub a/x 1 - lost"), "published 3 unwanted\n");
        assert_eq!(says(&mut broker, d, "eat 1 q *"), "eating 1\nlease 1 1 a/x hello\n");
        assert!(says(&mut broker, d, "sub $queue/q 1").starts_with("refused filter"));
    }
}

#[test]
fn a_queue_is_declared_once_and_the_same_again() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        assert_eq!(
            says(&mut broker, b, "present q"),
            "refused no such queue or exchange: there is no queue of this name\n"
        );
        assert_eq!(says(&mut broker, b, "put q 1 x"), "published 3 unwanted\n");
        assert_eq!(says(&mut broker, a, "declare q ttl=5"), "declared q 0 0\n");
        assert_eq!(says(&mut broker, b, "declare q ttl=5"), "declared q 0 0\n");
        let differs = "refused does not fit what is there: message-ttl is '5', not '6'\n";
        assert_eq!(says(&mut broker, b, "declare q ttl=6"), differs);
        assert_eq!(says(&mut broker, d, "eat 1 q 0"), "eating 1\n");
        let taken = "refused does not fit what is there: there is a consumer of this number\n";
        assert_eq!(says(&mut broker, d, "eat 1 q 0"), taken);
        assert_eq!(
            says(&mut broker, a, "drop q unused"),
            "refused does not fit what is there: the queue is in use\n"
        );
        assert_eq!(says(&mut broker, a, "drop q"), "deleted 0\n");
        assert_eq!(broker.hear(d), "starved 1 no such queue or exchange\n");
        assert_eq!(says(&mut broker, d, "use q"), "declared q 0 0\n");
        let named = says(&mut broker, d, "declare  -");
        assert!(named.starts_with("declared amq.gen-"), "{named}");
    }
}

#[test]
fn an_exclusive_queue_is_its_connections_own_and_ends_with_it() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        assert_eq!(says(&mut broker, a, "declare q exclusive\neat 1 q *"), "declared q 0 0\neating 1\n");
        assert!(says(&mut broker, b, "eat 1 q 1").starts_with("refused locked"));
        assert_eq!(says(&mut broker, b, "put q 1 x"), "published 3\n");
        assert_eq!(broker.hear(a), "lease 1 1 q x\n");
        broker.cut(a);
        assert!(says(&mut broker, b, "present q").starts_with("refused no such"));
    }
}

#[test]
fn a_queue_ends_with_its_last_consumer_or_for_want_of_use() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare auto auto\ndeclare old expires=1000\neat 1 auto *");
        broker.advance(Duration::from_millis(900));
        assert_eq!(says(&mut broker, b, "eat 1 old 0\nstop 1"), "eating 1\nstopped 1\n");
        broker.advance(Duration::from_millis(900));
        assert_eq!(says(&mut broker, b, "present old"), "declared old 0 0\n");
        says(&mut broker, a, "stop 1");
        assert!(says(&mut broker, b, "present auto").starts_with("refused no such"));
        broker.advance(Duration::from_millis(1_100));
        assert!(says(&mut broker, b, "present old").starts_with("refused no such"));
    }
}

#[test]
fn a_full_queue_drops_its_oldest_or_refuses() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare drops len=2\ndeclare refuses len=2,reject");
        let queued = says(&mut broker, b, "put drops 1 1\nput drops 1 2\nput drops 1 3");
        assert_eq!(queued, "published 2\npublished 3\npublished 4\n");
        let queued = says(&mut broker, b, "put refuses 1 1\nput refuses 0 2\nput refuses 1 3");
        assert_eq!(queued, "published 5\npublished 6\nrefused 7 queue full\n");
        let eaten = says(&mut broker, d, "eat 1 drops *\neat 2 refuses *");
        let mut lines: Vec<&str> = eaten.lines().filter(|line| line.starts_with("lease")).collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["lease 1 1 drops 2", "lease 1 2 drops 3", "lease 2 1 refuses 1", "lease 2 2 refuses 2"]
        );
        // Nothing is ready: there is room.
        assert_eq!(says(&mut broker, b, "put refuses 1 4"), "published 8\n");
    }
}

#[test]
fn messages_are_delayed_and_expire_on_time() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare q ttl=1000");
        says(&mut broker, a, "eat 1 q 1\nput q 1 x\nput q 1 y");
        broker.hear(a);
        assert_eq!(says(&mut broker, a, "fail 1 1 1 500\nflow 1 1"), "lease 1 2 q y\n");
        broker.advance(Duration::from_millis(400));
        assert_eq!(says(&mut broker, b, "eat 1 q 5"), "eating 1\n");
        broker.advance(Duration::from_millis(110));
        assert_eq!(broker.hear(b), "lease 1 1 again 1 1 q x\n");
        assert_eq!(says(&mut broker, b, "stop 1\npresent q"), "stopped 1\ndeclared q 1 1\n");
        broker.advance(Duration::from_millis(600));
        assert_eq!(says(&mut broker, b, "present q"), "declared q 0 1\n");
    }
}

#[test]
fn a_peer_that_does_not_read_gets_no_more_than_its_buffer_holds() {
    for workers in [1, 3] {
        let limits = Limits { outbound_bytes_max: 2_000, ..Limits::default() };
        let mut broker = Broker::with(settings(workers, limits));
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        broker.limit(b, Some(0));
        broker.say(b, "eat 1 q * settled");
        let payload = "x".repeat(1_000);
        for n in 0..1_000 {
            broker.say(d, &format!("put q 0 {n}-{payload}"));
        }
        let here: usize = says(&mut broker, a, "present q").split(' ').nth(2).unwrap().parse().unwrap();
        assert!(here > 600, "{here} are in the queue");
        broker.limit(b, None);
        broker.settle();
        let heard = broker.hear(b);
        assert_eq!(heard.lines().filter(|line| line.starts_with("lease")).count(), 1_000);
        assert!(heard.contains("lease 1 1000 q 999-"));
    }
}

#[test]
fn a_message_that_cannot_be_written_is_rejected() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, b, "small\ndeclare q -\neat 1 q *");
        says(&mut broker, a, "put q 1 large\nput q 1 ok");
        assert_eq!(broker.hear(b), "lease 1 2 q ok\n");
        assert_eq!(says(&mut broker, b, "stop 1"), "stopped 1\n");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 1 0\n");
    }
}

#[test]
fn a_stream_is_read_by_everybody_from_the_beginning() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare s stream");
        says(&mut broker, a, "put s 1 1\nput s 1 2");
        for reader in [b, d] {
            let heard = says(&mut broker, reader, "eat 1 s * first");
            assert_eq!(heard, "eating 1\nlease 1 1 s 1\nlease 1 2 s 2\n");
            says(&mut broker, reader, "yes 1 1 2");
        }
        assert_eq!(says(&mut broker, a, "eat 1 s *"), "eating 1\n");
        assert_eq!(says(&mut broker, a, "put s 1 3"), "published 6\nlease 1 1 s 3\n");
        assert_eq!(says(&mut broker, b, "present s"), "lease 1 3 s 3\ndeclared s 3 3\n");
    }
}

#[test]
fn leases_of_a_consumer_that_was_stopped_can_still_be_settled() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        says(&mut broker, a, "put q 1 1\nput q 1 2");
        says(&mut broker, b, "eat 1 q *");
        broker.hear(b);
        assert_eq!(says(&mut broker, b, "stop 1 keep\nyes! 1 1 1"), "stopped 1\nsettled 4\n");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 0 0\n");
        assert_eq!(says(&mut broker, b, "no! 1 2 2"), "settled 5\n");
        // It has ended now: another may have its number.
        says(&mut broker, a, "put q 1 3");
        assert_eq!(says(&mut broker, b, "eat 1 q 1"), "eating 1\nlease 1 1 q 3\n");
        says(&mut broker, b, "stop 1 keep\nquit");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 1 0\n");
    }
}

#[test]
fn dead_letters_go_where_they_are_to_go_and_say_why() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare q ttl=1000,limit=1,len=2,dead=morgue\ndeclare morgue -");
        assert_eq!(says(&mut broker, d, "eat 1 morgue *"), "eating 1\n");
        says(&mut broker, b, "put q 1 1\nput q 1 2\nput q 1 3");
        assert_eq!(broker.hear(d), "lease 1 1 dead q maxlen 1 q 1\n");
        says(&mut broker, a, "eat 1 q 1");
        says(&mut broker, a, "no 1 1 1");
        assert_eq!(broker.hear(d), "lease 1 2 dead q rejected 1 q 2\n");
        for line in ["flow 1 2", "fail 1 2 2", "fail 1 3 3"] {
            says(&mut broker, a, line);
        }
        assert_eq!(broker.hear(d), "lease 1 3 dead q delivery_limit 1 q 3\n");
        says(&mut broker, a, "stop 1");
        says(&mut broker, b, "for 100 put q 1 4\nput q 1 5");
        broker.advance(Duration::from_millis(150));
        assert_eq!(broker.hear(d), "lease 1 4 dead q expired 1 q 4\n");
        broker.advance(Duration::from_millis(1_000));
        assert_eq!(broker.hear(d), "lease 1 5 dead q expired 1 q 5\n");
    }
}

#[test]
fn dead_letters_do_not_go_round_in_circles_unless_somebody_rejects_them() {
    for mut broker in brokers() {
        let [a, _, _] = peers(&mut broker);
        says(&mut broker, a, "declare one ttl=100,dead=two\ndeclare two ttl=100,dead=one");
        says(&mut broker, a, "put one 1 x");
        broker.advance(Duration::from_millis(150));
        assert_eq!(says(&mut broker, a, "present two"), "declared two 1 0\n");
        broker.advance(Duration::from_millis(150));
        broker.hear(a);
        assert_eq!(says(&mut broker, a, "present one"), "declared one 0 0\n");
        assert_eq!(says(&mut broker, a, "eat 1 two 2"), "eating 1\n");
        says(&mut broker, a, "put one 1 y");
        broker.advance(Duration::from_millis(150));
        assert_eq!(broker.hear(a), "lease 1 1 dead one expired 1 one y\n");
        says(&mut broker, a, "no 1 1 1");
        broker.advance(Duration::from_millis(150));
        let again = "lease 1 2 dead one expired 2 dead two rejected 1 one y\n";
        assert_eq!(broker.hear(a), again);
    }
}

#[test]
fn a_transaction_is_carried_out_as_a_whole_or_not_at_all() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare q -\ndeclare r -");
        says(&mut broker, a, "put q 1 old");
        assert_eq!(says(&mut broker, b, "eat 1 q *"), "eating 1\nlease 1 1 q old\n");
        assert_eq!(says(&mut broker, d, "eat 1 r *"), "eating 1\n");
        let long = "n".repeat(70_000);
        let refused = says(&mut broker, b, &format!("commit put r 1 x;put {long} 1 y;yes 1 1 1"));
        assert_eq!((refused.as_str(), broker.hear(d).as_str()), ("refused topic not usable here\n", ""));
        assert_eq!(says(&mut broker, b, "commit put r 1 x;put r 1 y;yes 1 1 1"), "committed\n");
        assert_eq!(broker.hear(d), "lease 1 1 r x\nlease 1 2 r y\n");
        broker.cut(b);
        assert_eq!(says(&mut broker, a, "present q"), "declared q 0 0\n");
    }
}

#[test]
fn a_queue_is_published_to_by_its_topic_too_and_holds_no_value() {
    for mut broker in brokers() {
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare a+b -");
        assert_eq!(says(&mut broker, b, "pub $queue/a%2Bb 2 keep x"), "published 2\n");
        assert_eq!(says(&mut broker, b, "put a+b 1 y"), "published 3\n");
        assert_eq!(says(&mut broker, b, "read $queue/a%2Bb"), "value None\n");
        let eaten = "eating 1\nlease 1 1 $queue/a%2Bb x\nlease 1 2 a+b y\n";
        assert_eq!(says(&mut broker, a, "eat 1 a+b *"), eaten);
    }
}

#[test]
fn a_consumer_gets_what_its_selector_selects_and_leaves_the_rest() {
    for mut broker in brokers() {
        let [a, b, d] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        assert_eq!(says(&mut broker, b, "eat 1 q * where=size='big'"), "eating 1\n");
        assert_eq!(says(&mut broker, d, "eat 1 q * where=size<>'big'"), "eating 1\n");
        let puts = "put q 1 size=big one\nput q 0 size=small two\nput q 1 three\nput q 1 size=big four";
        says(&mut broker, a, puts);
        assert_eq!(broker.hear(b), "lease 1 1 q size=big one\nlease 1 2 q size=big four\n");
        assert_eq!(broker.hear(d), "lease 1 1 q size=small two\n");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 1 2\n", "unknown is not true");
        // What one gives back, and what one leaves, another may want.
        assert_eq!(says(&mut broker, b, "back 1 2 2"), "lease 1 3 again 1 0 q size=big four\n");
        assert_eq!(says(&mut broker, b, "stop 1"), "stopped 1\n");
        assert_eq!(says(&mut broker, a, "eat 5 q *").lines().count(), 4);
        let wrong = says(&mut broker, b, "eat 2 q * where=size=");
        assert!(wrong.starts_with("refused ") && wrong.contains("at byte 5: expected a value"), "{wrong}");
        assert_eq!(says(&mut broker, b, "eat 2 q 0"), "eating 2\n");
    }
}

#[test]
fn a_tenant_has_so_many_queues_and_each_so_many_messages() {
    let limits = Limits { queues_max: 2, queue_messages_max: 2, queue_bytes_max: 10, ..Limits::default() };
    let mut broker = Broker::with(settings(3, limits));
    let [a, b, _] = peers(&mut broker);
    says(&mut broker, a, "declare p -\ndeclare q reject");
    assert!(says(&mut broker, b, "declare r -").starts_with("refused quota exceeded"));
    says(&mut broker, a, "drop p");
    assert_eq!(says(&mut broker, b, "declare r -"), "declared r 0 0\n");
    says(&mut broker, b, "put r 1 one\nput r 1 two\nput r 1 three\nput q 1 0123456789");
    assert_eq!(says(&mut broker, b, "put q 1 x"), "refused 8 queue full\n");
    assert_eq!(says(&mut broker, a, "eat 1 r * settled"), "eating 1\nlease 1 1 r two\nlease 1 2 r three\n");
}

#[test]
fn rules_say_who_may_configure_publish_to_and_consume_from_a_queue() {
    for workers in [1, 3] {
        let rules = vec![
            rule("*", &[Action::Configure], &["mine/#"], &[]),
            rule("*", &[Action::Consume], &["mine/eaten"], &[]),
            rule("*", &[Action::Publish], &["$queue/mine/#", "t"], &[]),
            rule("*", &[Action::Subscribe], &["seen/+"], &["seen/not"]),
        ];
        let mut broker = rules::broker(workers, rules);
        let a = broker.open(0, "open a go");
        let refused = "refused not authorized\n";
        assert_eq!(says(&mut broker, a, "declare other -"), refused);
        assert_eq!(says(&mut broker, a, "use other"), refused);
        assert_eq!(says(&mut broker, a, "drop other"), refused);
        assert_eq!(says(&mut broker, a, "declare mine/q -"), "declared mine/q 0 0\n");
        assert_eq!(says(&mut broker, a, "declare mine/eaten -"), "declared mine/eaten 0 0\n");
        assert_eq!(says(&mut broker, a, "bind mine/q seen/x"), "bound\n");
        assert_eq!(says(&mut broker, a, "bind mine/q seen/+"), refused, "each consumer would see it all");
        assert_eq!(says(&mut broker, a, "eat 1 mine/q *"), refused);
        assert_eq!(says(&mut broker, a, "purge mine/q"), refused);
        assert_eq!(says(&mut broker, a, "eat 1 mine/eaten *"), "eating 1\n");
        assert_eq!(says(&mut broker, a, "put other 1 x"), "refused 12 not authorized\n");
        assert_eq!(says(&mut broker, a, "commit put mine/eaten 1 x;put other 1 x"), refused);
        assert_eq!(says(&mut broker, a, "put mine/eaten 1 x"), "published 14\nlease 1 1 mine/eaten x\n");
        broker.change_rules(vec![rule("*", &[Action::Consume], &["other"], &[])]);
        assert_eq!(broker.hear(a), "starved 1 not authorized\n");
        assert_eq!(says(&mut broker, a, "present mine/eaten"), "declared mine/eaten 1 0\n");
        let denied: Vec<String> = broker.audited.iter().map(|told| told.event.topic()).collect();
        assert!(denied.iter().any(|topic| topic == "$events/denied/configure"), "{denied:?}");
        assert!(denied.iter().any(|topic| topic == "$events/denied/consume"), "{denied:?}");
    }
}

#[test]
fn consumers_that_come_and_go_leave_nothing_behind() {
    for workers in [1, 3] {
        let limits = Limits { subscriptions_per_session_max: 3, ..Limits::default() };
        let mut broker = Broker::with(settings(workers, limits));
        let [a, b, _] = peers(&mut broker);
        says(&mut broker, a, "declare q -");
        for n in 0..20 {
            says(&mut broker, a, "put q 1 x");
            let eaten = format!("eating {n}\nlease {n} 1 q x\n");
            assert_eq!(says(&mut broker, b, &format!("eat {n} q 1")), eaten);
            assert_eq!(says(&mut broker, b, &format!("stop {n} keep")), format!("stopped {n}\n"));
            says(&mut broker, b, &format!("yes {n} 1 1"));
        }
    }
}
