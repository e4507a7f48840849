//! Deliveries that had to wait: unconfirmed ones of a resumed session, then its backlog, then retained values.
//!
//! Each step looks whether the connection has room first, so that a peer that reads slowly costs no more memory than
//! its outbound buffer may hold.

use std::sync::Arc;

use mynah_core::{DropReason, Entry, LeaseState, SessionRef, Via};
use mynah_model::{Class, DeliveryId, Filter, Instant, Message};
use mynah_stack::Delivery;

use crate::connections::{ConnectionId, Resume};
use crate::engine::Engine;
use crate::item::Item;
use crate::journal::{Attached, Note};
use crate::lane::{Lane, Manner, enqueue, mark_dirty, postpone, undeliverable, write};
use crate::presence::concerns;
use crate::rules::{Receiver, may_see};

/// Deliveries made for one connection in one turn before others have their turn.
const PUMP_BUDGET: usize = 64;
/// Connections pumped in one turn.
const PUMP_CONNECTIONS: usize = 64;
/// Retained values taken from the store at a time.
const PAGE: usize = 16;

/// What became of one attempt to deliver something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Something was done; there may be more.
    Made,
    /// Nothing is left, or nothing can be done before the peer confirms.
    Paused,
}

impl Engine {
    /// Does what had to wait for room: goes on with input that was kept, and makes deliveries from redelivery, backlogs
    /// and retained values; some for each connection; and looks at what changed rules end. Returns whether more is to be done at once.
    pub fn pump(&mut self, now: Instant) -> bool {
        for _ in 0..self.lane.pumps.len().min(PUMP_CONNECTIONS) {
            let Some(slot) = self.lane.pumps.pop_front() else { break };
            let Some(connection) = self.lane.connections.at(slot) else { continue };
            connection.pumping = false;
            let (is_timed, is_answered) = (connection.is_timed, core::mem::take(&mut connection.is_answered));
            let id = ConnectionId { slot, generation: connection.generation };
            let waits_for_room = connection.taps.as_ref().is_some_and(|taps| taps.waits_for_room());
            let is_lent = connection.taps.as_ref().is_some_and(|taps| taps.waits_for_window());
            // A stack may have waited for what a queue has answered.
            if !connection.inbound.is_empty() || is_answered || connection.taps.is_some() {
                self.resume_input(now, id);
            }
            if waits_for_room {
                self.wake_taps(id);
            }
            if self.pump_connection(now, slot, PUMP_BUDGET) {
                self.lane.mark_pumping(slot);
            }
            if is_lent {
                self.deliver_waiting(now, id);
            }
            if is_timed {
                self.arm(now, slot);
            }
        }
        if !self.lane.hits.is_empty() {
            self.tell_hits(now);
        }
        let reviewing =
            self.review_some(now) | self.count_some(now) | self.unbind_some() | self.pump_queues(now);
        reviewing || !self.lane.pumps.is_empty()
    }

    /// Whether a connection has input or deliveries that wait for room.
    pub(crate) fn has_waiting_work(&mut self, slot: u32) -> bool {
        let Some(connection) = self.lane.connections.at(slot) else { return false };
        let stored = connection.waiting.as_ref().and_then(|waiting| waiting.first_delivery());
        let stored = stored.is_some_and(|(mark, _)| self.lane.journal.is_stored(mark));
        let waiting = stored || connection.resume.is_some() || !connection.inbound.is_empty();
        let session = connection.session().and_then(|s| self.lane.sessions.get(s));
        let waiting = waiting || connection.taps.as_ref().is_some_and(|taps| taps.waits_for_room());
        session.is_some_and(|s| waiting || !s.queue.is_drained() || s.is_replaying())
    }

    /// Makes up to `budget` deliveries that waited. Returns whether more can be made at once.
    pub(crate) fn pump_connection(&mut self, now: Instant, slot: u32, budget: usize) -> bool {
        self.lane.lend(slot);
        for _ in 0..budget {
            let Some(connection) = self.lane.connections.at(slot) else { return false };
            let resume = connection.resume;
            if connection.outbound.len() >= self.shared.limits.outbound_bytes_max {
                return false; // goes on when it has been written
            }
            if connection.is_opening() {
                return false; // goes on when the peer knows that its session is open
            }
            let progress = if self.deliver_stored(now, slot) == Progress::Made {
                Progress::Made
            } else if let Some(resume) = resume {
                self.redeliver_next(now, slot, resume)
            } else if self.deliver_next(now, slot) == Progress::Made {
                Progress::Made
            } else {
                self.replay_next(now, slot)
            };
            if progress == Progress::Paused {
                return false;
            }
        }
        true
    }

