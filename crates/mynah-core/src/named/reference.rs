//! A named queue with its rules written out plainly: what [`super::NamedQueue`] is compared with.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use mynah_model::{Credit, CreditChange, DeathReason, Instant, LeaseSettlement, Overflow, QueueSettings};

use super::{ConsumerKey, Handout, Taking};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Delayed(Instant),
    Leased(ConsumerKey, u64, Instant),
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) sequence: u64,
    pub(super) priority: u8,
    pub(super) bytes: u64,
    pub(super) publisher: u64,
    pub(super) expires: Option<Instant>,
    pub(super) state: State,
    pub(super) acquired: u32,
    pub(super) failed: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Eater {
    pub(super) key: ConsumerKey,
    pub(super) taking: Taking,
    pub(super) credit: Credit,
    pub(super) drains: bool,
    pub(super) cancelled: bool,
    pub(super) parked: bool,
    pub(super) leases: u64,
}

/// What leaves the queue: the numbers of entries, with the reason where they were not accepted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) dropped: Vec<(u64, DeathReason)>,
    pub(super) gone: Vec<u64>,
    pub(super) drained: Vec<ConsumerKey>,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) settings: QueueSettings,
    pub(super) items: Vec<Item>,
    pub(super) eaters: Vec<Eater>,
    pub(super) left: Left,
    active: Option<ConsumerKey>,
}

