//! Requests that cannot be: for each the exact status and detail.

use mynah_http::mapping::HttpRequest;
use mynah_http::{HttpConfig, Problem};
use proptest::prelude::*;

type Fields<'a> = &'a [(&'a str, &'a [u8])];

fn judge(method: &str, target: &str, fields: Fields<'_>) -> Result<Vec<u8>, Problem> {
    let (path, query) = match target.split_once('?') {
        None => (target, None),
        Some((path, query)) => (path, Some(query)),
    };
    HttpRequest { method, path, query, fields }
        .to_frame(&HttpConfig::default(), || Ok(mynah_stack::Holder([0xAB; 16])))
}

fn check(method: &str, target: &str, fields: Fields<'_>, status: u16, detail: &str) {
    let problem = judge(method, target, fields).expect_err(target);
    assert_eq!(
        (problem.status(), problem.to_string().as_str()),
        (status, detail),
        "{method} {target} {fields:?}"
    );
}

const EMPTY: &str = "the topic is empty: name it after /v1/topics/";
const ESCAPE: &str = "the path has a '%' that two hexadecimal digits do not follow";
const NOT_UTF8: &str = "the path is not UTF-8 after percent-decoding";
const SLASH: &str = "the path has an escaped slash (%2F): a topic's segment cannot hold one";
const WILDCARD: &str =
    "the topic has a wildcard ('+' or '#'): subscribe with GET /v1/topics?filter=... instead";
const NUL: &str = "the topic has a NUL byte (%00)";
const DOTS: &str = "the path has a '.' or '..' segment: write %2E or %2E%2E if the topic has it";
const UNKNOWN_PATH: &str = "topics are at /v1/topics/{topic}, subscriptions at /v1/topics?filter={filter}, queues at \
                            /v1/queues/{queue}/messages and /v1/queues/{queue}/leases, requests at /v1/requests/{topic}";

#[test]
fn paths_that_spell_no_topic() {
    for (path, detail) in [
        ("/v1/topics/", EMPTY),
        ("/v1/topics/%", ESCAPE),
        ("/v1/topics/a%", ESCAPE),
        ("/v1/topics/a%2", ESCAPE),
        ("/v1/topics/a%zz", ESCAPE),
        ("/v1/topics/a%+1", ESCAPE),
        ("/v1/topics/%2/a", ESCAPE),
        ("/v1/topics/%ff", NOT_UTF8),
        ("/v1/topics/%c3/%bc", NOT_UTF8),
        ("/v1/topics/%ed%a0%80", NOT_UTF8),
        ("/v1/topics/a%2Fb", SLASH),
        ("/v1/topics/a%2fb", SLASH),
        ("/v1/topics/%2F", SLASH),
        ("/v1/topics/+", WILDCARD),
        ("/v1/topics/a/+/b", WILDCARD),
        ("/v1/topics/a+b", WILDCARD),
        ("/v1/topics/%2B", WILDCARD),
        ("/v1/topics/%23", WILDCARD),
        ("/v1/topics/a/%23", WILDCARD),
        ("/v1/topics/a%23", WILDCARD),
        ("/v1/topics/%00", NUL),
        ("/v1/topics/a/b%00c", NUL),
        ("/v1/topics/.", DOTS),
        ("/v1/topics/..", DOTS),
        ("/v1/topics/a/../b", DOTS),
        ("/v1/topics/a/./b", DOTS),
    ] {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
            check(method, path, &[], 400, detail);
        }
    }
}

#[test]
fn paths_that_lead_nowhere() {
    for path in [
        "/",
        "*",
        "",
        "/v1",
        "/v1/",
        "/v1/topicsx",
        "/v1/topic/a",
        "/v2/topics/a",
        "/V1/topics/a",
        "v1/topics/a",
    ] {
        check("GET", path, &[], 404, UNKNOWN_PATH);
    }
}

#[test]
fn methods_that_a_resource_does_not_have() {
    for method in ["PATCH", "TRACE", "get", "SUBSCRIBE"] {
        let detail = "this resource has the methods DELETE, GET, HEAD, OPTIONS, POST, PUT";
        check(method, "/v1/topics/a", &[], 405, detail);
    }
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        check(method, "/v1/topics?filter=a", &[], 405, "this resource has the methods GET, HEAD, OPTIONS");
    }
    let problem = judge("PUT", "/v1/topics", &[]).unwrap_err();
    assert_eq!(problem.field(), Some(("allow", "GET, HEAD, OPTIONS")));
}

