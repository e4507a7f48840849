//! Leases that no connection holds.

use std::time::Duration;

use mynah_model::Limits;

use crate::broker::{Broker, settings};

/// Brokers of one worker and of several: what is heard is the same.
fn brokers() -> [Broker; 2] {
    [Broker::new(1), Broker::new(3)]
}

fn says(broker: &mut Broker, peer: usize, lines: &str) -> String {
    broker.say(peer, lines);
    broker.hear(peer)
}

/// A peer that says one thing and leaves.
fn once(broker: &mut Broker, line: &str) -> String {
    let peer = broker.open(0, "open once go");
    let heard = says(broker, peer, line);
    broker.cut(peer);
    heard
}

/// A broker with a queue and so many messages.
fn filled(broker: &mut Broker, settings: &str, count: usize) -> usize {
    let peer = broker.open(0, "open keeper go");
    says(broker, peer, &format!("declare q {settings}"));
    for number in 0..count {
        says(broker, peer, &format!("put q 1 {number}"));
    }
    peer
}

#[test]
fn leases_outlive_the_connection_and_are_settled_by_another() {
    for mut broker in brokers() {
        let keeper = filled(&mut broker, "-", 4);
        assert_eq!(
            once(&mut broker, "take q me 3 30000 0"),
            "lease - 1 held q 0\nlease - 2 held q 1\nlease - 3 held q 2\nheld\n"
        );
        assert_eq!(says(&mut broker, keeper, "present q"), "declared q 1 0\n");
        assert_eq!(once(&mut broker, "taken q me 2 yes 0"), "held\n");
        assert_eq!(once(&mut broker, "taken q me 2 yes 0"), "not held\n", "it is settled");
        assert_eq!(once(&mut broker, "taken q you 1 yes 0"), "not held\n", "nobody guesses the name");
        assert_eq!(
            once(&mut broker, "taken other me 1 yes 0"),
            "refused no such queue or exchange: there is no queue of this name\n"
        );
        assert_eq!(once(&mut broker, "taken q me 1 no 5000"), "held\n");
        assert_eq!(says(&mut broker, keeper, "present q"), "declared q 1 0\n", "it comes later");
        broker.advance(Duration::from_secs(6));
        assert_eq!(
            once(&mut broker, "take q you 9 30000 0"),
            "lease - 1 held again 1 1 q 0\nlease - 2 held q 3\nheld\n"
        );
        assert_eq!(once(&mut broker, "taken q me 3 yes 0"), "held\n");
        assert_eq!(once(&mut broker, "taken q you 1 yes 0"), "held\n");
        assert_eq!(once(&mut broker, "taken q you 2 yes 0"), "held\n");
        broker.advance(Duration::from_secs(60));
        assert_eq!(says(&mut broker, keeper, "present q"), "declared q 0 0\n");
    }
}

#[test]
fn a_lease_that_is_over_has_failed_unless_it_was_extended() {
    for mut broker in brokers() {
        filled(&mut broker, "-", 2);
        once(&mut broker, "take q me 2 10000 0");
        broker.advance(Duration::from_secs(9));
        assert_eq!(once(&mut broker, "taken q me 2 more 10000"), "held\n");
        broker.advance(Duration::from_secs(2));
        assert_eq!(once(&mut broker, "taken q me 1 more 10000"), "not held\n");
        assert_eq!(once(&mut broker, "take q you 9 1000 0"), "lease - 1 held again 1 1 q 0\nheld\n");
        assert_eq!(once(&mut broker, "taken q me 2 yes 0"), "held\n");
        broker.advance(Duration::from_secs(2));
        assert_eq!(once(&mut broker, "taken q you 1 yes 0"), "not held\n");
    }
}

#[test]
fn who_waits_gets_the_first_that_comes_or_nothing_in_time() {
    for mut broker in brokers() {
        let keeper = filled(&mut broker, "-", 0);
        let waiting = broker.open(0, "open w go");
        assert_eq!(says(&mut broker, waiting, "take q me 5 10000 3000"), "");
        broker.advance(Duration::from_secs(1));
        says(&mut broker, keeper, "put q 1 a");
        assert_eq!(broker.hear(waiting), "lease - 1 held q a\nheld\n");
        says(&mut broker, keeper, "put q 1 b");
        assert_eq!(broker.hear(waiting), "", "it was answered");
        assert_eq!(says(&mut broker, waiting, "taken q me 1 yes 0"), "held\n");
        assert_eq!(says(&mut broker, waiting, "take q me 1 10000 3000"), "lease - 1 held q b\nheld\n");
        assert_eq!(says(&mut broker, waiting, "take q you 1 10000 3000"), "");
        broker.advance(Duration::from_secs(4));
        assert_eq!(broker.hear(waiting), "held\n", "there was nothing");
        // Who goes while it waits is waited for no more.
        assert_eq!(says(&mut broker, waiting, "take q third 1 10000 3000"), "");
        broker.cut(waiting);
        says(&mut broker, keeper, "put q 1 c");
        assert_eq!(says(&mut broker, keeper, "present q"), "declared q 1 0\n");
    }
}

#[test]
fn leases_without_a_connection_are_bounded_and_some_queues_have_none() {
    for workers in [1, 3] {
        let limits = Limits { held_leases_max: 3, ..Limits::default() };
        let mut broker = Broker::with(settings(workers, limits));
        let keeper = filled(&mut broker, "-", 4);
        assert_eq!(once(&mut broker, "take q me 2 10000 0").matches("lease").count(), 2);
        assert_eq!(once(&mut broker, "take q you 2 10000 0"), "refused quota exceeded\n");
        broker.advance(Duration::from_secs(11));
        assert_eq!(once(&mut broker, "take q you 2 10000 0").matches("lease").count(), 2);
        says(&mut broker, keeper, "declare s stream");
        assert_eq!(
            once(&mut broker, "take s s 1 10000 0"),
            "refused does not fit what is there: a stream is read, not leased\n"
        );
        assert_eq!(
            once(&mut broker, "take none n 1 10000 0"),
            "refused no such queue or exchange: there is no queue of this name\n"
        );
        says(&mut broker, keeper, "drop q");
        assert_eq!(
            once(&mut broker, "taken q you 1 yes 0"),
            "refused no such queue or exchange: there is no queue of this name\n"
        );
        broker.advance(Duration::from_secs(11));
    }
}
