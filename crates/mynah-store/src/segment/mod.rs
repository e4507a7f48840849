//! Segments: the files of the journal.

mod reader;
mod scan;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use reader::{FrameReader, Step};
pub(crate) use scan::scan;

use crate::disk::{self, Disk, DiskFile, read_full};
use crate::position::Position;

/// Bytes before the first frame: two copies of the header, each in a sector of its own.
pub(crate) const HEADER_BYTES: u32 = 1024;

const MAGIC: &[u8; 8] = b"MYNAHSEG";
/// The version of the segments that are written; those of every earlier one are read.
const FORMAT: u16 = 2;
/// Bytes of one copy of the header that mean something.
const HEADER_USED: usize = 24;
const COPY_AT: usize = 512;

/// The start of a segment's file.
pub(crate) fn header(number: u32, salt: u32) -> Vec<u8> {
    let mut copy = [0; HEADER_USED];
    copy[..8].copy_from_slice(MAGIC);
    copy[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    copy[12..16].copy_from_slice(&number.to_le_bytes());
    copy[16..20].copy_from_slice(&salt.to_le_bytes());
    let sum = crc32c::crc32c(&copy[..20]);
    copy[20..].copy_from_slice(&sum.to_le_bytes());
    let mut bytes = vec![0; HEADER_BYTES as usize];
    bytes[..HEADER_USED].copy_from_slice(&copy);
    bytes[COPY_AT..COPY_AT + HEADER_USED].copy_from_slice(&copy);
    bytes
}

/// What the start of a segment's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    /// The salt of the store. The second says whether both copies are right.
    Sound(u32, bool),
    /// Nothing was written: the segment was being made when the machine stopped.
    Blank,
    /// It cannot be read.
    Damaged,
    /// A later version of the program wrote it.
    Version(u16),
}

/// Reads the header of a segment.
pub(crate) fn read_header(file: &dyn DiskFile, number: u32) -> io::Result<HeaderState> {
    let mut bytes = vec![0; HEADER_BYTES as usize];
    let count = read_full(file, &mut bytes, 0)?;
    let copies = [0, COPY_AT].map(|at| header_copy(&bytes[at..at + HEADER_USED], number));
    Ok(match copies {
        [HeaderState::Sound(salt, _), HeaderState::Sound(other, _)] => {
            HeaderState::Sound(salt, salt == other)
        }
        [HeaderState::Sound(salt, _), _] | [_, HeaderState::Sound(salt, _)] => {
            HeaderState::Sound(salt, false)
        }
        [HeaderState::Version(version), _] | [_, HeaderState::Version(version)] => {
            HeaderState::Version(version)
        }
        _ if count == 0 || bytes.iter().all(|&byte| byte == 0) => HeaderState::Blank,
        _ => HeaderState::Damaged,
    })
}

fn header_copy(copy: &[u8], number: u32) -> HeaderState {
    let word = |at: usize| u32::from_le_bytes([copy[at], copy[at + 1], copy[at + 2], copy[at + 3]]);
    if copy[..8] != *MAGIC || word(20) != crc32c::crc32c(&copy[..20]) {
        return HeaderState::Damaged;
    }
    match u16::from_le_bytes([copy[8], copy[9]]) {
        1..=FORMAT if word(12) == number => HeaderState::Sound(word(16), true),
        0..=FORMAT => HeaderState::Damaged,
        version => HeaderState::Version(version),
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:010}.seg")
}

fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// The segments of a store, shared by who writes, who reads and who removes them.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    open: Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>,
}

impl Segments {
    /// The segments in `folder`, opened.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Self> {
        let mut open = BTreeMap::new();
        for number in disk.list(folder)?.iter().filter_map(|name| number_of(name)) {
            let file: Arc<dyn DiskFile> = disk.open(&folder.join(file_name(number)))?.into();
            open.insert(number, file);
        }
        Ok(Self { disk, folder: folder.to_owned(), open: Mutex::new(open) })
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<u32, Arc<dyn DiskFile>>) -> T) -> T {
        change(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.with(|open| open.keys().copied().collect())
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<dyn DiskFile>> {
        self.with(|open| open.get(&number).cloned())
    }

    /// Makes a segment with its header, synced. Not yet among the segments: see [`Segments::insert`].
    pub(crate) fn create(&self, number: u32, salt: u32, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.folder.join(file_name(number));
        let file: Arc<dyn DiskFile> = match self.disk.create(&path) {
            // What an earlier attempt left, for which there was no room.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&path)?.into(),
            made => made?.into(),
        };
        file.allocate(bytes)?;
        file.write_at(&header(number, salt), 0)?;
        file.sync()?;
        self.disk.sync_folder(&self.folder)?;
        Ok(file)
    }

    pub(crate) fn insert(&self, number: u32, file: Arc<dyn DiskFile>) {
        self.with(|open| drop(open.insert(number, file)));
    }

    /// Removes a segment. That its name may come back after a crash does no harm.
    pub(crate) fn remove(&self, number: u32) -> io::Result<()> {
        self.disk.remove(&self.folder.join(file_name(number)))?;
        self.with(|open| drop(open.remove(&number)));
        Ok(())
    }

    /// Moves a segment that cannot be read out of the way.
    pub(crate) fn set_aside(&self, number: u32, to: &Path) -> io::Result<()> {
        disk::create_folder(&*self.disk, to)?;
        self.disk.rename(&self.folder.join(file_name(number)), &to.join(file_name(number)))?;
        // Where it is now first: so that it is somewhere whenever the machine stops.
        self.disk.sync_folder(to)?;
        self.disk.sync_folder(&self.folder)?;
        self.with(|open| drop(open.remove(&number)));
        Ok(())
    }

    /// What stands from one place to another was read, and is not read again soon.
    pub(crate) fn forget(&self, from: Position, to: Position) {
        for number in from.segment..=to.segment {
            let start = if number == from.segment { from.offset } else { 0 };
            let end = if number == to.segment { to.offset } else { u32::MAX };
            if let Some(file) = self.get(number) {
                file.forget(u64::from(start), u64::from(end));
            }
        }
    }

    /// Bytes of a segment's file; zero if it is gone.
    pub(crate) fn bytes(&self, number: u32) -> io::Result<u64> {
        self.get(number).map_or(Ok(0), |file| file.bytes())
    }
}
