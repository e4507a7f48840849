//! Requests to the peer: a device answers what others have asked it through the broker.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Instant, Topic};
use mynah_stack::Outbound;

use super::device::Registering;
use super::response::Reply;
use super::{Link, ServerConnection, Todo};
use crate::flow::{Pieces, Purpose};
use crate::mapping::{Addressed, Demand, NO_FORMAT};
use crate::wire::{Block, BlockSize, Body, Code, Kind, OptionNumber, read_uint};

/// A request of ours that is not answered.
#[derive(Debug)]
pub(super) struct Call {
    /// The token, and what transmissions know it by.
    number: u32,
    due: Instant,
    demand: Demand,
    asker: Asker,
    /// The block of the payload that goes out, and that of the answer that is wanted.
    sent: u32,
    wanted: u32,
    size: BlockSize,
    /// What has come of the answer.
    body: Vec<u8>,
    is_under_way: bool,
}

/// Who wants the answer.
#[derive(Debug)]
pub(super) enum Asker {
    /// Whoever the demand's reply address stands for.
    Requester,
    /// The directory: it is the device's list of links.
    Directory(Box<Registering>),
}

/// What a peer has answered.
#[derive(Clone, Copy)]
struct Answer<'a> {
    code: Code,
    format: u16,
    payload: &'a [u8],
}

impl Answer<'static> {
    /// What the broker says in the place of a device.
    const fn of_broker(code: Code) -> Self {
        Self { code, format: NO_FORMAT, payload: &[] }
    }
}

impl ServerConnection {
    /// Asks the peer, now or when it is its turn.
    pub(super) fn call(&mut self, now: Instant, demand: Demand, asker: Asker, out: &mut Outbound) {
        let config = &self.stack.config;
        let patience = config.request_timeout;
        let wanted = demand.seconds.map(|seconds| core::time::Duration::from_secs(seconds.into()));
        let due = now + wanted.map_or(patience, |wanted| wanted.min(patience));
        let calls_max = usize::from(config.exchanges_max);
        // Nobody who does not see it can answer it (RFC 7252, section 5.3.1).
        let number = self.random.next_number() as u32;
        let device = self.device();
        let is_full = device.calls.len() >= calls_max || device.calls.iter().any(|c| c.number == number);
        let call = Call {
            number,
            due,
            demand,
            asker,
            sent: 0,
            wanted: 0,
            size: BlockSize::MAX,
            body: Vec::new(),
            is_under_way: false,
        };
        if is_full {
            return self.finish(now, call, Answer::of_broker(Code::SERVICE_UNAVAILABLE), out);
        }
        device.calls.push(call);
        self.send_calls(now, out);
    }

    /// Sends the calls whose turn it is.
    pub(super) fn send_calls(&mut self, now: Instant, out: &mut Outbound) {
        while let Some(device) = &self.device {
            let has_room = match &self.link {
                Link::Reliable(_) => true,
                Link::Datagram(link) => link.transmissions.has_room(&self.stack.config),
            };
            let Some(at) = device.calls.iter().position(|call| !call.is_under_way).filter(|_| has_room)
            else {
                return;
            };
            self.send_call(now, at, out);
        }
    }

    fn send_call(&mut self, now: Instant, at: usize, out: &mut Outbound) {
        let is_datagram = matches!(self.link, Link::Datagram(_));
        let id = self.next_id();
        let Some(mut device) = self.device.take() else { return };
        let call = &mut device.calls[at];
        call.is_under_way = true;
        let (len, bytes) = (call.demand.payload.len(), BlockSize::MAX.bytes());
        let from = call.sent as usize * bytes;
        let is_cut = is_datagram && len > bytes;
        let block1 = (is_cut && call.wanted == 0).then_some(Block {
            number: call.sent,
            more: from + bytes < len,
            size: BlockSize::MAX,
        });
        let block2 = (call.wanted > 0).then_some(Block { number: call.wanted, more: false, size: call.size });
        let options = call.demand.options([block2, block1]);
        let payload = match (block2, block1) {
            (Some(_), _) => &[][..],
            (None, Some(_)) => &call.demand.payload[from..len.min(from + bytes)],
            (None, None) => &call.demand.payload,
        };
        let token = token(call.number);
        let (code, payload) = (call.demand.method, Pieces::one(payload));
        let reply = Reply { code, token: &token, options: &options, payload };
        match self.link {
            Link::Datagram(_) => self.begin(now, (id, Purpose::Call(call.number)), &reply, out),
            Link::Reliable(_) => self.send_reliable(&reply, out),
        }
        self.device = Some(device);
    }

