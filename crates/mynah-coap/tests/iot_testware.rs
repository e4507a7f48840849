//! The test purposes for servers of the Eclipse IoT-Testware, by exact messages; where a purpose names a code that RFC 7252
//! does not have there, the document counts. `specs/iot-testware-coap.toml` lists them.

use mynah_coap::wire::{Code, Kind, OptionNumber};
use mynah_model::{Class, Instant};

use crate::broker::Server;
use crate::devices::{ask, message, registered, request, said};
use crate::message_layer::{at, hex, tell};

const NOW: Instant = Instant::ZERO;

/// A server where `/t/a` has a value.
fn server() -> Server {
    let mut server = Server::trusting();
    server.publish(NOW, "a", b"1", Class::AtMostOnce, true);
    server
}

/// How the answer to a datagram begins; nothing if there is none.
#[test]
fn message_formats_have_their_answers() {
    for (sends, answers) in [
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Version_001]
        ("40 00 1234", "70001234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Version_002]
        ("80 00 1234", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_CON_001]
        ("40 01 1234 b174 0161", "60451234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_CON_002]
        ("40 43 1234", "70001234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_CON_003]
        ("40 20 1234", "70001234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_NON_001]
        ("50 01 1234 b174 0161", "5045"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_NON_002]
        ("50 00 1234", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_NON_003]
        ("50 43 1234", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_NON_004]
        ("50 c0 1234", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_ACK_001]
        ("60 02 1234 b174 0161 ff31", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_ACK_002]
        ("60 e0 1234", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Type_RST_001]
        ("70 02 1234 b174 0161 ff31", ""),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_TokenLength_001]
        ("44 01 1234 0a0b0c0d b174 0161", "644512340a0b0c0d"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_TokenLength_002]
        ("48 01 1234 0a0b0c0d", "70001234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_TokenLength_003]
        ("4f 01 1234 0a0b0c0d 0a0b0c0d 0a0b0c0d 0a0b0c", "70001234"),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Payload_Marker_ZeroLengt_001]
        ("40 01 1234 b174 0161 ff", "70001234"),
    ] {
        let mut server = server();
        let got = tell(&mut server, at(0), sends);
        assert_eq!(got.len(), usize::from(!answers.is_empty()), "{sends}: {got:?}");
        assert!(got.iter().all(|answer| answer.starts_with(answers)), "{sends}: {got:?}");
        assert!(server.published.is_empty(), "{sends}");
    }
}

#[test]
fn codes_are_those_of_what_was_done() {
    let mut server = server();
    for (id, (method, path, expected)) in [
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_Content]
        (Code::GET, "t/a", Code::CONTENT),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_MethodNotAllowed]
        (Code::PATCH, "t/a", Code::METHOD_NOT_ALLOWED),
        (Code::POST, ".well-known/core", Code::METHOD_NOT_ALLOWED),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_NotFound]
        (Code::GET, "t/none", Code::NOT_FOUND),
        (Code::GET, "elsewhere", Code::NOT_FOUND),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_Created]
        (Code::PUT, "t/new", Code::CREATED),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_Changed]
        (Code::PUT, "t/new", Code::CHANGED),
        (Code::POST, "t/new", Code::CHANGED),
        //= iot-testware-coap [TP_CoAP_MessageFormat_Header_Code_Deleted]
        (Code::DELETE, "t/new", Code::DELETED),
        //= iot-testware-coap [TP_CoAP_Server_Options_UriPath_002]
        (Code::PUT, "t/one/two", Code::CREATED),
        (Code::GET, "t/one/two", Code::CONTENT),
        //= iot-testware-coap [TP_CoAP_Server_Options_UriPath_003]
        (Code::POST, "t/one/two/three", Code::CHANGED),
        //= iot-testware-coap [TP_CoAP_Server_Options_UriPath_004]
        (Code::PUT, "t/one/two", Code::CHANGED),
    ]
    .into_iter()
    .enumerate()
    {
        let payload: &[u8] = if matches!(method, Code::PUT | Code::POST) { b"x" } else { b"" };
        let answer = ask(&mut server, NOW, &request(id as u16, method, path, None, payload));
        assert_eq!((answer.kind, answer.code), (Kind::Acknowledgement, expected), "{method} {path}");
    }
}

/// What takes long is acknowledged, answered by a confirmable message, and not sent again once that is acknowledged.
#[test]
fn separate_responses_have_the_same_codes() {
    for (method, path, expected) in [
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_GET_001]
        (Code::GET, "t/a", Code::CONTENT),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_POST_002]
        (Code::POST, "t/a/second/third", Code::CHANGED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_POST_003]
        (Code::POST, "t/a/second/new", Code::CHANGED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_PUT_001]
        (Code::PUT, "t/new", Code::CREATED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_PUT_002]
        (Code::PUT, "t/a", Code::CHANGED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_DELETE_001]
        (Code::DELETE, "t/a", Code::DELETED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_DELETE_002]
        (Code::DELETE, "t/none", Code::DELETED),
    ] {
        let mut server = server();
        server.holds = true;
        let payload: &[u8] = if matches!(method, Code::PUT | Code::POST) { b"x" } else { b"" };
        server.hear(NOW, &request(7, method, path, None, payload));
        check_separate(&mut server, expected, |server| server.release(at(5_000)));
    }
    for (token, code) in [
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_POST_001]
        (1, Code::CREATED),
        //= iot-testware-coap [TP_CoAP_Server_Separate_Response_POST_004]
        (2, Code::METHOD_NOT_ALLOWED),
    ] {
        let (mut server, _) = registered();
        // A device that takes its time is asked.
        server.hear(NOW, &request(7 + token, Code::POST, "r/node/temp", None, b"x"));
        let call = said(&mut server).remove(0);
        server.hear(NOW, &message(Kind::Acknowledgement, call.id, Code::EMPTY, b"", b"", b""));
        check_separate(&mut server, code, |server| {
            server.hear(at(5_000), &message(Kind::NonConfirmable, 900, code, &call.token, b"", b""));
        });
    }
}

