//! The store: a folder, the thread that commits, and the thread that keeps the state.

use core::any::Any;
use core::fmt;
use core::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mynah_model::{Class, Message, WallTime};

use crate::disk::{Disk, RealDisk};
use crate::error::StoreError;
use crate::journal::committer::{self, Durability, Fatal, Pace, Producer, Shared, Wake};
use crate::journal::writer::Writer;
use crate::keeper::{Keeper, Thrift};
use crate::record::{Batch, Key, OptionsBuf, Owner, PayloadId, Value};
use crate::recovery::{self, Opened, PayloadReader, Recovered, Streamed, Take};
use crate::replay::Quarantine;
use crate::report::{Finding, Report};
use crate::state::{FjallStates, States};

/// How a store is opened. Every bound has a default.
pub struct StoreOptions {
    /// Where the store is.
    pub folder: PathBuf,
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// Where the state is; none: on fjall, in `folder`.
    pub states: Option<Box<dyn States>>,
    /// Bytes of a segment. One that is larger is made for a batch that is larger.
    pub segment_bytes: u32,
    /// How long a group of batches gathers when little is submitted, but something was a moment ago. What comes out of
    /// silence is synced at once.
    pub commit_delay: Duration,
    /// Bytes that may wait to be written.
    pub waiting_bytes_max: usize,
    /// Room on the disk, in bytes, below which durable publications are to be refused.
    pub free_bytes_min: u64,
    /// A number that nobody can guess, for a store that is new.
    pub salt: u32,
    /// Whether the state is made anew though it may be sound.
    pub rebuild: bool,
}

impl StoreOptions {
    /// The defaults, for a store in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            disk: Arc::new(RealDisk),
            states: None,
            segment_bytes: 32 << 20,
            commit_delay: Duration::ZERO,
            waiting_bytes_max: 64 << 20,
            free_bytes_min: 256 << 20,
            salt: random(),
            rebuild: false,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A number from the system's entropy, by way of the keys that `std` draws for its hash maps.
fn random() -> u32 {
    use core::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0) as u32
}

/// An entry of a queue that was read back.
#[derive(Debug)]
pub struct PagedEntry {
    /// Its number in the queue.
    pub sequence: u64,
    /// The guarantee of this delivery.
    pub class: Class,
    /// Whether the receiver sees the message as a retained value.
    pub retain: bool,
    /// Whatever else was stored with it.
    pub options: OptionsBuf,
    /// When the message is no longer wanted; the header of the message does not say.
    pub deadline: Option<WallTime>,
    /// The message; none if it cannot be read any more.
    pub message: Option<Message>,
}

/// Called with entries, in order; on the store's own thread, so it hands them on and returns.
pub type Page = Box<dyn FnOnce(Result<Vec<PagedEntry>, StoreError>) + Send>;

/// What a store is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes free on the disk are below the bound: durable publications are to be refused.
    pub is_low_on_space: bool,
    /// A write waits for room on the disk.
    pub waits_for_space: bool,
    /// Syncs since the start.
    pub syncs: u64,
    /// How long these took together.
    pub sync_time: Duration,
    /// Bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Bytes that are free on the disk.
    pub free_bytes: u64,
    /// Bytes of all segments.
    pub journal_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of messages that are live.
    pub live_bytes: u64,
    /// Messages that are live.
    pub live_messages: u64,
}

#[derive(Debug, Default)]
struct Watch {
    low: AtomicBool,
    free_bytes: AtomicU64,
    journal_bytes: AtomicU64,
    segments: AtomicU64,
    live_bytes: AtomicU64,
    live_messages: AtomicU64,
    /// Found since the start, until somebody takes it.
    report: Mutex<Report>,
}

