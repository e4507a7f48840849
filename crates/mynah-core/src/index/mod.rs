//! The topic index: the filters of all sessions, matched against topics.
//!
//! A filter without wildcard is found by one probe of a flat table. Filters with `+` or a `#` at the end share a table
//! of nodes, one for each proper prefix, keyed by a rolling hash of the path; a match walks the topic's segments and
//! probes only where a node says that something is below. A hash that hits proves nothing: every hit is verified
//! against the filter's text. Filters with `#` elsewhere stand in a list.

mod filters;
mod nodes;
mod packed;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use hashbrown::HashTable;
use mynah_model::{Filter, SubscriptionOptions, TenantId, Topic};

use crate::SessionRef;
use crate::hash::KeyedHash;
use filters::Filters;
use nodes::Nodes;

/// A subscription that matches a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Whose subscription it is.
    pub session: SessionRef,
    /// How it wants its messages. The index does not keep when it wanted retained values.
    pub options: SubscriptionOptions,
}

/// The filters of all sessions of all tenants.
#[derive(Debug)]
pub struct TopicIndex {
    hash: KeyedHash,
    filters: Filters,
    /// Filters without wildcard, by the hash of their text.
    exact: HashTable<u32>,
    /// Filters with wildcards, by the hash of their path.
    leaves: HashTable<Leaf>,
    /// What leads to the leaves.
    nodes: Nodes,
    /// Filters with a `#` that is not at the end.
    many: Vec<u32>,
}

/// A filter with wildcards.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    path: u64,
    at: u32,
}

/// Which part of the index a filter belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Exact,
    Wildcard,
    Many,
}

impl Room {
    fn of(filter: Filter<'_>) -> Self {
        if filter.as_exact().is_some() {
            Self::Exact
        } else if filter.has_inner_many() {
            Self::Many
        } else {
            Self::Wildcard
        }
    }
}

impl TopicIndex {
    /// An empty index whose hashes are keyed by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            filters: Filters::default(),
            exact: HashTable::new(),
            leaves: HashTable::new(),
            nodes: Nodes::default(),
            many: Vec::new(),
        }
    }

    /// Adds a subscription. Returns whether it replaced one of the same session with the same filter.
    pub fn insert(
        &mut self,
        tenant: TenantId,
        filter: Filter<'_>,
        session: SessionRef,
        options: SubscriptionOptions,
    ) -> bool {
        let subscriber = Match { session, options };
        if let Some(at) = self.find(tenant, filter) {
            return self.filters.add(at, subscriber);
        }
        let at = self.filters.insert(tenant, filter, subscriber);
        let (filters, keyed) = (&self.filters, &self.hash);
        match Room::of(filter) {
            Room::Exact => {
                let text_hash = |at: &u32| keyed.text(filters.tenant(*at), filters.filter(*at).as_bytes());
                self.exact.insert_unique(keyed.text(tenant, filter.as_bytes()), at, text_hash);
            }
            Room::Wildcard => {
                let path = nodes::leaf(keyed, tenant, filter);
                self.leaves.insert_unique(path, Leaf { path, at }, |leaf| leaf.path);
                self.nodes.add(keyed, tenant, filter);
            }
            Room::Many => self.many.push(at),
        }
        false
    }

    /// Removes a subscription. Returns whether it was there.
    pub fn remove(&mut self, tenant: TenantId, filter: Filter<'_>, session: SessionRef) -> bool {
        let Some(at) = self.find(tenant, filter) else { return false };
        if !self.filters.remove(at, session) {
            return false;
        }
        if !self.filters.is_deserted(at) {
            return true;
        }
        match Room::of(filter) {
            Room::Exact => {
                let hash = self.hash.text(tenant, filter.as_bytes());
                if let Ok(entry) = self.exact.find_entry(hash, |&other| other == at) {
                    entry.remove();
                }
            }
            Room::Wildcard => {
                self.nodes.remove(&self.hash, tenant, filter);
                let path = nodes::leaf(&self.hash, tenant, filter);
                if let Ok(entry) = self.leaves.find_entry(path, |leaf| leaf.at == at) {
                    entry.remove();
                }
            }
            Room::Many => self.many.retain(|&other| other != at),
        }
        self.filters.discard(at);
        true
    }

    /// Pushes every subscription that matches `topic`, in no particular order. A session whose subscriptions overlap
    /// appears several times.
    pub fn matches(&self, tenant: TenantId, topic: Topic<'_>, found: &mut Vec<Match>) {
        let hash = self.hash.text(tenant, topic.as_bytes());
        let same = |&at: &u32| self.filters.is(at, tenant, topic.as_bytes());
        if let Some(&at) = self.exact.find(hash, same) {
            self.filters.subscribers(at, found);
        }
        self.nodes.walk(&self.hash, tenant, topic, |leaf| {
            // A table compares seven bits of the hash by itself: without the rest another filter that also selects
            // the topic would pass for this one.
            let same = |other: &Leaf| other.path == leaf && self.filters.selects(other.at, tenant, topic);
            if let Some(found_leaf) = self.leaves.find(leaf, same) {
                self.filters.subscribers(found_leaf.at, found);
            }
        });
        for &at in &self.many {
            if self.filters.selects(at, tenant, topic) {
                self.filters.subscribers(at, found);
            }
        }
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filters.subscriptions()
    }

    /// Whether there is no subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the index takes, as far as it knows.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.filters.memory_bytes()
            + self.exact.allocation_size()
            + self.leaves.allocation_size()
            + self.nodes.memory_bytes()
            + self.many.capacity() * size_of::<u32>()
    }

    /// Where a filter is kept.
    fn find(&self, tenant: TenantId, filter: Filter<'_>) -> Option<u32> {
        let same = |at: &u32| self.filters.is(*at, tenant, filter.as_bytes());
        match Room::of(filter) {
            Room::Exact => self.exact.find(self.hash.text(tenant, filter.as_bytes()), same).copied(),
            Room::Wildcard => {
                let path = nodes::leaf(&self.hash, tenant, filter);
                self.leaves.find(path, |leaf| same(&leaf.at)).map(|leaf| leaf.at)
            }
            Room::Many => self.many.iter().find(|at| same(at)).copied(),
        }
    }
}