    /// Makes the next exactly-once delivery that has waited for the store.
    fn deliver_stored(&mut self, now: Instant, slot: u32) -> Progress {
        let Some(connection) = self.lane.connections.at(slot) else { return Progress::Paused };
        let session = connection.session();
        let Some(waiting) = &mut connection.waiting else { return Progress::Paused };
        let Some((_, id)) = waiting.first_delivery().filter(|(mark, _)| self.lane.journal.is_stored(*mark))
        else {
            return Progress::Paused;
        };
        waiting.drop_delivery();
        let session = session.and_then(|s| self.lane.sessions.get(s));
        if let Some(LeaseState::Sent(entry)) = session.and_then(|s| s.queue.lease(id)) {
            let entry = entry.clone();
            self.hand_out(now, slot, &entry, Some(id), false);
        }
        Progress::Made
    }

    /// Repeats the next unconfirmed delivery of a session that was resumed.
    fn redeliver_next(&mut self, now: Instant, slot: u32, resume: Resume) -> Progress {
        let Some(connection) = self.lane.connections.at(slot) else { return Progress::Paused };
        let session = connection.session().and_then(|s| self.lane.sessions.get(s));
        let next = session.and_then(|s| Some((s, s.queue.leased(resume.after).next()?)));
        let Some((session, (id, state))) = next else {
            connection.resume = None;
            return Progress::Made;
        };
        let window = usize::from(session.receive_max);
        if session.queue.leased_len() > window && matches!(state, LeaseState::Sent(_)) {
            // The peer takes fewer at a time than it did when these were made.
            let repeated = session.queue.leased_len() - session.queue.leased(resume.after).count();
            if repeated >= window {
                return Progress::Paused;
            }
        }
        connection.resume = Some(Resume { after: Some(id) });
        match state {
            LeaseState::Sent(entry) => {
                let entry = entry.clone();
                self.hand_out(now, slot, &entry, Some(id), true);
            }
            LeaseState::Received => {
                connection.stack.deliver(now, Delivery::Release { id }, &mut connection.outbound);
                mark_dirty(&mut self.lane.dirty, slot, connection);
            }
        }
        Progress::Made
    }

    /// Delivers the oldest message of the backlog.
    fn deliver_next(&mut self, now: Instant, slot: u32) -> Progress {
        let Some(session_ref) = self.lane.connections.at(slot).and_then(|c| c.session()) else {
            return Progress::Paused;
        };
        let Some(session) = self.lane.sessions.get_mut(session_ref) else { return Progress::Paused };
        let (front, stored) = (session.queue.front_sequence(), session.stored);
        let next = session.queue.lease_next(now, session.receive_max).map(|l| (l.entry().clone(), l.id()));
        let expired = session.queue.take_expired();
        session.overflows &= !session.queue.is_drained();
        if stored {
            let gone = next.as_ref().map_or(session.queue.front_sequence(), |(entry, _)| entry.sequence);
            self.lane.journal.note_settled(session_ref, front, gone);
        }
        if expired > 0 {
            self.count_dropped(DropReason::Expired, expired);
        }
        let Some((entry, id)) = next else { return Progress::Paused };
        if !self.may_hand_out(session_ref, &entry) {
            self.take_back(now, session_ref, &entry, id);
            return Progress::Made;
        }
        if let Some(id) = id.filter(|_| stored) {
            self.lane.journal.note(Note::Leased(session_ref, entry.sequence, id));
            // It may be stored for long: if it went out now, nobody would know after a crash that it did.
            if let Some(connection) = self.lane.connections.at(slot)
                && postpone(&mut self.lane.journal, (slot, connection), id)
            {
                return Progress::Made;
            }
        }
        self.hand_out(now, slot, &entry, id, false);
        Progress::Made
    }

    /// Whether what was queued for a session may still be seen by its peer.
    fn may_hand_out(&mut self, session_ref: SessionRef, entry: &Entry) -> bool {
        let Lane { judge, connections, sessions, .. } = &mut self.lane;
        let Some((session, key)) = sessions.get_mut_with_key(session_ref) else { return false };
        if !session.checks_deliveries {
            return true;
        }
        let receiver = Receiver { reference: session_ref, session, key };
        may_see(judge, connections, &self.shared, &receiver, entry.message.topic(), None)
    }

    /// A peer may not see any more what was queued for it: another member of the group gets it that may, or it is dropped.
    #[cold]
    fn take_back(&mut self, now: Instant, session_ref: SessionRef, entry: &Entry, id: Option<DeliveryId>) {
        let goes_on = self.offer_to_another(now, session_ref, entry);
        let Lane { sessions, journal, .. } = &mut self.lane;
        let Some(session) = sessions.get_mut(session_ref) else { return };
        if !goes_on {
            let counters = self.shared.counters(self.worker);
            undeliverable(journal, session_ref, session, counters, id, DropReason::NotAuthorized);
        } else if let Some(id) = id {
            session.queue.settle(id);
        }
    }

