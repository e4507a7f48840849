//! A protocol of lines, as small as a stack can be: what the engine's tests speak.
//!
//! `open NAME stay|go|hour [TOPIC [MS]]` with a will, of class 2 on the topic `exact`, and its delay, `prove NAME METHOD DATA`, `say METHOD DATA`,
//! `pub TOPIC CLASS keep|- PAYLOAD`, `sub FILTER CLASS [OPTIONS]`, `unsub FILTER`, `ack ID`, `rec ID`, `fin ID`, `rej ID`,
//! `done RECEIPT`, `read TOPIC`, `tag TOPIC`, `quit [MS]`; each receipt is the number of the line. Before a `pub` may stand
//! `for MS`, its lifetime, then `if present|absent|is=TAG|not=TAG`, a condition on the retained value. A filter may be
//! `@GROUP:FILTER`, which is shared. Options are letters with commas between: `l` no local, `p` retain as published, `n`
//! retained values when new, `x` never, and a number, the name of the subscription. `small` takes no message with `large`
//! in its payload from there on, the words of `queues` are about queues, `take N` before `open` sets how many unconfirmed deliveries it takes.

use std::sync::Arc;
use std::time::Duration;

use crate::{exchange_lines, queues};
use mynah_model::{
    Class, Condition, DeliveryId, Expiry, Filter, Header, Instant, Layout, MessageView, PRIORITY_DEFAULT,
    Properties, Reason, RetainHandling, SubscriptionId, SubscriptionOptions, TenantId, Topic, ValueTag, Will,
};
use mynah_stack::{
    Close, Command, Connection, Credentials, Delivery, Exchange, Frame, FrameKind, LayoutCodec, Open,
    Outbound, Outcome, Protocol, Publish, PublishIf, SessionRequest, Settle, Settlement, Step, Subscribe,
    SubscribeRequest, Unsubscribe, UnsubscribeRequest, Value,
};

/// A message is `TOPIC PAYLOAD`; a frame is ` TOPIC PAYLOAD\n` with a first byte that says nothing.
const LAYOUT: Layout = Layout { id: 9, version: 1 };

pub(crate) struct Lines;

impl Protocol for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn accept(&self, now: Instant) -> Box<dyn Connection> {
        Box::new(LineConnection {
            deadline: Some(now + Duration::from_secs(10)),
            ..LineConnection::default()
        })
    }

    fn codec(&self) -> Arc<dyn LayoutCodec> {
        Arc::new(LineCodec)
    }
}

struct LineCodec;

impl LayoutCodec for LineCodec {
    fn layouts(&self) -> &[Layout] {
        &[LAYOUT]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        Properties { user: exchange_lines::properties(message.payload()), ..Properties::default() }
    }

    fn encode(
        &self,
        m: MessageView<'_>,
        _: &Properties<'_>,
        _: Layout,
        _: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        if m.topic().as_bytes().starts_with(b"unspellable") {
            return false;
        }
        frame.head.extend_from_slice(b" ");
        frame.head.extend_from_slice(m.topic().as_bytes());
        frame.head.push(b' ');
        frame.payload(m.payload());
        true
    }
}

#[derive(Default)]
struct LineConnection {
    opening: bool,
    lines: u16,
    close: Option<Close>,
    deadline: Option<Instant>,
    /// Whether the last read wanted the tag of the value.
    tag_wanted: bool,
    /// Whether large messages are not taken.
    small: bool,
    /// Unconfirmed deliveries that are taken at a time, if not two.
    receive_max: Option<u16>,
    /// Whether it was refused a publication for which there was no room.
    awaits_room: bool,
}

