//! Wills that wait, and sessions that end in time.

use std::time::Duration;

use mynah_model::Limits;

use crate::broker::{Broker, settings};

const MS: Duration = Duration::from_millis(1);

/// A broker of two workers and a peer that watches wills.
fn watched() -> (Broker, usize) {
    let mut broker = Broker::new(2);
    let watcher = broker.open(0, "open w go");
    broker.say(watcher, "sub will 0");
    broker.hear(watcher);
    (broker, watcher)
}

const GONE: &str = "msg 0 0 will gone\n";

//= mqtt-5.0 [MQTT-3.1.2-8]
//= mqtt-5.0 [MQTT-3.1.3-9]
#[test]
fn a_will_waits_and_is_not_published_if_somebody_comes_back() {
    let (mut broker, watcher) = watched();
    let peer = broker.open(0, "open a hour will 5000");
    broker.cut(peer);
    broker.advance(4_990 * MS);
    assert_eq!(broker.hear(watcher), "");
    let peer = broker.open(1, "open a hour will 5000");
    broker.advance(60_000 * MS);
    assert_eq!(broker.hear(watcher), "");
    let taken_over = peer;
    let peer = broker.open(0, "open a hour will 5000");
    assert!(!broker.is_connected(taken_over));
    broker.advance(60_000 * MS);
    assert_eq!(broker.hear(watcher), "", "a take-over is a coming back");
    broker.cut(peer);
    broker.advance(5_010 * MS);
    assert_eq!(broker.hear(watcher), GONE);
    broker.advance(3_700_000 * MS);
    assert_eq!(broker.hear(watcher), "", "once is enough");
}

#[test]
fn the_end_of_a_session_ends_the_waiting() {
    let (mut broker, watcher) = watched();
    for (opening, ends_by) in
        [("go", "itself"), ("hour", "time"), ("hour", "a clean start"), ("stay", "leave")]
    {
        let peer = broker.open(0, &format!("open a {opening} will 9000000"));
        broker.hear(watcher);
        match ends_by {
            "time" => {
                broker.cut(peer);
                broker.advance(3_601_000 * MS);
            }
            "a clean start" => {
                broker.open(1, "open a go");
            }
            "leave" => {
                broker.say(peer, "nonsense");
                assert_eq!(broker.hear(watcher), "");
                broker.open(1, "open a go");
            }
            _ => broker.cut(peer),
        }
        assert_eq!(broker.hear(watcher), GONE, "{ends_by}");
    }
}

//= mqtt-5.0 [MQTT-3.14.4-3]
#[test]
fn a_good_bye_takes_the_will_along() {
    let (mut broker, watcher) = watched();
    let peer = broker.open(0, "open a hour will 1000");
    broker.say(peer, "quit");
    broker.advance(3_700_000 * MS);
    assert_eq!(broker.hear(watcher), "");
}

//= mqtt-5.0 [MQTT-3.1.4-3]
#[test]
fn a_take_over_publishes_a_will_without_delay() {
    let (mut broker, watcher) = watched();
    broker.open(0, "open a hour will");
    broker.open(1, "open a hour");
    assert_eq!(broker.hear(watcher), GONE);
}

//= mqtt-5.0 [MQTT-3.1.2-23]
#[test]
fn a_session_ends_in_the_time_that_was_granted_or_said_at_the_end() {
    let limits = Limits { session_expiry_max: Some(Duration::from_secs(60)), ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    for wanted in ["stay", "hour"] {
        let (peer, heard) = broker.open_heard(0, &format!("open a {wanted}"));
        assert_eq!(heard, "opened new for 60 s\n");
        broker.cut(peer);
        broker.advance(59_000 * MS);
        let (peer, heard) = broker.open_heard(0, "open a hour");
        assert_eq!(heard, "opened again for 60 s\n");
        broker.cut(peer);
        broker.advance(61_000 * MS);
    }
    let (peer, heard) = broker.open_heard(0, "open a hour");
    assert_eq!(heard, "opened new for 60 s\n");
    broker.say(peer, "quit go");
    assert_eq!(broker.shared.all_counters()[0].sessions.read(), 0, "the end was said to be the end");
    let peer = broker.open(0, "open a hour");
    broker.say(peer, "quit stay");
    broker.advance(61_000 * MS);
    assert_eq!(broker.shared.all_counters()[0].sessions.read(), 0, "no longer than is granted");
}

#[test]
fn a_shorter_expiry_than_before_is_kept() {
    let mut broker = Broker::new(1);
    let peer = broker.open(0, "open a stay will 5000000");
    broker.cut(peer);
    let peer = broker.open(0, "open a hour");
    broker.cut(peer);
    broker.advance(3_601_000 * MS);
    assert_eq!(broker.shared.all_counters()[0].sessions.read(), 0);
}
