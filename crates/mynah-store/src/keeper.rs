//! Keeps the state behind the journal, and the journal short: applies what is synced, writes the state, takes
//! snapshots, copies stragglers forward and removes segments that nothing needs. No threads: whoever owns it calls.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::live::Live;
use crate::position::Position;
use crate::record::Batch;
use crate::record::frame::{Kind, Place};
use crate::record::key::tag;
use crate::record::message::payload_id;
use crate::recovery::{Opened, load, quarantine_folder, rebuild};
use crate::replay::{Quarantine, follow, replay};
use crate::report::Report;
use crate::segment::{FrameReader, HEADER_BYTES, Segments, Step};
use crate::state::{StateError, States};

/// Bytes of records that one call makes, about.
const PIECE_BYTES: usize = 4 << 20;

/// Bytes of one record of a snapshot, about.
const ITEMS_BYTES: usize = 64 << 10;

/// Segments that are begun until the state is written: what comes and goes meanwhile never reaches it.
const FLUSH_SEGMENTS: u32 = 2;

/// Segments that wait for nothing but a snapshot before one is taken, however small they are.
const WAITING_SEGMENTS_MAX: usize = 4;

/// When segments are removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thrift {
    /// A snapshot is taken where it frees this many bytes, and as many as the last one took.
    pub(crate) snapshot_bytes: u64,
    /// The journal may be this much larger than twice what is live before stragglers are copied.
    pub(crate) slack_bytes: u64,
}

impl Thrift {
    /// The bounds for segments of this size.
    pub(crate) fn of(segment_bytes: u32) -> Self {
        let bytes = u64::from(segment_bytes);
        Self { snapshot_bytes: bytes / 2, slack_bytes: bytes * 2 }
    }
}

pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    states: Box<dyn States>,
    pub(crate) segments: Arc<Segments>,
    /// None while the state cannot be used.
    live: Option<Live>,
    salt: u32,
    thrift: Thrift,
    snapshot: Option<SnapshotRun>,
    snapshot_bytes: u64,
    copy: Option<CopyRun>,
    /// Segments whose stragglers were copied: what is left in them cannot be read.
    copied: BTreeSet<u32>,
    /// What was found since the start.
    pub(crate) report: Report,
}

/// A snapshot that is being written.
struct SnapshotRun {
    base: Position,
    from: Vec<u8>,
    bytes: u64,
}

/// A segment whose live messages are being copied.
struct CopyRun {
    segment: u32,
    at: u64,
}

impl Keeper {
    pub(crate) fn new(opened: Opened, thrift: Thrift) -> Self {
        let salt = opened.live.salt();
        Self {
            disk: opened.disk,
            folder: opened.folder,
            states: opened.states,
            segments: opened.segments,
            live: Some(opened.live),
            salt,
            thrift,
            snapshot: None,
            snapshot_bytes: 0,
            copy: None,
            copied: BTreeSet::new(),
            report: opened.report,
        }
    }

    /// What the checksums of the store continue from.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// What is live, unless the state cannot be used at the moment.
    pub(crate) fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    /// Does what there is to do, with everything before `synced` synced, and adds to `out` what is to be submitted.
    /// Returns whether there is more to do at once.
    pub(crate) fn tick(&mut self, synced: Position, out: &mut Batch) -> Result<bool, StoreError> {
        match self.try_tick(synced, out) {
            Err(StoreError::State(error)) => self.revive(synced, &error).map(|()| false),
            outcome => outcome,
        }
    }

    fn try_tick(&mut self, synced: Position, out: &mut Batch) -> Result<bool, StoreError> {
        let Some(live) = &mut self.live else {
            return Err(StateError("the state could not be opened".to_owned()).into());
        };
        let folder = quarantine_folder(&self.folder);
        let quarantine = Quarantine { disk: &*self.disk, folder: &folder };
        let from = live.applied();
        // Piece by piece: so that segments go while a long way is caught up.
        let near = Position::new(from.segment.saturating_add(1), 0);
        let to = if synced.segment > near.segment { near } else { synced };
        follow(live, &self.segments, to, &mut self.report, &quarantine)?;
        live.set_applied(to);
        // Pages that are given back at once are those that the next write gets: quicker than pages never used.
        self.segments.forget(from.max(Position::new(1, 0)), to);
        if to.segment >= live.flushed().segment.saturating_add(FLUSH_SEGMENTS) {
            live.flush()?;
        }
        self.step_snapshot(out)?;
        if self.snapshot.is_none() {
            self.step_copy(out)?;
            self.remove_dead()?;
            self.choose()?;
        }
        Ok(to < synced || self.snapshot.is_some() || self.copy.is_some())
    }

    /// Brings the state up to `synced`, writes it, and has it give back room.
    pub(crate) fn flush(&mut self, synced: Position) -> Result<(), StoreError> {
        match self.try_flush(synced) {
            Err(StoreError::State(error)) => self.revive(synced, &error),
            outcome => outcome,
        }
    }

    fn try_flush(&mut self, synced: Position) -> Result<(), StoreError> {
        self.catch_up(synced)?;
        let Some(live) = &mut self.live else { return Ok(()) };
        live.flush()?;
        Ok(live.compact()?)
    }

