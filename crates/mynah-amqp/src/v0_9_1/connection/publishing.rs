//! basic.publish and its content: a message for the broker, and what the publisher hears of it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Instant, Reason, dotted};
use mynah_stack::{Command, Destination, Outbound, Publish};

use super::consuming::REPLY_TO;
use super::prepared::{self, HeldPublish, Todo};
use super::transacting::OVERHEAD_BYTES;
use super::{ServerConnection, State};
use crate::v0_9_1::error::reply_code;
use crate::v0_9_1::flow::{Confirm, Content, Part};
use crate::v0_9_1::framing::Frame;
use crate::v0_9_1::mapping::{self, TOPIC_EXCHANGE, respelled};
use crate::v0_9_1::wire::basic::{Ack, Nack, Publish as PublishMethod, Return};
use crate::v0_9_1::wire::connection::{Blocked, Unblocked};
use crate::v0_9_1::wire::frame::encode_body;
use crate::v0_9_1::wire::{
    BasicProperties, ContentHeader, FRAME_HEADER_LEN, FrameType, PropertyId, ShortStr,
};
use crate::v0_9_1::{Exception, ReplyCode};

/// What basic.publish said, as far as it is not in the native bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    pub(super) topic_len: usize,
    pub(super) mandatory: bool,
}

/// Publications that the broker has not answered yet.
#[derive(Debug)]
pub(super) struct Receipts {
    slots: Vec<Option<Receipt>>,
    free: Vec<u16>,
    max: u16,
}

/// Whose publication it is.
#[derive(Debug)]
struct Receipt {
    channel: u16,
    epoch: u32,
    /// Its number where publications are confirmed, else 0.
    tag: u64,
    /// What comes back if it reaches nobody.
    returned: Option<Box<Returned>>,
    /// How many of its copies the broker has not answered yet, and what it has said of the others.
    left: u16,
    matched: bool,
    refused: Option<Reason>,
}

/// A message that may come back: native bytes, and where its body begins.
#[derive(Debug)]
pub(super) struct Returned {
    bytes: Vec<u8>,
    topic_len: usize,
    body_at: usize,
}

impl Returned {
    pub(super) fn of(held: &HeldPublish) -> Self {
        let HeldPublish { header, native, .. } = held;
        let (topic_len, body_at) = (header.topic_range().len(), header.payload_range().start);
        Self { bytes: native.clone(), topic_len, body_at }
    }
}

impl Receipts {
    pub(super) const fn new(max: u16) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), max }
    }

    /// Whether nothing more is taken until the broker has answered.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= usize::from(self.max)
    }

    fn insert(&mut self, receipt: Receipt) -> u16 {
        if let Some(at) = self.free.pop() {
            self.slots[usize::from(at)] = Some(receipt);
            return at;
        }
        self.slots.push(Some(receipt));
        (self.slots.len() - 1) as u16
    }

    /// Takes an answer; with the last of them the receipt.
    fn take(&mut self, at: u16, result: Result<bool, Reason>) -> Option<Receipt> {
        let slot = self.slots.get_mut(usize::from(at))?;
        let receipt = slot.as_mut()?;
        match result {
            Ok(matched) => receipt.matched |= matched,
            Err(reason) => receipt.refused = receipt.refused.or(Some(reason)),
        }
        receipt.left = receipt.left.saturating_sub(1);
        if receipt.left > 0 {
            return None;
        }
        self.free.push(at);
        slot.take()
    }
}

impl ServerConnection {
    /// Begins a publication; its content follows. `rest` is what has come behind the method.
    pub(super) fn begin_publish(
        &mut self,
        now: Instant,
        number: u16,
        publish: PublishMethod<'_>,
        rest: &[u8],
        out: &mut Outbound,
    ) {
        let PublishMethod { exchange, routing_key, mandatory, immediate } = publish;
        if immediate {
            let text = "immediate is not served: a mandatory message tells as much";
            return self.raise(
                now,
                0,
                Exception::new(ReplyCode::NotImplemented, PublishMethod::ID, text),
                out,
            );
        }
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let key = routing_key.as_bytes();
        let content_len = expected_len(rest, self.terms.frame_bytes_max);
        let mut lead = Vec::with_capacity(16 + exchange.as_bytes().len() + 2 * key.len() + content_len);
        let topic_len =
            mapping::push_lead(exchange, routing_key, &mut lead, |out| match exchange.is_empty() {
                true => out.extend_from_slice(key),
                false => dotted::push_topic(key, out),
            });
        channel.assembly.begin(Publication { topic_len, mandatory }, lead);
    }

