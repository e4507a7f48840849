//! Datagrams: sockets whose peers are told apart by their addresses.
//!
//! Every worker has a socket of its own at the address of a datagram listener; the kernel spreads peers over them by their
//! addresses, and a peer stays with its worker. An address from which something came is an *association*: a connection
//! of the engine that has no socket of its own. In both directions a connection's bytes are datagrams with their lengths
//! before them, two bytes, big-endian. What the kernel has no room for, in or out, is dropped and counted, as datagrams
//! are everywhere.
//!
//! A datagram that came to a group of hosts (multicast) has the highest bit of its length set. The sockets of groups are the
//! first worker's and only listen: answers leave by its socket of the listener, from an address of this machine.

mod arrivals;
mod departures;
mod gate;
mod group;
mod local;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use mynah_dtls::{Opened, SecureDatagram, Verdict};
use mynah_engine::ConnectionId;
use mynah_model::Instant;
use mynah_stack::Outbound;
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use arrivals::Arrivals;
use departures::Departures;
pub(crate) use gate::Gate;
use gate::{address_of, path_to};
pub use group::Group;
pub(crate) use local::Path;
use local::Reach;

/// Bytes of the length before each datagram.
pub(crate) const LENGTH_BYTES: usize = 2;
/// The bit in the first of them that tells of a group.
const TO_GROUP: u8 = 0x80;
/// What the kernel may keep for a socket in each direction: a burst to, or of, a few thousand peers.
const KERNEL_BYTES: usize = 4 << 20;

/// A worker's sockets for datagrams, one for each of the listeners that have any.
#[derive(Default)]
pub(crate) struct Ports {
    ports: Vec<Port>,
    groups: Vec<GroupPort>,
    /// Made with the first socket.
    arrivals: Option<Box<Arrivals>>,
}

/// One socket and who is known at it.
struct Port {
    socket: UdpSocket,
    reach: Reach,
    listener: u16,
    peers: HashMap<SocketAddr, Association>,
    departures: Departures,
    /// By it peers come with DTLS.
    gate: Option<Box<Gate>>,
    /// There may be datagrams to be read.
    ready: bool,
    /// The kernel takes no more at the moment.
    full: bool,
}

/// A socket to which datagrams for a group come.
struct GroupPort {
    socket: UdpSocket,
    reach: Reach,
    /// The place of the port that their senders are answered by.
    place: usize,
    ready: bool,
}

/// A peer that is known.
struct Association {
    connection: ConnectionId,
    /// The address that the peer has asked last.
    local: Option<IpAddr>,
    /// What seals and opens its datagrams.
    secure: Option<Box<dyn SecureDatagram>>,
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
    let reach = Reach::of(address);
    reach.ask(&socket)?;
    // What another program's membership brings to this machine is not for us.
    group::listen_to_own(&socket, address.ip())?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

impl Ports {
    /// Watches a socket whose peers come in at the listener with this number. `token` gives the token of a place.
    pub(crate) fn watch(
        &mut self,
        registry: &Registry,
        mut socket: UdpSocket,
        (listener, gate): (u16, Option<Gate>),
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, token(self.ports.len()), interest)?;
        self.arrivals.get_or_insert_with(Box::default);
        let (peers, departures) = (HashMap::new(), Departures::default());
        let gate = gate.map(Box::new);
        let reach = Reach::of(socket.local_addr()?);
        self.ports.push(Port { socket, reach, listener, peers, departures, gate, ready: false, full: false });
        Ok(())
    }

    /// Watches a socket of a group for the listener with this number, whose own socket is watched already. `token` gives the
    /// token of a place.
    pub(crate) fn watch_group(
        &mut self,
        registry: &Registry,
        (mut socket, listener): (UdpSocket, u16),
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        let Some(place) = self.ports.iter().position(|port| port.listener == listener) else { return Ok(()) };
        let token = token(self.ports.len() + self.groups.len());
        registry.register(&mut socket, token, Interest::READABLE)?;
        let reach = Reach::all(socket.local_addr()?.ip());
        self.groups.push(GroupPort { socket, reach, place, ready: false });
        Ok(())
    }

    /// How many sockets there are that have peers.
    pub(crate) const fn len(&self) -> usize {
        self.ports.len()
    }

    pub(crate) fn note_ready(&mut self, place: usize, readable: bool, writable: bool) {
        if let Some(port) = self.ports.get_mut(place) {
            port.ready |= readable;
            port.full &= !writable;
        } else if let Some(group) = self.groups.get_mut(place - self.ports.len()) {
            group.ready |= readable;
        }
    }

