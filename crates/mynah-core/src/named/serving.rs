//! Serving consumers: who gets the next entry.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cmp::Reverse;

use mynah_model::{Credit, CreditChange, Instant, Message, Reason};

use super::NamedQueue;
use super::consumer::{Consumer, ConsumerKey, Held, StreamStart, Taking};
use super::entry::{Body, History};
use super::ready::Place;
use crate::administration::ConsumerView;

/// Entries that are looked at for consumers that want some only, before others have their turn.
const LOOKS_MAX: usize = 1_000;

/// An entry on its way to a consumer.
#[derive(Debug)]
pub struct Handout {
    /// Who gets it.
    pub consumer: ConsumerKey,
    /// The number of the lease.
    pub lease: u64,
    /// The entry's number in the queue.
    pub sequence: u64,
    /// The message.
    pub message: Message,
    /// How it came, if it is a dead letter.
    pub history: Option<Arc<History>>,
    /// How often it was acquired before.
    pub acquired: u32,
    /// How often it has failed before.
    pub failed: u32,
    /// Whether it is held until it is settled.
    pub is_held: bool,
    /// Whether a store keeps it.
    pub is_stored: bool,
}

/// What was found for a consumer.
enum Find {
    Entry(Place),
    Nothing,
    /// There may be something, but others have waited long enough.
    Unknown,
}

impl NamedQueue {
    /// Begins to serve a consumer.
    ///
    /// # Errors
    /// [`Reason::Locked`] if somebody has the queue for itself, or it asks for that and somebody else is there;
    /// [`Reason::PreconditionFailed`] if it is there already.
    pub fn consume(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        taking: Taking,
        credit: Credit,
    ) -> Result<(), Reason> {
        if self.consumers.contains_key(&key) {
            return Err(Reason::PreconditionFailed);
        }
        let is_taken = self.consumers.values().any(|c| c.counts() && c.taking.exclusive);
        if is_taken || (taking.exclusive && self.counted > 0) {
            return Err(Reason::Locked);
        }
        let cursor = Place { level: 0, sequence: self.start(taking.offset) };
        let consumer = Consumer::new(taking, credit, cursor);
        self.looking += usize::from(consumer.looks());
        self.has_looked |= consumer.looks();
        if consumer.counts() {
            self.counted += 1;
            self.had_consumer = true;
            if self.settings.single_active_consumer {
                match self.active {
                    None => self.active = Some(key),
                    Some(_) => self.standby.push(key),
                }
            }
        }
        self.used_at = now;
        self.consumers.insert(key, consumer);
        self.list(key);
        Ok(())
    }

    /// Where a consumer begins; in a queue that is no stream, at the front.
    fn start(&self, offset: Option<StreamStart>) -> u64 {
        if !self.is_stream() {
            return 0;
        }
        let last = || self.ready.latest().map_or(self.next_sequence, |place| place.sequence);
        match offset.unwrap_or(StreamStart::Next) {
            StreamStart::First => 0,
            StreamStart::Last => last(),
            StreamStart::Next => self.next_sequence,
            StreamStart::Number(number) => number,
            StreamStart::Since(time) => {
                self.ready.first_where(|body| body.time >= time).unwrap_or(self.next_sequence)
            }
        }
    }

    /// Ends a consumer. Its leases stay until they are settled if `keep` is set; else they go back, as failed ones if
    /// `failed` is set. Returns whether it was there.
    pub fn cancel(&mut self, now: Instant, key: ConsumerKey, keep: bool, failed: bool) -> bool {
        let Some(consumer) = self.consumers.get_mut(&key) else { return false };
        let (counted, looked) = (consumer.counts(), consumer.looks() && !consumer.is_cancelled);
        consumer.is_cancelled = true;
        if let Some(turns) = self.turns.get_mut(&Reverse(consumer.taking.priority)) {
            turns.retain(|other| *other != key);
        }
        self.counted -= u32::from(counted);
        self.looking -= usize::from(looked);
        self.draining.retain(|draining| *draining != key);
        if !keep {
            self.give_back_all(now, key, failed);
        }
        if self.consumers.get(&key).is_some_and(Consumer::is_free) {
            self.consumers.remove(&key);
        }
        self.used_at = now;
        self.standby.retain(|standby| *standby != key);
        if self.active == Some(key) {
            self.active = self.next_active();
            if let Some(active) = self.active {
                self.standby.retain(|standby| *standby != active);
                self.list(active);
            }
        }
        true
    }

