//! A state that cannot be used is moved away and made anew from the newest snapshot and what the journal said since.

use std::io;

use crate::error::StoreError;
use crate::live::Live;
use crate::position::Position;
use crate::record::fields::Fields;
use crate::record::frame::Kind;
use crate::replay::{Heard, Quarantine, replay};
use crate::report::{Finding, Report};
use crate::segment::{FrameReader, HEADER_BYTES, Segments, Step};
use crate::state::States;

/// A snapshot in the journal.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    base: Position,
    begin: Position,
    end: Position,
    sound: bool,
}

/// Makes the state anew. `keep_idle` keeps messages that nothing refers to: while the store is used, what refers to
/// them may be on its way.
#[allow(clippy::too_many_arguments)]
pub(crate) fn rebuild(
    states: &dyn States,
    salt: u32,
    segments: &Segments,
    end: Position,
    why: String,
    report: &mut Report,
    quarantine: &Quarantine<'_>,
    keep_idle: bool,
    heard: Heard<'_>,
) -> Result<Live, StoreError> {
    let to = states.set_aside()?;
    let snapshot = newest_snapshot(segments, salt)?;
    let base = snapshot.map(|snapshot| snapshot.base);
    report.add(Finding::StateSetAside { why, to, snapshot: base });
    report_missing(segments, base, report);
    let mut live = Live::load(states.open()?, salt)?;
    live.begin_rebuild();
    if let Some(snapshot) = snapshot {
        restore(&mut live, segments, snapshot)?;
        live.set_applied(snapshot.base);
        live.set_snapshot(snapshot.base);
    }
    replay(&mut live, segments, end, report, quarantine, heard)?;
    live.recount(keep_idle)?;
    let (keys, count) = live.take_lost();
    for key in &keys {
        report.add(Finding::lost(key));
    }
    if count > keys.len() as u64 {
        report.add(Finding::LostMore { count: count - keys.len() as u64 });
    }
    Ok(live)
}

/// Segments that should be there after `base`.
fn report_missing(segments: &Segments, base: Option<Position>, report: &mut Report) {
    let mut expected = base.map_or(1, |base| base.segment.max(1));
    for number in segments.numbers().into_iter().filter(|&number| number >= expected).collect::<Vec<_>>() {
        if number > expected {
            report.add(Finding::SegmentsMissing { from: expected, to: number });
        }
        expected = number + 1;
    }
}

/// The newest complete snapshot after which no segment is missing; one without damage before any other.
fn newest_snapshot(segments: &Segments, salt: u32) -> io::Result<Option<Snapshot>> {
    let (mut best, mut open): (Option<Snapshot>, Option<Snapshot>) = (None, None);
    let numbers = segments.numbers();
    let whole_from = numbers.iter().rev().zip((0..).map(|i| numbers.last().map(|last| last - i)));
    let whole_from = whole_from.take_while(|(number, wanted)| Some(**number) == *wanted).last();
    let whole_from = whole_from.map_or(0, |(number, _)| *number);
    for number in numbers {
        let Some(file) = segments.get(number) else { continue };
        let bytes = file.bytes()?;
        let mut reader = FrameReader::new(file, salt, u64::from(HEADER_BYTES), bytes);
        loop {
            let frame = match reader.step()? {
                Step::End | Step::Version(_) => break,
                Step::Fault(_) => {
                    if let Some(snapshot) = &mut open {
                        snapshot.sound = false;
                    }
                    reader.resume()?;
                    continue;
                }
                Step::Frame(frame, at, taken) => (frame, at, taken),
            };
            let (frame, at, taken) = frame;
            let position = Position::new(number, at as u32);
            let base = Fields(frame.body).u64().map(Position::from_u64);
            match (frame.kind, base) {
                (Kind::SnapshotBegin, Some(base)) => {
                    open = Some(Snapshot { base, begin: position, end: position, sound: true });
                }
                (Kind::SnapshotEnd, base) => {
                    if let Some(snapshot) = open.take().filter(|open| Some(open.base) == base) {
                        let end = Position::new(number, (at + taken as u64) as u32);
                        let snapshot = Snapshot { end, ..snapshot };
                        if snapshot.sound || best.is_none_or(|best| !best.sound) {
                            best = Some(snapshot).filter(|s| s.base.segment.max(1) >= whole_from).or(best);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(best)
}

fn restore(live: &mut Live, segments: &Segments, snapshot: Snapshot) -> Result<(), StoreError> {
    let wanted = snapshot.begin.segment..=snapshot.end.segment;
    for number in segments.numbers().into_iter().filter(|number| wanted.contains(number)) {
        let Some(file) = segments.get(number) else { continue };
        let bytes = file.bytes()?;
        let mut reader = FrameReader::new(file, live.salt(), u64::from(HEADER_BYTES), bytes);
        loop {
            match reader.step()? {
                Step::End | Step::Version(_) => break,
                Step::Fault(_) => drop(reader.resume()?),
                Step::Frame(frame, at, _) => {
                    let position = Position::new(number, at as u32);
                    let inside = (snapshot.begin..snapshot.end).contains(&position);
                    let base = Fields(frame.body).u64().map(Position::from_u64);
                    if inside && frame.kind == Kind::SnapshotItems && base == Some(snapshot.base) {
                        live.restore(frame.body)?;
                    }
                }
            }
        }
    }
    Ok(())
}
