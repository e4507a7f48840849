//! Leases that no connection holds: for a protocol whose connections last for one request.
//!
//! They are taken by a consumer that polls, in the name of a holder that nobody can guess. The consumer ends as soon as it has
//! got something, or nothing in the time that it waits; its leases stay in the queue until they are settled under the
//! holder's name, or until their time is over, when they have failed. If the connection ends before it has its answer, all of
//! that ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mynah_core::rules::Action;
use mynah_core::{ConsumerKey, SessionRef, Taking};
use mynah_model::{Credit, Instant, LeaseSettlement, Reason, WallTime};
use mynah_stack::{ConsumerId, Hold, Holder, Holding};

use super::Tap;
use super::request::{Asker, Fault, Reply, Request, Wanting};
use crate::connections::ConnectionId;
use crate::due::Timer;
use crate::engine::Engine;
use crate::timer::TimerKey;

/// Set in the numbers of consumers by which connections take leases; no stack has so many.
const TAKER: u32 = 1 << 30;

/// Leases that end before others have their turn.
const DUE_BUDGET: usize = 1_024;

/// The number of no lease: what is due of a holder is then the end of its waiting.
const WAITING: u64 = 0;

/// Who holds leases of one worker's queues.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    by_name: BTreeMap<Holder, Held>,
    by_key: BTreeMap<ConsumerKey, Holder>,
    /// What ends when, and in whose name: a lease, or [`WAITING`].
    due: BTreeSet<(Instant, Holder, u64)>,
    timer: Option<(TimerKey, Instant)>,
    /// Those that have got something and are to be answered.
    served: Vec<Holder>,
}

/// What a holder has.
#[derive(Debug)]
struct Held {
    queue: SessionRef,
    key: ConsumerKey,
    lasting: Duration,
    /// Until it is answered: who asked, and until when it waits.
    asked: Option<(Asker, u32, Instant)>,
    leases: BTreeMap<u64, HeldLease>,
    /// How long a lease lasts at most, from when it begins.
    lasting_max: Option<Duration>,
}

#[derive(Debug)]
struct HeldLease {
    end: Instant,
    /// It is not extended beyond this.
    latest: Option<Instant>,
}

impl HeldLease {
    /// Sets when it ends, as far as that may be. Returns when that is.
    fn last(&mut self, until: Instant) -> Instant {
        self.end = self.latest.map_or(until, |latest| latest.min(until));
        self.end
    }
}

impl Holders {
    /// Whether somebody is to be answered.
    pub(super) fn is_served(&self) -> bool {
        !self.served.is_empty()
    }

    fn len(&self) -> usize {
        self.due.len()
    }

    /// Forgets a lease, and its holder with the last. Returns the consumer.
    fn take(&mut self, name: Holder, lease: u64) -> Option<ConsumerKey> {
        let held = self.by_name.get_mut(&name)?;
        let (key, end) = (held.key, held.leases.remove(&lease)?.end);
        self.due.remove(&(end, name, lease));
        self.forget_if_empty(name);
        Some(key)
    }

    /// The timer has fired, and is not to be cancelled.
    pub(crate) fn timer_fired(&mut self) {
        self.timer = None;
    }

    fn forget_if_empty(&mut self, name: Holder) {
        let is_empty = |held: &Held| held.asked.is_none() && held.leases.is_empty();
        if self.by_name.get(&name).is_some_and(is_empty)
            && let Some(held) = self.by_name.remove(&name)
        {
            self.by_key.remove(&held.key);
        }
    }
}

impl Engine {
    /// A connection asks something about leases that it does not hold itself.
    pub(super) fn hold_leases(&mut self, now: Instant, id: ConnectionId, hold: &Hold<'_>) {
        let Hold { receipt, queue, holder, holding } = *hold;
        let allowed = self.may(now, id, Action::Consume, queue);
        let taker = allowed.and_then(|()| match holding {
            Holding::Take { .. } => self.make_taker(id, queue),
            Holding::Settle(..) | Holding::Extend(..) => Ok(ConsumerId(TAKER)),
        });
        let consumer = match taker {
            Ok(consumer) => consumer,
            Err(fault) => {
                return self.answer_queue(
                    now,
                    id,
                    Reply::Held { receipt, taken_by: None, result: Err(fault) },
                );
            }
        };
        let wanting = Wanting { receipt, name: queue.into(), holder, holding };
        self.ask_queue(now, id, Request::Hold(consumer, Box::new(wanting)));
    }

