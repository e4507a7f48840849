//! Public keys in PEM: `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7), with RSA keys as RFC 8017 appendix A.1.1 has them.

use rustls::pki_types::pem::{self, SectionKind};

use super::KeySetError;
use super::key::PublicKey;

/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The public keys of a file.
pub(super) fn public_keys(text: &[u8]) -> Result<Vec<PublicKey>, KeySetError> {
    let (mut rest, mut keys) = (text, Vec::new());
    while let Some((kind, der)) = pem::from_buf(&mut rest).map_err(|_| KeySetError::Malformed)? {
        let key = match kind {
            SectionKind::PublicKey => of_info(&der),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(KeySetError::Private);
            }
            _ => continue,
        };
        keys.push(key.ok_or(KeySetError::NoKey)?);
    }
    if keys.is_empty() { Err(KeySetError::Malformed) } else { Ok(keys) }
}

fn of_info(der: &[u8]) -> Option<PublicKey> {
    let (info, []) = element(SEQUENCE, der)? else { return None };
    let (algorithm, rest) = element(SEQUENCE, info)?;
    let (identifier, _) = element(OBJECT_IDENTIFIER, algorithm)?;
    let ([0, key @ ..], []) = element(BIT_STRING, rest)? else { return None };
    match (identifier, key) {
        (RSA_ENCRYPTION, key) => of_rsa(key),
        // The length of the point says which curve, and one of another curve is on neither.
        (EC_PUBLIC_KEY, [4, point @ ..]) => {
            let (x, y) = point.split_at(point.len() / 2);
            PublicKey::point(x, y)
        }
        (ED25519, key) => (key.len() == 32).then(|| PublicKey::Ed25519(key.into())),
        _ => None,
    }
}

fn of_rsa(der: &[u8]) -> Option<PublicKey> {
    let (key, []) = element(SEQUENCE, der)? else { return None };
    let (modulus, rest) = element(INTEGER, key)?;
    let (exponent, []) = element(INTEGER, rest)? else { return None };
    PublicKey::rsa(modulus, exponent)
}

/// The contents of the element of this tag that `der` begins with, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match *length {
        length @ ..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None,
    };
    rest.split_at_checked(length)
}
