//! Deliveries to observers, encoded once for all of them: what a notification of one topic says, and around its payload
//! the envelope for those who observe several.

use alloc::vec::Vec;
use core::ops::Range;

use mynah_model::{Class, DeliveryId, Message};

use crate::flow::{Content, Kept, Pieces};

/// A delivery, taken apart. Its bytes are
///
/// ```text
/// | class (1) | Content-Format (2) | Max-Age (4; all ones: none) | length (1) | media type |
/// | length (4) | envelope up to the payload | payload, unless it is shared |
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'f> {
    pub(crate) class: Class,
    /// The number, or [`super::NO_FORMAT`].
    pub(crate) format: u16,
    pub(crate) media_type: &'f [u8],
    pub(crate) max_age: Option<u32>,
    envelope: &'f [u8],
    copied: &'f [u8],
    shared: Option<(&'f Message, (usize, usize))>,
    pub(crate) retain: bool,
    pub(crate) delivery: Option<DeliveryId>,
}

/// What stands before the envelope.
pub(super) struct NoteHead<'a> {
    pub(super) class: Class,
    pub(super) format: u16,
    pub(super) media_type: &'a str,
    pub(super) max_age: Option<u32>,
}

impl NoteHead<'_> {
    /// Writes the head; `envelope` writes the envelope behind it.
    pub(super) fn encode(&self, out: &mut Vec<u8>, envelope: impl FnOnce(&mut Vec<u8>)) {
        out.push(self.class.number());
        out.extend(self.format.to_be_bytes());
        out.extend(self.max_age.unwrap_or(u32::MAX).to_be_bytes());
        // At most 255: see `format_of`.
        out.push(self.media_type.len() as u8);
        out.extend(self.media_type.as_bytes());
        let at = out.len();
        out.extend([0; 4]);
        envelope(out);
        let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
}

impl<'f> Note<'f> {
    /// Takes a frame apart that this stack's codec has encoded; none if it is another.
    pub(crate) fn parse(
        head: &'f [u8],
        shared: Option<(&'f Message, Range<usize>)>,
        retain: bool,
        delivery: Option<DeliveryId>,
    ) -> Option<Self> {
        let (&[class, high, low, a, b, c, d, len], rest) = head.split_first_chunk()?;
        let (media_type, rest) = rest.split_at_checked(usize::from(len))?;
        let (len, rest) = rest.split_first_chunk()?;
        let (envelope, copied) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let max_age = u32::from_be_bytes([a, b, c, d]);
        Some(Self {
            class: Class::from_number(class)?,
            format: u16::from_be_bytes([high, low]),
            media_type,
            max_age: Some(max_age).filter(|age| *age != u32::MAX),
            envelope,
            copied,
            shared: shared.map(|(message, range)| (message, (range.start, range.end))),
            retain,
            delivery,
        })
    }

    /// One that waited.
    pub(crate) fn of_kept(kept: &'f Kept) -> Option<Self> {
        let shared = kept.tail.as_ref().map(|(message, range)| (message, range.clone()));
        Self::parse(&kept.head, shared, kept.retain, kept.delivery)
    }

    /// What stands before the payload for who observes several topics.
    pub(crate) const fn envelope(&self) -> &'f [u8] {
        self.envelope
    }

    /// Whether the topic's value is gone.
    pub(crate) const fn is_gone(&self) -> bool {
        self.retain && self.copied.is_empty() && self.shared.is_none()
    }

    /// The payload, or the whole envelope.
    pub(crate) fn pieces(&self, with_envelope: bool) -> Pieces<'f> {
        let shared = self.shared.map(|(message, (from, to))| &message.view().native[from..to]);
        Pieces([if with_envelope { self.envelope } else { &[] }, self.copied, shared.unwrap_or_default()])
    }

    /// The same as a body that is kept.
    pub(crate) fn content(&self, with_envelope: bool) -> Content {
        let head = if with_envelope { [self.envelope, self.copied].concat() } else { self.copied.to_vec() };
        let tail = self.shared.map(|(message, (from, to))| (message.clone(), from..to));
        Content { head: head.into(), tail }
    }
}
