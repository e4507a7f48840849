//! Nodes: what leads to the filters with wildcards. A node stands for a proper prefix of at least one such filter and
//! counts what goes on from it, so that a walk probes only where something is.

use alloc::vec::Vec;

use hashbrown::HashTable;
use mynah_model::{Filter, Segment, TenantId, Topic};

use crate::hash::{KeyedHash, PathStep};

#[derive(Debug, Default)]
pub(super) struct Nodes {
    table: HashTable<Node>,
}

/// Two paths with the same hash share a node: their counts add up, which costs probes and hides nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    hash: u64,
    /// Filters that go on with a literal.
    literals: u32,
    /// Filters that go on with `+`.
    ones: u32,
    /// Filters that go on with the final `#`.
    tails: u32,
    /// Filters that end here.
    ends: u32,
}

impl Node {
    fn is_unused(&self) -> bool {
        self.literals == 0 && self.ones == 0 && self.tails == 0 && self.ends == 0
    }

    fn count(&mut self, next: Option<Segment<'_>>) -> &mut u32 {
        match next {
            None => &mut self.ends,
            Some(Segment::Literal(_)) => &mut self.literals,
            Some(Segment::One) => &mut self.ones,
            Some(Segment::Tail | Segment::Many) => &mut self.tails,
        }
    }
}

fn step(hash: &KeyedHash, path: u64, segment: Segment<'_>) -> u64 {
    hash.step(
        path,
        match segment {
            Segment::Literal(literal) => PathStep::Literal(literal),
            Segment::One => PathStep::One,
            Segment::Tail | Segment::Many => PathStep::Tail,
        },
    )
}

/// The hash of a filter's whole path.
pub(super) fn leaf(hash: &KeyedHash, tenant: TenantId, filter: Filter<'_>) -> u64 {
    filter.segments().fold(hash.root(tenant), |path, segment| step(hash, path, segment))
}

impl Nodes {
    /// Counts a filter that was added.
    pub(super) fn add(&mut self, hash: &KeyedHash, tenant: TenantId, filter: Filter<'_>) {
        each_node(hash, tenant, filter, |path, next| {
            let node = self
                .table
                .entry(path, |node| node.hash == path, |node| node.hash)
                .or_insert(Node { hash: path, ..Node::default() })
                .into_mut();
            *node.count(next) += 1;
        });
    }

    /// Counts a filter that was removed; it was added before.
    pub(super) fn remove(&mut self, hash: &KeyedHash, tenant: TenantId, filter: Filter<'_>) {
        each_node(hash, tenant, filter, |path, next| {
            let Ok(mut entry) = self.table.find_entry(path, |node| node.hash == path) else {
                debug_assert!(false, "an added filter has all its nodes");
                return;
            };
            *entry.get_mut().count(next) -= 1;
            if entry.get().is_unused() {
                entry.remove();
            }
        });
    }

    /// Calls `hit` with the path of each filter that may select `topic`. The paths that are still to be followed are at
    /// most as many as the topic has segments.
    pub(super) fn walk(
        &self,
        hash: &KeyedHash,
        tenant: TenantId,
        topic: Topic<'_>,
        mut hit: impl FnMut(u64),
    ) {
        let root = hash.root(tenant);
        if self.find(root).is_none() {
            return;
        }
        let mut pending = Vec::with_capacity(16);
        pending.push((root, Some(topic.as_bytes())));
        let mut at_root = true;
        while let Some((path, rest)) = pending.pop() {
            // A wildcard in the first place selects no `$`-topic.
            let wildcards = !(at_root && topic.is_dollar());
            at_root = false;
            let Some(node) = self.find(path) else { continue };
            if node.tails > 0 && wildcards {
                hit(hash.step(path, PathStep::Tail));
            }
            let Some(rest) = rest else {
                if node.ends > 0 {
                    hit(path);
                }
                continue;
            };
            let (segment, below) = match rest.iter().position(|&b| b == b'/') {
                Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                None => (rest, None),
            };
            if node.ones > 0 && wildcards {
                pending.push((hash.step(path, PathStep::One), below));
            }
            if node.literals > 0 {
                pending.push((hash.step(path, PathStep::Literal(segment)), below));
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.allocation_size()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn find(&self, path: u64) -> Option<&Node> {
        self.table.find(path, |node| node.hash == path)
    }
}

/// Calls `visit` with every node on the way to a filter and what the filter goes on with there. A filter that ends in
/// `#` has no node of its own.
fn each_node(
    hash: &KeyedHash,
    tenant: TenantId,
    filter: Filter<'_>,
    mut visit: impl FnMut(u64, Option<Segment<'_>>),
) {
    let mut path = hash.root(tenant);
    for segment in filter.segments() {
        visit(path, Some(segment));
        if segment == Segment::Tail {
            return;
        }
        path = step(hash, path, segment);
    }
    visit(path, None);
}
