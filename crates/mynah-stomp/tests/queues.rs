//! Queues, exchanges, durable subscriptions and temporary queues.

use std::num::NonZeroU32;
use std::time::Duration;

use mynah_model::{QueueSettings, Reason};
use mynah_stack::Credit;
use mynah_stomp::mapping::Profile;
use mynah_stomp::{Config, Settings};

use crate::broker::{Server, topic};

#[test]
fn a_queue_is_made_when_it_is_named_first() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/queue/jobs\n\n1\0SEND\ndestination:/queue/jobs\n\n2\0");
    assert_eq!(server.declared, [(b"jobs".to_vec(), None)]);
    assert_eq!(server.queues[&b"jobs"[..]].len(), 2);
    assert_eq!(topic(&server.published[0].1), "jobs");
    let written = server.hear("SUBSCRIBE\nid:0\ndestination:/queue/jobs\nreceipt:r\n\n\0");
    let message = |n| {
        format!(
            "MESSAGE\nsubscription:0\nmessage-id:1-{n}\nredelivered:false\ndestination:/queue/jobs\n\
             content-length:1\n\n{n}^@"
        )
    };
    assert_eq!(written, format!("RECEIPT\nreceipt-id:r\n\n^@{}{}", message(1), message(2)));
}

#[test]
fn headers_say_what_the_queue_is() {
    let mut server = Server::open("1.2");
    server
        .hear("SUBSCRIBE\nid:0\ndestination:/queue/q\nauto-delete:true\ndurable:false\nx-max-length:5\n\n\0");
    let settings =
        QueueSettings { durable: false, auto_delete: true, length_max: Some(5), ..QueueSettings::DURABLE };
    assert_eq!(server.declared, [(b"q".to_vec(), Some(settings))]);
}

#[test]
fn a_queue_that_is_not_made_has_to_be_there() {
    let mut server = Server::open("1.2");
    let written = server.hear("SUBSCRIBE\nid:0\ndestination:/amq/queue/none\nreceipt:7\n\n\0");
    assert!(written.starts_with("ERROR\nreceipt-id:7\nmessage:no such queue or exchange\n"), "{written}");
    assert!(written.contains("\n\nas the test wants^@"));
    assert_eq!(server.closed.unwrap().reason, Reason::NotFound);
}

#[test]
fn an_exchange_is_sent_to_and_bound() {
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:0\ndestination:/exchange/logs/a.#\n\n\0");
    assert_eq!(server.bound, [(b"logs".to_vec(), b"gen-1".to_vec(), b"a/#".to_vec())]);
    let written = server.hear("SEND\ndestination:/exchange/logs/a.b\n\nx\0");
    assert_eq!(server.published[0].0, "exchange logs");
    assert!(written.contains("\ndestination:/exchange/logs/a.b\n"), "{written}");
    // A name that is spelled otherwise than it is.
    server.hear("SEND\ndestination:/exchange/a%2Fb/k\nreceipt:1\n\nx\0");
    assert_eq!(server.published[1].0, "exchange a/b");
}

#[test]
fn a_subscription_with_a_selector_or_acknowledgements_has_a_queue() {
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:0\ndestination:/topic/a\nselector:x = 1\n\n\0");
    server.hear("SUBSCRIBE\nid:1\ndestination:/topic/b\nack:client\n\n\0");
    let settings = server.declared[0].1.clone().unwrap();
    assert!(settings.exclusive && settings.auto_delete && !settings.durable);
    assert_eq!(settings.length_max, Some(100_000));
    let selectors: Vec<_> = server.consumers.values().map(|consumer| consumer.selector.clone()).collect();
    assert_eq!(selectors, [Some("x = 1".to_owned()), None]);
}

