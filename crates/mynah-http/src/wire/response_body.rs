//! Response body: all of it in one frame, whose length is the response's Content-Length.

use super::Kind;
use crate::framing;

/// The body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseBody;

impl ResponseBody {
    /// The header of the frame; `bytes` of body follow it.
    #[must_use]
    pub fn header(bytes: u32) -> [u8; framing::HEADER_BYTES] {
        framing::header(Kind::ResponseBody, bytes)
    }
}
