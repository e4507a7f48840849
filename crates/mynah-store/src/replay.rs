//! Reading the journal into what is live: at a start, and all the time behind the committer.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, Disk, DiskFile, read_full};
use crate::error::StoreError;
use crate::journal::handed::Piece;
use crate::live::Live;
use crate::position::Position;
use crate::record::frame::{self, MORE_FOLLOWS};
use crate::report::{ABOUT_MAX, Finding, Report, said};
use crate::segment::{FrameReader, HEADER_BYTES, Segments, Step};
use crate::state::StateError;

/// Bytes of recent changes above which the state is written. Writing takes several times as much.
pub(crate) const RECENT_MAX: usize = 12 << 20;

/// After so many bytes the progress is told once more.
const PROGRESS_BYTES: u64 = if cfg!(test) { 4096 } else { 8 << 20 };

/// Bytes of damage that are copied for a look at them.
const COPY_MAX: u64 = 1 << 20;

/// Where copies of damage go.
pub(crate) struct Quarantine<'q> {
    pub(crate) disk: &'q dyn Disk,
    pub(crate) folder: &'q Path,
}

/// Hears how many of how many bytes were read.
pub(crate) type Heard<'h> = &'h mut dyn FnMut(u64, u64);

/// Applies what stands from where `live` has come to, up to `to`.
pub(crate) fn replay(
    live: &mut Live,
    segments: &Segments,
    to: Position,
    report: &mut Report,
    quarantine: &Quarantine<'_>,
    heard: Heard<'_>,
) -> Result<(), StoreError> {
    apply(live, segments, to, report, quarantine, Some(heard))
}

/// Like [`replay`], for what this process wrote a moment ago: messages are summed when somebody reads them.
pub(crate) fn follow(
    live: &mut Live,
    segments: &Segments,
    to: Position,
    report: &mut Report,
    quarantine: &Quarantine<'_>,
) -> Result<(), StoreError> {
    apply(live, segments, to, report, quarantine, None)
}

/// Applies the records of a piece that is still in memory; `live` has to be where it starts. It is whole and synced, so
/// that nothing is summed and every group is complete.
pub(crate) fn take_in(live: &mut Live, piece: &Piece) -> Result<(), StateError> {
    let mut at = piece.records_at;
    for batch in &piece.batches {
        let mut rest = &batch[..];
        while let Some(frame) = frame::view(rest) {
            let bytes = frame::frame_bytes(frame.body.len());
            live.apply(frame, at, bytes as u32)?;
            at.offset += bytes as u32;
            rest = rest.get(bytes..).unwrap_or_default();
        }
    }
    live.set_applied(piece.end);
    if live.recent_bytes() > RECENT_MAX {
        live.flush()?;
    }
    Ok(())
}

/// Who hears of the progress wants messages to be summed: at a start nobody else has looked at them.
fn apply(
    live: &mut Live,
    segments: &Segments,
    to: Position,
    report: &mut Report,
    quarantine: &Quarantine<'_>,
    mut heard: Option<Heard<'_>>,
) -> Result<(), StoreError> {
    let from = live.applied();
    let all = if heard.is_some() { bytes_between(segments, from, to)? } else { 0 };
    let (mut done, mut told) = (0, 0);
    for number in segments.numbers().into_iter().filter(|n| (from.segment..=to.segment).contains(n)) {
        let Some(file) = segments.get(number) else { continue };
        let start = if number == from.segment { from.offset.max(HEADER_BYTES) } else { HEADER_BYTES };
        let end = if number == to.segment { u64::from(to.offset) } else { file.bytes()? };
        let reader = FrameReader::new(file, live.salt(), u64::from(start), end);
        let reader = if heard.is_some() { reader } else { reader.without_messages() };
        let mut replayed = Segment { number, reader, group: Vec::new() };
        while replayed.step(live, report, quarantine)? {
            if live.recent_bytes() > RECENT_MAX {
                live.flush()?;
            }
            let read = done + replayed.reader.at().saturating_sub(u64::from(start));
            if let Some(heard) = heard.as_mut().filter(|_| read >= told + PROGRESS_BYTES) {
                told = read;
                heard(read, all);
            }
        }
        done += end.saturating_sub(u64::from(start));
    }
    for key in report_lost(live, report) {
        report.add(Finding::lost(&key));
    }
    Ok(())
}