#[test]
fn prefetch_counts_messages_and_octets_each_in_its_own_unit() {
    for (headers, messages, bytes) in [
        ("", 100, 1 << 20),
        ("prefetch-count:3\n", 3, 1 << 20),
        ("activemq.prefetchSize:4\n", 4, 1 << 20),
        ("consumer-window-size:500\n", 100, 500),
        ("prefetch-count:2\nactivemq.prefetchSize:9\nconsumer-window-size:-1\n", 2, 1 << 20),
    ] {
        let mut server = Server::open("1.2");
        server.hear(format!("SUBSCRIBE\nid:0\ndestination:/queue/q\nack:client\n{headers}\n\0"));
        let consumer = server.consumers.values().next().unwrap();
        assert_eq!((consumer.credit, consumer.settled), (Credit { messages, bytes }, false), "{headers}");
    }
    let mut server = Server::open("1.2");
    server.hear("SUBSCRIBE\nid:0\ndestination:/queue/q\n\n\0");
    assert!(server.consumers.values().next().unwrap().settled);
}

#[test]
fn a_durable_subscription_outlives_its_connection_in_both_dialects() {
    let connect = "CONNECT\naccept-version:1.2\nhost:h\nclient-id:me\n\n\0";
    for (headers, name) in [
        ("durable:true\nauto-delete:false\n", "stomp-subscription-s-/topic/a"),
        ("activemq.subscriptionName:sub\n", "me.sub"),
        ("durable-subscription-name:sub\n", "me.sub"),
        ("durable:true\nx-queue-name:mine\n", "mine"),
    ] {
        let mut server = Server::new(Config::default());
        server.hear(connect);
        server.hear(format!("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client\n{headers}\n\0"));
        let (queue, settings) = server.declared[0].clone();
        let settings = settings.unwrap();
        assert_eq!(String::from_utf8(queue.clone()).unwrap(), name);
        assert!(settings.durable && !settings.auto_delete && !settings.exclusive);
        server.hear("UNSUBSCRIBE\nid:s\n\n\0");
        assert!(server.queues.contains_key(&queue), "it waits for the subscriber");
        server.hear(format!("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client\n{headers}\n\0"));
        let answer = server.hear(format!("UNSUBSCRIBE\nid:s\n{headers}receipt:e\n\n\0"));
        assert_eq!(answer, "RECEIPT\nreceipt-id:e\n\n^@");
        assert!(!server.queues.contains_key(&queue), "{headers}");
    }
}

#[test]
fn a_durable_subscription_of_nobody_can_be_ended() {
    let mut server = Server::new(Config::default());
    server.hear("CONNECT\naccept-version:1.2\nhost:h\nclient-id:me\n\n\0");
    let end = "UNSUBSCRIBE\nactivemq.subscriptionName:sub\nreceipt:1\n\n\0";
    assert_eq!(server.hear(end), "RECEIPT\nreceipt-id:1\n\n^@", "also if it was not there");
}

#[test]
fn a_reply_address_is_made_and_listened_to() {
    let mut server = Server::open("1.2");
    let request = "SEND\ndestination:/queue/work\nreply-to:/temp-queue/replies\ncorrelation-id:1\n\nask\0";
    server.hear(request);
    server.hear(request);
    let (made, settings) = server.declared[0].clone();
    assert_eq!((&*made, settings.unwrap().exclusive), (&b"gen-1"[..], true));
    assert_eq!(server.declared.len(), 2, "the reply queue and the work queue, once each");
    let written = server.hear("SUBSCRIBE\nid:w\ndestination:/queue/work\n\n\0");
    assert_eq!(written.matches("\nreply-to:/reply-queue/gen-1\n").count(), 2, "{written}");
    let written = server.hear("SEND\ndestination:/reply-queue/gen-1\n\nanswer\0");
    assert!(written.contains("\nsubscription:/temp-queue/replies\n"), "{written}");
    assert!(written.ends_with("\n\nanswer^@"));
}

#[test]
fn a_temporary_queue_can_be_subscribed_to_as_activemq_has_it() {
    let settings = Settings { profile: Profile::ActiveMq, ..Settings::default() };
    let mut server = Server::open_with("1.2", Config::new(settings).unwrap());
    server.hear("SUBSCRIBE\nid:t\ndestination:/temp-queue/r\nreceipt:1\n\n\0");
    let written = server.hear("SEND\ndestination:/queue/w\nreply-to:/temp-queue/r\n\nask\0");
    assert_eq!((written.as_str(), server.consumers.len()), ("", 1), "no other subscription");
    let written = server.hear("SEND\ndestination:/remote-temp-queue/gen-1\n\nanswer\0");
    assert!(written.contains("\nsubscription:t\n"), "{written}");
}

