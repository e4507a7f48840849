//! Answers: their options, their bodies in blocks, and what a stranger gets of them.

use mynah_model::Instant;
use mynah_stack::{Outbound, Value};

use super::asked::Asked;
use super::exchange::{Carrier, Exchange};
use super::{Link, ServerConnection};
use crate::flow::{Content, Download, Pieces};
use crate::framing::Transport;
use crate::mapping::{effective, format_of, seconds};
use crate::wire::{
    Block, BlockSize, Body, Code, Head, Kind, Message, OptionNumber, OptionWriter, Options, Sink,
};
use crate::{CoapConfig, Refusal};

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response<'a> {
    pub(super) code: Code,
    pub(super) etag: Option<u64>,
    pub(super) observe: Option<u32>,
    /// The number of a registration.
    pub(super) location: Option<u64>,
    pub(super) format: Option<u16>,
    pub(super) media_type: &'a [u8],
    pub(super) max_age: Option<u32>,
    pub(super) block2: Option<Block>,
    pub(super) block1: Option<Block>,
    pub(super) size2: Option<u32>,
    pub(super) size1: Option<u32>,
    pub(super) echo: Option<u64>,
    pub(super) payload: Pieces<'a>,
}

impl<'a> Response<'a> {
    pub(super) const fn new(code: Code) -> Self {
        Self {
            code,
            etag: None,
            observe: None,
            location: None,
            format: None,
            media_type: &[],
            max_age: None,
            block2: None,
            block1: None,
            size2: None,
            size1: None,
            echo: None,
            payload: Pieces::EMPTY,
        }
    }

    /// The options, in the order of their numbers.
    pub(super) fn options(&self) -> Head {
        let mut head = Head::new();
        let mut options = OptionWriter::new(&mut head);
        if let Some(tag) = self.etag {
            options.put(OptionNumber::ETAG, &tag.to_be_bytes());
        }
        if let Some(observe) = self.observe {
            options.put_uint(OptionNumber::OBSERVE, observe);
        }
        if let Some(number) = self.location {
            options.put(OptionNumber::LOCATION_PATH, b"rd");
            options.put(OptionNumber::LOCATION_PATH, alloc::format!("{number:016x}").as_bytes());
        }
        for (number, value) in [
            (OptionNumber::CONTENT_FORMAT, self.format.map(u32::from)),
            (OptionNumber::MAX_AGE, self.max_age),
            (OptionNumber::BLOCK2, self.block2.map(Block::to_uint)),
            (OptionNumber::BLOCK1, self.block1.map(Block::to_uint)),
            (OptionNumber::SIZE2, self.size2),
            (OptionNumber::SIZE1, self.size1),
        ] {
            if let Some(value) = value {
                options.put_uint(number, value);
            }
        }
        if let Some(echo) = self.echo {
            options.put(OptionNumber::ECHO, &echo.to_be_bytes());
        }
        if !self.media_type.is_empty() {
            options.put(OptionNumber::CONTENT_TYPE, self.media_type);
        }
        head
    }
}

/// A body, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Representation<'a> {
    pub(super) tag: Option<u64>,
    /// The number as it is spelled; none if nothing is said.
    pub(super) format: Option<u16>,
    pub(super) media_type: &'a [u8],
    pub(super) max_age: Option<u32>,
    pub(super) body: Pieces<'a>,
}

impl<'a> Representation<'a> {
    pub(super) fn of_download(download: &'a Download) -> Self {
        Self {
            tag: Some(download.tag),
            format: Some(download.format).filter(|format| *format != crate::mapping::NO_FORMAT),
            media_type: download.content_type.as_bytes(),
            max_age: None,
            body: download.content.pieces(),
        }
    }

    /// The answer with the block that is asked for; none if the body ends before it.
    pub(super) fn response(&self, asked: &Asked, size: BlockSize, bytes: usize) -> Option<Response<'a>> {
        let mut response = Response {
            etag: self.tag,
            format: self.format,
            media_type: self.media_type,
            max_age: self.max_age,
            ..Response::new(Code::CONTENT)
        };
        let len = self.body.len();
        let number = asked.block2.map_or(0, |block| block.number);
        let offset = Block { number, more: false, size }.offset();
        if number > 0 && offset >= len {
            return None;
        }
        response.payload = self.body.part(offset, bytes);
        let more = offset + response.payload.len() < len;
        if more || asked.block2.is_some() {
            response.block2 = Some(Block { number, more, size });
        }
        if asked.wants_size || (more && number == 0) {
            response.size2 = u32::try_from(len).ok();
        }
        Some(response)
    }
}

