//! What a queue hands out: to connections of this worker, and to those of others as long as they have room for it.

use std::sync::Arc;

use mynah_core::selector::Selector;
use mynah_core::{ConsumerKey, DropReason, Handout, History, SessionRef};
use mynah_model::{Instant, LeaseSettlement, Message, WallTime};
use mynah_stack::{ConsumerId, Delivery, FrameKind, Lease, SettleLeases, Subscribed};

use super::addresses::stands_for_queue;
use super::request::{Asker, Request, Said, Word};
use super::subscribed::is_subscribed;
use crate::connections::{ConnectionId, Connections};
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::lane::{lend, mark_dirty};

/// Deliveries made from one queue before others have their turn.
const HANDOUTS: usize = 256;
/// Queues that have their turn before others than queues.
const QUEUES: usize = 64;
/// Bytes on their way to a consumer of another worker.
const LENT_BYTES_MAX: u64 = 256 << 10;
/// What a delivery costs on its way beside its message, in bytes.
const LENT_OVERHEAD: u64 = 128;

/// A lease on its way to its consumer.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(super) consumer: ConsumerId,
    pub(super) lease: u64,
    sequence: u64,
    pub(super) message: Message,
    history: Option<Arc<History>>,
    acquired: u32,
    failed: u32,
    /// Messages that are ready behind it.
    ready: u64,
    /// Whether it is held until it is settled.
    is_held: bool,
    /// Until when it lasts, if no connection holds it.
    until: Option<WallTime>,
}

impl Lent {
    fn cost(&self) -> u64 {
        self.message.cost_bytes() as u64 + LENT_OVERHEAD
    }
}

/// Whether a consumer's connection of this worker has room. One that has not is remembered.
fn has_room(connections: &mut Connections, key: ConsumerKey, outbound_max: usize) -> bool {
    let id = ConnectionId { slot: key.slot, generation: key.generation };
    let Some(connection) = connections.get_mut(id) else { return false };
    let is_behind = connection.taps.as_deref().is_some_and(super::Taps::waits_for_window);
    let has_room = connection.outbound.len() < outbound_max && !connection.is_closing() && !is_behind;
    if let Some(taps) = connection.taps.as_deref_mut().filter(|_| !has_room) {
        taps.waits_for_room = true;
    }
    has_room
}

impl Engine {
    /// Hands out what queues have; some of each. Returns whether there is more.
    pub(crate) fn pump_queues(&mut self, now: Instant) -> bool {
        for _ in 0..self.lane.queues.listed().min(QUEUES) {
            let Some(queue) = self.lane.queues.next_listed() else { break };
            let replays = self.replay_to_queue(now, queue);
            if self.pump_queue(now, queue, HANDOUTS) || replays {
                self.lane.queues.list(queue);
            }
        }
        self.lane.queues.listed() > 0
    }

    /// Hands out what a queue has. Returns whether there may be more.
    pub(super) fn pump_queue(&mut self, now: Instant, queue: SessionRef, budget: usize) -> bool {
        let outbound_max = self.shared.limits.outbound_bytes_max;
        let mut more = true;
        for _ in 0..budget {
            let (worker, connections) = (self.worker, &mut self.lane.connections);
            let Some(owned) = self.lane.queues.get_mut(queue) else { return false };
            let (lent, selectors, layouts) = (&owned.lent, &owned.selectors, &self.shared.layouts);
            let has_room = |key: ConsumerKey| match key.worker == worker {
                true => has_room(connections, key, outbound_max),
                false => lent.get(&key).is_none_or(|bytes| *bytes < LENT_BYTES_MAX),
            };
            let wants = |key: ConsumerKey, message: &Message| {
                let view = message.view();
                let selects =
                    |selector: &Arc<Selector>| selector.selects(view.header, &layouts.properties(view, now));
                selectors.get(&key).is_none_or(selects)
            };
            let Some(handout) = owned.kernel.hand_out(now, has_room, wants) else {
                more = owned.kernel.is_busy();
                break;
            };
            self.send_out(now, queue, handout);
        }
        let Some(owned) = self.lane.queues.get_mut(queue) else { return false };
        if !more {
            owned.kernel.enforce();
        }
        if owned.kernel.has_effects() {
            self.take_effects(now, queue);
        }
        if self.lane.queues.get_mut(queue).is_some_and(|owned| core::mem::take(&mut owned.shows)) {
            self.note_queue(queue);
        }
        self.page_queue(queue);
        if self.lane.holders.is_served() {
            self.answer_takers(now);
        }
        self.end_if_over(now, queue);
        self.watch_queue(queue);
        more
    }

    fn send_out(&mut self, now: Instant, queue: SessionRef, handout: Handout) {
        let Handout {
            consumer: key,
            lease,
            sequence,
            message,
            history,
            acquired,
            failed,
            is_held,
            is_stored,
        } = handout;
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        let ready = owned.kernel.ready_len() as u64;
        owned.shows |= self.stopping && is_stored && is_held && sequence > owned.shown;
        owned.shown = if is_stored { owned.shown.max(sequence) } else { owned.shown };
        let (asker, consumer) = Asker::of(key, owned.tenant);
        let until = self.note_held(now, key, lease);
        let lent =
            Lent { consumer, lease, sequence, message, history, acquired, failed, ready, is_held, until };
        if asker.worker == self.worker {
            return self.deliver_lent(now, asker.connection, &lent);
        }
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        *owned.lent.entry(key).or_default() += lent.cost();
        let word = Word(Said::Lend(asker.connection, Box::new(lent)));
        self.outboxes[usize::from(asker.worker.0)].push(Parcel::Queue(Box::new(word)));
    }

