//! ACK and NACK in each mode and version.

use mynah_stomp::mapping::Profile;
use mynah_stomp::{Config, Settings};

use crate::broker::Server;

/// A server with five messages in a queue, of which the subscription gets as many as it may.
fn five(version: &str, headers: &str) -> Server {
    with(Server::open(version), headers)
}

fn with(mut server: Server, headers: &str) -> Server {
    for n in 1..=5 {
        server.hear(format!("SEND\ndestination:/queue/q\n\n{n}\0"));
    }
    server.hear(format!("SUBSCRIBE\nid:s\ndestination:/queue/q\n{headers}\n\0"));
    server
}

/// The bodies of the messages in an answer.
fn bodies(written: &str) -> Vec<&str> {
    let frames = written.split_terminator("^@").filter(|frame| frame.starts_with("MESSAGE"));
    frames.filter_map(|frame| frame.split_once("\n\n")).map(|(_, body)| body).collect()
}

//= stomp-1.2 [ack-cumulative] [ack-id]
#[test]
fn client_acknowledges_all_before() {
    let mut server = five("1.2", "ack:client\nprefetch-count:3\n");
    assert_eq!(bodies(&server.hear("ACK\nid:1-2\n\n\0")), ["4", "5"]);
    // What was settled is settled.
    assert_eq!(server.hear("ACK\nid:1-1\nreceipt:r\n\n\0"), "RECEIPT\nreceipt-id:r\n\n^@");
    assert_eq!(server.hear("NACK\nid:1-5\nrequeue:false\n\n\0"), "");
    assert_eq!(server.rejected.len(), 3, "NACK is cumulative too");
}

//= stomp-1.2 [ack-individual]
//= stomp-1.1 [ack-individual]
#[test]
fn client_individual_acknowledges_one() {
    let mut server = five("1.2", "ack:client-individual\n");
    assert_eq!(server.hear("ACK\nid:1-3\n\n\0NACK\nid:1-5\nrequeue:false\n\n\0"), "");
    assert_eq!(server.rejected.len(), 1);
    server.hear("UNSUBSCRIBE\nid:s\n\n\0");
    let again = server.hear("SUBSCRIBE\nid:t\ndestination:/queue/q\n\n\0");
    assert_eq!(bodies(&again), ["1", "2", "4"]);
    assert_eq!(again.matches("redelivered:true\n").count(), 3);
}

#[test]
fn the_first_version_has_what_brokers_have_added_to_it() {
    let mut server = five("1.0", "ack:client-individual\n");
    assert_eq!(server.hear("ACK\nmessage-id:1-3\n\n\0NACK\nmessage-id:1-5\nrequeue:False\n\n\0"), "");
    assert_eq!(server.rejected.len(), 1);
    server.hear("UNSUBSCRIBE\nid:s\n\n\0");
    assert_eq!(server.queues[&b"q"[..]].len(), 3);
}

#[test]
fn the_subscription_that_an_acknowledgement_names_counts_as_its_profile_has_it() {
    for (profile, counts) in [(Profile::RabbitMq, false), (Profile::ActiveMq, true), (Profile::Plain, true)] {
        for subscription in ["", "subscription:other\n"] {
            let config = Config::new(Settings { profile, ..Settings::default() }).unwrap();
            let mut server = with(Server::open_with("1.1", config), "ack:client\n");
            let written = server.hear(format!("ACK\nmessage-id:1-1\n{subscription}\n\0"));
            assert_eq!(written.starts_with("ERROR\n"), counts, "{profile:?}: {written}");
        }
    }
}

//= stomp-1.2 [message-ack] [nack-headers]
//= stomp-1.1 [ack-headers]
//= stomp-1.0 [ack-message-id]
#[test]
fn each_version_names_a_message_its_own_way() {
    for (version, ack, has_ack) in [
        ("1.0", "ACK\nmessage-id:1-1\n\n\0", false),
        ("1.1", "ACK\nmessage-id:1-1\nsubscription:s\n\n\0", false),
        ("1.2", "ACK\nid:1-1\n\n\0", true),
    ] {
        let mut server = Server::open(version);
        server.hear("SEND\ndestination:/queue/q\n\nx\0");
        let message = server.hear("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\n\n\0");
        assert!(message.contains("\nmessage-id:1-1\n"), "{message}");
        assert_eq!(message.contains("\nack:1-1\n"), has_ack);
        assert_eq!(server.hear(ack), "");
        server.hear("UNSUBSCRIBE\nid:s\n\n\0");
        assert!(server.queues[&b"q"[..]].is_empty());
    }
}

#[test]
fn a_nack_offers_the_message_again_or_makes_a_dead_letter_as_the_profile_has_it() {
    let mut server = five("1.2", "ack:client-individual\nprefetch-count:1\n");
    let again = server.hear("NACK\nid:1-1\n\n\0");
    assert_eq!(bodies(&again), ["1"]);
    assert!(again.contains("\nredelivered:true\n") && again.contains("\nack:1-2\n"));

    let settings = Settings { profile: Profile::ActiveMq, ..Settings::default() };
    let server = Server::open_with("1.2", Config::new(settings).unwrap());
    let mut server = with(server, "ack:client-individual\nprefetch-count:1\n");
    assert_eq!(bodies(&server.hear("NACK\nid:1-1\n\n\0")), ["2"]);
    assert_eq!(server.rejected.len(), 1);
    assert_eq!(bodies(&server.hear("NACK\nid:1-2\nrequeue:true\n\n\0")), ["2"]);
}

#[test]
fn a_receipt_of_an_acknowledgement_waits_until_it_is_stored() {
    let mut server = five("1.2", "ack:client\n");
    server.holds = true;
    assert_eq!(server.hear("ACK\nid:1-5\nreceipt:r\n\n\0"), "");
    assert_eq!(server.release(), "RECEIPT\nreceipt-id:r\n\n^@");
}

#[test]
fn credit_in_octets_lets_one_large_message_through_at_a_time() {
    let mut server = Server::open("1.2");
    for _ in 0..3 {
        server.hear(format!("SEND\ndestination:/queue/q\n\n{}\0", "x".repeat(50)));
    }
    let first =
        server.hear("SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\nconsumer-window-size:10\n\n\0");
    assert_eq!(bodies(&first).len(), 1);
    assert_eq!(bodies(&server.hear("ACK\nid:1-1\n\n\0")).len(), 1);
    assert_eq!(bodies(&server.hear("ACK\nid:1-2\n\n\0")).len(), 1);
}

#[test]
fn an_acknowledgement_after_the_end_of_its_subscription_is_passed_over() {
    let mut server = five("1.2", "ack:client\n");
    server.hear("UNSUBSCRIBE\nid:s\n\n\0");
    assert_eq!(server.hear("ACK\nid:1-1\nreceipt:r\n\n\0"), "RECEIPT\nreceipt-id:r\n\n^@");
    let mut server = five("1.2", "ack:auto\n");
    assert_eq!(server.hear("ACK\nid:1-1\nreceipt:r\n\n\0"), "RECEIPT\nreceipt-id:r\n\n^@");
}
