//! Topics: what is sent, and what is delivered.

use mynah_model::{Class, Instant, PropertyValue, WallTime};
use mynah_stack::LayoutCodec;
use mynah_stomp::mapping::{Profile, StompCodec};
use mynah_stomp::{Config, Settings};

use crate::broker::{EPOCH, Server, topic};

fn with(profile: Profile) -> Config {
    Config::new(Settings { profile, ..Settings::default() }).unwrap()
}

//= stomp-1.2 [message-headers] [message-user-headers]
//= stomp-1.1 [message-headers]
#[test]
fn a_message_says_where_it_is_from_and_whose_it_is() {
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:s\\c0\ndestination:/topic/a.*\n\n\0");
    let send =
        "SEND\ndestination:/topic/a.b\ncontent-type:text/plain\nfoo:World\nfoo:Hello\nreceipt:1\n\nhi\0";
    assert_eq!(
        server.hear(send),
        "MESSAGE\nsubscription:s\\c0\nmessage-id:1-1\ndestination:/topic/a.b\ncontent-type:text/plain\n\
         foo:World\nfoo:Hello\ncontent-length:2\n\nhi^@RECEIPT\nreceipt-id:1\n\n^@"
    );
}

#[test]
fn overlapping_subscriptions_get_a_copy_each() {
    let mut server = Server::open("1.1");
    server.hear("SUBSCRIBE\nid:a\ndestination:/topic/#\n\n\0SUBSCRIBE\nid:b\ndestination:/topic/x\n\n\0");
    let written = server.hear("SEND\ndestination:/topic/x\n\n1\0");
    assert_eq!(written.matches("MESSAGE\n").count(), 2);
    assert!(written.contains("subscription:a\n") && written.contains("subscription:b\n"));
    // The same destination once more is a subscription of its own, by a queue.
    server.hear("SUBSCRIBE\nid:c\ndestination:/topic/x\n\n\0");
    assert_eq!(server.bound, [(b"amq.topic".to_vec(), b"gen-1".to_vec(), b"x".to_vec())]);
    assert_eq!(server.hear("SEND\ndestination:/topic/x\n\n1\0").matches("MESSAGE\n").count(), 3);
    server.hear("UNSUBSCRIBE\nid:a\n\n\0");
    assert_eq!(server.hear("SEND\ndestination:/topic/x\n\n1\0").matches("MESSAGE\n").count(), 2);
}

#[test]
fn each_version_gets_its_own_escapes() {
    let send = "SEND\ndestination:/topic/a\nk\\c1:v\\n2\\\\\n\n\0";
    for (version, line) in [("1.1", "k\\c1:v\\n2\\\\\n"), ("1.2", "k\\c1:v\\n2\\\\\n")] {
        let mut server = Server::open(version);
        server.hear("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0");
        let written = server.hear(send);
        assert!(written.contains(line), "{written}");
        let message = server.published[0].1.clone();
        let properties = StompCodec::default().properties(message.view());
        assert!(properties.user.iter().eq([("k:1", PropertyValue::Text("v\n2\\"))]));
    }
    let mut server = Server::open("1.0");
    server.hear("SUBSCRIBE\ndestination:/topic/a\n\n\0");
    let written = server.hear(send);
    assert!(written.contains("\nk\\c1:v\\n2\\\\\n") && !written.contains("subscription:"), "{written}");
}

#[test]
fn profiles_spell_topics_their_own_way() {
    for (profile, filter, destination, canonical) in [
        (Profile::RabbitMq, "/topic/a.#", "/topic/a.b.c", "a/b/c"),
        (Profile::ActiveMq, "/topic/a.>", "/topic/a.b.c", "a/b/c"),
        (Profile::Plain, "/topic/a/#", "/topic/a/b/c", "a/b/c"),
        (Profile::RabbitMq, "/topic/a.#", "/exchange/amq.topic/a.b", "a/b"),
    ] {
        let mut server = Server::open_with("1.2", with(profile));
        server.hear(format!("SUBSCRIBE\nid:1\ndestination:{filter}\n\n\0"));
        let written = server.hear(format!("SEND\ndestination:{destination}\n\nx\0"));
        assert_eq!(topic(&server.published[0].1), canonical);
        let spelled = destination.replace("/exchange/amq.topic", "/topic");
        assert!(written.contains(&format!("\ndestination:{spelled}\n")), "{written}");
    }
}

#[test]
fn what_a_client_says_of_a_message_is_understood_by_all() {
    let mut server = Server::open("1.2");
    server.hear(
        "SEND\ndestination:/topic/a\npersistent:true\npriority:7\nretain:true\ncontent-type:text/plain\n\
         correlation-id:c\\c1\nreply-to:/queue/r\namqp-message-id:m\ntimestamp:1700000000\n\
         expiration:500\nx:y\n\nbody\0",
    );
    let message = &server.published[0].1;
    let header = message.header();
    assert_eq!((header.class, header.priority, header.retain), (Class::AtLeastOnce, 7, true));
    assert_eq!(header.deadline, Some(Instant::from_micros(500_000)));
    let properties = StompCodec::default().properties(message.view());
    assert_eq!(properties.content_type, Some("text/plain"));
    assert_eq!(properties.correlation, Some(&b"c:1"[..]));
    assert_eq!((properties.reply_to, properties.message_id), (Some("/queue/r"), Some("m")));
    assert_eq!(properties.created, Some(WallTime::from_unix_millis(1_700_000_000_000)));
    assert!(properties.is_text && properties.user.texts().eq([("x", "y")]));
    assert_eq!(message.payload(), b"body");

    let expires = EPOCH.as_unix_millis() + 2_000;
    server.hear(format!("SEND\ndestination:/topic/a\nexpires:{expires}\n\n\0"));
    assert_eq!(server.published[1].1.header().deadline, Some(Instant::from_micros(2_000_000)));
    server.hear("SEND\ndestination:/topic/a\nexpires:0\n\n\0");
    assert_eq!(server.published[2].1.header().deadline, None);
}

#[test]
fn a_message_of_another_protocol_has_headers() {
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:1\ndestination:/topic/#\n\n\0");
    assert_eq!(
        server.bring("a.b/c", b"\0\xff", Class::AtLeastOnce),
        "MESSAGE\nsubscription:1\nmessage-id:1-1\ndestination:/topic/a%2Eb.c\npersistent:true\n\
         content-length:2\n\n^@\u{fffd}^@"
    );
}

#[test]
fn a_large_body_is_shared_and_has_its_end() {
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0");
    let body = "x".repeat(10_000);
    let written = server.hear(format!("SEND\ndestination:/topic/a\n\n{body}\0"));
    assert!(written.ends_with(&format!("content-length:10000\n\n{body}^@")));
}

#[test]
fn a_body_may_hold_nul_if_its_length_is_said() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/topic/a\ncontent-length:3\n\na\0b\0");
    assert_eq!(server.published[0].1.payload(), b"a\0b");
}
