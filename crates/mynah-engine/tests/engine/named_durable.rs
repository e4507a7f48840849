//! Durable queues: nothing that was confirmed is lost when the broker crashes, and nothing that was settled comes again.

use std::time::Duration;

use mynah_core::owner;
use mynah_model::TenantId;

use crate::broker::{Broker, SEED};

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

#[test]
fn nothing_is_confirmed_before_it_is_stored() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        broker.hold(true);
        assert_eq!(says(&mut broker, a, "declare q durable"), "");
        broker.store_all();
        assert_eq!(broker.hear(a), "declared q 0 0\n");
        assert_eq!(says(&mut broker, a, "bind q t/#"), "");
        broker.store_all();
        assert_eq!(broker.hear(a), "bound\n");
        assert_eq!(says(&mut broker, b, "put q 1 one"), "");
        broker.store_all();
        assert_eq!(broker.hear(b), "published 2\n");
        assert_eq!(says(&mut broker, b, "pub t/x 1 - two"), "");
        broker.store_all();
        assert_eq!(broker.hear(b), "published 3\n");
        // What is transient waits for nothing.
        assert_eq!(says(&mut broker, b, "put q 0 three"), "published 4\n");
        assert_eq!(
            says(&mut broker, a, "eat 1 q *"),
            "eating 1\nlease 1 1 q one\nlease 1 2 t/x two\nlease 1 3 q three\n"
        );
        assert_eq!(says(&mut broker, a, "yes! 1 1 3"), "");
        broker.store_all();
        assert_eq!(broker.hear(a), "settled 5\n");
    }
}

#[test]
fn a_queue_can_promise_less_than_the_store_does() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        says(&mut broker, a, "declare soon durable,promise=interval\ndeclare never durable,promise=memory");
        says(&mut broker, a, "declare sure durable\nbind soon t\nbind sure t");
        assert_eq!(
            says(&mut broker, a, "declare soon durable"),
            "refused does not fit what is there: durability is 'interval', not 'sync'\n"
        );
        broker.hold(true);
        assert_eq!(says(&mut broker, b, "put soon 1 one"), "published 2\n");
        assert_eq!(says(&mut broker, b, "put never 1 two"), "published 3\n");
        // Whoever else gets it is owed what it was promised.
        assert_eq!(says(&mut broker, b, "pub t 1 - three"), "");
        broker.store_all();
        assert_eq!(broker.hear(b), "published 4\n");
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "declare never durable,promise=memory"), "declared never 0 0\n");
        assert_eq!(
            says(&mut broker, a, "eat 1 soon *"),
            "eating 1\nlease 1 1 again 1 0 soon one\nlease 1 2 again 1 0 t three\n"
        );
    }
}

#[test]
fn what_was_confirmed_is_there_after_a_crash_and_what_was_settled_is_not() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1)] {
        let mut broker = Broker::durable(workers);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        says(&mut broker, a, "declare q durable,limit=3\ndeclare gone -\ndeclare dropped durable");
        says(&mut broker, a, "bind q t/#\nbind q u\nunbind q u\ndrop dropped");
        says(&mut broker, b, "put q 1 1\nput q 1 2\nput q 0 transient\nput q 1 3\npub t/x 1 - 4\nput q 1 5");
        assert_eq!(says(&mut broker, a, "eat 1 q 5").lines().count(), 6);
        broker.say(a, "yes 1 1 1\nfail 1 2 2\nno 1 5 5");
        let mut broker = broker.crash(then);
        let a = broker.open(0, "open a go");
        assert!(says(&mut broker, a, "present gone").starts_with("refused no such"));
        assert!(says(&mut broker, a, "present dropped").starts_with("refused no such"));
        assert_eq!(says(&mut broker, a, "declare q durable,limit=3"), "declared q 3 0\n");
        let b = broker.open(0, "open b go");
        assert_eq!(says(&mut broker, b, "pub u 1 - x\npub t/y 1 - 6"), "published 2 unwanted\npublished 3\n");
        let eaten = "eating 1\nlease 1 1 again 1 1 q 2\nlease 1 2 again 1 0 q 3\nlease 1 3 again 1 0 q 5\nlease 1 4 t/y 6\n";
        assert_eq!(says(&mut broker, a, "eat 1 q *"), eaten);
        says(&mut broker, a, "yes! 1 1 9");
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "present q"), "declared q 0 0\n");
    }
}

