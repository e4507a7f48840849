//! Consumers of a named queue: their credit, and the leases that they hold.

use alloc::collections::VecDeque;
use core::num::NonZeroU64;
use core::time::Duration;

use mynah_model::{Credit, CreditChange, Instant};

use super::entry::NamedEntry;
use super::ready::Place;
use crate::WorkerId;

/// Names a consumer among all of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey {
    /// The worker that owns its connection.
    pub worker: WorkerId,
    /// The connection's slot there.
    pub slot: u32,
    /// Which of the connections that have used the slot.
    pub generation: u32,
    /// The connection's number for the consumer.
    pub number: u32,
}

/// How a consumer takes messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taking {
    /// Each delivery is settled by being made.
    pub settled: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// It is no consumer to anybody else.
    pub polls: bool,
    /// Higher ones are served first.
    pub priority: i32,
    /// Whose messages it does not get.
    pub spares: Option<NonZeroU64>,
    /// Whether it wants some messages only: which, is asked as they are handed out.
    pub selects: bool,
    /// Whether who asked for its leases says when they are over, whatever [`mynah_model::QueueSettings::lease_max`] is.
    pub times: bool,
    /// Where to begin in a stream; absent: with what comes next.
    pub offset: Option<StreamStart>,
}

/// Where to begin in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// With the oldest entry that is there.
    First,
    /// With the newest entry that is there.
    Last,
    /// With what comes from now on.
    Next,
    /// With this number, or the next that is there.
    Number(u64),
    /// With the first that came at this time or later.
    Since(Instant),
}

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: NamedEntry,
    /// When it was made.
    pub(super) since: Instant,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) taking: Taking,
    pub(super) credit: Credit,
    /// It wants to hear when its credit cannot be used.
    pub(super) drains: bool,
    /// It takes no more, but still holds leases.
    pub(super) is_cancelled: bool,
    /// Its connection has no room.
    pub(super) is_parked: bool,
    /// It is in the list of those who take turns.
    pub(super) is_listed: bool,
    /// Where it goes on looking: before this nothing is for it.
    pub(super) cursor: Place,
    /// The number of the first lease in `held`.
    first: u64,
    held: VecDeque<Option<Held>>,
}

impl Consumer {
    pub(super) fn new(taking: Taking, credit: Credit, cursor: Place) -> Self {
        Self {
            taking,
            credit,
            drains: false,
            is_cancelled: false,
            is_parked: false,
            is_listed: false,
            cursor,
            first: 1,
            held: VecDeque::new(),
        }
    }

    pub(super) const fn can_take(&self) -> bool {
        self.credit.messages > 0 && self.credit.bytes > 0 && !self.is_cancelled && !self.is_parked
    }

    /// Whether it has to look at each entry.
    pub(super) const fn looks(&self) -> bool {
        self.taking.selects || self.taking.spares.is_some()
    }

    /// Whether others know of it.
    pub(super) const fn counts(&self) -> bool {
        !self.taking.polls && !self.is_cancelled
    }

    pub(super) fn change_credit(&mut self, change: CreditChange) {
        self.credit = match change {
            CreditChange::Set(credit) => credit,
            CreditChange::Add(more) => Credit {
                messages: self.credit.messages.saturating_add(more.messages),
                bytes: self.credit.bytes.saturating_add(more.bytes),
            },
        };
    }

    pub(super) const fn spend(&mut self, bytes: u64) {
        if self.credit.messages != u32::MAX {
            self.credit.messages -= 1;
        }
        if self.credit.bytes != u64::MAX {
            self.credit.bytes = self.credit.bytes.saturating_sub(bytes);
        }
    }

    /// Counts a delivery that nobody settles. Returns its number.
    pub(super) fn count(&mut self) -> u64 {
        debug_assert!(self.held.is_empty(), "a consumer's deliveries are all settled by being made, or none");
        self.first += 1;
        self.first - 1
    }

    /// Keeps an entry until it is settled. Returns the number of the lease.
    pub(super) fn hold(&mut self, held: Held) -> u64 {
        self.held.push_back(Some(held));
        self.first + self.held.len() as u64 - 1
    }

    /// Takes the leases from one number to another, those that are held, the latest first.
    pub(super) fn take(&mut self, first: u64, last: u64, mut each: impl FnMut(NamedEntry)) {
        let end = self.first + self.held.len() as u64;
        let (from, to) = (first.max(self.first), last.saturating_add(1).min(end));
        for number in (from..to).rev() {
            if let Some(held) = self.held.get_mut((number - self.first) as usize).and_then(Option::take) {
                each(held.entry);
            }
        }
        self.forget_front();
    }

    /// Takes the oldest lease if it was held for this long.
    pub(super) fn take_overdue(&mut self, now: Instant, max: Duration) -> Option<NamedEntry> {
        let is_overdue = |held: &mut Option<Held>| held.as_ref().is_some_and(|held| held.since + max <= now);
        let held = self.held.pop_front_if(is_overdue)??;
        self.first += 1;
        self.forget_front();
        Some(held.entry)
    }

    /// When the oldest lease was made, if the queue says when it is over.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.held.front()?.as_ref().map(|held| held.since).filter(|_| !self.taking.times)
    }

    /// Whether it holds no lease.
    pub(super) fn is_free(&self) -> bool {
        self.held.is_empty()
    }

    /// Leases that it holds.
    pub(super) fn held_len(&self) -> u64 {
        self.held.iter().flatten().count() as u64
    }

    fn forget_front(&mut self) {
        while self.held.pop_front_if(|held| held.is_none()).is_some() {
            self.first += 1;
        }
        if self.held.capacity() > 4 * self.held.len() + 64 {
            self.held.shrink_to(2 * self.held.len());
        }
    }
}
