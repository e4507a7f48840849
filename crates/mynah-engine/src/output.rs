//! What goes out to peers: which connections have bytes to be written, and what became of these.

use mynah_stack::Outbound;

use crate::connections::{ConnectionId, Dirty};
use crate::engine::Engine;

impl Engine {
    /// The next connection with bytes to be written. Its bytes are in [`Engine::outbound`]; what became of them is
    /// told by [`Engine::handle_written`].
    pub fn poll_dirty(&mut self) -> Option<ConnectionId> {
        self.poll_urgent().or_else(|| self.poll_answered())
    }

    /// The next connection with a delivery to be written. What has answers only can wait for a turn: under load the
    /// answers of two turns go out with one write.
    pub fn poll_urgent(&mut self) -> Option<ConnectionId> {
        self.poll_listed(Dirty::Deliveries)
    }

    /// The next connection with answers to be written and no delivery.
    pub fn poll_answered(&mut self) -> Option<ConnectionId> {
        self.poll_listed(Dirty::Answers)
    }

    fn poll_listed(&mut self, kind: Dirty) -> Option<ConnectionId> {
        let lane = &mut self.lane;
        let list = if kind == Dirty::Answers { &mut lane.answered } else { &mut lane.dirty };
        while let Some(slot) = list.pop_front() {
            if let Some(connection) = lane.connections.at(slot).filter(|c| c.dirty == kind) {
                connection.dirty = Dirty::No;
                return Some(ConnectionId { slot, generation: connection.generation });
            }
        }
        None
    }

    /// Whether there are connections with bytes to be written.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.lane.dirty.is_empty() || !self.lane.answered.is_empty()
    }

    /// Whether there are connections for which [`Engine::pump`] has something to do: what was written has made room.
    #[must_use]
    pub fn is_pumping(&self) -> bool {
        !self.lane.pumps.is_empty()
    }

    /// How many connections have bytes to be written, at most.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.lane.dirty.len() + self.lane.answered.len()
    }

    /// Whether there may be connections with answers to be written and no delivery.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !self.lane.answered.is_empty()
    }

    /// The bytes that wait to be written to a peer.
    #[must_use]
    pub fn outbound(&self, id: ConnectionId) -> Option<&Outbound> {
        self.lane.connections.get(id).map(|c| &c.outbound)
    }

    /// Hears that the first `count` bytes were written. If some are left, the socket takes no more at the moment and
    /// the connection waits for [`Engine::handle_writable`].
    pub fn handle_written(&mut self, id: ConnectionId, count: usize) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        self.shared.counters(self.worker).bytes_sent.add(count as u64);
        connection.outbound.advance(count);
        connection.blocked = !connection.outbound.is_empty();
        let is_timed = connection.is_timed;
        let room = connection.outbound.len() < self.shared.limits.outbound_bytes_max / 2;
        if connection.is_closing() && !connection.blocked {
            return self.finish(id);
        }
        if !connection.blocked {
            self.lane.reclaim(id.slot);
        }
        if is_timed {
            self.lane.mark_pumping(id.slot);
        }
        if room {
            self.make_room(id);
        }
    }

    /// There is room for deliveries again.
    fn make_room(&mut self, id: ConnectionId) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.is_slow = false;
        }
        if self.has_waiting_work(id.slot) {
            self.lane.mark_pumping(id.slot);
        }
    }

    /// Hears that the socket takes bytes again.
    pub fn handle_writable(&mut self, id: ConnectionId) {
        if let Some(connection) = self.lane.connections.get_mut(id).filter(|c| c.blocked) {
            connection.blocked = false;
            self.lane.mark_dirty(id.slot);
        }
    }
}