#[test]
fn what_was_not_confirmed_may_be_lost_and_the_queue_goes_on_after_it() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "declare q durable");
        says(&mut broker, a, "put q 1 1");
        broker.hold(true);
        assert_eq!(says(&mut broker, a, "put q 1 2"), "");
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "put q 1 3"), "published 2\n");
        assert_eq!(says(&mut broker, a, "eat 1 q *"), "eating 1\nlease 1 1 again 1 0 q 1\nlease 1 2 q 3\n");
    }
}

#[test]
fn what_was_handed_out_is_marked_after_a_stop_and_what_may_have_been_after_a_crash() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "declare q durable");
        says(&mut broker, a, "put q 1 1\nput q 1 2");
        broker.hold(true);
        // This is on its way before a record of it could be stored.
        assert_eq!(says(&mut broker, a, "eat 1 q 1"), "eating 1\nlease 1 1 q 1\n");
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        assert_eq!(
            says(&mut broker, a, "eat 1 q 2"),
            "eating 1\nlease 1 1 again 1 0 q 1\nlease 1 2 again 1 0 q 2\n"
        );
        assert_eq!(says(&mut broker, a, "put q 1 3"), "published 3\n");
        assert_eq!(says(&mut broker, a, "yes! 1 1 2"), "settled 4\n");
        let now = broker.now;
        broker.engines.iter_mut().for_each(|engine| engine.handle_shutdown(now));
        broker.settle();
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "eat 1 q *"), "eating 1\nlease 1 1 q 3\n");
    }
}

#[test]
fn times_are_kept_over_a_crash() {
    let mut broker = Broker::durable(1);
    let a = broker.open(0, "open a go");
    says(&mut broker, a, "declare q durable,ttl=1000");
    says(&mut broker, a, "put q 1 1");
    broker.advance(Duration::from_millis(700));
    says(&mut broker, a, "put q 1 2");
    let mut broker = broker.crash(1);
    broker.advance(Duration::from_millis(400));
    let a = broker.open(0, "open a go");
    assert_eq!(says(&mut broker, a, "eat 1 q *"), "eating 1\nlease 1 1 again 1 0 q 2\n");
    assert!(broker.disk().state.queues.values().all(|queue| queue.entries.len() == 1));
}

#[test]
fn an_exactly_once_publication_is_in_a_queue_once_whenever_the_broker_crashes() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1), (1, 3)] {
        for steps in 0..6 {
            let mut broker = Broker::durable(workers);
            let a = broker.open(0, "open a go");
            let p = broker.open(0, "open p stay");
            says(&mut broker, a, "declare q durable\ndeclare r durable");
            says(&mut broker, a, "bind q t\nbind r t");
            broker.hold(true);
            broker.say(p, "pub t 2 - once");
            for _ in 0..steps {
                broker.store_next();
            }
            let mut broker = broker.crash(then);
            let p = broker.open(0, "open p stay");
            assert_eq!(says(&mut broker, p, "pub t 2 - once"), "published 2\n");
            assert_eq!(says(&mut broker, p, "done 2"), "completed 2\n");
            let a = broker.open(0, "open a go");
            for name in ["q", "r"] {
                assert_eq!(
                    says(&mut broker, a, &format!("present {name}")),
                    format!("declared {name} 1 0\n")
                );
            }
        }
    }
}

#[test]
fn a_dead_letter_is_in_one_queue_or_the_other_whenever_the_broker_crashes() {
    for workers in [1, 3] {
        for steps in 0..6 {
            let mut broker = Broker::durable(workers);
            let a = broker.open(0, "open a go");
            says(&mut broker, a, "declare q durable,dead=morgue\ndeclare morgue durable");
            says(&mut broker, a, "put q 1 x");
            assert_eq!(says(&mut broker, a, "eat 1 q 1"), "eating 1\nlease 1 1 q x\n");
            broker.hold(true);
            broker.say(a, "no 1 1 1");
            for _ in 0..steps {
                broker.store_next();
            }
            let mut broker = broker.crash(workers);
            let a = broker.open(0, "open a go");
            let counts = [says(&mut broker, a, "present q"), says(&mut broker, a, "present morgue")];
            let there = counts.iter().filter(|count| count.ends_with(" 1 0\n")).count();
            // Between two workers it may be in both for a moment, in none never.
            assert!(there == 1 || (there == 2 && workers > 1), "after {steps} steps: {counts:?}");
            if steps == 5 {
                assert_eq!(counts, ["declared q 0 0\n", "declared morgue 1 0\n"]);
                let eaten = says(&mut broker, a, "eat 1 morgue *");
                assert_eq!(eaten, "eating 1\nlease 1 1 again 1 0 dead q rejected 1 q x\n");
            }
        }
    }
}