    /// Applies everything before `synced`, however much that is.
    pub(crate) fn catch_up(&mut self, synced: Position) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let folder = quarantine_folder(&self.folder);
        let quarantine = Quarantine { disk: &*self.disk, folder: &folder };
        follow(live, &self.segments, synced, &mut self.report, &quarantine)
    }

    /// Opens the state again and brings it up to date, or makes it anew.
    fn revive(&mut self, synced: Position, error: &StateError) -> Result<(), StoreError> {
        self.live = None;
        (self.snapshot, self.copy) = (None, None);
        let folder = quarantine_folder(&self.folder);
        let quarantine = Quarantine { disk: &*self.disk, folder: &folder };
        if let Ok(mut live) = load(&*self.states, self.salt, &self.segments)
            && replay(&mut live, &self.segments, synced, &mut self.report, Some(&quarantine)).is_ok()
        {
            self.live = Some(live);
            return Ok(());
        }
        let why = error.to_string();
        let segments = &self.segments;
        let live =
            rebuild(&*self.states, self.salt, segments, synced, why, &mut self.report, &quarantine, true)?;
        self.live = Some(live);
        Ok(())
    }

    /// Bytes of all segments that are closed, and of those among them that hold nothing live.
    fn closed(&self, live: &Live) -> io::Result<(u64, Vec<(u32, u64)>)> {
        let (mut bytes, mut dead) = (0, Vec::new());
        for number in self.segments.numbers() {
            if number < live.flushed().segment {
                let own = self.segments.bytes(number)?;
                bytes += own;
                if !live.uses().contains_key(&number) {
                    dead.push((number, own));
                }
            }
        }
        Ok((bytes, dead))
    }

    /// Removes segments: nothing in them is live, the state has every record, and a complete snapshot lies after them.
    fn remove_dead(&mut self) -> Result<(), StoreError> {
        let Some(live) = &self.live else { return Ok(()) };
        let Some(snapshot) = live.snapshot() else { return Ok(()) };
        for (number, _) in self.closed(live)?.1 {
            if number < snapshot.segment {
                self.segments.remove(number)?;
                self.copied.remove(&number);
            }
        }
        Ok(())
    }

    /// Begins a snapshot or a copy where that lets segments go.
    fn choose(&mut self) -> Result<(), StoreError> {
        let Some(live) = &self.live else { return Ok(()) };
        let (closed, dead) = self.closed(live)?;
        let waiting: u64 = dead.iter().map(|(_, bytes)| bytes).sum();
        let enough = waiting >= self.thrift.snapshot_bytes.max(self.snapshot_bytes)
            || dead.len() > WAITING_SEGMENTS_MAX;
        if enough && self.copy.is_none() {
            self.snapshot = Some(SnapshotRun { base: live.flushed(), from: vec![tag::PAYLOAD], bytes: 0 });
            return Ok(());
        }
        let used: u64 = live.uses().values().map(|used| used.bytes).sum();
        let excess = closed.saturating_sub(waiting) > used.saturating_mul(2) + self.thrift.slack_bytes;
        if self.copy.is_none() && excess {
            let mut sparsest = None;
            for (&segment, used) in live.uses() {
                let bytes = self.segments.bytes(segment)?.max(1);
                let is_closed = segment < live.flushed().segment && !self.copied.contains(&segment);
                let share = used.bytes as f64 / bytes as f64;
                if is_closed && share < 0.5 && sparsest.is_none_or(|(_, least)| share < least) {
                    sparsest = Some((segment, share));
                }
            }
            self.copy = sparsest.map(|(segment, _)| CopyRun { segment, at: u64::from(HEADER_BYTES) });
        }
        Ok(())
    }

    /// Writes the next pieces of a snapshot.
    fn step_snapshot(&mut self, out: &mut Batch) -> Result<(), StoreError> {
        let (Some(run), Some(live)) = (&mut self.snapshot, &self.live) else { return Ok(()) };
        let base = run.base.to_u64().to_le_bytes();
        if run.bytes == 0 {
            out.append(Kind::SnapshotBegin, Place::STORE, |body| body.extend_from_slice(&base));
        }
        while out.bytes_len() < PIECE_BYTES {
            let Some((body, mut last)) = live.snapshot_piece(run.base, &run.from, ITEMS_BYTES)? else {
                out.append(Kind::SnapshotEnd, Place::STORE, |body| body.extend_from_slice(&base));
                self.snapshot_bytes = run.bytes;
                self.snapshot = None;
                return Ok(());
            };
            run.bytes += body.len() as u64;
            out.append(Kind::SnapshotItems, Place::STORE, |out| out.extend_from_slice(&body));
            last.push(0);
            run.from = last;
        }
        run.bytes = run.bytes.max(1);
        Ok(())
    }

    /// Copies the next live messages of a segment to the end of the journal.
    fn step_copy(&mut self, out: &mut Batch) -> Result<(), StoreError> {
        let (Some(run), Some(live)) = (&mut self.copy, &self.live) else { return Ok(()) };
        let Some(file) = self.segments.get(run.segment) else {
            self.copy = None;
            return Ok(());
        };
        let bytes = file.bytes()?;
        let mut reader = FrameReader::new(file, self.salt, run.at, bytes);
        while out.bytes_len() < PIECE_BYTES {
            match reader.step()? {
                Step::End | Step::Version(_) => {
                    self.copied.insert(run.segment);
                    self.copy = None;
                    return Ok(());
                }
                Step::Fault(_) => drop(reader.resume()?),
                Step::Frame(frame, at, _) => {
                    let here = Position::new(run.segment, at as u32);
                    let id = payload_id(frame.body);
                    if let (Kind::Payload | Kind::Moved, Some(id)) = (frame.kind, id)
                        && live.payload(id)?.is_some_and(|place| place.at == here)
                    {
                        let place = Place { tenant: frame.tenant, shard: frame.shard };
                        out.append(Kind::Moved, place, |out| out.extend_from_slice(frame.body));
                    }
                }
            }
        }
        run.at = reader.at();
        Ok(())
    }
}