impl Watch {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Request {
    Page {
        key: Vec<u8>,
        max: usize,
        page: Page,
    },
    /// Much was written.
    Follow,
    Close,
}

/// An open store. Dropping it closes it.
pub struct Store {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    requests: mpsc::Sender<Request>,
    next_payload: AtomicU64,
    committer: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// How often the state follows the journal, and the disk is looked at.
const TICK: Duration = Duration::from_millis(100);

/// When what the state's thread adds to the journal is synced: it waits for that to remove segments.
const OWN_SYNC: Duration = Duration::from_millis(10);

/// How often the state is written at least, if there is anything new.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// Opens a store far enough to be read. Hands everything that is live to `take`.
pub(crate) fn open_and_stream(options: &mut StoreOptions, take: Take<'_>) -> Result<Opened, StoreError> {
    let states = options.states.take();
    let states = states.unwrap_or_else(|| Box::new(FjallStates::new(&options.folder.join("state"))));
    let (disk, folder) = (options.disk.clone(), &options.folder);
    // Who has heard enough says so once more when records come.
    let mut heard = |done, all| {
        let _ = take(Recovered::Replayed(done, all));
    };
    let mut opened = recovery::open(disk, folder, states, options.salt, options.rebuild, &mut heard)?;
    let streamed = recovery::stream(&mut opened.live, &opened.segments, &mut opened.report, take)?;
    let Streamed::Damaged(error) = streamed else { return Ok(opened) };
    if take(Recovered::Restart).is_break() {
        return Err(StoreError::Stopped);
    }
    let (salt, end) = (opened.live.salt(), opened.live.applied());
    // The state has to be closed before it can be moved.
    opened.live = crate::live::Live::load(Box::new(crate::state::Nothing), salt)?;
    let folder = recovery::quarantine_folder(&options.folder);
    let quarantine = Quarantine { disk: &*opened.disk, folder: &folder };
    let (segments, report) = (&opened.segments, &mut opened.report);
    let states = &*opened.states;
    let why = error.to_string();
    let mut heard = |done, all| {
        let _ = take(Recovered::Replayed(done, all));
    };
    opened.live =
        recovery::rebuild(states, salt, segments, end, why, report, &quarantine, false, &mut heard)?;
    match recovery::stream(&mut opened.live, &opened.segments, &mut opened.report, take)? {
        Streamed::Complete => Ok(opened),
        Streamed::Damaged(error) => Err(error.into()),
    }
}

impl Store {
    /// Opens a store. Hands everything that is live to `take` before it returns, see [`Recovered`]. Also returns what
    /// was found to be cut, damaged or lost.
    ///
    /// # Errors
    /// See [`StoreError`]. Damage is none: it is reported, and what can be read is used.
    pub fn open(mut options: StoreOptions, take: Take<'_>) -> Result<(Self, Report), StoreError> {
        let mut opened = open_and_stream(&mut options, take)?;
        let salt = opened.live.salt();
        let segment_bytes = options.segment_bytes;
        let writer = Writer::start(opened.segments.clone(), salt, segment_bytes, opened.next_segment)?;
        let next_payload = AtomicU64::new(opened.live.next_payload().max(1));
        let pace = Pace {
            delay: options.commit_delay,
            waiting_max: options.waiting_bytes_max,
            idle_sync: Duration::from_secs(1),
        };
        let (requests, inbox) = mpsc::channel();
        let calls = requests.clone();
        // One that has gone needs no call.
        let call_keeper = Box::new(move || drop(calls.send(Request::Follow)));
        let shared = Shared::new(pace, salt, writer.synced(), call_keeper);
        let watch = Arc::new(Watch::default());
        let report = core::mem::take(&mut opened.report);
        // Whoever opens the store next has to find this one done.
        let lock = core::mem::replace(&mut opened.lock, Box::new(()));
        let thrift = Thrift::of(segment_bytes);
        let keeping = Keeping {
            producer: shared.producer(Box::new(|| ())),
            shared: shared.clone(),
            watch: watch.clone(),
            disk: options.disk.clone(),
            folder: options.folder.clone(),
            free_bytes_min: options.free_bytes_min,
            segment_bytes,
            keeper: Keeper::new(opened, shared.handed(), thrift),
            looked_at: None,
            _lock: lock,
        };
        let committing = shared.clone();
        let committer = thread::Builder::new().name("store-commit".to_owned());
        let committer = committer.spawn(move || committer::run(&committing, writer))?;
        let keeper = thread::Builder::new().name("store-state".to_owned());
        let keeper = keeper.spawn(move || keeping.run(&inbox))?;
        let (committer, keeper) = (Some(committer), Some(keeper));
        Ok((Self { shared, watch, requests, next_payload, committer, keeper }, report))
    }

    /// An end of the journal for one worker. `wake` is called from another thread when something that the worker
    /// submitted is synced, and when the journal fails.
    #[must_use]
    pub fn producer(&self, wake: Wake) -> Producer {
        self.shared.producer(wake)
    }