#[test]
fn what_was_published_in_one_transaction_is_there_as_a_whole_or_not_at_all() {
    for workers in [1, 3] {
        let mut both = [0, 0];
        for steps in 0..8 {
            let mut broker = Broker::durable(workers);
            let a = broker.open(0, "open a go");
            says(&mut broker, a, "declare q durable\ndeclare r durable\ndeclare s durable");
            broker.hold(true);
            assert_eq!(says(&mut broker, a, "commit put q 1 x;put r 1 y;put s 1 z"), "");
            for _ in 0..steps {
                broker.store_next();
            }
            let was_told = broker.hear(a) == "committed\n";
            let mut broker = broker.crash(workers);
            let a = broker.open(0, "open a go");
            let there = ["q", "r", "s"].map(|name| says(&mut broker, a, &format!("present {name}")));
            let count = there.iter().filter(|heard| heard.ends_with(" 1 0\n")).count();
            assert!(count == 3 || (count == 0 && !was_told), "after {steps} steps: {there:?}");
            both[usize::from(count == 3)] += 1;
        }
        assert!(both[0] > 0 && both[1] > 0);
    }
}

#[test]
fn what_was_handed_out_before_a_crash_never_comes_again_without_a_mark() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1)] {
        for steps in 0..8 {
            let mut broker = Broker::durable(workers);
            let (a, p) = (broker.open(0, "open a go"), broker.open(0, "open p stay"));
            says(&mut broker, a, "declare q durable\ndeclare r durable\ndeclare s durable");
            says(&mut broker, a, "bind q t\nbind r t\nbind s t");
            says(&mut broker, a, "eat 1 q *\neat 2 r *\neat 3 s *");
            broker.hold(true);
            broker.say(a, "commit put q 1 x;put r 1 x;put s 1 x");
            broker.say(p, "pub t 2 - y");
            for _ in 0..steps {
                broker.store_next();
            }
            assert_eq!(broker.hear(a).matches("lease").count(), 6);
            let mut broker = broker.crash(then);
            let (a, p) = (broker.open(0, "open a go"), broker.open(0, "open p stay"));
            // The client did not hear that it has arrived.
            assert_eq!(says(&mut broker, p, "pub t 2 - y"), "published 2\n");
            let heard = says(&mut broker, a, "eat 1 q *\neat 2 r *\neat 3 s *");
            let is_marked = |line: &str| line.contains(" again 1 0 ");
            let fresh: Vec<&str> =
                heard.lines().filter(|line| line.starts_with("lease") && !is_marked(line)).collect();
            // What nothing was stored of is published as if for the first time.
            assert!(matches!(fresh.len(), 0 | 3), "{steps}: {heard}");
            assert!(fresh.iter().all(|line| line.ends_with(" t y")), "{steps}: {heard}");
        }
    }
}

#[test]
fn what_a_transaction_moves_is_in_one_queue_or_the_other_whenever_the_broker_crashes() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1)] {
        // Queues of all workers, filled from another and moved by a third.
        for (from, to) in [("q", "r"), ("r", "s"), ("s", "q"), ("q", "t"), ("t", "q")] {
            let mut moved = [0, 0];
            for steps in 0..12 {
                let mut broker = Broker::durable(workers);
                let (a, p) =
                    (broker.open(0, "open a go"), broker.open(usize::from(workers > 1), "open p go"));
                says(&mut broker, a, &format!("declare {from} durable\ndeclare {to} durable"));
                assert_eq!(says(&mut broker, a, &format!("eat 1 {from} *")), "eating 1\n");
                broker.hold(true);
                assert_eq!(says(&mut broker, p, &format!("commit put {from} 1 x")), "");
                assert_eq!(broker.hear(a), format!("lease 1 1 {from} x\n"));
                assert_eq!(says(&mut broker, a, &format!("commit put {to} 1 y;yes 1 1 1")), "");
                for _ in 0..steps {
                    broker.store_next();
                }
                let was_told = broker.hear(a) == "committed\n";
                let mut broker = broker.crash(then);
                let a = broker.open(0, "open a go");
                let counts =
                    [from, to].map(|name| says(&mut broker, a, &format!("present {name}")).contains(" 1 0"));
                assert!(counts != [true, true], "{from} to {to}, {workers} workers, {steps} steps");
                assert!(counts == [false, true] || !was_told);
                moved[usize::from(counts[1])] += 1;
            }
            assert!(moved[0] > 0 && moved[1] > 0, "{moved:?}");
        }
    }
}