    /// Takes the next retained values of a replay from the store and delivers them.
    fn replay_next(&mut self, now: Instant, slot: u32) -> Progress {
        let Some(connection) = self.lane.connections.at(slot) else { return Progress::Paused };
        let (tenant, publisher) = (connection.tenant, connection.publisher);
        let session_ref = connection.session();
        let session = session_ref.and_then(|s| self.lane.sessions.get_mut(s));
        let Some(session) = session else { return Progress::Paused };
        let room = usize::from(session.receive_max).saturating_sub(session.queue.leased_len());
        let Some(replay) = session.replay() else { return Progress::Paused };
        let page = if replay.options.class_max.is_confirmed() { PAGE.min(room) } else { PAGE };
        if page == 0 {
            return Progress::Paused; // goes on when the peer has confirmed something
        }
        if concerns(&replay.filter) && !self.shared.presence.is_complete() {
            self.ask_presence();
            return Progress::Paused; // goes on when it is known who is here
        }
        let (mut found, options) = (Vec::new(), replay.options);
        let filter = Filter::from_checked(&replay.filter);
        let more = self.shared.values_of(&replay.filter).page(
            tenant,
            filter,
            &mut replay.cursor,
            page,
            now,
            &mut found,
        );
        let (filter, cursor) = (replay.filter.clone(), more.then(|| replay.cursor.clone()));
        if !more {
            session.finish_replay(Filter::from_checked(&filter));
        }
        if let Some(session_ref) = session_ref.filter(|_| session.stored) {
            // With what it has brought here: after a crash it goes on from here.
            let attached = Attached { share: None, filter: (*filter).into() };
            self.lane.journal.note(Note::Subscribed(session_ref, attached, options, cursor));
        }
        if options.no_local {
            found.retain(|message: &Message| message.header().publisher != publisher);
        }
        let via = options.id.map(|id| Arc::new(Via { ids: [id].into(), group: None }));
        for message in found {
            self.replay_one(now, slot, message, options.class_max, via.clone());
        }
        Progress::Made
    }

    fn replay_one(
        &mut self,
        now: Instant,
        slot: u32,
        message: Message,
        class_max: Class,
        via: Option<Arc<Via>>,
    ) {
        let lane = &mut self.lane;
        let Some(session_ref) = lane.connections.at(slot).and_then(|c| c.session()) else { return };
        let Some((session, key)) = lane.sessions.get_mut_with_key(session_ref) else { return };
        if session.checks_deliveries {
            let receiver = Receiver { reference: session_ref, session, key };
            let (judge, connections) = (&mut lane.judge, &mut lane.connections);
            if !may_see(judge, connections, &self.shared, &receiver, message.topic(), None) {
                return;
            }
        }
        let class = message.header().class.min(class_max);
        let entry = Entry::new(message, class, true, via);
        if !class.is_confirmed() {
            return self.hand_out(now, slot, &entry, None, false);
        }
        let sequence = session.queue.next_sequence();
        match session.queue.lease_new(entry.clone(), session.receive_max) {
            Ok(id) => {
                if session.stored
                    && let Some(connection) = lane.connections.at(slot)
                {
                    lane.journal.note_entry(session_ref, &Entry { sequence, ..entry.clone() }, Some(id));
                    // Nobody would send it again: what was handed out has to be known after a crash.
                    if postpone(&mut lane.journal, (slot, connection), id) {
                        return;
                    }
                }
                self.hand_out(now, slot, &entry, Some(id), false);
            }
            Err(entry) => {
                let counters = self.shared.counters(self.worker);
                enqueue((&mut lane.journal, &mut lane.hits), session_ref, session, counters, entry);
            }
        }
    }

    /// Writes an entry to the connection.
    fn hand_out(
        &mut self,
        now: Instant,
        slot: u32,
        entry: &Entry,
        id: Option<DeliveryId>,
        redelivered: bool,
    ) {
        let counters = self.shared.counters(self.worker);
        let lane = &mut self.lane;
        lane.begin(None);
        let Some(connection) = lane.connections.at(slot) else { return };
        let mut item = Item::shared(&entry.message);
        let Entry { class, retain, ref via, .. } = *entry;
        let manner = Manner { class, id, retain, redelivered, via: via.as_ref() };
        match write(&mut lane.frames, &self.shared, connection, now, &mut item, manner) {
            Ok(()) => {
                counters.messages_sent(class).add(1);
                mark_dirty(&mut lane.dirty, slot, connection);
            }
            Err(reason) => {
                if let Some(session_ref) = connection.session()
                    && let Some(session) = lane.sessions.get_mut(session_ref)
                {
                    undeliverable(&mut lane.journal, session_ref, session, counters, id, reason);
                }
            }
        }
    }
}
