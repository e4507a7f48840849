//! For tests and simulations: a disk that forgets and fails, a store without threads, and folders that go away.

use core::any::Any;
use core::fmt;
use std::io;
#[cfg(test)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU32, Ordering};

pub use crate::disk::simulated::{EIO, ENOSPC, Fault, SimulatedDisk};
use crate::error::StoreError;
use crate::journal::writer::Writer;
use crate::keeper::{Keeper, Thrift};
use crate::record::{Batch, Key, Owner, PayloadId};
use crate::recovery::Take;
use crate::report::{Finding, Report};
use crate::store::{PagedEntry, StoreOptions, open_and_stream, read_page};

/// A store without threads: whoever owns it says when records are written, when they are synced, and when the state
/// follows. The same calls in the same order do the same. Dropping it loses what was not synced, as a kill does.
pub struct SteppedStore {
    writer: Writer,
    keeper: Keeper,
    own: Batch,
    next_payload: u64,
    _lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for SteppedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedStore").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl SteppedStore {
    /// Opens a store as [`crate::Store::open`] does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(mut options: StoreOptions, take: Take<'_>) -> Result<(Self, Report), StoreError> {
        let mut opened = open_and_stream(&mut options, take)?;
        let salt = opened.live.salt();
        let writer =
            Writer::start(opened.segments.clone(), salt, options.segment_bytes, opened.next_segment)?;
        let next_payload = opened.live.next_payload().max(1);
        let report = core::mem::take(&mut opened.report);
        let lock = core::mem::replace(&mut opened.lock, Box::new(()));
        let keeper = Keeper::new(opened, Arc::default(), Thrift::of(options.segment_bytes));
        Ok((Self { writer, keeper, own: Batch::new(salt), next_payload, _lock: lock }, report))
    }

    /// An empty batch.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::new(self.keeper.salt())
    }

    /// A name for a message that is to be stored.
    pub fn new_payload_id(&mut self) -> PayloadId {
        self.next_payload += 1;
        PayloadId(self.next_payload - 1)
    }

    /// Writes the records of a batch, which is empty then.
    ///
    /// # Errors
    /// What the disk says. The batch is kept where there was no room; after anything else the store is to be dropped.
    pub fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.writer.write(&[batch.as_bytes()])?;
        batch.swap(&mut Vec::new());
        Ok(())
    }

    /// Makes everything that was written last.
    ///
    /// # Errors
    /// What the disk says. The store is to be dropped then.
    pub fn sync(&mut self) -> io::Result<()> {
        Ok(self.writer.sync()?)
    }

    /// One turn of the state behind the journal: follows it, takes snapshots, copies stragglers, removes segments.
    /// What it adds to the journal is written and not synced. Returns whether there is more to do at once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn keep(&mut self) -> Result<bool, StoreError> {
        let more = self.keeper.tick(self.writer.synced(), &mut self.own)?;
        let empty = self.batch();
        let mut own = core::mem::replace(&mut self.own, empty);
        self.write(&mut own)?;
        Ok(more)
    }

    /// Writes the state.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.keeper.flush(self.writer.synced())
    }

    /// Reads entries of a queue back as [`crate::Store::page`] does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn page(&mut self, owner: Owner<'_>, from: u64, max: usize) -> Result<Vec<PagedEntry>, StoreError> {
        self.keeper.catch_up(self.writer.synced())?;
        let mut key = Vec::new();
        Key::Entry(owner, from).encode(&mut key);
        read_page(&mut self.keeper, &key, max)
    }

    /// What was found since the start or the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        core::mem::take(&mut self.keeper.report).findings
    }
}

/// A new empty folder, removed in the end.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

#[cfg(test)]
impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mynah-store-{}-{name}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
