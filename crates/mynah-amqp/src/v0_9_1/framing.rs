//! Stream to frames (section 4.2.3): sizes are checked before a byte of the payload is waited for or kept.

use super::wire::{FRAME_END, FRAME_HEADER_LEN, FrameType, PROTOCOL_HEADER};
use super::{Error, Malformed, Violation};

/// A whole frame, borrowed from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// What it holds.
    pub frame_type: FrameType,
    /// The channel; 0 is the connection.
    pub channel: u16,
    /// What is between the frame's header and its end.
    pub payload: &'b [u8],
}

/// Takes the frame at the start of `input`, if all of it is there. Its payload alone may have `frame_bytes_max` bytes: not
/// every client counts the frame's header and end (RabbitMQ takes as much).
///
/// # Errors
/// The type is unknown, the payload has more than `frame_bytes_max` bytes, or it does not end where it should: the first
/// two are found as soon as the frame's header is there.
#[inline]
pub fn next_frame<'b>(input: &mut &'b [u8], frame_bytes_max: usize) -> Result<Option<Frame<'b>>, Error> {
    let Some((head, rest)) = input.split_first_chunk::<FRAME_HEADER_LEN>() else {
        return match input.first() {
            Some(&first) if FrameType::from_number(first).is_none() => {
                Err(Malformed::FrameType(first).into())
            }
            _ => Ok(None),
        };
    };
    let [first, c0, c1, l0, l1, l2, l3] = *head;
    let frame_type = FrameType::from_number(first).ok_or(Malformed::FrameType(first))?;
    let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if len > frame_bytes_max {
        return Err(Violation::FrameTooLarge.into());
    }
    let Some((payload, after)) = rest.split_at_checked(len) else { return Ok(None) };
    let Some((&end, after)) = after.split_first() else { return Ok(None) };
    if end != FRAME_END {
        return Err(Malformed::FrameEnd.into());
    }
    *input = after;
    Ok(Some(Frame { frame_type, channel: u16::from_be_bytes([c0, c1]), payload }))
}

/// What a client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// More bytes are needed.
    Incomplete,
    /// The header of this version.
    Header,
    /// Something else.
    Unknown,
}

/// Takes the protocol header at the start of `input`. Something else is found at its first byte, and left there.
pub fn take_protocol_header(input: &mut &[u8]) -> Opening {
    let len = input.len().min(PROTOCOL_HEADER.len());
    if input[..len] != PROTOCOL_HEADER[..len] {
        return Opening::Unknown;
    }
    if len < PROTOCOL_HEADER.len() {
        return Opening::Incomplete;
    }
    *input = &input[len..];
    Opening::Header
}

#[cfg(test)]
mod tests {
    use super::*;

    //= amqp-0-9-1 [4.2.3-end] [4.2.3-size]
    #[test]
    fn a_frame_is_taken_whole_and_judged_by_its_header() {
        let bytes = b"\x01\0\x02\0\0\0\x03abc\xce\x08";
        for cut in 0..11 {
            let mut input = &bytes[..cut];
            assert_eq!(next_frame(&mut input, 3), Ok(None), "{cut}");
        }
        let mut input = &bytes[..];
        let frame = next_frame(&mut input, 3).unwrap().unwrap();
        assert_eq!((frame.frame_type, frame.channel, frame.payload), (FrameType::Method, 2, &b"abc"[..]));
        assert_eq!(input, b"\x08");
        assert_eq!(next_frame(&mut &bytes[..7], 2), Err(Violation::FrameTooLarge.into()));
        assert_eq!(next_frame(&mut &b"\x01\0\0\0\0\0\0\xcd"[..], 99), Err(Malformed::FrameEnd.into()));
        assert_eq!(next_frame(&mut &b"\x04"[..], 99), Err(Malformed::FrameType(4).into()));
        assert_eq!(
            next_frame(&mut &b"\x08\0\0\xff\xff\xff\xff"[..], 99),
            Err(Violation::FrameTooLarge.into())
        );
    }

    //= amqp-0-9-1 [4.2.2-header]
    #[test]
    fn the_protocol_header_is_known_by_its_first_wrong_byte() {
        for len in 0..8 {
            assert_eq!(take_protocol_header(&mut &PROTOCOL_HEADER[..len]), Opening::Incomplete);
            let mut wrong = PROTOCOL_HEADER;
            wrong[len] ^= 1;
            assert_eq!(take_protocol_header(&mut &wrong[..=len]), Opening::Unknown);
        }
        let mut input = &b"AMQP\0\0\x09\x01x"[..];
        assert_eq!((take_protocol_header(&mut input), input), (Opening::Header, &b"x"[..]));
    }
}
