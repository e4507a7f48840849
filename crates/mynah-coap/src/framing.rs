//! Bytes of a transport to messages: datagrams with their lengths, the stream of RFC 8323, WebSocket messages. A limit
//! is checked before anything of a message is waited for or kept.

use crate::wire::{Body, Code, Malformed, Sink, TOKEN_BYTES_MAX};

/// What carries the messages of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP or DTLS: each datagram in input and output has its length before it, two bytes, big-endian. In input the
    /// highest bit of the length is set if the datagram came to a group of hosts (multicast).
    Datagram,
    /// TCP or TLS (RFC 8323, section 3).
    Stream,
    /// WebSocket (RFC 8323, section 4): each binary message in input and output has its length before it, four bytes,
    /// big-endian.
    WebSocket,
}

/// Bytes of the length before a datagram.
pub const DATAGRAM_LENGTH_BYTES: usize = 2;

/// What the length of a datagram is with, if it came to a group.
const TO_GROUP: u16 = 0x8000;

/// Bytes that a datagram has at most.
pub const DATAGRAM_BYTES_MAX: usize = (TO_GROUP - 1) as usize;

/// Bytes of the length before a WebSocket message.
pub const WEBSOCKET_LENGTH_BYTES: usize = 4;

/// The datagram at the start of `input`, which is moved past it; none until all of it is there.
#[inline]
pub fn next_datagram<'b>(input: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, rest) = input.split_first_chunk()?;
    let len = u16::from_be_bytes(*len) & !TO_GROUP;
    let (datagram, rest) = rest.split_at_checked(usize::from(len))?;
    *input = rest;
    Some(datagram)
}

/// Whether the datagram at the start of `input` came to a group.
#[must_use]
pub fn is_to_group(input: &[u8]) -> bool {
    input.first_chunk().is_some_and(|len| u16::from_be_bytes(*len) & TO_GROUP != 0)
}

/// The message at the start of a stream of RFC 8323, which is moved past it; none until all of it is there. It may have
/// up to `bytes_max` bytes in all, and a token of up to `token_max`.
///
/// # Errors
/// See [`Malformed`]. The length is judged before the message is waited for.
pub fn next_message<'b>(
    input: &mut &'b [u8],
    bytes_max: usize,
    token_max: usize,
) -> Result<Option<Body<'b>>, Malformed> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let (len, rest) = match first >> 4 {
        13 => match rest.split_first() {
            Some((&byte, rest)) => (usize::from(byte) + 13, rest),
            None => return Ok(None),
        },
        14 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (usize::from(u16::from_be_bytes(*bytes)) + 269, rest),
            None => return Ok(None),
        },
        15 => match rest.split_first_chunk() {
            Some((bytes, rest)) => {
                let len = u64::from(u32::from_be_bytes(*bytes)) + 65_805;
                (usize::try_from(len).map_err(|_| Malformed::TooLarge)?, rest)
            }
            None => return Ok(None),
        },
        small => (usize::from(small), rest),
    };
    let nibble = first & 0x0f;
    let head = input.len() - rest.len() + 1;
    if len.saturating_add(head) > bytes_max {
        return Err(Malformed::TooLarge);
    }
    let Some(token_bytes) = token_bytes(nibble, rest.get(1..), token_max)? else { return Ok(None) };
    let total = head + token_bytes + len;
    if total > bytes_max {
        return Err(Malformed::TooLarge);
    }
    let Some((whole, after)) = input.split_at_checked(total) else { return Ok(None) };
    let (code, bytes) = (Code::from_byte(whole[head - 1]), &whole[head..]);
    let body = Body::decode(code, nibble, bytes, token_max)?;
    check_code(&body)?;
    *input = after;
    Ok(Some(body))
}

/// The message in a unit of WebSocket at the start of `input`, which is moved past it; none until all of it is there.
///
/// # Errors
/// See [`Malformed`].
pub fn next_web_socket<'b>(
    input: &mut &'b [u8],
    bytes_max: usize,
    token_max: usize,
) -> Result<Option<Body<'b>>, Malformed> {
    let Some((len, rest)) = input.split_first_chunk() else { return Ok(None) };
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Malformed::TooLarge)?;
    if len > bytes_max {
        return Err(Malformed::TooLarge);
    }
    let Some((message, after)) = rest.split_at_checked(len) else { return Ok(None) };
    let Some((&[first, code], bytes)) = message.split_first_chunk() else { return Err(Malformed::Truncated) };
    if first >> 4 != 0 {
        return Err(Malformed::Length);
    }
    let body = Body::decode(Code::from_byte(code), first & 0x0f, bytes, token_max)?;
    check_code(&body)?;
    *input = after;
    Ok(Some(body))
}

/// Bytes of the token with what extends its length; none until that can be told.
fn token_bytes(nibble: u8, after_code: Option<&[u8]>, token_max: usize) -> Result<Option<usize>, Malformed> {
    let (extension, len) = match (nibble, after_code) {
        (0..13, _) => (0, usize::from(nibble)),
        (13, Some([byte, ..])) => (1, usize::from(*byte) + 13),
        (14, Some([high, low, ..])) => (2, usize::from(u16::from_be_bytes([*high, *low])) + 269),
        (13 | 14, _) => return Ok(None),
        _ => return Err(Malformed::TokenLength),
    };
    if len > token_max.min(TOKEN_BYTES_MAX) {
        return Err(Malformed::TokenTooLong);
    }
    Ok(Some(extension + len))
}