    fn make_taker(&mut self, id: ConnectionId, queue: &[u8]) -> Result<ConsumerId, Fault> {
        let (worker, max) = (self.owner_of(id, queue), self.shared.limits.subscriptions_per_session_max);
        let connection = self.lane.connections.get_mut(id).ok_or(Reason::Disconnected)?;
        let taps = connection.taps.get_or_insert_default();
        if taps.consumers.len() >= max {
            return Err(Fault::from(Reason::QuotaExceeded));
        }
        let consumer = ConsumerId(TAKER | taps.under_way.number() & (TAKER - 1));
        taps.consumers.insert(consumer, Tap::new(queue, worker));
        Ok(consumer)
    }

    pub(super) fn serve_hold(&mut self, now: Instant, asker: Asker, consumer: ConsumerId, wanting: &Wanting) {
        let Wanting { receipt, ref name, holder, holding } = *wanting;
        let found = self.find_for(asker, name);
        let (taken_by, result) = match holding {
            Holding::Take { credit, lasting, wait } => {
                let asked = Some((asker, receipt, now + wait));
                let held = |queue| Held {
                    queue,
                    key: asker.consumer(consumer),
                    lasting,
                    asked,
                    leases: BTreeMap::new(),
                    lasting_max: None,
                };
                match found.and_then(|queue| self.take_held(now, holder, held(queue), credit)) {
                    Ok(()) => return,
                    Err(fault) => (Some(consumer), Err(fault)),
                }
            }
            Holding::Settle(lease, settlement) => {
                (None, found.map(|queue| self.settle_held(now, queue, (holder, lease), settlement)))
            }
            Holding::Extend(lease, lasting) => {
                (None, found.map(|queue| self.extend_held(queue, (holder, lease), now + lasting)))
            }
        };
        self.reply(now, asker, Reply::Held { receipt, taken_by, result });
    }

    /// Begins to take leases. Who asked is answered when there are some, or when it has waited for long enough.
    fn take_held(&mut self, now: Instant, name: Holder, mut held: Held, credit: Credit) -> Result<(), Fault> {
        let Held { queue, key, asked, .. } = held;
        let (messages, max) = (credit.messages as usize, self.shared.limits.held_leases_max);
        if self.lane.holders.len().saturating_add(messages) > max {
            return Err(Fault::from(Reason::QuotaExceeded));
        }
        let owned = self.lane.queues.get_mut(queue).ok_or(Reason::NotFound)?;
        if owned.kernel.settings().stream.is_some() || self.lane.holders.by_name.contains_key(&name) {
            return Err(Fault::new(Reason::PreconditionFailed, "a stream is read, not leased"));
        }
        held.lasting_max = owned.kernel.settings().lease_max;
        owned.kernel.consume(now, key, Taking { polls: true, times: true, ..Taking::default() }, credit)?;
        self.lane.queues.consumers.insert(key, queue);
        self.lane.holders.by_key.insert(key, name);
        self.lane.holders.by_name.insert(name, held);
        let waits_until = asked.map_or(now, |(_, _, until)| until);
        self.lane.holders.due.insert((waits_until, name, WAITING));
        while self.pump_queue(now, queue, usize::MAX) {}
        if waits_until <= now {
            self.answer_taker(now, name);
        }
        self.watch_held();
        Ok(())
    }

    /// Notes a delivery to a holder. Returns until when it lasts; none if it is to a connection.
    pub(super) fn note_held(&mut self, now: Instant, key: ConsumerKey, lease: u64) -> Option<WallTime> {
        let holders = &mut self.lane.holders;
        let name = *holders.by_key.get(&key)?;
        let held = holders.by_name.get_mut(&name)?;
        let latest = held.lasting_max.map(|max| now + max);
        let mut made = HeldLease { end: now, latest };
        let end = made.last(now + held.lasting);
        held.leases.insert(lease, made);
        holders.due.insert((end, name, lease));
        if holders.served.last() != Some(&name) {
            holders.served.push(name);
        }
        Some(self.shared.wall_at(end))
    }

    /// Answers those who have got something.
    pub(super) fn answer_takers(&mut self, now: Instant) {
        while let Some(name) = self.lane.holders.served.pop() {
            self.answer_taker(now, name);
        }
        self.watch_held();
    }

