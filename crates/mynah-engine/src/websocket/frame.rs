//! Frames as they are on the wire: opcodes, the header of a frame that the server sends, masking, close codes.

/// What a frame is (RFC 6455, section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// Goes on with a message.
    Continuation,
    /// Begins a message of text.
    Text,
    /// Begins a message of bytes.
    Binary,
    /// Ends the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl OpCode {
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame that the server sends: it masks nothing.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; 10],
    len: u8,
}

impl Header {
    /// The header of a frame with `payload` bytes; `fin` if the message ends with it.
    #[must_use]
    pub fn new(opcode: OpCode, fin: bool, payload: u64) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = u8::from(fin) << 7 | opcode.bits();
        let len = match (u16::try_from(payload), payload) {
            (_, 0..=125) => {
                bytes[1] = payload as u8;
                2
            }
            (Ok(payload), _) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&payload.to_be_bytes());
                4
            }
            (Err(_), _) => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&payload.to_be_bytes());
                10
            }
        };
        Self { bytes, len }
    }

    /// The header's bytes, 10 at most.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Why a connection ends (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: its purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: what was sent is not WebSocket.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not taken here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1009: a message that is too long.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);

    /// The code that a peer sent, if it may stand in a frame.
    pub(super) const fn from_peer(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Masks or unmasks: `at` is the place of the first byte in the frame's payload.
pub(super) fn mask(bytes: &mut [u8], mut mask: [u8; 4], at: u64) {
    mask.rotate_left((at % 4) as usize);
    let word = u64::from(u32::from_ne_bytes(mask));
    let word = word << 32 | word;
    let mut words = bytes.chunks_exact_mut(8);
    for chunk in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ word).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
