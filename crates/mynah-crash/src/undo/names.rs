//! The names of files and folders go back: what was made is gone, what was removed is there again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Result};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Loss, Record, is_safe};
use crate::random::Random;

/// Undoes names. Within a folder the later ones go first, as a journal of a file system has it. Returns how many.
pub(super) fn undo(
    records: &[Record<'_>],
    safe: &BTreeMap<u64, usize>,
    pins: &Path,
    loss: Loss,
    random: &mut Random,
) -> Result<u64> {
    let mut folders: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        if let Some(folder) = folder(record)
            && !is_safe(safe, folder, at)
        {
            folders.entry(folder).or_default().push(at);
        }
    }
    let mut undone = Vec::new();
    for changes in folders.values() {
        let kept = if loss == Loss::Everything { 0 } else { random.below(changes.len() + 1) };
        undone.extend_from_slice(&changes[kept..]);
    }
    undone.sort_unstable();
    let mut count = 0;
    for &at in undone.iter().rev() {
        let is_kept = |later: &usize| undone.binary_search(later).is_err();
        let renames = (at + 1..records.len()).filter(is_kept).map(|later| &records[later]);
        count += u64::from(undo_one(&records[at], &renames.collect::<Vec<_>>(), pins)?);
    }
    Ok(count)
}

/// The folder whose names a record changes.
fn folder(record: &Record<'_>) -> Option<u64> {
    match *record {
        Record::Made { folder, .. }
        | Record::Removed { folder, .. }
        | Record::Renamed { folder, .. }
        | Record::FolderMade { folder, .. }
        | Record::FolderRemoved { folder, .. } => Some(folder),
        _ => None,
    }
}

/// Undoes one record, if it was carried out at all: it was written before. Says whether it was.
fn undo_one(record: &Record<'_>, later: &[&Record<'_>], pins: &Path) -> Result<bool> {
    let moved = |path: &[u8]| moved(path, later);
    match *record {
        Record::Made { inode, path, .. } => {
            let path = moved(path);
            let was_made = is(&path, inode)?;
            if was_made {
                fs::remove_file(&path)?;
            }
            Ok(was_made)
        }
        Record::Removed { inode, path, .. } => restore(inode, &moved(path), pins),
        Record::Renamed { inode, replaced, from, to, .. } => {
            let (from, to) = (moved(from), moved(to));
            let was_renamed = is(&to, inode)? && number(&from)?.is_none();
            if was_renamed {
                fs::rename(&to, &from)?;
                restore(replaced, &to, pins)?;
            }
            Ok(was_renamed)
        }
        Record::FolderMade { path, .. } => match fs::remove_dir_all(moved(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            result => result.map(|()| true),
        },
        Record::FolderRemoved { path, .. } => match fs::create_dir(moved(path)) {
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Ok(false),
            result => result.map(|()| true),
        },
        _ => Ok(false),
    }
}

/// Where a path leads after the folders above it were renamed.
fn moved(path: &[u8], later: &[&Record<'_>]) -> PathBuf {
    let mut path = PathBuf::from(OsStr::from_bytes(path));
    for record in later {
        if let Record::Renamed { from, to, .. } = record
            && let Ok(rest) = path.strip_prefix(OsStr::from_bytes(from))
            && !rest.as_os_str().is_empty()
        {
            path = Path::new(OsStr::from_bytes(to)).join(rest);
        }
    }
    path
}

/// Gives a file its name again, unless it has it or nothing is known of it.
fn restore(inode: u64, path: &Path, pins: &Path) -> Result<bool> {
    match fs::hard_link(pins.join(inode.to_string()), path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Ok(false),
        result => result.map(|()| true),
    }
}

fn is(path: &Path, inode: u64) -> Result<bool> {
    Ok(number(path)? == Some(inode))
}

/// The inode that has a name.
fn number(path: &Path) -> Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        metadata => Ok(Some(metadata?.ino())),
    }
}
