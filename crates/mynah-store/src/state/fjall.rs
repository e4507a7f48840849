//! A state on fjall. A database that was damaged may panic instead of saying so: that is an error here like any other.

use core::panic::AssertUnwindSafe;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::{Change, State, StateError, States, Visit, groups};
use crate::disk::{Disk, RealDisk};
use crate::record::key::tag;

/// The least that fjall takes, in bytes.
const JOURNALS_MAX: u64 = 64 << 20;
/// Small, so that a broker under a steady load has its full size after a minute.
const MEMTABLE_MAX: u64 = 4 << 20;
const CACHE_BYTES: u64 = 16 << 20;

/// Keyspaces, by the first byte of a key from which on they have it. Messages are named and queues are filled in order: on
/// their own their tables follow each other, and no table is ever merged with another for what is only added. They stand in
/// groups, see [`groups`].
const KEYSPACES: [(u8, &str); 5] = [
    (0, REST),
    (tag::PAYLOAD, "message-groups"),
    (tag::PAYLOAD + 1, REST),
    (tag::ENTRY, "entry-groups"),
    (tag::ENTRY + 1, REST),
];
const REST: &str = "live";

/// Keyspaces of earlier versions, in which these keys stood each by itself.
const EARLIER: [(u8, &str); 4] =
    [(tag::PAYLOAD, REST), (tag::ENTRY, REST), (tag::PAYLOAD, "messages"), (tag::ENTRY, "entries")];

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
            let mut state = FjallState { keyspaces: Vec::new(), database };
            for (from, name) in KEYSPACES {
                state.keyspaces.push((from, state.database.keyspace(name, options)?));
            }
            state.move_earlier()?;
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

fn options() -> KeyspaceCreateOptions {
    // Filters of a large state are megabytes: in parts, a look-up needs a few kilobytes of them.
    let parts = PartitioningPolicy::all(true);
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_MAX).filter_block_partitioning_policy(parts)
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

    /// Takes over what earlier versions wrote.
    fn move_earlier(&mut self) -> Result<(), StateError> {
        for (from, name) in EARLIER {
            if !self.database.keyspace_exists(name) {
                continue;
            }
            let keyspace = self.database.keyspace(name, options)?;
            loop {
                let mut batch = self.database.batch();
                let mut changes = Vec::new();
                for guard in keyspace.range([from]..[from + 1]).take(MOVED_AT_ONCE) {
                    let (key, value) = guard.into_inner()?;
                    batch.remove(&keyspace, key.clone());
                    changes.push((key.to_vec().into(), Some(value.to_vec().into())));
                }
                if changes.is_empty() {
                    break;
                }
                self.change_groups(&mut batch, changes)?;
                batch.commit()?;
            }
            if name != REST {
                self.database.delete_keyspace(keyspace)?;
            }
        }
        Ok(())
    }

    fn change_groups(&self, batch: &mut OwnedWriteBatch, mut changes: Vec<Change>) -> Result<(), StateError> {
        groups::order(&mut changes);
        for changes in groups::by_group(&changes) {
            let key = groups::group_of(&changes[0].0);
            let keyspace = self.of(&key);
            match groups::changed(changes, || Ok(keyspace.get(&key)?))? {
                Some(group) => batch.insert(keyspace, key, group),
                None => batch.remove(keyspace, key),
            }
        }
        Ok(())
    }
}

/// Whether keys that start with this byte stand in groups.
const fn is_grouped(first: u8) -> bool {
    matches!(first, tag::PAYLOAD | tag::ENTRY)
}

impl State for FjallState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        guarded(|| {
            if !key.first().copied().is_some_and(is_grouped) {
                return Ok(self.of(key).get(key)?.map(|value| value.to_vec()));
            }
            let group = self.of(key).get(groups::group_of(key))?;
            let value = group.as_ref().map(|group| groups::find(group, key)).transpose()?;
            Ok(value.flatten().map(<[u8]>::to_vec))
        })
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        guarded(|| {
            let ends = self.keyspaces.iter().skip(1).map(|(from, _)| Some([*from])).chain([None]);
            for ((first, keyspace), end) in self.keyspaces.iter().zip(ends) {
                let (start, end) =
                    (from.max(core::slice::from_ref(first)), end.as_ref().map_or(to, |end| to.min(end)));
                if start >= end {
                    continue;
                }
                if !is_grouped(*first) {
                    for guard in keyspace.range(start..end) {
                        let (key, value) = guard.into_inner()?;
                        if visit(&key, &value).is_break() {
                            return Ok(());
                        }
                    }
                    continue;
                }
                for guard in keyspace.range(&groups::first_group(start)[..]..end) {
                    let (key, group) = guard.into_inner()?;
                    if groups::scan(&key, &group, (start, end), visit)?.is_break() {
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
            let (grouped, single): (Vec<_>, Vec<_>) =
                changes.into_iter().partition(|(key, _)| key.first().copied().is_some_and(is_grouped));
            for (key, value) in single {
                let keyspace = self.of(&key);
                match value {
                    Some(value) => batch.insert(keyspace, &key[..], &value[..]),
                    None => batch.remove(keyspace, &key[..]),
                }
            }
            self.change_groups(&mut batch, grouped)?;
            Ok(batch.commit()?)
        })
    }

    fn sync(&mut self) -> Result<(), StateError> {
        guarded(|| Ok(self.database.persist(PersistMode::SyncAll)?))
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

impl From<fjall::Error> for StateError {
    fn from(error: fjall::Error) -> Self {
        Self(format!("the state cannot be used: {error}"))
    }
}

impl From<io::Error> for StateError {
    fn from(error: io::Error) -> Self {
        fjall::Error::from(error).into()
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StateError("the state is damaged: reading it panicked".to_owned())))
}
