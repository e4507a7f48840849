//! Answers: what goes out on a link.

use mynah_model::{Message, Properties};
use mynah_stack::{Frame, Outbound};

use crate::wire::{BodyKind, Event, ResponseBody, ResponseHead, StreamChunk};
use crate::{Problem, mapping};

/// 204: the publication's promise is kept.
pub(super) fn no_content(out: &mut Outbound) {
    head(204, BodyKind::Empty, Vec::new(), out);
}

/// What was wrong.
pub(super) fn problem(problem: &Problem, out: &mut Outbound) {
    let mut fields = vec![("content-type", Problem::MEDIA_TYPE)];
    fields.extend(problem.field());
    head(problem.status(), BodyKind::Whole, fields, out);
    let body = problem.body();
    out.append(&ResponseBody::header(length(&body)));
    out.append(&body);
}

/// A retained value; a large one is not copied.
pub(super) fn value(message: &Message, properties: Properties<'_>, out: &mut Outbound) {
    let content_type = mapping::response_content_type(properties.content_type);
    head(200, BodyKind::Whole, vec![("content-type", content_type)], out);
    let payload = message.payload();
    out.append(&ResponseBody::header(length(payload)));
    if payload.len() < Frame::SHARED_BYTES_MIN {
        out.append(payload);
    } else {
        out.append_shared(message, message.header().payload_range());
    }
}

/// The start of an event stream, which nobody on the way may keep or hold back.
pub(super) fn stream_head(out: &mut Outbound) {
    let fields = vec![
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ];
    head(200, BodyKind::Stream, fields, out);
}

/// A comment that keeps a stream alive.
pub(super) fn heartbeat(out: &mut Outbound) {
    out.append(&StreamChunk::header(length(Event::HEARTBEAT)));
    out.append(Event::HEARTBEAT);
}

fn head(status: u16, body: BodyKind, fields: Vec<(&str, &str)>, out: &mut Outbound) {
    #[expect(
        clippy::expect_used,
        reason = "at most three fields, constant but for a content type of 255 bytes"
    )]
    let frame = ResponseHead { status, body, fields }.encode().expect("the head is far below its limit");
    out.append(&frame);
}

/// Ranges of a message are 32 bits wide, so a payload's length is too.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
