//! Group commit: one thread writes and syncs what many submit. While a sync is under way the next group gathers; when
//! nothing is under way, it begins at once.

use core::fmt;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::handed::{Handed, Piece, Spare};
use super::writer::Writer;
use crate::position::Position;
use crate::record::Batch;

/// The place of a batch in the order of all: higher is later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// When a batch is to be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once: acknowledgements wait for it.
    Sync,
    /// Within this time: what is acknowledged meanwhile may be lost with the machine.
    Interval(Duration),
    /// Whenever.
    Memory,
}

/// Why nothing can be stored any more. Whoever hears this ends the process: what was written may or may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal(pub String);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Fatal {}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// The store has failed, see [`Fatal`].
    Failed(Fatal),
    /// The store was closed.
    Closed,
    /// The batch is larger than the bound on what waits.
    TooLarge,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(fatal) => fatal.fmt(f),
            Self::Closed => f.write_str("the store is closed"),
            Self::TooLarge => f.write_str("the records of one turn are larger than the journal takes"),
        }
    }
}

impl core::error::Error for SubmitError {}

/// How the journal is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a group gathers when there is little to do.
    pub(crate) delay: Duration,
    /// Bytes that may wait to be written.
    pub(crate) waiting_max: usize,
    /// What nobody waits for is synced after this time all the same.
    pub(crate) idle_sync: Duration,
}

/// Segments that the state may be behind before producers hear of it.
const LAG_SEGMENTS_MAX: u32 = 2;

/// Bytes that are written at once.
const WRITE_MAX: usize = 8 << 20;

/// After how long without a sync the journal is idle, and how many batches are few.
const NEARLY_IDLE: Duration = Duration::from_millis(10);
const NEARLY_IDLE_BATCHES: usize = 4;

/// How long the committer waits before it tries again to write where there was no room.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(50);

/// A batch that waits.
struct Waiting {
    bytes: Vec<u8>,
    ticket: u64,
    due: Option<Instant>,
    producer: usize,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    last: u64,
    closed: bool,
    fatal: Option<Fatal>,
    /// Buffers to be used again.
    spare: Spare,
}

/// Called when something that a producer submitted is synced, and when the journal fails. It only wakes the worker.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What producers and the committer share.
pub(crate) struct Shared {
    line: Mutex<Line>,
    /// Something waits, or the line is closed.
    arrived: Condvar,
    /// There is room again.
    room: Condvar,
    synced: AtomicU64,
    synced_position: AtomicU64,
    congested: AtomicBool,
    /// The segment to which the state has come, and the one to which the journal may go.
    applied_segment: AtomicU32,
    limit_segment: AtomicU32,
    no_room: AtomicBool,
    failed: AtomicBool,
    syncs: AtomicU64,
    sync_micros: AtomicU64,
    wakes: Mutex<Vec<Wake>>,
    /// What was written, for who follows the journal.
    handed: Arc<Handed>,
    call_follower: Wake,
    pace: Pace,
    salt: u32,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("synced", &self.synced).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(pace: Pace, salt: u32, synced: Position, call_follower: Wake) -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            synced: AtomicU64::new(0),
            synced_position: AtomicU64::new(synced.to_u64()),
            congested: AtomicBool::new(false),
            applied_segment: AtomicU32::new(synced.segment),
            limit_segment: AtomicU32::new(synced.segment),
            no_room: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            sync_micros: AtomicU64::new(0),
            wakes: Mutex::default(),
            handed: Arc::default(),
            call_follower,
            pace,
            salt,
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn producer(self: &Arc<Self>, wake: Wake) -> Producer {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.push(wake);
        Producer { shared: self.clone(), index: wakes.len() - 1 }
    }

    /// What was written and is on its way to who follows.
    pub(crate) fn handed(&self) -> Arc<Handed> {
        self.handed.clone()
    }

    /// Everything before this place of the journal is synced.
    pub(crate) fn synced_position(&self) -> Position {
        Position::from_u64(self.synced_position.load(Ordering::Acquire))
    }

