//! The opening handshake (RFC 6455, section 4.2): an HTTP request that is answered with 101, or with why not.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use httparse::{EMPTY_HEADER, Header, Request, Status};

use super::{Settings, SubProtocol};

/// Fields of a request.
const FIELDS_MAX: usize = 64;
/// What the key of a handshake is hashed with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const END: &[u8] = b"\r\n\r\n";

/// An opening handshake that is under way: what has come of its request.
#[derive(Debug, Default)]
pub struct Handshake {
    head: Vec<u8>,
}

/// A handshake that was answered with 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where frames begin in the bytes that were handed in last.
    pub rest: usize,
    /// The place in [`Settings::protocols`] of the sub-protocol that is spoken, if there are any.
    pub protocol: Option<usize>,
}

/// The handshake was refused; once the answer is written, the connection can be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Why a handshake is refused.
struct Refusal {
    status: &'static str,
    reason: String,
    /// Fields that tell the client what would have been right.
    fields: &'static str,
}

impl Refusal {
    fn new(status: &'static str, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), fields: "" }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self::new("400 Bad Request", reason)
    }

    fn append(&self, answers: &mut Vec<u8>) {
        let Self { status, reason, fields } = self;
        let length = reason.len() + 1;
        answers.extend_from_slice(
            format!(
                "HTTP/1.1 {status}\r\n{fields}Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
            )
            .as_bytes(),
        );
    }
}

impl Handshake {
    /// A handshake of which nothing has come.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: Vec::new() }
    }

    /// Reads on. The answer is appended to `answers` once the request has come; none if more is needed.
    ///
    /// # Errors
    /// The handshake is refused; the reason is in the answer.
    pub fn read(
        &mut self,
        settings: &Settings,
        bytes: &[u8],
        answers: &mut Vec<u8>,
    ) -> Result<Option<Accepted>, Refused> {
        let before = self.head.len();
        let room = settings.request_bytes_max.saturating_sub(before);
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let from = before.saturating_sub(END.len() - 1);
        let end = self.head[from..].windows(END.len()).position(|window| window == END);
        let result = match end.map(|end| from + end + END.len()) {
            Some(end) => answer(settings, &self.head[..end], answers)
                .map(|protocol| Some(Accepted { rest: end - before, protocol })),
            None if bytes.len() < room => return Ok(None),
            None => {
                let reason = format!("the request is longer than {} bytes", settings.request_bytes_max);
                Err(Refusal::new("431 Request Header Fields Too Large", reason))
            }
        };
        self.head = Vec::new();
        result.map_err(|refusal| {
            refusal.append(answers);
            Refused
        })
    }
}

fn answer(settings: &Settings, head: &[u8], answers: &mut Vec<u8>) -> Result<Option<usize>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Refusal::bad("this is not a request of HTTP/1.1")),
        Err(error) => return Err(Refusal::bad(format!("this is not a request of HTTP/1.1: {error}"))),
    }
    let protocol = check(settings, &request)?;
    let key = key(request.headers)?;
    let mut digest = sha1_smol::Sha1::from(key);
    digest.update(GUID);
    let accept = BASE64_STANDARD.encode(digest.digest().bytes());
    answers.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    answers.extend_from_slice(accept.as_bytes());
    // A server names only what was offered (section 4.2.2).
    let offered = protocol.filter(|_| offers(request.headers));
    if let Some(SubProtocol { name, .. }) = offered.and_then(|place| settings.protocols.get(place)) {
        answers.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answers.extend_from_slice(name.as_bytes());
    }
    answers.extend_from_slice(END);
    Ok(protocol)
}

/// Looks at everything but the key; the place of the sub-protocol that was chosen.
fn check(settings: &Settings, request: &Request<'_, '_>) -> Result<Option<usize>, Refusal> {
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(Refusal::bad("a handshake of WebSocket is a GET of HTTP/1.1"));
    }
    let target = request.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !settings.paths.iter().any(|allowed| **allowed == *path) {
        return Err(Refusal::new(
            "404 Not Found",
            format!("there is nothing here; use {}", settings.paths.join(" or ")),
        ));
    }
    let fields = &*request.headers;
    if !has_token(fields, "upgrade", "websocket") {
        let reason = "this is an endpoint of WebSocket: ask for `Upgrade: websocket`".to_owned();
        return Err(Refusal { status: "426 Upgrade Required", reason, fields: "Upgrade: websocket\r\n" });
    }
    if !has_token(fields, "connection", "upgrade") {
        return Err(Refusal::bad("the field `Connection` does not say `Upgrade`"));
    }
    if values(fields, "host").count() != 1 {
        return Err(Refusal::bad("the request needs one field `Host`"));
    }
    if values(fields, "sec-websocket-version").ne([&b"13"[..]]) {
        let reason = "the version of WebSocket that is spoken here is 13".to_owned();
        return Err(Refusal {
            status: "426 Upgrade Required",
            reason,
            fields: "Sec-WebSocket-Version: 13\r\n",
        });
    }
    choose(settings, fields)
}

/// Whether a client names any sub-protocol.
fn offers(fields: &[Header<'_>]) -> bool {
    values(fields, "sec-websocket-protocol").next().is_some()
}

/// The first sub-protocol that the client names and the server speaks: clients name what they like best first.
fn choose(settings: &Settings, fields: &[Header<'_>]) -> Result<Option<usize>, Refusal> {
    let Settings { protocols, unnamed, .. } = settings;
    if protocols.is_empty() || (unnamed.is_some() && !offers(fields)) {
        return Ok(*unnamed);
    }
    let place = |offer: &[u8]| protocols.iter().position(|protocol| protocol.name.as_bytes() == offer);
    match tokens(fields, "sec-websocket-protocol").find_map(place) {
        Some(place) => Ok(Some(place)),
        None => {
            let names: Vec<&str> = protocols.iter().map(|protocol| &*protocol.name).collect();
            Err(Refusal::bad(format!(
                "offer in `Sec-WebSocket-Protocol` what is spoken here: {}",
                names.join(", ")
            )))
        }
    }
}

/// The client's key: 16 bytes in base64.
fn key<'h>(fields: &'h [Header<'h>]) -> Result<&'h [u8], Refusal> {
    let mut keys = values(fields, "sec-websocket-key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::bad("the request needs one field `Sec-WebSocket-Key`"));
    };
    let mut decoded = [0; 18];
    match BASE64_STANDARD.decode_slice(key, &mut decoded) {
        Ok(16) => Ok(key),
        _ => Err(Refusal::bad("`Sec-WebSocket-Key` has to be 16 bytes in base64")),
    }
}

/// The values of all fields with this name.
fn values<'h>(fields: &'h [Header<'h>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value.trim_ascii())
}

/// The elements of the lists in all fields with this name.
fn tokens<'h>(fields: &'h [Header<'h>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    values(fields, name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn has_token(fields: &[Header<'_>], name: &str, token: &str) -> bool {
    tokens(fields, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}