impl ServerConnection {
    /// Says why a request is not served.
    pub(super) fn refuse(&mut self, now: Instant, exchange: &Exchange, refusal: Refusal, out: &mut Outbound) {
        let text = alloc::string::ToString::to_string(&refusal);
        let mut response = Response::new(refusal.code());
        response.payload = Pieces::one(text.as_bytes());
        response.max_age = refusal.has_wait().then_some(Refusal::WAIT_SECS);
        if let Refusal::TooLarge(max) = refusal {
            response.size1 = Some(max);
        }
        if refusal == Refusal::Unverified {
            response.echo = self.echo();
        }
        self.respond(now, exchange, &response, out);
    }

    /// Gives an answer, unless the client does not want it; one that would help to flood somebody else becomes the demand
    /// to show that the address is the sender's own: then the result is false.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        response: &Response<'_>,
        out: &mut Outbound,
    ) -> bool {
        if exchange.asked.suppresses(response.code) {
            if let Carrier::Confirmable { id, is_acknowledged: false, .. } = exchange.carrier {
                self.answer_empty(Kind::Acknowledgement, id, out);
            }
            return true;
        }
        // Whatever is said to a block of a request names that block (RFC 7959, section 2.3).
        let response = &Response { block1: exchange.asked.block1, ..*response };
        let options = response.options();
        let len = 4 + exchange.token.as_bytes().len() + options.as_slice().len() + 1 + response.payload.len();
        if response.code.is_success() && self.amplifies(len, exchange.asked.request_bytes) {
            self.stack.counts.challenged.add(1);
            self.refuse(now, exchange, Refusal::Unverified, out);
            return false;
        }
        let token = exchange.token.as_bytes();
        let reply =
            Reply { code: response.code, token, options: options.as_slice(), payload: response.payload };
        match exchange.carrier {
            Carrier::Reliable => self.send_reliable(&reply, out),
            Carrier::NonConfirmable => {
                let id = self.next_id();
                reply.append(Kind::NonConfirmable, id, out);
            }
            Carrier::Confirmable { id, is_acknowledged: false, .. } => {
                reply.append(Kind::Acknowledgement, id, out);
                self.keep_answer(id, &reply);
            }
            Carrier::Confirmable { is_acknowledged: true, .. } => self.send_separate(now, &reply, out),
        }
        true
    }

    /// Whether an answer of so many bytes is too much for a peer that may be somebody else.
    pub(super) fn amplifies(&self, len: usize, request_bytes: usize) -> bool {
        let factor = usize::from(self.stack.config.amplification_max);
        let Link::Datagram(link) = &self.link else { return false };
        let limit = CoapConfig::UNVERIFIED_BYTES.max(factor * request_bytes);
        !link.is_verified && factor > 0 && len > limit
    }

    /// Answers with a body, or with the block of it that is asked for. What has more blocks is kept under `key`. False if the
    /// answer became a refusal.
    pub(super) fn respond_with(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        representation: &Representation<'_>,
        kept: (&[u8], Option<u32>),
        keep: impl FnOnce() -> Content,
        out: &mut Outbound,
    ) -> bool {
        self.respond_with_code(now, exchange, (Code::CONTENT, representation), kept, keep, out)
    }

    /// The same with another code.
    pub(super) fn respond_with_code(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        (code, representation): (Code, &Representation<'_>),
        (key, observe): (&[u8], Option<u32>),
        keep: impl FnOnce() -> Content,
        out: &mut Outbound,
    ) -> bool {
        let (size, bytes) = self.block_size(exchange.asked.block2, representation.body.len());
        let Some(mut response) = representation.response(&exchange.asked, size, bytes) else {
            self.refuse(now, exchange, Refusal::Option(OptionNumber::BLOCK2), out);
            return false;
        };
        (response.code, response.observe) = (code, observe);
        let Some(block) = response.block2 else { return self.respond(now, exchange, &response, out) };
        let tag = representation.tag.unwrap_or_else(|| representation.body.tag());
        response.etag = Some(tag);
        let is_given = self.respond(now, exchange, &response, out);
        // Nothing is kept for a stranger who gets nothing yet.
        if is_given && block.more && block.number == 0 {
            let format = representation.format.unwrap_or(crate::mapping::NO_FORMAT);
            let content_type = core::str::from_utf8(representation.media_type).unwrap_or_default().into();
            let download = Download { key: key.into(), code, tag, format, content_type, content: keep() };
            let max = usize::from(self.stack.config.downloads_max);
            self.bodies().downloads.keep(now, download, max);
        }
        is_given
    }

    /// Answers with a value; with its tag only if the client has it. False if the answer became a refusal.
    pub(super) fn respond_with_value(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        value: &Value<'_>,
        (key, observe): (&[u8], Option<u32>),
        out: &mut Outbound,
    ) -> bool {
        let (format, media_type) = format_of(&value.properties);
        let tag = value.tag.number();
        if exchange.asked.conditions.iter().any(|condition| !condition.holds(Some(value.tag))) {
            self.refuse(now, exchange, Refusal::Core(mynah_model::Reason::ConditionFailed), out);
            return false;
        }
        let max_age = value.properties.remaining.map(seconds);
        if exchange.asked.has(tag) {
            let mut response = Response::new(Code::VALID);
            (response.etag, response.max_age, response.observe) = (Some(tag), max_age, observe);
            return self.respond(now, exchange, &response, out);
        }
        let said = observe.is_some() || format != crate::mapping::NO_FORMAT;
        let representation = Representation {
            tag: Some(tag),
            format: said.then_some(effective(format)),
            media_type: media_type.as_bytes(),
            max_age,
            body: Pieces::one(value.message.payload()),
        };
        let message = value.message.clone();
        let range = value.message.header().payload_range();
        let keep = || Content { head: [].into(), tail: Some((message, range)) };
        self.respond_with(now, exchange, &representation, (key, observe), keep, out)
    }

    /// The size of blocks, and how many bytes go into one answer.
    pub(super) fn block_size(&self, asked: Option<Block>, len: usize) -> (BlockSize, usize) {
        let own = BlockSize::at_most(self.stack.config.block_bytes.into());
        match &self.link {
            Link::Datagram(_) => {
                let wanted = asked.map_or(own, |block| block.size.min(BlockSize::MAX));
                // A client that goes on keeps to the size that it began with.
                let size = if asked.is_some_and(|block| block.number > 0) { wanted } else { wanted.min(own) };
                (size, size.bytes())
            }
            Link::Reliable(link) => {
                let room = (link.peer.message_bytes_max as usize).saturating_sub(Self::HEAD_ROOM_BYTES);
                match asked {
                    Some(Block { size, .. }) if size != BlockSize::BERT => (size, size.bytes()),
                    None if len <= room => (BlockSize::MAX, len),
                    _ if link.peer.takes_blocks && room >= 2 * BlockSize::BERT.bytes() => {
                        (BlockSize::BERT, room / BlockSize::BERT.bytes() * BlockSize::BERT.bytes())
                    }
                    _ => (BlockSize::MAX, BlockSize::MAX.bytes()),
                }
            }
        }
    }

    /// Bytes of a message that are not its payload: as many as a head, a token and options may have.
    const HEAD_ROOM_BYTES: usize = 128;
}

