//! Peers: where they are, and who they have proved to be.

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// An address of IPv6, or one of IPv4 mapped to it (RFC 4291, section 2.5.5.2).
    pub ip: [u8; 16],
    /// The port.
    pub port: u16,
    /// The scope of an address that is local to a link (RFC 4007), else 0.
    pub scope: u32,
    /// The address that it has asked, in the same form; unspecified if there is one only.
    pub local: [u8; 16],
}

/// What one holder of addresses has of them: a /24 of IPv4, a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix([u8; 15]);

impl PeerAddress {
    const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];

    pub(crate) fn prefix(&self) -> Prefix {
        let bytes = if self.ip.starts_with(&Self::MAPPED) { 15 } else { 8 };
        let mut prefix = [0; 15];
        prefix[..bytes].copy_from_slice(&self.ip[..bytes]);
        Prefix(prefix)
    }
}

/// Who a peer has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerIdentity {
    /// It has the key that is shared under this identity.
    PreSharedKey(Box<[u8]>),
    /// It has the key of this certificate, in DER, which was found good.
    Certificate(Box<[u8]>),
    /// It was not asked, or had no certificate to show.
    Nobody,
}
