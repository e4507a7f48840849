//! One link: one request from its head to its answer, or a stream until somebody ends it.
//! The head stays in the input until its command is given: the message's native bytes are head and body in one range.

mod asking;
mod leases;
mod response;

use std::ops::Range;

use mynah_model::{Class, Condition, Filter, Instant, Layout, Reason, SubscriptionOptions};
use mynah_stack::{
    Close, Command, Connection, Delivery, Open, Opened, Outbound, Outcome, Publish, PublishIf, QueueOutcome,
    Refusal, Step, Subscribe, SubscribeRequest, Value,
};

use crate::codec::{ANSWER_LAYOUT, STREAM_LAYOUT};
use crate::framing::HEADER_BYTES;
use crate::wire::{Kind, Malformed, Method, Proceed, RequestBody, RequestHead, StreamChunk, Target};
use crate::{HttpConfig, Problem, mapping};
use asking::Asking;
use leases::Leases;

/// A link has one request, so its receipts need not differ.
const RECEIPT: u16 = 1;

/// The state of one link.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    config: HttpConfig,
    state: State,
    /// What a value has to be that is read.
    conditions: Vec<Condition>,
    /// What was asked about leases.
    leases: Option<Leases>,
    asking: Asking,
}

/// How far the request has come.
///
/// ```text
/// ExpectHead --head--> Opening --opened--> ExpectBody --body--> Working --outcome--> Answered
///                         \--opened, without a body--> Ready --/    \--subscribed--> Streaming
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The request head is due at this instant.
    ExpectHead(Instant),
    /// The core has been asked to let the peer in.
    Opening(Method),
    /// The body is due at this instant.
    ExpectBody(Instant),
    /// The request has no body: all of it is there.
    Ready,
    /// The core has been asked for what the request is about.
    Working,
    /// The request is published; its reply is waited for until this instant.
    Awaiting(Instant),
    /// Events are on their way; the next heart-beat is due at this instant.
    Streaming(Instant),
    /// All is said; the link ends for this reason.
    Answered(Reason),
    /// The end was reported.
    Closed,
}

impl HttpConnection {
    pub(crate) fn new(config: HttpConfig, now: Instant) -> Self {
        let due = now + config.opening_timeout;
        Self {
            config,
            state: State::ExpectHead(due),
            conditions: Vec::new(),
            leases: None,
            asking: Asking::No,
        }
    }

    /// Answers with a problem; a stream says it in its last event, and after any other answer the link just ends.
    fn refuse(&mut self, problem: &Problem, reason: Reason, out: &mut Outbound) {
        match self.state {
            State::Answered(_) | State::Closed => {}
            State::Streaming(_) => response::stream_end(problem, out),
            _ => response::problem(problem, out),
        }
        if self.state != State::Closed {
            self.state = State::Answered(reason);
        }
    }

    fn refuse_for(&mut self, reason: Reason, out: &mut Outbound) {
        self.refuse(&Problem::Refused(reason), reason, out);
    }