    /// Takes a header or body frame.
    pub(super) fn handle_content<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'_>,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let body_bytes_max = self.config.settings().body_bytes_max;
        let channel = self.channels.get_mut(&frame.channel)?;
        let before = channel.assembly.size();
        let part = channel.assembly.handle((frame.frame_type, frame.payload), body_bytes_max);
        self.contents_bytes = self.contents_bytes - before + channel.assembly.size();
        if self.contents_bytes > self.config.settings().contents_bytes_max as u64 {
            let text = "the contents that are under way have too many bytes together";
            let exception = Exception::new(ReplyCode::ResourceError, PublishMethod::ID, text);
            self.raise(now, 0, exception, out);
            return None;
        }
        match part {
            Ok(Part::More) => None,
            Ok(Part::Whole(content)) => self.publish(now, frame.channel, content, out),
            Ok(Part::TooLarge(_, size)) => {
                let text = alloc::format!("a body of {size} bytes is larger than {body_bytes_max}");
                let exception = Exception::new(ReplyCode::ContentTooLarge, PublishMethod::ID, text);
                self.raise(now, frame.channel, exception, out);
                None
            }
            Err(error) => {
                let exception = Exception::of_error(error, PublishMethod::ID);
                self.raise(now, 0, exception, out);
                None
            }
        }
    }

    /// A content is whole.
    fn publish<'b>(
        &mut self,
        now: Instant,
        number: u16,
        content: Content<Publication>,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let delivered = match self.check(BasicProperties::from_checked(content.properties())) {
            Ok(delivered) => delivered,
            Err(text) => {
                let exception = Exception::new(ReplyCode::PreconditionFailed, PublishMethod::ID, text);
                self.raise(now, number, exception, out);
                return None;
            }
        };
        let content = match self.with_replies(number, content) {
            Ok(content) => content,
            Err(exception) => {
                self.raise(now, number, exception, out);
                return None;
            }
        };
        if delivered.is_copied {
            return self.publish_copies(now, number, content, &delivered, out);
        }
        let channel = self.channels.get_mut(&number)?;
        let Content { method: Publication { topic_len, mandatory }, bytes, body_at, .. } = content;
        let header = mapping::header(&delivered, topic_len, (body_at, bytes.len()), now);
        if let Some(tx) = &mut channel.tx {
            let cost = bytes.len() as u64 + OVERHEAD_BYTES;
            tx.publications.push(HeldPublish { header, native: bytes, delay: delivered.delay, mandatory });
            tx.bytes += cost;
            self.contents_bytes += cost;
            return None;
        }
        let tag = channel.confirms.as_mut().map_or(0, |confirms| confirms.publish());
        let epoch = channel.epoch;
        let returned = mandatory.then(|| Box::new(Returned { bytes: bytes.clone(), topic_len, body_at }));
        let (left, matched, refused) = (1, false, None);
        let receipt = Receipt { channel: number, epoch, tag, returned, left, matched, refused };
        let place = Place::of(&bytes, topic_len);
        if place != Place::Exchange && topic_len == 0 {
            // Nobody can want a message without a topic.
            self.answer(&receipt, false, out);
            return None;
        }
        let receipt = self.receipts.insert(receipt);
        let to = match place {
            Place::Queue => Destination::Queue,
            Place::Topic => Destination::Topic,
            Place::Exchange => {
                let held = HeldPublish { header, native: bytes, delay: delivered.delay, mandatory };
                return Some(Todo::Publish(Box::new(held), receipt).into_command());
            }
        };
        let publish = prepared::publication(header, bytes.into(), receipt, to);
        Some(Command::Publish(Publish { delay: delivered.delay, ..publish }))
    }

    /// A content is whole that names more routing keys: there is a publication for each.
    #[cold]
    fn publish_copies<'b>(
        &mut self,
        now: Instant,
        number: u16,
        mut content: Content<Publication>,
        delivered: &mapping::Delivered,
        out: &mut Outbound,
    ) -> Option<Command<'b>> {
        let copies = match content.take_copies() {
            Ok(copies) => copies,
            Err(text) => {
                let exception = Exception::new(ReplyCode::PreconditionFailed, PublishMethod::ID, text);
                self.raise(now, number, exception, out);
                return None;
            }
        };
        let Publication { topic_len, mandatory } = content.method;
        let returned = mandatory.then(|| {
            Box::new(Returned { bytes: content.bytes.clone(), topic_len, body_at: content.body_at })
        });
        let wanted = |content: &Content<Publication>| {
            let topic_len = content.method.topic_len;
            topic_len > 0 || Place::of(&content.bytes, topic_len) == Place::Exchange
        };
        let held: Vec<HeldPublish> = core::iter::once(content)
            .chain(copies)
            .filter(wanted)
            .map(|Content { method, bytes, body_at, .. }| HeldPublish {
                header: mapping::header(delivered, method.topic_len, (body_at, bytes.len()), now),
                native: bytes,
                delay: delivered.delay,
                mandatory,
            })
            .collect();
        let channel = self.channels.get_mut(&number)?;
        if let Some(tx) = &mut channel.tx {
            let cost: u64 = held.iter().map(|held| held.native.len() as u64 + OVERHEAD_BYTES).sum();
            tx.publications.extend(held);
            tx.bytes += cost;
            self.contents_bytes += cost;
            return None;
        }
        let tag = channel.confirms.as_mut().map_or(0, |confirms| confirms.publish());
        let (epoch, left) = (channel.epoch, held.len() as u16);
        let (matched, refused) = (false, None);
        let receipt = Receipt { channel: number, epoch, tag, returned, left, matched, refused };
        if held.is_empty() {
            self.answer(&receipt, false, out);
            return None;
        }
        let receipt = self.receipts.insert(receipt);
        self.todo.extend(held.into_iter().map(|held| Todo::Publish(Box::new(held), receipt)));
        self.todo.pop_front().map(Todo::into_command)
    }

    /// A message whose replies are to come by the channel is given the address of the queue that they come by.
    fn with_replies(
        &self,
        number: u16,
        content: Content<Publication>,
    ) -> Result<Content<Publication>, Exception> {
        let properties = BasicProperties::from_checked(content.properties());
        let reply_to = if properties.has(PropertyId::ReplyTo) {
            properties.short_str(PropertyId::ReplyTo).map(ShortStr::as_bytes)
        } else {
            None
        };
        if reply_to != Some(REPLY_TO) {
            return Ok(content);
        }
        let queue = self.channels.get(&number).map_or(&b""[..], |channel| &channel.reply_queue);
        if queue.is_empty() {
            let text = "fast reply consumer does not exist";
            return Err(Exception::new(ReplyCode::PreconditionFailed, PublishMethod::ID, text));
        }
        let made = respelled::with_reply_to(properties, queue);
        let mut bytes = content.bytes[..content.properties_at].to_vec();
        bytes.extend_from_slice(made.as_properties().as_bytes());
        let body_at = bytes.len();
        bytes.extend_from_slice(content.body());
        Ok(Content { bytes, body_at, ..content })
    }

    /// Reads what the broker goes by, and whether the publisher is who the message says.
    fn check(
        &self,
        properties: BasicProperties<'_>,
    ) -> Result<mapping::Delivered, mapping::arguments::Unusable> {
        if properties.has(PropertyId::UserId)
            && let Some(user) = properties.short_str(PropertyId::UserId)
            && user.as_bytes() != self.user.as_bytes()
        {
            return Err(alloc::format!(
                "user_id property set to '{user}' but authenticated user was '{}'",
                self.user
            ));
        }
        mapping::delivered(properties)
    }

    /// The broker has answered a publication.
    pub(super) fn handle_published(
        &mut self,
        now: Instant,
        receipt: u16,
        result: Result<bool, Reason>,
        out: &mut Outbound,
    ) {
        let Some(receipt) = self.receipts.take(receipt, result) else { return };
        let is_there = self
            .channels
            .get(&receipt.channel)
            .is_some_and(|channel| channel.epoch == receipt.epoch && !channel.is_closing);
        if !is_there {
            return;
        }
        match receipt.refused {
            None => self.answer(&receipt, receipt.matched, out),
            Some(reason) => self.refuse_publish(now, &receipt, reason, out),
        }
    }

    fn refuse_publish(&mut self, now: Instant, receipt: &Receipt, reason: Reason, out: &mut Outbound) {
        let has_no_room = matches!(reason, Reason::StorageFull | Reason::QuotaExceeded | Reason::QueueFull);
        if reason == Reason::StorageFull {
            self.block(reason, out);
        }
        if has_no_room && receipt.tag != 0 {
            self.settle_confirm(receipt.channel, receipt.tag, false);
            return;
        }
        if reason == Reason::QueueFull {
            return; // who does not ask does not hear of it
        }
        let text = alloc::string::ToString::to_string(&reason);
        let exception = Exception::new(reply_code(reason), PublishMethod::ID, text);
        self.raise(now, receipt.channel, exception, out);
    }

    /// A message was taken; one that reached nobody comes back before it is confirmed.
    fn answer(&mut self, receipt: &Receipt, matched: bool, out: &mut Outbound) {
        if let Some(returned) = receipt.returned.as_deref().filter(|_| !matched) {
            self.give_back(receipt.channel, returned, out);
        }
        if receipt.tag != 0 {
            self.settle_confirm(receipt.channel, receipt.tag, true);
        }
    }

    pub(super) fn give_back(&mut self, channel: u16, returned: &Returned, out: &mut Outbound) {
        let Returned { bytes, topic_len, body_at } = returned;
        let (header, body) = bytes.split_at(*body_at);
        let mut fields = crate::v0_9_1::wire::Fields::new(&header[2 + topic_len..]);
        let (Ok(exchange), Ok(routing_key)) = (fields.read::<ShortStr<'_>>(), fields.read::<ShortStr<'_>>())
        else {
            return;
        };
        let returned = Return {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: ShortStr::cut(ReplyCode::NoRoute.name()),
            exchange,
            routing_key,
        };
        self.scratch.clear();
        returned.encode(channel, &mut self.scratch);
        let properties = BasicProperties::from_checked(fields.rest());
        ContentHeader { body_size: body.len() as u64, properties }.encode(channel, &mut self.scratch);
        encode_body(channel, body, self.terms.frame_bytes_max, &mut self.scratch);
        self.flush(out);
    }

    /// Notes what is to be confirmed when nothing more can be done.
    pub(super) fn settle_confirm(&mut self, number: u16, tag: u64, accepted: bool) {
        let channel = self.channels.get_mut(&number);
        if let Some(confirms) = channel.and_then(|channel| channel.confirms.as_mut()) {
            confirms.settle(tag, accepted);
            if self.unconfirmed.last() != Some(&number) {
                self.unconfirmed.push(number);
            }
        }
    }

    /// Confirms everything that became known, in as few words as it takes.
    pub(super) fn confirm(&mut self, out: &mut Outbound) {
        for number in core::mem::take(&mut self.unconfirmed) {
            let channel = self.channels.get_mut(&number);
            let Some(confirms) = channel.and_then(|channel| channel.confirms.as_mut()) else { continue };
            confirms.drain(|Confirm { delivery_tag, multiple, accepted }| {
                let frame = if accepted {
                    Ack { delivery_tag, multiple }.frame(number)
                } else {
                    Nack { delivery_tag, multiple, requeue: false }.frame(number)
                };
                out.append(&frame);
            });
        }
    }

    /// Says once that publications are not taken.
    fn block(&mut self, reason: Reason, out: &mut Outbound) {
        if self.terms.capabilities.connection_blocked && !self.is_blocked {
            self.is_blocked = true;
            let text = alloc::string::ToString::to_string(&reason);
            self.send(0, Blocked { reason: ShortStr::cut(&text) }, out);
        }
    }

    /// Says that publications are taken again.
    pub(super) fn unblock(&mut self, out: &mut Outbound) {
        if self.is_blocked && self.state == State::Open {
            self.is_blocked = false;
            self.send(0, Unblocked {}, out);
        }
    }
}

