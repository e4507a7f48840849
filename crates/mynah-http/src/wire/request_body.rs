//! Request body: the bytes of a PUT or POST, unchanged.

use super::{Kind, Malformed};
use crate::framing;

/// The body of a request. It follows the request head at once, so that head and body are one range of bytes: the
/// message's native encoding, which nobody has to copy together (see [`crate::NATIVE_LAYOUT`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBody;

impl RequestBody {
    /// The header of the frame; `bytes` of body follow it.
    #[must_use]
    pub fn header(bytes: u32) -> [u8; framing::HEADER_BYTES] {
        framing::header(Kind::RequestBody, bytes)
    }

    /// The body at the start of `input`; `None` until it is complete.
    ///
    /// # Errors
    /// Another frame is there, or the body is larger than `bytes_max`.
    pub fn decode(input: &[u8], bytes_max: u32) -> Result<Option<&[u8]>, Malformed> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        framing::frame(input, Kind::RequestBody, bytes_max)
    }
}
