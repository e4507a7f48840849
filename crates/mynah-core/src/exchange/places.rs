//! Where the bindings of an exchange stand, so that those are found that a message concerns.

use alloc::boxed::Box;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use mynah_model::ExchangeKind;

use super::ring::Ring;
use crate::patterns::{List, Patterns};

#[derive(Debug)]
pub(super) enum Places {
    /// By key.
    Direct(HashMap<Box<[u8]>, List, FixedState>),
    /// All alike: of a fanout, and of a headers exchange, which asks each.
    All(List),
    Topic(Patterns),
    ConsistentHash(List, Ring),
}

/// In which of the lists of an exchange a binding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In that of its key, or in the only one.
    Own,
    /// In that of a node of the patterns.
    Node(u32),
}

impl Places {
    /// Nothing yet; tables are keyed by `seed`.
    pub(super) fn new(kind: ExchangeKind, seed: u64) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::with_hasher(FixedState::with_seed(seed))),
            ExchangeKind::Fanout | ExchangeKind::Headers => Self::All(List::new()),
            ExchangeKind::Topic => Self::Topic(Patterns::new(seed)),
            ExchangeKind::ConsistentHash => Self::ConsistentHash(List::new(), Ring::default()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Direct(by_key) => by_key.is_empty(),
            Self::All(list) | Self::ConsistentHash(list, _) => list.is_empty(),
            Self::Topic(patterns) => patterns.is_empty(),
        }
    }

    /// Adds a binding with this key. Returns where it stands, and at which position.
    pub(super) fn add(&mut self, key: &[u8], number: u32) -> (Place, u32) {
        let (place, list) = match self {
            Self::Direct(by_key) => (Place::Own, by_key.entry_ref(key).or_default()),
            Self::All(list) | Self::ConsistentHash(list, _) => (Place::Own, list),
            Self::Topic(patterns) => {
                let node = patterns.grow(key);
                (Place::Node(node), patterns.list_mut(node))
            }
        };
        list.push(number);
        (place, (list.len() - 1) as u32)
    }

    /// Removes the binding at a position. Returns the one that stands there now, if one does.
    pub(super) fn remove(&mut self, key: &[u8], place: Place, position: u32) -> Option<u32> {
        let list = match (&mut *self, place) {
            (Self::Direct(by_key), _) => by_key.get_mut(key)?,
            (Self::All(list) | Self::ConsistentHash(list, _), _) => list,
            (Self::Topic(patterns), Place::Node(node)) => patterns.list_mut(node),
            (Self::Topic(_), Place::Own) => return None,
        };
        list.swap_remove(position as usize);
        let moved = list.get(position as usize).copied();
        if list.is_empty() {
            match (self, place) {
                (Self::Direct(by_key), _) => drop(by_key.remove(key)),
                (Self::Topic(patterns), Place::Node(node)) => patterns.prune(node),
                _ => {}
            }
        }
        moved
    }

    /// All bindings, in no order.
    pub(super) fn all(&self) -> Vec<u32> {
        match self {
            Self::Direct(by_key) => by_key.values().flatten().copied().collect(),
            Self::All(list) | Self::ConsistentHash(list, _) => list.clone(),
            Self::Topic(patterns) => patterns.all(),
        }
    }
}
