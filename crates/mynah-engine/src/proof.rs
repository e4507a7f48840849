//! Who a peer is, as the transport below its protocol has proved it.

/// What TLS or DTLS has proved of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It has the key of this certificate.
    Certificate(PeerCertificate),
    /// It has the key that the broker shares with the user of this name (RFC 4279).
    PreSharedKey(Box<str>),
}

impl Proof {
    /// The certificate, if it is one.
    #[must_use]
    pub const fn certificate(&self) -> Option<&PeerCertificate> {
        match self {
            Self::Certificate(certificate) => Some(certificate),
            Self::PreSharedKey(_) => None,
        }
    }
}

/// The certificate with which a peer has proved who it is. The I/O layer has verified it up to a trusted authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate in DER (RFC 5280).
    pub der: Box<[u8]>,
    /// The SHA-256 of `der`: its fingerprint.
    pub sha256: [u8; 32],
    /// Its subject as a line of text (RFC 4514), as far as it can be read.
    pub subject: Box<str>,
    /// The common name of its subject, if it has one.
    pub common_name: Option<Box<str>>,
    /// The alternative names of its subject that are text.
    pub names: Box<[AlternativeName]>,
}

/// An alternative name of a subject (RFC 5280, section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// `dNSName`.
    Dns(Box<str>),
    /// `rfc822Name`: a mailbox.
    Email(Box<str>),
    /// `uniformResourceIdentifier`.
    Uri(Box<str>),
}