    /// Who takes the place of the active consumer: of those with the highest priority the first who came.
    fn next_active(&self) -> Option<ConsumerKey> {
        let priority = |key: &&ConsumerKey| self.consumers.get(key).map(|c| Reverse(c.taking.priority));
        self.standby.iter().min_by_key(priority).copied()
    }

    /// The consumers that others know of.
    #[must_use]
    pub const fn consumers(&self) -> u32 {
        self.counted
    }

    /// Whether a consumer is there, if only to settle what it holds.
    #[must_use]
    pub fn knows(&self, key: ConsumerKey) -> bool {
        self.consumers.contains_key(&key)
    }

    /// All who consume or hold leases, and whether they still consume.
    pub fn consumer_keys(&self) -> impl Iterator<Item = (ConsumerKey, bool)> {
        self.consumers.iter().map(|(key, consumer)| (*key, !consumer.is_cancelled))
    }

    /// Those who consume, as they are now.
    pub fn consumer_views(&self) -> impl Iterator<Item = ConsumerView> {
        let shown = self.consumers.iter().filter(|(_, consumer)| !consumer.is_cancelled);
        shown.map(|(key, consumer)| ConsumerView {
            key: *key,
            taking: consumer.taking,
            credit: consumer.credit,
            leased: consumer.held_len(),
            is_active: self.active.is_none_or(|active| active == *key),
        })
    }

    /// Changes how much a consumer takes. With `drain`, what cannot be used at once is given up, see
    /// [`NamedQueue::take_drained`].
    pub fn flow(&mut self, key: ConsumerKey, change: CreditChange, drain: bool) {
        let consumer = self.consumers.get_mut(&key).filter(|consumer| !consumer.is_cancelled);
        let Some(consumer) = consumer else { return };
        consumer.change_credit(change);
        if drain && !consumer.drains {
            consumer.drains = true;
            self.draining.push(key);
        }
        self.list(key);
    }

