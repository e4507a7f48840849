//! DTLS at a socket: handshakes in front, and what seals and opens the datagrams of those who are known.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use mynah_dtls::{Datagrams, Demultiplexer, PeerAddress, Verdict};
use mynah_model::Instant;
use ring::rand::SystemRandom;

use super::local::Path;
use crate::tls::{Dtls, Loaded, Proving};
use crate::verifier::Verify;

/// What stands at a socket by which peers come with DTLS.
pub(crate) struct Gate {
    pub(super) demultiplexer: Demultiplexer,
    dtls: Arc<Dtls>,
    loaded: Arc<Loaded>,
    verify: Option<Arc<dyn Verify>>,
    listener: u16,
    /// What was in a datagram, and what is answered to it.
    pub(super) plain: Datagrams,
    pub(super) answers: Datagrams,
}

impl Gate {
    /// None if the system has no randomness.
    pub(crate) fn new(
        now: Instant,
        dtls: &Arc<Dtls>,
        verify: Option<Arc<dyn Verify>>,
        listener: u16,
    ) -> Option<Self> {
        let loaded = dtls.current();
        let proof = Proving { loaded: Arc::clone(&loaded), verify: verify.clone(), listener };
        let demultiplexer = Demultiplexer::new(now, Arc::new(proof), Box::new(SystemRandom::new()))?;
        let (plain, answers) = (Datagrams::default(), Datagrams::default());
        Some(Self { demultiplexer, dtls: Arc::clone(dtls), loaded, verify, listener, plain, answers })
    }

    /// Looks whether the files were read again: new handshakes are about what is in them now.
    pub(super) fn refresh(&mut self) {
        let current = self.dtls.current();
        if !Arc::ptr_eq(&current, &self.loaded) {
            let (verify, listener) = (self.verify.clone(), self.listener);
            let proof = Proving { loaded: Arc::clone(&current), verify, listener };
            self.demultiplexer.replace_credentials(Arc::new(proof));
            self.loaded = current;
        }
    }

    /// Hands a datagram to the handshakes; what they answer is in `answers` then.
    pub(super) fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Verdict {
        self.answers.clear();
        self.demultiplexer.receive(now, address_of(path), datagram, &mut self.answers)
    }
}

pub(super) fn address_of(path: Path) -> PeerAddress {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let scope = match path.peer {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(peer) => peer.scope_id(),
    };
    let local = path.local.map_or([0; 16], mapped);
    PeerAddress { ip: mapped(path.peer.ip()), port: path.peer.port(), scope, local }
}

/// The way to a peer at an address. A socket takes no peers of the other family, so that no mapped address is one of IPv6.
pub(super) fn path_to(address: PeerAddress) -> Path {
    let peer = match Ipv6Addr::from(address.ip).to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, address.scope).into(),
    };
    let local = Ipv6Addr::from(address.local);
    Path { peer, local: Some(local.to_canonical()).filter(|_| !local.is_unspecified()) }
}
