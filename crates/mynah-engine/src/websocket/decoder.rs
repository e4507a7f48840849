//! Frames of a client: unmasked where they lie, however they were cut, with every rule of RFC 6455, section 5.

use core::ops::Range;

use super::frame::{CloseCode, OpCode, mask};
use super::utf8::Utf8;

/// Longest header: two bytes, the long form of the length, the mask.
const HEADER_BYTES_MAX: usize = 14;
/// Longest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// Something that a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A piece of a message.
    Data {
        /// Where it lies, unmasked, in the bytes that were handed in.
        range: Range<usize>,
        /// Whether the message is text.
        text: bool,
        /// Whether the message ends with it.
        ends: bool,
    },
    /// A ping, with [`Decoder::control`].
    Ping,
    /// A pong, with [`Decoder::control`].
    Pong,
    /// The peer ends the connection. What follows is not to be decoded.
    Close(Option<CloseCode>),
}

/// Reads the frames of one client.
#[derive(Debug)]
pub struct Decoder {
    /// Which kind of message is taken; none: both.
    text: Option<bool>,
    message_bytes_max: u64,
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    control: [u8; CONTROL_BYTES_MAX],
    control_len: usize,
}

/// A frame whose header is complete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    mask: [u8; 4],
    len: u64,
    /// How much of its payload has come.
    at: u64,
}

/// A message of which something has come.
#[derive(Debug)]
struct Message {
    text: bool,
    /// Its length, up to the end of the present frame.
    len: u64,
    utf8: Utf8,
}

impl Decoder {
    /// Reads the frames of a client that may send text or binary messages only (`Some(true)`, `Some(false)`) or both,
    /// none longer than `message_bytes_max`.
    #[must_use]
    pub const fn new(text: Option<bool>, message_bytes_max: u64) -> Self {
        Self {
            text,
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
            control: [0; CONTROL_BYTES_MAX],
            control_len: 0,
        }
    }

    /// Whether messages are text.
    #[must_use]
    pub(super) fn is_text(&self) -> bool {
        self.text == Some(true)
    }