#[track_caller]
fn check_separate(server: &mut Server, expected: Code, finish: impl FnOnce(&mut Server)) {
    server.timeout(at(1_000));
    let acknowledged = said(server);
    assert_eq!((acknowledged[0].kind, acknowledged[0].code), (Kind::Acknowledgement, Code::EMPTY));
    finish(server);
    let answer = said(server).remove(0);
    assert_eq!((answer.kind, answer.code), (Kind::Confirmable, expected));
    server.hear(at(5_100), &message(Kind::Acknowledgement, answer.id, Code::EMPTY, b"", b"", b""));
    server.timeout(at(60_000));
    assert!(said(server).is_empty());
}

#[test]
fn options_mean_what_they_say() {
    let tag = "0000000000000001";
    for (name, sends, answers) in [
        //= iot-testware-coap [TP_CoAP_Server_Options_UriHost_001]
        ("no host", "40 01 1234 b174 0161", "60451234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_UriHost_002]
        ("a host", "40 01 1234 3b 6578616d706c652e6e6574 8174 0161", "60451234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_UriPath_001]
        (
            "a path behind a host",
            "40 01 1234 3b 6578616d706c652e6e6574 8b 2e77656c6c2d6b6e6f776e 04 636f7265",
            "60451234",
        ),
        //= iot-testware-coap [TP_CoAP_Server_Options_ProxyUri_002]
        ("Proxy-Uri beside a path", "40 01 1234 b174 0161 d8 0b 636f61703a2f2f78", "60a51234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_ContentFormat_001]
        ("PUT of a format", "40 03 1234 b174 0162 10 ff31", "60411234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_ContentFormat_002]
        (
            "GET of a value without one",
            "40 01 1234 b174 0161",
            &format!("604512344 8{tag}ff31").replace(' ', ""),
        ),
        //= iot-testware-coap [TP_CoAP_Server_Options_ContentAccept_001]
        ("Accept of what is there", "40 01 1234 b174 0161 61 2a", "60451234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_ContentAccept_002]
        ("Accept of another format", "40 01 1234 b174 0161 61 32", "60861234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_EtagRequest_001]
        ("ETag that holds", &format!("40 01 1234 48 {tag} 7174 0161"), &format!("6043123448{tag}")),
        //= iot-testware-coap [TP_CoAP_Server_Options_LocationPathLocationQuery_002]
        //= rfc7252 [5.10.7-1]
        ("Location-* that is not known", "40 01 1234 8178 3174 0161 d1 68 79", "60821234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_IfMatch_001]
        ("If-Match that holds", &format!("40 03 1234 18 {tag} a174 0161 ff32"), "60441234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_IfMatch_002]
        ("If-Match that does not hold", "40 03 1234 18 0000000000000009 a174 0161 ff32", "608c1234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_IfNoneMatch_001]
        ("If-None-Match where nothing is", "40 03 1234 50 6174 0162 ff32", "60411234"),
        //= iot-testware-coap [TP_CoAP_Server_Options_IfNoneMatch_002]
        ("If-None-Match where something is", "40 03 1234 50 6174 0161 ff32", "608c1234"),
    ] {
        let mut server = server();
        let got = tell(&mut server, at(0), sends);
        assert!(got.len() == 1 && got[0].starts_with(answers), "{name}: {got:?}");
    }
}

/// What is created has an address, and what has a lifetime says how much is left.
//= iot-testware-coap [TP_CoAP_Server_Options_LocationPathLocationQuery_001] [TP_CoAP_Server_Options_MaxAgeFresh_001]
//= iot-testware-coap [TP_CoAP_Server_Options_MaxAge_002]
#[test]
fn answers_say_where_and_how_long() {
    let mut server = Server::with_directory(10);
    let created = ask(&mut server, NOW, &request(1, Code::POST, "rd?ep=e", Some(40), b"</s>"));
    assert_eq!((created.code, created.all(OptionNumber::LOCATION_PATH)[0]), (Code::CREATED, "rd"));
    ask(&mut server, NOW, &request(2, Code::PUT, "t/short?expiry=60", None, b"1"));
    for (id, seconds) in [(3, 0), (4, 45)] {
        let get = message(Kind::Confirmable, id, Code::GET, b"", &hex("b174 05 73686f7274"), b"");
        let value = ask(&mut server, at(seconds * 1_000), &get);
        let left = value.all(OptionNumber::MAX_AGE)[0].as_bytes()[0];
        assert_eq!((value.code, u64::from(left)), (Code::CONTENT, 60 - seconds));
        assert_eq!(value.all(OptionNumber::ETAG).len(), 1);
    }
    let gone = ask(&mut server, at(61_000), &request(5, Code::GET, "t/none", None, b""));
    assert_eq!(gone.code, Code::NOT_FOUND);
}
