//! Protection of records by AES-128 in CCM or GCM (RFC 5246, section 6.2.3.3; RFC 6655, section 3; RFC 5288, section 3).

use ccm::Ccm;
use ccm::aead::{AeadInPlace, KeyInit};
use ccm::consts::{U8, U12};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::suite::Suite;
use crate::wire::record::{self, Record};

type Ccm8 = Ccm<aes::Aes128, U8, U12>;

const EXPLICIT_BYTES: usize = 8;
const GCM_TAG_BYTES: usize = 16;
const CCM_TAG_BYTES: usize = 8;

/// A cipher with its key.
pub(crate) enum Protection {
    Ccm8(Box<Ccm8>),
    Gcm(Box<LessSafeKey>),
}

/// What protects the records of one direction.
pub(crate) struct Keys {
    protection: Protection,
    salt: [u8; 4],
}

impl Protection {
    pub(crate) fn new(suite: Suite, key: &[u8; 16]) -> Option<Self> {
        if suite.is_ccm() {
            return Some(Self::Ccm8(Box::new(Ccm8::new(key.into()))));
        }
        Some(Self::Gcm(Box::new(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).ok()?))))
    }

    const fn tag_bytes(&self) -> usize {
        match self {
            Self::Ccm8(_) => CCM_TAG_BYTES,
            Self::Gcm(_) => GCM_TAG_BYTES,
        }
    }
}

impl Keys {
    pub(crate) const fn new(protection: Protection, salt: [u8; 4]) -> Self {
        Self { protection, salt }
    }

    /// Bytes of memory.
    pub(crate) const fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.protection {
                Protection::Ccm8(_) => size_of::<Ccm8>(),
                Protection::Gcm(_) => size_of::<LessSafeKey>(),
            }
    }

    fn nonce(&self, explicit: &[u8]) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(explicit);
        nonce
    }

    /// Appends a record with `plain` in it. False if there is none that it fits in.
    pub(crate) fn seal(&self, kind: u8, number: u64, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let length = EXPLICIT_BYTES + plain.len() + self.protection.tag_bytes();
        record::put_header(kind, number, length, out);
        let explicit = number.to_be_bytes();
        out.extend(explicit);
        let at = out.len();
        out.extend_from_slice(plain);
        let (nonce, aad) = (self.nonce(&explicit), additional(number, kind, plain.len()));
        let sealed = match &self.protection {
            Protection::Ccm8(ccm) => ccm
                .encrypt_in_place_detached(&nonce.into(), &aad, &mut out[at..])
                .map(|tag| out.extend_from_slice(&tag))
                .is_ok(),
            Protection::Gcm(gcm) => gcm
                .seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(aad),
                    &mut out[at..],
                )
                .map(|tag| out.extend_from_slice(tag.as_ref()))
                .is_ok(),
        };
        if !sealed {
            out.truncate(start);
        }
        sealed
    }

    /// Appends what is in a record. False, and nothing, if it was not sealed by these keys.
    pub(crate) fn open(&self, record: &Record<'_>, out: &mut Vec<u8>) -> bool {
        let tag_bytes = self.protection.tag_bytes();
        let Some((explicit, rest)) = record.body.split_at_checked(EXPLICIT_BYTES) else { return false };
        let Some(length) = rest.len().checked_sub(tag_bytes) else { return false };
        let (sealed, tag) = rest.split_at(length);
        let (nonce, aad) = (self.nonce(explicit), additional(record.number, record.kind, length));
        let at = out.len();
        out.extend_from_slice(sealed);
        let is_good = match &self.protection {
            Protection::Ccm8(ccm) => {
                ccm.decrypt_in_place_detached(&nonce.into(), &aad, &mut out[at..], tag.into()).is_ok()
            }
            Protection::Gcm(gcm) => Tag::try_from(tag).is_ok_and(|tag| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                gcm.open_in_place_separate_tag(nonce, Aad::from(aad), tag, &mut out[at..], 0..).is_ok()
            }),
        };
        if !is_good {
            out.truncate(at);
        }
        is_good
    }
}

/// `additional_data`: the number of the record with its epoch, and its header without that.
fn additional(number: u64, kind: u8, length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&number.to_be_bytes());
    data[8] = kind;
    data[9..11].copy_from_slice(&record::VERSION);
    data[11..].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else() {
        for suite in Suite::ALL {
            let keys = Keys::new(Protection::new(suite, &[7; 16]).unwrap(), [1, 2, 3, 4]);
            let mut sealed = Vec::new();
            assert!(keys.seal(record::APPLICATION, 1 << 48 | 5, b"a reading", &mut sealed));
            let mut rest = &sealed[..];
            let whole = record::next(&mut rest).unwrap();
            assert_eq!((whole.epoch(), whole.number & 0xFF, rest.len()), (1, 5, 0));
            let mut plain = vec![9];
            assert!(keys.open(&whole, &mut plain));
            assert_eq!(plain, b"\x09a reading");
            for at in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1;
                let mut plain = vec![9];
                let mut rest = &damaged[..];
                let opened = record::next(&mut rest).is_some_and(|record| keys.open(&record, &mut plain));
                assert!(!opened || at == 1 || at == 2, "byte {at}");
                assert!(opened || plain == [9]);
            }
            for length in 0..sealed.len() {
                let mut cut = sealed[..length].to_vec();
                if length > 13 {
                    cut[12] = (length - 13) as u8;
                }
                let mut rest = &cut[..];
                assert!(!record::next(&mut rest).is_some_and(|record| keys.open(&record, &mut Vec::new())));
            }
        }
    }
}
