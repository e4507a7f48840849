//! The delivery lane: what a delivery to a session of this worker touches, and nothing else.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use mynah_core::{
    Counters, DropReason, Entry, History, LeaseState, Session, SessionRef, SessionTable, Target, Via,
    WorkerId,
};
use mynah_model::{Class, DeliveryId, Instant, SubscriptionId};
use mynah_stack::{Delivery, FrameKind, Outbound, Outcome};

use crate::audit::Limit;
use crate::connections::{Connection, ConnectionId, Connections, Dirty};
use crate::item::Item;
use crate::journal::{After, Journal};
use crate::layouts::Frames;
use crate::named::{Holders, Queues};
use crate::rules::{Judge, Receiver, may_see};
use crate::shared::Shared;

/// Spare outbound buffers kept for the next connection that has something to say.
const SPARE_MAX: usize = 256;
/// A larger buffer is given back to the allocator.
const SPARE_BYTES_MAX: usize = 64 << 10;

/// A worker's sessions and connections, with the lists of those that have something to do.
pub(crate) struct Lane {
    pub(crate) connections: Connections,
    pub(crate) sessions: SessionTable,
    pub(crate) frames: Frames,
    pub(crate) judge: Judge,
    /// The number of the topic of the message that is being delivered.
    topic: Option<NonZeroU64>,
    pub(crate) journal: Journal,
    /// Connections with deliveries to be written, in the order in which they got them.
    pub(crate) dirty: VecDeque<u32>,
    /// Connections with answers to be written; those that got a delivery since are in the other list.
    pub(crate) answered: VecDeque<u32>,
    /// Connections with deliveries to be made.
    pub(crate) pumps: VecDeque<u32>,
    /// Sessions that came to a limit of what waits for them since the last turn: told once until there is room again.
    pub(crate) hits: Vec<(SessionRef, Limit)>,
    pub(crate) spare: Vec<Vec<u8>>,
    pub(crate) queues: Queues,
    pub(crate) holders: Holders,
    /// How the message has become a dead letter that is being delivered, if it is one.
    pub(crate) history: Option<Arc<History>>,
}

/// How one message is delivered to one session.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'v> {
    pub(crate) class: Class,
    pub(crate) id: Option<DeliveryId>,
    pub(crate) retain: bool,
    pub(crate) redelivered: bool,
    pub(crate) via: Option<&'v Arc<Via>>,
}

impl Manner<'_> {
    fn subscription_ids(&self) -> &[SubscriptionId] {
        self.via.map_or(&[], |via| &via.ids)
    }
}

impl Lane {
    /// Whether what is promised on a connection waits until it is stored.
    #[inline]
    pub(crate) fn waits(&self, id: ConnectionId) -> bool {
        let listener = |connection: &Connection| connection.listener;
        self.journal.waits()
            && self.connections.get(id).map(listener).is_none_or(|at| self.journal.waits_at(at))
    }

    pub(crate) fn new(worker: WorkerId, sessions: SessionTable, judge: Judge) -> Self {
        Self {
            connections: Connections::default(),
            sessions,
            frames: Frames::default(),
            judge,
            topic: None,
            journal: Journal::default(),
            dirty: VecDeque::new(),
            answered: VecDeque::new(),
            pumps: VecDeque::new(),
            hits: Vec::new(),
            spare: Vec::new(),
            queues: Queues::new(worker),
            holders: Holders::default(),
            history: None,
        }
    }

    /// Another message is to be delivered, whose topic has this number.
    #[inline]
    pub(crate) fn begin(&mut self, topic: Option<NonZeroU64>) {
        self.frames.begin();
        self.topic = topic;
    }

    /// Delivers a message to one session: at once if the session is live and has room, into its backlog otherwise.
    /// A message that needs no confirmation does not wait for a peer that is away or too slow.
    // Always: this call and that of `write` cost 24 instructions for each receiver.
    #[inline(always)]
    pub(crate) fn deliver(
        &mut self,
        shared: &Shared,
        counters: &Counters,
        now: Instant,
        target: &Target,
        item: &mut Item<'_>,
    ) {
        let Some((session, key)) = self.sessions.get_mut_with_key(target.session) else {
            return self.deliver_to_queue(counters, now, target.session, item);
        };
        if session.checks_deliveries {
            let receiver = Receiver { reference: target.session, session, key };
            let (judge, connections) = (&mut self.judge, &mut self.connections);
            if !may_see(judge, connections, shared, &receiver, item.view().topic(), self.topic) {
                return; // the peer never had a right to it: nothing is lost
            }
        }
        let header = item.view().header;
        let class = header.class.min(target.class_max);
        let retain = header.retain && target.retain_as_published;
        let Some(slot) = session.connection else {
            let note = (&mut self.journal, &mut self.hits);
            return enqueue_offline(note, session, counters, target, item, class, retain);
        };
        let Some(connection) = self.connections.at(slot) else { return };
        let room = connection.outbound.len() < shared.limits.outbound_bytes_max;
        let live = connection.resume.is_none() && session.queue.is_drained();
        let mut manner = Manner { class, id: None, retain, redelivered: false, via: target.via.as_ref() };
        if class.is_confirmed() || !live {
            let entry = Entry::new(item.message().clone(), class, retain, target.via.clone());
            if !live || !room {
                let note = (&mut self.journal, &mut self.hits);
                return enqueue(note, target.session, session, counters, entry);
            }
            match session.queue.lease_new(entry, session.receive_max) {
                Ok(id) => manner.id = Some(id),
                Err(entry) => {
                    let note = (&mut self.journal, &mut self.hits);
                    return enqueue(note, target.session, session, counters, entry);
                }
            }
            if session.stored
                && let Some(id) = manner.id
                && note_leased(&mut self.journal, target.session, session, (slot, connection), id)
            {
                return;
            }
        } else if !room {
            note_slow(&mut self.hits, target.session, connection);
            return counters.dropped(DropReason::SlowConsumer).add(1);
        }
        lend(&mut self.spare, &mut connection.outbound);
        match write(&mut self.frames, shared, connection, now, item, manner) {
            Ok(()) => {
                counters.messages_sent(class).add(1);
                mark_dirty(&mut self.dirty, slot, connection);
            }
            Err(reason) => {
                undeliverable(&mut self.journal, target.session, session, counters, manner.id, reason);
            }
        }
    }

