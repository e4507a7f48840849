//! Heart-beats in both directions.

use std::time::Duration;

use mynah_model::{Instant, Reason};
use mynah_stack::Connection;
use mynah_stomp::Config;

use crate::broker::Server;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn open(heart_beat: &str) -> Server {
    let mut server = Server::new(Config::default());
    server.hear(format!("CONNECT\naccept-version:1.2\nhost:h\nheart-beat:{heart_beat}\n\n\0"));
    server
}

//= stomp-1.2 [heart-beat-send] [heart-beat-interval]
#[test]
fn a_silent_server_sends_the_end_of_a_line() {
    let mut server = open("0,1000");
    assert_eq!(server.connection.deadline(), Some(at(1_000)));
    assert_eq!(server.timeout(at(1_000)), "\n");
    assert_eq!(server.connection.deadline(), Some(at(2_000)));
    // A frame is a sign of life too.
    server.hear_at(at(1_500), "SEND\ndestination:/topic/a\nreceipt:1\n\n\0");
    assert_eq!(server.connection.deadline(), Some(at(2_500)));
}

//= stomp-1.2 [heart-beat-tolerance]
#[test]
fn a_silent_client_is_dead_after_twice_its_time() {
    let mut server = open("500,0");
    assert_eq!(server.connection.deadline(), Some(at(1_000)));
    assert_eq!(server.hear_at(at(900), "\n"), "");
    assert_eq!(server.connection.deadline(), Some(at(1_900)));
    // Any octet counts, also of a frame that is not whole.
    server.hear_at(at(1_800), "SEND\ndesti");
    server.hear_at(at(2_800), "nation:/topic/a\n");
    assert_eq!(server.timeout(at(3_799)), "");
    assert!(server.timeout(at(3_800)).starts_with("ERROR\nmessage:no heart-beat\n"));
    assert_eq!(server.closed.unwrap().reason, Reason::KeepAliveTimeout);
}

//= stomp-1.2 [heart-beat-missing]
#[test]
fn who_says_nothing_gets_nothing() {
    assert_eq!(open("0,0").connection.deadline(), None);
    assert_eq!(Server::open("1.2").connection.deadline(), None);
    assert_eq!(Server::open("1.0").connection.deadline(), None);
}

#[test]
fn a_heart_beat_in_the_middle_of_nothing_does_not_disturb_a_frame() {
    let mut server = open("0,0");
    for octet in b"\n\n\r\nSEND\ndestination:/topic/a\n\nx\0\n\r\n\n" {
        assert_eq!(server.hear([*octet]), "");
    }
    assert_eq!(server.published.len(), 1);
    assert_eq!(server.published[0].1.payload(), b"x");
}
