//! Signals of reliable transports: what their options say (RFC 8323, section 5).

use super::{OptionNumber, OptionWriter, Options, Sink, read_uint};

/// Capabilities and settings (section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Csm {
    /// Bytes of the largest message that the sender takes.
    pub message_bytes_max: u32,
    /// Whether the sender takes blocks, and so with a large message size several at once (section 6).
    pub takes_blocks: bool,
    /// Bytes of the longest token that the sender takes (RFC 8974, section 2.2.1).
    pub token_bytes_max: u32,
}

impl Default for Csm {
    /// What holds before anything is said (section 5.3.1).
    fn default() -> Self {
        Self { message_bytes_max: 1_152, takes_blocks: false, token_bytes_max: 8 }
    }
}

impl Csm {
    const MAX_MESSAGE_SIZE: OptionNumber = OptionNumber(2);
    const BLOCK_WISE_TRANSFER: OptionNumber = OptionNumber(4);
    const EXTENDED_TOKEN_LENGTH: OptionNumber = OptionNumber(6);

    /// Takes over what a further message says: each says only what changes (section 5.3).
    ///
    /// # Errors
    /// The number of a critical option that is not known (section 5.2).
    pub fn merge(&mut self, options: Options<'_>) -> Result<(), OptionNumber> {
        for (number, value) in options.iter() {
            match number {
                Self::MAX_MESSAGE_SIZE => {
                    self.message_bytes_max = read_uint(value).unwrap_or(self.message_bytes_max);
                }
                Self::BLOCK_WISE_TRANSFER => self.takes_blocks = true,
                Self::EXTENDED_TOKEN_LENGTH => {
                    // Fewer than eight are not to be said; they are taken as eight.
                    self.token_bytes_max = read_uint(value).unwrap_or(8).clamp(8, 65_804);
                }
                other if other.is_critical() => return Err(other),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the options.
    pub fn encode(&self, out: &mut impl Sink) {
        let mut options = OptionWriter::new(out);
        options.put_uint(Self::MAX_MESSAGE_SIZE, self.message_bytes_max);
        if self.takes_blocks {
            options.put(Self::BLOCK_WISE_TRANSFER, b"");
        }
        if self.token_bytes_max > 8 {
            options.put_uint(Self::EXTENDED_TOKEN_LENGTH, self.token_bytes_max);
        }
    }
}

/// Ping and Pong (section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Custody;

impl Custody {
    /// Custody: the pong comes once everything before is processed.
    pub const NUMBER: OptionNumber = OptionNumber(2);
}

/// The wish to end the connection (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release;

impl Release {
    /// Hold-Off: seconds before the peer comes back.
    pub const HOLD_OFF: OptionNumber = OptionNumber(4);
}

/// The end of the connection (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The option of a CSM that was not understood.
    pub bad_csm_option: Option<OptionNumber>,
}

impl Abort {
    const BAD_CSM_OPTION: OptionNumber = OptionNumber(2);

    /// Writes the options.
    pub fn encode(&self, out: &mut impl Sink) {
        if let Some(number) = self.bad_csm_option {
            OptionWriter::new(out).put_uint(Self::BAD_CSM_OPTION, u32::from(number.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    //= rfc8323 [5.3-1] [5.2-1]
    #[test]
    fn capabilities_add_up_and_unknown_critical_options_are_named() {
        let mut csm = Csm::default();
        let said = Csm { message_bytes_max: 70_000, takes_blocks: true, token_bytes_max: 32 };
        let mut bytes = Vec::new();
        said.encode(&mut bytes);
        csm.merge(Options::decode(&bytes).unwrap().0).unwrap();
        assert_eq!(csm, said);
        let mut bytes = Vec::new();
        Csm { token_bytes_max: 8, takes_blocks: false, message_bytes_max: 500 }.encode(&mut bytes);
        csm.merge(Options::decode(&bytes).unwrap().0).unwrap();
        assert_eq!(csm, Csm { message_bytes_max: 500, ..said });
        assert_eq!(csm.merge(Options::decode(b"\x11a").unwrap().0), Err(OptionNumber(1)));
        assert_eq!(csm.merge(Options::decode(b"\x81a").unwrap().0), Ok(()));
    }
}
