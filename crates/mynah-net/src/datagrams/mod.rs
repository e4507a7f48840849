//! Datagrams: sockets whose peers are told apart by their addresses.
//!
//! Every worker has a socket of its own at the address of a datagram listener; the kernel spreads peers over them by their
//! addresses, and a peer stays with its worker. An address from which something came is an *association*: a connection
//! of the engine that has no socket of its own. In both directions a connection's bytes are datagrams with their lengths
//! before them, two bytes, big-endian. What the kernel has no room for, in or out, is dropped and counted, as datagrams
//! are everywhere.

mod arrivals;
mod departures;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use mynah_engine::ConnectionId;
use mynah_stack::Outbound;
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use arrivals::Arrivals;
use departures::Departures;

/// Bytes of the length before each datagram.
const LENGTH_BYTES: usize = 2;
/// What the kernel may keep for a socket in each direction: a burst to, or of, a few thousand peers.
const KERNEL_BYTES: usize = 4 << 20;

/// A worker's sockets for datagrams, one for each of the listeners that have any.
#[derive(Default)]
pub(crate) struct Ports {
    ports: Vec<Port>,
    /// Made with the first socket.
    arrivals: Option<Box<Arrivals>>,
}

/// One socket and who is known at it.
struct Port {
    socket: UdpSocket,
    listener: u16,
    peers: HashMap<SocketAddr, ConnectionId>,
    departures: Departures,
    /// There may be datagrams to be read.
    ready: bool,
    /// The kernel takes no more at the moment.
    full: bool,
}

/// Opens a socket for datagrams at an address that other workers' sockets may have too.
pub(crate) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel gives as much as its own bounds allow.
    drop((socket.set_recv_buffer_size(KERNEL_BYTES), socket.set_send_buffer_size(KERNEL_BYTES)));
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

impl Ports {
    /// Watches a socket whose peers come in at the listener with this number. `token` gives the token of a place.
    pub(crate) fn watch(
        &mut self,
        registry: &Registry,
        mut socket: UdpSocket,
        listener: u16,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, token(self.ports.len()), interest)?;
        self.arrivals.get_or_insert_with(Box::default);
        let (peers, departures) = (HashMap::new(), Departures::default());
        self.ports.push(Port { socket, listener, peers, departures, ready: false, full: false });
        Ok(())
    }

    /// How many sockets there are.
    pub(crate) const fn len(&self) -> usize {
        self.ports.len()
    }

    pub(crate) fn note_ready(&mut self, place: usize, readable: bool, writable: bool) {
        if let Some(port) = self.ports.get_mut(place) {
            port.ready |= readable;
            port.full &= !writable;
        }
    }

    /// Whether datagrams may be waiting, or can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.ports.iter().any(|port| port.ready || (!port.full && !port.departures.is_empty()))
    }

    /// Reads what a socket has, up to the room that there is. The memory goes back by [`Ports::give_back`].
    pub(crate) fn receive(&mut self, place: usize) -> Option<Box<Arrivals>> {
        let port = self.ports.get_mut(place).filter(|port| port.ready)?;
        let mut arrivals = self.arrivals.take()?;
        port.ready = arrivals.receive(&port.socket);
        Some(arrivals)
    }

    pub(crate) fn give_back(&mut self, arrivals: Box<Arrivals>) {
        self.arrivals = Some(arrivals);
    }

    /// The listener at which a socket's peers come in.
    pub(crate) fn listener(&self, place: usize) -> u16 {
        self.ports[place].listener
    }

    /// The association of a peer.
    pub(crate) fn find(&self, place: usize, peer: SocketAddr) -> Option<ConnectionId> {
        self.ports[place].peers.get(&peer).copied()
    }

    pub(crate) fn associate(&mut self, place: usize, peer: SocketAddr, connection: ConnectionId) {
        self.ports[place].peers.insert(peer, connection);
    }

    /// A peer is known no more.
    pub(crate) fn forget(&mut self, place: usize, peer: SocketAddr) {
        if let Some(port) = self.ports.get_mut(place) {
            port.peers.remove(&peer);
        }
    }

    /// Takes all datagrams that wait for a peer; they leave with [`Ports::send`]. Returns how many bytes were taken, and
    /// how many datagrams there was no room for.
    pub(crate) fn take(&mut self, place: usize, peer: SocketAddr, outbound: &Outbound) -> (usize, u64) {
        let Some(port) = self.ports.get_mut(place) else { return (outbound.len(), 0) };
        (outbound.len(), port.departures.take(peer, outbound))
    }

    /// Hands the datagrams of this turn to the kernel. Returns how many it would not have.
    pub(crate) fn send(&mut self) -> u64 {
        let mut refused = 0;
        for port in self.ports.iter_mut().filter(|port| !port.full && !port.departures.is_empty()) {
            let (full, failed) = port.departures.send(&port.socket);
            port.full = full;
            refused += failed;
        }
        refused
    }
}

#[cfg(test)]
mod tests;
