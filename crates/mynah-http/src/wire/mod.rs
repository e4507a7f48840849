//! The frames on a link between the HTTP server and the broker: parsed requests one way, responses the other way.
//! A link carries one request. Every frame is a kind (one byte), the length of what follows (four bytes, big-endian)
//! and the body that the frame's own file describes.

pub(crate) mod date;
mod event;
mod lease;
pub(crate) mod percent;
mod proceed;
pub(crate) mod properties;
mod request_body;
mod request_head;
mod response_body;
mod response_head;
mod stream_chunk;
pub mod target;

pub use event::Event;
pub use lease::{LeaseRequest, lease_name, parse_lease_name};
pub use proceed::Proceed;
pub use request_body::RequestBody;
pub use request_head::{Credentials, Method, RequestHead, Target};
pub use response_body::ResponseBody;
pub use response_head::{BodyKind, RESPONSE_HEAD_BYTES_MAX, ResponseHead};
pub use stream_chunk::StreamChunk;
pub use target::{PathError, QueryError};

/// Which frame it is: the first byte of its header.
///
/// ```text
/// server                               broker
///   request head  ------------------->          method, conditions, credentials, topic or filters, properties
///                 <-------------------  proceed (PUT and POST, once the peer is let in)
///   request body  ------------------->
///                 <-------------------  response head
///                 <-------------------  response body, or stream chunks until the link ends
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`RequestHead`]
    RequestHead = 1,
    /// [`RequestBody`]
    RequestBody = 2,
    /// [`Proceed`]
    Proceed = 3,
    /// [`ResponseHead`]
    ResponseHead = 4,
    /// [`ResponseBody`]
    ResponseBody = 5,
    /// [`StreamChunk`]
    StreamChunk = 6,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::RequestHead,
            2 => Self::RequestBody,
            3 => Self::Proceed,
            4 => Self::ResponseHead,
            5 => Self::ResponseBody,
            6 => Self::StreamChunk,
            _ => return None,
        })
    }
}

/// Why bytes are not the frame that was due. Only a defect of the other end of the link can cause it: HTTP itself was
/// judged before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Another frame was due at this point.
    UnexpectedKind,
    /// The frame is larger than its limit.
    TooLarge,
    /// The frame ends inside a field, or goes on after the last.
    Length,
    /// A field holds a value that it cannot have.
    Value,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::UnexpectedKind => "another frame was due",
            Self::TooLarge => "the frame is larger than its limit",
            Self::Length => "the frame's length does not fit its fields",
            Self::Value => "a field of the frame has an impossible value",
        })
    }
}

impl core::error::Error for Malformed {}

/// Reads the fields of a frame's body one after another.
#[derive(Clone, Copy)]
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn bytes(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (field, rest) = self.0.split_at_checked(count).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(field)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let field = self.bytes(2)?;
        Ok(u16::from_be_bytes([field[0], field[1]]))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*field))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*field))
    }

    /// A field that its length (two bytes) precedes.
    fn string(&mut self) -> Result<&'b [u8], Malformed> {
        let count = self.u16()?;
        self.bytes(usize::from(count))
    }

    fn text(&mut self) -> Result<&'b str, Malformed> {
        core::str::from_utf8(self.string()?).map_err(|_| Malformed::Value)
    }

    const fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Length) }
    }
}

/// Appends a field that its length (two bytes) precedes.
///
/// # Errors
/// The field is longer than 65,535 bytes.
fn put_string(out: &mut Vec<u8>, field: &[u8]) -> Result<(), Malformed> {
    let count = u16::try_from(field.len()).map_err(|_| Malformed::TooLarge)?;
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(field);
    Ok(())
}
