//! The layouts of this stack: how a message that came by HTTP is read, and how any message becomes a server-sent event.

use mynah_model::{Layout, MessageView, Properties};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use crate::wire::{Event, StreamChunk};

/// Messages that came by HTTP: the end of a request head and the request body that follows it.
///
/// ```text
/// topic (u16, bytes) | content type (u16, bytes; empty: none) | and with a body: 2 | length u32 | payload
/// ```
pub const NATIVE_LAYOUT: Layout = Layout { id: 2, version: 1 };

/// Deliveries to streams: a stream chunk that holds one event. No message is ever native in it.
pub const STREAM_LAYOUT: Layout = Layout { id: 2, version: 2 };

/// Reads [`NATIVE_LAYOUT`], writes [`STREAM_LAYOUT`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCodec;

impl LayoutCodec for HttpCodec {
    fn layouts(&self) -> &[Layout] {
        &[NATIVE_LAYOUT, STREAM_LAYOUT]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        if message.header.layout != NATIVE_LAYOUT {
            return Properties::default();
        }
        Properties { content_type: content_type(message), ..Properties::EMPTY }
    }

    /// A topic that is not UTF-8 cannot be spelled in JSON. Nobody receives [`NATIVE_LAYOUT`].
    fn encode(
        &self,
        message: MessageView<'_>,
        properties: &Properties<'_>,
        layout: Layout,
        kind: FrameKind,
        frame: &mut Frame,
    ) -> bool {
        let Ok(topic) = core::str::from_utf8(message.topic().as_bytes()) else { return false };
        if layout != STREAM_LAYOUT {
            return false;
        }
        let event = Event {
            topic,
            payload: message.payload(),
            content_type: properties.content_type,
            qos: message.header.class.number(),
            retain: kind.retain,
        };
        StreamChunk::encode(&mut frame.head, |out| event.encode(out)).is_ok()
    }
}

/// The field after the topic.
fn content_type(message: MessageView<'_>) -> Option<&str> {
    let rest = message.native.get(message.header.topic_range().end..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let field = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    core::str::from_utf8(field).ok().filter(|text| !text.is_empty())
}
