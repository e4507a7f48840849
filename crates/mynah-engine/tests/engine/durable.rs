//! What is promised is stored: answers wait for the store, and a broker that comes back after a crash goes on.

use std::time::Duration;

use crate::broker::Broker;

/// A broker with a store that stores nothing before it is told to, and what came before that is stored.
pub(crate) fn held(workers: u16, openings: &[&str]) -> (Broker, Vec<usize>) {
    let mut broker = Broker::durable(workers);
    let mut peers = Vec::new();
    for lines in openings {
        let peer = broker.accept(0);
        broker.say(peer, lines);
        broker.hear(peer);
        peers.push(peer);
    }
    broker.hold(true);
    (broker, peers)
}

#[test]
fn nothing_is_acknowledged_before_it_is_stored_and_then_in_order() {
    for workers in 1..4 {
        let (mut broker, peers) = held(workers, &["open s stay\nsub t/# 1", "open p go"]);
        broker.cut(peers[0]);
        broker.store_all();
        broker.say(peers[1], "pub t/1 1 - one\npub x 1 - nobody\npub t/2 1 - two");
        assert_eq!(broker.hear(peers[1]), "", "{workers}");
        broker.say(peers[1], "pub t/3 1 - three");
        broker.store_next();
        let heard = broker.hear(peers[1]);
        assert!(
            "published 2\npublished 3 unwanted\npublished 4\npublished 5\n".starts_with(&heard),
            "{heard}"
        );
        broker.store_all();
        assert_eq!(
            heard + &broker.hear(peers[1]),
            "published 2\npublished 3 unwanted\npublished 4\npublished 5\n"
        );
    }
}

#[test]
fn what_nobody_keeps_is_acknowledged_at_once() {
    let (mut broker, peers) = held(2, &["open s go\nsub t 2", "open d stay\nsub d 1", "open p go"]);
    broker.say(peers[2], "pub t 0 - x\npub t 1 - y\npub t 2 - z\ndone 4");
    assert_eq!(broker.pending(), 0);
    if broker.worker_of(peers[0]) == broker.worker_of(peers[2]) {
        assert!(broker.hear(peers[2]).starts_with("published 3\npublished 4\n"));
    }
    assert_eq!(broker.hear(peers[0]), "msg 0 0 t x\nmsg 1 1 t y\nmsg 2 2 t z\n");
}

#[test]
fn a_session_is_open_when_it_is_stored_and_its_input_waits() {
    let (mut broker, _) = held(1, &[]);
    let peer = broker.accept(0);
    broker.say(peer, "open s stay\nsub t 1\nunsub u");
    assert_eq!(broker.hear(peer), "");
    assert!(!broker.wants_bytes(peer));
    broker.store_next();
    assert_eq!(broker.hear(peer), "opened new\n");
    broker.store_all();
    assert_eq!(broker.hear(peer), "subscribed 1\nunsubscribed false\n");
}

#[test]
fn an_exactly_once_delivery_goes_out_when_its_identifier_is_stored() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 2", "open p go"]);
    broker.say(peers[1], "pub t 1 - one\npub t 2 - two");
    assert_eq!(broker.hear(peers[0]), "msg 1 1 t one\n", "at least once may repeat");
    broker.store_all();
    assert_eq!(broker.hear(peers[0]), "msg 2 2 t two\n");
    broker.say(peers[0], "rec 2");
    assert_eq!(broker.hear(peers[0]), "", "the release waits for it too");
    broker.store_all();
    assert_eq!(broker.hear(peers[0]), "received 2\n");
}

#[test]
fn an_exactly_once_publication_reaches_nobody_before_its_identifier_is_stored() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 1", "open p stay"]);
    broker.say(peers[1], "pub t 2 - x");
    assert_eq!(broker.hear(peers[0]), "", "it would come again, if the broker crashed now");
    broker.store_all();
    assert_eq!(broker.hear(peers[0]), "msg 1 1 t x\n");
}

#[test]
fn what_left_the_backlog_is_repeated_as_such_and_not_overtaken() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 1", "open p go"]);
    broker.cut(peers[0]);
    broker.say(peers[1], "pub t 1 - x");
    broker.store_all();
    let again = broker.accept(0);
    broker.say(again, "open s stay");
    broker.store_next();
    assert_eq!(broker.hear(again), "opened again\n");
    broker.say(peers[1], "pub t 1 - y");
    assert_eq!(broker.hear(again), "");
    broker.store_all();
    assert_eq!(broker.hear(again), "msg 1 1 t x\nmsg 2 1 t y\n");
    let mut broker = broker.crash(1);
    assert_eq!(broker.open_heard(0, "open s stay").1, "opened again\nmsg 1 1 again t x\nmsg 2 1 again t y\n");
}

