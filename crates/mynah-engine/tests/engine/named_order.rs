//! Who gets what of a queue, in which order: priorities, one consumer at a time, and queues that are longer than memory should be.

use crate::broker::Broker;

/// More than stay in memory of a queue, by far.
const MANY: usize = 40_000;

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

/// The payloads of the leases that a peer has heard.
fn payloads(heard: &str) -> Vec<&str> {
    let leases = heard.lines().filter(|line| line.starts_with("lease"));
    leases.filter_map(|line| line.rsplit_once(' ')).map(|(_, payload)| payload).collect()
}

#[test]
fn one_consumer_at_a_time_is_active_and_the_next_takes_over_what_it_leaves() {
    for mut broker in [Broker::new(1), Broker::new(3)] {
        let [a, b, d, p] = ["a", "b", "d", "p"].map(|name| broker.open(0, &format!("open {name} go")));
        says(&mut broker, p, "declare q single");
        for eater in [a, b] {
            assert_eq!(says(&mut broker, eater, "eat 1 q *"), "eating 1\n");
        }
        assert_eq!(says(&mut broker, d, "eat 1 q * prio=5"), "eating 1\n");
        says(&mut broker, p, "put q 1 1\nput q 1 2\nput q 1 3");
        assert_eq!(payloads(&broker.hear(a)), ["1", "2", "3"]);
        assert_eq!((broker.hear(b), broker.hear(d)), (String::new(), String::new()));
        says(&mut broker, a, "yes 1 1 1");
        // Lost with its connection: what it had goes to who comes next by priority, in order and before what is new.
        broker.cut(a);
        says(&mut broker, p, "put q 1 4");
        assert_eq!(payloads(&broker.hear(d)), ["2", "3", "4"]);
        says(&mut broker, d, "stop 1 keep");
        assert_eq!(broker.hear(b), "");
        says(&mut broker, p, "put q 1 5");
        assert_eq!(payloads(&broker.hear(b)), ["5"]);
        says(&mut broker, d, "back 1 1 9");
        assert_eq!(payloads(&broker.hear(b)), ["2", "3", "4"]);
        broker.cut(b);
        says(&mut broker, d, "eat 2 q *");
        assert_eq!(says(&mut broker, p, "present q"), "declared q 0 1\n");
    }
}

#[test]
fn a_long_queue_is_read_back_in_order_over_crashes() {
    for (workers, then) in [(1, 3), (3, 1)] {
        let mut broker = Broker::durable(workers);
        let p = broker.open(0, "open p go");
        says(&mut broker, p, "declare q durable");
        let lines: Vec<String> = (0..MANY).map(|number| format!("put q 1 {number}")).collect();
        for part in lines.chunks(500) {
            assert_eq!(says(&mut broker, p, &part.join("\n")).matches("published").count(), 500);
        }
        assert!(broker.disk().pages == 0);
        let mut got = 0;
        for run in 0..3 {
            let a = broker.open(0, "open a go");
            says(&mut broker, a, "eat 1 q 0");
            let until = if run == 2 { MANY } else { got + MANY / 3 };
            while got < until {
                let heard = says(&mut broker, a, "flow 1 1000");
                for payload in payloads(&heard) {
                    assert_eq!(payload, got.to_string());
                    assert_eq!(
                        heard.contains(" again "),
                        run > 0,
                        "after a crash all may have been had before"
                    );
                    got += 1;
                }
                assert!(says(&mut broker, a, &format!("yes! 1 1 {MANY}")).starts_with("settled"));
            }
            assert!(broker.disk().pages > 0, "some were read back");
            broker = broker.crash(if run == 0 { then } else { workers });
        }
        let p = broker.open(0, "open p go");
        assert_eq!(says(&mut broker, p, "present q"), "declared q 0 0\n");
    }
}

#[test]
fn a_long_queue_that_is_purged_or_deleted_is_gone_from_the_store() {
    for end in ["purge q", "drop q"] {
        let mut broker = Broker::durable(1);
        let p = broker.open(0, "open p go");
        says(&mut broker, p, "declare q durable");
        let lines: Vec<String> = (0..MANY).map(|number| format!("put q 1 {number}")).collect();
        says(&mut broker, p, &lines.join("\n"));
        assert_eq!(says(&mut broker, p, end), format!("deleted {MANY}\n"));
        assert!(broker.disk().state.queues.values().all(|queue| queue.entries.is_empty()));
    }
}
