//! Messages over datagrams (RFC 7252, section 3), and what messages of all transports have in common.

use super::token::TOKEN_BYTES_MAX;
use super::{Code, Malformed, Options, Sink};

/// What a message wants, or is (section 3): the T field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Wants an acknowledgement.
    Confirmable = 0,
    /// Wants none.
    NonConfirmable = 1,
    /// Says that a confirmable message came.
    Acknowledgement = 2,
    /// Says that a message came and nobody knows what to do with it.
    Reset = 3,
}

/// The number of a message between two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u16);

/// What a message says, whatever carries it: code, token, options and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'b> {
    /// The code.
    pub code: Code,
    /// Ties a response to its request.
    pub token: &'b [u8],
    /// The options.
    pub options: Options<'b>,
    /// The payload; empty if there is none.
    pub payload: &'b [u8],
}

/// A message in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// The kind.
    pub kind: Kind,
    /// The number.
    pub id: MessageId,
    /// The rest.
    pub body: Body<'b>,
}

const VERSION: u8 = 1;

impl<'b> Body<'b> {
    /// Reads what follows the code: a token of the length that the nibble says, options and payload.
    ///
    /// # Errors
    /// See [`Malformed`].
    #[inline]
    pub fn decode(
        code: Code,
        token_nibble: u8,
        bytes: &'b [u8],
        token_max: usize,
    ) -> Result<Self, Malformed> {
        let (token, rest) = read_token(token_nibble, bytes, token_max)?;
        let (options, payload) = Options::decode(rest)?;
        Ok(Self { code, token, options, payload })
    }

    /// Bytes of what [`Body::encode`] writes.
    #[must_use]
    pub const fn len(&self) -> usize {
        let payload = if self.payload.is_empty() { 0 } else { 1 + self.payload.len() };
        token_len_bytes(self.token.len()).1 + self.token.len() + self.options.as_bytes().len() + payload
    }

    /// Whether it is nothing but a code.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what follows the code or, over datagrams, the message's number.
    pub fn encode(&self, out: &mut impl Sink) {
        let (bytes, len) = token_extension(self.token.len());
        out.put(&bytes[..len]);
        out.put(self.token);
        out.put(self.options.as_bytes());
        if !self.payload.is_empty() {
            out.put(&[0xff]);
            out.put(self.payload);
        }
    }
}

