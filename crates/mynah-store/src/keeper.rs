//! Keeps the state behind the journal, and the journal short: applies what is synced, writes the state, takes
//! snapshots, copies stragglers forward and removes segments that nothing needs. No threads: whoever owns it calls.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::handed::Handed;
use crate::live::{Live, Pairs};
use crate::position::Position;
use crate::record::Batch;
use crate::record::frame::{Kind, Place};
use crate::record::key::tag;
use crate::recovery::{Opened, PayloadReader, load, quarantine_folder, rebuild};
use crate::replay::{Quarantine, follow, replay, take_in};
use crate::report::Report;
use crate::segment::Segments;
use crate::state::{StateError, States};

/// Bytes of records that one call makes, about.
const PIECE_BYTES: usize = 4 << 20;

/// Messages of which it is looked where they are, at a time.
const COPY_KEYS: usize = 20_000;

/// Bytes of one record of a snapshot, about.
const ITEMS_BYTES: usize = 64 << 10;

/// Segments that are begun until the state is written: what comes and goes meanwhile never reaches it.
const FLUSH_SEGMENTS: u32 = 2;

/// Segments that wait for nothing but a snapshot before one is taken, though they be small.
const WAITING_SEGMENTS_MAX: usize = 4;

/// About what a key takes in a snapshot, with its value.
const SNAPSHOT_KEY_BYTES: u64 = 48;

/// When segments are removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thrift {
    /// A snapshot is taken where it frees this many bytes, and as many as it takes itself, about.
    pub(crate) snapshot_bytes: u64,
    /// The journal may be this much larger than twice what is live before stragglers are copied.
    pub(crate) slack_bytes: u64,
    /// The journal may be this much larger than three times what is live before the state is written early and producers
    /// are to wait.
    pub(crate) pressure_bytes: u64,
}

impl Thrift {
    /// The bounds for segments of this size.
    pub(crate) fn of(segment_bytes: u32) -> Self {
        let bytes = u64::from(segment_bytes);
        Self { snapshot_bytes: bytes / 2, slack_bytes: bytes, pressure_bytes: bytes * 4 }
    }
}

pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    states: Box<dyn States>,
    pub(crate) segments: Arc<Segments>,
    /// What was written and is still in memory.
    handed: Arc<Handed>,
    /// None while the state cannot be used.
    live: Option<Live>,
    salt: u32,
    thrift: Thrift,
    snapshot: Option<SnapshotRun>,
    /// Where the last snapshot begins to be right.
    taken: Option<Position>,
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
    /// Names that are still to be looked at.
    ids: (u64, u64),
}

