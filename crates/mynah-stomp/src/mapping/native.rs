//! A SEND as the native bytes of a message: as it lies in the input where that is possible, else in a copy.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use mynah_model::{Class, Header, Instant, PRIORITY_DEFAULT, TenantId, WallTime};

use super::{LAYOUT_LINES, LAYOUT_PAIRS};
use crate::wire::{Headers, Send};

/// The header and the native bytes of the message that is sent at `now`, for those who want `topic`; `epoch` is the time
/// of day when the clock was at its origin. `reply_to` replaces what the client said, if it is there.
#[must_use]
pub fn native<'b>(
    send: &Send<'b>,
    topic: &[u8],
    reply_to: Option<&str>,
    now: Instant,
    epoch: WallTime,
) -> (Header, Cow<'b, [u8]>) {
    let (layout, topic_range, payload_at, native) = match topic_in_place(send, topic) {
        Some(at) if reply_to.is_none() => {
            let payload_at = send.octets.len() - send.body.len();
            (LAYOUT_LINES, (at, at + topic.len()), payload_at, Cow::Borrowed(send.octets))
        }
        _ => {
            let is_verbatim = send.headers.is_verbatim() && reply_to.is_none();
            let mut native = Vec::with_capacity(topic.len() + send.octets.len() + 64);
            native.extend_from_slice(topic);
            if is_verbatim {
                native.extend_from_slice(send.headers.as_bytes());
            } else {
                push_pairs(send.headers, reply_to, &mut native);
            }
            let payload_at = native.len();
            native.extend_from_slice(send.body);
            let layout = if is_verbatim { LAYOUT_LINES } else { LAYOUT_PAIRS };
            (layout, (0, topic.len()), payload_at, Cow::Owned(native))
        }
    };
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout,
        class: if send.persistent { Class::AtLeastOnce } else { Class::AtMostOnce },
        retain: send.retain,
        priority: send.priority.unwrap_or(PRIORITY_DEFAULT),
        topic: (offset(topic_range.0), offset(topic_range.1)),
        payload: (offset(payload_at), offset(native.len())),
        deadline: deadline(send, now, epoch),
        publisher: None,
    };
    (header, native)
}

/// Where the topic lies in the frame, if the destination ends with its canonical form and all headers are as they say.
fn topic_in_place(send: &Send<'_>, topic: &[u8]) -> Option<usize> {
    let Cow::Borrowed(destination) = send.destination else { return None };
    if !send.headers.is_verbatim() || !destination.as_bytes().ends_with(topic) {
        return None;
    }
    // Both are parts of one input.
    let at = (destination.as_ptr() as usize).checked_sub(send.octets.as_ptr() as usize)?;
    (at < send.octets.len()).then(|| at + destination.len() - topic.len())
}

/// When the message is no longer wanted: the earlier of what RabbitMQ's and ActiveMQ's headers say.
fn deadline(send: &Send<'_>, now: Instant, epoch: WallTime) -> Option<Instant> {
    let millis = |millis: u64| Instant::from_micros(millis.saturating_mul(1_000));
    let at = send.expires.map(|at| millis(at.saturating_sub(epoch.as_unix_millis())));
    let after = send
        .expiration
        .map(|after| Instant::from_micros(now.as_micros().saturating_add(after.saturating_mul(1_000))));
    [at, after].into_iter().flatten().min()
}

/// Writes headers as pairs. The first of several reply addresses counts.
fn push_pairs(headers: Headers<'_>, reply_to: Option<&str>, out: &mut Vec<u8>) {
    let mut replacement = reply_to;
    for (name, value) in headers.iter() {
        let value = if &*name == "reply-to" { replacement.take().unwrap_or(&value) } else { &value };
        // A head is far smaller than what the lengths can say; a longer one would not come back.
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len())) else {
            continue;
        };
        out.extend_from_slice(&name_len.to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value_len.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

/// Frames are far smaller than 4 GiB, see [`crate::Config`].
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
