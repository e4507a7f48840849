//! Groups of hosts (multicast): sockets that hear what is sent to all of a group at an interface of this machine.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use mio::net::UdpSocket;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::local::Reach;

/// A group of hosts that a listener belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The address of the group, of the same family as the listener's.
    pub address: IpAddr,
    /// The name of the interface at which this machine is one of the group, such as `eth0`.
    pub interface: String,
}

impl Group {
    /// Opens a socket that hears what comes to the group at a port. Others may hear it, too.
    pub(crate) fn open(&self, port: u16) -> io::Result<UdpSocket> {
        let index = if_nametoindex(self.interface.as_str())
            .map_err(|error| io::Error::other(format!("interface {}: {}", self.interface, error.desc())))?;
        let address = match self.address {
            IpAddr::V4(group) => SocketAddr::new(group.into(), port),
            // A group of a link is another one at each.
            IpAddr::V6(group) => SocketAddrV6::new(group, port, 0, index).into(),
        };
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        Reach::all(self.address).ask(&socket)?;
        listen_to_own(&socket, self.address)?;
        socket.bind(&address.into())?;
        let joined = match self.address {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index),
        };
        joined?;
        Ok(UdpSocket::from_std(socket.into()))
    }
}

/// Has a socket hear of groups only what it has joined itself, not what any program on this machine has.
pub(super) fn listen_to_own(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_multicast_all_v4(false),
        IpAddr::V6(_) => socket.set_multicast_all_v6(false),
    }
}
