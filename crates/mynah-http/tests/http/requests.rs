//! What a link makes of requests to whoever answers them.

use std::time::Duration;

use mynah_http::{ANSWER_LAYOUT, HttpCodec};
use mynah_model::{Class, Properties, Reason};
use mynah_stack::{Command, Delivery, Frame, FrameKind, LayoutCodec, Outcome};

use crate::link::{Link, message};

const NAME: &str = "$reply/abababababababababababababababab";

/// A link that has been asked, with this body, and listens for the answer.
fn listening(fields: &[(&str, &str)], body: &[u8]) -> Link {
    let mut link = Link::with("POST", "/v1/requests/lamp/a%20b", fields);
    link.admit();
    link.out.drain();
    assert_eq!(link.connection.layout(), ANSWER_LAYOUT);
    link.send_body(body);
    link.command(|command| {
        let Command::Subscribe(subscribe) = command else { panic!("{command:?}") };
        let filters: Vec<_> = subscribe.requests.into_iter().map(|r| r.unwrap().filter.as_bytes()).collect();
        assert_eq!(filters, [NAME.as_bytes()]);
    });
    link.idle();
    link
}

/// The same, and what was asked is published.
fn asked(fields: &[(&str, &str)], body: &[u8]) -> Link {
    let mut link = listening(fields, body);
    link.outcome(Outcome::Subscribed { receipt: 1, results: &[Ok(Class::AtMostOnce)] });
    let now = link.now;
    link.command(|command| {
        let Command::Publish(publish) = command else { panic!("{command:?}") };
        let view = publish.view();
        assert_eq!((view.topic().as_bytes(), view.payload()), (&b"$request/lamp/a b"[..], body));
        assert_eq!((view.header.class, view.header.retain), (Class::AtLeastOnce, false));
        assert!(view.header.deadline > Some(now));
        assert_eq!(HttpCodec.properties(view).reply_to, Some(NAME));
    });
    link.idle();
    link
}

fn published(link: &mut Link, result: Result<bool, Reason>) {
    link.outcome(Outcome::Published { receipt: 1, class: Class::AtLeastOnce, result });
}

fn answer(link: &mut Link, payload: &[u8]) {
    let message = message(NAME, payload, Class::AtLeastOnce, false);
    let said = Properties { content_type: Some("text/plain"), ..Properties::EMPTY };
    let mut frame = Frame::default();
    let kind = FrameKind { identified: false, retain: false };
    assert!(HttpCodec.encode(message.view(), &said, ANSWER_LAYOUT, kind, &mut frame));
    if frame.wants_message() {
        frame.attach(&message);
    }
    let delivery = Delivery::Message {
        frame: &frame,
        class: Class::AtMostOnce,
        id: None,
        retain: false,
        redelivered: false,
        subscription_ids: &[],
    };
    assert!(link.connection.deliver(link.now, delivery, &mut link.out));
}

#[test]
fn the_reply_is_the_answer() {
    let large = vec![b'x'; 5_000];
    for payload in [&b""[..], b"on", &large] {
        for is_early in [false, true] {
            let mut link = asked(&[("mynah-qos", "0")], b"?");
            if !is_early {
                published(&mut link, Ok(true));
                link.idle();
                assert!(link.out.is_empty());
            }
            answer(&mut link, payload);
            if is_early {
                published(&mut link, Ok(true));
            }
            let response = link.response();
            assert_eq!((response.status, &*response.body), (200, payload));
            let field = |name| response.fields.iter().find(|(found, _)| found == name).map(|(_, v)| &**v);
            assert_eq!(field("content-type"), Some("text/plain"));
            assert_eq!(field("cache-control"), Some("no-store"));
            assert_eq!(field("etag"), None);
            link.close();
        }
    }
}

#[test]
fn a_request_that_nobody_answers_ends() {
    let mut link = asked(&[], b"");
    published(&mut link, Ok(false));
    assert_eq!(link.response().status, 504);
    link.close();
    for (expiry, patience) in [(None, 20), (Some("1.5"), 2), (Some("9999"), 240)] {
        let fields: Vec<_> = expiry.map(|expiry| ("mynah-expiry", expiry)).into_iter().collect();
        let mut link = asked(&fields, b"");
        published(&mut link, Ok(true));
        link.pass(Duration::from_secs(patience - 1));
        assert!(link.out.is_empty());
        link.pass(Duration::from_secs(1));
        assert_eq!(link.response().status, 504);
        // An answer that comes now comes too late.
        answer(&mut link, b"late");
        assert!(link.out.is_empty());
        link.close();
    }
}

#[test]
fn a_request_that_is_not_allowed_is_not_made() {
    let mut link = listening(&[], b"");
    link.outcome(Outcome::Subscribed { receipt: 1, results: &[Err(Reason::NotAuthorized)] });
    assert_eq!(link.response().status, 403);
    link.close();
    let mut link = asked(&[], b"");
    published(&mut link, Err(Reason::NotAuthorized));
    assert_eq!(link.response().status, 403);
    link.close();
}
