//! What comes from the server: acknowledgements, answers, blocks of answers, notifications, signals.

use core::time::Duration;

use mynah_model::Instant;

use super::{Client, Event, Failure, Response};
use crate::flow::Seen;
use crate::wire::{Block, BlockSize, Body, Code, Kind, Message, OptionNumber, read_uint};

/// After this, a notification is newer whatever its number says (RFC 7641, section 3.4).
const FRESH: Duration = Duration::from_secs(128);

impl Client {
    pub(super) fn datagram_arrived(&mut self, now: Instant, message: &Message<'_>) {
        let is_empty = message.body.code == Code::EMPTY;
        match message.kind {
            Kind::Acknowledgement | Kind::Reset => {
                let known = self.transmissions.end(message.id).is_some();
                let at = self.pending.iter().position(|pending| pending.message == Some(message.id));
                let Some(at) = at.filter(|_| known) else { return };
                self.pending[at].message = None;
                if message.kind == Kind::Reset {
                    let request = self.pending.remove(at).id;
                    self.events.push_back(Event::Failed { request, why: Failure::Reset });
                } else if !is_empty {
                    self.body_arrived(now, &message.body);
                }
            }
            Kind::Confirmable if is_empty => self.send_empty(Kind::Reset, message.id),
            Kind::Confirmable | Kind::NonConfirmable => self.response_arrived(now, message),
        }
    }

    /// A response that comes by itself. One that is for nobody is rejected; one that comes again is acknowledged again.
    fn response_arrived(&mut self, now: Instant, message: &Message<'_>) {
        let is_for = |pending: &super::Pending| pending.token.as_bytes() == message.body.token;
        let is_wanted = message.body.code.is_response() && self.pending.iter().any(is_for);
        let lifetime = self.config.exchange_lifetime();
        let max = usize::from(self.config.dedup_messages_max);
        let (seen, _) = self.deduplication.note(now, message.id, lifetime, max);
        if seen == Seen::First && !is_wanted {
            return self.send_empty(Kind::Reset, message.id);
        }
        if message.kind == Kind::Confirmable {
            self.send_empty(Kind::Acknowledgement, message.id);
        }
        if seen == Seen::First {
            self.body_arrived(now, &message.body);
        }
    }

    /// A response, whatever carried it, or a signal.
    pub(super) fn body_arrived(&mut self, now: Instant, body: &Body<'_>) {
        if body.code.is_signal() {
            return self.signal_arrived(body);
        }
        let at = self.pending.iter().position(|pending| pending.token.as_bytes() == body.token);
        let Some(at) = at.filter(|_| body.code.is_response()) else { return };
        // An answer is an acknowledgement, even if that was lost (RFC 7252, section 5.2.2).
        if let Some(id) = self.pending[at].message.take() {
            self.transmissions.end(id);
        }
        if body.code == Code::CONTINUE && self.go_on_uploading(at, body) {
            return;
        }
        let pending = &mut self.pending[at];
        if body.code == Code::UNAUTHORIZED
            && pending.echo.is_empty()
            && let Some(echo) = body.options.first(OptionNumber::ECHO)
        {
            (pending.echo, pending.is_waiting) = (echo.to_vec(), true);
            return;
        }
        if !self.is_newer(now, at, body) {
            return;
        }
        self.collect(at, body);
    }

    /// The server has taken a block: the next one follows, of the size that the server wants.
    fn go_on_uploading(&mut self, at: usize, body: &Body<'_>) -> bool {
        let pending = &mut self.pending[at];
        let taken = body.options.first(OptionNumber::BLOCK1).and_then(Block::decode);
        let (Some(block), Some(taken)) = (pending.upload, taken) else { return false };
        let size = block.size.min(taken.size);
        let offset = block.offset() + block.size.bytes();
        // A body has at most 2^20 blocks: the server has refused a larger one.
        let number = u32::try_from(offset / size.bytes()).unwrap_or(Block::NUMBER_MAX);
        let more = offset + size.bytes() < pending.request.payload.len();
        pending.upload = Some(Block { number, more, size });
        pending.is_waiting = true;
        true
    }

    /// Whether a notification is newer than what came before (RFC 7641, section 3.4). Everything else is.
    fn is_newer(&mut self, now: Instant, at: usize, body: &Body<'_>) -> bool {
        let pending = &mut self.pending[at];
        let Some(number) = body.options.first(OptionNumber::OBSERVE).and_then(read_uint) else { return true };
        if let Some((last, since)) = pending.sequence {
            let ahead = number.wrapping_sub(last) & 0x00ff_ffff;
            if (ahead == 0 || ahead >= 1 << 23) && now <= since + FRESH {
                return false;
            }
        }
        pending.sequence = Some((number, now));
        true
    }

    /// Puts blocks together, and hands the whole to the program.
    fn collect(&mut self, at: usize, body: &Body<'_>) {
        let pending = &mut self.pending[at];
        let block = body.options.first(OptionNumber::BLOCK2).and_then(Block::decode);
        if let Some(block) = block.filter(|block| block.more || block.number > 0) {
            let etag = body.options.first(OptionNumber::ETAG).unwrap_or_default();
            if block.number == 0 {
                pending.body.clear();
                pending.etag = etag.to_vec();
                pending.options = body.options.as_bytes().to_vec();
            }
            let fits = block.offset() == pending.body.len() && pending.etag == etag;
            let size_max = self.config.body_bytes_max as usize;
            if !fits || !body.code.is_success() || pending.body.len() + body.payload.len() > size_max {
                let request = self.pending.remove(at).id;
                self.events.push_back(Event::Failed { request, why: Failure::Body });
                return;
            }
            pending.body.extend_from_slice(body.payload);
            pending.block = block.size.min(BlockSize::MAX);
            if block.more {
                pending.is_waiting = true;
                return;
            }
        }
        self.hand_over(at, body, block.is_some_and(|block| block.number > 0));
    }

    fn hand_over(&mut self, at: usize, body: &Body<'_>, is_collected: bool) {
        let pending = &mut self.pending[at];
        let response = if is_collected {
            let (options, payload) =
                (core::mem::take(&mut pending.options), core::mem::take(&mut pending.body));
            Response { code: body.code, options, payload }
        } else {
            pending.body.clear();
            let options = body.options.as_bytes().to_vec();
            Response { code: body.code, options, payload: body.payload.to_vec() }
        };
        let request = pending.id;
        let goes_on = response.option(OptionNumber::OBSERVE).is_some() && pending.request.observes();
        let was_answered = core::mem::replace(&mut pending.is_answered, true);
        self.events.push_back(match was_answered {
            false => Event::Response { request, response },
            true => Event::Notification { request, response },
        });
        if !goes_on {
            self.pending.remove(at);
        }
    }

    fn signal_arrived(&mut self, body: &Body<'_>) {
        match body.code {
            Code::CSM if self.peer.merge(body.options).is_ok() => {}
            Code::PING => self.send_signal(Code::PONG, body.token, &[]),
            Code::PONG => {}
            _ => self.close(),
        }
    }
}
