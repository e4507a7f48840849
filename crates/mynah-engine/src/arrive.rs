//! Those who come in: from the listeners, and from other workers.

use std::sync::Arc;

use mynah_core::rules::Address;
use mynah_model::{Groups, Instant, Reason};

use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::inbox::Handover;
use crate::proof::Proof;

impl Engine {
    /// Takes in a peer that came in at the listener with this place in [`crate::Settings::listeners`].
    ///
    /// # Errors
    /// The worker has as many connections, or as many that are not open yet, as it may.
    pub fn handle_accepted(&mut self, now: Instant, listener: u16) -> Result<ConnectionId, Reason> {
        let limits = &self.shared.limits;
        let full =
            self.lane.connections.len() >= limits.connections_max || self.half_open >= limits.half_open_max;
        let door = self.shared.listeners.get(usize::from(listener)).filter(|_| !full && !self.stopping);
        let Some(door) = door else {
            self.counters().connections_refused.add(1);
            if full {
                self.audit_turned_away(now, listener);
            }
            return Err(Reason::ServerBusy);
        };
        let id = self.lane.connections.insert(door.protocol.accept(now), listener);
        self.count_half_open(1);
        self.counters().connections_opened.add(1);
        self.arm(now, id.slot);
        Ok(id)
    }

    /// Hears that the peer speaks the protocol of the listener so many places behind the one where it came in; before its
    /// first bytes.
    pub fn handle_stack(&mut self, now: Instant, id: ConnectionId, places: u16) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let listener = connection.listener.saturating_add(places);
        let Some(door) = self.shared.listeners.get(usize::from(listener)) else { return };
        connection.stack = door.protocol.accept(now);
        connection.listener = listener;
        self.arm(now, id.slot);
    }

    /// Hears how the peer has proved who it is below its protocol; before its first bytes.
    pub fn handle_proof(&mut self, id: ConnectionId, proof: Arc<Proof>) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.proof = Some(proof);
        }
    }

    /// Hears where the peer is; before its first bytes.
    pub fn handle_address(&mut self, id: ConnectionId, address: Address) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.address = Some(address);
        }
    }

    /// Takes in a connection from another worker.
    pub fn handle_handover(&mut self, now: Instant, handover: Handover) -> ConnectionId {
        let Handover { stack, outbound, inbound, listener, proof, address, admission } = handover;
        let id = self.lane.connections.insert(stack, listener);
        self.count_half_open(1);
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.outbound = outbound;
            connection.inbound = inbound;
            connection.proof = proof;
            connection.address = address;
        }
        self.attach(now, id, admission);
        self.resume_input(now, id);
        id
    }

    /// How the peer has proved who it is below its protocol, if it has.
    #[must_use]
    pub fn proof(&self, id: ConnectionId) -> Option<&Arc<Proof>> {
        self.lane.connections.get(id)?.proof.as_ref()
    }

    /// The groups that the peer's identity is in.
    #[must_use]
    pub fn groups(&self, id: ConnectionId) -> Option<&Groups> {
        self.lane.connections.get(id).map(|connection| &connection.groups)
    }

    pub(crate) fn count_half_open(&mut self, change: isize) {
        self.half_open = self.half_open.saturating_add_signed(change);
        self.counters().half_open.set(self.half_open as u64);
    }
}
