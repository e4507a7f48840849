//! Transactions: publications and settlements that are carried out together or not at all.
//!
//! Everything is checked first; then nothing can fail. What this worker stores of it is one group. What concerns queues
//! and sessions of other workers the broker owes from there on, which is in the same group.

use mynah_core::WorkerId;
use mynah_model::{Instant, Reason, Topic};
use mynah_stack::{Publish, Transaction};

use super::publishing::place_of;
use super::request::{Fault, Reply, Request};
use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::journal::Then;

impl Engine {
    pub(super) fn transact(&mut self, now: Instant, id: ConnectionId, transaction: Transaction<'_>) {
        let Transaction { receipt, publications, settlements } = transaction;
        let mut accepted = Vec::with_capacity(publications.len());
        for mut publish in publications {
            match self.accept_in_transaction(now, id, &mut publish) {
                Ok(address) => accepted.push((publish, address)),
                Err(reason) => {
                    let result = Err(Fault::from(reason));
                    return self.answer_queue(now, id, Reply::Committed { receipt, result });
                }
            }
        }
        self.lane.journal.begin();
        let from = self.lane.connections.get(id).and_then(Connection::session);
        let mut unwanted = Vec::new();
        for (place, (publish, address)) in (0..).zip(&accepted) {
            if publish.delay.is_some() {
                self.keep_for_later(now, publish, address.as_deref());
                continue;
            }
            let topic = address.as_deref().map(Topic::from_checked);
            if !self.distribute(now, &mut Item::addressed(publish.view(), topic), from) {
                unwanted.push(place);
            }
        }
        let mut others: Vec<WorkerId> = Vec::new();
        for settle in settlements {
            let request = Request::Settle(settle);
            others.extend(self.worker_of(id, &request).filter(|worker| *worker != self.worker));
            self.ask_queue(now, id, request);
        }
        others.sort_unstable();
        others.dedup();
        self.await_others(&others);
        self.answer_queue(now, id, Reply::Committed { receipt, result: Ok(unwanted.into()) });
    }

    /// Whether a publication of a transaction can be carried out, and to which topic it goes if not to its own.
    fn accept_in_transaction(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publish: &mut Publish<'_>,
    ) -> Result<Option<Vec<u8>>, Reason> {
        let address = place_of(publish);
        publish.header.retain &= address.is_none();
        let connection = self.lane.connections.get(id).ok_or(Reason::Disconnected)?;
        (publish.header.tenant, publish.header.publisher) = (connection.tenant, connection.publisher);
        let topic = address.as_deref().map_or_else(|| publish.view().topic(), Topic::from_checked);
        self.shared.counters(self.worker).messages_received(publish.header.class).add(1);
        if publish.delay.is_some() {
            self.has_room_for_later(publish)?;
        }
        self.accept_publish(now, id, publish, topic).inspect_err(|reason| {
            self.counters().publications_refused.add(1);
            self.audit_publish(now, id, publish, *reason);
        })?;
        Ok(address)
    }

    /// The answer that follows waits until other workers have stored what they were asked for.
    fn await_others(&mut self, others: &[WorkerId]) {
        if others.is_empty() || !self.lane.journal.waits() {
            return;
        }
        let token = self.lane.journal.ask(others.len(), Then::Nothing);
        for to in others {
            let parcel = Parcel::Queue(Box::new(super::Word::confirm(self.worker, token)));
            self.outboxes[usize::from(to.0)].push(parcel);
        }
    }

    /// Another worker wants to hear when all that it has asked for is stored.
    pub(super) fn confirm_all(&mut self, from: WorkerId, token: u64) {
        let parcel = self.lane.journal.postpone_all(from, Parcel::Stored { token });
        self.outboxes[usize::from(from.0)].extend(parcel);
    }
}

impl super::Word {
    const fn confirm(from: WorkerId, token: u64) -> Self {
        Self(super::request::Said::Confirm(from, token))
    }
}
