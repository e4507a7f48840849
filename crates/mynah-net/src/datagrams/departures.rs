//! Datagrams on their way out: those of a turn leave with few calls of the kernel.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use mynah_dtls::SecureDatagram;
use mynah_stack::Outbound;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::LENGTH_BYTES;

/// Datagrams sent with one call.
const BATCH: usize = 64;
/// What may wait for the kernel to have room again.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// More memory than this is given back when nothing waits.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Datagrams, in the order in which they leave.
pub(super) struct Departures {
    /// Datagrams one behind the other; lengths that stood before them may lie between.
    pub(super) bytes: Vec<u8>,
    /// Where each of them begins and ends, without the length, and for whom it is.
    pub(super) datagrams: Vec<(Option<SockaddrStorage>, usize, usize)>,
    /// How many of them have left.
    sent: usize,
    /// Datagrams that are being sealed.
    plain: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Default for Departures {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(BATCH, None);
        Self { bytes: Vec::new(), datagrams: Vec::new(), sent: 0, plain: Vec::new(), headers }
    }
}

impl Departures {
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Takes a peer's datagrams. Returns how many there was no room for.
    pub(super) fn take(&mut self, peer: SocketAddr, outbound: &Outbound) -> u64 {
        let start = self.bytes.len();
        outbound.slices().for_each(|slice| self.bytes.extend_from_slice(slice));
        let address = Some(SockaddrStorage::from(peer));
        let (mut at, mut dropped) = (start, 0);
        while let Some(length) = self.bytes.get(at..at + LENGTH_BYTES) {
            let begin = at + LENGTH_BYTES;
            let end = begin + usize::from(u16::from_be_bytes([length[0], length[1]]));
            at = end;
            if end > self.bytes.len() {
                break; // a stack writes whole datagrams
            }
            if start > WAITING_BYTES_MAX {
                dropped += 1;
            } else {
                self.datagrams.push((address, begin, end));
            }
        }
        if start > WAITING_BYTES_MAX {
            self.bytes.truncate(start);
        }
        dropped
    }

    /// Takes a peer's datagrams, and seals them. Returns how many there was no room for, or could not be sealed.
    pub(super) fn take_sealed(
        &mut self,
        peer: SocketAddr,
        outbound: &Outbound,
        secure: &mut dyn SecureDatagram,
    ) -> u64 {
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        outbound.slices().for_each(|slice| plain.extend_from_slice(slice));
        let (mut rest, mut dropped) = (&plain[..], 0);
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((datagram, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            let count = self.datagrams.len();
            self.add(peer, |bytes| {
                // One that cannot be sealed is not sent.
                let _ = secure.seal(datagram, bytes);
            });
            dropped += u64::from(self.datagrams.len() == count);
        }
        plain.shrink_to(KEPT_BYTES_MAX);
        self.plain = plain;
        dropped
    }

    /// Takes one datagram that `write` appends; none if that is nothing, or there is no room.
    pub(super) fn add(&mut self, peer: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        if begin > WAITING_BYTES_MAX {
            return;
        }
        write(&mut self.bytes);
        let end = self.bytes.len();
        if end > begin {
            self.datagrams.push((Some(SockaddrStorage::from(peer)), begin, end));
        }
    }

    /// Takes one datagram.
    pub(super) fn put(&mut self, peer: SocketAddr, datagram: &[u8]) {
        self.add(peer, |bytes| bytes.extend_from_slice(datagram));
    }

    /// Sends what waits. Returns whether the kernel has no room at the moment, and how many it would not have: a peer that
    /// cannot be reached keeps nobody else waiting.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> (bool, u64) {
        let mut failed = 0;
        while self.sent < self.datagrams.len() {
            match self.send_batch(socket) {
                Ok(count) => self.sent += count.max(1),
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return (true, failed),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.sent += 1;
                    failed += 1;
                }
            }
        }
        self.sent = 0;
        self.datagrams.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        (false, failed)
    }

    fn send_batch(&mut self, socket: &UdpSocket) -> nix::Result<usize> {
        let waiting = &self.datagrams[self.sent..];
        let waiting = &waiting[..waiting.len().min(BATCH)];
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        let mut addresses = [None; BATCH];
        for (place, &(address, begin, end)) in waiting.iter().enumerate() {
            slices[place] = [IoSlice::new(&self.bytes[begin..end])];
            addresses[place] = address;
        }
        let control: [ControlMessage<'_>; 0] = [];
        let (slices, addresses) = (&slices[..waiting.len()], &addresses[..waiting.len()]);
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmmsg(socket.as_raw_fd(), &mut self.headers, slices, addresses, control, flags)
            .map(Iterator::count)
    }
}