impl LineConnection {
    /// A command with what may stand before a `pub`.
    fn command<'b>(&mut self, now: Instant, line: &'b str) -> Option<Command<'b>> {
        if let Some((span, rest)) = line.strip_prefix("for ").and_then(|rest| rest.split_once(' ')) {
            let mut command = self.command(now, rest)?;
            let publish = match &mut command {
                Command::Publish(publish) => publish,
                Command::PublishIf(command) => &mut command.publish,
                other => panic!("nothing to live for: {other:?}"),
            };
            publish.header.deadline = Some(now + Duration::from_millis(span.parse().unwrap()));
            return Some(command);
        }
        if let Some((condition, rest)) = line.strip_prefix("if ").and_then(|rest| rest.split_once(' ')) {
            let Some(Command::Publish(publish)) = self.command(now, rest) else { panic!("{rest}") };
            let conditions = vec![condition_of(condition)];
            return Some(Command::PublishIf(Box::new(PublishIf { publish, conditions })));
        }
        self.bare_command(line)
    }

    fn bare_command<'b>(&mut self, line: &'b str) -> Option<Command<'b>> {
        let receipt = self.lines;
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        match words[..] {
            ["open", name, expiry, ref will @ ..] => Some(self.open(name, expiry, will)),
            ["prove", name, method, data] => Some(self.prove(name, exchange(method, data))),
            ["say", method, data] => {
                self.opening = true;
                Some(Command::Authenticate(Box::new(exchange(method, data))))
            }
            ["small"] => {
                self.small = true;
                None
            }
            ["take", count] => {
                self.receive_max = Some(count.parse().unwrap());
                None
            }
            ["pub", topic, class, keep, _] => {
                let native = &line[4..];
                let payload = native.len() - words[4].len();
                let mut header = header(topic.len(), native.len(), class_of(class), keep == "keep");
                header.payload.0 = payload as u32;
                Some(Command::Publish(Publish::new(header, native.as_bytes().into(), receipt)))
            }
            ["sub", filter, class, ref more @ ..] => {
                let options = options_of(class, more.first());
                let (share, filter) = shared(filter);
                let filter = Filter::new(filter.as_bytes()).map_err(|_| Reason::FilterInvalid);
                let requests = vec![filter.map(|filter| SubscribeRequest { filter, share, options })];
                Some(Command::Subscribe(Subscribe { receipt, requests }))
            }
            ["unsub", filter] => {
                let (share, filter) = shared(filter);
                let filter = Filter::from_checked(filter.as_bytes());
                let requests = vec![UnsubscribeRequest { filter, share }];
                Some(Command::Unsubscribe(Unsubscribe { receipt, requests }))
            }
            ["rej", id] => Some(settle(id, Settlement::Rejected)),
            ["ack", id] => Some(settle(id, Settlement::Accepted)),
            ["fin", id] => Some(settle(id, Settlement::Completed)),
            ["rec", id] => Some(settle(id, Settlement::Received)),
            ["done", receipt] => Some(Command::Complete { receipt: receipt.parse().unwrap() }),
            [verb @ ("read" | "tag"), topic] => {
                self.tag_wanted = verb == "tag";
                Some(Command::Read(Topic::new(topic.as_bytes()).unwrap()))
            }
            ["quit", ref expiry @ ..] => {
                let expiry = expiry.first().map(|expiry| expiry_of(expiry));
                self.close = Some(Close { expiry, ..Close::new(Reason::Disconnected, false) });
                None
            }
            _ => {
                let command = exchange_lines::command(line, receipt);
                if let Some(command) = command.or_else(|| queues::command(line, receipt)) {
                    return Some(command);
                }
                self.close = Some(Close::new(Reason::ProtocolViolation, true));
                None
            }
        }
    }
}

impl LineConnection {
    fn open<'b>(&mut self, name: &str, expiry: &str, will: &[&str]) -> Command<'b> {
        self.opening = true;
        self.deadline = None;
        let expiry = expiry_of(expiry);
        let clean_start = expiry == Expiry::WithConnection;
        let credentials =
            name.strip_prefix('@').map(|user| Credentials { user: user.into(), password: None });
        Command::Open(Box::new(Open {
            credentials,
            session: Some(SessionRequest { client_id: name.as_bytes().into(), clean_start, expiry }),
            will: will.first().map(|topic| will_of(topic, will.get(1))),
            ..Open::new(self.receive_max.unwrap_or(2))
        }))
    }

