//! The client's half: requests and observations over any transport, without a transport.
//!
//! The program says what it wants, hands in what came ([`Client::handle_input`]) and the time ([`Client::handle_timeout`]
//! at [`Client::deadline`]), sends what is in [`Client::outbound`], and takes [`Event`]s. Datagrams in input and output
//! have their lengths before them, see [`crate::framing::Transport`]. Bodies are sent and read in blocks by themselves, a
//! demand to repeat something (RFC 9175) is met by itself, and what is not acknowledged is sent again.

mod arriving;
mod request;
mod sending;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::Outbound;

use crate::CoapConfig;
use crate::flow::{Deduplication, Due, Random, Transmissions};
use crate::framing::{Transport, next_datagram, next_message, next_web_socket};
use crate::wire::{Block, BlockSize, Code, Csm, Kind, Message, MessageId, OptionNumber, Options, Token};

pub use request::Request;

/// Names a request of this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u32);

/// What the program hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to a request, whole. An observation goes on if it has an Observe option.
    Response {
        /// Which request.
        request: RequestId,
        /// The answer.
        response: Response,
    },
    /// Something newer of what is observed.
    Notification {
        /// Which request began the observation.
        request: RequestId,
        /// The notification. One without an Observe option is the last.
        response: Response,
    },
    /// There will be no answer.
    Failed {
        /// Which request.
        request: RequestId,
        /// Why.
        why: Failure,
    },
    /// The connection of a reliable transport is over: the peer took leave, or broke the protocol.
    Closed,
}

/// A response, as the program gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The code.
    pub code: Code,
    /// The options as they are encoded: see [`Response::option`].
    options: Vec<u8>,
    /// The body; of all blocks if it came in several.
    pub payload: Vec<u8>,
}

impl Response {
    /// The first value of an option.
    #[must_use]
    pub fn option(&self, number: OptionNumber) -> Option<&[u8]> {
        Options::from_checked(&self.options).first(number)
    }

    /// The integer that an option is.
    #[must_use]
    pub fn uint(&self, number: OptionNumber) -> Option<u32> {
        self.option(number).and_then(crate::wire::read_uint)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was acknowledged, however often it was sent.
    Timeout,
    /// The server did not know what to do with it.
    Reset,
    /// The blocks of the answer do not fit together, or it is larger than the client takes.
    Body,
}

/// What is known of a request that is not over.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    token: Token,
    request: Request,
    /// The message that carries it, while that is not acknowledged.
    message: Option<MessageId>,
    /// Where the block of the request's body begins that is under way, and its size; none if it goes in one piece.
    upload: Option<Block>,
    /// What is there of the answer's body, in blocks of this size, and the options of the first.
    body: Vec<u8>,
    block: BlockSize,
    options: Vec<u8>,
    etag: Vec<u8>,
    echo: Vec<u8>,
    /// The number and the time of the last notification.
    sequence: Option<(u32, Instant)>,
    /// Whether the first answer was given to the program.
    is_answered: bool,
    /// Whether it has to be sent yet.
    is_waiting: bool,
}

/// One server, as its client sees it.
#[derive(Debug)]
pub struct Client {
    config: CoapConfig,
    transport: Transport,
    random: Random,
    out: Outbound,
    events: VecDeque<Event>,
    pending: Vec<Pending>,
    last_request: u32,
    transmissions: Transmissions,
    deduplication: Deduplication,
    last_id: MessageId,
    peer: Csm,
    has_greeted: bool,
}

impl Client {
    /// A client. Message numbers, tokens and patience follow from `key`, which nobody else may know.
    #[must_use]
    pub fn new(config: CoapConfig, transport: Transport, key: [u64; 2]) -> Self {
        let mut random = Random::new(key, 0);
        let last_id = MessageId(random.next_number() as u16);
        Self {
            config,
            transport,
            random,
            out: Outbound::new(),
            events: VecDeque::new(),
            pending: Vec::new(),
            last_request: 0,
            transmissions: Transmissions::default(),
            deduplication: Deduplication::default(),
            last_id,
            peer: Csm::default(),
            has_greeted: false,
        }
    }

    /// Makes a request, or begins an observation. What cannot be sent yet is sent when it can be.
    pub fn request(&mut self, now: Instant, request: Request) -> RequestId {
        self.last_request = self.last_request.wrapping_add(1);
        let id = RequestId(self.last_request);
        let token = Token::new(&self.random.next_number().to_be_bytes());
        let upload = self.first_block(&request);
        self.pending.push(Pending {
            id,
            token,
            request,
            message: None,
            upload,
            body: Vec::new(),
            block: BlockSize::MAX,
            options: Vec::new(),
            etag: Vec::new(),
            echo: Vec::new(),
            sequence: None,
            is_answered: false,
            is_waiting: true,
        });
        self.send_waiting(now);
        id
    }

    /// Forgets a request. What comes for it is rejected from now on, which ends an observation (RFC 7641, section 3.6).
    pub fn forget(&mut self, id: RequestId) {
        self.pending.retain(|pending| pending.id != id);
    }

    /// What is to be sent.
    pub const fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    /// The next thing that the program has to hear.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Reads what came, advancing `input` past it; what is not whole is to be presented again with what follows.
    pub fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
        let (bytes_max, token_max) = (self.config.message_bytes_max as usize, 8);
        loop {
            let read = match self.transport {
                Transport::Datagram => {
                    let Some(datagram) = next_datagram(input) else { break };
                    match Message::decode(datagram, token_max) {
                        Ok(message) => self.datagram_arrived(now, &message),
                        Err(_) => self.reject(datagram),
                    }
                    continue;
                }
                Transport::Stream => next_message(input, bytes_max, token_max),
                Transport::WebSocket => next_web_socket(input, bytes_max, token_max),
            };
            match read {
                Ok(Some(body)) => self.body_arrived(now, &body),
                Ok(None) => break,
                Err(_) => {
                    *input = &[];
                    self.close();
                    break;
                }
            }
        }
        self.send_waiting(now);
    }

    /// Hears that the instant of [`Client::deadline`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.transmissions.due(now, &self.config) {
            match due {
                Due::Again(id, _) => {
                    if let Some(datagram) = self.transmissions.datagram(id) {
                        sending::append(datagram, &mut self.out);
                    }
                }
                Due::Over(_) => self.fail_lost(),
            }
        }
        self.send_waiting(now);
    }

    /// When the client wants [`Client::handle_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.transmissions.deadline()
    }

    /// Fails the requests whose messages are no longer under way, though nobody acknowledged them.
    fn fail_lost(&mut self) {
        let transmissions = &self.transmissions;
        let is_lost = |pending: &Pending| pending.message.is_some_and(|id| !transmissions.has(id));
        while let Some(at) = self.pending.iter().position(is_lost) {
            let request = self.pending.remove(at).id;
            self.events.push_back(Event::Failed { request, why: Failure::Timeout });
        }
    }

    fn reject(&mut self, datagram: &[u8]) {
        if let Some((Kind::Confirmable, id)) = Message::peek(datagram) {
            self.send_empty(Kind::Reset, id);
        }
    }

    fn close(&mut self) {
        self.pending.clear();
        self.events.push_back(Event::Closed);
    }
}
