//! Messages as data (RFC 7252, section 3; RFC 8323, section 3). Everything that is decoded is borrowed; decoding
//! allocates nothing.

mod block;
pub mod cbor;
mod code;
pub mod content_format;
pub mod link_format;
mod message;
mod option_number;
mod options;
mod signal;
mod sink;
mod token;

pub use block::{Block, BlockSize};
pub use code::Code;
pub(crate) use message::token_len_bytes;
pub use message::{Body, Kind, Message, MessageId};
pub use option_number::{Definition, OptionNumber};
pub use options::{Occurrence, OptionWriter, Options, read_uint, uint_bytes};
pub use signal::{Abort, Csm, Custody, Release};
pub use sink::{Head, Sink};
pub use token::{TOKEN_BYTES_MAX, Token};

use core::fmt;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The message ends before its header, its token or an option does.
    Truncated,
    /// The version is not 1: such a message is ignored (section 3).
    Version,
    /// A token length of 15 is reserved.
    TokenLength,
    /// The token is longer than the endpoint takes.
    TokenTooLong,
    /// An empty message goes on behind its header (section 4.1).
    NotEmpty,
    /// An empty message of a kind that has none: non-confirmable.
    EmptyNonConfirmable,
    /// The code is of a class that is reserved (section 4.2).
    ReservedCode,
    /// A nibble of an option's first byte is 15 (section 3.1).
    OptionNibble,
    /// The numbers of the options add up to more than 65,535.
    OptionNumber,
    /// A payload marker is followed by nothing (section 3).
    EmptyPayload,
    /// The message is larger than the endpoint takes.
    TooLarge,
    /// A message over WebSocket says its length (RFC 8323, section 4.2).
    Length,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the message is cut off",
            Self::Version => "the version is not 1",
            Self::TokenLength => "the token length is reserved",
            Self::TokenTooLong => "the token is too long",
            Self::NotEmpty => "an empty message is not empty",
            Self::EmptyNonConfirmable => "an empty message is non-confirmable",
            Self::ReservedCode => "the code is reserved",
            Self::OptionNibble => "an option has a reserved length or delta",
            Self::OptionNumber => "an option number is above 65535",
            Self::EmptyPayload => "a payload marker is followed by nothing",
            Self::TooLarge => "the message is too large",
            Self::Length => "a message over WebSocket says its length",
        })
    }
}

impl core::error::Error for Malformed {}
