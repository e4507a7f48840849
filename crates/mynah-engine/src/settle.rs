//! Settling: what a peer says of its deliveries, and what that makes room for.

use mynah_core::{DropReason, LeaseState};
use mynah_model::{Class, DeliveryId, Instant, Reason};
use mynah_stack::{Outcome, Settle, Settlement};

use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::journal::Note;

impl Engine {
    /// The peer speaks of a delivery. What does not fit how far the delivery has come ends the connection; what is not
    /// known was settled before.
    pub(crate) fn settle(&mut self, now: Instant, id: ConnectionId, settle: Settle) {
        if self.lane.connections.get(id).is_some_and(|connection| connection.taps.is_some()) {
            return self.settle_beside_queues(now, id, settle);
        }
        self.settle_own(now, id, settle);
    }

    #[cold]
    fn settle_beside_queues(&mut self, now: Instant, id: ConnectionId, settle: Settle) {
        if !self.settle_lent(now, id, settle) {
            self.settle_own(now, id, settle);
            self.deliver_waiting(now, id);
        }
    }

    /// The same of a delivery that is the session's own.
    #[inline(always)]
    fn settle_own(&mut self, now: Instant, id: ConnectionId, settle: Settle) {
        let Settle { delivery, settlement } = settle;
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let resumes = connection.resume.is_some();
        let Some(session_ref) = connection.session() else { return };
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        let state = session.queue.lease(delivery);
        let confirmed_by = match &state {
            None => None,
            Some(LeaseState::Sent(entry)) if entry.class == Class::ExactlyOnce => Some(Settlement::Received),
            Some(LeaseState::Sent(_)) => Some(Settlement::Accepted),
            Some(LeaseState::Received) => Some(Settlement::Completed),
        };
        let fits = match settlement {
            Settlement::Rejected => matches!(state, Some(LeaseState::Sent(_))),
            Settlement::Received if matches!(state, Some(LeaseState::Received)) => true, // it repeats itself
            _ => confirmed_by == Some(settlement),
        };
        match settlement {
            _ if confirmed_by.is_some() && !fits => {
                self.tell(now, id, Outcome::Ended(Reason::ProtocolViolation));
            }
            Settlement::Received => self.received(now, id, delivery),
            Settlement::Accepted | Settlement::Completed | Settlement::Rejected => {
                if session.stored
                    && let Some(sequence) = session.queue.leased_sequence(delivery)
                {
                    self.lane.journal.note_settled(session_ref, sequence, sequence + 1);
                }
                if session.queue.settle(delivery) && settlement == Settlement::Rejected {
                    self.shared.counters(self.worker).dropped(DropReason::Rejected).add(1);
                }
                let waits = resumes || !session.queue.is_drained() || session.is_replaying();
                // The end of a replay writes nothing, so that no flush would bring the connection back for what follows.
                if waits && self.pump_connection(now, id.slot, 1) {
                    self.lane.mark_pumping(id.slot);
                }
            }
        }
    }

    /// The peer has an exactly-once message: it is not sent again, whatever happens, and the peer may forget it.
    fn received(&mut self, now: Instant, id: ConnectionId, delivery: DeliveryId) {
        self.lane.journal.begin();
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let Some(session_ref) = connection.session() else { return };
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return };
        let is_new = matches!(session.queue.lease(delivery), Some(LeaseState::Sent(_)));
        let known = session.queue.receive(delivery);
        if session.stored
            && is_new
            && let Some(sequence) = session.queue.leased_sequence(delivery)
        {
            self.lane.journal.note(Note::Taken(session_ref, sequence, delivery));
        }
        self.tell(now, id, Outcome::Received { id: delivery, known });
    }
}
