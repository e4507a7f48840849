//! Each verb over the contract: which commands the core hears, and the exact bytes of the answers.

use std::time::Duration;

use mynah_http::{ANSWER_LAYOUT, Http, HttpCodec, HttpConfig, NATIVE_LAYOUT, STREAM_LAYOUT};
use mynah_model::{Class, Instant, Properties, Reason, ValueTag};
use mynah_stack::{Close, Command, LayoutCodec, Outbound, Outcome, Protocol, Step, Value};
use proptest::prelude::*;

use crate::link::{Link, Response, head, message};

const PROCEED: &[u8] = b"\x03\0\0\0\0";
const NO_CONTENT: &[u8] = b"\x04\0\0\0\x05\0\xcc\0\0\0";
const DONE: Close = Close::new(Reason::Disconnected, false);

fn published(result: Result<bool, Reason>) -> Outcome<'static> {
    Outcome::Published { receipt: 1, class: Class::AtLeastOnce, result }
}

fn problem(status: u16, name: &str, title: &str, detail: &str) -> Response {
    let body = format!(
        r#"{{"detail":"{detail}","status":{status},"title":"{title}","type":"urn:mynah:problem:{name}"}}"#
    );
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut fields = vec![field("content-type", "application/problem+json")];
    match status {
        401 => fields.push(field(
            "www-authenticate",
            "Basic realm=\"mynah\", charset=\"UTF-8\", Bearer realm=\"mynah\"",
        )),
        503 => fields.push(field("retry-after", "5")),
        _ => {}
    }
    Response { status, fields, body: body.into_bytes() }
}

#[test]
fn put_sets_the_retained_value_and_answers_when_the_promise_is_kept() {
    let mut link = Link::with("PUT", "/v1/topics/a/b%20c", &[("content-type", "text/plain")]);
    link.admit();
    assert_eq!(link.out.drain(), PROCEED);
    link.idle();
    link.send_body(b"hello");
    link.command(|command| {
        let Command::PublishIf(command) = command else { panic!("{command:?}") };
        assert_eq!(command.conditions, []);
        let publish = command.publish;
        let view = publish.view();
        assert_eq!(view.topic().as_bytes(), b"a/b c");
        assert_eq!(view.payload(), b"hello");
        assert!(view.header.retain);
        assert_eq!(view.header.class, Class::AtLeastOnce);
        assert_eq!(view.header.layout, NATIVE_LAYOUT);
        assert_eq!(HttpCodec.properties(view).content_type, Some("text/plain"));
        assert_eq!(*publish.native, *b"\0\x05a/b c\0\0\0\x0d\x01\0\x0atext/plain\x02\0\0\0\x05hello");
        assert_eq!(publish.receipt, 1);
    });
    link.idle();
    assert!(link.out.is_empty());
    assert_eq!(link.connection.deadline(), None);
    link.outcome(published(Ok(true)));
    assert_eq!(link.out.drain(), NO_CONTENT);
    assert_eq!(link.close(), DONE);
    link.idle();
}

#[test]
fn post_publishes_an_event() {
    let mut link = Link::with("POST", "/v1/topics/a", &[("mynah-qos", "2")]);
    link.admit();
    link.send_body(b"");
    link.command(|command| {
        let Command::Publish(publish) = command else { panic!("{command:?}") };
        assert!(!publish.header.retain);
        assert_eq!(publish.header.class, Class::ExactlyOnce);
        assert_eq!(publish.view().payload(), b"");
        assert_eq!(HttpCodec.properties(publish.view()).content_type, None);
    });
}

#[test]
fn at_most_once_is_answered_at_once() {
    let mut link = Link::with("POST", "/v1/topics/a", &[("mynah-qos", "0")]);
    link.admit();
    assert_eq!(link.out.drain(), PROCEED);
    link.send_body(b"x");
    link.command(|command| {
        let Command::Publish(publish) = command else { panic!("{command:?}") };
        assert_eq!(publish.header.class, Class::AtMostOnce);
    });
    assert_eq!(link.out.drain(), NO_CONTENT);
    assert_eq!(link.close(), DONE);
}