impl Reference {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, items: Vec::new(), eaters: Vec::new(), left: Left::default(), active: None }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Ready entries: those of the highest priority first, and of these the oldest.
    pub(super) fn ready(&self) -> Vec<Item> {
        let max = self.settings.priority_max.map_or(0, core::num::NonZeroU8::get);
        let mut ready: Vec<Item> = self.items.iter().filter(|i| i.state == State::Ready).cloned().collect();
        let priority = |item: &Item| if item.priority == 255 { 0 } else { item.priority.min(max) };
        ready.sort_by_key(|item| (max - priority(item), item.sequence));
        ready
    }

    pub(super) fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.items.iter().filter(|item| of(&item.state)).count()
    }

    fn remove(&mut self, sequence: u64, reason: Option<DeathReason>) {
        self.items.retain(|item| item.sequence != sequence);
        self.left.gone.push(sequence);
        self.left.dropped.extend(reason.map(|reason| (sequence, reason)));
    }

    pub(super) fn consumers(&self) -> usize {
        self.eaters.iter().filter(|e| !e.cancelled && !e.taking.polls).count()
    }

    pub(super) fn consume(&mut self, key: ConsumerKey, taking: Taking, credit: Credit) -> bool {
        let others: Vec<&Eater> = self.eaters.iter().filter(|e| !e.cancelled && !e.taking.polls).collect();
        let is_known = self.eaters.iter().any(|e| e.key == key);
        if is_known || others.iter().any(|e| e.taking.exclusive) || (taking.exclusive && !others.is_empty()) {
            return false;
        }
        self.eaters.push(Eater {
            key,
            taking,
            credit,
            drains: false,
            cancelled: false,
            parked: false,
            leases: 0,
        });
        self.choose_active();
        true
    }

    /// The first with the highest priority takes the free place.
    fn choose_active(&mut self) {
        let is_there =
            |key: ConsumerKey| self.eaters.iter().any(|e| e.key == key && !e.cancelled && !e.taking.polls);
        if self.active.is_some_and(is_there) {
            return;
        }
        let mut free: Vec<&Eater> = self.eaters.iter().filter(|e| !e.cancelled && !e.taking.polls).collect();
        free.sort_by_key(|e| core::cmp::Reverse(e.taking.priority));
        self.active = free.first().map(|e| e.key);
    }

    pub(super) fn cancel(&mut self, now: Instant, key: ConsumerKey, keep: bool, failed: bool) {
        let Some(eater) = self.eaters.iter_mut().find(|e| e.key == key) else { return };
        eater.cancelled = true;
        eater.drains = false;
        if !keep {
            let back = if failed { LeaseSettlement::FAILED } else { LeaseSettlement::RELEASED };
            self.settle(now, key, 0, u64::MAX, back);
        }
        self.forget_cancelled();
        self.choose_active();
    }

    fn forget_cancelled(&mut self) {
        let items = &self.items;
        let holds = |key| items.iter().any(|i| matches!(i.state, State::Leased(by, ..) if by == key));
        self.eaters.retain(|e| !e.cancelled || holds(e.key));
    }

    pub(super) fn flow(&mut self, key: ConsumerKey, change: CreditChange, drain: bool) {
        let Some(eater) = self.eaters.iter_mut().find(|e| e.key == key) else { return };
        eater.credit = match change {
            CreditChange::Set(credit) => credit,
            CreditChange::Add(more) => Credit {
                messages: eater.credit.messages.saturating_add(more.messages),
                bytes: eater.credit.bytes.saturating_add(more.bytes),
            },
        };
        eater.drains |= drain && !eater.cancelled;
    }

    pub(super) fn settle(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        first: u64,
        last: u64,
        how: LeaseSettlement,
    ) {
        let is_meant = |state: &State| matches!(state, State::Leased(by, number, _) if *by == key && (first..=last).contains(number));
        let mut meant: Vec<Item> = self.items.iter().filter(|i| is_meant(&i.state)).cloned().collect();
        meant.sort_by_key(|item| match item.state {
            State::Leased(_, number, _) => number,
            _ => 0,
        });
        for item in meant {
            match how {
                LeaseSettlement::Accepted => self.remove(item.sequence, None),
                LeaseSettlement::Rejected => self.remove(item.sequence, Some(DeathReason::Rejected)),
                LeaseSettlement::Released { after } => self.back(now, item.sequence, false, after),
                LeaseSettlement::Failed { after } => self.back(now, item.sequence, true, after),
            }
        }
        self.forget_cancelled();
    }

    fn back(&mut self, now: Instant, sequence: u64, failed: bool, after: Duration) {
        let limit = self.settings.delivery_limit;
        let Some(item) = self.items.iter_mut().find(|i| i.sequence == sequence) else { return };
        item.acquired += 1;
        item.failed += u32::from(failed);
        if failed && limit.is_some_and(|limit| item.failed > limit.get()) {
            return self.remove(sequence, Some(DeathReason::DeliveryLimit));
        }
        item.state = if after.is_zero() { State::Ready } else { State::Delayed(now + after) };
    }

    fn is_wanted(eater: &Eater, item: &Item) -> bool {
        let selected = !eater.taking.selects || selects(eater.key, item.sequence);
        selected && eater.taking.spares.is_none_or(|spared| spared.get() != item.publisher)
    }

    fn may_take(&self, eater: &Eater) -> bool {
        let on =
            !self.settings.single_active_consumer || eater.taking.polls || self.active == Some(eater.key);
        on && !eater.cancelled && !eater.parked && eater.credit.messages > 0 && eater.credit.bytes > 0
    }

    fn first_for(&self, now: Instant, eater: &Eater) -> Option<Item> {
        let fresh = |item: &Item| item.expires.is_none_or(|expires| expires >= now);
        self.ready().into_iter().find(|item| fresh(item) && Self::is_wanted(eater, item))
    }

    /// Checks that the queue was right to hand this out, and follows. Of those who come first nobody waits for what has to be
    /// read.
    pub(super) fn handed_out(
        &mut self,
        now: Instant,
        handout: &Handout,
        has_room: impl Fn(ConsumerKey) -> bool,
        paged: &Range<u64>,
    ) {
        let at = self.eaters.iter().position(|e| e.key == handout.consumer).expect("a consumer");
        let eater = self.eaters[at].clone();
        assert!(self.may_take(&eater) && has_room(eater.key), "{eater:?}");
        let better = self.eaters.iter().find(|other| {
            other.taking.priority > eater.taking.priority
                && self.may_take(other)
                && has_room(other.key)
                && self.first_for(now, other).is_some_and(|item| !paged.contains(&item.sequence))
        });
        assert!(better.is_none(), "{better:?} comes before {eater:?}");
        let item = self.first_for(now, &eater).expect("something for it");
        let counts = (item.sequence, item.acquired, item.failed);
        assert_eq!((handout.sequence, handout.acquired, handout.failed), counts);
        let eater = &mut self.eaters[at];
        eater.leases += 1;
        assert_eq!(handout.lease, eater.leases);
        if eater.credit.messages != u32::MAX {
            eater.credit.messages -= 1;
        }
        if eater.credit.bytes != u64::MAX {
            eater.credit.bytes = eater.credit.bytes.saturating_sub(item.bytes);
        }
        let state = State::Leased(eater.key, eater.leases, now);
        if eater.taking.settled {
            return self.remove(item.sequence, None);
        }
        if let Some(item) = self.items.iter_mut().find(|i| i.sequence == item.sequence) {
            item.state = state;
        }
    }

    /// Checks that nobody could be given anything, and follows.
    pub(super) fn nothing_left(
        &mut self,
        now: Instant,
        has_room: impl Fn(ConsumerKey) -> bool,
        parked: &[ConsumerKey],
    ) {
        for eater in &self.eaters {
            let gets = self.may_take(eater) && has_room(eater.key);
            assert!(!gets || self.first_for(now, eater).is_none(), "{eater:?} could get something");
        }
        for eater in &mut self.eaters {
            eater.parked |= parked.contains(&eater.key);
            if eater.drains && !eater.parked {
                (eater.drains, eater.credit) = (false, Credit::NONE);
                self.left.drained.push(eater.key);
            }
        }
    }

    pub(super) fn wake(&mut self, key: ConsumerKey) {
        self.eaters.iter_mut().filter(|e| e.key == key).for_each(|e| e.parked = false);
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        for item in &mut self.items {
            if matches!(item.state, State::Delayed(due) if due <= now) {
                item.state = State::Ready;
            }
        }
        self.expire(now);
        if let Some(max) = self.settings.lease_max {
            let times = |key| self.eaters.iter().any(|e| e.key == key && e.taking.times);
            let overdue: Vec<u64> = self
                .items
                .iter()
                .filter(|i| match i.state {
                    State::Leased(by, _, since) => since + max <= now && !times(by),
                    _ => false,
                })
                .map(|i| i.sequence)
                .collect();
            for sequence in overdue {
                self.back(now, sequence, false, Duration::ZERO);
            }
            self.forget_cancelled();
        }
    }

    /// What is ready and wanted no longer goes.
    pub(super) fn expire(&mut self, now: Instant) {
        let late = |item: &&Item| item.state == State::Ready && item.expires.is_some_and(|at| at < now);
        let late: Vec<u64> = self.items.iter().filter(late).map(|item| item.sequence).collect();
        for sequence in late {
            self.remove(sequence, Some(DeathReason::Expired));
        }
    }

    pub(super) fn enforce(&mut self) {
        loop {
            let ready = self.ready();
            let bytes: u64 = ready.iter().map(|item| item.bytes).sum();
            let fits = self.settings.length_max.is_none_or(|max| ready.len() as u64 <= max)
                && self.settings.bytes_max.is_none_or(|max| bytes <= max);
            let victim = match self.settings.overflow {
                _ if fits => None,
                Overflow::DropHead => ready.first().map(|item| item.sequence),
                _ => ready.iter().map(|item| item.sequence).max(),
            };
            let Some(sequence) = victim else { return };
            let is_letter = self.settings.overflow != Overflow::RejectPublish;
            self.remove(sequence, is_letter.then_some(DeathReason::MaxLength));
        }
    }

    pub(super) fn purge(&mut self) -> u64 {
        let ready = self.ready();
        for item in &ready {
            self.remove(item.sequence, None);
        }
        ready.len() as u64
    }
}

/// Which entries a consumer that selects wants.
pub(super) fn selects(key: ConsumerKey, sequence: u64) -> bool {
    sequence % 3 != u64::from(key.number) % 3
}
