//! What leads to the filters with wildcards. A prefix that one filter alone begins with leads to that filter; a prefix
//! that several share leads to a node, which counts what goes on from it, so that a walk probes only where something is.

use alloc::vec::Vec;

use hashbrown::HashTable;
use mynah_model::{Filter, Segment, TenantId, Topic};

use super::filters::Filters;
use super::verify;
use crate::hash::{KeyedHash, PathStep};

#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// What prefixes lead to, by the hashes of their paths.
    table: HashTable<Entry>,
    nodes: Vec<Node>,
    vacant: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: u64,
    below: Below,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    /// One filter, by its slot.
    One(u32),
    /// A node, by its place.
    Several(u32),
}

/// Two paths with the same hash share a node: their counts add up, which costs probes and hides nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// How many filters go on in each way.
    ways: [u32; 4],
    /// The slots of these filters, each bit the parity of theirs: once one filter is left, its slot.
    parity: u32,
}

/// How a filter goes on after a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Literal,
    One,
    /// With the final `#`.
    Tail,
    /// Not at all.
    End,
}

impl Node {
    fn filters(&self) -> u32 {
        self.ways.iter().sum()
    }

    fn goes(&self, way: Way) -> bool {
        self.ways[way as usize] > 0
    }
}

/// What a filter does at one of its prefixes.
struct Step {
    path: u64,
    way: Way,
    /// Where that leads.
    next: u64,
}

impl Step {
    fn is_last(&self) -> bool {
        matches!(self.way, Way::Tail | Way::End)
    }
}

/// The texts of the filters, and what makes paths of them.
#[derive(Clone, Copy)]
pub(super) struct Texts<'i> {
    pub(super) hash: &'i KeyedHash,
    pub(super) filters: &'i Filters,
}

impl<'i> Texts<'i> {
    /// The steps of a filter, from the root on.
    fn steps<'s>(self, tenant: TenantId, filter: Filter<'s>) -> impl Iterator<Item = Step> + use<'i, 's> {
        let mut segments = filter.segments();
        let mut path = Some(self.hash.root(tenant));
        core::iter::from_fn(move || {
            let from = path?;
            let (way, step) = match segments.next() {
                None => (Way::End, PathStep::End),
                Some(Segment::Literal(literal)) => (Way::Literal, PathStep::Literal(literal)),
                Some(Segment::One) => (Way::One, PathStep::One),
                Some(Segment::Tail | Segment::Many) => (Way::Tail, PathStep::Tail),
            };
            let step = Step { path: from, way, next: self.hash.step(from, step) };
            path = (!step.is_last()).then_some(step.next);
            Some(step)
        })
    }

    /// The steps of the filter in a slot, from the prefix `from` on.
    fn steps_from(self, at: u32, from: u64) -> impl Iterator<Item = Step> + use<'i> {
        let steps = self.steps(self.filters.tenant(at), self.filters.filter(at));
        steps.skip_while(move |step| step.path != from)
    }

    fn root(self, at: u32) -> u64 {
        self.hash.root(self.filters.tenant(at))
    }
}

impl Nodes {
    /// The slot of the filter with this text.
    pub(super) fn find(&self, texts: Texts<'_>, tenant: TenantId, filter: Filter<'_>) -> Option<u32> {
        let same = |at: u32| texts.filters.is(at, tenant, filter.as_bytes());
        for step in texts.steps(tenant, filter) {
            match self.below(step.path)? {
                Below::One(at) => return same(at).then_some(at),
                Below::Several(_) if step.is_last() => return self.last(step.next, same),
                Below::Several(_) => {}
            }
        }
        None
    }

    /// Adds the filter in a slot, which is not there yet.
    pub(super) fn add(&mut self, texts: Texts<'_>, at: u32) {
        self.add_from(texts, at, texts.root(at));
    }

    /// Removes the filter in a slot, which was added before.
    pub(super) fn remove(&mut self, texts: Texts<'_>, at: u32) {
        let root = texts.root(at);
        self.remove_from(texts, at, root);
        // Where one filter is left, it needs no nodes.
        let lonely = texts.steps_from(at, root).find_map(|step| match self.below(step.path) {
            Some(Below::Several(node)) => {
                let node = &self.nodes[node as usize];
                (node.filters() == 1).then_some((step.path, node.parity))
            }
            _ => None,
        });
        if let Some((path, left)) = lonely {
            self.remove_from(texts, left, path);
            self.add_from(texts, left, path);
        }
        if self.table.is_empty() {
            *self = Self::default();
        }
    }