    /// A consumer's connection has room again.
    pub fn wake(&mut self, key: ConsumerKey) {
        if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.is_parked = false;
            self.list(key);
        }
    }

    /// Lets a consumer have its turn, if it can take something.
    fn list(&mut self, key: ConsumerKey) {
        let is_on = |polls: bool| !self.settings.single_active_consumer || polls || self.active == Some(key);
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        if consumer.can_take() && !consumer.is_listed && is_on(consumer.taking.polls) {
            consumer.is_listed = true;
            self.turns.entry(Reverse(consumer.taking.priority)).or_default().push_back(key);
        }
    }

    /// Hands out the next entry. `has_room` says whether a consumer's connection can take a delivery: one that cannot has
    /// no turn until [`NamedQueue::wake`]. `wants` is asked about the entries for a consumer that selects. None if nobody
    /// can be given anything, or only after more has been looked at: then [`NamedQueue::is_busy`].
    pub fn hand_out(
        &mut self,
        now: Instant,
        mut has_room: impl FnMut(ConsumerKey) -> bool,
        mut wants: impl FnMut(ConsumerKey, &Message) -> bool,
    ) -> Option<Handout> {
        let mut looks = LOOKS_MAX;
        let mut after = None;
        while self.ready.len() > 0
            && let Some(priority) = self.next_priority(after)
        {
            for _ in 0..self.turns.get(&priority).map_or(0, VecDeque::len) {
                let next = self.turns.get_mut(&priority).and_then(VecDeque::pop_front);
                let Some(key) = next else { break };
                let Some(consumer) = self.consumers.get_mut(&key) else { continue };
                consumer.is_listed = false;
                consumer.is_parked |= consumer.can_take() && !has_room(key);
                if !consumer.can_take() {
                    continue;
                }
                let found = self.find(now, key, &mut wants, &mut looks);
                let handout = match found {
                    Find::Entry(place) => self.lease(now, key, place),
                    Find::Nothing | Find::Unknown => None,
                };
                self.list(key);
                if handout.is_some() {
                    return handout;
                }
                if matches!(found, Find::Unknown) {
                    self.is_busy = true;
                    return None;
                }
            }
            after = Some(priority);
        }
        if self.waits_for_page() {
            return None;
        }
        self.finish_draining();
        None
    }

    /// The highest priority below this one with somebody in it; what is empty goes.
    fn next_priority(&mut self, after: Option<Reverse<i32>>) -> Option<Reverse<i32>> {
        use core::ops::Bound::{Excluded, Unbounded};
        loop {
            let from = after.map_or(Unbounded, Excluded);
            let (&priority, turns) = self.turns.range((from, Unbounded)).next()?;
            if !turns.is_empty() {
                return Some(priority);
            }
            self.turns.remove(&priority);
        }
    }

    /// Whether the last [`NamedQueue::hand_out`] has not looked at everything. Asked once.
    pub const fn is_busy(&mut self) -> bool {
        core::mem::replace(&mut self.is_busy, false)
    }

    /// The next entry for a consumer.
    fn find(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        wants: &mut impl FnMut(ConsumerKey, &Message) -> bool,
        looks: &mut usize,
    ) -> Find {
        let is_stream = self.is_stream();
        loop {
            let Some(consumer) = self.consumers.get_mut(&key) else { return Find::Nothing };
            let looks_at_all = consumer.looks();
            let from = if is_stream || looks_at_all { consumer.cursor } else { Place::default() };
            let Some((place, body)) = self.ready.first_from(from) else { return Find::Nothing };
            if !is_stream && body.is_expired(now) {
                self.expire_at(place);
                continue;
            }
            let Taking { selects, spares, .. } = consumer.taking;
            let is_spared = spares.is_some() && body.message.header().publisher == spares;
            if !is_spared && (!selects || wants(key, &body.message)) {
                return Find::Entry(place);
            }
            consumer.cursor = Place { sequence: place.sequence + 1, ..place };
            *looks -= 1;
            if *looks == 0 {
                return Find::Unknown;
            }
        }
    }

    fn lease(&mut self, now: Instant, key: ConsumerKey, place: Place) -> Option<Handout> {
        if self.is_stream() {
            return self.show(key, place);
        }
        let entry = self.take_ready(place)?;
        let consumer = self.consumers.get_mut(&key)?;
        consumer.spend(entry.body.payload_bytes());
        let settled = consumer.taking.settled;
        let handout = |lease, body: Body| Handout {
            consumer: key,
            lease,
            sequence: place.sequence,
            message: body.message,
            history: body.history,
            acquired: body.acquired,
            failed: body.failed,
            is_held: !settled,
            is_stored: body.stored,
        };
        self.tally.handed_out += 1;
        if settled {
            let lease = consumer.count();
            self.tally.accepted += 1;
            self.forget(&entry);
            return Some(handout(lease, entry.body));
        }
        let body = entry.body.clone();
        self.leased += 1;
        Some(handout(consumer.hold(Held { entry, since: now }), body))
    }

    /// Hands out an entry of a stream, which stays.
    fn show(&mut self, key: ConsumerKey, place: Place) -> Option<Handout> {
        let (_, body) = self.ready.first_from(place)?;
        let consumer = self.consumers.get_mut(&key)?;
        consumer.spend(body.payload_bytes());
        consumer.cursor = Place { sequence: place.sequence + 1, ..place };
        self.tally.handed_out += 1;
        Some(Handout {
            consumer: key,
            lease: consumer.count(),
            sequence: place.sequence,
            message: body.message.clone(),
            history: body.history.clone(),
            acquired: 0,
            failed: 0,
            is_held: false,
            is_stored: body.stored,
        })
    }

    /// Nothing more can be handed out: who drains gives up its credit, unless its connection has no room yet.
    fn finish_draining(&mut self) {
        for key in core::mem::take(&mut self.draining) {
            match self.consumers.get_mut(&key) {
                Some(consumer) if consumer.is_parked => self.draining.push(key),
                Some(consumer) => {
                    (consumer.credit, consumer.drains) = (Credit::NONE, false);
                    self.drained.push(key);
                }
                None => {}
            }
        }
    }
}
