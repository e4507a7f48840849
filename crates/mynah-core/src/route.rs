//! Routes: what a worker remembers of a match, so that a topic that is published again costs one probe.

mod doorkeeper;
mod numbers;
#[cfg(test)]
mod tests;
mod window;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use hashbrown::HashTable;
use mynah_model::{TenantId, Topic};

use crate::hash::KeyedHash;
use crate::shares::Members;
use crate::target::{Publishers, Target};
use crate::{Generations, Match, Stamp, WorkerId};
use doorkeeper::Doorkeeper;
use numbers::Numbers;
use window::Window;

/// What a search for a topic's subscribers finds, in any order.
#[derive(Debug, Default)]
pub struct Found {
    /// Sessions.
    pub matches: Vec<Match>,
    /// Groups, of which one member gets each message.
    pub groups: Vec<Arc<Members>>,
    /// Whether the next message on the topic may go elsewhere: then this is not remembered.
    pub varies: bool,
    /// Targets while they are gathered.
    targets: Vec<Target>,
}

/// Targets of one worker. Most topics have one, which then stands in its place.
#[derive(Debug)]
enum Targets {
    One(Target),
    Several(Box<[Target]>),
}

impl Default for Targets {
    fn default() -> Self {
        Self::Several(Box::default())
    }
}

impl Targets {
    /// Those that were gathered, which are there no more.
    fn take(gathered: &mut Vec<Target>) -> Self {
        match gathered.pop() {
            Some(one) if gathered.is_empty() => Self::One(one),
            last => Self::Several(gathered.drain(..).chain(last).collect()),
        }
    }
}

/// Everybody that a topic's messages go to.
#[derive(Debug, Default)]
pub struct Route {
    local: Targets,
    remote: Box<[(WorkerId, Arc<[Target]>)]>,
    groups: Box<[Arc<Members>]>,
}

impl Route {
    /// The targets of this worker. A session has two if some of its subscriptions are spared its own messages: one for
    /// these, one for the messages of others.
    #[must_use]
    pub fn local(&self) -> &[Target] {
        match &self.local {
            Targets::One(target) => core::slice::from_ref(target),
            Targets::Several(targets) => targets,
        }
    }

    /// The targets of other workers, each worker once. A session publishes at the worker that owns it: so there are
    /// none for a session's own messages.
    #[must_use]
    pub fn remote(&self) -> &[(WorkerId, Arc<[Target]>)] {
        &self.remote
    }

    /// The groups that share the messages: one member of each gets a message.
    #[must_use]
    pub fn groups(&self) -> &[Arc<Members>] {
        &self.groups
    }

    /// Whether nobody wants the topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.local().is_empty() && self.remote.is_empty() && self.groups.is_empty()
    }

    fn len(&self) -> usize {
        self.local().len()
            + self.remote.iter().map(|(_, targets)| targets.len()).sum::<usize>()
            + self.groups.len()
    }

    /// Sorts matches by owner and merges those of one session. What was found is used up, its memory is not.
    fn new(found: &mut Found, local: WorkerId) -> Self {
        found.matches.sort_unstable_by_key(|m| m.session);
        let mut route = Self { groups: found.groups.drain(..).collect(), ..Self::default() };
        let mut remote = Vec::new();
        let targets = &mut found.targets;
        for of_worker in found.matches.chunk_by(|a, b| a.session.worker == b.session.worker) {
            let worker = of_worker[0].session.worker;
            for of_session in of_worker.chunk_by(|a, b| a.session == b.session) {
                Target::merge(of_session, targets);
            }
            if worker == local {
                route.local = Targets::take(targets);
            } else {
                targets.retain(|target| target.publishers != Publishers::Own);
                remote.push((worker, targets.drain(..).collect()));
            }
        }
        route.remote = remote.into_boxed_slice();
        found.matches.clear();
        route
    }
}

/// Routes by topic, bounded in topics and in targets.
///
/// What was asked for last stands in a window: so what comes several times in short order is found once. A topic comes
/// in when it is asked for the second time, and what is used again stays: once there are as many as fit, only some of
/// those that are asked for again may try to come in, and each of them meets one of those inside and takes its place if
/// that was not used of late. So more topics than fit, all of them used alike, do not push each other out all the time.
#[derive(Debug)]
pub struct RouteCache {
    hash: KeyedHash,
    local: WorkerId,
    capacity: usize,
    /// Positions in `slots`, by topic.
    table: HashTable<u32>,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// The slot of the last answer: a publisher is likely to stay with its topic, and comparing is cheaper than hashing.
    last: u32,
    /// Where the search for a slot to evict goes on.
    hand: usize,
    /// Targets in all routes.
    targets: usize,
    numbers: Numbers,
    doorkeeper: Doorkeeper,
    window: Window,
    /// How many topics wanted to come in when there was no room.
    applicants: u32,
    /// The last answer about a topic that was not let in, if it was too large for the window, held for one message only,
    /// or nobody has ever wanted it.
    passing: Route,
    scratch: Found,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    tenant: TenantId,
    /// Empty in a vacant slot: no topic is.
    topic: Box<[u8]>,
    /// Tells the topic from all others that had a number.
    number: NonZeroU64,
    stamp: Stamp,
    route: Route,
    /// How often the route was asked for since it was let in, up to [`RouteCache::USES_MAX`], less once for each time that
    /// the hand has passed.
    uses: u8,
}

