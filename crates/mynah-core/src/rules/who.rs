//! Whom a rule is about, and who asks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use mynah_model::{Groups, Identity, TenantId};

/// Whom a rule is about: everybody who fits all criteria that are there. A criterion that is a list fits whoever fits one
/// of its entries; an empty one fits everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// In whose space the peer is.
    pub tenants: Vec<TenantId>,
    /// Names of users. No anonymous peer has one of them.
    pub identities: Vec<Box<str>>,
    /// Groups that the identity is in.
    pub groups: Vec<Box<str>>,
    /// Certificates that the peer has shown.
    pub certificates: Vec<Certificate>,
    /// Where the peer is.
    pub networks: Vec<Network>,
    /// What the peer speaks, in the caller's words.
    pub protocols: Vec<Box<str>>,
    /// Whether nobody has proved who the peer is.
    pub anonymous: Option<bool>,
}

/// How a rule names a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certificate {
    /// The SHA-256 of its DER encoding.
    Sha256([u8; 32]),
    /// The common name of its subject.
    CommonName(Box<str>),
}

/// An address of the internet: of version 6, or one of version 4 in the form `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Ipv6Addr);

impl Address {
    /// An address of version 4.
    #[must_use]
    pub const fn v4(bits: u32) -> Self {
        Self::v6(0xFFFF_0000_0000 | bits as u128)
    }

    /// An address of version 6.
    #[must_use]
    pub const fn v6(bits: u128) -> Self {
        Self(Ipv6Addr::from_bits(bits))
    }

    /// Whether only this machine can have it.
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0.to_canonical().is_loopback()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_canonical().fmt(f)
    }
}

/// A range of addresses: those that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: u128,
    len: u8,
}

impl Network {
    /// The addresses of version 4 whose first `len` bits are those of `bits`; `len` is at most 32.
    #[must_use]
    pub const fn v4(bits: u32, len: u8) -> Self {
        Self::new(Address::v4(bits).bits(), if len < 32 { 96 + len } else { 128 })
    }

    /// The addresses of version 6 whose first `len` bits are those of `bits`; `len` is at most 128.
    #[must_use]
    pub const fn v6(bits: u128, len: u8) -> Self {
        Self::new(bits, if len < 128 { len } else { 128 })
    }

    const fn new(bits: u128, len: u8) -> Self {
        Self { first: masked(bits, len), len }
    }

    /// Whether an address is in it.
    #[must_use]
    pub const fn contains(self, address: Address) -> bool {
        masked(address.bits(), self.len) == self.first
    }

    pub(super) const fn len(self) -> u8 {
        self.len
    }

    pub(super) const fn first(self) -> u128 {
        self.first
    }
}

/// The first `len` bits of an address.
pub(super) const fn masked(bits: u128, len: u8) -> u128 {
    if len == 0 { 0 } else { bits & (u128::MAX << (128 - len)) }
}

impl Address {
    pub(super) const fn bits(self) -> u128 {
        self.0.to_bits()
    }
}

/// Who asks, as far as rules can speak of it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'p> {
    /// Who the peer was found to be.
    pub identity: &'p Identity,
    /// The groups of the identity.
    pub groups: &'p Groups,
    /// The SHA-256 of the certificate that the peer has shown.
    pub sha256: Option<&'p [u8; 32]>,
    /// The common name of the certificate that the peer has shown.
    pub common_name: Option<&'p str>,
    /// Where the peer is, if that is an address of the internet.
    pub address: Option<Address>,
    /// What the peer speaks, in the caller's words.
    pub protocol: &'p str,
}

impl<'p> Peer<'p> {
    /// A peer of whom nothing is known but who it is and what it speaks.
    #[must_use]
    pub const fn new(identity: &'p Identity, protocol: &'p str) -> Self {
        Self { identity, groups: &Groups::NONE, sha256: None, common_name: None, address: None, protocol }
    }

    /// The name of the user: that of an anonymous identity is a listener's and must not pass for one.
    pub(super) fn user(&self) -> Option<&'p str> {
        (!self.identity.is_anonymous()).then(|| self.identity.name())
    }

    fn has(&self, certificate: &Certificate) -> bool {
        match certificate {
            Certificate::Sha256(sha256) => self.sha256 == Some(sha256),
            Certificate::CommonName(name) => self.common_name == Some(name),
        }
    }
}

/// A criterion of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// [`Who::tenants`]
    Tenant,
    /// [`Who::identities`]
    Identity,
    /// [`Who::groups`]
    Group,
    /// [`Who::certificates`]
    Certificate,
    /// [`Who::networks`]
    Address,
    /// [`Who::protocols`]
    Protocol,
    /// [`Who::anonymous`]
    Anonymous,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Identity => "identity",
            Self::Group => "group",
            Self::Certificate => "certificate",
            Self::Address => "address",
            Self::Protocol => "protocol",
            Self::Anonymous => "anonymous",
        })
    }
}

impl Who {
    /// The same, so that two that say the same are equal.
    pub(super) fn ordered(&self) -> Self {
        fn ordered<T: Ord + Clone>(list: &[T]) -> Vec<T> {
            let mut list = list.to_vec();
            list.sort_unstable();
            list.dedup();
            list
        }
        Self {
            tenants: ordered(&self.tenants),
            identities: ordered(&self.identities),
            groups: ordered(&self.groups),
            certificates: ordered(&self.certificates),
            networks: ordered(&self.networks),
            protocols: ordered(&self.protocols),
            anonymous: self.anonymous,
        }
    }

    /// The first criterion that the peer does not fit.
    pub(super) fn misfit(&self, peer: &Peer<'_>) -> Option<Criterion> {
        fn fits<T>(list: &[T], fits: impl Fn(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(fits)
        }
        let user = peer.user();
        [
            (Criterion::Tenant, fits(&self.tenants, |tenant| *tenant == peer.identity.tenant())),
            (Criterion::Anonymous, self.anonymous.is_none_or(|wanted| wanted == user.is_none())),
            (Criterion::Identity, fits(&self.identities, |name| user == Some(name))),
            (Criterion::Group, fits(&self.groups, |group| peer.groups.contains(group))),
            (Criterion::Certificate, fits(&self.certificates, |certificate| peer.has(certificate))),
            (
                Criterion::Address,
                fits(&self.networks, |network| peer.address.is_some_and(|a| network.contains(a))),
            ),
            (Criterion::Protocol, fits(&self.protocols, |protocol| **protocol == *peer.protocol)),
        ]
        .into_iter()
        .find_map(|(criterion, fits)| (!fits).then_some(criterion))
    }

    /// How narrow it is, whatever the tenant: where several rules set the same limit, that of the narrowest holds.
    pub(super) fn narrowness(&self) -> u8 {
        if !self.identities.is_empty() || !self.certificates.is_empty() {
            3
        } else if !self.groups.is_empty() {
            2
        } else {
            u8::from(*self != Self::default())
        }
    }
}
