//! Devices: registering in the directory, being asked through the broker, and asking.

use std::time::Duration;

use mynah_coap::framing::next_datagram;
use mynah_coap::wire::{
    Block, BlockSize, Body, Code, Kind, Message, MessageId, OptionNumber, OptionWriter, Options,
};
use mynah_model::{Instant, Reason};

use crate::broker::Server;

const NOW: Instant = Instant::ZERO;

/// A peer's request; the path has a query if there is a `?`.
pub(crate) fn request(id: u16, code: Code, path: &str, format: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut options = Vec::new();
    let mut writer = OptionWriter::new(&mut options);
    path.split('/').for_each(|segment| writer.put(OptionNumber::URI_PATH, segment.as_bytes()));
    if let Some(format) = format {
        writer.put_uint(OptionNumber::CONTENT_FORMAT, format);
    }
    let query = query.split('&').filter(|part| !part.is_empty());
    query.for_each(|part| writer.put(OptionNumber::URI_QUERY, part.as_bytes()));
    message(Kind::Confirmable, id, code, &[id as u8], &options, payload)
}

pub(crate) fn message(
    kind: Kind,
    id: u16,
    code: Code,
    token: &[u8],
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let options = Options::decode(options).unwrap().0;
    let mut bytes = vec![0, 0];
    Message { kind, id: MessageId(id), body: Body { code, token, options, payload } }.encode(&mut bytes);
    if code.byte() == 0 {
        bytes.truncate(6);
    }
    let len = (bytes.len() - 2) as u16;
    bytes[..2].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// What the server said, as a test looks at it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) kind: Kind,
    pub(crate) id: u16,
    pub(crate) code: Code,
    pub(crate) token: Vec<u8>,
    options: Vec<(OptionNumber, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

impl Said {
    pub(crate) fn all(&self, number: OptionNumber) -> Vec<&str> {
        let of = self.options.iter().filter(|(found, _)| *found == number);
        of.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
    }

    pub(crate) fn block(&self, number: OptionNumber) -> Option<Block> {
        let found = self.options.iter().find(|(found, _)| *found == number)?;
        Block::decode(&found.1)
    }
}

/// All that the server has to say.
pub(crate) fn said(server: &mut Server) -> Vec<Said> {
    let bytes = server.out.drain();
    let (mut input, mut all) = (&bytes[..], Vec::new());
    while let Some(datagram) = next_datagram(&mut input) {
        let Message { kind, id, body } = Message::decode(datagram, 64).unwrap();
        let options = body.options.iter().map(|(number, value)| (number, value.to_vec())).collect();
        let (token, payload) = (body.token.to_vec(), body.payload.to_vec());
        all.push(Said { kind, id: id.0, code: body.code, token, options, payload });
    }
    all
}

pub(crate) fn ask(server: &mut Server, now: Instant, bytes: &[u8]) -> Said {
    server.hear(now, bytes);
    let mut all = said(server);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn at(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

/// A server where this peer is registered as `node`; the path of the registration.
pub(crate) fn registered() -> (Server, String) {
    let mut server = Server::with_directory(10);
    let links = b"</temp>;rt=\"temperature\",</log>";
    let answer = ask(&mut server, NOW, &request(1, Code::POST, "rd?ep=node&lt=600", Some(40), links));
    assert_eq!(answer.code, Code::CREATED, "{answer:?}");
    let location = answer.all(OptionNumber::LOCATION_PATH).join("/");
    assert!(server.subscriptions.contains_key(&b"$request/node/#"[..]));
    (server, location)
}

//= rfc9176 [4.2-1] [4.3-1] [5-2] [5-4] [5.3-1] [5.3.2-1]
#[test]
fn a_registration_is_found_changed_and_removed() {
    let (mut server, location) = registered();
    let links = ask(&mut server, NOW, &request(2, Code::GET, "rd-lookup/ep?ep=node", None, b""));
    let text = String::from_utf8(links.payload).unwrap();
    assert_eq!(text, format!("</{location}>;ep=\"node\";rt=\"core.rd-ep\""));
    let links = ask(&mut server, NOW, &request(3, Code::GET, "rd-lookup/res?rt=temperature", None, b""));
    assert_eq!(links.payload, b"</r/node/temp>;rt=\"temperature\"");
    let changed = ask(&mut server, NOW, &request(4, Code::POST, &format!("{location}?et=lamp"), None, b""));
    assert_eq!(changed.code, Code::CHANGED);
    let links = ask(&mut server, NOW, &request(5, Code::GET, "rd-lookup/ep?et=lamp", None, b""));
    assert!(!links.payload.is_empty());
    let again = ask(&mut server, NOW, &request(6, Code::POST, "rd?ep=node", Some(40), b"</x>"));
    assert_eq!(again.all(OptionNumber::LOCATION_PATH).join("/"), location, "an endpoint keeps its resource");
    let deleted = ask(&mut server, NOW, &request(7, Code::DELETE, &location, None, b""));
    assert_eq!(deleted.code, Code::DELETED);
    assert!(server.subscriptions.is_empty());
    let gone = ask(&mut server, NOW, &request(8, Code::DELETE, &location, None, b""));
    assert_eq!(gone.code, Code::NOT_FOUND);
    let core = ask(&mut server, NOW, &request(9, Code::GET, ".well-known/core?rt=core.rd*", None, b""));
    assert_eq!(String::from_utf8(core.payload).unwrap().matches("rt=\"core.rd").count(), 3);
}

//= rfc9176 [5-1] [5-5] [5.1-2] [5.3-1] [5.3.1-3] [6.2-2]
#[test]
fn what_is_no_registration_is_refused() {
    let (mut server, location) = registered();
    let long = format!("rd?ep={}", "x".repeat(64));
    let deep = format!("{location}?ep=other");
    let mut id = 20;
    for (code, path, format, payload, expected) in [
        (Code::POST, "rd", Some(40), &b""[..], Code::BAD_REQUEST),
        (Code::POST, "rd?ep=", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, &long, Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a&lt=0", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a&lt=x", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a&x=\"", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a&rt=x", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=.", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a", Some(40), b"no links", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a", Some(50), b"{}", Code::UNSUPPORTED_CONTENT_FORMAT),
        (Code::GET, "rd", None, b"", Code::METHOD_NOT_ALLOWED),
        (Code::PUT, &location, None, b"", Code::METHOD_NOT_ALLOWED),
        (Code::POST, &location, Some(40), b"</x>", Code::BAD_REQUEST),
        (Code::POST, &deep, None, b"", Code::BAD_REQUEST),
        (Code::POST, "rd/0000000000000000", None, b"", Code::NOT_FOUND),
        (Code::POST, "rd/xyz", None, b"", Code::NOT_FOUND),
        (Code::GET, "rd-lookup/ep?count=0", None, b"", Code::BAD_REQUEST),
        (Code::GET, "rd-lookup/other", None, b"", Code::NOT_FOUND),
        (Code::POST, ".well-known/rd", None, b"", Code::BAD_REQUEST),
        (Code::POST, ".well-known/rd?ep=a&base=coap://a", None, b"", Code::BAD_REQUEST),
        (Code::POST, "rd?ep=a&lt=4294967296", Some(40), b"", Code::BAD_REQUEST),
        (Code::POST, "r", None, b"", Code::NOT_FOUND),
        (Code::POST, "r/node?method=GET", None, b"", Code::BAD_REQUEST),
        (Code::POST, "r/node?timeout=0", None, b"", Code::BAD_REQUEST),
    ] {
        id += 1;
        let answer = ask(&mut server, NOW, &request(id, code, path, format, payload));
        assert_eq!(answer.code, expected, "{code} {path}");
    }
    server.refuse = Some(Reason::NotAuthorized);
    for (id, path) in [(90, "rd?ep=boss"), (91, &*location), (92, "r/boss/x")] {
        let answer = ask(&mut server, NOW, &request(id, Code::POST, path, None, b""));
        assert_eq!(answer.code, Code::FORBIDDEN, "{path}");
    }
    let answer = ask(&mut server, NOW, &request(93, Code::GET, "rd-lookup/ep", None, b""));
    assert_eq!(answer.code, Code::FORBIDDEN);
    let mut alone = Server::trusting();
    let answer = ask(&mut alone, NOW, &request(1, Code::POST, "rd?ep=a", Some(40), b""));
    assert_eq!(answer.code, Code::NOT_FOUND);
    let mut full = Server::with_directory(0);
    let answer = ask(&mut full, NOW, &request(1, Code::POST, "rd?ep=a", Some(40), b""));
    assert_eq!((answer.code, full.subscriptions.len()), (Code::SERVICE_UNAVAILABLE, 0));
}

/// The peer is device and requester at once: what it asks comes back to it as a request.
#[test]
fn a_device_is_asked_and_its_answer_is_the_reply() {
    let (mut server, _) = registered();
    for (id, method, payload) in
        [(2, Code::POST, &b"22"[..]), (3, Code::GET, b""), (4, Code::FETCH, b"{}"), (5, Code::IPATCH, b"[]")]
    {
        let format = (!payload.is_empty()).then_some(50);
        let call = ask(&mut server, NOW, &request(id, method, "r/node/temp/set?unit=C&now", format, payload));
        assert_eq!((call.kind, call.code), (Kind::Confirmable, method));
        assert_eq!(call.all(OptionNumber::URI_PATH), ["temp", "set"]);
        assert_eq!(call.all(OptionNumber::URI_QUERY), ["unit=C", "now"]);
        assert_eq!(call.payload, payload);
        let mut options = Vec::new();
        OptionWriter::new(&mut options).put_uint(OptionNumber::CONTENT_FORMAT, 0);
        // Each second device answers by itself.
        let answer = if id % 2 == 0 {
            message(Kind::Acknowledgement, call.id, Code::CONTENT, &call.token, &options, b"ok")
        } else {
            let empty = message(Kind::Acknowledgement, call.id, Code::EMPTY, b"", &[], b"");
            server.hear(NOW, &empty);
            assert!(said(&mut server).is_empty());
            message(Kind::Confirmable, 700 + id, Code::CONTENT, &call.token, &options, b"ok")
        };
        server.hear(NOW, &answer);
        let mut all = said(&mut server);
        if id % 2 == 1 {
            assert_eq!(all.remove(0).kind, Kind::Acknowledgement);
        }
        let reply = all.remove(0);
        assert_eq!((reply.token, reply.code, reply.payload), (vec![id as u8], Code::CONTENT, b"ok".to_vec()));
        assert_eq!(server.subscriptions.len(), 1, "its answer is waited for no more");
        server.hear(NOW, &answer);
        let again = said(&mut server);
        assert!(again.iter().all(|said| said.kind == Kind::Acknowledgement && said.code == Code::EMPTY));
    }
}

#[test]
fn codes_of_a_device_come_through_and_silence_is_a_timeout() {
    let (mut server, _) = registered();
    let call = ask(&mut server, NOW, &request(2, Code::GET, "r/node", None, b""));
    assert!(call.all(OptionNumber::URI_PATH).is_empty());
    let answer = message(Kind::Acknowledgement, call.id, Code::NOT_FOUND, &call.token, &[], b"");
    assert_eq!(ask(&mut server, NOW, &answer).code, Code::NOT_FOUND);
    // A device that does not know what it is asked about.
    let call = ask(&mut server, NOW, &request(3, Code::GET, "r/node/x", None, b""));
    let reset = message(Kind::Reset, call.id, Code::EMPTY, b"", &[], b"");
    assert_eq!(ask(&mut server, NOW, &reset).code, Code::BAD_GATEWAY);
    // Nobody is there.
    let nobody = ask(&mut server, NOW, &request(4, Code::GET, "r/nobody/x", None, b""));
    assert_eq!(nobody.code, Code::GATEWAY_TIMEOUT);
    // The device says nothing: the request is sent again, and given up.
    let call = ask(&mut server, NOW, &request(5, Code::GET, "r/node/x?timeout=3", None, b""));
    let mut all = Vec::new();
    while let Some(due) = server.connection.deadline().filter(|due| *due <= at(4)) {
        server.timeout(due);
        all.extend(said(&mut server));
    }
    let again = all.iter().filter(|said| said.id == call.id && said.code == Code::GET).count();
    assert_eq!(again, 1, "{all:?}");
    let last = all.iter().find(|said| said.token == [5] && said.code.is_response()).unwrap();
    assert_eq!((last.code, server.subscriptions.len()), (Code::GATEWAY_TIMEOUT, 1));
}

#[test]
fn large_requests_and_answers_go_in_blocks() {
    let (mut server, _) = registered();
    let payload = vec![b'p'; 2_500];
    let mut sent: Vec<u8> = Vec::new();
    let mut next = Vec::new();
    // The peer sends its own in blocks, too.
    for number in 0..3_u32 {
        let mut options = Vec::new();
        let mut writer = OptionWriter::new(&mut options);
        for segment in ["r", "node", "log"] {
            writer.put(OptionNumber::URI_PATH, segment.as_bytes());
        }
        let block = Block { number, more: number < 2, size: BlockSize::MAX };
        writer.put_uint(OptionNumber::BLOCK1, block.to_uint());
        let part = payload.chunks(1_024).nth(number as usize).unwrap();
        server.hear(NOW, &message(Kind::Confirmable, 100 + number as u16, Code::POST, b"t", &options, part));
        next = said(&mut server);
    }
    for number in 0..3 {
        let call = next.remove(0);
        let block = call.block(OptionNumber::BLOCK1).unwrap();
        assert_eq!((block.number, block.more), (number, number < 2));
        sent.extend(&call.payload);
        let mut options = Vec::new();
        OptionWriter::new(&mut options).put_uint(OptionNumber::BLOCK1, block.to_uint());
        if number < 2 {
            let more = message(Kind::Acknowledgement, call.id, Code::CONTINUE, &call.token, &options, b"");
            server.hear(NOW, &more);
            next = said(&mut server);
            continue;
        }
        let mut call = call;
        for part in 0..3_u32 {
            let mut options = Vec::new();
            let block = Block { number: part, more: part < 2, size: BlockSize::at_most(64) };
            OptionWriter::new(&mut options).put_uint(OptionNumber::BLOCK2, block.to_uint());
            let (kind, code) = (Kind::Acknowledgement, Code::CONTENT);
            let last = message(kind, call.id, code, &call.token, &options, &[b'a' + part as u8; 64]);
            server.hear(NOW, &last);
            next = said(&mut server);
            if part < 2 {
                call = next.remove(0);
                assert_eq!(call.block(OptionNumber::BLOCK2).unwrap().number, part + 1);
            }
        }
    }
    assert_eq!(sent, payload);
    let reply = next.remove(0);
    assert_eq!((reply.code, &*reply.token, reply.payload.len()), (Code::CONTENT, &b"t"[..], 192));
}

//= rfc9176 [5.1-1]
#[test]
fn a_simple_device_is_asked_for_its_links() {
    let mut server = Server::with_directory(1);
    server.hear(NOW, &request(1, Code::POST, ".well-known/rd?ep=tiny", None, b""));
    let mut all = said(&mut server);
    let (answer, call) = (all.remove(0), all.remove(0));
    assert_eq!((answer.code, call.code), (Code::CHANGED, Code::GET));
    assert_eq!(call.all(OptionNumber::URI_PATH), [".well-known", "core"]);
    let links =
        message(Kind::Acknowledgement, call.id, Code::CONTENT, &call.token, &[], b"</led>;rt=\"led\"");
    server.hear(NOW, &links);
    let found = ask(&mut server, NOW, &request(2, Code::GET, "rd-lookup/res?ep=tiny", None, b""));
    assert_eq!(found.payload, b"</r/tiny/led>;rt=\"led\"");
}

//= rfc9176 [5-3] [5-6] [5.3.1-1] [5.3.1-2]
#[test]
fn a_registered_device_is_remembered_as_long_as_its_lifetime() {
    let (mut server, location) = registered();
    assert_eq!(server.connection.deadline(), Some(at(600)));
    let lookup = |server: &mut Server, id, now, name: &str| {
        let path = format!("rd-lookup/ep?ep={name}");
        !ask(server, now, &request(id, Code::GET, &path, None, b"")).payload.is_empty()
    };
    // An update begins the same time again.
    let changed = ask(&mut server, at(500), &request(2, Code::POST, &location, None, b""));
    assert_eq!(changed.code, Code::CHANGED);
    assert!(lookup(&mut server, 3, at(1_099), "node") && !lookup(&mut server, 4, at(1_100), "node"));
    let gone = ask(&mut server, at(1_100), &request(5, Code::POST, &location, None, b""));
    assert_eq!(gone.code, Code::NOT_FOUND);
    // Who says nothing is there for 25 hours.
    let answer = ask(&mut server, at(1_100), &request(6, Code::POST, "rd?ep=quiet", Some(40), b""));
    assert_eq!(answer.code, Code::CREATED);
    assert_eq!(server.connection.deadline(), Some(at(91_100)));
    assert!(lookup(&mut server, 7, at(91_099), "quiet"));
    server.timeout(at(91_100));
    server.timeout(at(91_100 + 600));
    assert!(server.closed.is_some());
}