/// How many bytes of the journal lie between two places.
fn bytes_between(segments: &Segments, from: Position, to: Position) -> io::Result<u64> {
    let mut bytes = 0;
    for number in segments.numbers().into_iter().filter(|n| (from.segment..=to.segment).contains(n)) {
        let end = if number == to.segment { u64::from(to.offset) } else { segments.bytes(number)? };
        let start = if number == from.segment { from.offset.max(HEADER_BYTES) } else { HEADER_BYTES };
        bytes += end.saturating_sub(u64::from(start));
    }
    Ok(bytes)
}

/// Reports what was noticed while applying, and returns the keys that were lost.
fn report_lost(live: &mut Live, report: &mut Report) -> Vec<Box<[u8]>> {
    let malformed = live.take_malformed();
    if malformed > 0 {
        report.add(Finding::Malformed { count: malformed });
    }
    let (keys, count) = live.take_lost();
    let more = count.saturating_sub(keys.len() as u64);
    if more > 0 {
        report.add(Finding::LostMore { count: more });
    }
    keys
}

struct Segment {
    number: u32,
    reader: FrameReader,
    /// Frames of a group whose end was not seen yet.
    group: Vec<(Position, Vec<u8>)>,
}

impl Segment {
    /// Applies the next frame. Returns whether there may be another.
    fn step(
        &mut self,
        live: &mut Live,
        report: &mut Report,
        quarantine: &Quarantine<'_>,
    ) -> Result<bool, StoreError> {
        let number = self.number;
        let fault = match self.reader.step()? {
            Step::End => return Ok(false),
            Step::Version(version) => return Err(StoreError::Version { version: u16::from(version) }),
            Step::Fault(at) => at,
            Step::Frame(frame, at, taken) => {
                let position = Position::new(number, at as u32);
                let more = frame.flags & MORE_FOLLOWS != 0;
                if !more && self.group.is_empty() {
                    live.apply(frame, position, taken as u32)?;
                    return Ok(true);
                }
                let mut bytes = Vec::new();
                frame.append_to(&mut bytes);
                self.group.push((position, bytes));
                if !more {
                    for (position, bytes) in core::mem::take(&mut self.group) {
                        let Some(frame) = frame::view(&bytes) else { continue };
                        live.apply(frame, position, bytes.len() as u32)?;
                    }
                }
                return Ok(true);
            }
        };
        // A group of which a part is lost is not applied.
        let group = core::mem::take(&mut self.group);
        let group = group.iter().filter_map(|(_, bytes)| frame::view(bytes));
        let about = group.chain(self.reader.ruin()).filter_map(|frame| said(&frame));
        let about = about.take(ABOUT_MAX).collect();
        self.reader.resume()?;
        let bytes = self.reader.at() - fault;
        let at = Position::new(number, fault as u32);
        let copy = quarantine.keep(self.reader.file(), at, bytes).ok();
        report.add(Finding::Damage { at, bytes, copy, about });
        live.set_applied(Position::new(number, self.reader.at() as u32));
        Ok(true)
    }
}

impl Quarantine<'_> {
    /// Copies damaged bytes to a file of their own. Returns its name.
    fn keep(&self, file: &dyn DiskFile, at: Position, bytes: u64) -> io::Result<String> {
        let mut copy = vec![0; bytes.min(COPY_MAX) as usize];
        let count = read_full(file, &mut copy, u64::from(at.offset))?;
        disk::create_folder(self.disk, self.folder)?;
        let path = self.copy(at);
        let kept = match self.disk.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&path)?,
            made => made?,
        };
        kept.write_at(&copy[..count], 0)?;
        kept.sync()?;
        self.disk.sync_folder(self.folder)?;
        Ok(path.display().to_string())
    }

    /// The name of the file that has these damaged bytes already, if there is one.
    pub(crate) fn has(&self, file: &dyn DiskFile, at: Position, bytes: u64) -> Option<String> {
        let path = self.copy(at);
        let kept = self.disk.open(&path).ok()?;
        let (mut damaged, mut copy) = (vec![0; bytes.min(COPY_MAX) as usize], Vec::new());
        let count = read_full(file, &mut damaged, u64::from(at.offset)).ok()?;
        copy.resize(count, 0);
        let same = kept.bytes().ok()? == count as u64
            && read_full(&*kept, &mut copy, 0).ok()? == count
            && copy == damaged[..count];
        same.then(|| path.display().to_string())
    }

    fn copy(&self, at: Position) -> PathBuf {
        self.folder.join(format!("{:010}-{}.bin", at.segment, at.offset))
    }
}
