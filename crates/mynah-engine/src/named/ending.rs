//! Endings: of consumers, with their connections, and of queues.

use mynah_core::rules::{Action, Object};
use mynah_core::{DropReason, SessionRef};
use mynah_model::{Instant, Reason, Topic};
use mynah_stack::ConsumerId;

use super::request::{Asker, Fault, Reply, Request, Said, Word};
use super::{QueueNote, address};
use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::journal::Note;

/// Filters of queues that are gone which are removed in one turn.
const FILTERS: usize = 512;

impl Engine {
    /// A connection has ended: its consumers do, and its own queues. It was lost, or it said good-bye.
    pub(crate) fn leave_queues(&mut self, now: Instant, id: ConnectionId, lost: bool) {
        let Some(taps) = self.lane.connections.get(id).and_then(|connection| connection.taps.as_deref())
        else {
            return;
        };
        let consumers: Vec<ConsumerId> = taps.consumers.keys().copied().collect();
        let exclusive = taps.exclusive.clone();
        for consumer in consumers {
            self.ask_queue(now, id, Request::Leave { consumer, lost });
        }
        for name in exclusive {
            self.ask_queue(now, id, Request::EndExclusive { name });
        }
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.take());
        if let Some(undertaking) = taps.and_then(|taps| taps.transaction) {
            self.abandon(id, &undertaking);
        }
    }

    /// After a change of the rules: ends the consumers of a connection that may not consume any more.
    pub(crate) fn review_taps(&mut self, now: Instant, id: ConnectionId) {
        let Some(taps) = self.lane.connections.get(id).and_then(|connection| connection.taps.as_deref())
        else {
            return;
        };
        let consumers = taps.consumers.iter().filter(|(_, tap)| !tap.is_cancelled);
        let consumers: Vec<_> = consumers.map(|(consumer, tap)| (*consumer, tap.queue.clone())).collect();
        for (consumer, queue) in consumers {
            let topic = Topic::from_checked(&queue);
            if self.ask(id, |rights, names| rights.permits(Action::Consume, names, topic)) != Ok(Some(false))
            {
                continue;
            }
            self.audit_action(now, id, Action::Consume, Object::Topic(topic));
            self.ask_queue(now, id, Request::Leave { consumer, lost: false });
            self.answer_queue(now, id, Reply::ConsumerEnded { consumer, reason: Reason::NotAuthorized });
        }
    }

    /// A consumer takes no more.
    pub(super) fn end_consumer(
        &mut self,
        now: Instant,
        asker: Asker,
        consumer: ConsumerId,
        keep: bool,
        failed: bool,
    ) {
        let key = asker.consumer(consumer);
        let Some(&queue) = self.lane.queues.consumers.get(&key) else { return };
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        owned.kernel.cancel(now, key, keep, failed);
        owned.lent.remove(&key);
        owned.selectors.remove(&key);
        if !keep {
            self.lane.queues.consumers.remove(&key);
        }
        self.take_effects(now, queue);
        self.end_if_over(now, queue);
        self.watch_queue(queue);
    }

    /// A consumer that was cancelled need not be known any more once it holds nothing.
    pub(super) fn forget_if_done(&mut self, asker: Asker, consumer: ConsumerId) {
        let key = asker.consumer(consumer);
        let Some(&queue) = self.lane.queues.consumers.get(&key) else { return };
        if self.lane.queues.get(queue).is_some_and(|owned| owned.kernel.knows(key)) {
            return;
        }
        self.lane.queues.consumers.remove(&key);
        if asker.worker == self.worker {
            return self.forget_tap(asker.connection, consumer);
        }
        let word = Word(Said::Forget(asker.connection, consumer));
        self.outboxes[usize::from(asker.worker.0)].push(Parcel::Queue(Box::new(word)));
    }

    pub(super) fn forget_tap(&mut self, id: ConnectionId, consumer: ConsumerId) {
        let taps = self.lane.connections.get_mut(id).and_then(|connection| connection.taps.as_deref_mut());
        let Some(taps) = taps else { return };
        if taps.consumers.get(&consumer).is_some_and(|tap| tap.is_cancelled) {
            taps.consumers.remove(&consumer);
        }
    }

    pub(super) fn end_exclusive(&mut self, now: Instant, asker: Asker, name: &[u8]) {
        let Some(queue) = self.lane.queues.find(asker.tenant, name) else { return };
        if self.lane.queues.get(queue).is_some_and(|owned| owned.exclusive == Some(asker)) {
            self.end_queue(now, queue);
        }
    }

    pub(super) fn serve_delete(
        &mut self,
        now: Instant,
        asker: Asker,
        name: &[u8],
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, Fault> {
        let queue = self.find_for(asker, name)?;
        let Some(owned) = self.lane.queues.get(queue) else { return Err(Fault::from(Reason::NotFound)) };
        if if_unused && owned.kernel.consumers() > 0 {
            return Err(Fault::new(Reason::PreconditionFailed, "the queue is in use"));
        }
        if if_empty && owned.kernel.ready_len() > 0 {
            return Err(Fault::new(Reason::PreconditionFailed, "the queue is not empty"));
        }
        Ok(self.end_queue(now, queue))
    }

    /// Ends a queue that nobody uses any more, if it is one that ends then.
    pub(super) fn end_if_over(&mut self, now: Instant, queue: SessionRef) {
        if self.lane.queues.get(queue).is_some_and(|owned| owned.kernel.is_over(now)) {
            self.end_queue(now, queue);
        }
    }

    /// Ends a queue. Returns how many messages were ready in it.
    fn end_queue(&mut self, now: Instant, queue: SessionRef) -> u64 {
        let Some(owned) = self.lane.queues.remove(queue) else { return 0 };
        if let Some((key, _)) = owned.timer {
            self.timers.cancel(key);
        }
        self.give_up_replays(now, owned.replays);
        self.shared.note_refusing(owned.tenant, &owned.name, false);
        self.publish_filter_of_queue(owned.tenant, &address(&owned.name), queue, false);
        self.shared.discount_queue(owned.tenant);
        self.forget_queue(owned.tenant, queue);
        // Nothing is delivered by the others any more; they go bit by bit.
        self.unbinding.extend(owned.filters.into_iter().map(|filter| (owned.tenant, filter, queue)));
        for (key, consumes) in owned.kernel.consumer_keys() {
            self.lane.queues.consumers.remove(&key);
            if !consumes {
                continue;
            }
            let (asker, consumer) = Asker::of(key, owned.tenant);
            self.reply(now, asker, Reply::ConsumerEnded { consumer, reason: Reason::NotFound });
        }
        if owned.stored {
            self.shared.count_stored(self.worker, false);
            self.lane.journal.note(Note::Queue(QueueNote::Ended(owned.tenant, owned.name.clone())));
        }
        let ready = owned.kernel.ready_len() as u64;
        self.count_dropped(DropReason::SessionEnded, ready as usize);
        ready
    }

    /// Removes some of the filters and bindings of queues that are gone. Returns whether there are more.
    pub(crate) fn unbind_some(&mut self) -> bool {
        for _ in 0..FILTERS.min(self.unbinding.len()) {
            if let Some((tenant, filter, queue)) = self.unbinding.pop_front() {
                self.publish_filter_of_queue(tenant, &filter, queue, false);
            }
        }
        self.forget_bindings() | !self.unbinding.is_empty()
    }
}
