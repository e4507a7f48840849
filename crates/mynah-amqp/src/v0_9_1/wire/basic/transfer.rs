//! The methods that a message comes with: basic.publish, basic.deliver, basic.get-ok.

use alloc::vec::Vec;

use super::{CLASS, Domain, Fields, Malformed, MethodId, MethodSpec, Sender, ShortStr, encode_frame};
use crate::v0_9_1::wire::FRAME_END;
use crate::v0_9_1::wire::frame::{FrameType, head};

/// Publishes a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish<'b> {
    /// The exchange; empty: the default exchange.
    pub exchange: ShortStr<'b>,
    /// The routing key.
    pub routing_key: ShortStr<'b>,
    /// It comes back if it reaches no queue.
    pub mandatory: bool,
    /// It comes back if no consumer takes it at once.
    pub immediate: bool,
}

impl<'b> Publish<'b> {
    /// The numbers of the method.
    pub const ID: MethodId = MethodId::new(CLASS, 40);
    /// The row of the method.
    pub const SPEC: MethodSpec = MethodSpec {
        id: Self::ID,
        name: "basic.publish",
        sender: Sender::Client,
        fields: &[
            ("reserved", Domain::Short),
            ("exchange", Domain::ShortStr),
            ("routing_key", Domain::ShortStr),
            ("mandatory", Domain::Bit),
            ("immediate", Domain::Bit),
        ],
    };

    /// Reads the arguments.
    ///
    /// # Errors
    /// The bytes are not the arguments of this method.
    #[inline]
    pub fn decode(fields: Fields<'b>) -> Result<Self, Malformed> {
        let rest = fields.rest().get(2..).ok_or(Malformed::Truncated)?;
        let (exchange, rest) = short_str(rest)?;
        let (routing_key, rest) = short_str(rest)?;
        match *rest {
            [bits] => Ok(Self { exchange, routing_key, mandatory: bits & 1 != 0, immediate: bits & 2 != 0 }),
            [] => Err(Malformed::Truncated),
            _ => Err(Malformed::TrailingBytes),
        }
    }

    /// Appends a frame with the method.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        encode_frame(channel, Self::ID, out, |out| {
            out.extend_from_slice(&[0, 0]);
            push(self.exchange, out);
            push(self.routing_key, out);
            out.push(u8::from(self.mandatory) | u8::from(self.immediate) << 1);
        });
    }
}

/// Delivers a message to a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliver<'b> {
    /// The consumer.
    pub consumer_tag: ShortStr<'b>,
    /// Names the delivery on its channel.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published.
    pub exchange: ShortStr<'b>,
    /// Its routing key.
    pub routing_key: ShortStr<'b>,
}

impl<'b> Deliver<'b> {
    /// The numbers of the method.
    pub const ID: MethodId = MethodId::new(CLASS, 60);
    /// The row of the method.
    pub const SPEC: MethodSpec = MethodSpec {
        id: Self::ID,
        name: "basic.deliver",
        sender: Sender::Server,
        fields: &[
            ("consumer_tag", Domain::ShortStr),
            ("delivery_tag", Domain::LongLong),
            ("redelivered", Domain::Bit),
            ("exchange", Domain::ShortStr),
            ("routing_key", Domain::ShortStr),
        ],
    };

    /// Reads the arguments.
    ///
    /// # Errors
    /// The bytes are not the arguments of this method.
    pub fn decode(mut fields: Fields<'b>) -> Result<Self, Malformed> {
        let deliver = Self {
            consumer_tag: fields.read()?,
            delivery_tag: fields.read()?,
            redelivered: fields.read()?,
            exchange: fields.read()?,
            routing_key: fields.read()?,
        };
        fields.finish()?;
        Ok(deliver)
    }

    /// Appends a frame with the method.
    #[inline]
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        let (tag, exchange, key) = (self.consumer_tag, self.exchange, self.routing_key);
        let len = 16 + tag.as_bytes().len() + exchange.as_bytes().len() + key.as_bytes().len();
        out.extend_from_slice(&head(FrameType::Method, channel, len));
        out.extend_from_slice(&[0, CLASS as u8, 0, Self::ID.method as u8]);
        push(tag, out);
        out.extend_from_slice(&self.delivery_tag.to_be_bytes());
        out.push(self.redelivered.into());
        push(exchange, out);
        push(key, out);
        out.push(FRAME_END);
    }
}

/// Answers basic.get with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOk<'b> {
    /// Names the delivery on its channel.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published.
    pub exchange: ShortStr<'b>,
    /// Its routing key.
    pub routing_key: ShortStr<'b>,
    /// Messages that are ready behind it.
    pub message_count: u32,
}

impl<'b> GetOk<'b> {
    /// The numbers of the method.
    pub const ID: MethodId = MethodId::new(CLASS, 71);
    /// The row of the method.
    pub const SPEC: MethodSpec = MethodSpec {
        id: Self::ID,
        name: "basic.get-ok",
        sender: Sender::Server,
        fields: &[
            ("delivery_tag", Domain::LongLong),
            ("redelivered", Domain::Bit),
            ("exchange", Domain::ShortStr),
            ("routing_key", Domain::ShortStr),
            ("message_count", Domain::Long),
        ],
    };

    /// Reads the arguments.
    ///
    /// # Errors
    /// The bytes are not the arguments of this method.
    pub fn decode(mut fields: Fields<'b>) -> Result<Self, Malformed> {
        let get_ok = Self {
            delivery_tag: fields.read()?,
            redelivered: fields.read()?,
            exchange: fields.read()?,
            routing_key: fields.read()?,
            message_count: fields.read()?,
        };
        fields.finish()?;
        Ok(get_ok)
    }

    /// Appends a frame with the method.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        encode_frame(channel, Self::ID, out, |out| {
            out.extend_from_slice(&self.delivery_tag.to_be_bytes());
            out.push(self.redelivered.into());
            push(self.exchange, out);
            push(self.routing_key, out);
            out.extend_from_slice(&self.message_count.to_be_bytes());
        });
    }
}

#[inline]
fn push(text: ShortStr<'_>, out: &mut Vec<u8>) {
    out.push(text.as_bytes().len() as u8);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn short_str(bytes: &[u8]) -> Result<(ShortStr<'_>, &[u8]), Malformed> {
    let (&len, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
    let (text, rest) = rest.split_at_checked(usize::from(len)).ok_or(Malformed::Truncated)?;
    Ok((ShortStr::new(text).unwrap_or_default(), rest))
}
