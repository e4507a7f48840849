//! The power failure: what the killed broker had written and not synced is undone, as a whole or by chance.
//!
//! SIGKILL alone loses nothing, because the kernel has what was written. The library `mynah-lostwrites`, preloaded into
//! the broker, notes in a folder beside the broker's what each change replaces; here it is put back.

mod files;
mod names;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use record::Record;

use crate::random::Random;

/// Names the folder whose files are followed.
pub const FOLDER: &str = "LOSTWRITES_FOLDER";
/// Names the folder for what the library notes.
pub const SIDE: &str = "LOSTWRITES_SIDE";
/// Makes every sync do nothing.
pub const IGNORE_SYNC: &str = "LOSTWRITES_IGNORE_SYNC";
/// Names a file: while it is there, every sync of a file fails with EIO.
pub const FAIL_SYNC: &str = "LOSTWRITES_FAIL_SYNC";
/// The file of records in [`SIDE`].
pub const LOG: &str = "records";
/// The folder in [`SIDE`] with a link to every file that a record names, called by its inode.
pub const PINS: &str = "pins";

/// How much of what was not synced is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the kernel lived on.
    Nothing,
    /// Everything.
    Everything,
    /// Of each file what was written after some moment, in the middle of a write; of each folder the same of its names.
    Tail,
    /// Of each file some sectors, whichever; of each folder the names after some moment.
    Sectors,
}

impl Loss {
    /// One of them.
    pub fn draw(random: &mut Random) -> Self {
        match random.between(0..=9) {
            0 => Self::Nothing,
            1..=3 => Self::Everything,
            4..=6 => Self::Tail,
            _ => Self::Sectors,
        }
    }
}

/// What was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sectors whose content went back.
    pub sectors: u64,
    /// Bytes by which files became shorter or longer again.
    pub bytes: u64,
    /// Names of files and folders that went back.
    pub names: u64,
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.sectors += other.sectors;
        self.bytes += other.bytes;
        self.names += other.names;
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sectors, bytes, names } = self;
        write!(f, "{sectors} sectors, {bytes} bytes of length, {names} names")
    }
}

/// A folder that is followed.
#[derive(Debug)]
pub struct Undo {
    folder: PathBuf,
    side: PathBuf,
    library: PathBuf,
    /// Size and time of the last change of each file before the program under test was started, by inode.
    before: BTreeMap<u64, (u64, i64, i64)>,
}

impl Undo {
    /// Follows `folder` by the library, with `side` for its notes; both on the same file system, and absolute.
    #[must_use]
    pub fn new(folder: &Path, side: &Path, library: &Path) -> Self {
        let (folder, side, library) = (folder.to_owned(), side.to_owned(), library.to_owned());
        Self { folder, side, library, before: BTreeMap::new() }
    }

    /// What the program under test has to find in its environment.
    #[must_use]
    pub fn environment(&self, ignores_sync: bool) -> Vec<(&'static str, PathBuf)> {
        let mut environment = vec![
            ("LD_PRELOAD", self.library.clone()),
            (FOLDER, self.folder.clone()),
            (SIDE, self.side.clone()),
        ];
        if ignores_sync {
            environment.push((IGNORE_SYNC, "1".into()));
        }
        environment
    }

    /// What is there now is safe. To be called while nobody works in the folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&mut self) -> Result<()> {
        match fs::remove_dir_all(&self.side) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(self.side.join(PINS))?;
        self.before.clear();
        let before = &mut self.before;
        walk(&self.folder, &mut |_, metadata| {
            before.insert(metadata.ino(), state(metadata));
            Ok(())
        })
    }

    /// Undoes what was not synced. The program under test is dead.
    ///
    /// # Errors
    /// Those of the file system; a change that the library did not see or could not follow.
    pub fn apply(&mut self, loss: Loss, random: &mut Random) -> Result<Lost> {
        let log = match fs::read(self.side.join(LOG)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            log => log?,
        };
        let mut input = log.as_slice();
        let records: Vec<Record<'_>> = std::iter::from_fn(|| Record::decode(&mut input)).collect();
        self.check_all_seen(&records)?;
        if loss == Loss::Nothing {
            return Ok(Lost::default());
        }
        let safe = safe_until(&records);
        let pins = self.side.join(PINS);
        let mut lost = files::undo(&records, &safe, &pins, loss, random)?;
        lost.names += names::undo(&records, &safe, &pins, loss, random)?;
        Ok(lost)
    }

    /// A change that went past the library would be kept, and the run would prove less than it says.
    fn check_all_seen(&self, records: &[Record<'_>]) -> Result<()> {
        let mut seen = BTreeSet::new();
        for record in records {
            match *record {
                Record::Range { inode, .. } | Record::Made { inode, .. } | Record::Renamed { inode, .. } => {
                    seen.insert(inode);
                }
                Record::Unfollowed { what } => {
                    let what = String::from_utf8_lossy(what);
                    return Err(Error::other(format!("what mynah-lostwrites cannot undo was done: {what}")));
                }
                _ => {}
            }
        }
        let mut may_be_new = true;
        walk(&self.folder, &mut |path, metadata| {
            let inode = metadata.ino();
            if seen.contains(&inode) || self.before.get(&inode) == Some(&state(metadata)) {
                return Ok(());
            }
            // The kill came after a file was made and before that was noted: its inode is not known earlier. The library
            // lets one be made at a time, and nothing is written to it before the note.
            if metadata.size() == 0 && !self.before.contains_key(&inode) && std::mem::take(&mut may_be_new) {
                return Ok(());
            }
            let what = "changed, and mynah-lostwrites did not see it (it sees what goes through libc)";
            Err(Error::other(format!("{} {what}", path.display())))
        })
    }
}

fn state(metadata: &fs::Metadata) -> (u64, i64, i64) {
    (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// Up to which record the last successful sync of each file and folder reaches.
fn safe_until(records: &[Record<'_>]) -> BTreeMap<u64, usize> {
    let ended =
        |record: &Record<'_>| if let Record::SyncEnds { ticket } = *record { Some(ticket) } else { None };
    let ended: BTreeSet<u64> = records.iter().filter_map(ended).collect();
    let mut safe = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        if let Record::SyncBegins { ticket, inode } = *record
            && ended.contains(&ticket)
        {
            safe.insert(inode, at);
        }
    }
    safe
}

/// Whether the last sync reaches beyond the record at this place.
fn is_safe(safe: &BTreeMap<u64, usize>, inode: u64, at: usize) -> bool {
    safe.get(&inode).is_some_and(|&until| at < until)
}

/// Visits every file below a folder.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path, &metadata)?;
        }
    }
    Ok(())
}
