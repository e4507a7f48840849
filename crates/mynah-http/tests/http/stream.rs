//! Event streams over the contract: subscription, retained and live events, heart-beats in virtual time.

use std::time::Duration;

use mynah_http::{HttpCodec, HttpConfig, Problem, STREAM_LAYOUT};
use mynah_model::{Class, Message, Properties, Reason};
use mynah_stack::{Command, Delivery, Frame, FrameKind, LayoutCodec, Outcome};

use crate::link::{Link, message};

const HEARTBEAT: &[u8] = b"\x06\0\0\0\x0d: heartbeat\n\n";

/// The stream chunk of an event, with its frame's header.
fn chunk(event: &str) -> Vec<u8> {
    let mut bytes = vec![6];
    bytes.extend_from_slice(&u32::try_from(event.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(event.as_bytes());
    bytes
}

fn encode(message: &Message, content_type: Option<&str>, retain: bool) -> Frame {
    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain };
    assert!(HttpCodec.encode(
        message.view(),
        &Properties { content_type, ..Properties::EMPTY },
        STREAM_LAYOUT,
        kind,
        &mut frame
    ));
    assert!(!frame.wants_message());
    frame
}

fn deliver(link: &mut Link, frame: &Frame, retain: bool) {
    let delivery = Delivery::Message {
        frame,
        class: Class::AtMostOnce,
        id: None,
        retain,
        redelivered: false,
        subscription_ids: &[],
    };
    link.connection.deliver(link.now, delivery, &mut link.out);
}

/// A link that has asked for its subscriptions.
fn subscribing(target: &str) -> Link {
    let mut link = Link::with("GET", target, &[]);
    link.admit();
    link.command(|command| assert!(matches!(command, Command::Subscribe(_)), "{command:?}"));
    link
}

fn subscribed(results: &[Result<Class, Reason>]) -> Outcome<'_> {
    Outcome::Subscribed { receipt: 1, results }
}

#[test]
fn filters_become_one_subscription() {
    let mut link = Link::with("GET", "/v1/topics?filter=a/%2B/c&filter=%23", &[]);
    link.admit();
    link.command(|command| {
        let Command::Subscribe(subscribe) = command else { panic!("{command:?}") };
        let filters: Vec<_> = subscribe.requests.iter().map(|r| r.unwrap().filter.as_bytes()).collect();
        assert_eq!(filters, [&b"a/+/c"[..], b"#"]);
        for request in subscribe.requests {
            let options = request.unwrap().options;
            assert_eq!(options.class_max, Class::AtMostOnce);
            assert!(
                options.retain_handling == mynah_model::RetainHandling::EachTime
                    && options.retain_as_published
            );
        }
    });
    link.idle();
    assert!(link.out.is_empty());
    link.outcome(subscribed(&[Ok(Class::AtMostOnce), Ok(Class::AtMostOnce)]));
    let response = link.response();
    assert_eq!(response.status, 200);
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        response.fields,
        [
            field("content-type", "text/event-stream"),
            field("cache-control", "no-store"),
            field("x-accel-buffering", "no"),
        ]
    );
    assert_eq!(response.body, b"");
    link.idle();
}

#[test]
fn events_are_the_message_as_json() {
    let mut link = subscribing("/v1/topics?filter=%23");
    link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
    link.response();
    let retained = message("a/b", b"21.5", Class::AtLeastOnce, true);
    deliver(&mut link, &encode(&retained, Some("text/plain"), true), true);
    let cleared = message("a/b", b"", Class::AtLeastOnce, true);
    deliver(&mut link, &encode(&cleared, None, true), true);
    let bytes = message("a", &[0xff], Class::AtMostOnce, false);
    deliver(&mut link, &encode(&bytes, None, false), false);
    let expected = [
        "event: message\ndata: {\"topic\":\"a/b\",\"payload\":\"21.5\",\"content_type\":\"text/plain\",\"qos\":1,\"retain\":true}\n\n",
        "event: delete\ndata: {\"topic\":\"a/b\",\"payload\":\"\",\"qos\":1,\"retain\":true}\n\n",
        "event: message\ndata: {\"topic\":\"a\",\"payload_base64\":\"/w==\",\"qos\":0,\"retain\":false}\n\n",
    ];
    assert_eq!(link.out.drain(), expected.map(chunk).concat());
}

