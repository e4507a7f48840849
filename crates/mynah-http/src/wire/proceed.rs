//! Proceed: the broker has let the peer in and wants the body of its request.

use super::Kind;
use crate::framing;

/// Asks for the request's body. The server reads it from its client only then, so that a peer that was not let in
/// costs no memory (and one that sent `Expect: 100-continue` is spared the upload). The frame's body is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proceed;

impl Proceed {
    /// The frame.
    #[must_use]
    pub fn encode(self) -> [u8; framing::HEADER_BYTES] {
        framing::header(Kind::Proceed, 0)
    }
}