/// What of the broker's an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The queue that the key names.
    Queue,
    Topic,
    Exchange,
}

impl Place {
    /// Where a message goes that begins with these bytes.
    fn of(bytes: &[u8], topic_len: usize) -> Self {
        let lead = bytes.get(2 + topic_len..).unwrap_or_default();
        match lead.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))) {
            None | Some(b"") => Self::Queue,
            Some(TOPIC_EXCHANGE) => Self::Topic,
            Some(_) => Self::Exchange,
        }
    }
}

/// Bytes of the content that follows a method, if its header has come and it is small: so that one piece of memory does.
fn expected_len(rest: &[u8], frame_bytes_max: usize) -> usize {
    let Some(fixed) =
        rest.get(FRAME_HEADER_LEN + 4..FRAME_HEADER_LEN + 12).and_then(<[u8]>::first_chunk::<8>)
    else {
        return 0;
    };
    if rest.first() != Some(&(FrameType::Header as u8)) {
        return 0;
    }
    let header = rest.get(3..7).and_then(<[u8]>::first_chunk).map_or(0, |len| u32::from_be_bytes(*len));
    let body = usize::try_from(u64::from_be_bytes(*fixed)).unwrap_or(usize::MAX);
    (header as usize).min(frame_bytes_max) + body.min(64 << 10)
}
