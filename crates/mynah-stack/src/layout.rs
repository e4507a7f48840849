//! Layouts: how a message is read, and encoded for a receiver, without naming its protocol.

use alloc::vec::Vec;
use core::ops::Range;

use mynah_model::{DeliveryId, Layout, Message, MessageView, Properties};

use crate::Outbound;

/// Reads the native bytes of one family of layouts, and encodes any message for receivers that want such a layout.
pub trait LayoutCodec: Send + Sync {
    /// The layouts this codec reads and writes.
    fn layouts(&self) -> &[Layout];

    /// The properties of a message in one of this codec's layouts; `remaining` is not a codec's business.
    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m>;

    /// Encodes `message` for receivers of `layout`. Its own codec has read `properties`, unless it is in `layout` already
    /// and has no deadline: then they are empty, and the native bytes say all. The part up to the
    /// payload, or all of it, goes into `frame`; a payload of [`Frame::SHARED_BYTES_MIN`] or more at the end of the
    /// encoding is shared, see [`Frame::payload`]. Returns false if the layout cannot spell the message: it is then
    /// dropped for this receiver and counted.
    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool;
}

/// The variants of a layout's encoding that one fan-out may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameKind {
    /// Whether the delivery has an identifier.
    pub identified: bool,
    /// Whether the receiver is to see the message as a retained value.
    pub retain: bool,
}

/// A message encoded once for all receivers of one layout and kind. What differs between receivers is patched into
/// the copy that each of them gets.
#[derive(Debug, Default)]
pub struct Frame {
    /// The encoding, without the payload if that is shared.
    pub head: Vec<u8>,
    /// Where in `head` a receiver's delivery identifier goes (two bytes).
    pub id_at: Option<usize>,
    /// Whether the payload follows `head` and is to be taken from the message.
    payload_follows: bool,
    /// The message whose payload follows, once somebody shares it.
    body: Option<(Message, Range<usize>)>,
}

impl Frame {
    /// Payloads from this size on are shared by all receivers, smaller ones are copied: measured, a copy is cheaper
    /// below.
    pub const SHARED_BYTES_MIN: usize = 2_048;

    /// Empties the frame and keeps its memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.id_at = None;
        self.payload_follows = false;
        self.body = None;
    }

    /// Appends the payload to the encoding, by copy if it is small; a large one is attached by
    /// [`Frame::attach`].
    pub fn payload(&mut self, payload: &[u8]) {
        if payload.len() < Self::SHARED_BYTES_MIN {
            self.head.extend_from_slice(payload);
        } else {
            self.payload_follows = true;
        }
    }

    /// Whether the frame waits for the message whose payload it shares.
    #[must_use]
    pub fn wants_message(&self) -> bool {
        self.payload_follows && self.body.is_none()
    }

    /// Attaches the message whose payload follows the head.
    pub fn attach(&mut self, message: &Message) {
        self.body = Some((message.clone(), message.header().payload_range()));
    }

    /// The message whose payload follows the head, and where in its native bytes that is: for a stack that keeps a large
    /// payload to hand it out in parts.
    #[must_use]
    pub fn body(&self) -> Option<(&Message, Range<usize>)> {
        self.body.as_ref().map(|(message, range)| (message, range.clone()))
    }

    /// Bytes of the whole encoding.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, |(_, range)| range.len())
    }

    /// Whether nothing is encoded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the encoding to a connection's outbound bytes with `first` as its first byte and the identifier in
    /// its place.
    #[inline]
    pub fn write(&self, out: &mut Outbound, first: u8, id: Option<DeliveryId>) {
        let head = out.append(&self.head);
        if let Some(byte) = head.first_mut() {
            *byte = first;
        }
        if let (Some(id), Some(at)) = (id, self.id_at) {
            head[at..at + 2].copy_from_slice(&id.number().to_be_bytes());
        }
        self.write_body(out);
    }

    /// Appends a part of the shared payload, if there is one: for a stack that divides it. The part lies within it.
    #[inline]
    pub fn write_body_part(&self, part: Range<usize>, out: &mut Outbound) {
        if let Some((message, range)) = &self.body {
            debug_assert!(part.end <= range.len());
            out.append_shared(message, range.start + part.start..range.start + part.end);
        }
    }

    /// Appends the shared payload, if there is one: for a stack that writes a head of its own for one receiver.
    #[inline]
    pub fn write_body(&self, out: &mut Outbound) {
        if let Some((message, range)) = &self.body {
            out.append_shared(message, range.clone());
        }
    }
}
