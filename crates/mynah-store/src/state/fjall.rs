//! A state on fjall. A database that was damaged may panic instead of saying so: that is an error here like any other.

use core::ops::ControlFlow;
use core::panic::AssertUnwindSafe;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Change, State, StateError, States, Visit};
use crate::disk::{Disk, RealDisk};
use crate::record::key::tag;

/// The least that fjall takes, in bytes.
const JOURNALS_MAX: u64 = 64 << 20;
/// Small, so that a broker under a steady load has its full size after a minute.
const MEMTABLE_MAX: u64 = 4 << 20;
const CACHE_BYTES: u64 = 16 << 20;

/// Keyspaces, by the first byte of a key from which on they have it. Messages are named and queues are filled in order: on
/// their own their tables follow each other, and no table is ever merged with another for what is only added.
const KEYSPACES: [(u8, &str); 5] = [
    (0, REST),
    (tag::PAYLOAD, "messages"),
    (tag::PAYLOAD + 1, REST),
    (tag::ENTRY, "entries"),
    (tag::ENTRY + 1, REST),
];
const REST: &str = "live";

/// Keys that are moved at a time.
const MOVED_AT_ONCE: usize = 10_000;

/// The place of a state on fjall.
#[derive(Clone, Debug)]
pub struct FjallStates {
    folder: PathBuf,
}

impl FjallStates {
    /// A state in a folder of its own.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

impl FjallStates {
    /// Makes the name of the folder last: fjall syncs what is in it.
    fn sync_name(&self) -> io::Result<()> {
        self.folder.parent().map_or(Ok(()), |above| RealDisk.sync_folder(above))
    }
}

impl States for FjallStates {
    fn open(&self) -> Result<Box<dyn State>, StateError> {
        guarded(|| {
            let database = Database::builder(&self.folder)
                .cache_size(CACHE_BYTES)
                .max_journaling_size(JOURNALS_MAX)
                .worker_threads(1)
                .open()?;
            let options = || {
                // Filters of a large state are megabytes: in parts, a look-up needs a few kilobytes of them.
                let parts = PartitioningPolicy::all(true);
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE_MAX)
                    .filter_block_partitioning_policy(parts)
            };
            let mut state = FjallState { keyspaces: Vec::new(), database };
            for (from, name) in KEYSPACES {
                state.keyspaces.push((from, state.database.keyspace(name, options)?));
            }
            state.move_older()?;
            self.sync_name()?;
            Ok(Box::new(state) as Box<dyn State>)
        })
    }

    fn set_aside(&self) -> io::Result<String> {
        if !self.folder.exists() {
            return Ok(String::new());
        }
        let aside = (1u32..)
            .map(|number| self.folder.with_extension(format!("damaged-{number}")))
            .find(|path| !path.exists())
            .ok_or(io::ErrorKind::AlreadyExists)?;
        std::fs::rename(&self.folder, &aside)?;
        self.sync_name()?;
        Ok(aside.display().to_string())
    }
}

struct FjallState {
    /// In the order of the keys that they have, each with the first byte of its first key.
    keyspaces: Vec<(u8, Keyspace)>,
    database: Database,
}

impl FjallState {
    /// The keyspace that has a key.
    fn of(&self, key: &[u8]) -> &Keyspace {
        let first = key.first().copied().unwrap_or(0);
        let after = self.keyspaces.partition_point(|(from, _)| *from <= first);
        &self.keyspaces[after - 1].1
    }

    /// Earlier versions had all keys in one keyspace.
    fn move_older(&self) -> fjall::Result<()> {
        let rest = &self.keyspaces[0].1;
        for (from, keyspace) in self.keyspaces.iter().filter(|(_, keyspace)| keyspace.name() != rest.name()) {
            loop {
                let mut batch = self.database.batch();
                for guard in rest.range([*from]..[from + 1]).take(MOVED_AT_ONCE) {
                    let (key, value) = guard.into_inner()?;
                    batch.remove(rest, key.clone());
                    batch.insert(keyspace, key, value);
                }
                if batch.is_empty() {
                    break;
                }
                batch.commit()?;
            }
        }
        Ok(())
    }
}

impl State for FjallState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        guarded(|| Ok(self.of(key).get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        guarded(|| {
            let ends = self.keyspaces.iter().skip(1).map(|(from, _)| Some([*from])).chain([None]);
            for ((start, keyspace), end) in self.keyspaces.iter().zip(ends) {
                let (start, end) = ([*start], end.as_ref().map_or(to, |end| to.min(end)));
                let start = from.max(&start);
                if start >= end {
                    continue;
                }
                for guard in keyspace.range(start..end) {
                    let (key, value) = guard.into_inner()?;
                    if let ControlFlow::Break(()) = visit(&key, &value) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        guarded(|| {
            let mut batch = self.database.batch();
            for (key, value) in changes {
                let keyspace = self.of(&key);
                match value {
                    Some(value) => batch.insert(keyspace, &key[..], &value[..]),
                    None => batch.remove(keyspace, &key[..]),
                }
            }
            batch.commit()
        })
    }

    fn sync(&mut self) -> Result<(), StateError> {
        guarded(|| self.database.persist(PersistMode::SyncAll))
    }

    fn compact(&mut self) -> Result<(), StateError> {
        guarded(|| {
            let is_first = |(from, keyspace): &&(u8, Keyspace)| *from == 0 || &**keyspace.name() != REST;
            for (_, keyspace) in self.keyspaces.iter().filter(is_first) {
                // Not waited for: a worker of fjall that has stopped would be waited for without end.
                keyspace.rotate_memtable()?;
                keyspace.major_compact()?;
            }
            Ok(())
        })
    }
}

fn guarded<T>(work: impl FnOnce() -> fjall::Result<T>) -> Result<T, StateError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| StateError(format!("the state cannot be used: {error}"))),
        Err(_) => Err(StateError("the state is damaged: reading it panicked".to_owned())),
    }
}
