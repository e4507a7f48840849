//! Options: deltas, lengths and values (RFC 7252, section 3.1), and integers as values (section 3.2).

use super::{Malformed, OptionNumber, Sink};

const PAYLOAD_MARKER: u8 = 0xff;
const ONE_BYTE: u8 = 13;
const TWO_BYTES: u8 = 14;
const RESERVED: u8 = 15;

/// The options of a message, checked and still encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Options<'b>(&'b [u8]);

/// One option: its number, and its value.
pub type Occurrence<'b> = (OptionNumber, &'b [u8]);

impl<'b> Options<'b> {
    /// No options.
    pub const EMPTY: Self = Self(&[]);

    /// Takes apart what follows a message's token: the options, and the payload, which is empty if there is none.
    ///
    /// # Errors
    /// An option is not as section 3.1 has it, or a payload marker is the last byte.
    pub fn decode(bytes: &'b [u8]) -> Result<(Self, &'b [u8]), Malformed> {
        let mut rest = bytes;
        let mut number = 0;
        loop {
            match rest.first() {
                None => return Ok((Self(bytes), &[])),
                Some(&PAYLOAD_MARKER) if rest.len() == 1 => return Err(Malformed::EmptyPayload),
                Some(&PAYLOAD_MARKER) => {
                    let (options, payload) = bytes.split_at(bytes.len() - rest.len());
                    return Ok((Self(options), &payload[1..]));
                }
                Some(_) => {
                    read(&mut rest, &mut number)?;
                }
            }
        }
    }

    /// Options that were encoded by an [`OptionWriter`].
    pub(crate) const fn from_checked(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The options as they are encoded.
    #[must_use]
    pub const fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// Numbers and values in ascending order of the numbers.
    pub fn iter(self) -> impl Iterator<Item = Occurrence<'b>> + Clone {
        let (mut rest, mut number) = (self.0, 0);
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            read(&mut rest, &mut number).ok()
        })
    }

    /// The values of an option.
    pub fn all(self, number: OptionNumber) -> impl Iterator<Item = &'b [u8]> + Clone {
        self.iter().filter(move |(found, _)| *found == number).map(|(_, value)| value)
    }

    /// The first value of an option.
    #[must_use]
    pub fn first(self, number: OptionNumber) -> Option<&'b [u8]> {
        self.all(number).next()
    }
}

impl core::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Reads one option; `number` is that of the one before, and then its own.
#[inline]
fn read<'b>(rest: &mut &'b [u8], number: &mut u16) -> Result<Occurrence<'b>, Malformed> {
    let (&first, after) = rest.split_first().ok_or(Malformed::Truncated)?;
    *rest = after;
    let delta = extended(rest, first >> 4)?;
    let len = extended(rest, first & 0x0f)?;
    let sum = u32::from(*number) + delta;
    *number = u16::try_from(sum).map_err(|_| Malformed::OptionNumber)?;
    let (value, after) = rest.split_at_checked(len as usize).ok_or(Malformed::Truncated)?;
    *rest = after;
    Ok((OptionNumber(*number), value))
}

/// A nibble, and the bytes that it says follow.
#[inline]
fn extended(rest: &mut &[u8], nibble: u8) -> Result<u32, Malformed> {
    match nibble {
        RESERVED => Err(Malformed::OptionNibble),
        TWO_BYTES => {
            let (bytes, after) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
            *rest = after;
            Ok(u32::from(u16::from_be_bytes(*bytes)) + 269)
        }
        ONE_BYTE => {
            let (&byte, after) = rest.split_first().ok_or(Malformed::Truncated)?;
            *rest = after;
            Ok(u32::from(byte) + 13)
        }
        small => Ok(u32::from(small)),
    }
}

/// Writes options in ascending order of their numbers.
#[derive(Debug)]
pub struct OptionWriter<'s, S> {
    out: &'s mut S,
    last: u16,
}

impl<'s, S: Sink> OptionWriter<'s, S> {
    /// Writes into `out`.
    #[must_use]
    pub const fn new(out: &'s mut S) -> Self {
        Self { out, last: 0 }
    }

    /// Appends an option. Its number is at least that of the one before, and its value has at most 65,535 bytes: what
    /// is not so is left out.
    #[inline]
    pub fn put(&mut self, number: OptionNumber, value: &[u8]) {
        let Some(delta) = number.0.checked_sub(self.last) else {
            debug_assert!(false, "options are written in order");
            return;
        };
        let Ok(len) = u16::try_from(value.len()) else { return };
        self.last = number.0;
        let ((delta, more_delta, delta_len), (len, more_len, len_len)) = (nibble(delta), nibble(len));
        self.out.put(&[delta << 4 | len]);
        self.out.put(&more_delta[..delta_len]);
        self.out.put(&more_len[..len_len]);
        self.out.put(value);
    }

