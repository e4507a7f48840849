//! HTTP: the path that spells a topic, the query that spells filters, the request head on a link, and a link's
//! connection. The first byte says which; paths and queries are judged by a decoder that is written from the definition.

use mynah_http::framing::{self, HEADER_BYTES, read_header};
use mynah_http::wire::target::{decode_filters, decode_topic, encode_topic, no_parameters};
use mynah_http::wire::{Kind, RequestHead};
use mynah_http::{Http, HttpConfig};
use mynah_model::{Filter, Instant, Reason, Topic};
use mynah_stack::{Command, Connection, Opened, Outbound, Outcome, Protocol, Publish, Step};

use crate::script::Script;

const FILTERS_MAX: u8 = 5;
const HEAD_BYTES_MAX: usize = 512;

/// Decodes `data` as what its first byte says.
///
/// # Panics
/// If a decoder differs from the definition, or a connection breaks its contract.
pub fn http_paths(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(4) {
        0 => check_path(&String::from_utf8_lossy(script.rest())),
        1 => check_query(&String::from_utf8_lossy(script.rest())),
        2 => check_head(script.rest()),
        _ => check_link(script),
    }
}

fn check_path(path: &str) {
    let topic = decode_topic(path).ok();
    assert_eq!(topic, topic_by_definition(path), "{path}");
    if let Some(topic) = topic {
        let encoded = encode_topic(Topic::new(&topic).unwrap());
        assert!(encoded.is_ascii());
        assert_eq!(decode_topic(&encoded), Ok(topic), "{encoded}");
    }
}

/// The path's segments, each decoded by itself; none if one is not what a segment of a topic may be.
fn topic_by_definition(path: &str) -> Option<Vec<u8>> {
    let segment = |segment: &str| {
        let bytes = unescape(segment)?;
        let is_text = core::str::from_utf8(&bytes).is_ok();
        let is_plain = !bytes.iter().any(|byte| b"/+#\0".contains(byte));
        (segment != "." && segment != ".." && is_text && is_plain).then_some(bytes)
    };
    let segments: Vec<Vec<u8>> = path.split('/').map(segment).collect::<Option<_>>()?;
    Some(segments.join(&b'/')).filter(|topic| !topic.is_empty())
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
        bytes.extend_from_slice(rest);
    }
    Some(bytes)
}

fn check_query(query: &str) {
    let parameters: Vec<&str> = query.split('&').filter(|p| !p.is_empty()).collect();
    let filter = |parameter: &&str| {
        let (name, value) = parameter.split_once('=').unwrap_or((*parameter, ""));
        let bytes = unescape(value).filter(|_| name == "filter")?;
        core::str::from_utf8(&bytes).ok()?;
        Filter::new(&bytes).ok()?;
        Some(bytes)
    };
    let expected: Option<Vec<Vec<u8>>> = parameters.iter().map(filter).collect();
    let expected = expected.filter(|filters| (1..=usize::from(FILTERS_MAX)).contains(&filters.len()));
    assert_eq!(decode_filters(Some(query), FILTERS_MAX).ok(), expected, "{query}");
    assert_eq!(no_parameters(Some(query)).is_ok(), parameters.is_empty());
}

/// A head is taken when its last byte is there, and is the same after it was encoded.
fn check_head(frame: &[u8]) {
    let Ok(Some((head, _))) = RequestHead::decode(frame, HEAD_BYTES_MAX) else { return };
    let len = HEADER_BYTES + framing::frame(frame, Kind::RequestHead, HEAD_BYTES_MAX).unwrap().unwrap().len();
    for cut in [0, 1, HEADER_BYTES, len - 1] {
        assert!(matches!(RequestHead::decode(&frame[..cut.min(len - 1)], HEAD_BYTES_MAX), Ok(None)));
    }
    let mut encoded = Vec::new();
    head.encode(&mut encoded).unwrap();
    let Ok(Some((again, _))) = RequestHead::decode(&encoded, HEAD_BYTES_MAX) else {
        panic!("{head:?} is encoded as something else");
    };
    assert_eq!(again, head);
}

