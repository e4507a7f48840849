//! Link bytes to frames. A frame's limit is checked as soon as its header is there, before its body is waited for.

use crate::wire::{Kind, Malformed};

/// Bytes of a frame's header: the kind and the length of the body.
pub const HEADER_BYTES: usize = 5;

/// The header of a frame of `kind` with a body of `body_bytes`.
#[must_use]
pub fn header(kind: Kind, body_bytes: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = body_bytes.to_be_bytes();
    [kind as u8, a, b, c, d]
}

/// The kind and the length that a frame's header tells.
///
/// # Errors
/// The kind is unknown.
pub fn read_header(header: [u8; HEADER_BYTES]) -> Result<(Kind, u32), Malformed> {
    let [kind, a, b, c, d] = header;
    let kind = Kind::from_number(kind).ok_or(Malformed::UnexpectedKind)?;
    Ok((kind, u32::from_be_bytes([a, b, c, d])))
}

/// The body of the frame at the start of `input`, which has to be of `kind`; `None` until all of it is there.
///
/// # Errors
/// The frame is of another kind, or its body is larger than `body_bytes_max`.
pub fn frame(input: &[u8], kind: Kind, body_bytes_max: usize) -> Result<Option<&[u8]>, Malformed> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
        return match input.first() {
            Some(&number) if number != kind as u8 => Err(Malformed::UnexpectedKind),
            _ => Ok(None),
        };
    };
    let (found, length) = read_header(*header)?;
    if found != kind {
        return Err(Malformed::UnexpectedKind);
    }
    let length = usize::try_from(length).map_err(|_| Malformed::TooLarge)?;
    if length > body_bytes_max {
        return Err(Malformed::TooLarge);
    }
    Ok(rest.get(..length))
}

/// Starts a frame of `kind` in `out`; its length is filled in by [`end`].
#[must_use]
pub(crate) fn begin(out: &mut Vec<u8>, kind: Kind) -> usize {
    out.extend_from_slice(&header(kind, 0));
    out.len()
}

/// Fills in the length of the frame whose body begins at `body_at`.
///
/// # Errors
/// The body is longer than a frame's length can tell (4 GiB).
pub(crate) fn end(out: &mut [u8], body_at: usize) -> Result<(), Malformed> {
    let length = u32::try_from(out.len() - body_at).map_err(|_| Malformed::TooLarge)?;
    out[body_at - 4..body_at].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_complete_when_its_last_byte_is_there() {
        let whole = [2, 0, 0, 0, 3, b'a', b'b', b'c', 9];
        for cut in 0..8 {
            assert_eq!(frame(&whole[..cut], Kind::RequestBody, 3), Ok(None), "{cut}");
        }
        assert_eq!(frame(&whole, Kind::RequestBody, 3), Ok(Some(&b"abc"[..])));
    }

    #[test]
    fn a_limit_is_judged_by_the_header_alone() {
        assert_eq!(frame(&[2, 0, 0, 0, 4], Kind::RequestBody, 3), Err(Malformed::TooLarge));
        assert_eq!(frame(&[2, 255, 255, 255, 255], Kind::RequestBody, 3), Err(Malformed::TooLarge));
    }

    #[test]
    fn another_frame_is_refused_at_its_first_byte() {
        assert_eq!(frame(&[1], Kind::RequestBody, 3), Err(Malformed::UnexpectedKind));
        assert_eq!(frame(&[99, 0, 0, 0, 0], Kind::RequestBody, 3), Err(Malformed::UnexpectedKind));
    }

    #[test]
    fn what_was_begun_is_ended_with_its_length() {
        let mut out = vec![7];
        let at = begin(&mut out, Kind::StreamChunk);
        out.extend_from_slice(b"xy");
        end(&mut out, at).unwrap();
        assert_eq!(out, [7, 6, 0, 0, 0, 2, b'x', b'y']);
    }
}
