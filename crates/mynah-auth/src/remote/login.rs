//! A login as others are asked about it, and what they may say.

use std::fmt;
use std::net::IpAddr;

use mynah_model::{Reason, TenantId};

use crate::Grant;

/// What a peer says of itself, and where it comes in. What is not known is left out.
#[derive(Clone, Copy, Default)]
pub struct Login<'l> {
    /// The tenant of the listener.
    pub tenant: TenantId,
    /// The name that it gives.
    pub user: &'l str,
    /// The password that goes with the name.
    pub password: Option<&'l [u8]>,
    /// The client identifier.
    pub client_id: Option<&'l str>,
    /// Where it is.
    pub address: Option<IpAddr>,
    /// The name of the listener.
    pub listener: Option<&'l str>,
    /// The protocol that it speaks.
    pub protocol: Option<&'l str>,
    /// The certificate that it has shown.
    pub certificate: Option<Certificate<'l>>,
}

/// What identifies a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'l> {
    /// Its subject as a line of text (RFC 4514).
    pub subject: &'l str,
    /// The common name of its subject.
    pub common_name: Option<&'l str>,
    /// SHA-256 of it, in hexadecimal digits.
    pub fingerprint: &'l str,
}

impl fmt::Debug for Login<'_> {
    /// Shows the name; the password is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What somebody who was asked says of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The peer is let in.
    Granted(Grant),
    /// The peer is not let in, whoever else may be asked.
    Denied,
    /// Somebody else has to decide.
    Ignored,
}

/// Nothing was said, or nothing of use: the peer is not let in. Why is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

impl From<Unavailable> for Reason {
    fn from(_: Unavailable) -> Self {
        Self::ServerBusy
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("who had to be asked gave no answer of use")
    }
}

impl std::error::Error for Unavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { user: "ada", password: Some(b"engine"), ..Login::default() };
        assert_eq!(format!("{login:?}"), "Login { user: \"ada\", .. }");
    }
}