    /// The same, as a call of its own: for receivers that come alone.
    #[inline(never)]
    pub(crate) fn deliver_apart(
        &mut self,
        shared: &Shared,
        counters: &Counters,
        now: Instant,
        target: &Target,
        item: &mut Item<'_>,
    ) {
        self.deliver(shared, counters, now, target, item);
    }

    /// Whether a store keeps a session or a queue of this worker.
    pub(crate) fn is_stored(&self, reference: SessionRef) -> bool {
        let session = self.sessions.get(reference).map(|session| session.stored);
        session.unwrap_or_else(|| self.queues.get(reference).is_some_and(|owned| owned.stored))
    }

    /// Whether a session of this worker is there and has a connection.
    pub(crate) fn is_online(&self, session: SessionRef) -> bool {
        self.sessions.get(session).is_some_and(|session| session.connection.is_some())
    }

    /// Tells a connection what became of a command.
    pub(crate) fn tell(&mut self, now: Instant, id: ConnectionId, outcome: Outcome<'_>) {
        self.lend(id.slot);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stack.handle_outcome(now, outcome, &mut connection.outbound);
            self.mark_answered(id.slot);
        }
    }

    /// Puts a connection into the list of those with answers to be written, if it is in none.
    pub(crate) fn mark_answered(&mut self, slot: u32) {
        if let Some(connection) = self.connections.at(slot).filter(|c| c.dirty == Dirty::No && !c.blocked) {
            connection.dirty = Dirty::Answers;
            self.answered.push_back(slot);
        }
    }

    /// Puts a connection into the list of those to be flushed first.
    pub(crate) fn mark_dirty(&mut self, slot: u32) {
        if let Some(connection) = self.connections.at(slot) {
            mark_dirty(&mut self.dirty, slot, connection);
        }
    }

    /// Puts a connection into the list of those with deliveries to be made.
    pub(crate) fn mark_pumping(&mut self, slot: u32) {
        if let Some(connection) = self.connections.at(slot).filter(|c| !c.pumping) {
            connection.pumping = true;
            self.pumps.push_back(slot);
        }
    }

    /// Gives a connection memory to write into, if it has none.
    pub(crate) fn lend(&mut self, slot: u32) {
        if let Some(connection) = self.connections.at(slot) {
            lend(&mut self.spare, &mut connection.outbound);
        }
    }

    /// Takes the memory of a connection that has nothing to write.
    pub(crate) fn reclaim(&mut self, slot: u32) {
        let Some(connection) = self.connections.at(slot) else { return };
        if connection.outbound.is_empty() {
            let memory = connection.outbound.take_memory();
            if self.spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&memory.capacity()) {
                self.spare.push(memory);
            }
        }
    }
}

#[inline]
pub(crate) fn lend(spare: &mut Vec<Vec<u8>>, outbound: &mut Outbound) {
    if outbound.is_bare()
        && let Some(memory) = spare.pop()
    {
        outbound.give_memory(memory);
    }
}

#[inline]
pub(crate) fn mark_dirty(dirty: &mut VecDeque<u32>, slot: u32, connection: &mut Connection) {
    if connection.dirty != Dirty::Deliveries && !connection.blocked {
        connection.dirty = Dirty::Deliveries;
        dirty.push_back(slot);
    }
}

/// Writes a message in the connection's layout.
///
/// # Errors
/// The layout cannot spell it, or the peer takes no message that large: nothing is written.
#[inline(always)]
pub(crate) fn write(
    frames: &mut Frames,
    shared: &Shared,
    connection: &mut Connection,
    now: Instant,
    item: &mut Item<'_>,
    manner: Manner<'_>,
) -> Result<(), DropReason> {
    let Manner { class, id, retain, redelivered, .. } = manner;
    let kind = FrameKind { identified: id.is_some(), retain };
    let frame = frames.frame(&shared.layouts, now, item, connection.layout, kind);
    let frame = frame.ok_or(DropReason::Unspellable)?;
    let subscription_ids = manner.subscription_ids();
    let delivery = Delivery::Message { frame, class, id, retain, redelivered, subscription_ids };
    let taken = connection.stack.deliver(now, delivery, &mut connection.outbound);
    if taken { Ok(()) } else { Err(DropReason::TooLarge) }
}