    fn head<'b>(&self, input: &'b [u8]) -> Result<Option<(RequestHead<'b>, Range<usize>)>, Malformed> {
        RequestHead::decode(input, self.config.request_head_bytes_max())
    }

    /// Asks the core to let the peer in.
    fn open<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, Malformed> {
        let Some((head, _)) = self.head(input)? else { return Ok(Step::Idle) };
        let credentials = head
            .credentials
            .map(|c| mynah_stack::Credentials { user: c.user.into(), password: Some(c.password.into()) });
        self.state = State::Opening(head.method);
        if head.method == Method::Request {
            self.asking = Asking::Wanted;
        }
        let open = Open { credentials, tenant: head.host.map(Box::from), shares_rates: true, ..Open::new(0) };
        Ok(Step::Command(Command::Open(Box::new(open))))
    }

    /// Asks the core for what the request is about, once all of it is there.
    fn work<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Result<Step<'b>, Malformed> {
        let whole: &'b [u8] = input;
        let Some((mut head, native)) = self.head(whole)? else { return Ok(Step::Idle) };
        let body_bytes = if head.method.has_body() {
            let rest = &whole[native.end..];
            let Some(body) = RequestBody::decode(rest, self.config.body_bytes_max)? else {
                return Ok(Step::Idle);
            };
            HEADER_BYTES + body.len()
        } else {
            0
        };
        self.state = State::Working;
        if self.asking == Asking::Wanted {
            // Who is asked may answer at once: the request stays in the input until its answer can come.
            self.asking = Asking::Listening(asking::due(&head, now));
            return Ok(Step::Command(Command::Subscribe(asking::listen(&head))));
        }
        let (request, rest) = whole.split_at(native.end + body_bytes);
        *input = rest;
        let conditions = core::mem::take(&mut head.conditions);
        Ok(Step::Command(match &head.target {
            Target::Filters(filters) => Command::Subscribe(subscribe(filters)),
            Target::Leases(request) => {
                self.leases = Some(Leases::new(request));
                Command::Queue(leases::hold(request))
            }
            Target::Topic { topic, .. } if head.method == Method::Get => {
                self.conditions = conditions;
                Command::Read(*topic)
            }
            Target::Topic { .. } => {
                let mut publish = publish(&head, now, native.len(), &request[native.start..]);
                publish.header.deadline = self.asking.due().or(publish.header.deadline);
                if publish.header.retain || !conditions.is_empty() {
                    return Ok(Step::Command(Command::PublishIf(Box::new(PublishIf {
                        publish,
                        conditions,
                    }))));
                }
                if !head.class.is_confirmed() {
                    response::no_content(out);
                    self.state = State::Answered(Reason::Disconnected);
                }
                Command::Publish(publish)
            }
        }))
    }

    /// Answers with a value, or with what its conditions say about it.
    fn value(&mut self, value: &Value<'_>, out: &mut Outbound) {
        match self.conditions.iter().find(|condition| !condition.holds(Some(value.tag))) {
            Some(Condition::Present | Condition::OneOf(_)) => {
                return self.refuse(&Problem::Refused(Reason::ConditionFailed), Reason::Disconnected, out);
            }
            Some(Condition::Absent | Condition::NoneOf(_)) => response::not_modified(value, out),
            None => response::value(value, out),
        }
        self.state = State::Answered(Reason::Disconnected);
    }

    /// The peer is in: its body may come.
    fn opened(&mut self, now: Instant, result: Result<Opened<'_>, Reason>, out: &mut Outbound) {
        match (self.state, result) {
            (State::Opening(method), Ok(_)) if method.has_body() => {
                out.append(&Proceed.encode());
                self.state = State::ExpectBody(now + self.config.body_timeout);
            }
            (State::Opening(_), Ok(_)) => self.state = State::Ready,
            (_, Ok(_)) => {}
            (_, Err(reason)) => self.refuse_for(reason, out),
        }
    }

    /// Answers what was asked about leases.
    fn leases_outcome(&mut self, outcome: QueueOutcome<'_>, out: &mut Outbound) {
        match outcome {
            QueueOutcome::Held { result: Ok(Some(until)), .. } => {
                let body = self.leases.take().and_then(|leases| leases.into_body(until));
                match body {
                    Some(body) => response::json(&body, out),
                    None => response::no_content(out),
                }
                self.state = State::Answered(Reason::Disconnected);
            }
            QueueOutcome::Held { result: Ok(None), .. } => {
                self.refuse(&Problem::LeaseGone, Reason::Disconnected, out);
            }
            QueueOutcome::Held { result: Err(Refusal { reason, .. }), .. }
            | QueueOutcome::ConsumerEnded { reason, .. } => self.refuse_for(reason, out),
            _ => {}
        }
    }

    /// The reply can come: the request may go out.
    fn listens(&mut self) {
        if let Asking::Listening(due) = self.asking {
            self.asking = Asking::Listens(due);
            self.state = State::Ready;
        }
    }

    fn stream(&mut self, now: Instant, out: &mut Outbound) {
        response::stream_head(out);
        self.state = State::Streaming(now + self.config.heartbeat);
    }
}