/// An empty message may hold what it wants: it is ignored (RFC 8323, section 3.4). Reserved classes are not.
fn check_code(body: &Body<'_>) -> Result<(), Malformed> {
    match body.code.class() {
        1 | 3 | 6 => Err(Malformed::ReservedCode),
        _ => Ok(()),
    }
}

/// Writes the head of a message of a reliable transport, up to and with its code. The token follows with its extension,
/// then the options, then marker and payload: of these last two there are `rest_bytes`.
pub fn encode_head(transport: Transport, body: (Code, usize), rest_bytes: usize, out: &mut impl Sink) {
    let (code, token_len) = body;
    let (nibble, extension) = crate::wire::token_len_bytes(token_len);
    if transport == Transport::WebSocket {
        // Messages are far smaller than 4 GiB.
        let len = (2 + extension + token_len + rest_bytes) as u32;
        out.put(&len.to_be_bytes());
        out.put(&[nibble]);
    } else {
        match rest_bytes {
            0..13 => out.put(&[(rest_bytes as u8) << 4 | nibble]),
            13..269 => out.put(&[13 << 4 | nibble, (rest_bytes - 13) as u8]),
            269..65_805 => {
                out.put(&[14 << 4 | nibble]);
                out.put(&((rest_bytes - 269) as u16).to_be_bytes());
            }
            _ => {
                out.put(&[15 << 4 | nibble]);
                out.put(&((rest_bytes - 65_805) as u32).to_be_bytes());
            }
        }
    }
    out.put(&[code.byte()]);
}

/// Writes a whole message of a reliable transport.
pub fn encode_message(transport: Transport, body: &Body<'_>, out: &mut impl Sink) {
    let payload = if body.payload.is_empty() { 0 } else { 1 + body.payload.len() };
    encode_head(transport, (body.code, body.token.len()), body.options.as_bytes().len() + payload, out);
    body.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Options;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_datagram_is_there_when_its_last_byte_is() {
        let all = b"\0\x03abc\0\0\0\x01d";
        for cut in 0..5 {
            assert_eq!(next_datagram(&mut &all[..cut]), None);
        }
        let mut input = &all[..];
        assert_eq!(next_datagram(&mut input), Some(&b"abc"[..]));
        assert_eq!(next_datagram(&mut input), Some(&b""[..]));
        assert_eq!(next_datagram(&mut input), Some(&b"d"[..]));
        assert!(input.is_empty());
        let mut input = &b"\x80\x01e\0\x01f"[..];
        assert!(is_to_group(input));
        assert_eq!(next_datagram(&mut input), Some(&b"e"[..]));
        assert!(!is_to_group(input) && !is_to_group(&[]));
    }

    //= rfc8323 [3.2-1]
    #[test]
    fn lengths_of_all_sizes_come_back_cut_anywhere() {
        for (len, head) in [(0, 2), (5, 2), (11, 2), (12, 3), (267, 3), (268, 4), (70_000, 6)] {
            let payload = vec![7; len];
            let body =
                Body { code: Code::CONTENT, token: b"tok", options: Options::EMPTY, payload: &payload };
            for transport in [Transport::Stream, Transport::WebSocket] {
                let mut bytes = Vec::new();
                encode_message(transport, &body, &mut bytes);
                let marker = usize::from(len > 0);
                let expected = if transport == Transport::Stream { head } else { 6 };
                assert_eq!(bytes.len(), expected + 3 + marker + len);
                let read = |mut bytes: &[u8]| match transport {
                    Transport::Stream => next_message(&mut bytes, 1 << 20, 8).map(|b| b.map(|b| b.len())),
                    _ => next_web_socket(&mut bytes, 1 << 20, 8).map(|b| b.map(|b| b.len())),
                };
                for cut in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
                    assert_eq!(read(&bytes[..cut]), Ok(None), "{len} {cut}");
                }
                assert_eq!(read(&bytes), Ok(Some(body.len())));
            }
        }
    }

    #[test]
    fn a_limit_is_judged_before_the_message_is_there() {
        for bytes in [&b"\xe0\xff\xff"[..], b"\xf0\xff\xff\xff\xff", b"\xf0\0\0\0\0", b"\xd0\xff"] {
            assert_eq!(next_message(&mut &bytes[..], 100, 8), Err(Malformed::TooLarge), "{bytes:x?}");
        }
        assert_eq!(next_message(&mut &b"\x0d\x01\x60"[..], 1_000, 8), Err(Malformed::TokenTooLong));
        assert_eq!(next_message(&mut &b"\x0f\x01"[..], 1_000, 8), Err(Malformed::TokenLength));
        assert_eq!(next_message(&mut &b"\x00\x20"[..], 1_000, 8), Err(Malformed::ReservedCode));
        assert_eq!(next_web_socket(&mut &b"\0\0\x01\0"[..], 100, 8), Err(Malformed::TooLarge));
        assert_eq!(next_web_socket(&mut &b"\0\0\0\x02\x10\x01"[..], 100, 8), Err(Malformed::Length));
        assert_eq!(next_web_socket(&mut &b"\0\0\0\x01\x00"[..], 100, 8), Err(Malformed::Truncated));
    }

    proptest! {
        #[test]
        fn any_stream_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut input = &bytes[..];
            while let Ok(Some(body)) = next_message(&mut input, 64, 8) {
                let mut out = Vec::new();
                encode_message(Transport::Stream, &body, &mut out);
                let again = next_message(&mut &out[..], 128, 8).unwrap().unwrap();
                prop_assert_eq!(again, body);
            }
        }
    }
}