/// A link whose other end sends anything.
fn check_link(mut script: Script<'_>) {
    let config = HttpConfig { body_bytes_max: 256, ..HttpConfig::default() };
    let connection = Http::new(config).unwrap().accept(Instant::ZERO);
    let refusal = [None, Some(Reason::NotAuthorized), Some(Reason::ServerBusy)][usize::from(script.below(3))];
    let mut link = Link { connection, refusal, out: Outbound::new(), unread: Vec::new(), is_closed: false };
    while !script.is_empty() && !link.is_closed {
        link.hear(script.piece(64));
    }
    if !link.is_closed {
        link.connection.handle_shutdown(Instant::ZERO, &mut link.out);
        link.hear(b"");
        assert!(link.is_closed);
    }
}

struct Link {
    connection: Box<dyn Connection>,
    /// What everything but the opening is refused with.
    refusal: Option<Reason>,
    out: Outbound,
    unread: Vec<u8>,
    is_closed: bool,
}

impl Link {
    fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        // A link has one request: it is let in, asks one thing and ends.
        for _ in 0..4 {
            let unread = std::mem::take(&mut self.unread);
            let mut input = unread.as_slice();
            let step = self.connection.step(Instant::ZERO, &mut input, &mut self.out);
            let is_command = match step {
                Step::Idle => false,
                Step::Close(_) => {
                    self.is_closed = true;
                    false
                }
                Step::Command(command) => {
                    self.answer(command);
                    true
                }
            };
            self.unread = input.to_vec();
            check_frames(&self.out.drain());
            if !is_command {
                assert!(self.is_closed || self.unread.len() <= self.connection.input_bytes_max());
                return;
            }
        }
        panic!("more steps than a request has");
    }

    /// Looks at a publication, and answers it.
    fn published(&self, publish: &Publish<'_>) -> Outcome<'static> {
        assert!(Topic::new(publish.view().topic().as_bytes()).is_ok());
        assert_eq!(publish.header.payload_range().end, publish.native.len());
        let (receipt, class) = (publish.receipt, publish.header.class);
        Outcome::Published { receipt, class, result: self.refusal.map_or(Ok(true), Err) }
    }

    fn answer(&mut self, command: Command<'_>) {
        let opened = Opened::new(false, mynah_model::Expiry::Never);
        let results;
        let outcome = match command {
            Command::Open(_) => Outcome::Opened(Ok(opened)),
            Command::Publish(publish) => self.published(&publish),
            Command::PublishIf(command) => self.published(&command.publish),
            Command::Subscribe(subscribe) => {
                let result = |request: &Result<mynah_stack::SubscribeRequest<'_>, Reason>| {
                    request.and_then(|r| self.refusal.map_or(Ok(r.options.class_max), Err))
                };
                results = subscribe.requests.iter().map(result).collect::<Vec<_>>();
                Outcome::Subscribed { receipt: subscribe.receipt, results: &results }
            }
            Command::Read(_) => Outcome::Value(self.refusal.map_or(Ok(None), Err)),
            // The broker may end a link instead of answering.
            _ => Outcome::Ended(Reason::ServerBusy),
        };
        self.connection.handle_outcome(Instant::ZERO, outcome, &mut self.out);
    }
}

/// What is written is whole frames of the kinds that go that way.
fn check_frames(mut written: &[u8]) {
    while let Some((header, rest)) = written.split_first_chunk::<HEADER_BYTES>() {
        let (kind, len) = read_header(*header).unwrap();
        assert!(!matches!(kind, Kind::RequestHead | Kind::RequestBody));
        written = rest.get(len as usize..).expect("a frame is written whole");
    }
    assert!(written.is_empty());
}
