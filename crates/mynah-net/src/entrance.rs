//! What stands between a listener's socket and the protocol that is spoken there.

use std::sync::Arc;

use mynah_engine::websocket;

use crate::address::{Network, Peer};
use crate::tls::{Dtls, Tls};

/// The layers at a listener; without any the protocol is spoken on the bare socket.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// The networks that proxies are in. If there are any, each peer has to be one of them and to begin with a header
    /// of the PROXY protocol, version 1 or 2.
    pub proxies: Vec<Network>,
    /// TLS, above it.
    pub tls: Option<Arc<Tls>>,
    /// DTLS, where peers come by datagrams.
    pub dtls: Option<Arc<Dtls>>,
    /// WebSocket, above that.
    pub websocket: Option<Arc<websocket::Settings>>,
}

impl Entrance {
    /// Whether there is nothing.
    pub(crate) fn is_bare(&self) -> bool {
        self.proxies.is_empty() && self.tls.is_none() && self.websocket.is_none()
    }

    /// How many listeners behind the one of the socket have their peers from here, see
    /// [`mynah_engine::websocket::SubProtocol::stack`].
    pub(crate) fn stacks(&self) -> u16 {
        let protocols = self.websocket.iter().flat_map(|settings| &settings.protocols);
        protocols.map(|protocol| protocol.stack).max().unwrap_or(0)
    }

    /// Whether a peer may come in here.
    pub(crate) fn lets_in(&self, peer: Peer) -> bool {
        match peer {
            _ if self.proxies.is_empty() => true,
            Peer::Inet(address) => self.proxies.iter().any(|network| network.contains(address.ip())),
            Peer::Local => false,
        }
    }
}