    /// A name for a message that is to be stored.
    pub fn new_payload_id(&self) -> PayloadId {
        PayloadId(self.next_payload.fetch_add(1, Ordering::Relaxed))
    }

    /// Reads entries of a queue back, from the number `from` on, `max` at most. Entries that were submitted and are
    /// not synced are not among them. `page` is always called.
    pub fn page(&self, owner: Owner<'_>, from: u64, max: usize, page: Page) {
        let mut key = Vec::new();
        Key::Entry(owner, from).encode(&mut key);
        if let Err(mpsc::SendError(Request::Page { page, .. })) =
            self.requests.send(Request::Page { key, max, page })
        {
            page(Err(StoreError::Stopped));
        }
    }

    /// What the store is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Status {
            is_low_on_space: self.is_low_on_space(),
            waits_for_space: self.shared.has_no_room(),
            syncs: self.shared.syncs(),
            sync_time: self.shared.sync_time(),
            waiting_bytes: self.shared.waiting_bytes(),
            free_bytes: get(&self.watch.free_bytes),
            journal_bytes: get(&self.watch.journal_bytes),
            segments: get(&self.watch.segments),
            live_bytes: get(&self.watch.live_bytes),
            live_messages: get(&self.watch.live_messages),
        }
    }

    /// Whether durable publications are to be refused for lack of room.
    #[must_use]
    pub fn is_low_on_space(&self) -> bool {
        self.watch.low.load(Ordering::Relaxed) || self.shared.has_no_room()
    }

