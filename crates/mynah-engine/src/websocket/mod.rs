//! WebSocket (RFC 6455), the server's side, without I/O: the opening handshake, frames in both directions, the closing
//! handshake. Bytes of a peer go in, the payload comes out in the same memory, and what has to be answered is appended
//! to a buffer of the caller's.

mod decoder;
mod frame;
mod handshake;
mod units;
mod utf8;

use core::ops::Range;
use std::sync::Arc;

pub use decoder::{Decoder, Unit};
pub use frame::{CloseCode, Header, OpCode};
pub use handshake::{Accepted, Handshake, Refused};
use units::Units;

/// What a server takes at one place.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The paths at which the handshake is accepted, such as `/mqtt`.
    pub paths: Vec<Box<str>>,
    /// The sub-protocols that are spoken. A peer has to offer one of them, unless there are none.
    pub protocols: Vec<SubProtocol>,
    /// The place there of the one that a peer speaks that offers nothing. Absent: it is refused.
    pub unnamed: Option<usize>,
    /// Longest head of a handshake's request, in bytes.
    pub request_bytes_max: usize,
    /// Longest message, in bytes, however it is cut into frames.
    pub message_bytes_max: u64,
}

/// A sub-protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubProtocol {
    /// Its name in `Sec-WebSocket-Protocol`.
    pub name: Box<str>,
    /// Whether its messages are text or binary; the other kind is refused. Absent: a client sends either, and gets binary
    /// ones.
    pub text: Option<bool>,
    /// Whose protocol it is: 0, that of the listener where its peers come in; else that of the listener so many places behind
    /// it.
    pub stack: u16,
    /// Longest message, in bytes, of a sub-protocol whose messages are units: each goes to the stack when it is whole, and
    /// comes from it, with its length before it, four bytes, big-endian. Absent: where a message begins and ends means
    /// nothing.
    pub unit_bytes_max: Option<u32>,
}

impl SubProtocol {
    /// A sub-protocol of binary messages.
    #[must_use]
    pub fn binary(name: &str) -> Self {
        Self { name: name.into(), text: Some(false), stack: 0, unit_bytes_max: None }
    }

    /// A sub-protocol whose clients send binary messages or text as they like, and get binary ones.
    #[must_use]
    pub fn either(name: &str) -> Self {
        Self { name: name.into(), text: None, stack: 0, unit_bytes_max: None }
    }

    /// A sub-protocol of binary messages that are units.
    #[must_use]
    pub fn units(name: &str, bytes_max: u32) -> Self {
        Self { unit_bytes_max: Some(bytes_max), ..Self::binary(name) }
    }

    /// The same, as the protocol of the listener so many places behind the one where its peers come in.
    #[must_use]
    pub fn of_stack(self, stack: u16) -> Self {
        Self { stack, ..self }
    }
}

/// The server's side of one connection, which carries a stream of bytes, or units (see [`SubProtocol::unit_bytes_max`]).
#[derive(Debug)]
pub struct WebSocket {
    settings: Arc<Settings>,
    phase: Phase,
    /// See [`SubProtocol::stack`].
    stack: u16,
    units: Option<Units>,
}

#[derive(Debug)]
enum Phase {
    Opening(Handshake),
    Open(Decoder),
    /// A close frame, or a refusal of the handshake, was sent.
    Ended,
}

/// What came of bytes that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where the payload lies, in one piece, in the buffer that was handed in.
    pub payload: Range<usize>,
    /// The connection is over: once the answers are written it can be closed.
    pub ended: bool,
}

impl WebSocket {
    /// The server's side of a connection that has just been accepted.
    #[must_use]
    pub const fn new(settings: Arc<Settings>) -> Self {
        Self { settings, phase: Phase::Opening(Handshake::new()), stack: 0, units: None }
    }

    /// Whether the handshake is done, so that frames can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whose protocol was chosen, see [`SubProtocol::stack`].
    #[must_use]
    pub const fn stack(&self) -> u16 {
        self.stack
    }

    /// Whether messages are units.
    #[must_use]
    pub const fn has_units(&self) -> bool {
        self.units.is_some()
    }

    /// Appends the units that are whole, each with its length before it.
    pub fn take_units(&mut self, out: &mut Vec<u8>) {
        if let Some(units) = &mut self.units {
            units.take(out);
        }
    }

    /// Takes in all of `bytes`; units are there to be taken then, and no payload is returned. What has to be answered is appended to `answers`: a response, pongs, a close frame.
    pub fn receive(&mut self, bytes: &mut [u8], answers: &mut Vec<u8>) -> Received {
        let mut at = 0;
        if let Phase::Opening(handshake) = &mut self.phase {
            match handshake.read(&self.settings, bytes, answers) {
                Ok(None) => return Received { payload: 0..0, ended: false },
                Err(Refused) => self.phase = Phase::Ended,
                Ok(Some(Accepted { rest, protocol })) => {
                    at = rest;
                    let chosen = protocol.and_then(|place| self.settings.protocols.get(place));
                    let text = chosen.and_then(|protocol| protocol.text);
                    self.stack = chosen.map_or(0, |protocol| protocol.stack);
                    let unit_max = chosen.and_then(|protocol| protocol.unit_bytes_max);
                    self.units = unit_max.map(|_| Units::default());
                    let bytes_max = self.settings.message_bytes_max;
                    let bytes_max = unit_max.map_or(bytes_max, |max| bytes_max.min(max.into()));
                    self.phase = Phase::Open(Decoder::new(text, bytes_max));
                }
            }
        }
        let Phase::Open(decoder) = &mut self.phase else {
            return Received { payload: 0..0, ended: true };
        };
        let mut payload = 0..0;
        let code = loop {
            match decoder.decode(bytes, &mut at) {
                Ok(None) => return Received { payload, ended: false },
                Ok(Some(Unit::Data { range, ends, .. })) if self.units.is_some() => {
                    if let Some(units) = &mut self.units {
                        units.push(&bytes[range], ends);
                    }
                }
                // The first piece stays where it is, the others move up to it.
                Ok(Some(Unit::Data { range, .. })) if payload.is_empty() => payload = range,
                Ok(Some(Unit::Data { range, .. })) => {
                    let len = range.len();
                    bytes.copy_within(range, payload.end);
                    payload.end += len;
                }
                Ok(Some(Unit::Ping)) => append(OpCode::Pong, decoder.control(), answers),
                Ok(Some(Unit::Pong)) => {}
                Ok(Some(Unit::Close(code))) => break code,
                Err(code) => break Some(code),
            }
        };
        self.close(code, answers);
        Received { payload, ended: true }
    }

    /// The header of a frame with `len` bytes of payload; none if no frame can be sent now.
    #[must_use]
    pub fn header(&self, len: usize) -> Option<Header> {
        let Phase::Open(decoder) = &self.phase else { return None };
        Some(Header::new(if decoder.is_text() { OpCode::Text } else { OpCode::Binary }, true, len as u64))
    }

    /// Ends the connection: appends a close frame, if frames can be sent.
    pub fn close(&mut self, code: Option<CloseCode>, out: &mut Vec<u8>) {
        if self.is_open() {
            let code = code.map(|code| code.get().to_be_bytes());
            append(OpCode::Close, code.as_ref().map_or(&[], |code| code), out);
        }
        self.phase = Phase::Ended;
    }
}

/// Appends a control frame.
fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(Header::new(opcode, true, payload.len() as u64).as_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