#[test]
fn after_a_crash_everything_that_was_acknowledged_is_there() {
    for (before, after) in [(1, 1), (3, 2), (2, 3)] {
        let (mut broker, peers) = held(before, &["open s stay\nsub t 2\nsub @g:u 1", "open p stay"]);
        broker.say(
            peers[1],
            "pub t 1 - one\npub t 2 - two\npub v 1 keep value\npub w 1 keep gone\npub w 1 keep ",
        );
        broker.store_all();
        let heard = broker.hear(peers[0]);
        assert!(heard.ends_with("msg 1 1 t one\nmsg 2 2 t two\n"), "{heard}");
        broker.say(peers[0], "rec 2");
        broker.store_all();
        broker.say(peers[1], "pub t 1 - lost");
        let mut broker = broker.crash(after);
        let (again, heard) = broker.open_heard(0, "open s stay");
        assert_eq!(heard, "opened again\nmsg 1 1 again t one\nrelease 2\n", "{before} {after}");
        let publisher = broker.open(0, "open p go");
        broker.say(publisher, "pub t 2 - again\npub u 1 - shared");
        broker.say(again, "ack 1\nfin 2");
        assert_eq!(broker.hear(again), "msg 3 2 t again\nmsg 4 1 u shared\n");
        broker.say(again, "rec 3\nfin 3\nack 4\nsub v 1\nsub w 1");
        let heard = broker.hear(again);
        assert!(heard.contains("msg 5 1 retained v value") && !heard.contains("gone"), "{heard}");
    }
}

#[test]
fn an_exactly_once_publication_that_was_acknowledged_is_a_duplicate_after_a_crash() {
    for workers in 1..4 {
        let (mut broker, peers) = held(workers, &["open s stay\nsub t 2", "open p stay"]);
        broker.say(peers[1], "pub t 2 - x");
        broker.store_all();
        assert_eq!(broker.hear(peers[1]), "published 2\n");
        let mut broker = broker.crash(workers);
        let publisher = broker.open(0, "open p stay");
        broker.say(publisher, "pub t 2 - x");
        assert_eq!(broker.hear(publisher), "published 2\n");
        broker.say(publisher, "done 2");
        assert_eq!(broker.hear(publisher), "completed 2\n");
        let (_, heard) = broker.open_heard(0, "open s stay");
        assert_eq!(heard, "opened again\nmsg 1 2 again t x\n", "{workers}");
    }
}

#[test]
fn what_was_settled_or_dropped_does_not_come_back() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 1", "open p go"]);
    broker.say(peers[1], "pub t 1 - one\npub t 1 - two\npub t 1 - three");
    broker.say(peers[0], "ack 1");
    broker.store_all();
    let mut broker = broker.crash(1);
    let (again, heard) = broker.open_heard(0, "open s stay");
    assert_eq!(heard, "opened again\nmsg 2 1 again t two\nmsg 3 1 again t three\n");
    broker.say(again, "ack 2\nack 3\nquit");
    let gone = broker.open(0, "open s go");
    broker.say(gone, "quit");
    assert!(broker.disk().state.sessions.is_empty());
}

#[test]
fn what_comes_and_goes_before_changes_are_taken_is_acknowledged_and_never_stored() {
    let (mut broker, peers) = held(1, &["take 9\nopen s stay\nsub t/# 1", "open p go"]);
    broker.say(peers[1], "pub t/1 1 - one");
    broker.gather(true);
    broker.say(peers[1], "pub t/2 1 - two\npub t/3 1 - three\npub t/4 1 - four");
    broker.say(peers[0], "ack 1\nack 2\nack 3");
    assert_eq!(broker.engines[0].changes(), 4, "three entries, and one note of what has gone");
    assert!(broker.engines[0].awaits_changes());
    broker.gather(false);
    assert_eq!((broker.hear(peers[1]).as_str(), broker.pending()), ("", 2));
    broker.store_next();
    let entries = |broker: &Broker| broker.disk().state.sessions[&b"s"[..]].entries.len();
    assert_eq!((broker.hear(peers[1]).as_str(), entries(&broker)), ("published 2\n", 1));
    broker.store_next();
    assert_eq!(broker.hear(peers[1]), "published 3\npublished 4\npublished 5\n");
    assert_eq!(entries(&broker), 1);
    let mut broker = broker.crash(1);
    assert_eq!(broker.open_heard(0, "open s stay").1, "opened again\nmsg 4 1 again t/4 four\n");
}

#[test]
fn changes_that_nobody_waits_for_are_known_as_such() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 1", "open p go"]);
    broker.say(peers[1], "pub t 1 - one");
    broker.store_all();
    broker.gather(true);
    broker.say(peers[0], "ack 1");
    assert_eq!((broker.engines[0].changes(), broker.engines[0].awaits_changes()), (1, false));
    broker.say(peers[1], "pub t 1 - two");
    assert_eq!((broker.engines[0].changes(), broker.engines[0].awaits_changes()), (2, true));
}