    /// Calls `hit` with the slot of each filter that selects `topic`. The paths that are still to be followed are at
    /// most as many as the topic has segments.
    pub(super) fn walk(
        &self,
        texts: Texts<'_>,
        tenant: TenantId,
        topic: Topic<'_>,
        mut hit: impl FnMut(u32),
    ) {
        let hash = texts.hash;
        let filters = texts.filters;
        let selects = |at: u32| filters.tenant(at) == tenant && verify::selects(filters.filter(at), topic);
        let mut pending = Vec::new();
        let (mut path, mut rest) = (hash.root(tenant), Some(topic.as_bytes()));
        // A wildcard in the first place selects no `$`-topic.
        let mut wildcards = !topic.is_dollar();
        loop {
            match self.below(path) {
                None => {}
                Some(Below::One(at)) if selects(at) => hit(at),
                Some(Below::One(_)) => {}
                Some(Below::Several(node)) => {
                    let node = &self.nodes[node as usize];
                    if node.goes(Way::Tail) && wildcards {
                        self.last(hash.step(path, PathStep::Tail), selects).into_iter().for_each(&mut hit);
                    }
                    if let Some(left) = rest {
                        let (segment, below) = split(left);
                        if node.goes(Way::One) && wildcards {
                            pending.push((hash.step(path, PathStep::One), below));
                        }
                        if node.goes(Way::Literal) {
                            (path, rest) = (hash.step(path, PathStep::Literal(segment)), below);
                            wildcards = true;
                            continue;
                        }
                    } else if node.goes(Way::End) {
                        self.last(hash.step(path, PathStep::End), selects).into_iter().for_each(&mut hit);
                    }
                }
            }
            let Some(next) = pending.pop() else { return };
            (path, rest) = next;
            wildcards = true;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.allocation_size()
            + self.nodes.capacity() * size_of::<Node>()
            + self.vacant.capacity() * size_of::<u32>()
    }

    /// How many prefixes lead somewhere.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn below(&self, path: u64) -> Option<Below> {
        self.table.find(path, |entry| entry.path == path).map(|entry| entry.below)
    }

    /// The filter for which `wanted` holds among those whose last step leads to `path`.
    fn last(&self, path: u64, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let found = |entry: &Entry| match entry.below {
            Below::One(at) => entry.path == path && wanted(at),
            Below::Several(_) => false,
        };
        match self.table.find(path, found)?.below {
            Below::One(at) => Some(at),
            Below::Several(_) => None,
        }
    }

    fn add_from(&mut self, texts: Texts<'_>, at: u32, from: u64) {
        for step in texts.steps_from(at, from) {
            let node = match self.below(step.path) {
                None => return self.lead(step.path, Below::One(at)),
                Some(Below::One(other)) => self.part(texts, step.path, other),
                Some(Below::Several(node)) => node,
            };
            self.count(node, &step, at);
        }
    }

    /// Puts a node in the place of the filter that a prefix led to, and that filter below it.
    fn part(&mut self, texts: Texts<'_>, path: u64, other: u32) -> u32 {
        self.unlead(path, Below::One(other));
        let node = match self.vacant.pop() {
            Some(node) => {
                self.nodes[node as usize] = Node::default();
                node
            }
            None => {
                self.nodes.push(Node::default());
                (self.nodes.len() - 1) as u32
            }
        };
        self.lead(path, Below::Several(node));
        if let Some(step) = texts.steps_from(other, path).next() {
            self.count(node, &step, other);
            if !step.is_last() {
                self.add_from(texts, other, step.next);
            }
        }
        node
    }

    /// Counts a filter in a node; one that ends there stands right below it.
    fn count(&mut self, node: u32, step: &Step, at: u32) {
        let node = &mut self.nodes[node as usize];
        node.ways[step.way as usize] += 1;
        node.parity ^= at;
        if step.is_last() {
            self.lead(step.next, Below::One(at));
        }
    }

    fn remove_from(&mut self, texts: Texts<'_>, at: u32, from: u64) {
        for step in texts.steps_from(at, from) {
            match self.below(step.path) {
                Some(Below::Several(place)) => {
                    let node = &mut self.nodes[place as usize];
                    node.ways[step.way as usize] -= 1;
                    node.parity ^= at;
                    if node.filters() == 0 {
                        self.unlead(step.path, Below::Several(place));
                        self.vacant.push(place);
                    }
                    if step.is_last() {
                        self.unlead(step.next, Below::One(at));
                    }
                }
                below => {
                    debug_assert_eq!(below, Some(Below::One(at)), "an added filter has all its nodes");
                    return self.unlead(step.path, Below::One(at));
                }
            }
        }
    }

    fn lead(&mut self, path: u64, below: Below) {
        self.table.insert_unique(path, Entry { path, below }, |entry| entry.path);
    }

    fn unlead(&mut self, path: u64, below: Below) {
        if let Ok(entry) = self.table.find_entry(path, |entry| entry.path == path && entry.below == below) {
            entry.remove();
        }
    }
}

/// The first segment, and what follows it.
fn split(topic: &[u8]) -> (&[u8], Option<&[u8]>) {
    match topic.iter().position(|&b| b == b'/') {
        Some(end) => (&topic[..end], Some(&topic[end + 1..])),
        None => (topic, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_nodes_are_small() {
        assert_eq!((size_of::<Entry>(), size_of::<Node>()), (16, 20));
    }
}
