//! WebSocket: the opening handshake and the frames of a client, compared with a reader that is written from RFC 6455
//! and has all bytes at once. The first byte says which, the second how the bytes are cut.

use std::sync::Arc;

use mynah_engine::websocket::{Settings, SubProtocol, WebSocket};

use crate::script::Script;

const MESSAGE_BYTES_MAX: u64 = 300;
const REQUEST_BYTES_MAX: usize = 256;
const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: ";

/// What came of a client's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    payload: Vec<u8>,
    answers: Vec<u8>,
    ended: bool,
}

/// Reads `data` as what its first byte says.
///
/// # Panics
/// If the framing differs from the definition, or the cut changes what comes of the bytes.
pub fn websocket(data: &[u8]) {
    let mut script = Script::new(data);
    let (kind, cut) = (script.below(3), usize::from(script.byte()) + 1);
    let bytes = script.rest();
    match kind {
        0 => {
            let found = receive(&mut open("mqtt"), bytes, cut);
            assert_eq!(found, by_definition(bytes, false), "{bytes:?}");
        }
        1 => {
            let (found, wanted) = (receive(&mut open("text"), bytes, cut), by_definition(bytes, true));
            assert_eq!((found.answers, found.ended), (wanted.answers, wanted.ended), "{bytes:?}");
            // Of a piece in which the text breaks nothing is handed on.
            assert!(wanted.payload.starts_with(&found.payload));
        }
        _ => check_handshake(bytes, cut),
    }
}

fn fresh() -> WebSocket {
    WebSocket::new(Arc::new(Settings {
        paths: vec!["/mqtt".into()],
        protocols: vec![
            SubProtocol::binary("mqtt"),
            SubProtocol { name: "text".into(), text: Some(true), stack: 0, unit_bytes_max: None },
        ],
        unnamed: None,
        request_bytes_max: REQUEST_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
    }))
}

/// A connection whose handshake is done.
fn open(protocol: &str) -> WebSocket {
    let mut socket = fresh();
    let mut request = format!("{REQUEST}{protocol}\r\n\r\n").into_bytes();
    let received = socket.receive(&mut request, &mut Vec::new());
    assert!(!received.ended && socket.is_open());
    socket
}

fn receive(socket: &mut WebSocket, bytes: &[u8], cut: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for piece in bytes.to_vec().chunks_mut(cut) {
        let received = socket.receive(piece, &mut outcome.answers);
        outcome.payload.extend_from_slice(&piece[received.payload]);
        outcome.ended = received.ended;
        if received.ended {
            break;
        }
    }
    outcome
}

/// A request in any cut has one outcome, and a refusal says so in HTTP.
fn check_handshake(bytes: &[u8], cut: usize) {
    let whole = receive(&mut fresh(), bytes, usize::MAX);
    let mut socket = fresh();
    let cut = receive(&mut socket, bytes, cut);
    assert_eq!((&cut.answers, cut.ended, &cut.payload), (&whole.answers, whole.ended, &whole.payload));
    if whole.answers.starts_with(b"HTTP/1.1 4") {
        assert!(whole.ended && whole.payload.is_empty() && whole.answers.ends_with(b"\n"));
    } else if !whole.answers.is_empty() {
        assert!(whole.answers.starts_with(b"HTTP/1.1 101 "));
    }
    assert!(bytes.len() < REQUEST_BYTES_MAX || !whole.answers.is_empty());
}

/// A frame, as far as it has come.
struct Frame<'b> {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
    is_whole: bool,
    rest: &'b [u8],
}

/// All frames, with the rules in the order in which a reader that never waits for more than it needs finds them.
fn by_definition(mut bytes: &[u8], text: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut message: Option<Vec<u8>> = None;
    let code = loop {
        let frame = match read_frame(bytes, text, message.as_ref().map(Vec::len)) {
            Ok(Some(frame)) => frame,
            Ok(None) => return outcome,
            Err(code) => break Some(code),
        };
        if frame.opcode < 8 {
            let message_bytes = message.get_or_insert_default();
            message_bytes.extend_from_slice(&frame.payload);
            outcome.payload.extend_from_slice(&frame.payload);
            let ends = frame.fin && frame.is_whole;
            match core::str::from_utf8(message_bytes) {
                Err(error) if text && (ends || error.error_len().is_some()) => break Some(1007),
                _ => {}
            }
            if ends {
                message = None;
            }
        } else if frame.is_whole {
            match frame.opcode {
                8 => match close_code(&frame.payload) {
                    Ok(code) => break code,
                    Err(code) => break Some(code),
                },
                9 => {
                    outcome.answers.extend([0x8A, frame.payload.len() as u8]);
                    outcome.answers.extend_from_slice(&frame.payload);
                }
                _ => {}
            }
        }
        if !frame.is_whole {
            return outcome;
        }
        bytes = frame.rest;
    };
    outcome.ended = true;
    match code {
        Some(code) => outcome.answers.extend([&[0x88, 2][..], &u16::to_be_bytes(code)].concat()),
        None => outcome.answers.extend([0x88, 0]),
    }
    outcome
}

/// RFC 6455, section 5.2. `message` is the length of the message that is under way.
fn read_frame(bytes: &[u8], text: bool, message: Option<usize>) -> Result<Option<Frame<'_>>, u16> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let (fin, opcode, short) = (first >> 7 == 1, first & 15, second & 127);
    if first & 0x70 != 0 || second < 128 || !matches!(opcode, 0..=2 | 8..=10) {
        return Err(1002);
    }
    match opcode {
        0 if message.is_none() => return Err(1002),
        1 | 2 if message.is_some() => return Err(1002),
        8..=10 if !fin || short > 125 => return Err(1002),
        1 if !text => return Err(1003),
        2 if text => return Err(1003),
        _ => {}
    }
    let long = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(long) else { return Ok(None) };
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let number = length.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let len = if long == 0 { u64::from(short) } else { number };
    if long == 2 && len < 126 || long == 8 && !(65_536..1 << 63).contains(&len) {
        return Err(1002);
    }
    if opcode < 8 && message.unwrap_or(0) as u64 + len > MESSAGE_BYTES_MAX {
        return Err(1009);
    }
    let taken = (len as usize).min(rest.len());
    let payload = rest[..taken].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    // A frame without a beginning of its payload says nothing yet.
    if taken == 0 && len > 0 {
        return Ok(None);
    }
    Ok(Some(Frame { fin, opcode, payload, is_whole: taken as u64 == len, rest: &rest[taken..] }))
}

/// Section 7.4: the code to answer with, or the one to fail with.
fn close_code(payload: &[u8]) -> Result<Option<u16>, u16> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(1002),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    match code {
        _ if core::str::from_utf8(reason).is_err() => Err(1007),
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Some(code)),
        _ => Err(1002),
    }
}
