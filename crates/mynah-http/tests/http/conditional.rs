//! Conditional requests over the contract: what the core is asked, and what a read comes to.

use mynah_model::{Class, Condition, Properties, Reason, ValueTag};
use mynah_stack::{Command, Outcome, Value};

use crate::link::{Link, message};

const TAG: ValueTag = ValueTag::from_number(0x1234);
const ETAG: &str = "\"0000000000001234\"";

#[test]
fn a_write_takes_its_conditions_to_the_core() {
    for (fields, expected) in [
        (&[("if-match", ETAG)][..], vec![Condition::OneOf(vec![TAG])]),
        (&[("if-none-match", "*")], vec![Condition::Absent]),
        (
            &[("if-none-match", ETAG), ("if-match", "*")],
            vec![Condition::Present, Condition::NoneOf(vec![TAG])],
        ),
    ] {
        for method in ["PUT", "POST", "DELETE"] {
            // The class does not matter: the answer has to wait.
            let all = [fields, &[("mynah-qos", "0")]].concat();
            let mut link = Link::with(method, "/v1/topics/a", &all);
            link.admit();
            link.out.drain();
            if method != "DELETE" {
                link.send_body(b"x");
            }
            link.command(|command| {
                let Command::PublishIf(command) = command else { panic!("{command:?}") };
                assert_eq!(command.conditions, expected);
                assert_eq!(command.publish.header.retain, method != "POST");
            });
            link.idle();
            assert!(link.out.is_empty());
            let result = if method == "PUT" { Ok(false) } else { Err(Reason::ConditionFailed) };
            link.outcome(Outcome::Published { receipt: 1, class: Class::AtMostOnce, result });
            let response = link.response();
            assert_eq!(response.status, if method == "PUT" { 204 } else { 412 });
            if method != "PUT" {
                let body = String::from_utf8(response.body).unwrap();
                assert!(body.contains("urn:mynah:problem:precondition-failed"), "{body}");
            }
        }
    }
}

#[test]
fn a_read_is_judged_by_the_value_that_is_there() {
    let value = message("a", b"v", Class::AtLeastOnce, true);
    for (fields, status) in [
        (&[("if-none-match", ETAG)][..], 304),
        (&[("if-none-match", "\"other\", W/\"0000000000001234\"")], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-match", ETAG)], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", "\"other\"")], 412),
        (&[("if-match", "W/\"0000000000001234\"")], 412),
        (&[("if-none-match", ETAG), ("if-match", "\"other\"")], 412),
        (&[("if-none-match", ETAG), ("if-match", ETAG)], 304),
        // There is no date of a change that these could be compared with.
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
    ] {
        for method in ["GET", "HEAD"] {
            let mut link = Link::with(method, "/v1/topics/a", fields);
            link.admit();
            link.command(|command| assert!(matches!(command, Command::Read(_))));
            let read = Value { message: &value, properties: Properties::EMPTY, tag: TAG };
            link.outcome(Outcome::Value(Ok(Some(&read))));
            let response = link.response();
            assert_eq!(response.status, status, "{fields:?}");
            if status == 304 {
                let expected = [("etag", ETAG), ("cache-control", "no-cache")];
                assert_eq!(response.fields, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
                assert_eq!(response.body, b"");
            }
            assert_eq!(link.close().reason, Reason::Disconnected);
        }
    }
}

#[test]
fn where_nothing_is_there_nothing_is_judged() {
    let mut link = Link::with("GET", "/v1/topics/a", &[("if-match", "*")]);
    link.admit();
    link.command(|_| ());
    link.outcome(Outcome::Value(Ok(None)));
    assert_eq!(link.response().status, 404);
}

#[test]
fn a_stream_has_no_state_to_be_judged() {
    let mut link = Link::with("GET", "/v1/topics?filter=a", &[("if-none-match", "*")]);
    link.admit();
    link.command(|command| assert!(matches!(command, Command::Subscribe(_))));
    link.outcome(Outcome::Subscribed { receipt: 1, results: &[Ok(Class::AtMostOnce)] });
    assert_eq!(link.response().status, 200);
}