impl Connection for HttpConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], out: &mut Outbound) -> Step<'b> {
        let step = match self.state {
            State::ExpectHead(_) => self.open(input),
            State::ExpectBody(_) | State::Ready => self.work(now, input, out),
            State::Opening(_) | State::Working | State::Awaiting(_) => Ok(Step::Idle),
            State::Streaming(_) | State::Closed => {
                *input = &[];
                Ok(Step::Idle)
            }
            State::Answered(reason) => {
                *input = &[];
                self.state = State::Closed;
                Ok(Step::Close(Close::new(reason, false)))
            }
        };
        step.unwrap_or_else(|_| {
            *input = &[];
            self.refuse_for(Reason::ProtocolViolation, out);
            self.state = State::Closed;
            Step::Close(Close::new(Reason::ProtocolViolation, false))
        })
    }

    fn deliver(&mut self, now: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        let frame = match (delivery, &mut self.leases) {
            (Delivery::Message { frame, .. }, _) => frame,
            (Delivery::Leased(lease), Some(leases)) => return leases.add(lease),
            (Delivery::Leased(_), None) => return false, // nothing is consumed here
            (Delivery::Release { .. }, _) => return true,
        };
        if let (Asking::Listens(_), State::Working | State::Awaiting(_)) = (self.asking, self.state) {
            frame.write(out, Kind::ResponseHead as u8, None);
            self.state = State::Answered(Reason::Disconnected);
            return true;
        }
        // Retained values may come before the subscription's outcome; the response's head goes first.
        if self.state == State::Working {
            self.stream(now, out);
        }
        if matches!(self.state, State::Streaming(_)) {
            frame.write(out, StreamChunk::FIRST_BYTE, None);
        }
        true
    }

    fn handle_outcome(&mut self, now: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        match (self.state, outcome) {
            (_, Outcome::Opened(result)) => self.opened(now, result, out),
            (_, Outcome::Ended(reason)) => self.refuse_for(reason, out),
            (State::Working, Outcome::Published { result: Ok(has_receiver), .. })
                if self.asking != Asking::No =>
            {
                match self.asking.due().filter(|_| has_receiver) {
                    Some(due) => self.state = State::Awaiting(due),
                    None => self.refuse(&Problem::NobodyAnswers, Reason::Disconnected, out),
                }
            }
            (State::Working, Outcome::Published { result: Ok(_), .. }) => {
                response::no_content(out);
                self.state = State::Answered(Reason::Disconnected);
            }
            (State::Working, Outcome::Value(Ok(Some(value)))) => self.value(value, out),
            (State::Working, Outcome::Value(Ok(None))) => {
                self.refuse(&Problem::NoValue, Reason::Disconnected, out);
            }
            (
                State::Working,
                Outcome::Published { result: Err(reason), .. } | Outcome::Value(Err(reason)),
            ) => {
                self.refuse_for(reason, out);
            }
            (State::Working | State::Streaming(_), Outcome::Subscribed { results, .. }) => {
                match results.iter().find_map(|result| result.err()) {
                    Some(reason) => self.refuse_for(reason, out),
                    None if self.asking != Asking::No => self.listens(),
                    None if self.state == State::Working => self.stream(now, out),
                    None => {}
                }
            }
            (State::Working, Outcome::Queue(outcome)) => self.leases_outcome(outcome, out),
            // Nothing else was asked for.
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbound) {
        match self.state {
            State::ExpectHead(due) if due <= now => self.refuse_for(Reason::OpeningTimeout, out),
            State::ExpectBody(due) if due <= now => {
                self.refuse(&Problem::BodyIncomplete, Reason::Disconnected, out);
            }
            State::Awaiting(due) if due <= now => {
                self.refuse(&Problem::NoAnswer, Reason::Disconnected, out);
            }
            State::Streaming(due) if due <= now => {
                // A client that does not read what is there learns nothing from more of it.
                if out.is_empty() {
                    response::heartbeat(out);
                }
                self.state = State::Streaming(now + self.config.heartbeat);
            }
            _ => {}
        }
    }

    fn handle_shutdown(&mut self, _: Instant, out: &mut Outbound) {
        self.refuse_for(Reason::ShuttingDown, out);
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::ExpectHead(due)
            | State::ExpectBody(due)
            | State::Awaiting(due)
            | State::Streaming(due) => Some(due),
            _ => None,
        }
    }

    fn layout(&self) -> Layout {
        if self.asking == Asking::No { STREAM_LAYOUT } else { ANSWER_LAYOUT }
    }

    fn input_bytes_max(&self) -> usize {
        let head = HEADER_BYTES + self.config.request_head_bytes_max();
        match self.state {
            // A request stays in the input until its answer can come.
            State::Working | State::Ready if self.asking.due().is_some() => {
                head + HEADER_BYTES + self.config.body_bytes_max as usize
            }
            State::ExpectBody(_) => head + HEADER_BYTES + self.config.body_bytes_max as usize,
            _ => head,
        }
    }
}

/// Streams have no acknowledgement, so at most once is what they get; retained values come first.
fn subscribe<'b>(filters: &[Filter<'b>]) -> Subscribe<'b> {
    let options =
        SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(Class::AtMostOnce) };
    let requests =
        filters.iter().map(|&filter| Ok(SubscribeRequest { filter, share: None, options })).collect();
    Subscribe { receipt: RECEIPT, requests }
}

/// The publication whose native bytes are `native`: `tail_bytes` of topic and properties, and the frame of the body if
/// there is one.
fn publish<'b>(head: &RequestHead<'_>, now: Instant, tail_bytes: usize, native: &'b [u8]) -> Publish<'b> {
    let topic_bytes = match &head.target {
        Target::Topic { topic, .. } => topic.as_bytes().len(),
        Target::Filters(_) | Target::Leases(_) => 0,
    };
    let payload_at = if head.method.has_body() { tail_bytes + HEADER_BYTES } else { tail_bytes };
    let range = |from: usize, to: usize| (offset(from), offset(to));
    let header = mapping::header(head, now, range(2, 2 + topic_bytes), range(payload_at, native.len()));
    Publish::new(header, native.into(), RECEIPT)
}

/// Requests are far smaller than 4 GiB: see [`HttpConfig::validate`].
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
