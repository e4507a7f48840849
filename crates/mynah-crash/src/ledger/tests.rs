//! A good history has no violation, and each way to spoil it is found.

use super::*;

const PRODUCER: usize = 0;
const EXACT: usize = 1;
const LEAST: usize = 2;

/// What happens, so that a history can be changed before it is told.
#[derive(Clone, Debug)]
enum Event {
    Connected(usize, bool),
    Subscribe(usize, &'static str, Class, Option<Class>),
    Unsubscribe(usize, &'static str),
    Attempt(u32, &'static str, Class, bool),
    Resend(u32),
    Acknowledge(u32),
    GiveUp(u32),
    /// Session, sequence, topic, class, DUP.
    Come(usize, u32, &'static str, Class, bool),
    Look(&'static str, Option<u32>),
    Settle,
}

use Class::{AtLeastOnce as Q1, ExactlyOnce as Q2};
use Event::*;

fn id(sequence: u32) -> MessageId {
    MessageId { producer: 0, sequence }
}

fn told(events: &[Event]) -> Ledger {
    let mut ledger = Ledger::new(["p", "exact", "least"].map(str::to_owned).to_vec());
    for event in events {
        match *event {
            Connected(peer, present) => ledger.connected(peer, present),
            Subscribe(peer, filter, asked, granted) => {
                ledger.subscribing(peer, filter, asked);
                ledger.subscribed(peer, filter, granted);
            }
            Unsubscribe(peer, filter) => {
                ledger.unsubscribing(peer, filter);
                ledger.unsubscribed(peer, filter);
            }
            Attempt(sequence, topic, class, retain) => {
                let topic = topic.into();
                ledger.attempt(
                    id(sequence),
                    Publication { topic, class, retain, clears: false, is_ordered: true },
                );
            }
            Resend(sequence) => ledger.resend(id(sequence)),
            Acknowledge(sequence) => ledger.acknowledge(id(sequence)),
            GiveUp(sequence) => ledger.give_up(id(sequence)),
            Come(peer, sequence, topic, class, dup) => {
                let payload = payload::encode(id(sequence), topic, 50);
                ledger.arrive(peer, Arrival { topic, payload: &payload, class, dup, retain: false });
            }
            Look(topic, sequence) => {
                let value = sequence.map(|sequence| payload::encode(id(sequence), topic, 50));
                ledger.look_at(topic, value.as_deref());
            }
            Settle => ledger.settle(),
        }
    }
    ledger
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    told(events).violations().iter().map(|violation| violation.kind).collect()
}

/// Two sessions, one crash in the middle, everything as it should be.
fn good() -> Vec<Event> {
    vec![
        Connected(PRODUCER, false),
        Connected(EXACT, false),
        Connected(LEAST, false),
        Subscribe(EXACT, "a/#", Q2, Some(Q2)),
        Subscribe(LEAST, "a/+", Q1, Some(Q1)),
        Attempt(1, "a/b", Q2, false),
        Attempt(2, "a/b", Q1, false),
        Acknowledge(1),
        Come(EXACT, 1, "a/b", Q2, false),
        Come(LEAST, 1, "a/b", Q1, false),
        Come(EXACT, 2, "a/b", Q1, false),
        Attempt(3, "a/r", Q1, true),
        Acknowledge(3),
        Look("a/r", Some(3)),
        // Here the broker is killed.
        Connected(PRODUCER, true),
        Resend(2),
        Connected(EXACT, true),
        Connected(LEAST, true),
        Come(LEAST, 1, "a/b", Q1, true),
        Come(EXACT, 2, "a/b", Q1, false),
        Come(EXACT, 2, "a/b", Q1, true),
        Come(LEAST, 2, "a/b", Q1, false),
        Acknowledge(2),
        Come(EXACT, 3, "a/r", Q1, false),
        Come(LEAST, 3, "a/r", Q1, false),
        Attempt(4, "a/b", Q2, false),
        Come(EXACT, 4, "a/b", Q2, false),
        Come(LEAST, 4, "a/b", Q1, false),
        Acknowledge(4),
        Look("a/r", Some(3)),
        Settle,
    ]
}

/// The good history with another event in the place of the first that is `wanted`, or with none.
fn changed(wanted: fn(&Event) -> bool, to: &[Event]) -> Vec<Event> {
    let mut events = good();
    let at = events.iter().position(wanted).unwrap();
    events.splice(at..=at, to.iter().cloned());
    events
}

#[test]
fn a_good_history_has_no_violation() {
    let ledger = told(&good());
    assert_eq!(ledger.violations(), []);
    let totals =
        Totals { attempted: 4, acknowledged: 4, arrivals: 11, again: 3, values: 2, ..Totals::default() };
    assert_eq!(ledger.totals(), totals);
}

#[test]
fn each_delivery_that_is_left_out_is_missing_unless_another_copy_came() {
    let mut missing = 0;
    for at in 0..good().len() {
        let mut events = good();
        let Come(session, sequence, ..) = events.remove(at) else { continue };
        let again = events.iter().any(|e| matches!(e, Come(s, q, ..) if (*s, *q) == (session, sequence)));
        let expected: &[Kind] = if again { &[] } else { &[Kind::Missing] };
        assert_eq!(kinds(&events), expected, "without delivery {at}");
        missing += usize::from(!again);
    }
    assert_eq!(missing, 6);
}

#[test]
fn each_delivery_with_qos_2_that_comes_twice_is_a_duplicate_whatever_its_flag() {
    for dup in [false, true] {
        for sequence in [1, 4] {
            let mut events = good();
            let at = events.iter().position(|e| matches!(e, Come(EXACT, s, ..) if *s == sequence)).unwrap();
            events.insert(at + 1, Come(EXACT, sequence, "a/b", Q2, dup));
            assert_eq!(kinds(&events), [Kind::Duplicate]);
        }
    }
}

#[test]
fn with_qos_1_a_copy_needs_dup_or_another_sending() {
    let third = changed(|e| matches!(e, Come(EXACT, 2, _, _, true)), &[Come(EXACT, 2, "a/b", Q1, false)]);
    assert_eq!(kinds(&third), [Kind::Duplicate], "a copy for each sending, and one more");
    let unmarked = changed(|e| matches!(e, Come(LEAST, 1, _, _, true)), &[Come(LEAST, 1, "a/b", Q1, false)]);
    assert_eq!(kinds(&unmarked), [Kind::Duplicate], "published with QoS 2, so sent once");
    assert_eq!(kinds(&changed(|e| matches!(e, Resend(2)), &[])), [Kind::Duplicate]);
}

#[test]
fn what_was_not_published_and_what_is_damaged_is_found() {
    let never = changed(|e| matches!(e, Settle), &[Come(EXACT, 9, "a/b", Q2, false), Settle]);
    assert_eq!(kinds(&never), [Kind::Unpublished]);
    let elsewhere = changed(|e| matches!(e, Settle), &[Come(EXACT, 4, "a/c", Q2, false), Settle]);
    assert_eq!(kinds(&elsewhere), [Kind::Unpublished]);
    let mut ledger = told(&good());
    let mut payload = payload::encode(id(4), "a/b", 50);
    payload[49] ^= 1;
    ledger.arrive(EXACT, Arrival { topic: "a/b", payload: &payload, class: Q2, dup: false, retain: false });
    assert_eq!(ledger.violations()[0].kind, Kind::Unpublished);
}

#[test]
fn what_was_not_subscribed_to_may_not_come_and_neither_after_its_end() {
    let never = changed(|e| matches!(e, Subscribe(LEAST, ..)), &[]);
    assert_eq!(kinds(&never), [Kind::Unpublished; 5]);
    let ended =
        changed(|e| matches!(e, Attempt(4, ..)), &[Unsubscribe(LEAST, "a/+"), Attempt(4, "a/b", Q2, false)]);
    assert_eq!(kinds(&ended), [Kind::Unpublished]);
    // What was published before the end may still come, and need not.
    let mut before = changed(|e| matches!(e, Acknowledge(4)), &[Unsubscribe(LEAST, "a/+"), Acknowledge(4)]);
    assert_eq!(kinds(&before), []);
    before.retain(|e| !matches!(e, Come(LEAST, 4, ..)));
    assert_eq!(kinds(&before), []);
}

#[test]
fn first_arrivals_keep_their_order_in_each_lane() {
    let mut events = good();
    let at = |events: &[Event], wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let first = at(&events, |e| matches!(e, Attempt(4, ..)));
    let lane =
        [Attempt(5, "a/b", Q2, false), Come(EXACT, 5, "a/b", Q2, false), Come(LEAST, 5, "a/b", Q1, false)];
    events.splice(first + 1..first + 1, lane);
    events.insert(events.len() - 1, Acknowledge(5));
    assert_eq!(kinds(&events), [Kind::OutOfOrder; 2]);
    // Another class, or another topic, is another lane.
    assert_eq!(kinds(&changed(|e| matches!(e, Come(EXACT, 1, ..)), &[])), [Kind::Missing]);
    let late = [Come(EXACT, 2, "a/b", Q1, false), Come(EXACT, 1, "a/b", Q2, false)];
    let mut events = changed(|e| matches!(e, Come(EXACT, 2, ..)), &late);
    events.remove(at(&events, |e| matches!(e, Come(EXACT, 1, ..))));
    assert_eq!(kinds(&events), []);
}

#[test]
fn a_lost_session_a_refusal_and_another_class_are_found() {
    assert_eq!(
        kinds(&changed(|e| matches!(e, Connected(EXACT, true)), &[Connected(EXACT, false)])),
        [Kind::SessionLost]
    );
    let less = changed(|e| matches!(e, Subscribe(LEAST, ..)), &[Subscribe(LEAST, "a/+", Q1, None)]);
    assert_eq!(kinds(&less)[0], Kind::SubscriptionRefused);
    let lower = changed(|e| matches!(e, Come(EXACT, 4, ..)), &[Come(EXACT, 4, "a/b", Q1, false)]);
    assert_eq!(kinds(&lower), [Kind::WrongClass]);
}

#[test]
fn what_is_never_acknowledged_is_unanswered_unless_its_producer_gave_up() {
    assert_eq!(kinds(&changed(|e| matches!(e, Acknowledge(4)), &[])), [Kind::Unanswered]);
    let mut events = changed(|e| matches!(e, Acknowledge(4)), &[GiveUp(4)]);
    events.retain(|e| !matches!(e, Come(_, 4, ..)));
    assert_eq!(kinds(&events), []);
}

#[test]
fn a_retained_value_that_is_gone_or_old_is_found() {
    let gone = changed(|e| matches!(e, Settle), &[Look("a/r", None), Settle]);
    assert_eq!(kinds(&gone), [Kind::Retained]);
    let old = changed(
        |e| matches!(e, Settle),
        &[
            Attempt(6, "a/r", Q1, true),
            Look("a/r", Some(3)),
            Acknowledge(6),
            Come(EXACT, 6, "a/r", Q1, false),
            Come(LEAST, 6, "a/r", Q1, false),
            Look("a/r", Some(3)),
            Settle,
        ],
    );
    assert_eq!(kinds(&old), [Kind::Retained]);
    let mut ledger = told(&good());
    ledger.look_at("a/r", Some(b"x"));
    assert_eq!(ledger.violations()[0].kind, Kind::Retained);
}

#[test]
fn a_violation_tells_the_history_of_its_message() {
    let mut events = good();
    events.retain(|e| !matches!(e, Come(LEAST, 2, ..)));
    let ledger = told(&events);
    let line = ledger.violations()[0].to_string();
    assert!(line.starts_with(
        "missing (cycle 0): did not come to least: message 2 of producer 0, a/b, QoS 1: cycle 0 ["
    ));
    assert!(line.contains("sent again") && line.contains("came to exact with QoS 1 DUP"), "{line}");
}

#[test]
fn what_did_not_concern_a_session_at_first_may_come_late_if_it_is_sent_again() {
    let mut events = vec![
        Connected(PRODUCER, false),
        Connected(EXACT, false),
        Attempt(1, "a/b", Q2, false),
        Subscribe(EXACT, "a/#", Q2, Some(Q2)),
        Attempt(2, "a/b", Q2, false),
        Come(EXACT, 2, "a/b", Q2, false),
        Resend(1),
        Come(EXACT, 1, "a/b", Q2, false),
        Acknowledge(1),
        Acknowledge(2),
        Settle,
    ];
    assert_eq!(kinds(&events), []);
    events.remove(6);
    assert_eq!(kinds(&events), [Kind::OutOfOrder]);
}