    pub(crate) fn fatal(&self) -> Option<Fatal> {
        if self.failed.load(Ordering::Acquire) { self.line().fatal.clone() } else { None }
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How long all of them took together.
    pub(crate) fn sync_time(&self) -> Duration {
        Duration::from_micros(self.sync_micros.load(Ordering::Relaxed))
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.line().bytes as u64
    }

    /// Whether a write waits for room on the disk.
    pub(crate) fn has_no_room(&self) -> bool {
        self.no_room.load(Ordering::Relaxed)
    }

    /// Says to which segment the state has come, and to which the journal may go.
    pub(crate) fn set_applied(&self, segment: u32, limit: u32) {
        self.applied_segment.store(segment, Ordering::Relaxed);
        self.limit_segment.store(limit, Ordering::Relaxed);
    }

    /// Whether the journal should not grow: the state is far behind, or it would take too much room.
    fn is_far_ahead(&self) -> bool {
        let written = self.synced_position().segment;
        written.saturating_sub(self.applied_segment.load(Ordering::Relaxed)) > LAG_SEGMENTS_MAX
            || written > self.limit_segment.load(Ordering::Relaxed)
    }

    /// No more batches; those that wait are still written.
    pub(crate) fn close(&self) {
        self.line().closed = true;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// Nothing can be stored any more.
    pub(crate) fn fail(&self, message: String) {
        let mut line = self.line();
        line.fatal.get_or_insert(Fatal(message));
        self.failed.store(true, Ordering::Release);
        drop(line);
        self.arrived.notify_all();
        self.room.notify_all();
        for wake in self.wakes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            wake();
        }
    }
}

/// A worker's end of the journal.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    index: usize,
}

impl Producer {
    /// An empty batch to be filled.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::new(self.shared.salt)
    }

    /// Puts the records in line and leaves the batch empty. Batches of all producers stand in the journal in the order
    /// of their tickets. An empty batch waits for nothing: its ticket is that of the last one submitted.
    ///
    /// Waits where more than the bound is in line already: look at [`Producer::is_congested`] before taking on work.
    ///
    /// # Errors
    /// The batch was not taken, and is as it was.
    pub fn submit(&self, batch: &mut Batch, durability: Durability) -> Result<Ticket, SubmitError> {
        let shared = &*self.shared;
        let bytes = batch.bytes_len();
        if bytes > shared.pace.waiting_max {
            return Err(SubmitError::TooLarge);
        }
        let mut line = shared.line();
        while line.bytes + bytes > shared.pace.waiting_max && !line.closed && line.fatal.is_none() {
            line = shared.room.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(fatal) = &line.fatal {
            return Err(SubmitError::Failed(fatal.clone()));
        }
        if line.closed {
            return Err(SubmitError::Closed);
        }
        if batch.is_empty() {
            return Ok(Ticket(line.last));
        }
        let now = Instant::now();
        let due = match durability {
            Durability::Sync => Some(now),
            Durability::Interval(interval) => now.checked_add(interval),
            Durability::Memory => now.checked_add(shared.pace.idle_sync),
        };
        line.last += 1;
        line.bytes += bytes;
        let mut spare = line.spare.take();
        batch.swap(&mut spare);
        let ticket = line.last;
        line.waiting.push_back(Waiting { bytes: spare, ticket, due, producer: self.index });
        shared.congested.store(line.bytes > shared.pace.waiting_max / 2, Ordering::Relaxed);
        drop(line);
        shared.arrived.notify_one();
        Ok(Ticket(ticket))
    }

    /// Every batch up to this ticket is synced.
    #[must_use]
    pub fn synced(&self) -> Ticket {
        Ticket(self.shared.synced.load(Ordering::Acquire))
    }

    /// Whether so much is in line, so much of the journal not yet in the state, or the journal so much longer than what is
    /// live and about to become shorter, that new work is better left alone for the moment.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.shared.congested.load(Ordering::Relaxed) || self.shared.is_far_ahead()
    }

    /// Why nothing can be stored any more, if that is so.
    #[must_use]
    pub fn fatal(&self) -> Option<Fatal> {
        self.shared.fatal()
    }
}

/// What the committer's thread does until the line is closed or the disk fails.
pub(crate) fn run(shared: &Shared, mut writer: Writer) {
    let (unsynced, writer) = (Vec::new(), &mut writer);
    let mut committer = Committer { shared, writer, due: None, last_sync: None, unsynced, calls: false };
    if let Err(error) = committer.run() {
        shared.fail(format!("the journal cannot be written: {error}; nothing is acknowledged any more"));
    }
}

struct Committer<'c> {
    shared: &'c Shared,
    writer: &'c mut Writer,
    /// When what is written has to be synced.
    due: Option<Instant>,
    /// When something was synced last.
    last_sync: Option<Instant>,
    /// Whose batches are written and not synced; the last ticket.
    unsynced: Vec<(usize, u64)>,
    /// So much was handed over that who follows is to be called.
    calls: bool,
}

