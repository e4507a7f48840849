//! What the worker of a queue does about what connections ask.

use std::sync::Arc;

use mynah_core::{ConsumerKey, DropReason, NamedQueue, SessionRef, StreamStart, Taking};
use mynah_model::{
    Class, Filter, Instant, LeaseSettlement, QueueSettings, Reason, StreamOffset, SubscriptionOptions,
    TenantId,
};
use mynah_stack::{ConsumerId, Flow, SettleLeases};

use super::request::{Asker, Consuming, Fault, Found, Reply, Request, Said, Wanted, Word};
use super::{QueueNote, address};
use crate::due::Timer;
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::journal::Note;
use crate::publish::exceeds;

/// Entries that are seen to when their time has come, before others have their turn.
const DUE_BUDGET: usize = 1_024;

impl Engine {
    /// Another worker speaks of queues.
    pub(crate) fn handle_word(&mut self, now: Instant, word: Word) {
        self.lane.journal.begin();
        match word.0 {
            Said::Ask(asker, request) => self.serve(now, asker, request),
            Said::Tell(connection, reply) => self.answer_queue(now, connection, reply),
            Said::Lend(connection, lent) => self.take_lent(now, connection, &lent),
            Said::Forget(connection, consumer) => self.forget_tap(connection, consumer),
            Said::Pledged(connection, pledge) => self.pledged(now, connection, *pledge),
            Said::Bury(letter) => self.take_letter(now, *letter),
            Said::BuryAll(letters) => self.take_letters(now, *letters),
            Said::ExchangeEnded(tenant, name) => self.exchange_ended(tenant, name),
            Said::Room(key, bytes) => self.give_room(key, bytes),
        }
    }

    /// Carries out what a connection asks of a queue of this worker.
    pub(super) fn serve(&mut self, now: Instant, asker: Asker, request: Request) {
        match request {
            Request::Declare { receipt, name, wanted } => {
                let result = self.serve_declare(now, asker, &name, wanted);
                self.reply(now, asker, Reply::Declared { receipt, name, result });
            }
            Request::Delete { receipt, name, if_unused, if_empty } => {
                let result = self.serve_delete(now, asker, &name, if_unused, if_empty);
                self.reply(now, asker, Reply::Deleted { receipt, result });
            }
            Request::Purge { receipt, name } => {
                let result = self.find_for(asker, &name).map(|queue| self.serve_purge(now, queue));
                self.reply(now, asker, Reply::Deleted { receipt, result });
            }
            Request::Attach { receipt, name, filter, retained } => {
                self.serve_attach(now, asker, receipt, (&name, filter), retained);
            }
            Request::Detach { receipt, name, filter } => {
                let result = self.find_for(asker, &name);
                let result = result.map(|queue| self.detach_from_queue(queue, &filter));
                self.reply(now, asker, Reply::Bound { receipt, result });
            }
            Request::NoteExchange(noting) => self.serve_noting(now, asker, *noting),
            Request::Bind(wish) => {
                let receipt = wish.receipt;
                let result = self.serve_bind(asker, *wish);
                self.reply(now, asker, Reply::Bound { receipt, result });
            }
            Request::Consume(consumer, consuming) => {
                let result = self.serve_consume(now, asker, consumer, &consuming);
                self.reply(now, asker, Reply::Consuming { consumer, result });
            }
            Request::Publish { receipt, name, message, makes } => {
                let class = message.header().class;
                let result = self.serve_publish(now, asker, &name, message, makes);
                if let Some(receipt) = receipt {
                    self.reply(now, asker, Reply::Published { receipt, class, result });
                }
            }
            Request::Cancel { consumer, keep } => {
                self.end_consumer(now, asker, consumer, keep, false);
                self.reply(now, asker, Reply::Cancelled(consumer));
                self.forget_if_done(asker, consumer);
            }
            Request::Leave { consumer, lost } => {
                self.end_consumer(now, asker, consumer, false, lost);
                self.forget_holder(asker.consumer(consumer));
            }
            Request::Hold(consumer, wanting) => self.serve_hold(now, asker, consumer, &wanting),
            Request::EndExclusive { name } => self.end_exclusive(now, asker, &name),
            Request::Flow(flow) => self.serve_flow(asker, flow),
            Request::Settle(settle) => self.serve_settle(now, asker, settle),
            Request::Pledge(settle) => self.serve_pledge(asker, settle),
            Request::Redeem { queue, number, settlement } => self.redeem(now, queue, number, settlement),
        }
    }

    /// Tells a connection what became of its request: when what it has changed is stored.
    pub(super) fn reply(&mut self, now: Instant, asker: Asker, reply: Reply) {
        if asker.worker == self.worker {
            return self.answer_queue(now, asker.connection, reply);
        }
        let waits = reply.is_promise();
        let parcel = Parcel::Queue(Box::new(Word(Said::Tell(asker.connection, reply))));
        let late = if waits { self.lane.journal.postpone(asker.worker, parcel) } else { Some(parcel) };
        self.outboxes[usize::from(asker.worker.0)].extend(late);
    }

