//! What is to happen later happens when it should, whatever happens meanwhile.

use std::time::Duration;

use mynah_model::Limits;

use crate::broker::{Broker, settings};

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

fn wait(broker: &mut Broker, millis: u64) {
    broker.advance(Duration::from_millis(millis));
}

#[test]
fn a_message_that_is_delayed_comes_when_its_time_has_come() {
    for mut broker in [Broker::new(1), Broker::new(3)] {
        let [a, b] = ["open a go", "open b go"].map(|line| broker.open(0, line));
        says(
            &mut broker,
            a,
            "declare q -\neat 1 q * settled\nexchange x fanout\nlink x q -\nsub t 1\nbind q t",
        );
        let said = "later 300 put q 1 third\nlater 100 put q 0 first\nlater 200 send x k 1 second\nlater 400 send amq.topic t 1 fourth";
        assert_eq!(says(&mut broker, b, said), "published 2\npublished 3\npublished 4\npublished 5\n");
        wait(&mut broker, 98);
        for due in ["q first", "k second", "q third"] {
            assert_eq!(broker.hear(a), "", "before {due}");
            wait(&mut broker, 4);
            assert!(broker.hear(a).ends_with(&format!("{due}\n")), "{due}");
            wait(&mut broker, 96);
        }
        assert_eq!(broker.hear(a), "");
        wait(&mut broker, 4);
        let heard = broker.hear(a);
        assert!(heard.contains("lease 1 4 t fourth") && heard.contains("msg "), "{heard}");
        // In a transaction as well.
        assert_eq!(says(&mut broker, b, "commit later 50 put q 1 late;put q 1 soon"), "committed\n");
        assert_eq!(broker.hear(a), "lease 1 5 q soon\n");
        wait(&mut broker, 55);
        assert_eq!(broker.hear(a), "lease 1 6 q late\n");
    }
}

#[test]
fn what_is_delayed_is_kept_over_a_crash_before_it_is_confirmed() {
    for (workers, then) in [(1, 1), (3, 3), (3, 1), (1, 3)] {
        let mut broker = Broker::durable(workers);
        let (a, b) = (broker.open(0, "open a go"), broker.open(0, "open b go"));
        says(&mut broker, a, "declare q durable\nexchange x direct durable\nlink x q k");
        broker.hold(true);
        broker.say(b, "later 500 put q 1 one\nlater 900 send x k 1 two\nlater 100 put q 0 gone\nlater 700 send x k 2 exact");
        assert_eq!(broker.hear(b).matches("published").count(), 0);
        broker.store_all();
        assert_eq!(broker.hear(b).matches("published").count(), 4);
        broker.hold(false);
        let mut broker = broker.crash(then);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "eat 1 q * settled"), "eating 1\n");
        wait(&mut broker, 510);
        assert_eq!(broker.hear(a), "lease 1 1 q one\n");
        // What came of it is not there again after the next crash.
        let mut broker = broker.crash(workers);
        assert_eq!(broker.disk().state.delayed.len(), 2);
        wait(&mut broker, 200);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "eat 1 q * settled"), "eating 1\nlease 1 1 k exact\n");
        wait(&mut broker, 200);
        assert_eq!(broker.hear(a), "lease 1 2 k two\n");
        assert!(broker.disk().state.delayed.is_empty());
    }
}

#[test]
fn an_entry_that_is_given_back_for_later_waits_over_a_crash() {
    for (workers, then) in [(1, 1), (3, 1), (1, 3)] {
        let mut broker = Broker::durable(workers);
        let a = broker.open(0, "open a go");
        says(&mut broker, a, "declare q durable");
        says(&mut broker, a, "put q 1 one\nput q 1 two\neat 1 q *");
        assert_eq!(says(&mut broker, a, "back 1 1 1 600\nfail 1 2 2 300"), "");
        let mut broker = broker.crash(then);
        let a = broker.open(0, "open a go");
        assert_eq!(says(&mut broker, a, "eat 1 q *"), "eating 1\n");
        wait(&mut broker, 290);
        assert_eq!(broker.hear(a), "");
        wait(&mut broker, 15);
        assert_eq!(broker.hear(a), "lease 1 1 again 1 1 q two\n");
        wait(&mut broker, 300);
        assert_eq!(broker.hear(a), "lease 1 2 again 1 0 q one\n");
    }
}

#[test]
fn no_more_wait_than_there_may_be() {
    let limits = Limits { delayed_messages_max: 2, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let a = broker.open(0, "open a go");
    says(&mut broker, a, "declare q -");
    let said = says(&mut broker, a, "later 10 put q 1 1\nlater 10 put q 2 2\nlater 10 put q 2 3");
    assert!(said.starts_with("published 3\npublished 4\nrefused 5"), "{said}");
    wait(&mut broker, 20);
    assert_eq!(says(&mut broker, a, "later 10 put q 1 4\npresent q"), "published 6\ndeclared q 2 0\n");
}