impl Committer<'_> {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let group = self.next_group();
            if group.is_none() && self.due.is_none() {
                return self.writer.close();
            }
            let closing = group.is_none();
            if let Some(group) = group {
                self.write(group)?;
            }
            if closing || self.due.is_some_and(|due| due <= Instant::now()) {
                self.sync()?;
            }
        }
    }

    /// What is to be written next; empty when a sync is due first; `None` when the line is closed and empty.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let mut line = self.shared.line();
        while line.waiting.is_empty() && !line.closed && line.fatal.is_none() {
            let Some(due) = self.due else {
                line = self.shared.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Vec::new());
            }
            line = self.shared.arrived.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !line.closed && self.is_nearly_idle(line.waiting.len()) {
            drop(line);
            std::thread::sleep(self.shared.pace.delay);
            line = self.shared.line();
        }
        if line.waiting.is_empty() && (line.closed || line.fatal.is_some()) {
            return None;
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = line.waiting.front()
            && (group.is_empty() || bytes + next.bytes.len() <= WRITE_MAX)
        {
            bytes += next.bytes.len();
            group.extend(line.waiting.pop_front());
        }
        Some(group)
    }

    /// Whether waiting a little is likely to save a sync: little waits, but there was something a moment ago. What
    /// comes out of silence is synced at once, and under load a group gathers during the sync before it.
    fn is_nearly_idle(&self, waiting: usize) -> bool {
        let is_recent = || self.last_sync.is_some_and(|at| at.elapsed() < NEARLY_IDLE);
        !self.shared.pace.delay.is_zero() && (1..=NEARLY_IDLE_BATCHES).contains(&waiting) && is_recent()
    }

    fn write(&mut self, group: Vec<Waiting>) -> io::Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        for waiting in &group {
            self.due = match (self.due, waiting.due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            match self.unsynced.iter_mut().find(|(producer, _)| *producer == waiting.producer) {
                Some((_, ticket)) => *ticket = waiting.ticket,
                None => self.unsynced.push((waiting.producer, waiting.ticket)),
            }
        }
        let batches: Vec<Vec<u8>> = group.into_iter().map(|waiting| waiting.bytes).collect();
        let (at, records_at) = self.write_when_there_is_room(&batches)?;
        self.hand_over(Piece { at, records_at, end: self.writer.end(), batches });
        Ok(())
    }

    /// A lack of room is waited out: nobody was told anything yet, and whoever asks sees that there is none.
    fn write_when_there_is_room(&mut self, batches: &[Vec<u8>]) -> io::Result<(Position, Position)> {
        let parts: Vec<&[u8]> = batches.iter().map(|bytes| &bytes[..]).collect();
        loop {
            match self.writer.write(&parts) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && !self.shared.line().closed => {
                    self.shared.no_room.store(true, Ordering::Relaxed);
                    std::thread::sleep(NO_ROOM_PAUSE);
                }
                outcome => {
                    self.shared.no_room.store(false, Ordering::Relaxed);
                    return outcome;
                }
            }
        }
    }

    /// Makes room in the line, hands what was written to who follows, and takes memory back.
    fn hand_over(&mut self, piece: Piece) {
        let shared = self.shared;
        let bytes: usize = piece.batches.iter().map(Vec::len).sum();
        let mut spent = Vec::new();
        self.calls |= shared.handed.give(piece, &mut spent);
        let mut line = shared.line();
        line.bytes -= bytes;
        spent.into_iter().for_each(|bytes| line.spare.put(bytes));
        shared.congested.store(line.bytes > shared.pace.waiting_max / 2, Ordering::Relaxed);
        drop(line);
        shared.room.notify_all();
    }

    fn sync(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.writer.sync()?;
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        (self.due, self.last_sync) = (None, Some(Instant::now()));
        let shared = self.shared;
        shared.sync_micros.fetch_add(took, Ordering::Relaxed);
        shared.syncs.fetch_add(1, Ordering::Relaxed);
        shared.synced_position.store(self.writer.synced().to_u64(), Ordering::Release);
        if let Some(last) = self.unsynced.iter().map(|(_, ticket)| *ticket).max() {
            shared.synced.store(last, Ordering::Release);
        }
        let wakes = shared.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        for (producer, _) in self.unsynced.drain(..) {
            if let Some(wake) = wakes.get(producer) {
                wake();
            }
        }
        if core::mem::take(&mut self.calls) {
            (shared.call_follower)();
        }
        Ok(())
    }
}