impl<'b> Message<'b> {
    /// The kind and the number of what may be a message: enough to reject it. None if it is no message of this version.
    #[must_use]
    pub const fn peek(datagram: &[u8]) -> Option<(Kind, MessageId)> {
        let &[first, _, high, low, ..] = datagram else { return None };
        if first >> 6 != VERSION {
            return None;
        }
        Some((Kind::from_number(first >> 4), MessageId(u16::from_be_bytes([high, low]))))
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// See [`Malformed`]; a token may have up to `token_max` bytes.
    #[inline]
    pub fn decode(datagram: &'b [u8], token_max: usize) -> Result<Self, Malformed> {
        let Some((&[first, code, high, low], rest)) = datagram.split_first_chunk() else {
            return Err(Malformed::Truncated);
        };
        if first >> 6 != VERSION {
            return Err(Malformed::Version);
        }
        let (kind, code) = (Kind::from_number(first >> 4), Code::from_byte(code));
        let id = MessageId(u16::from_be_bytes([high, low]));
        if code == Code::EMPTY {
            if first & 0x0f != 0 || !rest.is_empty() {
                return Err(Malformed::NotEmpty);
            }
            if kind == Kind::NonConfirmable {
                return Err(Malformed::EmptyNonConfirmable);
            }
            let body = Body { code, token: &[], options: Options::EMPTY, payload: &[] };
            return Ok(Self { kind, id, body });
        }
        if !code.is_request() && !code.is_response() {
            return Err(Malformed::ReservedCode);
        }
        let body = Body::decode(code, first & 0x0f, rest, token_max)?;
        Ok(Self { kind, id, body })
    }

    /// An empty message: an acknowledgement, a reset, or with [`Kind::Confirmable`] a ping.
    #[must_use]
    pub const fn empty(kind: Kind, id: MessageId) -> Self {
        Self { kind, id, body: Body { code: Code::EMPTY, token: &[], options: Options::EMPTY, payload: &[] } }
    }

    /// Writes the datagram. The token is at most [`TOKEN_BYTES_MAX`] bytes long.
    pub fn encode(&self, out: &mut impl Sink) {
        out.put(&Self::header(self.kind, self.body.code, self.id, self.body.token.len()));
        self.body.encode(out);
    }

    /// The first four bytes.
    #[must_use]
    pub const fn header(kind: Kind, code: Code, id: MessageId, token_len: usize) -> [u8; 4] {
        let [high, low] = id.0.to_be_bytes();
        let (nibble, _) = token_len_bytes(token_len);
        [VERSION << 6 | (kind as u8) << 4 | nibble, code.byte(), high, low]
    }
}

impl Kind {
    /// The kind with the lowest two bits of this number.
    const fn from_number(number: u8) -> Self {
        match number & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }
}

/// The nibble for the length of a token, and how many bytes extend it (RFC 8974, section 2.1).
pub(crate) const fn token_len_bytes(len: usize) -> (u8, usize) {
    match len {
        // Less than 13.
        0..13 => (len as u8, 0),
        13..269 => (13, 1),
        _ => (14, 2),
    }
}

/// The bytes that extend the nibble, and how many of them count.
const fn token_extension(len: usize) -> ([u8; 2], usize) {
    match len {
        0..13 => ([0; 2], 0),
        // Less than 256.
        13..269 => ([(len - 13) as u8, 0], 1),
        _ => {
            let len = if len > TOKEN_BYTES_MAX { TOKEN_BYTES_MAX } else { len };
            // At most 65,535.
            (((len - 269) as u16).to_be_bytes(), 2)
        }
    }
}

/// Reads a token.
#[inline]
fn read_token(nibble: u8, bytes: &[u8], token_max: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let (len, rest) = match nibble {
        0..13 => (usize::from(nibble), bytes),
        13 => {
            let (&byte, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
            (usize::from(byte) + 13, rest)
        }
        14 => {
            let (len, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
            (usize::from(u16::from_be_bytes(*len)) + 269, rest)
        }
        _ => return Err(Malformed::TokenLength),
    };
    if len > token_max {
        return Err(Malformed::TokenTooLong);
    }
    rest.split_at_checked(len).ok_or(Malformed::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_the_bytes_of_the_specification() {
        // Section 2.2, figure 2: CON 0x7d34 GET /temperature, and its answer.
        let request = b"\x40\x01\x7d\x34\xbbtemperature";
        let message = Message::decode(request, 8).unwrap();
        assert_eq!(
            (message.kind, message.id, message.body.code),
            (Kind::Confirmable, MessageId(0x7d34), Code::GET)
        );
        assert_eq!(
            message.body.options.first(super::super::OptionNumber::URI_PATH),
            Some(&b"temperature"[..])
        );
        let answer = b"\x61\x45\x7d\x34\x20\xff22.3 C";
        let message = Message::decode(answer, 8).unwrap();
        assert_eq!(message.body.token, [0x20]);
        assert_eq!(message.body.payload, b"22.3 C");
        for bytes in [&request[..], answer] {
            let mut out = Vec::new();
            Message::decode(bytes, 8).unwrap().encode(&mut out);
            assert_eq!(out, bytes);
        }
    }

    //= rfc7252 [3-1] [3-2] [3-3] [4.1-1]
    #[test]
    fn what_is_no_message_says_why() {
        for (bytes, error) in [
            (&b""[..], Malformed::Truncated),
            (b"\x40\x01\0", Malformed::Truncated),
            (b"\x00\x01\0\0", Malformed::Version),
            (b"\xc0\x01\0\0", Malformed::Version),
            (b"\x4f\x01\0\0", Malformed::TokenLength),
            (b"\x49\x01\0\0aaaaaaaaa", Malformed::TokenTooLong),
            (b"\x42\x01\0\0a", Malformed::Truncated),
            (b"\x4d\x01\0\0", Malformed::Truncated),
            (b"\x4e\x01\0\0\0", Malformed::Truncated),
            (b"\x41\0\0\0a", Malformed::NotEmpty),
            (b"\x40\0\0\0a", Malformed::NotEmpty),
            (b"\x50\0\0\0", Malformed::EmptyNonConfirmable),
            (b"\x40\x20\0\0", Malformed::ReservedCode),
            (b"\x40\x61\0\0", Malformed::ReservedCode),
            (b"\x40\xc1\0\0", Malformed::ReservedCode),
            (b"\x40\xe1\0\0", Malformed::ReservedCode),
            (b"\x40\x01\0\0\xff", Malformed::EmptyPayload),
        ] {
            assert_eq!(Message::decode(bytes, 8), Err(error), "{bytes:x?}");
        }
        assert_eq!(Message::peek(b"\x70\0\x01\x02"), Some((Kind::Reset, MessageId(0x102))));
        assert_eq!(Message::peek(b"\x80\0\x01\x02"), None);
    }

    proptest! {
        #[test]
        fn messages_come_back(
            kind in 0..4_u8, code in 1..8_u8, id: u16, len in prop_oneof![0..20_usize, 260..300_usize],
            payload in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let token = alloc::vec![9; len];
            let body = Body { code: Code::from_byte(code), token: &token, options: Options::EMPTY, payload: &payload };
            let message = Message { kind: Kind::from_number(kind), id: MessageId(id), body };
            let mut out = Vec::new();
            message.encode(&mut out);
            prop_assert_eq!(out.len(), 4 + body.len());
            prop_assert_eq!(Message::decode(&out, 300), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x40;
            }
            let Ok(message) = Message::decode(&bytes, 64) else { return Ok(()) };
            let mut out = Vec::new();
            message.encode(&mut out);
            prop_assert_eq!(Message::decode(&out, 64), Ok(message));
        }
    }
}
