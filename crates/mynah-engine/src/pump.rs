//! Deliveries that had to wait: unconfirmed ones of a resumed session, then its backlog, then retained values.
//!
//! Each step looks whether the connection has room first, so that a peer that reads slowly costs no more memory than
//! its outbound buffer may hold.

use std::sync::Arc;

use mynah_core::{DropReason, Entry, LeaseState, Via};
use mynah_model::{Class, DeliveryId, Filter, Instant, Message};
use mynah_stack::Delivery;

use crate::connections::Resume;
use crate::engine::Engine;
use crate::item::Item;
use crate::lane::{Manner, mark_dirty, may_receive, undeliverable, write};

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
    /// Whether a connection has input or deliveries that wait for room.
    pub(crate) fn has_waiting_work(&mut self, slot: u32) -> bool {
        let Some(connection) = self.lane.connections.at(slot) else { return false };
        let waiting = connection.resume.is_some() || !connection.inbound.is_empty();
        let session = connection.session().and_then(|s| self.lane.sessions.get(s));
        session.is_some_and(|s| waiting || !s.queue.is_drained() || s.is_replaying())
    }

    /// Makes up to `budget` deliveries that waited. Returns whether more can be made at once.
    pub(crate) fn pump_connection(&mut self, now: Instant, slot: u32, budget: usize) -> bool {
        self.lane.lend(slot);
        for _ in 0..budget {
            let Some(connection) = self.lane.connections.at(slot) else { return false };
            if connection.outbound.len() >= self.shared.limits.outbound_bytes_max {
                return false; // goes on when it has been written
            }
            let progress = if let Some(resume) = connection.resume {
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
        let session = self.lane.connections.at(slot).and_then(|c| c.session());
        let Some(session) = session.and_then(|s| self.lane.sessions.get_mut(s)) else {
            return Progress::Paused;
        };
        let next = session.queue.lease_next(now, session.receive_max).map(|l| (l.entry().clone(), l.id()));
        let expired = session.queue.take_expired();
        if expired > 0 {
            self.count_dropped(DropReason::Expired, expired);
        }
        let Some((entry, id)) = next else { return Progress::Paused };
        self.hand_out(now, slot, &entry, id, false);
        Progress::Made
    }

    /// Takes the next retained values of a replay from the store and delivers them.
    fn replay_next(&mut self, now: Instant, slot: u32) -> Progress {
        let Some(connection) = self.lane.connections.at(slot) else { return Progress::Paused };
        let (tenant, publisher) = (connection.tenant, connection.publisher);
        let session = connection.session().and_then(|s| self.lane.sessions.get_mut(s));
        let Some(session) = session else { return Progress::Paused };
        let room = usize::from(session.receive_max).saturating_sub(session.queue.leased_len());
        let Some(replay) = session.replay() else { return Progress::Paused };
        let page = if replay.options.class_max.is_confirmed() { PAGE.min(room) } else { PAGE };
        if page == 0 {
            return Progress::Paused; // goes on when the peer has confirmed something
        }
        let (mut found, options) = (Vec::new(), replay.options);
        let filter = Filter::from_checked(&replay.filter);
        let more =
            self.shared.read_retained().page(tenant, filter, &mut replay.cursor, page, now, &mut found);
        if !more {
            let filter = replay.filter.clone();
            session.finish_replay(Filter::from_checked(&filter));
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
        let session = self.lane.connections.at(slot).and_then(|c| c.session());
        let session = session.and_then(|s| self.lane.sessions.get_mut_with_key(s));
        let Some((session, key)) = session else { return };
        if session.checks_deliveries && !may_receive(&self.shared, session, key, message.topic()) {
            return;
        }
        let class = message.header().class.min(class_max);
        let entry = Entry { message, class, retain: true, via };
        if !class.is_confirmed() {
            return self.hand_out(now, slot, &entry, None, false);
        }
        match session.queue.lease_new(entry.clone(), session.receive_max) {
            Ok(id) => self.hand_out(now, slot, &entry, Some(id), false),
            Err(entry) => {
                let dropped = session.queue.push(entry);
                self.count_dropped(DropReason::BacklogFull, dropped);
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
        let Some(connection) = lane.connections.at(slot) else { return };
        let mut item = Item::shared(&entry.message);
        lane.frames.begin();
        let Entry { class, retain, ref via, .. } = *entry;
        let manner = Manner { class, id, retain, redelivered, via: via.as_ref() };
        match write(&mut lane.frames, &self.shared, connection, now, &mut item, manner) {
            Ok(()) => {
                counters.messages_sent(class).add(1);
                mark_dirty(&mut lane.dirty, slot, connection);
            }
            Err(reason) => {
                if let Some(session) = connection.session().and_then(|s| lane.sessions.get_mut(s)) {
                    undeliverable(session, counters, id, reason);
                }
            }
        }
    }
}