#[test]
fn queries_that_spell_no_filters() {
    let none = "at least one query parameter 'filter' is needed, such as ?filter=a/%2B/c";
    let partial = "query parameter 1 is not a filter: a wildcard (+ or #) must stand alone in its segment";
    for (query, detail) in [
        ("", none),
        ("?", none),
        ("?&&", none),
        ("?filter", "query parameter 1 is not a filter: the filter is empty"),
        ("?filter=", "query parameter 1 is not a filter: the filter is empty"),
        ("?filter=a&filter=", "query parameter 2 is not a filter: the filter is empty"),
        ("?filter=a%", "query parameter 1 has a '%' that two hexadecimal digits do not follow"),
        ("?filter=a&filter=%g0", "query parameter 2 has a '%' that two hexadecimal digits do not follow"),
        ("?filter=%ff", "query parameter 1 is not UTF-8 after percent-decoding"),
        ("?filter=a%00", "query parameter 1 is not a filter: the filter holds a NUL byte"),
        ("?filter=a+", partial),
        ("?filter=a/b%23", partial),
        ("?filters=a", "unknown query parameter 'filters'"),
        ("?filter=a&qos=1", "unknown query parameter 'qos'"),
        ("?=a", "unknown query parameter ''"),
    ] {
        check("GET", &format!("/v1/topics{query}"), &[], 400, detail);
    }
    let many = format!("/v1/topics?{}", "filter=a&".repeat(65));
    check("GET", &many, &[], 400, "more than 64 filters in one request");
    check("PUT", "/v1/topics/a?retain=1", &[], 400, "unknown query parameter 'retain'");
}

#[test]
fn header_fields_that_cannot_be() {
    let qos = "header field mynah-qos: it has to be 0, 1 or 2";
    let content_type = "header field content-type: it has to be up to 255 bytes of printable ASCII";
    let content_encoding = content_type.replace("type", "encoding");
    let priority = "header field mynah-priority: it has to be 0 to 9";
    let expiry = "header field mynah-expiry: it has to be seconds, more than 0 and less than 4294967296, with up to six decimals";
    let ascii =
        |name| format!("header field {name}: it has to be printable ASCII, other bytes and '%' as %XX");
    let utf8 = |name| format!("header field {name}: it has to be UTF-8 without NUL after percent-decoding");
    let pair = "header field mynah-property: each has to be key=value, with a comma as %2C";
    let tags = "header field if-match: it has to be * or a list of entity tags in quotes";
    let long = [b'a'; 256];
    for (fields, status, detail) in [
        (&[("mynah-qos", &b"3"[..])][..], 400, qos),
        (&[("mynah-qos", b"")], 400, qos),
        (&[("mynah-qos", b"01")], 400, qos),
        (&[("mynah-qos", b"one")], 400, qos),
        (
            &[("mynah-qos", b"1"), ("mynah-qos", b"1")],
            400,
            "header field mynah-qos: it is there more than once",
        ),
        (&[("mynah-expires", b"5")], 400, "header field 'mynah-expires' is not known here"),
        (&[("mynah-expiry", b"0")], 400, expiry),
        (&[("mynah-expiry", b"0.0000001")], 400, expiry),
        (&[("mynah-expiry", b"4294967296")], 400, expiry),
        (&[("mynah-expiry", b"soon")], 400, expiry),
        (&[("mynah-priority", b"10")], 400, priority),
        (&[("mynah-priority", b"-1")], 400, priority),
        (&[("mynah-correlation", b"%")], 400, &ascii("mynah-correlation")),
        (&[("mynah-correlation", b"\xff")], 400, &ascii("mynah-correlation")),
        (&[("mynah-reply-to", b"%ff")], 400, &utf8("mynah-reply-to")),
        (&[("mynah-message-id", b"%00")], 400, &utf8("mynah-message-id")),
        (
            &[("mynah-created", b"today")],
            400,
            "header field mynah-created: it has to be an HTTP date from 1970 on",
        ),
        (&[("date", b"today")], 400, "header field date: it has to be an HTTP date from 1970 on"),
        (&[("mynah-property", b"a")], 400, pair),
        (&[("mynah-property", b"a=b, c")], 400, pair),
        (&[("mynah-property", b"%ff=b")], 400, &utf8("mynah-property")),
        (&[("if-match", b"a")], 400, tags),
        (&[("content-type", &long)], 400, content_type),
        (&[("content-type", b"text/\xfcml")], 400, content_type),
        (
            &[("content-type", b"a"), ("content-type", b"b")],
            400,
            "header field content-type: it is there more than once",
        ),
        (&[("content-encoding", b"\xff")], 400, &content_encoding),
        (&[("content-length", b"16777217")], 413, "the body is longer than 16777216 bytes"),
    ] {
        check("PUT", "/v1/topics/a", fields, status, detail);
        check("POST", "/v1/topics/a", fields, status, detail);
    }
    let fields: Fields<'_> = &[("x-long", &[b'a'; 16 << 10])];
    check("GET", "/v1/topics/a", fields, 431, "the header fields are longer than 16384 bytes");
    let path = format!("/v1/topics/{}", "a".repeat(8 << 10));
    check("GET", &path, &[], 414, "path and query are longer than 8192 bytes");
}

