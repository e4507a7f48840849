//! What is known of a peer before it says who it is, and what is known after.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mynah_model::{Groups, Identity, Instant, TenantId};

use crate::grant::TokenRights;

/// A listener, as logging in there depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Its name.
    pub listener: Box<str>,
    /// The name of the protocol that is spoken there.
    pub protocol: &'static str,
    /// Whose users come in there.
    pub tenant: TenantId,
    /// Whether that is a tenant that the peer has named, and not the listener's: only the users file, and tokens that name a
    /// tenant, prove that somebody belongs there.
    pub is_named: bool,
    /// Whether a peer need not say who it is.
    pub anonymous: bool,
    /// Whether a password may prove who a peer is.
    pub passwords: bool,
    /// Whether mechanisms that show the password to who listens in may be used without TLS, on this machine.
    pub plaintext_auth: bool,
    /// What of a certificate says who the peer is, if that is enough.
    pub identity_from: Option<IdentityFrom>,
}

impl Door {
    /// The same door for those who have named a tenant.
    #[must_use]
    pub fn of_tenant(&self, tenant: TenantId) -> Self {
        Self { tenant, is_named: true, anonymous: false, ..self.clone() }
    }
}

/// What of a certificate says who the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFrom {
    /// The common name of its subject.
    CommonName,
    /// The first of the alternative names of its subject.
    SubjectAlternativeName,
    /// Its SHA-256, which stands in the line of a user.
    Fingerprint,
}

/// A peer that wants to be let in.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it came in.
    pub door: Arc<Door>,
    /// The client identifier that it gives itself, if it does.
    pub client_id: Option<Box<str>>,
    /// Its address; none is this machine's, by a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether nothing that it says leaves this machine.
    pub is_local: bool,
    /// The certificate that it has shown, and that an authority vouches for.
    pub certificate: Option<Arc<Certificate>>,
    /// The user whose pre-shared key it has proved to have, among those of the listener's tenant.
    pub key_of: Option<Box<str>>,
    /// The TLS by which it came, if it did.
    pub channel: Option<Channel>,
}

/// What is used of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its subject as a line of text (RFC 4514).
    pub subject: Box<str>,
    /// The common name of its subject.
    pub common_name: Option<Box<str>>,
    /// The alternative names of its subject that are text.
    pub names: Box<[Box<str>]>,
}

/// What ties an exchange to the TLS below it. Nothing is known of a kind that the TLS does not have.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// `tls-exporter` (RFC 9266).
    pub exporter: Option<Box<[u8]>>,
    /// `tls-server-end-point` (RFC 5929).
    pub server_end_point: Option<Box<[u8]>>,
}

impl Channel {
    /// The data of one kind of binding.
    #[must_use]
    pub fn binding(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.server_end_point.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Channel {
    /// Leaves out what only the two ends know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

/// A peer has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who it is.
    pub identity: Identity,
    /// The groups that it is in.
    pub groups: Groups,
    /// What it may do at most, if its token says that.
    pub rights: Option<TokenRights>,
    /// When the proof ends, if it does: a token's does.
    pub valid_until: Option<Instant>,
}

impl Login {
    /// Somebody in no group, whose proof does not end.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, groups: Groups::NONE, rights: None, valid_until: None }
    }
}