#[test]
fn delete_clears_the_retained_value_without_a_body() {
    let mut link = Link::with("DELETE", "/v1/topics/a", &[("content-type", "text/plain")]);
    link.admit();
    assert!(link.out.is_empty());
    link.command(|command| {
        let Command::PublishIf(command) = command else { panic!("{command:?}") };
        let publish = command.publish;
        assert!(publish.header.retain);
        assert_eq!(*publish.native, *b"\0\x01a\0\0\0\0");
        assert_eq!(publish.view().payload(), b"");
    });
    link.outcome(published(Ok(false)));
    assert_eq!(link.out.drain(), NO_CONTENT);
}

#[test]
fn put_with_an_empty_body_is_delete() {
    let mut link = Link::with("PUT", "/v1/topics/a", &[]);
    link.admit();
    link.send_body(b"");
    link.command(|command| {
        let Command::PublishIf(command) = command else { panic!("{command:?}") };
        let publish = command.publish;
        assert!(publish.header.retain);
        assert_eq!(publish.view().payload(), b"");
    });
}

#[test]
fn get_reads_the_retained_value() {
    for size in [5, 2_047, 2_048, 100_000] {
        let payload = vec![7; size];
        let value = message("a", &payload, Class::AtLeastOnce, true);
        for (published, shown) in [
            (Some("application/json"), "application/json"),
            (None, "application/octet-stream"),
            (Some("bad\r\nx: y"), "application/octet-stream"),
            (Some("\u{fc}"), "application/octet-stream"),
        ] {
            let mut link = Link::with("GET", "/v1/topics/a", &[]);
            link.admit();
            link.command(|command| {
                let Command::Read(topic) = command else { panic!("{command:?}") };
                assert_eq!(topic.as_bytes(), b"a");
            });
            let properties = Properties { content_type: published, ..Properties::EMPTY };
            let read = Value { message: &value, properties, tag: ValueTag::from_number(1) };
            link.outcome(Outcome::Value(Ok(Some(&read))));
            let response = link.response();
            assert_eq!(response.status, 200);
            let expected = [
                ("content-type", shown),
                ("etag", "\"0000000000000001\""),
                ("cache-control", "no-cache"),
                ("mynah-qos", "1"),
            ];
            let omitted = published.filter(|published| *published != shown).map(|_| ("mynah-omitted", "1"));
            let expected = expected.into_iter().chain(omitted);
            let expected: Vec<_> =
                expected.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(response.fields, expected);
            assert_eq!(response.body, payload);
            assert_eq!(link.close(), DONE);
        }
    }
}

#[test]
fn get_without_a_value_is_not_found() {
    let mut link = Link::with("GET", "/v1/topics/a", &[]);
    link.admit();
    link.command(|_| ());
    link.outcome(Outcome::Value(Ok(None)));
    assert_eq!(link.response(), problem(404, "no-value", "No value", "the topic has no retained value"));
    assert_eq!(link.close(), DONE);
}

#[test]
fn credentials_go_to_the_core_as_they_are() {
    // anna:se:cret
    let mut link = Link::with("GET", "/v1/topics/a", &[("authorization", "basic YW5uYTpzZTpjcmV0")]);
    link.command(|command| {
        let Command::Open(open) = command else { panic!("{command:?}") };
        let credentials = open.credentials.unwrap();
        assert_eq!(&*credentials.user, "anna");
        assert_eq!(credentials.password.as_deref(), Some(&b"se:cret"[..]));
        assert!(open.session.is_none() && open.will.is_none());
        assert_eq!(open.receive_max, 0);
    });
    let mut link = Link::with("GET", "/v1/topics/a", &[("authorization", "bearer  eyJ.a_-.b")]);
    link.command(|command| {
        let Command::Open(open) = command else { panic!("{command:?}") };
        let credentials = open.credentials.unwrap();
        assert_eq!((&*credentials.user, credentials.password.as_deref()), ("", Some(&b"eyJ.a_-.b"[..])));
    });
    let mut link = Link::with("GET", "/v1/topics/a", &[]);
    link.command(|command| {
        let Command::Open(open) = command else { panic!("{command:?}") };
        assert!(open.credentials.is_none());
    });
}