/// A message that cannot be written is dropped for this receiver, and counted; its lease stops nothing.
#[cold]
pub(crate) fn undeliverable(
    journal: &mut Journal,
    session_ref: SessionRef,
    session: &mut Session,
    counters: &Counters,
    id: Option<DeliveryId>,
    reason: DropReason,
) {
    if let Some(id) = id {
        if session.stored
            && let Some(sequence) = session.queue.leased_sequence(id)
        {
            journal.note_settled(session_ref, sequence, sequence + 1);
        }
        session.queue.settle(id);
    }
    counters.dropped(reason).add(1);
}

#[cold]
fn enqueue_offline(
    note: (&mut Journal, &mut Vec<(SessionRef, Limit)>),
    session: &mut Session,
    counters: &Counters,
    target: &Target,
    item: &mut Item<'_>,
    class: Class,
    retain: bool,
) {
    if class.is_confirmed() {
        let entry = Entry::new(item.message().clone(), class, retain, target.via.clone());
        enqueue(note, target.session, session, counters, entry);
    } else {
        counters.dropped(DropReason::Offline).add(1);
    }
}

/// A peer reads so slowly that something was dropped.
#[cold]
fn note_slow(hits: &mut Vec<(SessionRef, Limit)>, session_ref: SessionRef, connection: &mut Connection) {
    if !core::mem::replace(&mut connection.is_slow, true) {
        hits.push((session_ref, Limit::Outbound));
    }
}

/// Puts an entry into the backlog; what the bounds drop for it is counted.
#[inline(never)]
pub(crate) fn enqueue(
    (journal, hits): (&mut Journal, &mut Vec<(SessionRef, Limit)>),
    session_ref: SessionRef,
    session: &mut Session,
    counters: &Counters,
    entry: Entry,
) {
    let kept = (session.stored && entry.class.is_confirmed()).then(|| entry.clone());
    let (front, sequence) = (session.queue.front_sequence(), session.queue.next_sequence());
    let dropped = session.queue.push(entry);
    if dropped > 0 {
        counters.dropped(DropReason::BacklogFull).add(dropped as u64);
        if !core::mem::replace(&mut session.overflows, true) {
            hits.push((session_ref, Limit::Backlog));
        }
    }
    if !session.stored {
        return;
    }
    let new_front = session.queue.front_sequence();
    if let Some(entry) = kept
        && session.queue.next_sequence() > sequence
        && new_front <= sequence
    {
        journal.note_entry(session_ref, &Entry { sequence, ..entry }, None);
    }
    journal.note_settled(session_ref, front, new_front.min(sequence));
}

/// Notes an entry that a stored session was just handed. Returns whether its delivery has to wait for the store.
#[inline(never)]
pub(crate) fn note_leased(
    journal: &mut Journal,
    session_ref: SessionRef,
    session: &Session,
    connection: (u32, &mut Connection),
    id: DeliveryId,
) -> bool {
    let Some(LeaseState::Sent(entry)) = session.queue.lease(id) else { return false };
    journal.note_entry(session_ref, entry, Some(id));
    // What waits is not overtaken.
    let overtakes = connection.1.waiting.as_ref().is_some_and(|waiting| waiting.first_delivery().is_some());
    (overtakes || is_exact(entry)) && postpone(journal, connection, id)
}

/// Whether a delivery has to wait for the store: until its publisher's identifier is stored with it, a publication may
/// come again after a crash, whatever the class of the delivery.
fn is_exact(entry: &Entry) -> bool {
    entry.message.header().class == Class::ExactlyOnce
}

/// Lets a delivery wait until its identifier is stored: after a crash it is repeated under the same one, and marked.
/// Returns whether it waits.
pub(crate) fn postpone(
    journal: &mut Journal,
    (slot, connection): (u32, &mut Connection),
    id: DeliveryId,
) -> bool {
    if !journal.waits() {
        return false;
    }
    let (mark, generation) = (journal.mark(), connection.generation);
    connection.waiting.get_or_insert_default().push_delivery(mark, id);
    journal.await_after(After { mark, token: 0 }, ConnectionId { slot, generation });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_memory_goes_to_a_buffer_that_has_none() {
        let mut spare = vec![Vec::with_capacity(64), Vec::with_capacity(32)];
        let mut outbound = Outbound::new();
        lend(&mut spare, &mut outbound);
        assert_eq!((outbound.is_bare(), spare.len()), (false, 1));
        lend(&mut spare, &mut outbound);
        assert_eq!(spare.len(), 1, "it has memory already");
        assert_eq!(outbound.take_memory().capacity(), 32);
    }
}
