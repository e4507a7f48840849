//! Stream chunk: a piece of an event stream, passed on to the client as it is.

use super::{Kind, Malformed};
use crate::framing;

/// A piece of a response without an end: one or more whole lines of `text/event-stream`
/// (WHATWG HTML, section 9.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamChunk;

impl StreamChunk {
    /// The first byte of every chunk's frame.
    pub const FIRST_BYTE: u8 = Kind::StreamChunk as u8;

    /// The header of the frame; `bytes` of chunk follow it.
    #[must_use]
    pub fn header(bytes: u32) -> [u8; framing::HEADER_BYTES] {
        framing::header(Kind::StreamChunk, bytes)
    }

    /// Appends a chunk to `out` whose bytes `write` appends.
    ///
    /// # Errors
    /// `write` failed, or the chunk is longer than 4 GiB; `out` is then of no use.
    pub fn encode(
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let body_at = framing::begin(out, Kind::StreamChunk);
        write(out)?;
        framing::end(out, body_at)
    }
}
