//! Tests of the framing: the handshake's answers, each rule of section 5 with its close code, and a naive model that
//! any cut, mask and fragmentation is compared with.

use proptest::prelude::*;

use super::*;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n";

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        paths: vec!["/mqtt".into(), "/".into()],
        protocols: vec![
            SubProtocol::binary("mqtt"),
            SubProtocol { name: "v12.stomp".into(), text: Some(true), stack: 0, unit_bytes_max: None },
        ],
        unnamed: None,
        request_bytes_max: 1_024,
        message_bytes_max: 100_000,
    })
}

/// A connection whose handshake is done.
fn open() -> WebSocket {
    let mut socket = WebSocket::new(settings());
    let mut request = REQUEST.as_bytes().to_vec();
    assert!(!socket.receive(&mut request, &mut Vec::new()).ended && socket.is_open());
    socket
}

/// A frame of a client, with the shortest form of its length.
fn frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// What an open connection makes of bytes: payload, answers, whether it ended.
fn receive(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut bytes, mut answers) = (bytes.to_vec(), Vec::new());
    let received = open().receive(&mut bytes, &mut answers);
    (bytes[received.payload].to_vec(), answers, received.ended)
}

fn answer_to(request: &str) -> (String, bool) {
    let (mut socket, mut answers) = (WebSocket::new(settings()), Vec::new());
    let received = socket.receive(&mut request.as_bytes().to_vec(), &mut answers);
    assert_eq!(received.ended, !socket.is_open());
    (String::from_utf8(answers).unwrap(), socket.is_open())
}