    /// Whether datagrams may be waiting, or can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        let is_called = self.groups.iter().any(|group| group.ready);
        is_called
            || self.ports.iter().any(|port| {
                let is_asked = port.gate.as_ref().is_some_and(|gate| gate.demultiplexer.is_waiting());
                port.ready || is_asked || (!port.full && !port.departures.is_empty())
            })
    }

    /// Reads what a socket has, up to the room that there is. The memory goes back by [`Ports::give_back`].
    pub(crate) fn receive(&mut self, place: usize) -> Option<Box<Arrivals>> {
        let port = self.ports.get_mut(place).filter(|port| port.ready)?;
        let mut arrivals = self.arrivals.take()?;
        port.ready = arrivals.receive(&port.socket, port.reach);
        Some(arrivals)
    }

    /// Reads what has come to one of the groups, as often as there is something. Returns the place of the port by which it is
    /// answered, too.
    pub(crate) fn receive_for_groups(&mut self) -> Option<(usize, Box<Arrivals>)> {
        let group = self.groups.iter_mut().find(|group| group.ready)?;
        let mut arrivals = self.arrivals.take()?;
        group.ready = arrivals.receive(&group.socket, group.reach);
        arrivals.note_group(self.ports[group.place].reach);
        Some((group.place, arrivals))
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
        self.ports[place].peers.get(&peer).map(|association| association.connection)
    }

    /// A peer has asked one of this machine's addresses: it is answered from there. Returns its association.
    pub(crate) fn note_asked(&mut self, place: usize, path: Path) -> Option<ConnectionId> {
        let association = self.ports[place].peers.get_mut(&path.peer)?;
        association.local = path.local;
        Some(association.connection)
    }

    /// A peer is known from now on.
    pub(crate) fn associate(
        &mut self,
        place: usize,
        Path { peer, local }: Path,
        connection: ConnectionId,
        secure: Option<Box<dyn SecureDatagram>>,
    ) {
        self.ports[place].peers.insert(peer, Association { connection, local, secure });
    }

    /// An association is over: the peer is told, and is known no more unless it has another one.
    pub(crate) fn forget(&mut self, place: usize, peer: SocketAddr, connection: ConnectionId) {
        let Some(port) = self.ports.get_mut(place) else { return };
        if port.peers.get(&peer).is_none_or(|known| known.connection != connection) {
            return;
        }
        if let Some(Association { local, secure: Some(mut secure), .. }) = port.peers.remove(&peer) {
            port.departures.add(Path { peer, local }, |bytes| secure.close(bytes));
        }
    }

    /// Whether peers come with DTLS.
    pub(crate) fn is_secure(&self, place: usize) -> bool {
        self.ports[place].gate.is_some()
    }

    /// Hands a datagram to the handshakes, if it may have to do with one.
    pub(crate) fn shake_hands(&mut self, now: Instant, place: usize, path: Path, datagram: &[u8]) -> Verdict {
        let port = &mut self.ports[place];
        let Some(gate) = &mut port.gate else { return Verdict::Ignored };
        if port.peers.contains_key(&path.peer) && !gate.demultiplexer.concerns(address_of(path), datagram) {
            return Verdict::Ignored;
        }
        let verdict = gate.receive(now, path, datagram);
        gate.answers.iter().for_each(|answer| port.departures.put(path, answer));
        verdict
    }

    /// Lets one handshake go on that takes time. Returns whose it is, and what came of it.
    pub(crate) fn work(&mut self, now: Instant, place: usize) -> Option<(Path, Verdict)> {
        let port = &mut self.ports[place];
        let gate = port.gate.as_mut()?;
        gate.answers.clear();
        let (address, verdict) = gate.demultiplexer.work(now, &mut gate.answers)?;
        let path = path_to(address);
        gate.answers.iter().for_each(|answer| port.departures.put(path, answer));
        Some((path, verdict))
    }

    /// Opens a datagram of a peer that is known; what was in it is in [`Ports::plain`] then.
    pub(crate) fn open(&mut self, place: usize, path: Path, datagram: &[u8]) -> Option<Opened> {
        let port = &mut self.ports[place];
        let (gate, association) = (port.gate.as_mut()?, port.peers.get_mut(&path.peer)?);
        gate.plain.clear();
        gate.answers.clear();
        let opened = association.secure.as_mut()?.open(datagram, &mut gate.plain, &mut gate.answers);
        gate.answers.iter().for_each(|answer| port.departures.put(path, answer));
        Some(opened)
    }

    /// What was in the datagram that was opened last: datagrams with their lengths before them.
    pub(crate) fn plain(&self, place: usize) -> &[u8] {
        self.ports[place].gate.as_ref().map_or(&[], |gate| gate.plain.bytes())
    }

    /// When handshakes have something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ports.iter().filter_map(|port| port.gate.as_ref()?.demultiplexer.deadline()).min()
    }

    /// Time has passed, and files may have been read again: handshakes say again what was not answered, or are over.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        for port in &mut self.ports {
            let Some(gate) = &mut port.gate else { continue };
            gate.refresh();
            gate.answers.clear();
            while let Some(address) = gate.demultiplexer.handle_time(now, &mut gate.answers) {
                gate.answers.iter().for_each(|answer| port.departures.put(path_to(address), answer));
                gate.answers.clear();
            }
        }
    }

    /// Takes all datagrams that wait for a peer; they leave with [`Ports::send`]. Returns how many bytes were taken, and
    /// how many datagrams there was no room for.
    pub(crate) fn take(&mut self, place: usize, peer: SocketAddr, outbound: &Outbound) -> (usize, u64) {
        let Some(port) = self.ports.get_mut(place) else { return (outbound.len(), 0) };
        let Some(Association { local, secure, .. }) = port.peers.get_mut(&peer) else {
            return (outbound.len(), 0);
        };
        let path = Path { peer, local: *local };
        let dropped = match secure {
            Some(secure) => port.departures.take_sealed(path, outbound, &mut **secure),
            None => port.departures.take(path, outbound),
        };
        (outbound.len(), dropped)
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
