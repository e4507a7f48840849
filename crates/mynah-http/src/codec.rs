//! The layouts of this stack: how a message that came by HTTP is read, and how any message becomes a server-sent event.

use mynah_model::{Layout, MessageView, Properties};
use mynah_stack::{Frame, FrameKind, LayoutCodec};

use crate::mapping;
use crate::wire::{BodyKind, Event, ResponseBody, ResponseHead, StreamChunk, properties};

/// Messages that came by HTTP: the end of a request head and the request body that follows it. Byte by byte it is
/// described in [`crate::mapping`].
pub const NATIVE_LAYOUT: Layout = Layout { id: 2, version: 1 };

/// Deliveries to streams: a stream chunk that holds one event. No message is ever native in it.
pub const STREAM_LAYOUT: Layout = Layout { id: 2, version: 2 };

/// Replies to requests: the head of a response and its body. No message is ever native in it.
pub const ANSWER_LAYOUT: Layout = Layout { id: 2, version: 3 };

/// Reads [`NATIVE_LAYOUT`], writes [`STREAM_LAYOUT`] and [`ANSWER_LAYOUT`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCodec;

impl LayoutCodec for HttpCodec {
    fn layouts(&self) -> &[Layout] {
        &[NATIVE_LAYOUT, STREAM_LAYOUT, ANSWER_LAYOUT]
    }

    fn properties<'m>(&self, message: MessageView<'m>) -> Properties<'m> {
        if message.header.layout != NATIVE_LAYOUT {
            return Properties::default();
        }
        let after_topic = message.native.get(message.header.topic_range().end..);
        after_topic.and_then(|bytes| properties::decode(bytes).ok()).unwrap_or_default()
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
        if layout == ANSWER_LAYOUT {
            return encode_answer(message, properties, frame);
        }
        let Ok(topic) = core::str::from_utf8(message.topic().as_bytes()) else { return false };
        if layout != STREAM_LAYOUT {
            return false;
        }
        let media_type = mapping::media_type(properties);
        let event = Event {
            topic,
            payload: message.payload(),
            properties: &Properties { content_type: media_type.as_deref(), ..*properties },
            qos: message.header.class.number(),
            retain: kind.retain,
            priority: message.header.priority,
        };
        StreamChunk::encode(&mut frame.head, |out| event.encode(out)).is_ok()
    }
}

fn encode_answer(message: MessageView<'_>, properties: &Properties<'_>, frame: &mut Frame) -> bool {
    let (status, fields) = mapping::answer_fields(message.header, properties);
    let fields = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let payload = message.payload();
    let Ok(bytes) = u32::try_from(payload.len()) else { return false };
    let Ok(head) = (ResponseHead { status, body: BodyKind::Whole, fields }).encode() else { return false };
    frame.head.extend_from_slice(&head);
    frame.head.extend_from_slice(&ResponseBody::header(bytes));
    frame.payload(payload);
    true
}
