//! Frames: how a record stands in a segment. Twenty bytes of header, the body, zeros up to a multiple of eight.
//!
//! Both checksums are salted with a number that is drawn when the store is made: bytes that a client chose are not
//! taken for a frame where the reader has lost its place.

/// Bytes of a frame before its body.
pub(crate) const HEADER_BYTES: usize = 20;

/// Every frame starts at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

/// The version of the frames that are written.
pub(crate) const VERSION: u8 = 2;

/// The first version, whose header has a CRC32C as its check.
const VERSION_1: u8 = 1;

/// The frame and the next one hold together or not at all.
pub(crate) const MORE_FOLLOWS: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What was synced when the frames after this one were written.
    Commit = 1,
    /// A key has a value.
    Put = 2,
    /// A key has none any more.
    Delete = 3,
    /// The entries of a queue before one are gone.
    Truncate = 4,
    /// Everything of a session or queue is gone.
    Clear = 5,
    /// A message that entries refer to.
    Payload = 6,
    /// A message that was copied from an older segment.
    Moved = 7,
    /// A snapshot begins.
    SnapshotBegin = 8,
    /// Keys and values of a snapshot.
    SnapshotItems = 9,
    /// A snapshot is complete.
    SnapshotEnd = 10,
    /// A message with the first key that refers to it.
    Referred = 11,
}

impl Kind {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Commit,
            2 => Self::Put,
            3 => Self::Delete,
            4 => Self::Truncate,
            5 => Self::Clear,
            6 => Self::Payload,
            7 => Self::Moved,
            8 => Self::SnapshotBegin,
            9 => Self::SnapshotItems,
            10 => Self::SnapshotEnd,
            11 => Self::Referred,
            _ => return None,
        })
    }

    /// Whether the body starts with a message.
    pub(crate) const fn has_message(self) -> bool {
        matches!(self, Self::Payload | Self::Moved | Self::Referred)
    }
}

/// A frame whose checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'f> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) tenant: u16,
    pub(crate) shard: u16,
    pub(crate) body: &'f [u8],
}

/// A key and its value.
pub(crate) type Pair<'f> = (&'f [u8], &'f [u8]);

/// Bytes after the value in the body of a message with a key: the lengths of key and value.
const LENGTHS: usize = 4;

impl<'f> Frame<'f> {
    /// The message, and the key that refers to it with its value where there is one with it; `None` where the body is
    /// neither.
    pub(crate) fn message(&self) -> Option<(&'f [u8], Option<Pair<'f>>)> {
        if self.kind != Kind::Referred {
            return Some((self.body, None));
        }
        let (rest, lengths) = self.body.split_last_chunk::<LENGTHS>()?;
        let [key, value] = [[lengths[0], lengths[1]], [lengths[2], lengths[3]]]
            .map(|length| usize::from(u16::from_le_bytes(length)));
        let (rest, value) = rest.split_at_checked(rest.len().checked_sub(value)?)?;
        let (message, key) = rest.split_at_checked(rest.len().checked_sub(key)?)?;
        Some((message, Some((key, value))))
    }

    /// Appends the frame as [`view`] reads it, without its checksums.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&[VERSION, self.kind as u8, self.flags, 0]);
        out.extend_from_slice(&self.tenant.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(self.body);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The header is right, and the frame has this many bytes.
    Short(usize),
    /// These bytes are not the header of a frame.
    Header,
    /// The body is not what was written.
    Body,
    /// A later version of the program wrote this.
    Version(u8),
}

/// What every frame of one submission has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tenant: u16,
    pub(crate) shard: u16,
}

impl Place {
    /// Of the store itself.
    pub(crate) const STORE: Self = Self { tenant: 0, shard: 0 };
}

/// Appends a frame whose body `write` writes.
pub(crate) fn append(
    out: &mut Vec<u8>,
    salt: u32,
    kind: Kind,
    place: Place,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = open(out);
    write(out);
    seal(out, start, salt, kind, place, 0);
}

/// Leaves room for the header of a frame whose body is appended next. Returns where the frame starts.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.len() - HEADER_BYTES
}

/// Completes the frame that starts at `start` and whose body is the rest.
pub(crate) fn seal(out: &mut Vec<u8>, start: usize, salt: u32, kind: Kind, place: Place, flags: u8) {
    let body = out.len() - start - HEADER_BYTES;
    // Nobody can submit four gigabytes at once: batches are bounded far below.
    let length = u32::try_from(body).unwrap_or(u32::MAX);
    let sum = crc32c::crc32c_append(salt, &out[start + HEADER_BYTES..]);
    let mut header = [0; HEADER_BYTES];
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12..16].copy_from_slice(&[VERSION, kind as u8, flags, 0]);
    header[16..18].copy_from_slice(&place.tenant.to_le_bytes());
    header[18..20].copy_from_slice(&place.shard.to_le_bytes());
    let check = check_of(&header, salt);
    header[..4].copy_from_slice(&check.to_le_bytes());
    out[start..start + HEADER_BYTES].copy_from_slice(&header);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// The check of a header: its two words of eight bytes, mixed. It tells a frame from other bytes and says whether its