    /// Answers who takes leases, with what there was. It gets no more.
    fn answer_taker(&mut self, now: Instant, name: Holder) {
        let holders = &mut self.lane.holders;
        let Some(held) = holders.by_name.get_mut(&name) else { return };
        let (key, queue) = (held.key, held.queue);
        let Some((asker, receipt, waits_until)) = held.asked.take() else { return };
        let until = held.leases.values().next().map_or(now, |lease| lease.end);
        holders.due.remove(&(waits_until, name, WAITING));
        holders.forget_if_empty(name);
        if let Some(owned) = self.lane.queues.get_mut(queue) {
            owned.kernel.cancel(now, key, true, false);
            owned.lent.remove(&key);
        }
        self.forget_consumer_of(queue, key);
        let until = self.shared.wall_at(until);
        self.reply(
            now,
            asker,
            Reply::Held { receipt, taken_by: Some(ConsumerId(key.number)), result: Ok(Some(until)) },
        );
    }

    /// The consumer of a holder need not be known any more once it holds nothing.
    fn forget_consumer_of(&mut self, queue: SessionRef, key: ConsumerKey) {
        if self.lane.queues.get(queue).is_none_or(|owned| !owned.kernel.knows(key)) {
            self.lane.queues.consumers.remove(&key);
        }
    }

    /// Settles a lease of a holder. None if it is not held in this queue.
    fn settle_held(
        &mut self,
        now: Instant,
        queue: SessionRef,
        (name, lease): (Holder, u64),
        settlement: LeaseSettlement,
    ) -> Option<WallTime> {
        let holders = &mut self.lane.holders;
        holders.by_name.get(&name).filter(|held| held.queue == queue)?;
        let key = holders.take(name, lease)?;
        self.settle_leases(now, queue, key, (lease, lease), settlement);
        self.forget_consumer_of(queue, key);
        Some(self.shared.wall_at(now))
    }

    fn extend_held(
        &mut self,
        queue: SessionRef,
        (name, lease): (Holder, u64),
        until: Instant,
    ) -> Option<WallTime> {
        let holders = &mut self.lane.holders;
        let held = holders.by_name.get_mut(&name).filter(|held| held.queue == queue)?;
        let extended = held.leases.get_mut(&lease)?;
        holders.due.remove(&(extended.end, name, lease));
        let until = extended.last(until);
        holders.due.insert((until, name, lease));
        self.watch_held();
        Some(self.shared.wall_at(until))
    }

    /// The connection is gone that takes leases, before it was answered: nobody knows of them.
    pub(super) fn forget_holder(&mut self, key: ConsumerKey) {
        let holders = &mut self.lane.holders;
        let Some(name) = holders.by_key.remove(&key) else { return };
        let Some(held) = holders.by_name.remove(&name) else { return };
        let waits = held.asked.map(|(_, _, until)| (until, name, WAITING));
        let ends = held.leases.iter().map(|(number, lease)| (lease.end, name, *number));
        for due in ends.chain(waits) {
            holders.due.remove(&due);
        }
    }

    /// Arms the timer, if something is due earlier than it wakes.
    fn watch_held(&mut self) {
        let holders = &mut self.lane.holders;
        let Some(&(due, ..)) = holders.due.first() else { return };
        if let Some((key, armed)) = holders.timer {
            if armed <= due {
                return;
            }
            self.timers.cancel(key);
        }
        holders.timer = Some((self.timers.arm(due, Timer::Held), due));
    }

    /// What is over has failed; who has waited for long enough is answered.
    pub(crate) fn held_due(&mut self, now: Instant) {
        self.lane.journal.begin();
        for _ in 0..DUE_BUDGET {
            let Some(&(due, name, lease)) = self.lane.holders.due.first() else { break };
            if due > now {
                break;
            }
            if lease == WAITING {
                self.answer_taker(now, name);
                continue;
            }
            let queue = self.lane.holders.by_name.get(&name).map(|held| held.queue);
            let key = self.lane.holders.take(name, lease);
            if let Some((queue, key)) = queue.zip(key) {
                self.settle_leases(now, queue, key, (lease, lease), LeaseSettlement::FAILED);
                self.forget_consumer_of(queue, key);
            }
        }
        self.watch_held();
    }
}
