//! Records (RFC 6347, section 4.1).

use super::reader::{Reader, put_u16};

/// DTLS 1.2.
pub(crate) const VERSION: [u8; 2] = [0xFE, 0xFD];
pub(crate) const HEADER_BYTES: usize = 13;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION: u8 = 23;

const EPOCH_SHIFT: u32 = 48;
/// The last number of an epoch.
pub(crate) const NUMBER_MAX: u64 = (1 << EPOCH_SHIFT) - 1;

/// A record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'d> {
    pub(crate) kind: u8,
    /// The epoch in the highest 16 bits, then the number.
    pub(crate) number: u64,
    pub(crate) body: &'d [u8],
}

impl Record<'_> {
    pub(crate) const fn epoch(&self) -> u16 {
        (self.number >> EPOCH_SHIFT) as u16
    }

    /// The number within its epoch.
    pub(crate) const fn sequence(&self) -> u64 {
        self.number & NUMBER_MAX
    }
}

/// The number of a record with its epoch.
pub(crate) const fn number(epoch: u16, sequence: u64) -> u64 {
    (epoch as u64) << EPOCH_SHIFT | sequence & NUMBER_MAX
}

/// The next record of a datagram. What cannot be read ends it.
pub(crate) fn next<'d>(datagram: &mut &'d [u8]) -> Option<Record<'d>> {
    let mut reader = Reader(datagram);
    let kind = reader.u8()?;
    // A first hello may say DTLS 1.0 here.
    let [major, _] = reader.array()?;
    let number = u64::from_be_bytes(*reader.array()?);
    let body = reader.long()?;
    *datagram = reader.0;
    (*major == VERSION[0]).then_some(Record { kind, number, body })
}

pub(crate) fn put_header(kind: u8, number: u64, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(VERSION);
    out.extend(number.to_be_bytes());
    put_u16(length, out);
}

/// Appends a record that is not protected.
pub(crate) fn put(kind: u8, sequence: u64, body: &[u8], out: &mut Vec<u8>) {
    put_header(kind, number(0, sequence), body.len(), out);
    out.extend_from_slice(body);
}