#[test]
fn a_refused_peer_is_not_asked_for_its_body() {
    let mut link = Link::with("PUT", "/v1/topics/a", &[]);
    link.command(|_| ());
    link.outcome(Outcome::Opened(Err(Reason::BadCredentials)));
    let detail = "the user name or the password is wrong, or is missing where one is demanded";
    assert_eq!(link.response(), problem(401, "unauthorized", "Unauthorized", detail));
    assert_eq!(link.close(), Close::new(Reason::BadCredentials, false));
}

#[test]
fn refusals_of_the_core_are_problems() {
    for (reason, expected) in [
        (Reason::NotAuthorized, problem(403, "forbidden", "Forbidden", "this identity may not do that")),
        (Reason::TooLarge, problem(413, "too-large", "Content too large", "message too large")),
        (Reason::QuotaExceeded, problem(503, "quota-exceeded", "Quota exceeded", "quota exceeded")),
        (Reason::TopicInvalid, problem(400, "bad-topic", "Bad topic", "topic not usable here")),
    ] {
        let mut link = Link::with("PUT", "/v1/topics/a", &[]);
        link.admit();
        link.out.drain();
        link.send_body(b"x");
        link.command(|_| ());
        link.outcome(published(Err(reason)));
        assert_eq!(link.response(), expected);
        assert_eq!(link.close().reason, reason);

        let mut link = Link::with("GET", "/v1/topics/a", &[]);
        link.admit();
        link.command(|_| ());
        link.outcome(Outcome::Value(Err(reason)));
        assert_eq!(link.response(), expected);
    }
}

#[test]
fn a_silent_link_ends_after_the_opening_timeout() {
    let mut link = Link::new(HttpConfig::default());
    link.pass(Duration::from_secs(9));
    assert!(link.out.is_empty());
    link.pass(Duration::from_secs(1));
    assert_eq!(link.response().status, 408);
    assert_eq!(link.close().reason, Reason::OpeningTimeout);
}

#[test]
fn a_slow_body_is_given_up() {
    let mut link = Link::with("PUT", "/v1/topics/a", &[]);
    link.admit();
    assert_eq!(link.out.drain(), PROCEED);
    link.send(b"\x02\0\0\0\x09half");
    link.idle();
    link.pass(Duration::from_secs(29));
    link.idle();
    link.pass(Duration::from_secs(1));
    let expected = problem(408, "request-timeout", "Request timeout", "the body was not complete in time");
    assert_eq!(link.response(), expected);
    assert_eq!(link.close(), DONE);
}

#[test]
fn a_request_is_read_however_it_is_split() {
    let mut bytes = head("PUT", "/v1/topics/a", &[]);
    let head_bytes = bytes.len();
    bytes.extend_from_slice(b"\x02\0\0\0\x03xyz");
    let mut link = Link::new(HttpConfig::default());
    for (at, byte) in bytes.iter().enumerate() {
        link.send(&[*byte]);
        match at + 1 {
            n if n == head_bytes => link.admit(),
            n if n == bytes.len() => link.command(|c| assert!(matches!(c, Command::PublishIf(_)))),
            _ => link.idle(),
        }
    }
}

#[test]
fn limits_are_judged_before_bytes_are_waited_for() {
    let mut link = Link::new(HttpConfig::default());
    let before = link.connection.input_bytes_max();
    assert!(before < 60_000, "{before}");
    link.send(b"\x01\x00\xff\xff\xff");
    assert_eq!(link.close().reason, Reason::ProtocolViolation);
    assert_eq!(link.response().status, 400);

    let mut link = Link::with("PUT", "/v1/topics/a", &[]);
    link.admit();
    assert_eq!(link.connection.input_bytes_max(), before + 5 + (16 << 20));
    link.out.drain();
    link.send(b"\x02\x01\0\0\x01");
    assert_eq!(link.close().reason, Reason::ProtocolViolation);
}