    pub(super) fn find_for(&self, asker: Asker, name: &[u8]) -> Found {
        let found = self.lane.queues.find(asker.tenant, name);
        let queue = found.ok_or_else(|| Fault::new(Reason::NotFound, "there is no queue of this name"))?;
        let owner = self.lane.queues.get(queue).and_then(|owned| owned.exclusive);
        if owner.is_some_and(|owner| owner != asker) {
            return Err(Fault::new(Reason::Locked, "the queue is another connection's own"));
        }
        Ok(queue)
    }

    fn serve_declare(
        &mut self,
        now: Instant,
        asker: Asker,
        name: &[u8],
        wanted: Wanted,
    ) -> Result<(u64, u32), Fault> {
        let queue = match (self.find_for(asker, name), wanted) {
            (Ok(queue), Wanted::Settings(settings)) => {
                let owned = self.lane.queues.get(queue);
                let differs = owned.and_then(|owned| owned.kernel.differs_from(&settings));
                if let Some(detail) = differs {
                    let is_shared = owned.is_some_and(|owned| owned.exclusive.is_none());
                    let agrees = is_shared != settings.exclusive;
                    let reason = if agrees { Reason::PreconditionFailed } else { Reason::Locked };
                    return Err(Fault::new(reason, detail));
                }
                queue
            }
            (Err(Fault { reason: Reason::NotFound, .. }), Wanted::Settings(settings)) => {
                self.make_queue(now, asker, name, *settings)?
            }
            (Err(Fault { reason: Reason::NotFound, .. }), Wanted::OnFirstUse) => {
                self.make_queue(now, asker, name, QueueSettings::DURABLE)?
            }
            (found, Wanted::Passive | Wanted::OnFirstUse) => found?,
            (Err(fault), Wanted::Settings(_)) => return Err(fault),
        };
        let Some(owned) = self.lane.queues.get_mut(queue) else { return Err(Fault::from(Reason::NotFound)) };
        owned.kernel.touch(now);
        if !self.lane.journal.is_stored(owned.noted_at) {
            // It was declared a moment ago: this answer waits as the first one does.
            owned.noted_at = 0;
        }
        let counts = (owned.kernel.ready_len() as u64, owned.kernel.consumers());
        if owned.noted_at == 0 {
            self.note_queue(queue);
        }
        self.watch_queue(queue);
        Ok(counts)
    }

    pub(super) fn make_queue(
        &mut self,
        now: Instant,
        asker: Asker,
        name: &[u8],
        settings: QueueSettings,
    ) -> Found {
        let tenant = asker.tenant;
        if !self.shared.count_queue(tenant) {
            return Err(Fault::new(Reason::QuotaExceeded, "there are too many queues"));
        }
        let (is_durable, is_exclusive) = (settings.durable, settings.exclusive);
        let refuses = settings.overflow != mynah_model::Overflow::DropHead;
        let mut kernel = NamedQueue::new(settings, self.first_sequence, now);
        kernel.bound(self.shared.limits.queue_messages_max, self.shared.limits.queue_bytes_max);
        let queue = self.lane.queues.insert(tenant, name.into(), kernel);
        if let Some(owned) = self.lane.queues.get_mut(queue) {
            owned.exclusive = is_exclusive.then_some(asker);
            owned.stored = is_durable && !is_exclusive && self.lane.journal.is_on();
            if owned.stored {
                self.shared.count_stored(self.worker, true);
            }
        }
        self.note_queue(queue);
        if refuses {
            self.shared.note_refusing(tenant, name, true);
        }
        self.publish_filter_of_queue(tenant, &address(name), queue, true);
        Ok(queue)
    }

    /// Lets all workers see a filter that is attached to a queue, or that it is not any more.
    pub(super) fn publish_filter_of_queue(
        &self,
        tenant: TenantId,
        filter: &[u8],
        queue: SessionRef,
        attached: bool,
    ) {
        let filter = Filter::from_checked(filter);
        if attached {
            let options = SubscriptionOptions::new(Class::ExactlyOnce);
            self.shared.write_index().insert(tenant, filter, queue, options);
        } else {
            self.shared.write_index().remove(tenant, filter, queue);
        }
        self.shared.generations.bump(tenant, filter);
    }

    /// Returns whether the filter was not attached before; that it is now remains to be noted.
    pub(super) fn attach_to_queue(&mut self, queue: SessionRef, filter: &[u8]) -> Result<bool, Fault> {
        let max = self.shared.limits.queue_bindings_max;
        let owned = self.lane.queues.get_mut(queue).ok_or(Reason::NotFound)?;
        if exceeds(filter, &self.shared.limits) {
            return Err(Fault::from(Reason::FilterInvalid));
        }
        if owned.filters.contains(filter) {
            return Ok(false);
        }
        if owned.filters.len() >= max {
            return Err(Fault::from(Reason::QuotaExceeded));
        }
        owned.filters.insert(filter.into());
        let tenant = owned.tenant;
        self.publish_filter_of_queue(tenant, filter, queue, true);
        Ok(true)
    }