#[test]
fn fields_that_describe_a_message_want_a_method_that_publishes() {
    for name in ["mynah-property", "mynah-expiry", "mynah-priority", "mynah-created"] {
        let detail = format!("header field {name}: it describes a message, and this method publishes none");
        check("GET", "/v1/topics/a", &[(name, b"a=b")], 400, &detail);
        check("HEAD", "/v1/topics?filter=a", &[(name, b"a=b")], 400, &detail);
    }
}

#[test]
fn credentials_that_cannot_be_used() {
    let scheme = "the Authorization scheme has to be Basic or Bearer";
    let base64 = "the credentials after Basic are not base64";
    let user = "the user name is not UTF-8, or has control characters";
    for (value, detail) in [
        (&b"Digest abc"[..], scheme),
        (b"Basic", scheme),
        (b"Bearer", scheme),
        (b"", scheme),
        (b"Basicxx", scheme),
        (b"Basic !!!", base64),
        (b"Basic YTpi=", base64),
        (b"Basic YWI=", "the credentials after Basic have no colon between user name and password"),
        (b"Basic ", "the credentials after Basic have no colon between user name and password"),
        (b"Basic /zph", user),
        (b"Basic AToh", user),
    ] {
        let fields: Fields<'_> = &[("authorization", value)];
        check("GET", "/v1/topics/a", fields, 401, detail);
        let problem = judge("GET", "/v1/topics/a", fields).unwrap_err();
        assert_eq!(problem.field().map(|f| f.0), Some("www-authenticate"));
    }
}

#[test]
fn fields_without_meaning_for_a_method_are_let_be() {
    judge("GET", "/v1/topics/a", &[("content-encoding", b"\xff"), ("content-type", b"\xff"), ("date", b"x")])
        .unwrap();
    judge("DELETE", "/v1/topics/a", &[("content-type", b"\xff"), ("mynah-property", b"a=b")]).unwrap();
    judge("PUT", "/v1/topics/a", &[("content-encoding", b"Identity"), ("content-length", b"16777216")])
        .unwrap();
    judge("HEAD", "/v1/topics?filter=%23", &[("accept", b"text/event-stream")]).unwrap();
}

proptest! {
    #[test]
    fn any_request_is_judged(
        method in "(GET|PUT|POST|DELETE|[A-Z]{1,5})",
        target in "/v1/topics[/?]?(filter=|[a%+#/.?&0-9]){0,20}",
        fields in proptest::collection::vec(
            ("(authorization|content-type|mynah-qos|content-length|x|mynah-property|mynah-expiry|if-match)",
                "((Basic )?[ -~]{0,12}|[%=,a0\"*W/.]{0,8})"), 0..3),
    ) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        if let Err(problem) = judge(&method, &target, &fields) {
            prop_assert!((400..500).contains(&problem.status()));
            prop_assert!(!problem.to_string().is_empty());
        }
    }
}