/// Whatever fits the header fields of a request fits the frame of its head.
#[test]
fn fields_that_grow_when_they_are_decoded_still_fit() {
    let pairs = "=,".repeat(8_150);
    let tags = ["\"0000000000000001\""; 800].join(",");
    let bytes = "x".repeat(16_000);
    for field in [("mynah-property", &pairs), ("if-match", &tags), ("mynah-correlation", &bytes)] {
        let mut link = Link::with("PUT", "/v1/topics/a", &[(field.0, field.1)]);
        link.admit();
        link.send_body(b"x");
        link.command(|command| assert!(matches!(command, Command::PublishIf(_)), "{}", field.0));
    }
}

#[test]
fn a_shutdown_is_told_to_whoever_waits() {
    let expected = problem(503, "shutting-down", "Shutting down", "server shutting down");
    let mut link = Link::with("PUT", "/v1/topics/a", &[]);
    link.admit();
    link.out.drain();
    link.connection.handle_shutdown(link.now, &mut link.out);
    assert_eq!(link.response(), expected);
    assert_eq!(link.close().reason, Reason::ShuttingDown);
    link.connection.handle_shutdown(link.now, &mut link.out);
    assert!(link.out.is_empty());

    let mut link = Link::with("GET", "/v1/topics/a", &[]);
    link.admit();
    link.command(|_| ());
    link.outcome(Outcome::Ended(Reason::ShuttingDown));
    assert_eq!(link.response(), expected);
    link.outcome(Outcome::Value(Ok(None)));
    assert!(link.out.is_empty());
}

#[test]
fn the_stack_says_what_it_is() {
    let http = Http::new(HttpConfig::default()).unwrap();
    assert_eq!(http.name(), "http");
    assert_eq!(http.codec().layouts(), [NATIVE_LAYOUT, STREAM_LAYOUT, ANSWER_LAYOUT]);
    assert_eq!(http.accept(Instant::ZERO).layout(), STREAM_LAYOUT);
    assert!(Http::new(HttpConfig { filters_max: 0, ..HttpConfig::default() }).is_err());
}

proptest! {
    #[test]
    fn no_link_bytes_can_make_it_panic(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                Just(head("PUT", "/v1/topics/a", &[])),
                Just(head("GET", "/v1/topics?filter=%23", &[])),
                Just(b"\x02\0\0\0\x01x".to_vec()),
                Just(b"\x02\0".to_vec()),
            ], 0..6),
        outcomes in proptest::collection::vec(0_u8..6, 0..12),
    ) {
        let mut connection = Http::new(HttpConfig::default()).unwrap().accept(Instant::ZERO);
        let mut out = Outbound::new();
        let mut now = Instant::ZERO;
        let bytes = pieces.concat();
        let mut input = &bytes[..];
        let opened = mynah_stack::Opened::new(false, mynah_model::Expiry::Never);
        for outcome in outcomes {
            for _ in 0..10 {
                match connection.step(now, &mut input, &mut out) {
                    Step::Idle | Step::Close(_) => break,
                    Step::Command(_) => {}
                }
            }
            now = now + Duration::from_secs(7);
            match outcome {
                0 | 1 => connection.handle_outcome(now, Outcome::Opened(Ok(opened)), &mut out),
                2 => connection.handle_outcome(now, published(Ok(true)), &mut out),
                3 => connection.handle_outcome(
                    now, Outcome::Subscribed { receipt: 1, results: &[Ok(Class::AtMostOnce)] }, &mut out),
                4 => connection.handle_timeout(now, &mut out),
                _ => connection.handle_outcome(now, Outcome::Value(Ok(None)), &mut out),
            }
        }
        prop_assert!(out.len() < 4096);
    }
}
