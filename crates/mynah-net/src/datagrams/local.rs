//! Which of this machine's addresses a datagram was sent to, where a socket has them all: its answer leaves from there, or the
//! peer does not know it for one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, RecvMsg, SockaddrStorage, setsockopt, sockopt};
use socket2::Socket;

/// Where a datagram goes to, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) peer: SocketAddr,
    /// The address that the peer has asked; None if the socket has one only.
    pub(crate) local: Option<IpAddr>,
}

/// The addresses of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    One,
    AllV4,
    AllV6,
}

impl Reach {
    pub(super) const ALL: [Self; 3] = [Self::One, Self::AllV4, Self::AllV6];

    pub(super) const fn of(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Self::AllV4,
            IpAddr::V6(ip) if ip.is_unspecified() => Self::AllV6,
            _ => Self::One,
        }
    }

    /// As if the socket had all addresses of this kind.
    pub(super) const fn all(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::AllV4,
            IpAddr::V6(_) => Self::AllV6,
        }
    }

    /// Has the kernel tell the address with each datagram.
    pub(super) fn ask(self, socket: &Socket) -> io::Result<()> {
        match self {
            Self::One => Ok(()),
            Self::AllV4 => Ok(setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?),
            Self::AllV6 => Ok(setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?),
        }
    }

    /// Memory for what the kernel tells.
    pub(super) fn space(self) -> Option<Vec<u8>> {
        match self {
            Self::One => None,
            Self::AllV4 => Some(cmsg_space!(in_pktinfo)),
            Self::AllV6 => Some(cmsg_space!(in6_pktinfo)),
        }
    }
}

/// What the kernel has told.
pub(super) fn read(datagram: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    datagram.cmsgs().ok()?.find_map(|told| match told {
        // The first one for a group of addresses too: it is that of the interface.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            Some(IpAddr::V6(ip)).filter(|_| !ip.is_multicast())
        }
        _ => None,
    })
}

/// What tells the kernel from where datagrams leave.
pub(super) enum Source {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Source {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let scope = match path.peer {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(peer) => peer.scope_id(),
        };
        Some(match path.local? {
            IpAddr::V4(ip) => {
                let address = in_addr { s_addr: u32::from(ip).to_be() };
                Self::V4(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: address })
            }
            IpAddr::V6(ip) => {
                let address = in6_addr { s6_addr: ip.octets() };
                Self::V6(in6_pktinfo { ipi6_addr: address, ipi6_ifindex: scope })
            }
        })
    }

    /// The kind of socket that is told so.
    pub(super) const fn reach(&self) -> Reach {
        match self {
            Self::V4(_) => Reach::AllV4,
            Self::V6(_) => Reach::AllV6,
        }
    }

    pub(super) const fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}