    fn detach_from_queue(&mut self, queue: SessionRef, filter: &[u8]) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        if !owned.filters.remove(filter) {
            return;
        }
        let tenant = owned.tenant;
        if owned.stored {
            self.lane.journal.note(Note::Queue(QueueNote::Filter(queue, filter.into(), false)));
        }
        self.publish_filter_of_queue(tenant, filter, queue, false);
    }

    fn serve_purge(&mut self, now: Instant, queue: SessionRef) -> u64 {
        let owned = self.lane.queues.get_mut(queue);
        let count = owned.map_or(0, |owned| owned.kernel.purge());
        self.take_effects(now, queue);
        count
    }

    fn serve_consume(
        &mut self,
        now: Instant,
        asker: Asker,
        consumer: ConsumerId,
        consuming: &Consuming,
    ) -> Result<(), Fault> {
        let queue = match self.find_for(asker, &consuming.name) {
            Err(Fault { reason: Reason::NotFound, .. }) if consuming.makes => {
                self.make_queue(now, asker, &consuming.name, QueueSettings::DURABLE)?
            }
            found => found?,
        };
        let offset = consuming.offset.map(|offset| self.start_of(offset));
        let taking = Taking { offset, ..consuming.taking };
        let key = asker.consumer(consumer);
        let owned = self.lane.queues.get_mut(queue).ok_or(Reason::NotFound)?;
        owned.kernel.consume(now, key, taking, consuming.credit)?;
        owned.selectors.extend(consuming.selector.iter().map(|selector| (key, Arc::clone(selector))));
        self.lane.queues.consumers.insert(key, queue);
        self.lane.queues.list(queue);
        Ok(())
    }

    fn start_of(&self, offset: StreamOffset) -> StreamStart {
        match offset {
            StreamOffset::First => StreamStart::First,
            StreamOffset::Last => StreamStart::Last,
            StreamOffset::Next => StreamStart::Next,
            StreamOffset::Number(number) => StreamStart::Number(number),
            StreamOffset::Time(time) => StreamStart::Since(self.shared.instant_of(time)),
        }
    }

    fn serve_flow(&mut self, asker: Asker, flow: Flow) {
        let key = asker.consumer(flow.consumer);
        let Some(&queue) = self.lane.queues.consumers.get(&key) else { return };
        if let Some(owned) = self.lane.queues.get_mut(queue) {
            owned.kernel.flow(key, flow.change, flow.drain);
        }
        self.lane.queues.list(queue);
    }

    fn serve_settle(&mut self, now: Instant, asker: Asker, settle: SettleLeases) {
        let SettleLeases { consumer, first, last, settlement, receipt } = settle;
        let key = asker.consumer(consumer);
        if let Some(&queue) = self.lane.queues.consumers.get(&key) {
            self.settle_leases(now, queue, key, (first, last), settlement);
        }
        if let Some(receipt) = receipt {
            self.reply(now, asker, Reply::Settled { receipt });
        }
        self.forget_if_done(asker, consumer);
    }

    pub(super) fn settle_leases(
        &mut self,
        now: Instant,
        queue: SessionRef,
        key: ConsumerKey,
        (first, last): (u64, u64),
        settlement: LeaseSettlement,
    ) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        owned.kernel.settle(now, key, first, last, settlement);
        self.take_effects(now, queue);
    }

    /// Does what follows from a change of a queue: what is gone is noted, what was dropped goes where dead letters go, and
    /// what can be handed out now is.
    pub(super) fn take_effects(&mut self, now: Instant, queue: SessionRef) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        let tenant = owned.tenant;
        let (dropped, drained) = (owned.kernel.take_dropped(), owned.kernel.take_drained());
        self.note_gone(queue);
        for dropped in dropped {
            self.bury(now, queue, dropped);
        }
        for key in drained {
            let (asker, consumer) = Asker::of(key, tenant);
            self.reply(now, asker, Reply::Drained(consumer));
        }
        self.lane.queues.list(queue);
    }

    /// Arms the timer of a queue, if something is due earlier than it wakes.
    pub(super) fn watch_queue(&mut self, queue: SessionRef) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        let Some(due) = owned.kernel.due() else { return };
        if let Some((key, armed)) = owned.timer {
            if armed <= due {
                return;
            }
            self.timers.cancel(key);
        }
        owned.timer = Some((self.timers.arm(due, Timer::Queue(queue)), due));
    }

    /// Something may be due in a queue.
    pub(crate) fn queue_due(&mut self, now: Instant, queue: SessionRef) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        owned.kernel.handle_time(now, DUE_BUDGET);
        self.take_effects(now, queue);
        self.end_if_over(now, queue);
        self.watch_queue(queue);
    }
}

/// How a message that a queue has dropped is counted.
pub(super) const fn reason_of(reason: mynah_model::DeathReason) -> DropReason {
    match reason {
        mynah_model::DeathReason::Rejected | mynah_model::DeathReason::DeliveryLimit => DropReason::Rejected,
        mynah_model::DeathReason::Expired => DropReason::Expired,
        mynah_model::DeathReason::MaxLength => DropReason::BacklogFull,
    }
}
