//! Finds out what of a segment can be read: frames, damage, and where a write was torn off.

use core::ops::Range;
use std::io;
use std::sync::Arc;

use super::{FrameReader, HEADER_BYTES, Step};
use crate::disk::DiskFile;
use crate::position::Position;
use crate::record::frame::{Kind, MORE_FOLLOWS};

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Frames that can be read.
    pub(crate) frames: u64,
    /// Where the last one that is to be kept ends.
    pub(crate) end: u64,
    /// What was synced once and cannot be read any more.
    pub(crate) damage: Vec<Range<u64>>,
    /// What was being written when the machine stopped: from the end to here.
    pub(crate) torn: Option<Range<u64>>,
    /// A version of the format that is not known, if there is one.
    pub(crate) version: Option<u8>,
}

/// How many places of damage are told apart; further ones count as one.
const DAMAGE_MAX: usize = 1024;

/// Scans a segment. `last` says that nothing follows, and up to where it is known to have been synced: then what
/// cannot be read at the end was being written, unless a later frame says that it had been synced.
pub(crate) fn scan(file: &Arc<dyn DiskFile>, number: u32, salt: u32, last: Option<u64>) -> io::Result<Scan> {
    let bytes = file.bytes()?;
    let mut reader = FrameReader::new(file.clone(), salt, u64::from(HEADER_BYTES), bytes);
    let mut scan = Scan { end: reader.at(), ..Scan::default() };
    // What starts here may have been torn; everything before is known to have been synced.
    let (mut first_fault, mut holes): (Option<u64>, Vec<Range<u64>>) = (None, Vec::new());
    let (mut claimed, mut group, mut frames) = (last.unwrap_or(0), None, 0);
    loop {
        match reader.step()? {
            Step::End => break,
            Step::Version(version) => {
                scan.version = Some(version);
                return Ok(scan);
            }
            Step::Frame(frame, at, taken) => {
                if frame.kind == Kind::Commit {
                    claimed = claimed.max(claim(frame.body, number));
                }
                if first_fault.is_none() || claimed > first_fault.unwrap_or(0) {
                    // All faults up to the claim are damage; the frames after them are to be kept.
                    scan.damage.append(&mut holes);
                    first_fault = None;
                    scan.frames += frames + 1;
                    frames = 0;
                    scan.end = at + taken as u64;
                    let more = frame.flags & MORE_FOLLOWS != 0;
                    group = if more { group.or(Some((at, scan.frames))) } else { None };
                } else {
                    frames += 1;
                }
            }
            Step::Fault(at) => {
                if reader.rest_is_blank()? {
                    break;
                }
                first_fault = first_fault.or(Some(at));
                reader.resume()?;
                push(&mut holes, at..reader.at());
            }
        }
    }
    if last.is_some() {
        cut(&mut scan, first_fault, group, bytes);
    } else {
        scan.damage.append(&mut holes);
        scan.frames += frames;
        scan.end = bytes;
    }
    Ok(scan)
}

fn push(holes: &mut Vec<Range<u64>>, hole: Range<u64>) {
    match holes.last_mut() {
        Some(last) if last.end == hole.start => last.end = hole.end,
        _ => holes.push(hole),
    }
    if holes.len() > DAMAGE_MAX {
        let rest = holes.split_off(DAMAGE_MAX - 1);
        if let (Some(first), Some(last)) = (rest.first(), rest.last()) {
            holes.push(first.start..last.end);
        }
    }
}

/// Says what is torn off at the end of the last segment.
fn cut(scan: &mut Scan, first_fault: Option<u64>, group: Option<(u64, u64)>, bytes: u64) {
    // A group of which the end is missing is not kept either.
    if let Some((start, frames)) = group.filter(|(start, _)| *start < scan.end) {
        scan.torn = Some(start..bytes);
        (scan.end, scan.frames) = (start, frames.saturating_sub(1));
    }
    if first_fault.is_some() {
        scan.torn = Some(scan.end..bytes);
    }
}

/// What a commit frame says was synced, in this segment.
fn claim(body: &[u8], number: u32) -> u64 {
    let position = body.first_chunk().map(|bytes| Position::from_u64(u64::from_le_bytes(*bytes)));
    position.filter(|position| position.segment == number).map_or(0, |position| u64::from(position.offset))
}
