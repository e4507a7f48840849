//! Exchanges: where messages go that are not published to a topic, but to a name with a routing key.
//!
//! Each exchange has a space of keys of its own, except for `amq.topic`, which is the topic space: the topic index holds
//! who is bound to it, and here are only the exchanges that are. What an exchange leads to is found by its kind
//! (`places`), through links to other exchanges and to the alternate of one that has nobody (`route`).
//!
//! Invariants: a binding stands in the list of its place, in the list of its destination and in the table of bindings, or
//! in none of them; a destination that was forgotten is in no route from then on, although its bindings go bit by bit.

mod bindings;
mod declare;
mod headers;
mod places;
mod ring;
mod route;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use hashbrown::HashTable;
use mynah_model::{Argument, ExchangeSettings, TenantId};

use crate::SessionRef;
use crate::hash::KeyedHash;
use bindings::Binding;
pub use declare::{Ended, ExchangeError, TOPIC_SPACE};
use places::Places;
pub use route::{Routed, Routing};

/// Names an exchange; finds nothing once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeRef {
    slot: u32,
    generation: u32,
}

/// Who gets what an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A queue, where it lives.
    Queue(SessionRef),
    /// An exchange.
    Exchange(ExchangeRef),
}

/// What there may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeBounds {
    /// Exchanges, of all tenants.
    pub exchanges_max: usize,
    /// Bindings, of all tenants.
    pub bindings_max: usize,
}

/// What is said of a binding beside its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BindingTerms<'b> {
    /// The key: of a topic exchange a filter in canonical form, of a consistent-hash exchange a weight.
    pub key: &'b [u8],
    /// The arguments: of a headers exchange what is asked for.
    pub arguments: &'b [(Box<str>, Argument)],
}

/// All exchanges of all tenants, and what is bound to them.
#[derive(Debug)]
pub struct Exchanges {
    hash: KeyedHash,
    bounds: ExchangeBounds,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_name: HashTable<u32>,
    bindings: Vec<Option<Binding>>,
    vacant_bindings: Vec<u32>,
    by_terms: HashTable<u32>,
    /// The bindings of each destination.
    of_endpoint: BTreeMap<Endpoint, Vec<u32>>,
    /// Destinations that are gone while some of their bindings are not.
    forgotten: BTreeSet<Endpoint>,
    /// Bindings whose exchanges are gone.
    orphans: Vec<Vec<u32>>,
    /// Exchanges that went of themselves since this was asked last.
    ended: Vec<Ended>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    exchange: Option<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    tenant: TenantId,
    name: Box<[u8]>,
    settings: ExchangeSettings,
    /// Tells it from others that had the name.
    number: u64,
    places: Places,
    /// Whether something was bound to it: from then on it may go of itself.
    was_used: bool,
}

impl Exchanges {
    /// No exchanges yet; tables are keyed by `seed`.
    #[must_use]
    pub fn new(seed: u64, bounds: ExchangeBounds) -> Self {
        Self {
            hash: KeyedHash::new(seed),
            bounds,
            slots: Vec::new(),
            vacant: Vec::new(),
            by_name: HashTable::new(),
            bindings: Vec::new(),
            vacant_bindings: Vec::new(),
            by_terms: HashTable::new(),
            of_endpoint: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            orphans: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The exchange of this name.
    #[must_use]
    pub fn find(&self, tenant: TenantId, name: &[u8]) -> Option<ExchangeRef> {
        let hash = self.hash.text(tenant, name);
        let slot = *self.by_name.find(hash, |&slot| self.is_named(slot, tenant, name))?;
        Some(ExchangeRef { slot, generation: self.slots[slot as usize].generation })
    }

    /// What an exchange was declared as.
    #[must_use]
    pub fn settings(&self, exchange: ExchangeRef) -> Option<&ExchangeSettings> {
        Some(&self.get(exchange)?.settings)
    }

    /// The name of an exchange.
    #[must_use]
    pub fn name(&self, exchange: ExchangeRef) -> Option<&[u8]> {
        Some(&self.get(exchange)?.name)
    }

    /// The number that an exchange was declared with.
    #[must_use]
    pub fn number(&self, exchange: ExchangeRef) -> Option<u64> {
        Some(self.get(exchange)?.number)
    }

    /// The exchanges of a tenant, in the order of their names.
    #[must_use]
    pub fn list(&self, tenant: TenantId) -> Vec<(&[u8], &ExchangeSettings)> {
        let of_tenant = |exchange: &&Exchange| exchange.tenant == tenant;
        let exchanges = self.slots.iter().filter_map(|slot| slot.exchange.as_ref()).filter(of_tenant);
        let mut found: Vec<_> = exchanges.map(|exchange| (&*exchange.name, &exchange.settings)).collect();
        found.sort_unstable_by_key(|(name, _)| *name);
        found
    }

    fn get(&self, exchange: ExchangeRef) -> Option<&Exchange> {
        let slot = self.slots.get(exchange.slot as usize)?;
        slot.exchange.as_ref().filter(|_| slot.generation == exchange.generation)
    }

    fn get_mut(&mut self, exchange: ExchangeRef) -> Option<&mut Exchange> {
        let slot = self.slots.get_mut(exchange.slot as usize)?;
        slot.exchange.as_mut().filter(|_| slot.generation == exchange.generation)
    }

    fn is_named(&self, slot: u32, tenant: TenantId, name: &[u8]) -> bool {
        let exchange = self.slots[slot as usize].exchange.as_ref();
        exchange.is_some_and(|exchange| exchange.tenant == tenant && *exchange.name == *name)
    }
}