/// length can be believed; for sixteen bytes, calling for a CRC takes longer than all the rest.
fn check_of(header: &[u8], salt: u32) -> u32 {
    let long = |at: usize| u64::from(word(header, at)) | u64::from(word(header, at + 4)) << 32;
    let mut mixed = long(4) ^ u64::from(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for next in [long(12), 0] {
        mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ next;
    }
    (mixed ^ mixed >> 32) as u32
}

/// Whether the check of a header is right for its version.
fn is_header(header: &[u8], salt: u32) -> bool {
    // No version is zero: so zeros, which are common, are never summed.
    match header[12] {
        0 => false,
        VERSION_1 => word(header, 0) == crc32c::crc32c_append(salt, &header[4..]),
        _ => word(header, 0) == check_of(header, salt),
    }
}

/// The bytes that a frame with this body takes.
pub(crate) const fn frame_bytes(body: usize) -> usize {
    (HEADER_BYTES + body).next_multiple_of(ALIGNMENT)
}

/// The frame at the start of `bytes`, and how many bytes it takes.
pub(crate) fn parse(bytes: &[u8], salt: u32) -> Result<(Frame<'_>, usize), Fault> {
    let taken = check(bytes, salt)?;
    view(bytes).map(|frame| (frame, taken)).ok_or(Fault::Header)
}

/// Checks the frame at the start of `bytes`. Returns how many bytes it takes.
pub(crate) fn check(bytes: &[u8], salt: u32) -> Result<usize, Fault> {
    check_frame(bytes, salt, true)
}

/// Like [`check`]; without `sums_messages` only the header of a frame that holds a message and nothing else.
pub(crate) fn check_frame(bytes: &[u8], salt: u32, sums_messages: bool) -> Result<usize, Fault> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Fault::Short(HEADER_BYTES));
    };
    if !is_header(header, salt) {
        return Err(Fault::Header);
    }
    let kind = match (header[12], Kind::from_number(header[13])) {
        (VERSION_1 | VERSION, Some(kind)) => kind,
        (version, _) => return Err(Fault::Version(version)),
    };
    let length = word(header, 8) as usize;
    let taken = frame_bytes(length);
    if bytes.len() < taken {
        return Err(Fault::Short(taken));
    }
    let sums = sums_messages || !matches!(kind, Kind::Payload | Kind::Moved);
    if sums && word(header, 4) != crc32c::crc32c_append(salt, &rest[..length]) {
        return Err(Fault::Body);
    }
    Ok(taken)
}

/// The frame at the start of bytes that were checked before.
pub(crate) fn view(bytes: &[u8]) -> Option<Frame<'_>> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    Some(Frame {
        kind: Kind::from_number(header[13])?,
        flags: header[14],
        tenant: half(16),
        shard: half(18),
        body: rest.get(..word(header, 8) as usize)?,
    })
}

fn word(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 0x5eed;

    fn one(body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, SALT, Kind::Put, Place { tenant: 3, shard: 4 }, |out| out.extend_from_slice(body));
        bytes
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let bytes = one(b"abc");
        assert_eq!(bytes.len(), frame_bytes(3));
        let (frame, taken) = parse(&bytes, SALT).unwrap();
        assert_eq!(taken, bytes.len());
        assert_eq!(frame, Frame { kind: Kind::Put, flags: 0, tenant: 3, shard: 4, body: b"abc" });
        assert_eq!(parse(&of_version_1(b"abc"), SALT), Ok((frame, taken)));
    }

    /// As the first version wrote it.
    fn of_version_1(body: &[u8]) -> Vec<u8> {
        let mut bytes = one(body);
        bytes[12] = VERSION_1;
        let sum = crc32c::crc32c_append(SALT, &bytes[4..HEADER_BYTES]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn the_check_of_a_header_is_the_documented_one() {
        assert_eq!(one(b"abc")[..4], [0x1f, 0xfa, 0x6f, 0xfb]);
    }

    #[test]
    fn every_flipped_bit_before_the_padding_is_seen() {
        let bytes = one(b"some body");
        for bit in 0..(HEADER_BYTES + 9) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped, SALT).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_another_store_is_none() {
        assert_eq!(parse(&one(b"abc"), SALT + 1), Err(Fault::Header));
        assert_eq!(parse(&[0; 64], 0), Err(Fault::Header));
    }

    #[test]
    fn a_short_frame_says_how_long_it_is() {
        let bytes = one(b"abcdefgh");
        assert_eq!(parse(&bytes[..4], SALT), Err(Fault::Short(HEADER_BYTES)));
        assert_eq!(parse(&bytes[..21], SALT), Err(Fault::Short(32)));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = one(b"abc");
        bytes[12] = VERSION + 1;
        let check = check_of(&bytes, SALT);
        bytes[..4].copy_from_slice(&check.to_le_bytes());
        assert_eq!(parse(&bytes, SALT), Err(Fault::Version(VERSION + 1)));
    }
}
