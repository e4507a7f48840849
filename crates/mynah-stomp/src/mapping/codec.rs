//! Messages in the layouts of STOMP: how they are read, and encoded for receivers.
//!
//! What a frame holds for the receivers of one version: the length of the topic (4) and the topic, then the headers that all
//! of them get, the blank line and the payload. [`split`] takes it apart; what only one receiver is told, and the NUL, its
//! connection writes.

use alloc::string::ToString;

use mynah_model::{Layout, MessageView, Properties, Topic, WallTime};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use super::properties::{Block, push_properties};
use super::{LAYOUT_LINES, LAYOUT_PAIRS, is_of_frame, layout, version};
use crate::Version;
use crate::wire::push_header;

/// Reads and writes messages in the layouts of STOMP.
#[derive(Clone, Copy, Debug, Default)]
pub struct StompCodec {
    /// The time of day when the clock was at its origin.
    epoch: WallTime,
}

impl StompCodec {
    /// A codec that reckons times of day from this one, which it was when the clock was at its origin.
    #[must_use]
    pub const fn new(epoch: WallTime) -> Self {
        Self { epoch }
    }
}

const LAYOUTS: [Layout; 5] =
    [LAYOUT_LINES, LAYOUT_PAIRS, layout(Version::V1_0), layout(Version::V1_1), layout(Version::V1_2)];

impl LayoutCodec for StompCodec {
    fn layouts(&self) -> &[Layout] {
        &LAYOUTS
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        Block::of(message).properties()
    }

    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        let Some(version) = version(layout) else { return false };
        let topic = message.topic().as_bytes();
        let Ok(topic_len) = u32::try_from(topic.len()) else { return false };
        let (escaping, head) = (version.escaping(), &mut frame.head);
        head.extend_from_slice(&topic_len.to_be_bytes());
        head.extend_from_slice(topic);
        if message.header.layout.id == LAYOUT_LINES.id {
            for (name, value) in Block::of(message).iter().filter(|(name, _)| !is_of_frame(name)) {
                push_header(name, value, escaping, head);
            }
        } else {
            push_properties(message, properties, self.epoch, escaping, head);
        }
        if kind.retain {
            push_header("retain", "true", escaping, head);
        }
        push_header("content-length", &message.payload().len().to_string(), escaping, head);
        head.push(b'\n');
        frame.payload(message.payload());
        true
    }
}

/// The topic of an encoded message, and what follows it.
#[must_use]
pub(crate) fn split(encoded: &[u8]) -> Option<(Topic<'_>, &[u8])> {
    let (topic_len, rest) = encoded.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*topic_len)).ok()?)?;
    Some((Topic::from_checked(topic), rest))
}
