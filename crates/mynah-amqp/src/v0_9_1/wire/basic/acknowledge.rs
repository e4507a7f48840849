//! The methods that a message is answered by: basic.ack, basic.nack.

use alloc::vec::Vec;

use super::{CLASS, Domain, Fields, Malformed, MethodId, MethodSpec, Sender};
use crate::v0_9_1::wire::FRAME_END;
use crate::v0_9_1::wire::frame::{FrameType, head};

/// Takes a message, or all up to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Which delivery or publication.
    pub delivery_tag: u64,
    /// All before it too; with tag 0 all.
    pub multiple: bool,
}

/// Does not take a message, or all up to one (RabbitMQ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// Which delivery or publication.
    pub delivery_tag: u64,
    /// All before it too; with tag 0 all.
    pub multiple: bool,
    /// They are to be delivered again.
    pub requeue: bool,
}

impl Ack {
    /// The numbers of the method.
    pub const ID: MethodId = MethodId::new(CLASS, 80);
    /// The row of the method.
    pub const SPEC: MethodSpec = MethodSpec {
        id: Self::ID,
        name: "basic.ack",
        sender: Sender::Both,
        fields: &[("delivery_tag", Domain::LongLong), ("multiple", Domain::Bit)],
    };

    /// Reads the arguments.
    ///
    /// # Errors
    /// The bytes are not the arguments of this method.
    #[inline]
    pub fn decode(fields: Fields<'_>) -> Result<Self, Malformed> {
        let (delivery_tag, bits) = tag_and_bits(fields.rest())?;
        Ok(Self { delivery_tag, multiple: bits & 1 != 0 })
    }

    /// The frame with the method.
    #[must_use]
    #[inline]
    pub fn frame(&self, channel: u16) -> [u8; 21] {
        frame(channel, Self::ID, self.delivery_tag, self.multiple.into())
    }

    /// Appends a frame with the method.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frame(channel));
    }
}

impl Nack {
    /// The numbers of the method.
    pub const ID: MethodId = MethodId::new(CLASS, 120);
    /// The row of the method.
    pub const SPEC: MethodSpec = MethodSpec {
        id: Self::ID,
        name: "basic.nack",
        sender: Sender::Both,
        fields: &[("delivery_tag", Domain::LongLong), ("multiple", Domain::Bit), ("requeue", Domain::Bit)],
    };

    /// Reads the arguments.
    ///
    /// # Errors
    /// The bytes are not the arguments of this method.
    #[inline]
    pub fn decode(fields: Fields<'_>) -> Result<Self, Malformed> {
        let (delivery_tag, bits) = tag_and_bits(fields.rest())?;
        Ok(Self { delivery_tag, multiple: bits & 1 != 0, requeue: bits & 2 != 0 })
    }

    /// The frame with the method.
    #[must_use]
    #[inline]
    pub fn frame(&self, channel: u16) -> [u8; 21] {
        let bits = u8::from(self.multiple) | u8::from(self.requeue) << 1;
        frame(channel, Self::ID, self.delivery_tag, bits)
    }

    /// Appends a frame with the method.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.frame(channel));
    }
}

#[inline]
fn tag_and_bits(arguments: &[u8]) -> Result<(u64, u8), Malformed> {
    match arguments.split_first_chunk::<8>() {
        Some((tag, &[bits])) => Ok((u64::from_be_bytes(*tag), bits)),
        Some((_, [])) | None => Err(Malformed::Truncated),
        Some(_) => Err(Malformed::TrailingBytes),
    }
}

#[inline]
fn frame(channel: u16, id: MethodId, tag: u64, bits: u8) -> [u8; 21] {
    let mut frame = [0; 21];
    frame[..7].copy_from_slice(&head(FrameType::Method, channel, 13));
    frame[7..11].copy_from_slice(&[0, id.class as u8, 0, id.method as u8]);
    frame[11..19].copy_from_slice(&tag.to_be_bytes());
    frame[19..].copy_from_slice(&[bits, FRAME_END]);
    frame
}