#[test]
fn a_crash_is_an_end_without_good_bye() {
    let (mut broker, _) = held(2, &["open s stay\nsub w 1", "open p stay w", "open q stay w 5000"]);
    broker.store_all();
    let mut broker = broker.crash(2);
    broker.advance(Duration::from_millis(1));
    let (watcher, heard) = broker.open_heard(0, "open s stay");
    assert_eq!(heard.matches(" w ").count(), 1, "{heard}");
    broker.say(watcher, "ack 1");
    broker.advance(Duration::from_secs(6));
    let heard = broker.hear(watcher);
    assert_eq!(heard.matches(" w ").count(), 1, "{heard}");
    assert!(broker.disk().state.sessions.values().all(|session| !session.has_will()));
}

#[test]
fn without_room_only_what_would_be_stored_is_refused() {
    let (mut broker, peers) = held(1, &["open s stay\nsub t 1", "open p go"]);
    broker.say(peers[1], "pub u 0 keep v");
    broker.engines[0].set_full(broker.now, true);
    broker.say(peers[1], "pub t 1 - x\npub t 0 - y\npub u 1 - z\npub u 0 keep w\npub u 1 keep ");
    broker.store_all();
    assert_eq!(
        broker.hear(peers[1]),
        "refused 3 no room to store it\npublished 5 unwanted\npublished 7 unwanted\n"
    );
    assert!(broker.disk().state.values.is_empty(), "a value can be taken away");
    assert_eq!(broker.hear(peers[0]), "msg 0 0 t y\n");
    broker.engines[0].set_full(broker.now, false);
    broker.settle();
    assert_eq!([broker.hear(peers[0]), broker.hear(peers[1])], ["", "room\n"]);
    broker.say(peers[1], "pub t 1 - x");
    broker.store_all();
    assert_eq!(broker.hear(peers[1]), "published 8\n");
}

#[test]
fn at_a_listener_in_a_hurry_nothing_waits_for_the_store() {
    let (mut broker, peers) = held(2, &["open s stay\nsub t 2", "open p stay", "open q stay"]);
    broker.store_all();
    for engine in &mut broker.engines {
        engine.answer_at_once(0);
    }
    for peer in [peers[1], peers[2]] {
        broker.say(peer, "pub t 1 - x\npub t 2 - y");
        assert_eq!(broker.hear(peer), "published 2\npublished 3\n");
    }
    broker.store_all();
    assert_eq!(broker.disk().state.sessions[&b"s"[..]].entries.len(), 4, "it is stored all the same");
}

#[test]
fn where_answers_do_not_wait_no_identifier_that_a_receiver_may_remember_is_given_to_another_message() {
    let mut broker = Broker::late(1);
    let session = broker.open(0, "open s stay\nsub t 2");
    broker.hear(session);
    broker.store_all();
    broker.hold(true);
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 2 - lost");
    assert_eq!(broker.hear(session), "msg 1 2 t lost\n");
    // The client has it, and its PUBREC is lost with the broker that knew the message.
    let mut broker = broker.crash(1);
    let (session, heard) = broker.open_heard(0, "open s stay");
    assert_eq!(heard, "opened again\n");
    let publisher = broker.open(0, "open p go");
    broker.say(publisher, "pub t 2 - new");
    let heard = broker.hear(session);
    assert!(heard.ends_with(" 2 t new\n") && !heard.starts_with("msg 1 "), "{heard}");
}

#[test]
fn where_answers_do_not_wait_a_will_that_crosses_to_another_worker_is_owed_all_the_same() {
    let mut broker = Broker::late(3);
    for name in ["a", "b", "c", "d"] {
        let session = broker.open(0, &format!("open {name} stay\nsub w 1"));
        broker.hear(session);
    }
    let mourner = broker.open(0, "open m go w");
    broker.store_all();
    broker.hold(true);
    broker.cut(mourner);
    // That the will is out is stored; the sessions on other workers have it, and that is not stored.
    broker.store_next();
    let mut broker = broker.crash(2);
    for name in ["a", "b", "c", "d"] {
        let (_, heard) = broker.open_heard(0, &format!("open {name} stay"));
        assert_eq!(heard.matches(" w ").count(), 1, "{name}: {heard}");
    }
}

#[test]
fn what_is_due_at_the_start_is_done_before_the_first_peer_comes() {
    for workers in 1..4 {
        let (mut broker, _) = held(workers, &["open s stay\nsub exact 2", "open w go exact"]);
        broker.store_all();
        let mut broker = broker.crash(workers);
        assert!(!broker.disk().state.sessions.contains_key(&b"w"[..]), "it has ended with its connection");
        let (_, heard) = broker.open_heard(0, "open s stay");
        assert_eq!(heard, "opened again\nmsg 1 2 exact gone\n", "{workers}");
    }
}
