//! How a frame is written (section 4.2.3): type, channel and size before the payload, an octet that never changes behind
//! it.

use alloc::vec::Vec;

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_LEN: usize = 7;

/// Bytes of a frame beside its payload.
pub const FRAME_OVERHEAD: usize = 8;

/// Frames of this size are always taken (section 4.2.3).
pub const FRAME_MIN_SIZE: u32 = 4_096;

/// A heartbeat (section 4.2.7).
pub const HEARTBEAT: [u8; 8] = [FrameType::Heartbeat as u8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// A method with its arguments.
    Method = 1,
    /// The header of a content.
    Header = 2,
    /// A part of the body of a content.
    Body = 3,
    /// A sign of life.
    Heartbeat = 8,
}

impl FrameType {
    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// The bytes before a payload of `len` bytes.
#[must_use]
#[inline]
pub fn head(frame_type: FrameType, channel: u16, len: usize) -> [u8; FRAME_HEADER_LEN] {
    let [c0, c1] = channel.to_be_bytes();
    let [l0, l1, l2, l3] = (len as u32).to_be_bytes();
    [frame_type as u8, c0, c1, l0, l1, l2, l3]
}

/// Begins a frame whose size is not known yet; returns what [`end`] wants to know.
#[inline]
pub(super) fn begin(frame_type: FrameType, channel: u16, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&head(frame_type, channel, 0));
    out.len()
}

/// Ends the frame whose payload began at `start`.
#[inline]
pub(super) fn end(start: usize, out: &mut Vec<u8>) {
    let len = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&len.to_be_bytes());
    out.push(FRAME_END);
}

/// Appends the frames of a body: as many as it takes, none for an empty one.
pub fn encode_body(channel: u16, body: &[u8], frame_bytes_max: usize, out: &mut Vec<u8>) {
    for part in body.chunks(frame_bytes_max.saturating_sub(FRAME_OVERHEAD).max(1)) {
        out.extend_from_slice(&head(FrameType::Body, channel, part.len()));
        out.extend_from_slice(part);
        out.push(FRAME_END);
    }
}
