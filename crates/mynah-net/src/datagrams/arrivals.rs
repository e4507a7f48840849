//! Datagrams that have come in: one call of the kernel reads many.

use std::array;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};

use super::local::{self, Path, Reach};
use super::{LENGTH_BYTES, TO_GROUP};

/// Datagrams read with one call.
const BATCH: usize = 32;
/// The longest datagram that is taken in; the notes on CoAP's RFC 7252, section 4.6, count with a fifth of that.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;
const SLOT_BYTES: usize = LENGTH_BYTES + DATAGRAM_BYTES_MAX;

/// Memory for what one call reads.
pub(crate) struct Arrivals {
    memory: Box<[u8]>,
    /// For each kind of socket its own: what the kernel tells with a datagram takes as much room each time.
    headers: [MultiHeaders<SockaddrStorage>; 3],
    /// Who sent the datagrams to where, in which slots they are, and how long.
    arrived: Vec<(Path, usize, usize)>,
    /// How many were longer than is taken in.
    pub(crate) oversized: u64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            memory: vec![0; BATCH * SLOT_BYTES].into_boxed_slice(),
            headers: Reach::ALL.map(|reach| MultiHeaders::preallocate(BATCH, reach.space())),
            arrived: Vec::with_capacity(BATCH),
            oversized: 0,
        }
    }
}

impl Arrivals {
    /// Reads what has come. Returns whether there may be more.
    pub(super) fn receive(&mut self, socket: &UdpSocket, reach: Reach) -> bool {
        self.arrived.clear();
        self.oversized = 0;
        let mut slots = self.memory.chunks_exact_mut(SLOT_BYTES);
        let empty = || IoSliceMut::new(&mut []);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = array::from_fn(|_| {
            [slots.next().map_or_else(empty, |slot| IoSliceMut::new(&mut slot[LENGTH_BYTES..]))]
        });
        let flags = MsgFlags::MSG_DONTWAIT;
        let headers = &mut self.headers[reach as usize];
        let received = match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None) {
            Ok(received) => received,
            // Such as that a peer's machine said that nobody listens there: it is told of once.
            Err(error) => return error != Errno::EAGAIN,
        };
        let mut count = 0;
        for (slot, datagram) in received.enumerate() {
            count += 1;
            let Some(peer) = datagram.address.as_ref().and_then(socket_address) else { continue };
            if datagram.flags.contains(MsgFlags::MSG_TRUNC) {
                self.oversized += 1;
            } else {
                self.arrived.push((Path { peer, local: local::read(&datagram) }, slot, datagram.bytes));
            }
        }
        for &(_, slot, bytes) in &self.arrived {
            let at = slot * SLOT_BYTES;
            self.memory[at..at + LENGTH_BYTES].copy_from_slice(&(bytes as u16).to_be_bytes());
        }
        count == BATCH
    }

    /// What was read came to a group, and is answered by a socket of this kind.
    pub(super) fn note_group(&mut self, answering: Reach) {
        for (path, slot, _) in &mut self.arrived {
            self.memory[*slot * SLOT_BYTES] |= TO_GROUP;
            path.local = path.local.filter(|_| answering != Reach::One);
        }
    }

    /// How many datagrams there are.
    pub(crate) fn len(&self) -> usize {
        self.arrived.len()
    }

    /// Who sent a datagram to where, and its bytes with their length before them.
    pub(crate) fn get(&self, number: usize) -> (Path, &[u8]) {
        let (path, slot, bytes) = self.arrived[number];
        let at = slot * SLOT_BYTES;
        let range: Range<usize> = at..at + LENGTH_BYTES + bytes;
        (path, &self.memory[range])
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}
