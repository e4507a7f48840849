//! A state in memory, for simulations: what was not synced is gone when it is opened again.

use core::ops::{Bound, ControlFlow};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Change, State, StateError, States, Visit};

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The place of a state in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStates {
    synced: Arc<Mutex<Map>>,
}

impl MemoryStates {
    fn synced(&self) -> MutexGuard<'_, Map> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A state of its own that holds what is synced here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { synced: Arc::new(Mutex::new(self.synced().clone())) }
    }

    /// Changes the synced keys and values: what damage does.
    pub fn damage(&self, change: impl FnOnce(&mut BTreeMap<Box<[u8]>, Box<[u8]>>)) {
        change(&mut self.synced());
    }
}

impl States for MemoryStates {
    fn open(&self) -> Result<Box<dyn State>, StateError> {
        let map = self.synced().clone();
        Ok(Box::new(MemoryState { place: self.clone(), map, unsynced: Vec::new() }))
    }

    fn set_aside(&self) -> io::Result<String> {
        self.synced().clear();
        Ok("nowhere".to_owned())
    }
}

#[derive(Debug)]
struct MemoryState {
    place: MemoryStates,
    map: Map,
    unsynced: Vec<Change>,
}

impl State for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.map.get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        for (key, value) in self.map.range::<[u8], _>(range) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        self.unsynced.extend(changes.iter().cloned());
        apply(&mut self.map, changes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateError> {
        apply(&mut self.place.synced(), core::mem::take(&mut self.unsynced));
        Ok(())
    }
}

fn apply(map: &mut Map, changes: Vec<Change>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}
