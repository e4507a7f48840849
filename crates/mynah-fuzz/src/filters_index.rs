//! Filters, the topic index and a worker's route cache, against a list of subscriptions and a matcher that is written
//! from the definition. The input is a script of changes and questions.

use std::collections::{BTreeMap, BTreeSet};

use mynah_core::{Generations, Match, Publishers, RouteCache, SessionRef, Target, TopicIndex, WorkerId};
use mynah_model::{Class, Filter, SubscriptionId, SubscriptionOptions, TenantId, Topic};

use crate::script::Script;

/// What a byte of a filter or topic spells: mostly what overlaps.
const LETTERS: &[u8; 16] = b"////++#aab$\xc3\xa4a/#";
/// Few routes, so that they are evicted and found again.
const ROUTES_MAX: usize = 4;
/// The worker whose routes are asked for.
const HERE: WorkerId = WorkerId(0);

/// Carries out `data` as a script of changes of an index and questions to it.
///
/// # Panics
/// If the index, or a route, differs from the list.
pub fn filters_index(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new(u64::from(script.byte()));
    while !script.is_empty() {
        match script.below(8) {
            0..4 => world.insert(&mut script),
            4..6 => world.remove(&mut script),
            _ => world.asked = Some((tenant(&mut script), text(&mut script))),
        }
        if let Some((tenant, text)) = &world.asked.clone() {
            world.ask(*tenant, text);
        }
    }
    world.clear();
}

#[derive(Clone, PartialEq, Eq)]
struct Subscription {
    tenant: TenantId,
    filter: Vec<u8>,
    session: SessionRef,
    options: SubscriptionOptions,
}

struct World {
    index: TopicIndex,
    generations: Generations,
    routes: RouteCache,
    list: Vec<Subscription>,
    /// What was asked last: asked again after each change, when its route is remembered.
    asked: Option<(TenantId, Vec<u8>)>,
}

/// What orders and identifies a match: its session, the highest class, flags and the name.
type Found = (SessionRef, u8, [bool; 3], Option<SubscriptionId>);

/// A message as it comes to a session: the highest class, whether it shows that it was retained, and the names of the
/// subscriptions that it comes by.
type Heard = (SessionRef, u8, bool, BTreeSet<SubscriptionId>);

impl World {
    fn new(seed: u64) -> Self {
        Self {
            index: TopicIndex::new(seed),
            generations: Generations::new(seed),
            routes: RouteCache::new(seed, ROUTES_MAX, HERE),
            list: Vec::new(),
            asked: None,
        }
    }

    fn insert(&mut self, script: &mut Script<'_>) {
        let (tenant, session, options) = (tenant(script), session(script), options(script));
        let text = text(script);
        let Some(filter) = filter(&text) else { return };
        let known = self.forget(tenant, &text, session);
        assert_eq!(self.index.insert(tenant, filter, session, options), known, "{filter}");
        self.generations.bump(tenant, filter);
        self.list.push(Subscription { tenant, filter: text, session, options });
        assert_eq!(self.index.len(), self.list.len());
    }

    fn remove(&mut self, script: &mut Script<'_>) {
        // One that is there more often than one that is not.
        let at = usize::from(script.byte());
        let (tenant, text, session) = match self.list.get(at) {
            Some(one) => (one.tenant, one.filter.clone(), one.session),
            None => (tenant(script), text(script), session(script)),
        };
        let Some(filter) = filter(&text) else { return };
        let known = self.forget(tenant, &text, session);
        assert_eq!(self.index.remove(tenant, filter, session), known, "{filter}");
        self.generations.bump(tenant, filter);
        assert_eq!(self.index.len(), self.list.len());
    }

    /// Takes a subscription out of the list. Returns whether it was there.
    fn forget(&mut self, tenant: TenantId, filter: &[u8], session: SessionRef) -> bool {
        let before = self.list.len();
        self.list.retain(|one| (one.tenant, &*one.filter, one.session) != (tenant, filter, session));
        self.list.len() < before
    }

    fn ask(&mut self, tenant: TenantId, text: &[u8]) {
        let Ok(topic) = Topic::new(text) else { return };
        let mut expected = Vec::new();
        for one in self.list.iter().filter(|one| one.tenant == tenant) {
            let selected = selects(&one.filter, text);
            let filter = Filter::from_checked(&one.filter);
            assert_eq!(filter.matches(topic), selected, "{filter} against {topic}");
            if selected {
                expected.push(Match { session: one.session, options: one.options });
            }
        }
        let mut found = Vec::new();
        self.index.matches(tenant, topic, &mut found);
        assert_eq!(sorted(&found), sorted(&expected), "{topic}");
        self.ask_route(tenant, topic, &expected);
    }

    /// Whoever publishes, a route brings each session what its subscriptions ask for.
    fn ask_route(&mut self, tenant: TenantId, topic: Topic<'_>, matches: &[Match]) {
        let index = &self.index;
        let generations = &self.generations;
        let route = self
            .routes
            .route(tenant, topic, generations, |found| index.matches(tenant, topic, &mut found.matches));
        assert!(route.local().iter().all(|target| target.session.worker == HERE));
        for (worker, targets) in route.remote() {
            assert!(*worker != HERE && !targets.is_empty());
            assert!(targets.iter().all(|target| target.session.worker == *worker));
            assert!(targets.iter().all(|target| target.publishers != Publishers::Own), "publishes elsewhere");
        }
        let remote = route.remote().iter().flat_map(|(_, targets)| targets.iter());
        let targets: Vec<&Target> = route.local().iter().chain(remote).collect();
        // A session publishes where it is: what it would hear of itself elsewhere is not asked.
        let here = matches.iter().map(|one| one.session).filter(|session| session.worker == HERE);
        for publisher in here.map(Some).chain([None]) {
            let mut found: Vec<Heard> = targets
                .iter()
                .filter(|target| target.hears(publisher))
                .map(|target| as_copy(target))
                .collect();
            found.sort_unstable();
            assert_eq!(found, copies(matches, publisher), "the route of {topic} for {publisher:?}");
        }
    }