    /// Whether the peer may say something with this token.
    pub(super) fn is_called(&self, token: &[u8]) -> bool {
        let Some(device) = &self.device else { return false };
        let number = number(token);
        number.is_some()
            && (device.last_answered == number || device.calls.iter().any(|call| Some(call.number) == number))
    }

    /// The peer answers.
    pub(super) fn answered(&mut self, now: Instant, body: &Body<'_>, out: &mut Outbound) {
        let body_max = self.stack.config.body_bytes_max as usize;
        let Some(device) = &mut self.device else { return };
        let Some(at) = device.calls.iter().position(|call| Some(call.number) == number(body.token)) else {
            return;
        };
        let block = |number| body.options.first(number).and_then(Block::decode);
        let call = &mut device.calls[at];
        let mut code = body.code;
        if code == Code::CONTINUE {
            call.sent += 1;
            call.is_under_way = false;
            let taken = block(OptionNumber::BLOCK1).is_some_and(|block| block.size == BlockSize::MAX);
            if taken && (call.sent as usize * BlockSize::MAX.bytes()) < call.demand.payload.len() {
                return self.send_calls(now, out);
            }
            code = Code::BAD_GATEWAY;
        }
        let format = body.options.first(OptionNumber::CONTENT_FORMAT).and_then(read_uint);
        let format = format.and_then(|format| u16::try_from(format).ok()).unwrap_or(NO_FORMAT);
        if let Some(block) = block(OptionNumber::BLOCK2) {
            let fits = block.offset() == call.body.len() && call.body.len() + body.payload.len() <= body_max;
            match fits {
                true => call.body.extend_from_slice(body.payload),
                false => code = Code::BAD_GATEWAY,
            }
            if block.more && fits {
                (call.wanted, call.size, call.is_under_way) = (block.number + 1, block.size, false);
                return self.send_calls(now, out);
            }
        } else {
            call.body = body.payload.to_vec();
        }
        let mut call = device.calls.remove(at);
        device.last_answered = Some(call.number);
        let payload = core::mem::take(&mut call.body);
        self.finish(now, call, Answer { code, format, payload: &payload }, out);
        self.send_calls(now, out);
    }

    /// The peer does not answer this call, or cannot.
    pub(super) fn not_answered(&mut self, now: Instant, number: u32, code: Code, out: &mut Outbound) {
        let Some(device) = &mut self.device else { return };
        let Some(at) = device.calls.iter().position(|call| call.number == number) else { return };
        let call = device.calls.remove(at);
        self.finish(now, call, Answer::of_broker(code), out);
    }

    /// Gives up what is not answered in time.
    pub(super) fn calls_due(&mut self, now: Instant, out: &mut Outbound) {
        while let Some(device) = &self.device {
            let Some(number) = device.calls.iter().find(|call| call.due <= now).map(|call| call.number)
            else {
                break;
            };
            if let Link::Datagram(link) = &mut self.link {
                link.transmissions.end_call(number);
            }
            self.not_answered(now, number, Code::GATEWAY_TIMEOUT, out);
        }
        self.send_calls(now, out);
    }

    /// When the next call is given up.
    pub(super) fn calls_deadline(&self) -> Option<Instant> {
        self.device.as_ref()?.calls.iter().map(|call| call.due).min()
    }

    fn finish(&mut self, now: Instant, call: Call, answer: Answer<'_>, out: &mut Outbound) {
        let demand = match call.asker {
            Asker::Requester => call.demand,
            Asker::Directory(registering) => {
                return self.links_came(now, *registering, answer.code, answer.payload, out);
            }
        };
        // A reply address is a topic's name, whatever protocol has spelled it.
        let is_topic = Topic::new(&demand.reply_to).is_ok_and(|topic| !topic.is_broker_owned());
        let said = Addressed {
            topic: &demand.reply_to,
            correlation: &demand.correlation,
            format: answer.format,
            ..Addressed::default()
        };
        if is_topic && let Ok(publication) = said.answer(answer.code, answer.payload) {
            self.todo.push_back(Todo::Publish(Box::new((publication, 0, Vec::new()))));
        }
    }
}

/// Four bytes that no observer's token of a peer collides with: those are the peer's, these are ours.
const fn token(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn number(token: &[u8]) -> Option<u32> {
    token.try_into().ok().map(u32::from_be_bytes)
}

impl ServerConnection {
    /// Acknowledges an answer that came by itself, or says that nobody has asked for it.
    pub(super) fn receive_separate(&mut self, id: crate::wire::MessageId, token: &[u8], out: &mut Outbound) {
        let kind = if self.is_called(token) { Kind::Acknowledgement } else { Kind::Reset };
        self.send_empty(kind, id, out);
    }
}