#[test]
fn a_delivery_before_the_outcome_comes_after_the_head() {
    let mut link = subscribing("/v1/topics?filter=a");
    deliver(&mut link, &encode(&message("a", b"1", Class::AtMostOnce, true), None, true), true);
    link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
    let response = link.response();
    assert_eq!(response.status, 200);
    let event = "event: message\ndata: {\"topic\":\"a\",\"payload\":\"1\",\"qos\":0,\"retain\":true}\n\n";
    assert_eq!(response.body, chunk(event));
}

#[test]
fn one_refused_filter_refuses_the_request() {
    let mut link = subscribing("/v1/topics?filter=a&filter=b");
    link.outcome(subscribed(&[Ok(Class::AtMostOnce), Err(Reason::NotAuthorized)]));
    assert_eq!(link.response().status, 403);
    assert_eq!(link.close().reason, Reason::NotAuthorized);

    let mut link = subscribing("/v1/topics?filter=a&filter=b");
    deliver(&mut link, &encode(&message("a", b"1", Class::AtMostOnce, true), None, true), true);
    link.out.drain();
    link.outcome(subscribed(&[Ok(Class::AtMostOnce), Err(Reason::NotAuthorized)]));
    assert_eq!(link.out.drain(), last_event(Reason::NotAuthorized));
    assert_eq!(link.close().reason, Reason::NotAuthorized);
}

/// The last event of a stream.
fn last_event(reason: Reason) -> Vec<u8> {
    let problem = String::from_utf8(Problem::Refused(reason).body()).unwrap();
    chunk(&format!("event: end\ndata: {problem}\n\n"))
}

#[test]
fn a_heartbeat_comes_at_each_interval() {
    let mut link = subscribing("/v1/topics?filter=a");
    link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
    link.out.drain();
    for _ in 0..3 {
        link.pass(Duration::from_millis(14_999));
        assert!(link.out.is_empty());
        link.pass(Duration::from_millis(1));
        assert_eq!(link.out.drain(), HEARTBEAT);
        link.idle();
    }
}

#[test]
fn a_client_that_does_not_read_gets_no_more_heartbeats() {
    let mut link = subscribing("/v1/topics?filter=a");
    link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
    let waiting = link.out.len();
    link.pass(Duration::from_secs(15));
    link.pass(Duration::from_secs(15));
    assert_eq!(link.out.len(), waiting);
    link.out.drain();
    link.pass(Duration::from_secs(15));
    assert_eq!(link.out.drain(), HEARTBEAT);
}

#[test]
fn a_stream_says_why_it_ends() {
    for end in [0, 1] {
        let mut link = subscribing("/v1/topics?filter=a");
        link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
        link.out.drain();
        link.send(b"whatever");
        link.idle();
        if end == 0 {
            link.connection.handle_shutdown(link.now, &mut link.out);
        } else {
            link.outcome(Outcome::Ended(Reason::ShuttingDown));
        }
        assert_eq!(link.out.drain(), last_event(Reason::ShuttingDown));
        assert_eq!(link.close().reason, Reason::ShuttingDown);
        assert_eq!(link.connection.deadline(), None);
        deliver(&mut link, &encode(&message("a", b"1", Class::AtMostOnce, false), None, false), false);
        assert!(link.out.is_empty());
    }
}

#[test]
fn a_configured_heartbeat_is_kept() {
    let config = HttpConfig { heartbeat: Duration::from_secs(1), ..HttpConfig::default() };
    let mut link = Link::new(config);
    link.send(&crate::link::head("GET", "/v1/topics?filter=a", &[]));
    link.admit();
    link.command(|_| ());
    link.outcome(subscribed(&[Ok(Class::AtMostOnce)]));
    link.out.drain();
    link.pass(Duration::from_secs(1));
    assert_eq!(link.out.drain(), HEARTBEAT);
}

#[test]
fn what_json_cannot_spell_is_not_encoded() {
    use mynah_model::{Layout, MessageView};
    let message = message("aa", b"1", Class::AtMostOnce, false);
    let native = [&[0xff, 0xfe][..], b"1"].concat();
    let view = MessageView { header: message.header(), native: &native };
    let kind = FrameKind { identified: false, retain: false };
    let mut frame = Frame::default();
    assert!(!HttpCodec.encode(view, &Properties::default(), STREAM_LAYOUT, kind, &mut frame));
    let other = Layout { id: 2, version: 1 };
    assert!(!HttpCodec.encode(message.view(), &Properties::default(), other, kind, &mut frame));
}