#[test]
fn a_temporary_topic_has_all_its_subscribers_and_a_name_for_others() {
    let settings = Settings { profile: Profile::ActiveMq, ..Settings::default() };
    let mut server = Server::open_with("1.2", Config::new(settings).unwrap());
    server.hear("SUBSCRIBE\nid:a\ndestination:/temp-topic/r\nreceipt:1\n\n\0");
    server.hear("SUBSCRIBE\nid:b\ndestination:/temp-topic/r\nack:client\n\n\0");
    let written = server.hear("SUBSCRIBE\nid:w\ndestination:/queue/w\n\n\0");
    assert_eq!(written, "");
    let written = server.hear("SEND\ndestination:/queue/w\nreply-to:/temp-topic/r\n\nask\0");
    assert!(written.contains("\nreply-to:/remote-temp-topic/gen-1\n"), "{written}");
    for destination in ["/remote-temp-topic/gen-1", "/temp-topic/r"] {
        let written = server.hear(format!("SEND\ndestination:{destination}\n\nanswer\0"));
        assert_eq!(topic(&server.published.last().unwrap().1), "$temp/gen-1");
        assert_eq!(written.matches("\ndestination:/temp-topic/r\n").count(), 2, "{written}");
    }
    let made = server.declared.iter().filter(|(_, settings)| settings.is_some()).count();
    assert_eq!(made, 2, "for the name of the topic, and for what `b` has to acknowledge");
}

#[test]
fn messages_of_a_stream_say_where_they_are() {
    let mut server = Server::open("1.2");
    server.hear("SEND\ndestination:/queue/log\n\n1\0");
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/queue/log\nack:client\nx-queue-type:stream\nx-stream-offset:first\n\n\0";
    let written = server.hear(subscribe);
    assert!(written.contains("\nx-stream-offset:1\n"), "{written}");
}

#[test]
fn subscriptions_are_bounded() {
    let settings = Settings { subscriptions_max: 1, ..Settings::default() };
    let mut server = Server::open_with("1.2", Config::new(settings).unwrap());
    server.hear("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
    let written = server.hear("SUBSCRIBE\nid:1\ndestination:/queue/b\nreceipt:x\n\n\0");
    assert!(written.starts_with("ERROR\nreceipt-id:x\nmessage:too many subscriptions\n"), "{written}");
    assert_eq!(NonZeroU32::new(100), Some(Settings::default().prefetch_messages));
}

#[test]
fn a_message_can_be_delayed_in_both_dialects() {
    for (header, millis) in [("x-delay:1500", 1_500), ("AMQ_SCHEDULED_DELAY:20", 20)] {
        for transaction in ["", "transaction:t\n"] {
            let mut server = Server::open("1.2");
            server.hear("BEGIN\ntransaction:t\n\n\0");
            server.hear(format!("SEND\ndestination:/queue/q\n{header}\n{transaction}\nx\0"));
            server.hear("COMMIT\ntransaction:t\n\n\0");
            assert_eq!(server.delay, Some(Duration::from_millis(millis)));
        }
    }
}

#[test]
fn what_a_subscription_says_of_its_queue_is_beside_what_goes_without_saying() {
    for (headers, exclusive, ttl) in
        [("durable:false\n", true, None), ("x-queue-name:n\nx-message-ttl:5\n", false, Some(5))]
    {
        let mut server = Server::open("1.2");
        server.hear(format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n{headers}\n\0"));
        let settings = server.declared[0].1.clone().unwrap();
        assert!(settings.auto_delete && !settings.durable && settings.length_max.is_some());
        assert_eq!((settings.exclusive, settings.message_ttl), (exclusive, ttl.map(Duration::from_millis)));
    }
}
