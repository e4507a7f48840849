//! What the command line does with a store that no broker has open: look, check, mend, write out and read in.

mod lines;
#[cfg(test)]
mod tests;

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use crate::error::StoreError;
use crate::journal::committer::Durability;
use crate::live::Live;
use crate::position::Position;
use crate::record::Batch;
use crate::recovery::{Recovered, journal_folder, quarantine_folder};
use crate::replay::Quarantine;
use crate::report::{Finding, Report, said};
use crate::segment::{self, FrameReader, HeaderState, Segments};
use crate::state::FjallStates;
use crate::store::{Store, StoreOptions, ignore, open_and_stream};

/// One segment of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStat {
    /// Its number.
    pub number: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes of messages in it that are live.
    pub live_bytes: u64,
    /// Such messages.
    pub live_messages: u64,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The segments, oldest first.
    pub segments: Vec<SegmentStat>,
    /// Where the newest complete snapshot begins to be right.
    pub snapshot: Option<Position>,
    /// Live records by the words that an export has for them.
    pub records: BTreeMap<&'static str, u64>,
}

/// Says what a store holds. What a run left unfinished is finished first, as at any start.
///
/// # Errors
/// The store cannot be opened.
pub fn stat(
    mut options: StoreOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<(Stat, Report), StoreError> {
    let mut stat = Stat::default();
    let opened = open_and_stream(&mut options, &mut |recovered| {
        match recovered {
            Recovered::Restart => stat.records.clear(),
            Recovered::Progress(done, total) | Recovered::Replayed(done, total) => progress(done, total),
            Recovered::Payload(_) => *stat.records.entry("message").or_default() += 1,
            Recovered::Item(key, _) => *stat.records.entry(lines::kind(&key)).or_default() += 1,
        }
        ControlFlow::Continue(())
    })?;
    for number in opened.segments.numbers() {
        let used = opened.live.uses().get(&number).copied().unwrap_or_default();
        let (live_bytes, live_messages) = (used.bytes, used.payloads);
        let bytes = opened.segments.bytes(number)?;
        stat.segments.push(SegmentStat { number, bytes, live_bytes, live_messages });
    }
    stat.snapshot = opened.live.snapshot();
    Ok((stat, opened.report))
}

/// Reads every byte of the journal and all of the state, and changes nothing. Damage that was put aside before is
/// reported with the copy of it: nothing that is live depends on it. `progress` hears of bytes that are done,
/// and of how many there are.
///
/// # Errors
/// The disk cannot be read, or another process has the store.
pub fn verify(options: &StoreOptions, mut progress: impl FnMut(u64, u64)) -> Result<Report, StoreError> {
    let (disk, folder) = (options.disk.clone(), &options.folder);
    let mut report = Report::default();
    if disk.list(&journal_folder(folder))?.is_empty() {
        return Ok(report);
    }
    let _lock = disk.lock(&folder.join("lock"))?.ok_or(StoreError::InUse)?;
    let segments = Segments::open(disk, &journal_folder(folder))?;
    let numbers = segments.numbers();
    let (mut salt, mut total, mut done) = (None, 0, 0);
    for &number in &numbers {
        total += segments.bytes(number)?;
        salt = salt.or(head(&segments, number, &mut report)?);
    }
    let Some(salt) = salt else { return Ok(report) };
    let default = FjallStates::new(&folder.join("state"));
    let states = options.states.as_deref().unwrap_or(&default);
    let live = states.open().and_then(|state| Live::load(state, salt));
    let aside = quarantine_folder(folder);
    let quarantine = Quarantine { disk: &*options.disk, folder: &aside };
    let applied = live.as_ref().map_or(Position::START, Live::applied);
    for &number in &numbers {
        let Some(file) = segments.get(number) else { continue };
        let synced = if applied.segment == number { u64::from(applied.offset) } else { 0 };
        let last = (numbers.last() == Some(&number)).then_some(synced);
        let scan = segment::scan(&file, number, salt, last)?;
        if let Some(version) = scan.version {
            return Err(StoreError::Version { version: u16::from(version) });
        }
        let at = |offset: u64| Position::new(number, offset as u32);
        for range in scan.damage {
            let mut reader = FrameReader::new(file.clone(), salt, range.start, file.bytes()?);
            reader.step()?;
            let about = reader.ruin().and_then(|frame| said(&frame)).into_iter().collect();
            let (at, bytes) = (at(range.start), range.end - range.start);
            report.add(Finding::Damage { at, bytes, copy: quarantine.has(&*file, at, bytes), about });
        }
        if let Some(torn) = scan.torn {
            report.add(Finding::TornTail { at: at(torn.start), bytes: torn.end - torn.start });
        }
        done += file.bytes()?;
        progress(done, total);
    }
    let checked = live.and_then(|live| live.check(&segments, &mut report));
    if let Err(error) = checked {
        report.add(Finding::StateDamaged { why: error.to_string() });
    }
    Ok(report)
}

/// Checks the head of a segment. Returns the salt of the store, if it can be read.
fn head(segments: &Segments, number: u32, report: &mut Report) -> Result<Option<u32>, StoreError> {
    let Some(file) = segments.get(number) else { return Ok(None) };
    match segment::read_header(&*file, number)? {
        HeaderState::Version(version) => Err(StoreError::Version { version }),
        HeaderState::Sound(salt, true) => Ok(Some(salt)),
        HeaderState::Sound(salt, false) => {
            report.add(Finding::SegmentHead { segment: number });
            Ok(Some(salt))
        }
        HeaderState::Blank | HeaderState::Damaged => {
            report.add(Finding::SegmentHead { segment: number });
            Ok(None)
        }
    }
}

/// Makes the state anew from the journal, and copies damage aside: what a start does only when it has to.
///
/// # Errors
/// The store cannot be opened.
pub fn repair(mut options: StoreOptions, mut progress: impl FnMut(u64, u64)) -> Result<Report, StoreError> {
    options.rebuild = true;
    let opened = open_and_stream(&mut options, &mut |recovered| {
        if let Recovered::Progress(done, total) | Recovered::Replayed(done, total) = recovered {
            progress(done, total);
        }
        ControlFlow::Continue(())
    })?;
    Ok(opened.report)
}

/// Writes everything that is live to `out`, one JSON object a line, as `docs/internals/store.md` describes it.
///
/// # Errors
/// The store cannot be opened, or `out` not be written.
pub fn export(
    mut options: StoreOptions,
    out: &mut dyn Write,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, StoreError> {
    let mut failure = None;
    let mut take = |recovered: Recovered<'_>| {
        let line = match recovered {
            Recovered::Progress(done, total) | Recovered::Replayed(done, total) => {
                progress(done, total);
                return ControlFlow::Continue(());
            }
            Recovered::Restart => lines::restart(),
            Recovered::Payload(message) => lines::message(&message),
            Recovered::Item(key, value) => lines::item(&key, &value),
        };
        match writeln!(out, "{line}") {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let opened = open_and_stream(&mut options, &mut take);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(opened?.report),
    }
}

/// Reads what [`export`] wrote into a store. Meant for an empty one: what is there stays, where it is not replaced.
/// Messages get new names.
///
/// # Errors
/// The store cannot be opened, or a line is not what an export has: the lines before it are in the store.
pub fn import(
    options: StoreOptions,
    input: &mut dyn BufRead,
    mut progress: impl FnMut(u64),
) -> Result<Report, StoreError> {
    let (store, report) = Store::open(options, &mut ignore)?;
    let producer = store.producer(Box::new(|| ()));
    let (mut batch, mut names) = (producer.batch(), BTreeMap::new());
    let mut outcome = Ok(());
    for (line, number) in input.lines().zip(1u64..) {
        outcome = line.map_err(StoreError::from).and_then(|line| {
            lines::read(&line, &mut batch, &mut names, || store.new_payload_id())
                .map_err(|problem| StoreError::Import { line: number, problem })
        });
        if outcome.is_err() {
            break;
        }
        if batch.bytes_len() > 1 << 20 {
            submit(&producer, &mut batch)?;
            progress(number);
        }
    }
    submit(&producer, &mut batch)?;
    store.close().map_err(|fatal| std::io::Error::other(fatal.0))?;
    outcome.map(|()| report)
}

fn submit(producer: &crate::journal::Producer, batch: &mut Batch) -> Result<(), StoreError> {
    let submitted = producer.submit(batch, Durability::Memory);
    submitted.map(|_| ()).map_err(|error| std::io::Error::other(error.to_string()).into())
}