impl RouteCache {
    /// Targets that the cache holds at most, for each topic of its capacity. A single route may be larger.
    const TARGETS_PER_TOPIC: usize = 32;
    /// Matches that the memory kept between two searches has room for.
    const SCRATCH_MATCHES_MAX: usize = 4_096;
    /// Topics that the doorkeeper knows, for each that fits: so topics that come round again are known even if they are
    /// more than fit.
    const KNOWN_PER_TOPIC: usize = 4;
    /// One topic stands in the window for so many that the cache holds: so the window stays in the processor's caches.
    const TOPICS_PER_RECENT: usize = 128;
    /// A topic that is in no slot has a number beside as long as no more than one for so many that the cache holds have
    /// one.
    const TOPICS_PER_NUMBER: usize = 4;
    /// So often the hand has to pass before it evicts what was in use: few enough that a cache whose topics are out of
    /// use has others soon.
    const USES_MAX: u8 = 3;
    /// Without room, one in so many topics that are asked for again tries to come in.
    const APPLICANTS: u32 = 4;

    /// An empty cache of the worker `local` for at most `capacity` topics (at least one), keyed by `seed`.
    #[must_use]
    pub fn new(seed: u64, capacity: usize, local: WorkerId) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            local,
            capacity: capacity.clamp(1, u32::MAX as usize),
            table: HashTable::new(),
            slots: Vec::new(),
            vacant: Vec::new(),
            last: 0,
            hand: 0,
            targets: 0,
            numbers: Numbers::new(capacity / Self::TOPICS_PER_NUMBER),
            doorkeeper: Doorkeeper::new(capacity.saturating_mul(Self::KNOWN_PER_TOPIC)),
            window: Window::new(capacity / Self::TOPICS_PER_RECENT),
            applicants: 0,
            passing: Route::default(),
            scratch: Found::default(),
        }
    }

    /// The route of `topic`: as remembered, if nothing that concerns it has changed since; else from `find`, which
    /// pushes all that match in any order.
    pub fn route(
        &mut self,
        tenant: TenantId,
        topic: Topic<'_>,
        generations: &Generations,
        find: impl FnOnce(&mut Found),
    ) -> &Route {
        let known = if self.is_at(self.last, tenant, topic) {
            self.last
        } else {
            let hash = self.hash.text(tenant, topic.as_bytes());
            match self.table.find(hash, |&at| self.is_at(at, tenant, topic)) {
                Some(at) => *at,
                None => return self.find_elsewhere(hash, tenant, topic, generations, find),
            }
        };
        let remembered = self.slots[known as usize].stamp;
        let stamp = generations.again(remembered);
        if stamp != remembered && !self.find_again(known, stamp, find) {
            return &self.passing;
        }
        self.last = known;
        let slot = &mut self.slots[known as usize];
        slot.uses = (slot.uses + 1).min(Self::USES_MAX);
        &slot.route
    }

    /// The number of a topic. No other topic ever gets it, and the topic gets another if it is forgotten meanwhile. The
    /// route that is asked for next is found the sooner if it is this topic's.
    #[inline]
    pub fn number(&mut self, tenant: TenantId, topic: Topic<'_>) -> NonZeroU64 {
        if !self.is_at(self.last, tenant, topic) {
            let hash = self.hash.text(tenant, topic.as_bytes());
            let Some(at) = self.table.find(hash, |&at| self.is_at(at, tenant, topic)) else {
                return self.numbers.number(hash, tenant, topic);
            };
            self.last = *at;
        }
        self.slots[self.last as usize].number
    }

    /// A number that no topic has: for one that is asked about in passing.
    pub fn passing_number(&mut self) -> NonZeroU64 {
        self.numbers.fresh()
    }

    #[inline(always)]
    fn is_at(&self, at: u32, tenant: TenantId, topic: Topic<'_>) -> bool {
        // A vacant slot has no topic, and so is never the same.
        self.slots.get(at as usize).is_some_and(|s| s.tenant == tenant && *s.topic == *topic.as_bytes())
    }

    /// The route of a topic that is not in the table. A call of its own, because what is cold inlines nothing: a search
    /// would take a sixth longer.
    #[cold]
    fn find_elsewhere(
        &mut self,
        hash: u64,
        tenant: TenantId,
        topic: Topic<'_>,
        generations: &Generations,
        find: impl FnOnce(&mut Found),
    ) -> &Route {
        self.find_first(hash, tenant, topic, generations, find)
    }

    #[inline(never)]
    fn find_first(
        &mut self,
        hash: u64,
        tenant: TenantId,
        topic: Topic<'_>,
        generations: &Generations,
        find: impl FnOnce(&mut Found),
    ) -> &Route {
        let recent = self.window.at(hash);
        if recent.is(hash, tenant, topic) {
            let stamp = generations.again(recent.stamp);
            let is_current = stamp == recent.stamp;
            if self.table.len() < self.capacity {
                let remembered = recent.take().1;
                let (route, varies) = if is_current { (remembered, false) } else { self.find_route(find) };
                return match varies {
                    true => self.pass_by(route),
                    false => self.admit(hash, tenant, topic, stamp, route),
                };
            }
            if is_current {
                return &self.window.at(hash).route;
            }
        }
        let stamp = generations.stamp(tenant, topic);
        if stamp.is_untouched() {
            self.passing = Route::default();
            return &self.passing;
        }
        let is_let_in = self.doorkeeper.knows(hash) && self.has_room();
        let (route, varies) = self.find_route(find);
        if varies {
            return self.pass_by(route);
        }
        if is_let_in {
            return self.admit(hash, tenant, topic, stamp, route);
        }
        if route.len() > Self::TARGETS_PER_TOPIC {
            return self.pass_by(route);
        }
        self.window.at(hash).fill(hash, tenant, topic, stamp, route)
    }

    /// Takes a topic into the table, where there is room for it.
    fn admit(&mut self, hash: u64, tenant: TenantId, topic: Topic<'_>, stamp: Stamp, route: Route) -> &Route {
        let (at, number) = (self.vacate(), self.numbers.fresh());
        let slot = &mut self.slots[at as usize];
        (slot.hash, slot.tenant, slot.topic) = (hash, tenant, topic.as_bytes().into());
        slot.number = number;
        let slots = &self.slots;
        self.table.insert_unique(hash, at, |&at| slots[at as usize].hash);
        self.fill(at, stamp, route);
        self.last = at;
        &self.slots[at as usize].route
    }

    /// Whether there is room for one more topic, or can be made.
    fn has_room(&mut self) -> bool {
        if self.table.len() < self.capacity {
            return true;
        }
        self.applicants = self.applicants.wrapping_add(1);
        if !self.applicants.is_multiple_of(Self::APPLICANTS) {
            return false;
        }
        let at = self.pass();
        self.evict_at(at)
    }

    /// Returns whether the route is remembered.
    #[cold]
    fn find_again(&mut self, at: u32, stamp: Stamp, find: impl FnOnce(&mut Found)) -> bool {
        let (route, varies) = self.find_route(find);
        if varies {
            self.slots[at as usize].uses = 0;
            self.evict_at(at as usize);
            self.passing = route;
            return false;
        }
        self.targets -= self.slots[at as usize].route.len();
        self.fill(at, stamp, route);
        true
    }

    /// An answer that is not remembered.
    fn pass_by(&mut self, route: Route) -> &Route {
        self.passing = route;
        &self.passing
    }

    /// Returns the route, and whether it holds for this message only.
    fn find_route(&mut self, find: impl FnOnce(&mut Found)) -> (Route, bool) {
        self.scratch.varies = false;
        find(&mut self.scratch);
        let route = Route::new(&mut self.scratch, self.local);
        self.scratch.matches.shrink_to(Self::SCRATCH_MATCHES_MAX);
        self.scratch.groups.shrink_to(Self::SCRATCH_MATCHES_MAX);
        (route, self.scratch.varies)
    }

    /// Puts a route into an occupied slot, and evicts others until the targets fit.
    fn fill(&mut self, at: u32, stamp: Stamp, route: Route) {
        self.targets += route.len();
        let slot = &mut self.slots[at as usize];
        (slot.stamp, slot.route) = (stamp, route);
        while self.targets > self.capacity * Self::TARGETS_PER_TOPIC && self.table.len() > 1 {
            let other = self.pass();
            if other != at as usize {
                self.evict_at(other);
            }
        }
    }

    /// A slot to be filled.
    fn vacate(&mut self) -> u32 {
        if let Some(at) = self.vacant.pop() {
            return at;
        }
        self.slots.push(Slot {
            hash: 0,
            tenant: TenantId::DEFAULT,
            topic: Box::default(),
            number: NonZeroU64::MIN,
            stamp: Stamp::default(),
            route: Route::default(),
            uses: 0,
        });
        (self.slots.len() - 1) as u32
    }

    /// The slot under the hand, which goes on to the next.
    fn pass(&mut self) -> usize {
        let at = self.hand;
        self.hand = (self.hand + 1) % self.slots.len();
        at
    }

    /// Vacates a slot unless its route is in use. Returns whether it is vacant now and was not before.
    fn evict_at(&mut self, at: usize) -> bool {
        let slot = &mut self.slots[at];
        if slot.topic.is_empty() {
            return false;
        }
        if slot.uses > 0 {
            slot.uses -= 1;
            return false;
        }
        self.targets -= slot.route.len();
        (slot.topic, slot.route) = Default::default();
        if let Ok(entry) = self.table.find_entry(slot.hash, |&other| other as usize == at) {
            entry.remove();
        }
        self.vacant.push(at as u32);
        true
    }
}
