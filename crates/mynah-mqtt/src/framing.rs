//! Stream to packets: the fixed header (section 2.2), checked before a byte of the body is waited for or kept.

use crate::wire::{PacketType, push_variable, variable_len};
use crate::{Malformed, Refused, Version};

/// The largest remaining length that the four bytes can spell (section 2.2.3).
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// The fixed header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// Which packet.
    pub packet_type: PacketType,
    /// The four low bits of the first byte, valid for the type.
    pub flags: u8,
    /// Bytes of the fixed header.
    pub header_len: usize,
    /// Bytes that follow the fixed header.
    pub remaining: usize,
}

/// A whole packet, borrowed from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'b> {
    /// Which packet.
    pub packet_type: PacketType,
    /// The flags of the fixed header.
    pub flags: u8,
    /// Variable header and payload.
    pub body: &'b [u8],
}

impl FixedHeader {
    /// Reads the fixed header at the start of `input`; none if more bytes are needed. Before CONNECT the version does
    /// not matter.
    ///
    /// # Errors
    /// The type is reserved, the flags do not fit it ([MQTT-2.2.2-2]), or the remaining length has no end or, in MQTT 5.0,
    /// more bytes than it needs ([MQTT-1.5.5-1]). Each is found at the first byte that shows it.
    #[inline]
    pub fn decode(input: &[u8], version: Version) -> Result<Option<Self>, Malformed> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let packet_type = PacketType::from_number(first >> 4, version).ok_or(Malformed::PacketType)?;
        let flags = first & 0x0F;
        if !packet_type.allows_flags(version, flags) {
            return Err(Malformed::Flags);
        }
        let mut remaining = 0;
        for (at, &byte) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                if byte == 0 && at > 0 && version.demands_minimal_lengths() {
                    return Err(Malformed::RemainingLength);
                }
                return Ok(Some(Self { packet_type, flags, header_len: at + 2, remaining }));
            }
        }
        if rest.len() < 4 { Ok(None) } else { Err(Malformed::RemainingLength) }
    }
}

/// Takes the packet at the start of `input`, if all of it is there.
///
/// # Errors
/// The fixed header is malformed, or the packet has more than `packet_bytes_max` bytes: both are found as soon as the
/// header is there.
#[inline]
pub fn next_unit<'b>(
    input: &mut &'b [u8],
    version: Version,
    packet_bytes_max: usize,
) -> Result<Option<Unit<'b>>, crate::Error> {
    let Some(header) = FixedHeader::decode(input, version)? else { return Ok(None) };
    let len = header.header_len + header.remaining;
    if len > packet_bytes_max {
        return Err(Refused::PacketTooLarge.into());
    }
    let Some((packet, rest)) = input.split_at_checked(len) else { return Ok(None) };
    *input = rest;
    let body = &packet[header.header_len..];
    Ok(Some(Unit { packet_type: header.packet_type, flags: header.flags, body }))
}

/// Writes a fixed header: the first byte, and `remaining` in as few bytes as it needs.
///
/// The caller has checked that `remaining` is at most [`REMAINING_LENGTH_MAX`].
#[inline(always)]
pub fn encode_fixed_header(first: u8, remaining: usize, out: &mut alloc::vec::Vec<u8>) {
    match remaining {
        // Nearly every packet; written at once.
        0..=0x7F => out.extend_from_slice(&[first, remaining as u8]),
        0x80..=0x3FFF => out.extend_from_slice(&[first, remaining as u8 | 0x80, (remaining >> 7) as u8]),
        _ => {
            out.push(first);
            push_variable(remaining, out);
        }
    }
}

/// Bytes of a packet with this remaining length.
#[must_use]
pub const fn packet_len(remaining: usize) -> usize {
    1 + variable_len(remaining) + remaining
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const VERSION: Version = Version::V3_1_1;

    /// Table 2.4 of the specification.
    #[test]
    fn remaining_length_has_the_bounds_of_table_2_4() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = Vec::new();
            encode_fixed_header(0x30, value, &mut out);
            assert_eq!(out[1..], *bytes);
            let header = FixedHeader::decode(&out, VERSION).unwrap().unwrap();
            assert_eq!((header.remaining, header.header_len), (value, bytes.len() + 1));
            for cut in 0..out.len() {
                assert_eq!(FixedHeader::decode(&out[..cut], VERSION), Ok(None));
            }
        }
    }

    #[test]
    fn a_fifth_length_byte_is_malformed_as_soon_as_the_fourth_continues() {
        assert_eq!(FixedHeader::decode(&[0x30, 0xFF, 0xFF, 0xFF], VERSION), Ok(None));
        assert_eq!(
            FixedHeader::decode(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], VERSION),
            Err(Malformed::RemainingLength)
        );
    }

    /// MQTT 3.1 does not use the flags of other packets than PUBLISH.
    #[test]
    fn flags_are_checked_where_the_version_reserves_them() {
        for first in [0x61, 0x6A, 0x80, 0x8A, 0xAA, 0xC1, 0xE8] {
            assert!(FixedHeader::decode(&[first, 0], Version::V3_1).is_ok());
            assert_eq!(FixedHeader::decode(&[first, 0], Version::V3_1_1), Err(Malformed::Flags));
        }
        assert_eq!(FixedHeader::decode(&[0xF0, 0], Version::V3_1), Err(Malformed::PacketType));
    }

    //= mqtt-5.0 [MQTT-1.5.5-1] [MQTT-2.1.3-1]
    #[test]
    fn a_length_has_as_few_bytes_as_it_needs_where_the_version_says_so() {
        for long in [&[0x30, 0x80, 0x00][..], &[0x30, 0xFF, 0x80, 0x00]] {
            assert!(FixedHeader::decode(long, Version::V3_1_1).is_ok());
            assert_eq!(FixedHeader::decode(long, Version::V5), Err(Malformed::RemainingLength));
        }
        assert!(FixedHeader::decode(&[0x30, 0x80, 0x01], Version::V5).is_ok());
        assert!(FixedHeader::decode(&[0xF0, 0], Version::V5).is_ok());
        assert_eq!(FixedHeader::decode(&[0xF1, 0], Version::V5), Err(Malformed::Flags));
        assert_eq!(FixedHeader::decode(&[0xF0, 0], Version::V3_1_1), Err(Malformed::PacketType));
        for remaining in [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut header = Vec::new();
            encode_fixed_header(0x30, remaining, &mut header);
            assert_eq!(packet_len(remaining), header.len() + remaining);
        }
    }

    #[test]
    fn a_packet_that_is_too_large_is_refused_before_its_body_comes() {
        let mut input = &[0x30, 0x7F][..];
        assert_eq!(next_unit(&mut input, VERSION, 128), Err(Refused::PacketTooLarge.into()));
        assert_eq!(next_unit(&mut input, VERSION, 129), Ok(None));
        assert_eq!(input.len(), 2);
    }
}