impl Keeper {
    pub(crate) fn new(opened: Opened, handed: Arc<Handed>, thrift: Thrift) -> Self {
        let salt = opened.live.salt();
        Self {
            disk: opened.disk,
            folder: opened.folder,
            states: opened.states,
            segments: opened.segments,
            handed,
            live: Some(opened.live),
            salt,
            thrift,
            snapshot: None,
            taken: None,
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

    /// Entries of one queue from the one with a key on, see [`Live::see_entries`].
    pub(crate) fn see_entries(&mut self, key: &[u8], max: usize) -> Result<Pairs, StoreError> {
        Ok(self.live.as_mut().ok_or(StoreError::Stopped)?.see_entries(key, max)?)
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
        let from = live.applied();
        // Piece by piece: so that segments go while a long way is caught up.
        let near = Position::new(from.segment.saturating_add(1), 0);
        let to = if synced.segment > near.segment { near } else { synced };
        self.catch_up(to)?;
        let Some(live) = &mut self.live else { return Ok(false) };
        live.set_applied(to);
        // Pages that are given back at once are those that the next write gets: quicker than pages never used.
        self.segments.forget(from.max(Position::new(1, 0)), to);
        let begun = to.segment.saturating_sub(live.flushed().segment);
        if begun >= FLUSH_SEGMENTS || (begun > 0 && room(live, &self.segments, self.thrift)? == 0) {
            live.flush()?;
        }
        self.step_snapshot(out)?;
        if self.snapshot.is_none() {
            self.step_copy(out)?;
            self.remove_dead()?;
            self.choose()?;
        }
        let awaits_snapshot = self.live.as_ref().is_some_and(|live| self.taken > live.snapshot());
        Ok(to < synced || self.snapshot.is_some() || self.copy.is_some() || awaits_snapshot)
    }

    /// Bytes by which the journal may grow before it should become shorter.
    pub(crate) fn room(&self) -> u64 {
        // A file that cannot be looked at is told by whoever has to read it.
        self.live.as_ref().map_or(0, |live| room(live, &self.segments, self.thrift).unwrap_or(0))
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

    /// Applies everything before `synced`, however much that is: what was handed over, and what was not, from the files.
    pub(crate) fn catch_up(&mut self, synced: Position) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let folder = quarantine_folder(&self.folder);
        let quarantine = Quarantine { disk: &*self.disk, folder: &folder };
        while let Some(piece) = self.handed.take(synced) {
            if live.applied() < piece.at {
                follow(live, &self.segments, piece.at, &mut self.report, &quarantine)?;
                live.set_applied(piece.at);
            }
            if live.applied() == piece.at {
                take_in(live, &piece)?;
            }
            self.handed.give_back(piece);
        }
        if live.applied() < synced {
            follow(live, &self.segments, synced, &mut self.report, &quarantine)?;
        }
        Ok(())
    }

    /// Opens the state again and brings it up to date, or makes it anew.
    fn revive(&mut self, synced: Position, error: &StateError) -> Result<(), StoreError> {
        self.live = None;
        (self.snapshot, self.taken, self.copy) = (None, None, None);
        let folder = quarantine_folder(&self.folder);
        let quarantine = Quarantine { disk: &*self.disk, folder: &folder };
        if let Ok(mut live) = load(&*self.states, self.salt, &self.segments)
            && replay(&mut live, &self.segments, synced, &mut self.report, &quarantine, &mut |_, _| ())
                .is_ok()
        {
            self.live = Some(live);
            return Ok(());
        }
        let why = error.to_string();
        let segments = &self.segments;
        let (states, report) = (&*self.states, &mut self.report);
        let live =
            rebuild(states, self.salt, segments, synced, why, report, &quarantine, true, &mut |_, _| ())?;
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
        // What the last snapshot frees is known when the state has come to its end.
        if self.taken > live.snapshot() {
            return Ok(());
        }
        let (closed, dead) = self.closed(live)?;
        let waiting: u64 = dead.iter().map(|(_, bytes)| bytes).sum();
        // Of what a snapshot writes at least as much goes: a long queue that is emptied is not written again and again.
        let cost = live.digest().count.saturating_mul(SNAPSHOT_KEY_BYTES);
        let enough =
            waiting >= cost && (waiting >= self.thrift.snapshot_bytes || dead.len() > WAITING_SEGMENTS_MAX);
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
                if is_closed && share < 0.5 && sparsest.is_none_or(|(_, _, least)| share < least) {
                    sparsest = Some((segment, used.ids, share));
                }
            }
            self.copy = sparsest.map(|(segment, ids, _)| CopyRun { segment, ids });
        }
        Ok(())
    }

    /// Writes the next pieces of a snapshot.
    fn step_snapshot(&mut self, out: &mut Batch) -> Result<(), StoreError> {
        let (Some(run), Some(live)) = (&mut self.snapshot, &self.live) else { return Ok(()) };
        let base = run.base.to_u64().to_le_bytes();
        if run.bytes == 0 {
            out.append(Kind::SnapshotBegin, Place::STORE, |body| body.extend_from_slice(&base));
            if let Some(body) = live.snapshot_young(run.base) {
                run.bytes += body.len() as u64;
                out.append(Kind::SnapshotItems, Place::STORE, |out| out.extend_from_slice(&body));
            }
        }
        while out.bytes_len() < PIECE_BYTES {
            let Some((body, mut last)) = live.snapshot_piece(run.base, &run.from, ITEMS_BYTES)? else {
                out.append(Kind::SnapshotEnd, Place::STORE, |body| body.extend_from_slice(&base));
                self.taken = Some(run.base);
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
        let at_once = (COPY_KEYS, PIECE_BYTES as u64);
        let (mut found, next) = live.messages_in(run.segment, run.ids, at_once)?;
        found.sort_unstable_by_key(|(_, place)| place.at);
        let mut reader = PayloadReader::new(&self.segments, self.salt);
        for (id, place) in found {
            // What cannot be read stays where it is: it is told where it is wanted.
            let Some(frame) = reader.frame(place, id)? else { continue };
            let Some((message, _)) = frame.message() else { continue };
            let place = Place { tenant: frame.tenant, shard: frame.shard };
            out.append(Kind::Moved, place, |out| out.extend_from_slice(message));
        }
        match next {
            Some(next) => run.ids.0 = next,
            None => {
                self.copied.insert(run.segment);
                self.copy = None;
            }
        }
        Ok(())
    }
}

/// Bytes by which the journal may grow before it should become shorter.
fn room(live: &Live, segments: &Segments, thrift: Thrift) -> io::Result<u64> {
    let mut bytes = 0;
    for number in segments.numbers() {
        bytes += segments.bytes(number)?;
    }
    let used: u64 = live.uses().values().map(|used| used.bytes).sum();
    Ok((used.saturating_mul(3) + thrift.pressure_bytes).saturating_sub(bytes))
}