    /// The payload of the ping or pong that was just read.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        &self.control[..self.control_len]
    }

    /// Reads on from `at`, up to the next unit. None: `bytes` are used up.
    ///
    /// # Errors
    /// The client broke a rule; the code with which the connection has to be closed.
    pub fn decode(&mut self, bytes: &mut [u8], at: &mut usize) -> Result<Option<Unit>, CloseCode> {
        loop {
            let Some(frame) = self.frame.as_mut() else {
                if self.read_header(bytes, at)? {
                    continue;
                }
                return Ok(None);
            };
            let left = frame.len - frame.at;
            let available = bytes.len() - *at;
            if left > 0 && available == 0 {
                return Ok(None);
            }
            let take = usize::try_from(left).map_or(available, |left| left.min(available));
            let range = *at..*at + take;
            mask(&mut bytes[range.clone()], frame.mask, frame.at);
            *at += take;
            frame.at += take as u64;
            let frame = *frame;
            let is_whole = frame.at == frame.len;
            if is_whole {
                self.frame = None;
            }
            if !frame.opcode.is_control() {
                return self.data(frame, is_whole, bytes, range).map(Some);
            }
            self.control[self.control_len..self.control_len + take].copy_from_slice(&bytes[range]);
            self.control_len += take;
            if is_whole {
                return self.control_unit(frame.opcode).map(Some);
            }
        }
    }

    fn data(
        &mut self,
        frame: Frame,
        is_whole: bool,
        bytes: &[u8],
        range: Range<usize>,
    ) -> Result<Unit, CloseCode> {
        let ends = is_whole && frame.fin;
        // The header has made sure that there is a message.
        let Some(message) = &mut self.message else { return Err(CloseCode::PROTOCOL_ERROR) };
        let text = message.text;
        if text && !(message.utf8.push(&bytes[range.clone()]) && (!ends || message.utf8.is_complete())) {
            return Err(CloseCode::INVALID_PAYLOAD);
        }
        if ends {
            self.message = None;
        }
        Ok(Unit::Data { range, text, ends })
    }

    fn control_unit(&self, opcode: OpCode) -> Result<Unit, CloseCode> {
        match opcode {
            OpCode::Ping => return Ok(Unit::Ping),
            OpCode::Close => {}
            _ => return Ok(Unit::Pong),
        }
        let code = match self.control() {
            [] => return Ok(Unit::Close(None)),
            [_] => return Err(CloseCode::PROTOCOL_ERROR),
            [high, low, reason @ ..] => {
                let code = CloseCode::from_peer(u16::from_be_bytes([*high, *low]));
                if core::str::from_utf8(reason).is_err() {
                    return Err(CloseCode::INVALID_PAYLOAD);
                }
                code.ok_or(CloseCode::PROTOCOL_ERROR)?
            }
        };
        Ok(Unit::Close(Some(code)))
    }

    /// Reads on in a header; true if it is complete.
    fn read_header(&mut self, bytes: &[u8], at: &mut usize) -> Result<bool, CloseCode> {
        // Most headers come whole, and are read where they lie.
        if self.header_len == 0
            && let Some(header) = whole_header(&bytes[*at..])
        {
            *at += header.len();
            self.begin_frame(header)?;
            return Ok(true);
        }
        loop {
            let wanted = if self.header_len < 2 { 2 } else { header_len(self.header[1]) };
            if self.header_len == wanted {
                break;
            }
            let take = (wanted - self.header_len).min(bytes.len() - *at);
            if take == 0 {
                return Ok(false);
            }
            self.header[self.header_len..self.header_len + take].copy_from_slice(&bytes[*at..*at + take]);
            self.header_len += take;
            *at += take;
            if self.header_len == 2 {
                self.check_start(self.header[0], self.header[1])?;
            }
        }
        let header = self.header;
        let header = &header[..core::mem::take(&mut self.header_len)];
        self.begin_frame(header)?;
        Ok(true)
    }

    /// Looks at the first two bytes: what is wrong there needs no more to be read.
    fn check_start(&self, first: u8, second: u8) -> Result<OpCode, CloseCode> {
        let opcode = OpCode::from_bits(first & 0x0F).filter(|_| first & 0x70 == 0 && second & 0x80 != 0);
        let opcode = opcode.ok_or(CloseCode::PROTOCOL_ERROR)?;
        let (fin, is_long) = (first & 0x80 != 0, second & 0x7F > CONTROL_BYTES_MAX as u8);
        let is_fitting = match opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => fin && !is_long,
            OpCode::Continuation => self.message.is_some(),
            OpCode::Text | OpCode::Binary => self.message.is_none(),
        };
        match (opcode, self.text) {
            _ if !is_fitting => Err(CloseCode::PROTOCOL_ERROR),
            (OpCode::Text, Some(false)) | (OpCode::Binary, Some(true)) => Err(CloseCode::UNSUPPORTED_DATA),
            _ => Ok(opcode),
        }
    }

    /// Takes in a header that is complete.
    fn begin_frame(&mut self, header: &[u8]) -> Result<(), CloseCode> {
        let [first, second, length @ .., a, b, c, d] = header else { return Err(CloseCode::PROTOCOL_ERROR) };
        let opcode = self.check_start(*first, *second)?;
        // Each length has one form, the shortest, and less than 63 bits.
        let (len, is_shortest) = match length {
            [] => (u64::from(second & 0x7F), true),
            [high, low] => {
                let len = u16::from_be_bytes([*high, *low]);
                (u64::from(len), len > 125)
            }
            _ => {
                let len = length.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
                (len, len > u64::from(u16::MAX) && len >> 63 == 0)
            }
        };
        if !is_shortest {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        if opcode.is_control() {
            self.control_len = 0;
        } else {
            let text = opcode == OpCode::Text;
            let message = self.message.get_or_insert_with(|| Message { text, len: 0, utf8: Utf8::default() });
            message.len = message.len.saturating_add(len);
            if message.len > self.message_bytes_max {
                return Err(CloseCode::MESSAGE_TOO_BIG);
            }
        }
        self.frame = Some(Frame { opcode, fin: first & 0x80 != 0, mask: [*a, *b, *c, *d], len, at: 0 });
        Ok(())
    }
}

/// The length of a header, by its second byte.
const fn header_len(second: u8) -> usize {
    match second & 0x7F {
        126 => 8,
        127 => HEADER_BYTES_MAX,
        _ => 6,
    }
}

/// The header that these bytes begin with, if all of it is there.
fn whole_header(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..header_len(*bytes.get(1)?))
}
