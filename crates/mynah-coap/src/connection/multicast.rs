//! Requests that came to a group of hosts (RFC 7252, section 8): what they may ask for is discovery. All that is wrong
//! with one is passed over, and an answer waits for a while that chance chooses, so that those of many hosts do not come
//! at once.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::Instant;
use mynah_stack::{Outbound, Step};

use super::asked::Asked;
use super::response::{Reply, Representation, Response, append_datagram};
use super::{Link, ServerConnection, State};
use crate::flow::{Pieces, Seen};
use crate::mapping::Resource;
use crate::wire::{BlockSize, Body, Code, Kind, Message, Sink, content_format};

/// Answers to one peer that wait; what it asks beyond them is passed over.
const ANSWERS_MAX: usize = 4;

/// Answers to requests of one peer, with when they leave.
#[derive(Debug, Default)]
pub(super) struct GroupAnswers(Vec<(Instant, Box<[u8]>)>);

impl GroupAnswers {
    /// When the next one leaves.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(due, _)| *due).min()
    }
}

impl ServerConnection {
    /// Reads a datagram that came to a group. It is to be read again if the result is a command.
    pub(super) fn read_from_group<'b>(&mut self, now: Instant, datagram: &[u8]) -> Step<'b> {
        let token_max = usize::from(self.stack.config.token_bytes_max);
        let message = Message::decode(datagram, token_max).ok().filter(Message::is_for_groups);
        match message {
            Some(_) if self.state == State::Fresh => return self.open(),
            Some(message) if self.state == State::Open => {
                self.heard_at = now;
                self.prepare_for_group(now, &message, datagram.len());
            }
            _ => {}
        }
        Step::Idle
    }

    /// Keeps the answer, if there is one, until it is due (section 8.2).
    fn prepare_for_group(&mut self, now: Instant, message: &Message<'_>, request_bytes: usize) {
        let config = &self.stack.config;
        let (lifetime, max) = (config.non_lifetime(), usize::from(config.dedup_messages_max));
        let leisure = u64::try_from(config.leisure.as_millis()).unwrap_or(u64::MAX);
        let Link::Datagram(link) = &mut self.link else { return };
        let (seen, forgotten) = link.deduplication.note(now, message.id, lifetime, max);
        self.stack.counts.forgotten_answers.add(forgotten);
        if seen != Seen::First {
            return self.stack.counts.duplicates.add(1);
        }
        if self.multicast.as_ref().is_some_and(|answers| answers.0.len() >= ANSWERS_MAX) {
            return;
        }
        let Some(datagram) = self.answer_to_group(&message.body, request_bytes) else { return };
        let due = now + core::time::Duration::from_millis(self.random.up_to(leisure));
        self.multicast.get_or_insert_default().0.push((due, datagram));
    }

    /// The answer to a request that came to a group; none if that would say nothing, or be too large for a peer that may
    /// be somebody else: then a smaller block goes out, and the peer asks for the others by itself (section 11.3).
    fn answer_to_group(&mut self, body: &Body<'_>, request_bytes: usize) -> Option<Box<[u8]>> {
        let asked = Asked::judge(body).ok()?;
        let resource = Resource::find(body.options, self.stack.config.compat).ok()?;
        let is_first = asked.block2.is_none_or(|block| block.number == 0);
        let accepts = asked.accept.is_none_or(|format| format == content_format::LINK_FORMAT);
        if resource != Resource::Discovery || !is_first || !accepts || asked.suppresses(Code::CONTENT) {
            return None;
        }
        let document = self.discovery(body).ok().filter(|document| !document.is_empty())?;
        let whole = Pieces::one(document.as_bytes());
        let representation = Representation {
            tag: Some(whole.tag()),
            format: Some(content_format::LINK_FORMAT),
            media_type: &[],
            max_age: None,
            body: whole,
        };
        let mut bytes = self.block_size(asked.block2, whole.len()).0.bytes();
        loop {
            let size = BlockSize::at_most(bytes);
            let response = representation.response(&asked, size, size.bytes())?;
            let is_small = !self.amplifies(reply_bytes(body.token, &response), request_bytes);
            if is_small || bytes <= BlockSize::MIN.bytes() {
                return is_small.then(|| self.encode_for_group(body.token, &response));
            }
            bytes /= 2;
        }
    }

    fn encode_for_group(&mut self, token: &[u8], response: &Response<'_>) -> Box<[u8]> {
        let id = self.next_id();
        let options = response.options();
        let reply =
            Reply { code: response.code, token, options: options.as_slice(), payload: response.payload };
        let mut datagram = Vec::with_capacity(reply.len());
        reply.encode(Kind::NonConfirmable, id, &mut datagram);
        datagram.into()
    }

    /// Sends the answers that are due.
    pub(super) fn answer_groups(&mut self, now: Instant, out: &mut Outbound) {
        let Some(answers) = &mut self.multicast else { return };
        answers.0.retain(|(due, datagram)| {
            let waits = *due > now;
            if !waits {
                append_datagram(datagram.len(), out, |sink| sink.put(datagram));
            }
            waits
        });
        if answers.0.is_empty() {
            self.multicast = None;
        }
    }
}

/// Bytes of a datagram with this response.
fn reply_bytes(token: &[u8], response: &Response<'_>) -> usize {
    let options = response.options();
    Reply { code: response.code, token, options: options.as_slice(), payload: response.payload }.len()
}

impl Message<'_> {
    /// Whether it is a request that a group may be sent (section 8.1): one without side effects, that nobody acknowledges.
    fn is_for_groups(&self) -> bool {
        self.kind == Kind::NonConfirmable && self.body.code == Code::GET
    }
}
