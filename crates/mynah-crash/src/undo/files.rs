//! The content of files goes back, sector by sector.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Loss, Lost, Record, is_safe};
use crate::random::Random;

/// What a disk writes as a whole.
const SECTOR_BYTES: u64 = 512;

type Sector = [u8; SECTOR_BYTES as usize];

/// A change of a file that was not synced.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    offset: u64,
    bytes: u64,
    /// How long the file was before.
    size: u64,
    old: &'a [u8],
}

pub(super) fn undo(
    records: &[Record<'_>],
    safe: &BTreeMap<u64, usize>,
    pins: &Path,
    loss: Loss,
    random: &mut Random,
) -> Result<Lost> {
    let mut changes: BTreeMap<u64, Vec<Change<'_>>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let (inode, change) = match *record {
            Record::Range { inode, offset, bytes, size, old } => (inode, Change { offset, bytes, size, old }),
            // The first sync of a file is also the first of its length.
            Record::Made { inode, .. } => (inode, Change { offset: 0, bytes: 0, size: 0, old: &[] }),
            _ => continue,
        };
        if !is_safe(safe, inode, at) {
            changes.entry(inode).or_default().push(change);
        }
    }
    let mut lost = Lost::default();
    for (inode, changes) in changes {
        let file = match OpenOptions::new().read(true).write(true).open(pins.join(inode.to_string())) {
            // Killed after the record and before the link: nothing was done with it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?,
        };
        lost += undo_file(&file, changes, loss, random)?;
    }
    Ok(lost)
}

fn undo_file(file: &File, mut changes: Vec<Change<'_>>, loss: Loss, random: &mut Random) -> Result<Lost> {
    let size = file.metadata()?.len();
    if loss == Loss::Tail {
        changes.drain(..random.below(changes.len()));
        if let Some(first) = changes.first_mut() {
            tear(first, random);
        }
    }
    let Some(first) = changes.first() else { return Ok(Lost::default()) };
    let keeps_size = loss == Loss::Sectors && random.happens(50);
    let end = if keeps_size { size } else { first.size };
    let mut lost = Lost { bytes: size.abs_diff(end), ..Lost::default() };
    for (number, sector) in before(file, &changes)? {
        let from = number * SECTOR_BYTES;
        if from >= end || (loss == Loss::Sectors && random.happens(50)) {
            continue;
        }
        let length = index((end - from).min(SECTOR_BYTES));
        if read(file, number)? != sector {
            lost.sectors += 1;
        }
        file.write_all_at(&sector[..length], from)?;
    }
    file.set_len(end)?;
    Ok(lost)
}

/// Only the end of this change is undone: its first sectors had reached the disk.
fn tear(change: &mut Change<'_>, random: &mut Random) {
    let end = change.offset + change.bytes;
    let sectors = end.div_ceil(SECTOR_BYTES) - change.offset / SECTOR_BYTES;
    let kept = random.between(0..=sectors);
    if kept == 0 {
        return;
    }
    let start = ((change.offset / SECTOR_BYTES + kept) * SECTOR_BYTES).min(end);
    change.old = change.old.get(index(start - change.offset)..).unwrap_or_default();
    (change.offset, change.bytes) = (start, end - start);
    change.size = change.size.max(start);
}

/// The sectors that the changes touched, as they were before.
fn before(file: &File, changes: &[Change<'_>]) -> Result<BTreeMap<u64, Sector>> {
    let mut sectors = BTreeMap::new();
    for change in changes.iter().rev() {
        let (mut at, end) = (change.offset, change.offset + change.bytes);
        while at < end {
            let number = at / SECTOR_BYTES;
            let next = end.min((number + 1) * SECTOR_BYTES);
            let sector = match sectors.entry(number) {
                Entry::Vacant(entry) => entry.insert(read(file, number)?),
                Entry::Occupied(entry) => entry.into_mut(),
            };
            let place = &mut sector[index(at % SECTOR_BYTES)..][..index(next - at)];
            let old = change.old.get(index(at - change.offset)..).unwrap_or_default();
            let (there, beyond) = place.split_at_mut(old.len().min(place.len()));
            there.copy_from_slice(&old[..there.len()]);
            // Beyond the end of a file there are zeros, should it become longer.
            beyond.fill(0);
            at = next;
        }
    }
    Ok(sectors)
}

/// An offset within something that is in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// A sector as it is now, with zeros beyond the end of the file.
fn read(file: &File, number: u64) -> Result<Sector> {
    let mut sector = [0; SECTOR_BYTES as usize];
    let mut length = 0;
    while length < sector.len() {
        match file.read_at(&mut sector[length..], number * SECTOR_BYTES + length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(sector)
}