#[test]
fn a_commit_is_told_when_all_of_it_is_stored() {
    for workers in [1, 3] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        for name in ["q", "r", "s"] {
            says(&mut broker, a, &format!("declare {name} durable"));
            says(&mut broker, a, &format!("put {name} 1 x"));
        }
        says(&mut broker, a, "eat 1 q *\neat 2 r *\neat 3 s *");
        broker.hold(true);
        assert_eq!(says(&mut broker, a, "commit yes 1 1 1;yes 2 1 1;yes 3 1 1"), "");
        broker.store_all();
        assert_eq!(broker.hear(a), "committed\n");
        let mut broker = broker.crash(workers);
        let a = broker.open(0, "open a go");
        for name in ["q", "r", "s"] {
            assert_eq!(says(&mut broker, a, &format!("present {name}")), format!("declared {name} 0 0\n"));
        }
    }
}

/// The first of the names with this letter that belong to a worker of three.
fn name_at(worker: u16, letter: char) -> String {
    let mut names = (0..).map(|n| format!("{letter}{n}"));
    names.find(|name| owner(TenantId::DEFAULT, name.as_bytes(), 3, SEED).0 == worker).unwrap()
}

/// A peer whose connection is at this worker of three.
fn peer_at(broker: &mut Broker, worker: u16) -> usize {
    let peer = broker.open(0, &format!("open {} go", name_at(worker, 'p')));
    assert_eq!(broker.worker_of(peer), usize::from(worker));
    peer
}

#[test]
fn transactions_of_two_workers_settle_their_own_leases_of_a_third_ones_queue() {
    let mut broker = Broker::durable(3);
    // What the two workers count is the same: both do the same.
    let [a, b, c] = [0, 1, 2].map(|worker| peer_at(&mut broker, worker));
    let (q, r) = (name_at(2, 'q'), name_at(1, 'q'));
    says(&mut broker, c, &format!("declare {q} durable\ndeclare {r} durable"));
    says(&mut broker, c, &format!("put {q} 1 x\nput {q} 1 y"));
    assert_eq!(says(&mut broker, a, &format!("eat 1 {q} 1")), format!("eating 1\nlease 1 1 {q} x\n"));
    assert_eq!(says(&mut broker, b, &format!("eat 1 {q} 1")), format!("eating 1\nlease 1 1 {q} y\n"));
    says(&mut broker, c, &format!("eat 1 {q} *"));
    broker.hold(true);
    assert_eq!(says(&mut broker, a, "commit yes 1 1 1"), "");
    assert_eq!(says(&mut broker, b, &format!("commit put {r} 1 z;back 1 1 1")), "");
    assert!(broker.store_next());
    assert_eq!([a, b, c].map(|peer| broker.hear(peer)), ["committed\n", "", ""]);
    broker.store_all();
    let back = format!("lease 1 1 again 1 0 {q} y\n");
    assert_eq!([a, b, c].map(|peer| broker.hear(peer)), ["", "committed\n", &back]);
}

#[test]
fn what_others_keep_for_a_transaction_comes_back_when_its_connection_ends_before_all_have_answered() {
    let mut broker = Broker::durable(3);
    let [a, b, c] = [0, 1, 2].map(|worker| peer_at(&mut broker, worker));
    let (q, r) = (name_at(1, 'q'), name_at(2, 'q'));
    says(&mut broker, b, &format!("declare {q} durable\ndeclare {r} durable"));
    says(&mut broker, b, &format!("put {q} 1 x\nput {r} 1 y"));
    let leased = format!("eating 1\nlease 1 1 {q} x\neating 2\nlease 2 1 {r} y\n");
    assert_eq!(says(&mut broker, a, &format!("eat 1 {q} 1\neat 2 {r} 1")), leased);
    broker.hold(true);
    // The answer of this one's worker waits until it is stored, the other's does not.
    says(&mut broker, c, &format!("put {r} 1 z"));
    assert_eq!(says(&mut broker, a, "commit yes 1 1 1;yes 2 1 1"), "");
    broker.cut(a);
    broker.store_all();
    broker.hear(c);
    let back = format!("eating 1\nlease 1 1 again 1 1 {q} x\n");
    assert_eq!(says(&mut broker, c, &format!("eat 1 {q} *")), back);
    let back = format!("eating 2\nlease 2 1 again 1 1 {r} y\nlease 2 2 {r} z\n");
    assert_eq!(says(&mut broker, c, &format!("eat 2 {r} *")), back);
}
