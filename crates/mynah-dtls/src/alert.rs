//! Alerts (RFC 5246, section 7.2).

use std::fmt;

const FATAL: u8 = 2;
const WARNING: u8 = 1;

/// Why a handshake or an association ends, as it is said to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// The sender says no more.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message came that has no place here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// The two ends have nothing in common.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// A certificate cannot be used.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// A certificate was withdrawn.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// A certificate is out of date.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// A certificate is not good, for another reason.
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    /// A field is out of its range or contradicts another.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// No authority is known that has signed a certificate.
    pub const UNKNOWN_CA: Self = Self(48);
    /// A message cannot be read.
    pub const DECODE_ERROR: Self = Self(50);
    /// A signature or a key is not right.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// The version is not spoken here.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// Something failed that has nothing to do with the peer.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// There is no renegotiation.
    pub const NO_RENEGOTIATION: Self = Self(100);

    /// The two bytes that say it.
    pub(crate) const fn bytes(self) -> [u8; 2] {
        let is_warning = self.0 == Self::CLOSE_NOTIFY.0 || self.0 == Self::NO_RENEGOTIATION.0;
        [if is_warning { WARNING } else { FATAL }, self.0]
    }

    /// The alert in a record, if it ends what it is said in.
    pub(crate) fn final_of(body: &[u8]) -> Option<Self> {
        match *body {
            [FATAL, description] => Some(Self(description)),
            [_, 0] => Some(Self::CLOSE_NOTIFY),
            _ => None,
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::CLOSE_NOTIFY => "close_notify",
            Self::UNEXPECTED_MESSAGE => "unexpected_message",
            Self::HANDSHAKE_FAILURE => "handshake_failure",
            Self::BAD_CERTIFICATE => "bad_certificate",
            Self::CERTIFICATE_REVOKED => "certificate_revoked",
            Self::CERTIFICATE_EXPIRED => "certificate_expired",
            Self::CERTIFICATE_UNKNOWN => "certificate_unknown",
            Self::ILLEGAL_PARAMETER => "illegal_parameter",
            Self::UNKNOWN_CA => "unknown_ca",
            Self::DECODE_ERROR => "decode_error",
            Self::DECRYPT_ERROR => "decrypt_error",
            Self::PROTOCOL_VERSION => "protocol_version",
            Self::INTERNAL_ERROR => "internal_error",
            Self::NO_RENEGOTIATION => "no_renegotiation",
            Self(number) => return write!(f, "alert {number}"),
        };
        f.write_str(name)
    }
}
