//! Frames are found in any stream, whole or in pieces.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const LIMITS: FrameLimits = FrameLimits { frame_octets_max: 200, head_octets_max: 100, headers_max: 4 };

/// A frame: command, headers and body.
type Found = (Command, Vec<u8>, Vec<u8>);

/// What is found in a stream that comes in pieces of so many octets: its frames, and the error at its end.
fn read(stream: &[u8], piece: usize, version: Version) -> (Vec<Found>, Option<Error>) {
    let (mut framing, mut kept, mut frames) = (Framing::default(), Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        kept.extend_from_slice(piece);
        let mut input = kept.as_slice();
        while framing.skip_ends(&mut input) {
            match framing.next(input, version, &LIMITS) {
                Ok(Some((frame, octets))) => {
                    let headers = frame.headers.as_bytes().to_vec();
                    frames.push((frame.command, headers, frame.body.to_vec()));
                    framing.consume(&mut input, octets);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        kept = input.to_vec();
    }
    (frames, None)
}

fn one(stream: &[u8]) -> Result<Option<Found>, Error> {
    let (mut frames, error) = read(stream, stream.len().max(1), Version::V1_2);
    error.map_or(Ok(frames.pop()), Err)
}

//= stomp-1.2 [frame-nul] [content-length-read] [frame-eol]
#[test]
fn a_body_ends_at_its_length_or_at_the_first_nul() {
    for (stream, headers, body) in [
        (&b"SEND\na:b\n\nhello\0"[..], &b"a:b\n"[..], &b"hello"[..]),
        (b"SEND\n\nhello\0", b"", b"hello"),
        (b"SEND\r\na:b\r\n\r\nhello\0", b"a:b\r\n", b"hello"),
        (b"SEND\ncontent-length:3\n\na\0b\0", b"content-length:3\n", b"a\0b"),
        (b"SEND\ncontent-length:0\n\n\0", b"content-length:0\n", b""),
        (b"SEND\ncontent-length:1\ncontent-length:9\n\nx\0", b"content-length:1\ncontent-length:9\n", b"x"),
        (b"\n\r\n\nSEND\n\n\n\0\n\n", b"", b"\n"),
        (b"SEND\na:b\n\0", b"a:b\n", b""),
    ] {
        let expected = (Command::Send, headers.to_vec(), body.to_vec());
        assert_eq!(one(stream), Ok(Some(expected)), "{}", stream.escape_ascii());
    }
}

#[test]
fn what_is_no_frame_is_found_at_the_first_octet_that_shows_it() {
    for (stream, error) in [
        (&b"G"[..], Error::Malformed(Malformed::Command)),
        (b"SENT", Malformed::Command.into()),
        (b"s", Malformed::Command.into()),
        (b" ", Malformed::Command.into()),
        (b"SEND\0", Malformed::Command.into()),
        (b"SEN\n", Malformed::Command.into()),
        (b"\0", Malformed::Command.into()),
        (b"\rS", Malformed::Command.into()),
        (b"SEND\na:b\0", Malformed::NulInHead.into()),
        (b"SEND\ncontent-length:x\n\n", Malformed::ContentLength.into()),
        (b"SEND\ncontent-length:\n\n", Malformed::ContentLength.into()),
        (b"SEND\ncontent-length:-1\n\n", Malformed::ContentLength.into()),
        (b"SEND\ncontent-length:1 \n\n", Malformed::ContentLength.into()),
        (b"SEND\ncontent-length:1\n\nab", Malformed::BodyWithoutEnd.into()),
        (b"SEND\ncontent-length:181\n\n", Refused::FrameTooLarge.into()),
        (b"SEND\ncontent-length:99999999999999999999999\n\n", Refused::FrameTooLarge.into()),
        (b"SEND\na:1\nb:2\nc:3\nd:4\ne:5\n", Refused::TooManyHeaders.into()),
    ] {
        for piece in [1, 3, stream.len()] {
            let (frames, found) = read(stream, piece, Version::V1_2);
            assert_eq!((frames.len(), found), (0, Some(error)), "{}", stream.escape_ascii());
        }
        let before = &stream[..stream.len() - 1];
        assert_eq!(one(before), Ok(None), "{}", before.escape_ascii());
    }
}

//= stomp-1.2 [limits]
#[test]
fn limits_are_kept_without_waiting_for_the_end() {
    let head: Vec<u8> = [&b"SEND\na:"[..], &[b'x'; 93]].concat();
    assert_eq!(one(&head), Err(Refused::HeadTooLarge.into()));
    assert_eq!(one(&head[..99]), Ok(None));
    let body: Vec<u8> = [&b"SEND\n\n"[..], &[b'x'; 194]].concat();
    assert_eq!(one(&body), Err(Refused::FrameTooLarge.into()));
    assert_eq!(one(&body[..199]), Ok(None));
    assert_eq!(one(b"SEND\ncontent-length:174\n\n"), Ok(None));
    assert_eq!(one(b"SEND\ncontent-length:175\n\n"), Err(Refused::FrameTooLarge.into()));
}

#[test]
fn only_the_first_version_takes_a_padded_length() {
    let stream = b"SEND\ncontent-length: 3\n\na\0b\0";
    assert_eq!(read(stream, 7, Version::V1_0).0[0].2, b"a\0b");
    assert_eq!(read(stream, 7, Version::V1_1).1, Some(Malformed::ContentLength.into()));
}

/// Octets that make up frames, more often than others.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(Command::ALL.to_vec()).prop_map(|command| command.text().as_bytes().to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\n\n\0".to_vec()),
        Just(b"\ncontent-length:2".to_vec()),
        Just(b"\na\\c:b".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_cut(stream in streams(), piece in 1usize..9) {
        for version in Version::ALL {
            let whole = read(&stream, stream.len().max(1), version);
            prop_assert_eq!(read(&stream, piece, version), whole);
        }
    }
}
