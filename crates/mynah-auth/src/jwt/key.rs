//! Keys and what they verify. A key knows its family, so that a token cannot have one used as another: the bytes of a
//! public key are never a secret of HMAC.

use std::fmt;

use ring::hmac;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::Algorithm;

/// Bytes of the shortest secret: as many as the hash has (RFC 7518 section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// Bytes of the largest RSA modulus and the smallest (RFC 7518 section 3.3 wants 2048 bits).
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// A secret that signs and verifies.
pub struct Secret(hmac::Key);

impl Secret {
    /// The secret, or none if it is shorter than [`SECRET_BYTES_MIN`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, signed, signature).is_ok()
    }
}

impl fmt::Debug for Secret {
    /// Says only that there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        /// Both are big-endian, without leading zeros.
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// An uncompressed point.
    P256(Box<[u8]>),
    /// An uncompressed point.
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

impl PublicKey {
    /// An RSA key, or none if it is too small to protect anything or larger than anybody's.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let trimmed = |bytes: &[u8]| -> Box<[u8]> {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes[zeros..].into()
        };
        let (modulus, exponent) = (trimmed(modulus), trimmed(exponent));
        let is_full = MODULUS_BYTES.contains(&modulus.len()) && (modulus.len() > 256 || modulus[0] >= 0x80);
        (is_full && (1..=8).contains(&exponent.len())).then_some(Self::Rsa { modulus, exponent })
    }

    /// The key of a point on P-256 or P-384, by the length of its coordinates.
    pub(super) fn point(x: &[u8], y: &[u8]) -> Option<Self> {
        let point = || [&[4], x, y].concat().into();
        match (x.len(), y.len()) {
            (32, 32) => Some(Self::P256(point())),
            (48, 48) => Some(Self::P384(point())),
            _ => None,
        }
    }

    /// Whether a signature by this algorithm can be of such a key.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.method(algorithm).is_some()
    }

    /// Whether this key has signed.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let Some(method) = self.method(algorithm) else { return false };
        match (self, method) {
            (Self::Rsa { modulus, exponent }, Method::Rsa(parameters)) => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, signed, signature).is_ok()
            }
            (Self::P256(key) | Self::P384(key) | Self::Ed25519(key), Method::Other(algorithm)) => {
                UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }

    fn method(&self, algorithm: Algorithm) -> Option<Method> {
        Some(match (self, algorithm) {
            (Self::Rsa { .. }, algorithm) => Method::Rsa(match algorithm {
                Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                _ => return None,
            }),
            (Self::P256(_), Algorithm::Es256) => Method::Other(&ECDSA_P256_SHA256_FIXED),
            (Self::P384(_), Algorithm::Es384) => Method::Other(&ECDSA_P384_SHA384_FIXED),
            (Self::Ed25519(_), Algorithm::EdDsa) => Method::Other(&ED25519),
            _ => return None,
        })
    }
}

enum Method {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}