    /// A delivery has come from a queue of another worker.
    pub(super) fn take_lent(&mut self, now: Instant, id: ConnectionId, lent: &Lent) {
        let cost = lent.cost();
        self.deliver_lent(now, id, lent);
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let Some(taps) = connection.taps.as_deref_mut() else { return };
        if let Some(tap) = taps.consumers.get_mut(&lent.consumer) {
            tap.owed += cost;
            taps.waits_for_room = true;
        }
        self.lane.mark_pumping(id.slot);
    }

    /// Writes a delivery to its connection. One that cannot be written is rejected.
    fn deliver_lent(&mut self, now: Instant, id: ConnectionId, lent: &Lent) {
        if is_subscribed(lent.consumer) {
            return self.deliver_subscribed(now, id, lent);
        }
        let is_there = self.lane.connections.get(id).is_some_and(|connection| !connection.is_closing());
        if !is_there || self.write_lent(now, id, lent, None) {
            return;
        }
        let (consumer, number) = (lent.consumer, lent.lease);
        if lent.is_held {
            let settlement = LeaseSettlement::Rejected;
            let settle = SettleLeases { consumer, first: number, last: number, settlement, receipt: None };
            self.ask_queue(now, id, Request::Settle(settle));
        } else {
            self.shared.counters(self.worker).dropped(DropReason::Unspellable).add(1);
        }
    }

    /// Writes a delivery to its connection, which is there. Returns whether the peer takes it.
    pub(super) fn write_lent(
        &mut self,
        now: Instant,
        id: ConnectionId,
        lent: &Lent,
        subscribed: Option<&Subscribed<'_>>,
    ) -> bool {
        let counters = self.shared.counters(self.worker);
        let lane = &mut self.lane;
        lane.begin(None);
        let Some(connection) = lane.connections.get_mut(id) else { return false };
        lend(&mut lane.spare, &mut connection.outbound);
        let mut item = Item::shared(&lent.message);
        let identified = subscribed.map_or(lent.is_held, |subscribed| subscribed.id.is_some());
        let kind = FrameKind { identified, retain: false };
        let frame = lane.frames.frame(&self.shared.layouts, now, &mut item, connection.layout, kind);
        let history = lent.history.as_deref();
        let routed = history.map(|history| (&*history.exchange, &*history.key));
        let is_by_name = routed.is_none() && stands_for_queue(lent.message.topic());
        let tap = connection.taps.as_deref().filter(|_| is_by_name);
        let named = tap.and_then(|taps| Some((&b""[..], &*taps.consumers.get(&lent.consumer)?.queue)));
        let class = subscribed.map_or(lent.message.header().class, |subscribed| subscribed.class);
        let taken = frame.is_some_and(|frame| {
            let lease = Lease {
                frame,
                message: lent.message.view(),
                routed: routed.or(named),
                consumer: lent.consumer,
                lease: lent.lease,
                acquired: lent.acquired,
                failed: lent.failed,
                offset: lent.sequence,
                ready: lent.ready,
                deaths: history.map_or(&[], |history| &history.deaths),
                subscribed,
                until: lent.until,
            };
            connection.stack.deliver(now, Delivery::Leased(&lease), &mut connection.outbound)
        });
        if taken {
            counters.messages_sent(class).add(1);
            mark_dirty(&mut lane.dirty, id.slot, connection);
        }
        taken
    }

    /// A connection has room: queues may go on that waited for it.
    pub(crate) fn wake_taps(&mut self, id: ConnectionId) {
        let max = self.shared.limits.outbound_bytes_max;
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        if connection.outbound.len() >= max {
            return;
        }
        let Some(taps) = connection.taps.as_deref_mut() else { return };
        taps.waits_for_room = false;
        let mut owing = Vec::new();
        for (consumer, tap) in &mut taps.consumers {
            owing.push((*consumer, tap.worker, core::mem::take(&mut tap.owed)));
        }
        let asker = self.asker(id);
        for (consumer, worker, owed) in owing {
            let key = asker.consumer(consumer);
            if worker == self.worker {
                self.give_room(key, 0);
            } else if owed > 0 {
                let word = Word(Said::Room(key, owed));
                self.outboxes[usize::from(worker.0)].push(Parcel::Queue(Box::new(word)));
            }
        }
    }

    /// A consumer's connection has room for so many more bytes.
    pub(super) fn give_room(&mut self, key: ConsumerKey, bytes: u64) {
        let Some(&queue) = self.lane.queues.consumers.get(&key) else { return };
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        if let Some(lent) = owned.lent.get_mut(&key) {
            *lent = lent.saturating_sub(bytes);
            if *lent == 0 {
                owned.lent.remove(&key);
            }
        }
        owned.kernel.wake(key);
        self.lane.queues.list(queue);
    }
}