/// An answer or a notification as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    pub(super) code: Code,
    pub(super) token: &'a [u8],
    pub(super) options: &'a [u8],
    pub(super) payload: Pieces<'a>,
}

impl<'a> Reply<'a> {
    /// Bytes of the message in a datagram.
    pub(super) const fn len(&self) -> usize {
        4 + self.body().len() + if self.payload.is_empty() { 0 } else { 1 + self.payload.len() }
    }

    /// Everything but the payload.
    pub(super) const fn body(&self) -> Body<'a> {
        Body {
            code: self.code,
            token: self.token,
            options: Options::from_checked(self.options),
            payload: &[],
        }
    }

    /// Writes the message.
    pub(super) fn encode(&self, kind: Kind, id: crate::wire::MessageId, out: &mut impl Sink) {
        Message { kind, id, body: self.body() }.encode(out);
        self.encode_payload(out);
    }

    pub(super) fn encode_payload(&self, out: &mut impl Sink) {
        if !self.payload.is_empty() {
            out.put(&[0xff]);
            for piece in self.payload.0 {
                out.put(piece);
            }
        }
    }

    /// Appends the datagram with its length.
    pub(super) fn append(&self, kind: Kind, id: crate::wire::MessageId, out: &mut Outbound) {
        append_datagram(self.len(), out, |sink| self.encode(kind, id, sink));
    }
}

/// Appends a datagram of `len` bytes, which is not more than a datagram can have.
pub(super) fn append_datagram(len: usize, out: &mut Outbound, write: impl FnOnce(&mut OutboundSink<'_>)) {
    debug_assert!(len <= usize::from(u16::MAX));
    out.append(&(len as u16).to_be_bytes());
    write(&mut OutboundSink(out));
}

/// Outbound bytes as a sink.
pub(super) struct OutboundSink<'o>(pub(super) &'o mut Outbound);

impl Sink for OutboundSink<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0.append(bytes);
    }
}

/// Appends a message over a reliable transport.
pub(super) fn frame(transport: Transport, reply: &Reply<'_>, out: &mut Outbound) {
    let payload = if reply.payload.is_empty() { 0 } else { 1 + reply.payload.len() };
    let sink = &mut OutboundSink(out);
    let rest = reply.options.len() + payload;
    crate::framing::encode_head(transport, (reply.code, reply.token.len()), rest, sink);
    reply.body().encode(sink);
    reply.encode_payload(sink);
}