//= mqtt-3.1.1 [MQTT-6.0.0-4]
//= mqtt-5.0 [MQTT-6.0.0-4]
#[test]
fn the_handshake_of_the_specification_is_answered_as_it_says() {
    let (answer, is_open) = answer_to(REQUEST);
    assert!(is_open);
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[test]
fn a_peer_that_offers_nothing_speaks_what_goes_without_saying_and_is_told_no_name() {
    let request = REQUEST.replace("Sec-WebSocket-Protocol: chat, mqtt\r\n", "");
    let offered = REQUEST.replace("chat, mqtt", "chat");
    for (unnamed, request, opens) in
        [(None, &request, false), (Some(1), &request, true), (Some(1), &offered, false)]
    {
        let settings = Settings { unnamed, ..Settings::clone(&settings()) };
        let (mut socket, mut answers) = (WebSocket::new(Arc::new(settings)), Vec::new());
        socket.receive(&mut request.as_bytes().to_vec(), &mut answers);
        assert_eq!(socket.is_open(), opens);
        assert!(!opens || !String::from_utf8(answers).unwrap().contains("Sec-WebSocket-Protocol"));
        // The second one is of text.
        assert!(!opens || socket.header(1).is_some_and(|header| header.as_bytes()[0] == 0x81));
    }
}

#[test]
fn a_handshake_that_is_refused_says_why() {
    let cases = [
        (REQUEST.replace("GET", "POST"), "400", "a GET of HTTP/1.1"),
        (REQUEST.replace("HTTP/1.1", "HTTP/1.0"), "400", "a GET of HTTP/1.1"),
        (REQUEST.replace("/mqtt ", "/mqtts "), "404", "there is nothing here; use /mqtt or /"),
        (REQUEST.replace("Upgrade: websocket\r\n", ""), "426", "ask for `Upgrade: websocket`"),
        (REQUEST.replace("keep-alive, Upgrade", "keep-alive"), "400", "`Connection`"),
        (REQUEST.replace("Host: example.com\r\n", ""), "400", "one field `Host`"),
        (REQUEST.replace("Version: 13", "Version: 8"), "426", "spoken here is 13"),
        (REQUEST.replace("bXBsZSBub25jZQ==", "bXBsZQ=="), "400", "16 bytes in base64"),
        (REQUEST.replace("Sec-WebSocket-Key", "X-Key"), "400", "one field `Sec-WebSocket-Key`"),
        (REQUEST.replace("chat, mqtt", "chat, MQTT"), "400", "spoken here: mqtt, v12.stomp"),
        (REQUEST.replace("Host: ", "Ho st: "), "400", "not a request of HTTP/1.1: invalid header name"),
        ("\r\n\r\n".to_owned(), "400", "not a request"),
        (format!("{}{}", "x".repeat(1_024), REQUEST), "431", "longer than 1024 bytes"),
    ];
    for (request, status, reason) in cases {
        let (answer, is_open) = answer_to(&request);
        assert!(!is_open && answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.contains(reason), "{body}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
    assert!(
        answer_to(&REQUEST.replace("Version: 13", "Version: 8"))
            .0
            .contains("\r\nSec-WebSocket-Version: 13\r\n")
    );
    assert!(answer_to(&REQUEST.replace("/mqtt ", "/?access=x ")).1, "the query means nothing");
    assert!(answer_to(&REQUEST.replace("chat, ", "v12.stomp, ")).0.contains("Protocol: v12.stomp\r\n"));
}

#[test]
fn a_request_may_come_byte_by_byte_and_frames_right_behind_it() {
    let mut bytes = REQUEST.as_bytes().to_vec();
    bytes.extend(frame(0x82, b"hello", [1, 2, 3, 4]));
    for split in [1, 7, 100, bytes.len()] {
        let (mut socket, mut answers, mut payload) = (WebSocket::new(settings()), Vec::new(), Vec::new());
        for piece in bytes.clone().chunks_mut(split) {
            let received = socket.receive(piece, &mut answers);
            payload.extend_from_slice(&piece[received.payload]);
        }
        assert_eq!(payload, b"hello");
        assert!(answers.starts_with(b"HTTP/1.1 101 "));
    }
}

#[test]
fn an_endless_request_is_cut_off() {
    let (mut socket, mut answers) = (WebSocket::new(settings()), Vec::new());
    for _ in 0..3 {
        assert!(!socket.receive(&mut [b'x'; 341], &mut answers).ended);
    }
    assert!(socket.receive(b"x".to_vec().as_mut_slice(), &mut answers).ended);
    assert!(answers.starts_with(b"HTTP/1.1 431 "));
}

//= mqtt-3.1.1 [MQTT-6.0.0-1]
//= mqtt-5.0 [MQTT-6.0.0-1]
#[test]
fn what_breaks_a_rule_ends_the_connection_with_its_code() {
    let key = [9, 8, 7, 6];
    let long = |first, form: u8, len: u64| {
        let mut bytes = vec![first, 0x80 | form];
        let length = len.to_be_bytes();
        bytes.extend_from_slice(&length[if form == 126 { 6 } else { 0 }..]);
        bytes.extend(key);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", vec![0x82, 0x01, 0x00], 1002),
        ("a reserved bit", frame(0xC2, b"", key), 1002),
        ("a reserved opcode", frame(0x83, b"", key), 1002),
        ("a reserved control opcode", frame(0x8B, b"", key), 1002),
        ("a ping in pieces", frame(0x09, b"", key), 1002),
        ("a long ping", frame(0x89, &[0; 126], key), 1002),
        ("a continuation of nothing", frame(0x80, b"x", key), 1002),
        ("a message within a message", [frame(0x02, b"x", key), frame(0x82, b"y", key)].concat(), 1002),
        ("a length that is not the shortest", long(0x82, 126, 125), 1002),
        ("the same, of eight bytes", long(0x82, 127, 0xFFFF), 1002),
        ("a length of 64 bits", long(0x82, 127, u64::MAX), 1002),
        ("text", frame(0x81, b"x", key), 1003),
        ("a frame that is too long", long(0x82, 127, 100_001), 1009),
        (
            "a message that is too long",
            [frame(0x02, &[0; 60_000], key), long(0x80, 126, 40_001)].concat(),
            1009,
        ),
        ("half a close code", frame(0x88, &[3], key), 1002),
        ("a close code that must not be sent", frame(0x88, &1006u16.to_be_bytes(), key), 1002),
        ("a close code of nobody", frame(0x88, &2999u16.to_be_bytes(), key), 1002),
        ("a reason that is not UTF-8", frame(0x88, &[3, 232, 0xFF], key), 1007),
        ("a close", frame(0x88, &1000u16.to_be_bytes(), key), 1000),
        ("a close with a reason", frame(0x88, b"\x0f\xa0bye", key), 4000),
    ];
    for (what, bytes, code) in cases {
        let (_, answers, ended) = receive(&bytes);
        let expected = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        assert!(ended && answers == expected, "{what}: {answers:?}");
    }
    assert_eq!(receive(&frame(0x88, b"", key)), (Vec::new(), vec![0x88, 0], true));
}

#[test]
fn what_comes_before_a_fault_counts_and_what_comes_after_it_does_not() {
    let key = [1, 1, 2, 3];
    let bytes =
        [frame(0x82, b"before", key), frame(0x81, b"wrong", key), frame(0x82, b"after", key)].concat();
    assert_eq!(receive(&bytes), (b"before".to_vec(), vec![0x88, 2, 0x03, 0xEB], true));
    let mut socket = open();
    let _ = socket.receive(&mut bytes.clone(), &mut Vec::new());
    let mut answers = Vec::new();
    assert_eq!(socket.receive(&mut bytes.clone(), &mut answers), Received { payload: 0..0, ended: true });
    assert!(answers.is_empty() && socket.header(1).is_none());
}

#[test]
fn the_payload_of_a_read_is_one_piece_and_its_first_frame_is_not_moved() {
    let key = [7; 4];
    let mut bytes =
        [frame(0x82, b"first", key), frame(0x89, b"?", key), frame(0x82, b"second", key)].concat();
    let payload = open().receive(&mut bytes, &mut Vec::new()).payload;
    assert_eq!((payload.start, &bytes[payload]), (6, &b"firstsecond"[..]));
}

#[test]
fn control_frames_are_answered_between_fragments() {
    let key = [5; 4];
    let bytes = [
        frame(0x02, b"ab", key),
        frame(0x89, b"are you there", key),
        frame(0x8A, b"nobody asked", key),
        frame(0x00, b"", key),
        frame(0x80, b"cd", key),
    ]
    .concat();
    assert_eq!(receive(&bytes), (b"abcd".to_vec(), b"\x8a\x0dare you there".to_vec(), false));
}

#[test]
fn text_is_checked_where_it_is_spoken() {
    let request = REQUEST.replace("chat, mqtt", "v12.stomp");
    let receive = |frames: &[Vec<u8>]| {
        let mut socket = WebSocket::new(settings());
        let _ = socket.receive(&mut request.as_bytes().to_vec(), &mut Vec::new());
        assert_eq!(socket.header(3).unwrap().as_bytes(), [0x81, 3]);
        let (mut payload, mut answers) = (Vec::new(), Vec::new());
        for byte in frames.concat() {
            let mut byte = [byte];
            let received = socket.receive(&mut byte, &mut answers);
            payload.extend_from_slice(&byte[received.payload]);
            if received.ended {
                break;
            }
        }
        (payload, answers)
    };
    let key = [4, 3, 2, 1];
    let euro = "€".as_bytes();
    let whole = [frame(0x01, &euro[..1], key), frame(0x00, &euro[1..2], key), frame(0x80, &euro[2..], key)];
    assert_eq!(receive(&whole), (euro.to_vec(), Vec::new()));
    let refused = vec![0x88, 2, 0x03, 0xEF];
    assert_eq!(receive(&[frame(0x81, &euro[..2], key)]).1, refused, "it ends within a character");
    assert_eq!(receive(&[frame(0x01, b"\xF4\x90", key)]).1, refused, "beyond Unicode");
    assert_eq!(receive(&[frame(0x82, b"", key)]).1, [0x88, 2, 0x03, 0xEB]);
}

#[test]
fn headers_have_the_shortest_length() {
    let header = |len| open().header(len).unwrap().as_bytes().to_vec();
    assert_eq!(header(0), [0x82, 0]);
    assert_eq!(header(125), [0x82, 125]);
    assert_eq!(header(126), [0x82, 126, 0, 126]);
    assert_eq!(header(65_535), [0x82, 126, 0xFF, 0xFF]);
    assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert!(WebSocket::new(settings()).header(1).is_none());
}

/// What a peer does, and what a naive reader makes of it.
#[derive(Clone, Debug)]
enum Step {
    Message(Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let piece =
        prop_oneof![4 => bytes(40), 1 => bytes(300), 1 => (0usize..70_000).prop_map(|len| vec![7; len])];
    let step = prop_oneof![
        3 => prop::collection::vec(piece, 1..4).prop_map(Step::Message),
        1 => bytes(125).prop_map(Step::Ping),
        1 => bytes(125).prop_map(Step::Pong),
    ];
    prop::collection::vec(step, 0..8)
}

proptest! {
    /// However a stream is cut, into messages, frames and reads, its bytes come out in order and pings are answered.
    //= mqtt-3.1.1 [MQTT-6.0.0-2]
    //= mqtt-5.0 [MQTT-6.0.0-2]
    #[test]
    fn any_cut_gives_the_same_stream(steps in steps(), keys: [u8; 4], cut in 1usize..5_000, within: bool) {
        let (mut bytes, mut payload, mut pongs) = (Vec::new(), Vec::new(), Vec::new());
        for step in &steps {
            match step {
                Step::Message(pieces) if pieces.iter().map(Vec::len).sum::<usize>() > 100_000 => {}
                Step::Message(pieces) => for (at, piece) in pieces.iter().enumerate() {
                    let fin = if at + 1 == pieces.len() { 0x80 } else { 0 };
                    bytes.extend(frame(fin | if at == 0 { 2 } else { 0 }, piece, keys));
                    payload.extend_from_slice(piece);
                    if within && fin == 0 {
                        bytes.extend(frame(0x89, b"within", keys));
                        pongs.extend(b"\x8a\x06within");
                    }
                },
                Step::Ping(data) => {
                    bytes.extend(frame(0x89, data, keys));
                    pongs.extend([0x8A, data.len() as u8]);
                    pongs.extend(data);
                }
                Step::Pong(data) => bytes.extend(frame(0x8A, data, keys)),
            }
        }
        let (mut socket, mut got, mut answers) = (open(), Vec::new(), Vec::new());
        for piece in bytes.chunks_mut(cut) {
            let received = socket.receive(piece, &mut answers);
            prop_assert!(!received.ended);
            got.extend_from_slice(&piece[received.payload]);
        }
        prop_assert!(got == payload);
        prop_assert!(answers == pongs);
    }

    /// Text in pieces is UTF-8 exactly if the whole is.
    #[test]
    fn text_in_pieces_is_judged_as_the_whole(
        text in prop_oneof![".{0,40}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..12)],
        cut in 1usize..6,
    ) {
        let mut utf8 = utf8::Utf8::default();
        let is_text = text.chunks(cut).all(|piece| utf8.push(piece)) && utf8.is_complete();
        prop_assert_eq!(is_text, core::str::from_utf8(&text).is_ok());
    }

    /// Any bytes are read or refused, and nothing is kept beyond a header.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
        let (mut socket, mut answers) = (open(), Vec::new());
        for piece in bytes.clone().chunks_mut(cut) {
            let received = socket.receive(piece, &mut answers);
            prop_assert!(received.payload.end <= piece.len());
        }
    }
}