    fn prove<'b>(&mut self, name: &str, exchange: Exchange) -> Command<'b> {
        self.opening = true;
        self.deadline = None;
        let (client_id, expiry) = (name.as_bytes().into(), Expiry::WithConnection);
        let session = Some(SessionRequest { client_id, clean_start: true, expiry });
        Command::Open(Box::new(Open { exchange: Some(exchange), session, ..Open::new(2) }))
    }
}

pub(crate) fn header(topic: usize, total: usize, class: Class, retain: bool) -> Header {
    Header {
        tenant: TenantId::DEFAULT,
        layout: LAYOUT,
        class,
        retain,
        priority: PRIORITY_DEFAULT,
        topic: (0, topic as u32),
        payload: (topic as u32 + 1, total as u32),
        deadline: None,
        publisher: None,
    }
}

fn expiry_of(text: &str) -> Expiry {
    match text {
        "stay" => Expiry::Never,
        "hour" => Expiry::After(Duration::from_secs(3_600)),
        _ => Expiry::WithConnection,
    }
}

fn will_of(topic: &str, delay: Option<&&str>) -> Will {
    let native = format!("{topic} gone");
    let class = if topic == "exact" { Class::ExactlyOnce } else { Class::AtLeastOnce };
    let header = header(topic.len(), native.len(), class, false);
    let message = MessageView { header: &header, native: native.as_bytes() }.to_message();
    let delay = delay.map_or(Duration::ZERO, |ms| Duration::from_millis(ms.parse().unwrap()));
    Will { message, delay, lifetime: None }
}

fn exchange(method: &str, data: &str) -> Exchange {
    Exchange { method: method.into(), data: data.as_bytes().into() }
}

/// The group and the filter.
fn shared(text: &str) -> (Option<&[u8]>, &str) {
    match text.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
        Some((group, filter)) => (Some(group.as_bytes()), filter),
        None => (None, text),
    }
}

fn options_of(class: &str, more: Option<&&str>) -> SubscriptionOptions {
    let mut options = SubscriptionOptions::new(class_of(class));
    for option in more.into_iter().flat_map(|more| more.split(',')) {
        match option {
            "l" => options.no_local = true,
            "p" => options.retain_as_published = true,
            "n" => options.retain_handling = RetainHandling::WhenNew,
            "x" => options.retain_handling = RetainHandling::Never,
            number => options.id = SubscriptionId::new(number.parse().unwrap()),
        }
    }
    options
}

pub(crate) fn class_of(text: &str) -> Class {
    Class::from_number(text.parse().unwrap()).unwrap()
}

fn condition_of(text: &str) -> Condition {
    let tag = |text: &str| vec![ValueTag::from_number(text.parse().unwrap())];
    match text.split_once('=') {
        Some(("is", number)) => Condition::OneOf(tag(number)),
        Some((_, number)) => Condition::NoneOf(tag(number)),
        None if text == "present" => Condition::Present,
        None => Condition::Absent,
    }
}

fn settle<'b>(id: &str, settlement: Settlement) -> Command<'b> {
    Command::Settle(Settle { delivery: DeliveryId::new(id.parse().unwrap()).unwrap(), settlement })
}

