//! A link whose broker's end is under test: requests in, the frames of the answer out, time as the test says.

use std::time::Duration;

use mynah_http::mapping::HttpRequest;
use mynah_http::wire::{BodyKind, Kind, RESPONSE_HEAD_BYTES_MAX, RequestBody, ResponseHead};
use mynah_http::{Http, HttpConfig, framing};
use mynah_model::{Class, Header, Instant, Layout, Message, MessageView, TenantId};
use mynah_stack::{Close, Command, Connection, Opened, Outbound, Outcome, Protocol, Step};

pub(crate) struct Link {
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) now: Instant,
    pub(crate) out: Outbound,
    input: Vec<u8>,
}

/// A response as it came over the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Link {
    pub(crate) fn new(config: HttpConfig) -> Self {
        let now = Instant::from_micros(1_000_000);
        let connection = Http::new(config).unwrap().accept(now);
        Self { connection, now, out: Outbound::new(), input: Vec::new() }
    }

    /// A link on which a request's head has been sent.
    pub(crate) fn with(method: &str, target: &str, fields: &[(&str, &str)]) -> Self {
        let mut link = Self::new(HttpConfig::default());
        link.send(&head(method, target, fields));
        link
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub(crate) fn send_body(&mut self, body: &[u8]) {
        self.send(&RequestBody::header(u32::try_from(body.len()).unwrap()));
        self.send(body);
    }

    /// One step; what it borrows is shown to `check`.
    pub(crate) fn step<T>(&mut self, check: impl FnOnce(Step<'_>) -> T) -> T {
        let mut input = &self.input[..];
        let result = check(self.connection.step(self.now, &mut input, &mut self.out));
        let consumed = self.input.len() - input.len();
        self.input.drain(..consumed);
        result
    }

    pub(crate) fn idle(&mut self) {
        self.step(|step| assert!(matches!(step, Step::Idle), "{step:?}"));
    }

    pub(crate) fn command<T>(&mut self, check: impl FnOnce(Command<'_>) -> T) -> T {
        self.step(|step| match step {
            Step::Command(command) => check(command),
            other => panic!("a command was due: {other:?}"),
        })
    }

    pub(crate) fn close(&mut self) -> Close {
        self.step(|step| match step {
            Step::Close(close) => close,
            other => panic!("a close was due: {other:?}"),
        })
    }

    pub(crate) fn outcome(&mut self, outcome: Outcome<'_>) {
        self.connection.handle_outcome(self.now, outcome, &mut self.out);
    }

    /// Expects to be asked for admission, and grants it.
    pub(crate) fn admit(&mut self) {
        self.command(|command| assert!(matches!(command, Command::Open(_)), "{command:?}"));
        self.idle();
        self.outcome(Outcome::Opened(Ok(Opened::new(false, mynah_model::Expiry::Never))));
    }

    /// Lets time pass, and tells the connection if it wanted to be woken by then.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        if self.connection.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.out);
        }
    }

    /// The response that was written, whole.
    pub(crate) fn response(&mut self) -> Response {
        let bytes = self.out.drain();
        let head =
            framing::frame(&bytes, Kind::ResponseHead, RESPONSE_HEAD_BYTES_MAX).unwrap().expect("a response");
        let rest = &bytes[framing::HEADER_BYTES + head.len()..];
        let head = ResponseHead::decode(head).unwrap();
        let body = match head.body {
            BodyKind::Empty => {
                assert_eq!(rest, b"");
                Vec::new()
            }
            BodyKind::Whole => {
                let body = framing::frame(rest, Kind::ResponseBody, 1 << 24).unwrap().expect("a body");
                assert_eq!(rest.len(), framing::HEADER_BYTES + body.len());
                body.to_vec()
            }
            BodyKind::Stream => rest.to_vec(),
        };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Response { status: head.status, fields: head.fields.iter().map(own).collect(), body }
    }
}

/// The frame of a request's head.
pub(crate) fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let (path, query) = match target.split_once('?') {
        None => (target, None),
        Some((path, query)) => (path, Some(query)),
    };
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    HttpRequest { method, path, query, fields: &fields }
        .to_frame(&HttpConfig::default(), || Ok(mynah_stack::Holder([0xAB; 16])))
        .unwrap()
}

/// A message of another stack.
pub(crate) fn message(topic: &str, payload: &[u8], class: Class, retain: bool) -> Message {
    let mut native = topic.as_bytes().to_vec();
    native.extend_from_slice(payload);
    let topic_end = u32::try_from(topic.len()).unwrap();
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 99, version: 0 },
        class,
        retain,
        priority: mynah_model::PRIORITY_DEFAULT,
        topic: (0, topic_end),
        payload: (topic_end, u32::try_from(native.len()).unwrap()),
        deadline: None,
        publisher: None,
    };
    MessageView { header: &header, native: &native }.to_message()
}
