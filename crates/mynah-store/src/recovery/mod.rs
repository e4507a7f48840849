//! Opening a store: what the last run left, whole or damaged, becomes a journal that can be written and a state that is
//! complete.

mod rebuild;
mod stream;

use core::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use rebuild::rebuild;
pub use stream::Recovered;
pub(crate) use stream::{PayloadReader, Streamed, stream};

use crate::disk::{self, Disk};
use crate::error::StoreError;
use crate::live::Live;
use crate::position::Position;
use crate::replay::{Heard, Quarantine, replay};
use crate::report::{Finding, Report};
use crate::segment::{self, HeaderState, Segments};
use crate::state::States;

/// Called with everything that is live; says whether to go on.
pub type Take<'t> = &'t mut dyn FnMut(Recovered<'_>) -> core::ops::ControlFlow<()>;

/// A store that was opened and is not being written yet.
pub(crate) struct Opened {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) states: Box<dyn States>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) live: Live,
    pub(crate) report: Report,
    /// The number of the segment to be started.
    pub(crate) next_segment: u32,
    pub(crate) lock: Box<dyn Any + Send + Sync>,
}

/// Where things are in the folder of a store.
pub(crate) fn journal_folder(folder: &Path) -> PathBuf {
    folder.join("journal")
}

pub(crate) fn quarantine_folder(folder: &Path) -> PathBuf {
    folder.join("quarantine")
}

/// Opens the store in `folder`. `salt` is that of a new one. `anew` has the state made anew though it may be sound.
/// `heard` hears of the journal that is read.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    states: Box<dyn States>,
    salt: u32,
    anew: bool,
    heard: Heard<'_>,
) -> Result<Opened, StoreError> {
    disk::create_folder(&*disk, folder)?;
    let journal = journal_folder(folder);
    disk::create_folder(&*disk, &journal)?;
    let lock = disk.lock(&folder.join("lock"))?.ok_or(StoreError::InUse)?;
    let segments = Arc::new(Segments::open(disk.clone(), &journal)?);
    let mut report = Report::default();
    let salt = read_heads(&*disk, folder, &segments, &mut report)?.unwrap_or(salt);
    let loaded = if anew { Err("asked for".to_owned()) } else { load(&*states, salt, &segments) };
    let claimed = loaded.as_ref().map_or(Position::START, Live::applied);
    let end = cut_tail(&segments, salt, claimed, &mut report)?;
    let quarantine_folder = quarantine_folder(folder);
    let quarantine = Quarantine { disk: &*disk, folder: &quarantine_folder };
    let caught_up = loaded.and_then(|mut live| {
        match catch_up(&mut live, &segments, end, &mut report, &quarantine, heard) {
            Ok(()) => Ok(Ok(live)),
            Err(StoreError::State(error)) => Err(error.to_string()),
            Err(other) => Ok(Err(other)),
        }
    });
    let live = match caught_up {
        Ok(live) => live?,
        Err(why) => rebuild(&*states, salt, &segments, end, why, &mut report, &quarantine, false, heard)?,
    };
    let next_segment = end.segment.max(live.applied().segment) + 1;
    Ok(Opened { disk, folder: folder.to_owned(), states, segments, live, report, next_segment, lock })
}

fn catch_up(
    live: &mut Live,
    segments: &Segments,
    end: Position,
    report: &mut Report,
    quarantine: &Quarantine<'_>,
    heard: Heard<'_>,
) -> Result<(), StoreError> {
    replay(live, segments, end, report, quarantine, heard)?;
    Ok(live.flush_all()?)
}

/// The state as it was left, if the journal can bring it up to date.
pub(crate) fn load(states: &dyn States, salt: u32, segments: &Segments) -> Result<Live, String> {
    let state = states.open().map_err(|error| error.to_string())?;
    let live = Live::load(state, salt).map_err(|error| error.to_string())?;
    let applied = live.applied();
    let numbers = segments.numbers();
    let Some(&last) = numbers.last() else { return Ok(live) };
    if applied == Position::START && live.digest().count == 0 && numbers != [1] {
        return Err("the state is gone".to_owned());
    }
    // A state that fell back further than the journal reaches would miss what was removed since.
    let needed = applied.segment.max(1)..=last;
    let present = numbers.iter().filter(|number| needed.contains(number)).count();
    if last >= applied.segment && present as u64 != u64::from(last - applied.segment.max(1)) + 1 {
        return Err("the state is older than the journal reaches back".to_owned());
    }
    Ok(live)
}

/// Reads the heads of all segments. Returns the salt of the store, if there is any.
fn read_heads(
    disk: &dyn Disk,
    folder: &Path,
    segments: &Segments,
    report: &mut Report,
) -> Result<Option<u32>, StoreError> {
    let numbers = segments.numbers();
    let mut heads = Vec::new();
    for &number in &numbers {
        let Some(file) = segments.get(number) else { continue };
        match segment::read_header(&*file, number)? {
            HeaderState::Version(version) => return Err(StoreError::Version { version }),
            head => heads.push((number, head)),
        }
    }
    let sound = |(_, head): &(u32, HeaderState)| match head {
        HeaderState::Sound(salt, _) => Some(*salt),
        _ => None,
    };
    let salt = heads.iter().find_map(sound);
    for (number, head) in heads {
        match head {
            HeaderState::Sound(own, both) if Some(own) == salt => {
                if !both {
                    report.add(Finding::SegmentHead { segment: number });
                }
            }
            HeaderState::Blank if numbers.last() == Some(&number) => {
                let bytes = segments.bytes(number)?;
                report.add(Finding::TornTail { at: Position::new(number, 0), bytes });
                segments.remove(number)?;
                disk.sync_folder(&journal_folder(folder))?;
            }
            _ if salt.is_some() => report.add(Finding::SegmentHead { segment: number }),
            _ => {
                report.add(Finding::SegmentSetAside { segment: number });
                segments.set_aside(number, &quarantine_folder(folder))?;
            }
        }
    }
    Ok(salt)
}

/// Cuts off what was being written when the machine stopped. Returns where the journal ends.
fn cut_tail(
    segments: &Segments,
    salt: u32,
    claimed: Position,
    report: &mut Report,
) -> Result<Position, StoreError> {
    let Some(&number) = segments.numbers().last() else { return Ok(claimed) };
    let Some(file) = segments.get(number) else { return Ok(claimed) };
    let synced = if claimed.segment == number { u64::from(claimed.offset) } else { 0 };
    let scan = segment::scan(&file, number, salt, Some(synced))?;
    if let Some(version) = scan.version {
        return Err(StoreError::Version { version: u16::from(version) });
    }
    if let Some(torn) = &scan.torn {
        let at = Position::new(number, torn.start as u32);
        report.add(Finding::TornTail { at, bytes: torn.end - torn.start });
    }
    let end = scan.end.max(synced.min(file.bytes()?));
    if end < file.bytes()? {
        match file.truncate(end).and_then(|()| file.sync()) {
            // The end is found again at the next start; a full disk does not keep from this one.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            outcome => outcome?,
        }
    }
    Ok(Position::new(number, end as u32))
}
