//! Accepting: sockets that listen, and what comes in at them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Registry;
use mynah_model::Instant;

use crate::address::Peer;
use crate::entrance::Entrance;
use crate::stream::{Listening, Stream};

/// Peers taken in at one listener in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How long to wait when the process has no room for another socket.
const RETRY: Duration = Duration::from_millis(100);

/// The listening sockets of a broker; one worker has them all.
#[derive(Default)]
pub(crate) struct Acceptor {
    doors: Vec<Door>,
    next_worker: usize,
    retry_at: Option<Instant>,
}

struct Door {
    socket: Listening,
    listener: u16,
    entrance: Arc<Entrance>,
    ready: bool,
}

impl Acceptor {
    /// Watches a listening socket, whose peers come in at the listener with this number.
    pub(crate) fn watch(
        &mut self,
        registry: &Registry,
        mut socket: Listening,
        listener: u16,
        entrance: Arc<Entrance>,
    ) -> io::Result<()> {
        socket.watch(registry, crate::worker::listener_token(self.doors.len()))?;
        self.doors.push(Door { socket, listener, entrance, ready: false });
        Ok(())
    }

    pub(crate) fn note_ready(&mut self, place: usize) {
        if let Some(door) = self.doors.get_mut(place) {
            door.ready = true;
        }
    }

    /// When accepting is to be tried again after the process had no room.
    pub(crate) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Round robin over the workers: sessions are spread by their owners later, handshakes here.
    pub(crate) const fn next_worker(&mut self) -> usize {
        self.next_worker = self.next_worker.wrapping_add(1);
        self.next_worker
    }

    /// Whether peers may be waiting.
    pub(crate) fn is_ready(&self) -> bool {
        self.retry_at.is_none() && self.doors.iter().any(|d| d.ready)
    }

    /// The peers that have come in.
    pub(crate) fn accept(&mut self, now: Instant) -> Vec<(Stream, Peer, u16)> {
        let mut accepted = Vec::new();
        if self.retry_at.is_some_and(|at| now < at) {
            return accepted;
        }
        self.retry_at = None;
        for door in self.doors.iter_mut().filter(|d| d.ready) {
            for _ in 0..ACCEPTS_PER_TURN {
                match door.socket.accept() {
                    Ok((stream, peer)) if door.entrance.lets_in(peer) => {
                        accepted.push((stream, peer, door.listener));
                    }
                    Ok((_, peer)) => tracing::debug!(%peer, "this peer is not one of the trusted proxies"),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        door.ready = false;
                        break;
                    }
                    Err(error) if is_peers_fault(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept; trying again in 100 ms");
                        self.retry_at = Some(now + RETRY);
                        break;
                    }
                }
            }
        }
        accepted
    }

    /// Closes the listening sockets.
    pub(crate) fn stop(&mut self, registry: &Registry) {
        for door in self.doors.drain(..) {
            door.socket.close(registry);
        }
        self.retry_at = None;
    }
}

/// The peer went away between its SYN and our accept; the next one may be fine.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
