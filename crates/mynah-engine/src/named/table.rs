//! The named queues of one worker.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mynah_core::selector::Selector;
use mynah_core::{ConsumerKey, NamedQueue, SessionRef, WorkerId};
use mynah_model::{Instant, TenantId};

use super::paging::PageRequest;
use super::replaying::Replay;
use super::request::Asker;
use crate::timer::TimerKey;

/// Set in the slot of a reference to a named queue; no table of sessions is that large.
const NAMED: u32 = 1 << 31;

/// Whether something refers to a named queue, rather than to a session.
pub(crate) const fn is_named(reference: SessionRef) -> bool {
    reference.slot & NAMED != 0
}

/// A named queue with what the broker knows of it.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) tenant: TenantId,
    pub(crate) name: Box<[u8]>,
    pub(crate) kernel: NamedQueue,
    /// The connection that has it for itself.
    pub(crate) exclusive: Option<Asker>,
    /// Filters of the topic space that are attached to it.
    pub(crate) filters: BTreeSet<Box<[u8]>>,
    /// Whether a store keeps it.
    pub(crate) stored: bool,
    /// Entries with numbers up to this one may have been handed out. Noted as the broker stops; until then, all may.
    pub(super) shown: u64,
    /// That has changed since it was noted.
    pub(super) shows: bool,
    /// The mark of the turn in which it was noted last that the queue is there.
    pub(super) noted_at: u64,
    /// Bytes on their way to consumers of other workers.
    pub(super) lent: BTreeMap<ConsumerKey, u64>,
    /// Which messages those consumers want that do not want all.
    pub(super) selectors: BTreeMap<ConsumerKey, Arc<Selector>>,
    /// Numbers of entries, and the marks of what was noted of them and those before.
    pub(super) entered: VecDeque<(u64, u64)>,
    pub(super) timer: Option<(TimerKey, Instant)>,
    /// Retained values that it is to have.
    pub(super) replays: Vec<Replay>,
    /// It is in the list of those that have something to do.
    is_listed: bool,
}

/// The queues that a worker owns.
#[derive(Debug)]
pub(crate) struct Queues {
    worker: WorkerId,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_name: BTreeMap<TenantId, BTreeMap<Box<[u8]>, SessionRef>>,
    /// Which queue a consumer takes from.
    pub(super) consumers: BTreeMap<ConsumerKey, SessionRef>,
    /// Whether long queues are paged, and the pages that are wanted.
    pub(super) is_paged: bool,
    pub(super) pages: VecDeque<PageRequest>,
    /// Those that may have something to hand out or to tell.
    listed: VecDeque<SessionRef>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    owned: Option<Box<Owned>>,
}

impl Queues {
    pub(crate) const fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            slots: Vec::new(),
            vacant: Vec::new(),
            by_name: BTreeMap::new(),
            consumers: BTreeMap::new(),
            is_paged: false,
            pages: VecDeque::new(),
            listed: VecDeque::new(),
        }
    }

    pub(crate) fn find(&self, tenant: TenantId, name: &[u8]) -> Option<SessionRef> {
        self.by_name.get(&tenant)?.get(name).copied()
    }

    /// The queues of a tenant, in the order of their names.
    pub(crate) fn named(&self, tenant: TenantId, from: Bound<&[u8]>) -> impl Iterator<Item = SessionRef> {
        let names = self.by_name.get(&tenant).into_iter();
        names.flat_map(move |names| names.range::<[u8], _>((from, Bound::Unbounded))).map(|(_, queue)| *queue)
    }

    /// All queues, in the order of their slots.
    pub(super) fn references(&self) -> Vec<SessionRef> {
        let slots = self.slots.iter().enumerate().filter(|(_, place)| place.owned.is_some());
        let reference = |(slot, place): (usize, &Slot)| SessionRef {
            worker: self.worker,
            slot: slot as u32 | NAMED,
            generation: place.generation,
        };
        slots.map(reference).collect()
    }

    pub(super) fn insert(&mut self, tenant: TenantId, name: Box<[u8]>, kernel: NamedQueue) -> SessionRef {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        let reference = SessionRef { worker: self.worker, slot: slot | NAMED, generation: place.generation };
        self.by_name.entry(tenant).or_default().insert(name.clone(), reference);
        place.owned = Some(Box::new(Owned {
            tenant,
            name,
            kernel,
            exclusive: None,
            filters: BTreeSet::new(),
            stored: false,
            shown: 0,
            shows: false,
            noted_at: 0,
            lent: BTreeMap::new(),
            selectors: BTreeMap::new(),
            entered: VecDeque::new(),
            timer: None,
            replays: Vec::new(),
            is_listed: false,
        }));
        reference
    }

    pub(crate) fn get(&self, reference: SessionRef) -> Option<&Owned> {
        let slot = self.slots.get((reference.slot ^ NAMED) as usize)?;
        let valid = reference.worker == self.worker && slot.generation == reference.generation;
        slot.owned.as_deref().filter(|_| valid)
    }

    pub(crate) fn get_mut(&mut self, reference: SessionRef) -> Option<&mut Owned> {
        let slot = self.slots.get_mut((reference.slot ^ NAMED) as usize)?;
        let valid = reference.worker == self.worker && slot.generation == reference.generation;
        slot.owned.as_deref_mut().filter(|_| valid)
    }

    pub(super) fn remove(&mut self, reference: SessionRef) -> Option<Box<Owned>> {
        self.get(reference)?;
        let slot = &mut self.slots[(reference.slot ^ NAMED) as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(reference.slot ^ NAMED);
        let owned = slot.owned.take()?;
        if let Some(names) = self.by_name.get_mut(&owned.tenant) {
            names.remove(&owned.name);
        }
        Some(owned)
    }

    /// The timer of a queue has fired, and is not to be cancelled.
    pub(crate) fn timer_fired(&mut self, reference: SessionRef) {
        if let Some(owned) = self.get_mut(reference) {
            owned.timer = None;
        }
    }

    /// A queue may have something to hand out or to tell.
    pub(crate) fn list(&mut self, reference: SessionRef) {
        if let Some(owned) = self.get_mut(reference).filter(|owned| !owned.is_listed) {
            owned.is_listed = true;
            self.listed.push_back(reference);
        }
    }

    pub(super) fn next_listed(&mut self) -> Option<SessionRef> {
        loop {
            let reference = self.listed.pop_front()?;
            if let Some(owned) = self.get_mut(reference) {
                owned.is_listed = false;
                return Some(reference);
            }
        }
    }

    pub(crate) fn listed(&self) -> usize {
        self.listed.len()
    }
}
