//! Messages over TCP, TLS and WebSocket, and the signals between both ends (RFC 8323).

use mynah_model::{Instant, Reason};
use mynah_stack::{Outbound, Step};

use super::exchange::Carrier;
use super::response::{Reply, frame};
use super::{Link, ServerConnection, State};
use crate::flow::Pieces;
use crate::framing::{Transport, next_message, next_web_socket};
use crate::wire::{Abort, Body, Code, Csm, Custody, Head, OptionNumber, OptionWriter};

/// Bytes of the first message of a connection: what every end takes (section 5.3.1).
const CSM_BYTES_MAX: usize = 1_152;

/// What is known of the other end of a connection.
#[derive(Debug)]
pub(super) struct ReliableLink {
    transport: Transport,
    /// What the peer takes.
    pub(super) peer: Csm,
    /// Whether our capabilities were said.
    has_greeted: bool,
    /// Whether the peer has said its own.
    has_heard: bool,
    /// Whether a ping of ours is not answered.
    is_pinged: bool,
}

impl ReliableLink {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, peer: Csm::default(), has_greeted: false, has_heard: false, is_pinged: false }
    }
}

impl ServerConnection {
    /// The first message of each end says what it takes (section 5.3).
    pub(super) fn greet(&mut self, out: &mut Outbound) {
        let Link::Reliable(link) = &mut self.link else { return };
        if link.has_greeted {
            return;
        }
        link.has_greeted = true;
        let config = &self.stack.config;
        let csm = Csm {
            message_bytes_max: config.message_bytes_max,
            takes_blocks: true,
            token_bytes_max: config.token_bytes_max.into(),
        };
        let mut options = Head::new();
        csm.encode(&mut options);
        self.signal(Code::CSM, &[], options.as_slice(), b"", out);
    }

    /// Reads a message of the stream. None if there is no whole one, or what is there is none.
    pub(super) fn read_message<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        out: &mut Outbound,
    ) -> Option<Step<'b>> {
        let Link::Reliable(link) = &mut self.link else { return None };
        let config = &self.stack.config;
        let token_max = usize::from(config.token_bytes_max);
        // Who has not said its capabilities has nothing else to say, and that is short.
        let bytes_max = if link.has_heard { config.message_bytes_max as usize } else { CSM_BYTES_MAX };
        let mut rest = *input;
        let read = match link.transport {
            Transport::WebSocket => next_web_socket(&mut rest, bytes_max, token_max),
            _ => next_message(&mut rest, bytes_max, token_max),
        };
        let body = match read {
            Ok(None) => return None,
            Ok(Some(body)) => body,
            Err(malformed) => {
                self.stack.counts.malformed.add(1);
                *input = &[];
                let text = alloc::string::ToString::to_string(&malformed);
                self.abort(None, text.as_bytes(), out);
                return None;
            }
        };
        if !link.has_heard && body.code != Code::CSM {
            *input = &[];
            self.abort(None, b"the first message is no CSM", out);
            return None;
        }
        if body.code.is_request() && self.state == State::Fresh {
            return Some(self.open());
        }
        let bytes = input.len() - rest.len();
        *input = rest;
        self.heard_at = now;
        if body.code.is_signal() {
            self.receive_signal(&body, out);
            return Some(Step::Idle);
        }
        if body.code.is_response() {
            self.answered(now, &body, out);
        }
        // Empty messages are passed over (section 3.4), and so are responses that nobody asked for.
        let command = if body.code.is_request() {
            self.request(now, &body, (Carrier::Reliable, bytes), out)
        } else {
            None
        };
        Some(command.map_or(Step::Idle, Step::Command))
    }

    fn receive_signal(&mut self, body: &Body<'_>, out: &mut Outbound) {
        let Link::Reliable(link) = &mut self.link else { return };
        let unknown = |known: &[OptionNumber]| {
            let critical =
                body.options.iter().map(|(number, _)| number).filter(|number| number.is_critical());
            critical.into_iter().any(|number| !known.contains(&number))
        };
        match body.code {
            Code::CSM => {
                link.has_heard = true;
                if let Err(number) = link.peer.merge(body.options) {
                    self.abort(Some(number), b"", out);
                }
            }
            _ if unknown(&[]) => self.abort(None, b"an option of a signal is not known", out),
            Code::PING => {
                let mut options = Head::new();
                // Everything before is processed by the time this goes out.
                if body.options.first(Custody::NUMBER).is_some() && self.exchanges.is_empty() {
                    OptionWriter::new(&mut options).put(Custody::NUMBER, b"");
                }
                self.signal(Code::PONG, body.token, options.as_slice(), b"", out);
            }
            Code::PONG => link.is_pinged = false,
            Code::RELEASE | Code::ABORT => self.state = State::Ending(Reason::Disconnected),
            // Section 5.1: a signal that is not known is passed over.
            _ => {}
        }
    }

    /// Ends the connection at once, and says why (section 5.6).
    fn abort(&mut self, bad_csm_option: Option<OptionNumber>, why: &[u8], out: &mut Outbound) {
        let mut options = Head::new();
        Abort { bad_csm_option }.encode(&mut options);
        self.signal(Code::ABORT, &[], options.as_slice(), why, out);
        self.state = State::Ending(Reason::ProtocolViolation);
    }

    /// Takes leave (section 5.5).
    pub(super) fn release(&self, out: &mut Outbound) {
        if let Link::Reliable(link) = &self.link
            && link.has_greeted
        {
            self.signal(Code::RELEASE, &[], &[], b"", out);
        }
    }

    /// Asks a silent peer whether it is there; one that has not answered the last time is not.
    pub(super) fn ping_reliable(&mut self, out: &mut Outbound) {
        let Link::Reliable(link) = &mut self.link else { return };
        if core::mem::replace(&mut link.is_pinged, true) {
            self.state = State::Ending(Reason::KeepAliveTimeout);
            return;
        }
        self.signal(Code::PING, &[], &[], b"", out);
    }

    fn signal(&self, code: Code, token: &[u8], options: &[u8], payload: &[u8], out: &mut Outbound) {
        self.send_reliable(&Reply { code, token, options, payload: Pieces::one(payload) }, out);
    }

    pub(super) fn send_reliable(&self, reply: &Reply<'_>, out: &mut Outbound) {
        if let Link::Reliable(link) = &self.link {
            frame(link.transport, reply, out);
        }
    }
}
