//! Associations: connections whose bytes come and go by a socket for datagrams that they share.

use std::net::SocketAddr;

use mynah_core::DropReason;
use mynah_engine::ConnectionId;
use mynah_model::Instant;

use super::Worker;
use crate::datagrams::Arrivals;
use crate::transport::Transport;

/// Calls that read one socket in one turn.
const BATCHES_PER_TURN: usize = 4;

impl Worker {
    /// Reads what has come at the sockets for datagrams.
    pub(super) fn read_datagrams(&mut self, now: Instant) {
        for place in 0..self.ports.len() {
            for _ in 0..BATCHES_PER_TURN {
                let Some(arrivals) = self.ports.receive(place) else { break };
                self.take_in_datagrams(now, place, &arrivals);
                self.ports.give_back(arrivals);
            }
        }
    }

    fn take_in_datagrams(&mut self, now: Instant, place: usize, arrivals: &Arrivals) {
        let mut dropped = arrivals.oversized;
        for number in 0..arrivals.len() {
            let (peer, bytes) = arrivals.get(number);
            match self.association(now, place, peer).filter(|id| self.engine.wants_bytes(*id)) {
                Some(id) => self.engine.handle_bytes(now, id, bytes),
                None => dropped += 1,
            }
        }
        self.count_dropped(dropped);
    }

    /// The connection of a peer, made if it has none.
    fn association(&mut self, now: Instant, place: usize, peer: SocketAddr) -> Option<ConnectionId> {
        if let Some(id) = self.ports.find(place, peer) {
            return Some(id);
        }
        if self.stop_at.is_some() {
            return None;
        }
        let id = self.engine.handle_accepted(now, self.ports.listener(place)).ok()?;
        self.ports.associate(place, peer, id);
        self.install(now, id, Transport::Datagrams(place, peer));
        Some(id)
    }

    /// Takes what an association has to say; it leaves at the end of the turn.
    pub(super) fn take_datagrams(&mut self, id: ConnectionId, place: usize, peer: SocketAddr) {
        let Some(outbound) = self.engine.outbound(id) else { return };
        let (count, dropped) = self.ports.take(place, peer, outbound);
        self.engine.handle_written(id, count);
        self.count_dropped(dropped);
    }

    /// Sends what was taken.
    pub(super) fn send_datagrams(&mut self) {
        let refused = self.ports.send();
        self.count_dropped(refused);
    }

    fn count_dropped(&self, count: u64) {
        if count > 0 {
            self.engine.counters().dropped(DropReason::Datagram).add(count);
        }
    }
}