    /// What was found since the start or the last call.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Finding> {
        core::mem::take(&mut *self.watch.report()).findings
    }

    /// Why nothing can be stored any more, if that is so.
    #[must_use]
    pub fn fatal(&self) -> Option<Fatal> {
        self.shared.fatal()
    }

    /// Writes and syncs what was submitted, brings the state up to date and lets the folder go.
    ///
    /// # Errors
    /// What was submitted may be lost.
    pub fn close(mut self) -> Result<(), Fatal> {
        self.stop();
        self.fatal().map_or(Ok(()), Err)
    }

    fn stop(&mut self) {
        self.shared.close();
        let committed = self.committer.take().map(JoinHandle::join);
        let _ = self.requests.send(Request::Close);
        let kept = self.keeper.take().map(JoinHandle::join);
        for outcome in [committed, kept].into_iter().flatten() {
            if outcome.is_err() {
                self.shared.fail("a thread of the store panicked".to_owned());
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the state's thread has.
struct Keeping {
    shared: Arc<Shared>,
    producer: Producer,
    watch: Arc<Watch>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    free_bytes_min: u64,
    segment_bytes: u32,
    keeper: Keeper,
    looked_at: Option<Instant>,
    /// This thread ends last.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Keeping {
    fn run(mut self, inbox: &mpsc::Receiver<Request>) {
        let mut batch = self.producer.batch();
        let (mut flush_at, mut wait) = (Instant::now() + FLUSH_EVERY, Duration::ZERO);
        loop {
            let request = inbox.recv_timeout(wait);
            let closing = matches!(request, Ok(Request::Close) | Err(RecvTimeoutError::Disconnected));
            let (more, at_once) = self.tick(&mut batch);
            self.see_lag(more);
            wait = match (more, at_once) {
                (true, true) => Duration::ZERO,
                (true, false) => OWN_SYNC,
                _ => TICK,
            };
            if closing || flush_at <= Instant::now() {
                let outcome = self.keeper.flush(self.shared.synced_position());
                self.note(outcome);
                flush_at = Instant::now() + FLUSH_EVERY;
            }
            self.watch();
            if closing {
                return;
            }
            if let Ok(Request::Page { key, max, page }) = request {
                let caught_up = self.keeper.catch_up(self.shared.synced_position());
                page(caught_up.and_then(|()| read_page(&mut self.keeper, &key, max)));
            }
        }
    }

    /// Returns whether there is more to do, and whether that is so at once or when what was submitted is synced.
    fn tick(&mut self, batch: &mut Batch) -> (bool, bool) {
        let synced = self.shared.synced_position();
        let more = self.keeper.tick(synced, batch);
        let is_behind = self.keeper.live().is_some_and(|live| live.applied() < synced);
        let at_once = is_behind || !batch.is_empty();
        let submitted =
            batch.is_empty() || self.producer.submit(batch, Durability::Interval(OWN_SYNC)).is_ok();
        let more = self.note(more).unwrap_or(false);
        (more && submitted, at_once)
    }

    /// The state is not needed for what the store promises: what is wrong with it is told, and tried again.
    fn note<T>(&self, outcome: Result<T, StoreError>) -> Option<T> {
        outcome
            .map_err(|error| {
                let finding = Finding::Trouble { what: error.to_string() };
                let mut report = self.watch.report();
                if report.findings.last() != Some(&finding) {
                    report.add(finding);
                }
            })
            .ok()
    }

    /// Says how far the state has come, and how far the journal may go until the next time. If there is no `more` to do it
    /// may always go a little: only then there is more.
    fn see_lag(&self, more: bool) {
        let Some(live) = self.keeper.live() else { return };
        let segments = self.keeper.room() / u64::from(self.segment_bytes.max(1));
        let segments = u32::try_from(segments).unwrap_or(u32::MAX).max(2 * u32::from(!more));
        let limit = self.shared.synced_position().segment.saturating_add(segments).saturating_sub(1);
        self.shared.set_applied(live.applied().segment, limit);
    }

    fn watch(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.looked_at = Some(Instant::now());
        if let Ok(free) = self.disk.free_bytes(&self.folder) {
            let was_low = self.watch.low.load(Ordering::Relaxed);
            // Once refused, a little more has to be free, so that it does not change from one message to the next.
            let min =
                if was_low { self.free_bytes_min + self.free_bytes_min / 8 } else { self.free_bytes_min };
            self.watch.low.store(free < min, Ordering::Relaxed);
            self.watch.free_bytes.store(free, Ordering::Relaxed);
        }
        let numbers = self.keeper.segments.numbers();
        let bytes = numbers.iter().filter_map(|&number| self.keeper.segments.bytes(number).ok()).sum();
        self.watch.journal_bytes.store(bytes, Ordering::Relaxed);
        self.watch.segments.store(numbers.len() as u64, Ordering::Relaxed);
        if let Some(live) = self.keeper.live() {
            let uses = live.uses().values();
            let (bytes, messages) = uses.fold((0, 0), |(b, m), u| (b + u.bytes, m + u.payloads));
            self.watch.live_bytes.store(bytes, Ordering::Relaxed);
            self.watch.live_messages.store(messages, Ordering::Relaxed);
        }
        let found = core::mem::take(&mut self.keeper.report);
        if !found.is_empty() {
            let mut report = self.watch.report();
            found.findings.into_iter().for_each(|finding| report.add(finding));
        }
    }
}

/// Entries from the one with a key on, of the same queue.
pub(crate) fn read_page(keeper: &mut Keeper, key: &[u8], max: usize) -> Result<Vec<PagedEntry>, StoreError> {
    let pairs = keeper.see_entries(key, max)?;
    let Some(live) = keeper.live() else { return Err(StoreError::Stopped) };
    let mut found = Vec::with_capacity(pairs.len());
    for (key, value) in &pairs {
        if let (Some(Key::Entry(_, sequence)), Some(Value::Entry(entry))) =
            (Key::decode(key), Value::decode(key[0], value))
        {
            found.push((sequence, entry));
        }
    }
    let ids: Vec<u64> = found.iter().map(|(_, entry)| entry.payload.0).collect();
    let places = live.payload_places(&ids)?;
    let found = found.into_iter().zip(places.iter().copied());
    let mut places: Vec<_> = places.iter().flatten().copied().collect();
    places.sort_unstable_by_key(|place| place.at);
    let mut reader = PayloadReader::new(&keeper.segments, live.salt());
    reader.expect(places.into_iter());
    let mut entries = Vec::with_capacity(found.len());
    for ((sequence, entry), place) in found {
        let id = entry.payload.0;
        let read = |place| reader.read(place, id, |stored| (stored.to_message(None), stored.deadline));
        let read = place.map(read).transpose()?.flatten();
        let (message, deadline) = read.map_or((None, None), |(message, d)| (Some(message), d));
        let mut options = OptionsBuf::new();
        for (number, bytes) in entry.options.iter() {
            options.push(number, bytes);
        }
        let (class, retain) = (entry.class, entry.retain);
        entries.push(PagedEntry { sequence, class, retain, options, deadline, message });
    }
    Ok(entries)
}

/// Takes everything and does nothing: for who only wants the store to be open.
pub fn ignore(_: Recovered<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
