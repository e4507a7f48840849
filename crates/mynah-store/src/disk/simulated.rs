//! A disk in memory that forgets what was not synced, sector by sector and name by name, and fails at the call a test
//! names.

use core::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

const SECTOR: usize = 512;

/// What happens at a call that writes, counted from the making of the disk.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// From this call on, all fail: the machine is going down.
    HaltAt(u64),
    /// This one fails, and what it wrote is partly there.
    FailAt(u64, i32),
    /// These ones fail.
    FailDuring(u64, u64, i32),
}

/// `EIO`.
pub const EIO: i32 = 5;
/// `ENOSPC`.
pub const ENOSPC: i32 = 28;

#[derive(Clone, Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// What stands under a name that is a folder's.
const FOLDER: u64 = u64::MAX;

/// A change of one folder: a name and what stands under it, or that nothing does.
type Naming = (PathBuf, Option<u64>);

/// Files and folders by their paths.
type Names = BTreeMap<PathBuf, u64>;

#[derive(Debug, Default)]
struct Inner {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    synced_names: Names,
    unsynced: Vec<Naming>,
    locked: BTreeSet<PathBuf>,
    calls: u64,
    fault: Option<Fault>,
    free: u64,
}

/// A simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<Inner>>);

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedDisk {
    /// A disk that holds nothing, and is large.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { free: 1 << 40, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that wrote something, so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// Says which calls fail from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.inner().fault = fault;
    }

    /// Says how many bytes are free.
    pub fn set_free(&self, bytes: u64) {
        self.inner().free = bytes;
    }

    /// The disk after a power cut: of what was not synced, `keep` says for each piece whether it arrived.
    #[must_use]
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> Self {
        let inner = self.inner();
        let mut names = inner.synced_names.clone();
        // Folders are journalled, each by itself: its changes last in order, up to some point.
        let mut cut = BTreeSet::new();
        for naming in &inner.unsynced {
            let folder = naming.0.parent();
            if cut.contains(&folder) || !keep() {
                cut.insert(folder);
            } else {
                apply(naming, &mut names);
            }
        }
        // What is in a folder whose name was lost is lost with it.
        let found = names.clone();
        names.retain(|path, _| is_reachable(&found, path));
        let mut inodes = BTreeMap::new();
        for &id in names.values() {
            let Some(inode) = inner.inodes.get(&id) else { continue };
            let mut bytes = inode.synced.clone();
            if inode.current.len() != inode.synced.len() && keep() {
                bytes.resize(inode.current.len(), 0);
            }
            for &sector in &inode.dirty {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(bytes.len()).min(inode.current.len());
                if from < to && keep() {
                    bytes[from..to].copy_from_slice(&inode.current[from..to]);
                }
            }
            inodes.insert(id, Inode { synced: bytes.clone(), current: bytes, dirty: BTreeSet::new() });
        }
        let inner = Inner { inodes, synced_names: names.clone(), names, free: 1 << 40, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Files with their bytes.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let inner = self.inner();
        let files = inner.names.iter().filter(|(_, id)| **id != FOLDER);
        files.map(|(path, id)| (path.clone(), inner.inodes[id].current.clone())).collect()
    }

    /// Turns one bit of a file, if it is there.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut inner = self.inner();
        let Some(id) = inner.names.get(path).copied() else { return };
        let Some(inode) = inner.inodes.get_mut(&id) else { return };
        inode.current[bit / 8] ^= 1 << (bit % 8);
        inode.synced[bit / 8] ^= 1 << (bit % 8);
    }
}

fn apply((path, id): &Naming, names: &mut Names) {
    match id {
        Some(id) => drop(names.insert(path.clone(), *id)),
        None => drop(names.remove(path)),
    }
}

/// Whether all folders above a path are there.
fn is_reachable(names: &Names, path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| above.parent().is_none() || names.get(above) == Some(&FOLDER))
}

impl Inner {
    /// Counts a call that writes. Says how it fails, if it does, and whether half of it is done all the same.
    fn call(&mut self) -> Result<(), (io::Error, bool)> {
        let number = self.calls;
        self.calls += 1;
        let failure = |code, half| Err((io::Error::from_raw_os_error(code), half));
        match self.fault {
            Some(Fault::HaltAt(at)) if number == at => failure(EIO, true),
            Some(Fault::HaltAt(at)) if number > at => failure(EIO, false),
            Some(Fault::FailAt(at, code)) if number == at => failure(code, true),
            Some(Fault::FailDuring(from, to, code)) if (from..to).contains(&number) => failure(code, true),
            _ => Ok(()),
        }
    }

    /// One call that changes names.
    fn name(&mut self, namings: Vec<Naming>) -> io::Result<()> {
        self.call().map_err(|(error, _)| error)?;
        for naming in namings {
            apply(&naming, &mut self.names);
            self.unsynced.push(naming);
        }
        Ok(())
    }
}

impl Disk for SimulatedDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let ancestors: Vec<&Path> = folder.ancestors().filter(|path| path.parent().is_some()).collect();
        for path in ancestors.into_iter().rev() {
            if !inner.names.contains_key(path) {
                inner.name(vec![(path.to_owned(), Some(FOLDER))])?;
            }
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner();
        let inside = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        if inner.names.contains_key(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !is_reachable(&inner.names, file) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = inner.inodes.last_key_value().map_or(0, |(id, _)| id + 1);
        inner.name(vec![(file.to_owned(), Some(id))])?;
        inner.inodes.insert(id, Inode::default());
        drop(inner);
        self.open(file)
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let id = *self.inner().names.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let id = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.name(vec![(to.to_owned(), Some(id)), (from.to_owned(), None)])
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.inner().name(vec![(file.to_owned(), None)])
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call().map_err(|(error, _)| error)?;
        let unsynced = core::mem::take(&mut inner.unsynced);
        for naming in unsynced {
            if naming.0.parent() == Some(folder) {
                apply(&naming, &mut inner.synced_names);
            } else {
                inner.unsynced.push(naming);
            }
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.inner().free)
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        if !self.inner().locked.insert(file.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock { disk: self.clone(), path: file.to_owned() })))
    }
}

struct Lock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.inner().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
}

impl SimulatedFile {
    /// Does `change`, or half of it if the call fails in the middle.
    fn change(&self, change: impl FnOnce(&mut Inode, bool)) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let outcome = inner.call();
        let half = matches!(outcome, Err((_, true)));
        if let (true, Some(inode)) = (outcome.is_ok() || half, inner.inodes.get_mut(&self.id)) {
            change(inode, half);
        }
        outcome.map_err(|(error, _)| error)
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        let current = &inner.inodes[&self.id].current;
        let rest = current.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(|inode, half| {
            let bytes = if half { &bytes[..bytes.len() / 2] } else { bytes };
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            if inode.current.len() < to {
                inode.current.resize(to, 0);
            }
            inode.current[from..to].copy_from_slice(bytes);
            inode.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|inode, half| {
            // A sync that failed may have written anything.
            let length = inode.current.len();
            inode.synced.resize(length, 0);
            for sector in core::mem::take(&mut inode.dirty) {
                let (from, to) = (sector * SECTOR, (sector * SECTOR + SECTOR).min(length));
                if from < to && !(half && sector % 2 == 0) {
                    inode.synced[from..to].copy_from_slice(&inode.current[from..to]);
                }
            }
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.change(|inode, half| {
            if !half && inode.current.len() < bytes as usize {
                inode.current.resize(bytes as usize, 0);
            }
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.change(|inode, half| {
            if !half {
                inode.current.truncate(bytes as usize);
            }
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.inner().inodes[&self.id].current.len() as u64)
    }
}
