//! The topic index: the filters of all sessions, matched against topics.
//!
//! A filter without wildcard is found by one probe of a flat table. Filters with `+` or a `#` at the end share a table
//! that is keyed by a rolling hash of the path: a prefix that one filter alone has leads to that filter, a prefix of
//! several to a node; a match walks the topic's segments and probes only where a node says that something is below. A
//! hash that hits proves nothing: every hit is verified against the filter's text. Filters with `#` elsewhere stand in
//! a tree for each tenant.

mod filters;
mod nodes;
#[cfg(test)]
mod tests;
mod verify;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hashbrown::HashTable;
use mynah_model::{Filter, SubscriptionOptions, TenantId, Topic};

use crate::hash::KeyedHash;
use crate::patterns::{Patterns, Space};
use crate::{SessionRef, Text};
use filters::Filters;
use nodes::{Nodes, Texts};

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
    /// What leads to the filters with wildcards.
    nodes: Nodes,
    /// Filters with a `#` that is not at the end, by their slots.
    many: BTreeMap<TenantId, Patterns>,
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
            nodes: Nodes::default(),
            many: BTreeMap::new(),
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
        self.insert_or(tenant, filter, Match { session, options }, || filter.as_bytes().into())
    }

    /// The same for a filter that somebody keeps: the index keeps no copy.
    pub fn insert_text(
        &mut self,
        tenant: TenantId,
        text: &Text,
        session: SessionRef,
        options: SubscriptionOptions,
    ) -> bool {
        let filter = Filter::from_checked(text);
        self.insert_or(tenant, filter, Match { session, options }, || text.clone())
    }

    fn insert_or(
        &mut self,
        tenant: TenantId,
        filter: Filter<'_>,
        subscriber: Match,
        text: impl FnOnce() -> Text,
    ) -> bool {
        if let Some(at) = self.find(tenant, filter) {
            return self.filters.add(at, subscriber);
        }
        let at = self.filters.insert(tenant, text(), subscriber);
        let (filters, keyed) = (&self.filters, &self.hash);
        match Room::of(filter) {
            Room::Exact => {
                let text_hash = |at: &u32| keyed.text(filters.tenant(*at), filters.filter(*at).as_bytes());
                self.exact.insert_unique(keyed.text(tenant, filter.as_bytes()), at, text_hash);
            }
            Room::Wildcard => self.nodes.add(Texts { hash: keyed, filters }, at),
            Room::Many => {
                let many = self.many.entry(tenant).or_insert_with(|| Patterns::new(keyed.seed()));
                let node = many.grow(filter.as_bytes());
                many.list_mut(node).push(at);
            }
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
            Room::Wildcard => self.nodes.remove(Texts { hash: &self.hash, filters: &self.filters }, at),
            Room::Many => self.remove_many(tenant, filter),
        }
        self.filters.discard(at);
        true
    }

    /// Pushes every subscription that matches `topic`, in no particular order. A session whose subscriptions overlap
    /// appears several times.
    pub fn matches(&self, tenant: TenantId, topic: Topic<'_>, found: &mut Vec<Match>) {
        if !self.exact.is_empty() {
            let hash = self.hash.text(tenant, topic.as_bytes());
            let same = |&at: &u32| self.filters.is(at, tenant, topic.as_bytes());
            if let Some(&at) = self.exact.find(hash, same) {
                self.filters.subscribers(at, found);
            }
        }
        self.nodes.walk(self.texts(), tenant, topic, |at| self.filters.subscribers(at, found));
        if let Some(many) = self.many.get(&tenant) {
            let mut selected = Vec::new();
            many.select(topic.as_bytes(), Space::Topics, &mut selected);
            selected.into_iter().for_each(|at| self.filters.subscribers(at, found));
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
            + self.nodes.memory_bytes()
            + self.many.values().map(Patterns::memory_bytes).sum::<usize>()
    }

    /// Where a filter is kept.
    fn find(&self, tenant: TenantId, filter: Filter<'_>) -> Option<u32> {
        let same = |at: &u32| self.filters.is(*at, tenant, filter.as_bytes());
        match Room::of(filter) {
            Room::Exact => self.exact.find(self.hash.text(tenant, filter.as_bytes()), same).copied(),
            Room::Wildcard => self.nodes.find(self.texts(), tenant, filter),
            Room::Many => self.many.get(&tenant)?.find(filter.as_bytes())?.1.first().copied(),
        }
    }

    fn remove_many(&mut self, tenant: TenantId, filter: Filter<'_>) {
        let Some(many) = self.many.get_mut(&tenant) else { return };
        let Some((node, _)) = many.find(filter.as_bytes()) else { return };
        many.list_mut(node).clear();
        many.prune(node);
        if many.is_empty() {
            self.many.remove(&tenant);
        }
    }

    fn texts(&self) -> Texts<'_> {
        Texts { hash: &self.hash, filters: &self.filters }
    }
}
