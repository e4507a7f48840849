//! Answers: what goes out on a link.

use mynah_stack::{Frame, Outbound, Value};

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
pub(super) fn value(value: &Value<'_>, out: &mut Outbound) {
    own_head(200, BodyKind::Whole, &mapping::value_fields(value), out);
    let payload = value.message.payload();
    out.append(&ResponseBody::header(length(payload)));
    if payload.len() < Frame::SHARED_BYTES_MIN {
        out.append(payload);
    } else {
        out.append_shared(value.message, value.message.header().payload_range());
    }
}

/// 200: an answer for this client alone, and this time.
pub(super) fn json(body: &[u8], out: &mut Outbound) {
    let fields = vec![("content-type", "application/json"), ("cache-control", "no-store")];
    head(200, BodyKind::Whole, fields, out);
    out.append(&ResponseBody::header(length(body)));
    out.append(body);
}

/// 304: the value is one that the client has.
pub(super) fn not_modified(value: &Value<'_>, out: &mut Outbound) {
    own_head(304, BodyKind::Empty, &mapping::validator_fields(value), out);
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

/// The last event of a stream: what ended it.
pub(super) fn stream_end(problem: &Problem, out: &mut Outbound) {
    let event = Event::end(&problem.body());
    out.append(&StreamChunk::header(length(&event)));
    out.append(&event);
}

fn own_head(status: u16, body: BodyKind, fields: &mapping::Fields, out: &mut Outbound) {
    head(status, body, fields.iter().map(|(name, value)| (*name, value.as_str())).collect(), out);
}

fn head(status: u16, body: BodyKind, fields: Vec<(&str, &str)>, out: &mut Outbound) {
    #[expect(
        clippy::expect_used,
        reason = "a handful of fields, short or constant, and properties that were chosen to fit"
    )]
    let frame = ResponseHead { status, body, fields }.encode().expect("the head is within its limit");
    out.append(&frame);
}

/// Ranges of a message are 32 bits wide, so a payload's length is too.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