    /// Appends an option whose value is an integer.
    #[inline]
    pub fn put_uint(&mut self, number: OptionNumber, value: u32) {
        let (bytes, at) = uint_bytes(value);
        self.put(number, &bytes[at..]);
    }
}

/// The nibble for a delta or a length, and the bytes that follow it.
#[inline]
fn nibble(value: u16) -> (u8, [u8; 2], usize) {
    match value {
        // Less than 13, and less than 269: they fit.
        0..13 => (value as u8, [0; 2], 0),
        13..269 => (ONE_BYTE, [(value - 13) as u8, 0], 1),
        _ => (TWO_BYTES, (value - 269).to_be_bytes(), 2),
    }
}

/// The shortest spelling of an integer: four bytes, of which those from the second part on are the value.
#[must_use]
#[inline]
pub const fn uint_bytes(value: u32) -> ([u8; 4], usize) {
    (value.to_be_bytes(), (value.leading_zeros() / 8) as usize)
}

/// The integer that a value spells; leading zeros are taken (section 3.2). None if it has more than 32 bits.
#[must_use]
pub fn read_uint(value: &[u8]) -> Option<u32> {
    let start = value.iter().position(|byte| *byte != 0).unwrap_or(value.len());
    let digits = &value[start..];
    (digits.len() <= 4).then(|| digits.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_value_may_be_as_long_as_its_length_can_say() {
        for len in [0, 1, 12, 13, 268, 269, 1_034, 65_535] {
            let value = vec![7; len];
            let mut out = Vec::new();
            OptionWriter::new(&mut out).put(OptionNumber::PROXY_URI, &value);
            let (options, payload) = Options::decode(&out).unwrap();
            assert!(options.iter().eq([(OptionNumber::PROXY_URI, &value[..])]));
            assert!(payload.is_empty());
        }
    }

    //= rfc7252 [3.1-1] [3.1-2] [3-4]
    #[test]
    fn what_the_section_reserves_is_refused() {
        for (bytes, error) in [
            (&b"\xf0"[..], Malformed::OptionNibble),
            (b"\x0f", Malformed::OptionNibble),
            (b"\xff", Malformed::EmptyPayload),
            (b"\xb1a\xff", Malformed::EmptyPayload),
            (b"\xb2a", Malformed::Truncated),
            (b"\xd0", Malformed::Truncated),
            (b"\xe0\x01", Malformed::Truncated),
            (b"\x0d", Malformed::Truncated),
            (b"\x0e\x00", Malformed::Truncated),
            (b"\xe0\xff\xff", Malformed::OptionNumber),
            (b"\xe0\xfe\xf2\x10", Malformed::OptionNumber),
        ] {
            assert_eq!(Options::decode(bytes), Err(error), "{bytes:x?}");
        }
        let (options, _) = Options::decode(b"\xe0\xfe\xf2").unwrap();
        assert!(options.iter().eq([(OptionNumber(65_535), &b""[..])]));
    }

    //= rfc7252 [3.2-1]
    #[test]
    fn integers_are_short_when_written_and_of_any_length_when_read() {
        for (value, bytes) in
            [(0, &b""[..]), (1, b"\x01"), (256, b"\x01\x00"), (u32::MAX, b"\xff\xff\xff\xff")]
        {
            let (spelled, at) = uint_bytes(value);
            assert_eq!(&spelled[at..], bytes);
            assert_eq!(read_uint(bytes), Some(value));
        }
        assert_eq!(read_uint(b"\0\0\0\0\0\x05"), Some(5));
        assert_eq!(read_uint(b"\x01\0\0\0\0"), None);
    }

    proptest! {
        #[test]
        fn options_come_back_in_order(
            mut numbers in proptest::collection::vec(0..3_000_u16, 0..12),
            len in 0..400_usize,
            payload in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            numbers.sort_unstable();
            let value = vec![0xff; len];
            let mut out = Vec::new();
            let mut writer = OptionWriter::new(&mut out);
            for number in &numbers {
                writer.put(OptionNumber(*number), &value);
            }
            if !payload.is_empty() {
                out.push(PAYLOAD_MARKER);
                out.extend_from_slice(&payload);
            }
            let (options, rest) = Options::decode(&out).unwrap();
            prop_assert_eq!(rest, &payload[..]);
            prop_assert!(options.iter().eq(numbers.iter().map(|n| (OptionNumber(*n), &value[..]))));
        }

        #[test]
        fn any_bytes_are_options_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let Ok((options, payload)) = Options::decode(&bytes) else { return Ok(()) };
            let mut out = Vec::new();
            let mut writer = OptionWriter::new(&mut out);
            for (number, value) in options.iter() {
                writer.put(number, value);
            }
            let again = Options::decode(&out).unwrap().0;
            prop_assert!(again.iter().eq(options.iter()));
            prop_assert!(out.len() <= options.as_bytes().len());
            prop_assert!(payload.len() <= bytes.len());
        }
    }
}
