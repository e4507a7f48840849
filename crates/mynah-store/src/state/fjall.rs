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

/// The least that fjall takes, in bytes.
const JOURNALS_MAX: u64 = 64 << 20;
/// Small, so that a broker under a steady load has its full size after a minute.
const MEMTABLE_MAX: u64 = 4 << 20;
const CACHE_BYTES: u64 = 16 << 20;

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
            let live = database.keyspace("live", options)?;
            self.sync_name()?;
            Ok(Box::new(FjallState { live, database }) as Box<dyn State>)
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
    live: Keyspace,
    database: Database,
}

impl State for FjallState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        guarded(|| Ok(self.live.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        guarded(|| {
            for guard in self.live.range(from..to) {
                let (key, value) = guard.into_inner()?;
                if let ControlFlow::Break(()) = visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        guarded(|| {
            let mut batch = self.database.batch();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(&self.live, &key[..], &value[..]),
                    None => batch.remove(&self.live, &key[..]),
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
            // Not waited for: a worker of fjall that has stopped would be waited for without end.
            self.live.rotate_memtable()?;
            self.live.major_compact()
        })
    }
}

fn guarded<T>(work: impl FnOnce() -> fjall::Result<T>) -> Result<T, StateError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| StateError(format!("the state cannot be used: {error}"))),
        Err(_) => Err(StateError("the state is damaged: reading it panicked".to_owned())),
    }
}