    /// What was added can be removed, and leaves nothing.
    fn clear(mut self) {
        for one in std::mem::take(&mut self.list) {
            let filter = Filter::from_checked(&one.filter);
            assert!(self.index.remove(one.tenant, filter, one.session), "{filter}");
        }
        assert!(self.index.is_empty());
    }
}

fn sorted(matches: &[Match]) -> Vec<Found> {
    let found = |Match { session, options }: &Match| {
        let SubscriptionOptions { class_max, retain_as_published, no_local, separate, id, .. } = *options;
        (*session, class_max.number(), [retain_as_published, no_local, separate], id)
    };
    let mut all: Vec<Found> = matches.iter().map(found).collect();
    all.sort_unstable();
    all
}

/// What these subscriptions bring of a message: a copy for each that stands alone, and one for all others of a session.
/// A session that asked to be spared its own messages gets none of them by that subscription.
fn copies(matches: &[Match], publisher: Option<SessionRef>) -> Vec<Heard> {
    let mut alone = Vec::new();
    let mut together: BTreeMap<SessionRef, Heard> = BTreeMap::new();
    for Match { session, options } in matches {
        if options.no_local && publisher == Some(*session) {
            continue;
        }
        let (class, retained) = (options.class_max.number(), options.retain_as_published);
        let copy = (*session, class, retained, options.id.into_iter().collect());
        if options.separate {
            alone.push(copy);
        } else if let Some((_, best, any, ids)) = together.get_mut(session) {
            (*best, *any) = (class.max(*best), retained || *any);
            ids.extend(options.id);
        } else {
            together.insert(*session, copy);
        }
    }
    alone.extend(together.into_values());
    alone.sort_unstable();
    alone
}

/// A target as the copy of a message that it stands for. Each subscription is named once.
fn as_copy(target: &Target) -> Heard {
    let ids: Vec<SubscriptionId> = target.via.iter().flat_map(|via| via.ids.iter().copied()).collect();
    assert!(target.group().is_none());
    let set: BTreeSet<SubscriptionId> = ids.iter().copied().collect();
    assert_eq!(set.len(), ids.len(), "{ids:?}");
    (target.session, target.class_max.number(), target.retain_as_published, set)
}

fn tenant(script: &mut Script<'_>) -> TenantId {
    TenantId::new(u16::from(script.below(2)))
}

fn session(script: &mut Script<'_>) -> SessionRef {
    let number = script.below(12);
    SessionRef { worker: WorkerId(u16::from(number % 3)), slot: u32::from(number / 3), generation: 1 }
}

fn options(script: &mut Script<'_>) -> SubscriptionOptions {
    let bits = script.byte();
    let class_max = Class::from_number(bits & 3).unwrap_or(Class::AtMostOnce);
    SubscriptionOptions {
        retain_as_published: bits & 8 != 0,
        no_local: bits & 4 != 0,
        separate: bits & 16 != 0,
        // Few names, so that some are the same.
        id: SubscriptionId::new(u32::from(bits >> 5)),
        ..SubscriptionOptions::new(class_max)
    }
}

fn text(script: &mut Script<'_>) -> Vec<u8> {
    script.piece(16).iter().map(|&byte| LETTERS[usize::from(byte & 15)]).collect()
}

/// The text as a filter, if it is one; that is judged here too.
fn filter(text: &[u8]) -> Option<Filter<'_>> {
    let filter = Filter::new(text).ok();
    let segment = |s: &[u8]| s == b"+" || s == b"#" || !s.iter().any(|b| b"+#\0".contains(b));
    let expected = !text.is_empty() && text.split(|&b| b == b'/').all(segment);
    assert_eq!(filter.is_some(), expected, "{}", text.escape_ascii());
    filter
}

/// Whether a filter selects a topic, from the definition: `+` is any one segment, `#` any number of segments (at the
/// end also none, which is the parent), and a leading wildcard sees no `$`-topic.
fn selects(filter: &[u8], topic: &[u8]) -> bool {
    if topic[0] == b'$' && matches!(filter[0], b'+' | b'#') {
        return false;
    }
    let filter: Vec<&[u8]> = filter.split(|&b| b == b'/').collect();
    let topic: Vec<&[u8]> = topic.split(|&b| b == b'/').collect();
    // From the last segment of the filter backwards: reach[n] says whether what is left of the filter selects what is
    // left of the topic from segment n on.
    let mut reach: Vec<bool> = (0..=topic.len()).map(|n| n == topic.len()).collect();
    for segment in filter.iter().rev() {
        reach = match *segment {
            b"#" => (0..=topic.len()).map(|n| reach[n..].contains(&true)).collect(),
            b"+" => (0..=topic.len()).map(|n| n < topic.len() && reach[n + 1]).collect(),
            literal => {
                (0..=topic.len()).map(|n| n < topic.len() && topic[n] == literal && reach[n + 1]).collect()
            }
        };
    }
    reach[0]
}
