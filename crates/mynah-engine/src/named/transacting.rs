//! Transactions: publications and settlements that are carried out together or not at all.
//!
//! Everything is checked first; then nothing can fail. What this worker stores of it is one group. What is published to
//! queues and sessions of other workers the broker owes from there on, which is in the same group; and so is what is
//! settled in queues of other workers, which keep those leases until then and say when all their entries are stored.

use std::borrow::Cow;

use mynah_core::SessionRef;
use mynah_model::{Instant, LeaseSettlement, Reason, Topic};
use mynah_stack::{Destination, Publish, SettleLeases, Transaction};

use super::keeping::QueueNote;
use super::publishing::place_of;
use super::request::{Asker, Fault, Pledge, Reply, Request, Said, Word};
use crate::connections::{Connection, ConnectionId};
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::journal::Note;

/// A transaction whose settlements concern queues of other workers: these keep the leases until it is stored, here, that
/// they are settled.
#[derive(Debug)]
pub(super) struct Undertaking {
    receipt: u32,
    publications: Vec<(Publish<'static>, Option<Vec<u8>>)>,
    /// What concerns this worker.
    settlements: Vec<SettleLeases>,
    /// How many have not answered.
    missing: usize,
    pledges: Vec<Pledge>,
}

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
        let (settlements, others): (Vec<_>, Vec<_>) =
            settlements.into_iter().partition(|settle| self.is_settled_here(id, *settle));
        if others.is_empty() {
            return self.commit(now, id, receipt, &accepted, settlements, Vec::new());
        }
        let publications = accepted.into_iter().map(|(publish, address)| (into_owned(publish), address));
        let undertaking = Undertaking {
            receipt,
            publications: publications.collect(),
            settlements,
            missing: others.len(),
            pledges: Vec::with_capacity(others.len()),
        };
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.taps.get_or_insert_default().transaction = Some(Box::new(undertaking));
        for settle in others {
            self.ask_queue(now, id, Request::Pledge(settle));
        }
    }

    /// Whether no other worker has to be asked to settle leases together with something that is stored here.
    fn is_settled_here(&mut self, id: ConnectionId, settle: SettleLeases) -> bool {
        let worker = self.worker_of(id, &Request::Settle(settle));
        !self.lane.journal.waits() || worker.is_none_or(|worker| worker == self.worker)
    }

    /// A connection of another worker settles leases together with other things.
    pub(super) fn serve_pledge(&mut self, asker: Asker, settle: SettleLeases) {
        let SettleLeases { consumer, first, last, settlement, .. } = settle;
        let key = asker.consumer(consumer);
        // One of this worker's: what two others count is not told apart here.
        let number = self.lane.journal.take_number();
        let queue = self.lane.queues.consumers.get(&key).copied();
        let owned = queue.and_then(|queue| Some((queue, self.lane.queues.get_mut(queue)?)));
        let pledge = match owned {
            Some((queue, owned)) => {
                let stored = owned.kernel.pledge(key, first, last, number);
                Pledge { queue, name: owned.name.clone(), number, settlement, stored }
            }
            // It has gone, and its leases with it.
            None => {
                let queue = SessionRef { worker: self.worker, slot: u32::MAX, generation: 0 };
                Pledge { queue, name: Box::default(), number, settlement, stored: Vec::new() }
            }
        };
        let word = Word(Said::Pledged(asker.connection, Box::new(pledge)));
        let parcel = Parcel::Queue(Box::new(word));
        let parcel = self.lane.journal.postpone_all(asker.worker, parcel);
        self.outboxes[usize::from(asker.worker.0)].extend(parcel);
        self.forget_if_done(asker, consumer);
    }

    /// What was pledged is settled.
    pub(super) fn redeem(
        &mut self,
        now: Instant,
        queue: SessionRef,
        number: u64,
        settlement: LeaseSettlement,
    ) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        owned.kernel.settle_pledge(now, number, settlement);
        self.take_effects(now, queue);
    }

    /// Another worker keeps leases for a transaction of a connection, if that is still there.
    pub(super) fn pledged(&mut self, now: Instant, id: ConnectionId, pledge: Pledge) {
        let taps = self.lane.connections.get_mut(id).filter(|connection| !connection.is_closing());
        let taps = taps.and_then(|connection| connection.taps.as_deref_mut());
        let Some(taps) = taps.filter(|taps| taps.is_transacting()) else {
            return self.hand_back(id, &pledge);
        };
        let Some(undertaking) = &mut taps.transaction else { return };
        undertaking.pledges.push(pledge);
        undertaking.missing -= 1;
        if undertaking.missing > 0 {
            return;
        }
        let Some(undertaking) = taps.transaction.take() else { return };
        let Undertaking { receipt, publications, settlements, pledges, .. } = *undertaking;
        self.commit(now, id, receipt, &publications, settlements, pledges);
    }

    /// The connection has ended before all had answered: nothing is done, and who has answered need not wait.
    pub(super) fn abandon(&mut self, id: ConnectionId, undertaking: &Undertaking) {
        for pledge in &undertaking.pledges {
            self.hand_back(id, pledge);
        }
    }

    /// Leases that are kept for a transaction which does not come go back to their queue.
    fn hand_back(&mut self, id: ConnectionId, pledge: &Pledge) {
        let &Pledge { queue, number, .. } = pledge;
        let request = Request::Redeem { queue, number, settlement: LeaseSettlement::FAILED };
        let parcel = Parcel::Queue(Box::new(Word(Said::Ask(self.asker(id), request))));
        self.outboxes[usize::from(queue.worker.0)].push(parcel);
    }

    /// Carries out what was checked. What is stored of it is one group.
    fn commit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        receipt: u32,
        publications: &[(Publish<'_>, Option<Vec<u8>>)],
        settlements: Vec<SettleLeases>,
        pledges: Vec<Pledge>,
    ) {
        self.lane.journal.begin();
        let from = self.lane.connections.get(id).and_then(Connection::session);
        let mut unwanted = Vec::new();
        for (place, (publish, address)) in (0..).zip(publications) {
            if publish.delay.is_some() {
                self.keep_for_later(now, publish, address.as_deref());
                continue;
            }
            let topic = address.as_deref().map(Topic::from_checked);
            if !self.distribute(now, &mut Item::addressed(publish.view(), topic), from) {
                unwanted.push(place);
            }
        }
        for settle in settlements {
            self.ask_queue(now, id, Request::Settle(settle));
        }
        self.settle_elsewhere(self.asker(id), pledges);
        self.answer_queue(now, id, Reply::Committed { receipt, result: Ok(unwanted.into()) });
    }

    /// Notes that entries of other workers are gone. Those hear of it when that is stored, and not before.
    fn settle_elsewhere(&mut self, asker: Asker, pledges: Vec<Pledge>) {
        for Pledge { name, settlement, stored, .. } in &pledges {
            if *settlement != LeaseSettlement::Accepted {
                continue;
            }
            for gone in stored.chunk_by(|a, b| a + 1 == *b) {
                let (from, to) = (gone[0], gone[gone.len() - 1] + 1);
                let note = QueueNote::SettledElsewhere(asker.tenant, name.clone(), from, to);
                self.lane.journal.note(Note::Queue(note));
            }
        }
        for Pledge { queue, number, settlement, .. } in pledges {
            let request = Request::Redeem { queue, number, settlement };
            let parcel = Parcel::Queue(Box::new(Word(Said::Ask(asker, request))));
            let parcel = self.lane.journal.postpone(queue.worker, parcel);
            self.outboxes[usize::from(queue.worker.0)].extend(parcel);
        }
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
}

/// The same publication without the peer's bytes; where it goes is known by then.
fn into_owned(publish: Publish<'_>) -> Publish<'static> {
    let Publish { header, native, receipt, confirm, delay, .. } = publish;
    let native = Cow::Owned(native.into_owned());
    Publish { header, native, receipt, to: Destination::Topic, confirm, delay }
}
