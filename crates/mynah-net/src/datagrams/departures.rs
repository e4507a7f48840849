//! Datagrams on their way out: those of a turn leave with few calls of the kernel.

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use mynah_dtls::SecureDatagram;
use mynah_stack::Outbound;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::LENGTH_BYTES;
use super::local::{Path, Reach, Source};

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
    pub(super) datagrams: Vec<(Path, usize, usize)>,
    /// How many of them have left.
    sent: usize,
    /// Datagrams that are being sealed.
    plain: Vec<u8>,
    /// For each kind of what the kernel is told its own, since it reads as much as there is room for.
    headers: [MultiHeaders<SockaddrStorage>; 3],
}

impl Default for Departures {
    fn default() -> Self {
        let headers = Reach::ALL.map(|reach| MultiHeaders::preallocate(BATCH, reach.space()));
        Self { bytes: Vec::new(), datagrams: Vec::new(), sent: 0, plain: Vec::new(), headers }
    }
}

impl Departures {
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Takes a peer's datagrams. Returns how many there was no room for.
    pub(super) fn take(&mut self, path: Path, outbound: &Outbound) -> u64 {
        let start = self.bytes.len();
        outbound.slices().for_each(|slice| self.bytes.extend_from_slice(slice));
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
                self.datagrams.push((path, begin, end));
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
        path: Path,
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
            self.add(path, |bytes| {
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
    pub(super) fn add(&mut self, path: Path, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        if begin > WAITING_BYTES_MAX {
            return;
        }
        write(&mut self.bytes);
        let end = self.bytes.len();
        if end > begin {
            self.datagrams.push((path, begin, end));
        }
    }

    /// Takes one datagram.
    pub(super) fn put(&mut self, path: Path, datagram: &[u8]) {
        self.add(path, |bytes| bytes.extend_from_slice(datagram));
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
        let Some((first, ..)) = waiting.first() else { return Ok(0) };
        // What tells from where they leave is told once for all.
        let same = waiting.iter().take(BATCH).take_while(|(path, ..)| path.local == first.local).count();
        let waiting = &waiting[..same];
        let source = Source::of(first);
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        let mut addresses = [None; BATCH];
        for (place, &(path, begin, end)) in waiting.iter().enumerate() {
            slices[place] = [IoSlice::new(&self.bytes[begin..end])];
            addresses[place] = Some(SockaddrStorage::from(path.peer));
        }
        let control = source.as_ref().map(Source::message);
        let (slices, addresses) = (&slices[..same], &addresses[..same]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let headers = &mut self.headers[source.as_ref().map_or(Reach::One, Source::reach) as usize];
        sendmmsg(socket.as_raw_fd(), headers, slices, addresses, control.as_slice(), flags)
            .map(Iterator::count)
    }
}