impl Connection for LineConnection {
    fn step<'b>(&mut self, now: Instant, input: &mut &'b [u8], _: &mut Outbound) -> Step<'b> {
        loop {
            if let Some(close) = self.close {
                return Step::Close(close);
            }
            let end = input.iter().position(|&b| b == b'\n').filter(|_| !self.opening);
            let Some(end) = end else { return Step::Idle };
            let line = std::str::from_utf8(&input[..end]).unwrap();
            *input = &input[end + 1..];
            self.lines += 1;
            if let Some(command) = self.command(now, line) {
                return Step::Command(command);
            }
        }
    }

    fn deliver(&mut self, _: Instant, delivery: Delivery<'_>, out: &mut Outbound) -> bool {
        match delivery {
            Delivery::Message { frame, class, id, retain, redelivered, subscription_ids } => {
                if self.small && frame.head.windows(5).any(|part| part == b"large") {
                    return false;
                }
                let id = id.map_or(0, DeliveryId::number);
                let marks = [if retain { " retained" } else { "" }, if redelivered { " again" } else { "" }];
                out.append(format!("msg {id} {}{}{}", class.number(), marks[0], marks[1]).as_bytes());
                for id in subscription_ids {
                    out.append(format!(" #{}", id.number()).as_bytes());
                }
                frame.write(out, b' ', None);
                out.append(b"\n");
            }
            Delivery::Leased(lease) => {
                if self.small && lease.frame.head.windows(5).any(|part| part == b"large") {
                    return false;
                }
                queues::write(lease, out);
            }
            Delivery::Release { id } => {
                out.append(format!("release {}\n", id.number()).as_bytes());
            }
        }
        true
    }

    fn awaits_room(&self) -> bool {
        self.awaits_room
    }

    fn handle_room(&mut self, _: Instant, out: &mut Outbound) {
        self.awaits_room = false;
        out.append(b"room\n");
    }

    fn handle_outcome(&mut self, _: Instant, outcome: Outcome<'_>, out: &mut Outbound) {
        self.awaits_room |= matches!(outcome, Outcome::Published { result: Err(Reason::StorageFull), .. });
        let text = match outcome {
            Outcome::Opened(Ok(opened)) => {
                self.opening = false;
                let present = if opened.session_present { "again" } else { "new" };
                let expiry = match opened.expiry {
                    Expiry::After(expiry) if expiry < Duration::from_secs(3_600) => {
                        format!(" for {} s", expiry.as_secs())
                    }
                    _ => String::new(),
                };
                let last_word =
                    opened.authentication.map(|word| format!(" {}", String::from_utf8_lossy(word)));
                format!("opened {present}{expiry}{}\n", last_word.unwrap_or_default())
            }
            Outcome::Opened(Err(reason)) | Outcome::Ended(reason) => {
                self.close = Some(Close::new(reason, true));
                format!("ended {reason}\n")
            }
            Outcome::Published { receipt, result, .. } => match result {
                Ok(wanted) => format!("published {receipt}{}\n", if wanted { "" } else { " unwanted" }),
                Err(reason) => format!("refused {receipt} {reason}\n"),
            },
            Outcome::Challenge(data) => {
                self.opening = false;
                format!("challenge {}\n", String::from_utf8_lossy(data))
            }
            Outcome::Authenticated(Ok(last_word)) => {
                self.opening = false;
                format!("authenticated {}\n", String::from_utf8_lossy(last_word.unwrap_or_default()))
            }
            Outcome::Authenticated(Err(reason)) => {
                self.close = Some(Close::new(reason, true));
                format!("ended {reason}\n")
            }
            Outcome::Queue(outcome) => queues::told(&outcome),
            Outcome::Completed { receipt, .. } => format!("completed {receipt}\n"),
            Outcome::Subscribed { results, .. } => match results[0] {
                Ok(class) => format!("subscribed {}\n", class.number()),
                Err(reason) => format!("refused {reason}\n"),
            },
            Outcome::Unsubscribed { results, .. } => format!("unsubscribed {}\n", results[0]),
            Outcome::Received { id, .. } => format!("received {}\n", id.number()),
            Outcome::Value(Ok(Some(value))) if self.tag_wanted => {
                format!("{}", value.tag.number())
            }
            Outcome::Value(Ok(value)) => {
                let payload =
                    |value: &Value<'_>| String::from_utf8_lossy(value.message.payload()).into_owned();
                format!("value {:?}\n", value.map(payload))
            }
            Outcome::Value(Err(reason)) => format!("refused {reason}\n"),
        };
        out.append(text.as_bytes());
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Outbound) {
        self.close = Some(Close::new(Reason::OpeningTimeout, true));
    }

    fn handle_shutdown(&mut self, _: Instant, out: &mut Outbound) {
        out.append(b"bye\n");
        self.close = Some(Close::new(Reason::ShuttingDown, false));
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn input_bytes_max(&self) -> usize {
        1 << 20
    }
}
