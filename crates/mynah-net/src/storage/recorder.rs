//! What a worker does with the store: the changes of its turns go in together, and what is synced is told to its engine.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mynah_core::{PAGE, SessionRef};
use mynah_engine::{Change, Engine, Mark, PageRequest};
use mynah_model::{Instant, Message};
use mynah_store::{
    Batch, Durability, Owner, OwnerKind, PagedEntry, Producer, Store, StoreError, Ticket, Wake,
};

use super::records::Records;
use super::{Keeping, Wall};
use crate::clock::Clock;

/// Bytes of changes beyond this are stored in several groups.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Changes beyond this, or with messages of more bytes than these, do not wait for the sync that is under way.
const CHANGES_MAX: usize = 4_096;
const CHANGES_BYTES_MAX: usize = BATCH_BYTES_MAX;

/// So few are not many turns' work: they gather nothing more.
const CHANGES_FEW: usize = 4;

/// For how long a worker that always finds more to do gathers changes that somebody waits for.
const GATHERING: Duration = Duration::from_millis(1);

/// For how long changes are gathered that nobody waits for.
const LEISURE: Duration = Duration::from_millis(10);

/// While there is no room to store more, it is looked this often whether there is again.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(200);

/// A worker's end of the store. It gathers changes until the worker finds nothing more to do or a sync that is under way
/// is over: so they share the next one, and what comes and goes meanwhile is not stored at all.
pub(crate) struct Recorder {
    store: Arc<Store>,
    producer: Producer,
    batch: Batch,
    keeping: Keeping,
    clock: Clock,
    /// Changes that are recorded and not synced.
    waiting: VecDeque<(Ticket, Mark)>,
    /// Since when changes are gathered, if there are any.
    since: Option<Instant>,
    pages: Arc<Pages>,
}

/// Pages of queues that were read and not yet told.
struct Pages {
    wake: Wake,
    read: Mutex<Vec<Read>>,
}

/// A page of a queue.
struct Read {
    queue: SessionRef,
    from: u64,
    /// None if they could not be read.
    entries: Option<Vec<(u64, Option<Message>)>>,
}

impl Pages {
    fn lock(&self) -> MutexGuard<'_, Vec<Read>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    pub(crate) fn new(store: Arc<Store>, wake: Wake, keeping: Keeping, clock: Clock) -> Self {
        let pages = Arc::new(Pages { wake, read: Mutex::default() });
        let called = Arc::clone(&pages);
        let producer = store.producer(Box::new(move || (called.wake)()));
        let batch = producer.batch();
        Self { store, producer, batch, keeping, clock, waiting: VecDeque::new(), since: None, pages }
    }

    /// Records what has changed, if it is time: at the end of a turn. `is_over` says that nothing more was found to do.
    ///
    /// # Errors
    /// Nothing can be stored any more.
    pub(crate) fn record(&mut self, engine: &mut Engine, now: Instant, is_over: bool) -> io::Result<()> {
        self.read_pages(engine);
        let changes = engine.changes();
        if changes == 0 {
            return Ok(());
        }
        let age = now.saturating_since(*self.since.get_or_insert(now));
        let is_time = if self.is_awaited(engine) {
            age >= GATHERING || (is_over && changes <= CHANGES_FEW)
        } else {
            age >= LEISURE
        };
        let is_much = changes >= CHANGES_MAX || engine.changes_bytes() >= CHANGES_BYTES_MAX;
        if is_much || (is_time && !self.is_under_way()) { self.store(engine) } else { Ok(()) }
    }

    /// Whether it is time to record what has changed as soon as nothing more is found to do.
    pub(crate) fn is_eager(&self, engine: &Engine) -> bool {
        engine.changes() > 0 && self.is_awaited(engine) && !self.is_under_way()
    }

    /// When what has changed is to be recorded, if nothing happens until then.
    pub(crate) fn deadline(&mut self, engine: &Engine) -> Option<Instant> {
        let gathers = engine.changes() > 0 && !self.is_under_way();
        let gathered = gathers.then(|| *self.since.get_or_insert(self.clock.now()) + LEISURE);
        // Peers may be waiting for room, and say nothing meanwhile.
        let looks_for_room = engine.is_full().then(|| self.clock.now() + LOOK_FOR_ROOM);
        gathered.into_iter().chain(looks_for_room).min()
    }

    /// Whether anybody waits for what has changed. At an interval it goes on its way as soon as it can: how long the disk
    /// may take for it begins there.
    fn is_awaited(&self, engine: &Engine) -> bool {
        engine.awaits_changes() || self.keeping != Keeping::Sync
    }

    /// Whether a sync is under way that changes can wait for.
    fn is_under_way(&self) -> bool {
        self.keeping == Keeping::Sync && !self.waiting.is_empty()
    }

    /// Records what has changed.
    ///
    /// # Errors
    /// Nothing can be stored any more.
    pub(crate) fn store(&mut self, engine: &mut Engine) -> io::Result<()> {
        let producer = &self.producer;
        let durability = match self.keeping {
            Keeping::Sync => Durability::Sync,
            Keeping::Interval(interval) => Durability::Interval(interval),
        };
        let (mut outcome, mut records) = (Ok(None), None);
        let batch = &mut self.batch;
        let mark = engine.take_changes(|change| {
            let records = records.get_or_insert_with(|| {
                batch.begin_group();
                Records::new(Wall::now(self.clock))
            });
            if let Change::Apart = change {
                if batch.bytes_len() > BATCH_BYTES_MAX && outcome.is_ok() {
                    batch.end_group();
                    outcome = producer.submit(batch, durability).map(Some);
                    batch.begin_group();
                }
            } else if let Err(error) = records.add(batch, &mut || self.store.new_payload_id(), &change) {
                tracing::error!(%error, "something cannot be stored");
            }
        });
        let Some(mark) = mark else { return Ok(()) };
        self.since = None;
        self.batch.end_group();
        if !self.batch.is_empty() && outcome.is_ok() {
            outcome = self.producer.submit(&mut self.batch, durability).map(Some);
        }
        let submitted = outcome.map_err(|error| io::Error::other(error.to_string()))?;
        // Where nothing is left to be stored, it is as if it came with what was recorded before.
        let before = || self.waiting.back().map(|(ticket, _)| *ticket);
        self.waiting.push_back((submitted.or_else(before).unwrap_or_default(), mark));
        Ok(())
    }

    /// Has pages read that queues want.
    fn read_pages(&self, engine: &mut Engine) {
        while let Some(PageRequest { queue, from, tenant, shard, name }) = engine.poll_page() {
            let (pages, owner) =
                (Arc::clone(&self.pages), Owner { tenant, shard, kind: OwnerKind::Queue, name: &name });
            let told = move |page: Result<Vec<PagedEntry>, StoreError>| {
                let page =
                    page.inspect_err(|error| tracing::error!(%error, "a page of a queue cannot be read"));
                let entry = |entry: PagedEntry| (entry.sequence, entry.message);
                let entries = page.ok().map(|page| page.into_iter().map(entry).collect());
                pages.lock().push(Read { queue, from, entries });
                (pages.wake)();
            };
            self.store.page(owner, from, PAGE, Box::new(told));
        }
    }

    /// Whether there is something to be told to the engine.
    pub(crate) fn has_news(&self) -> bool {
        if !self.pages.lock().is_empty() {
            return true;
        }
        let synced = self.producer.synced();
        self.waiting.front().is_some_and(|(ticket, _)| *ticket <= synced)
    }

    /// Tells the engine what is synced, and whether there is room for more.
    ///
    /// # Errors
    /// Nothing can be stored any more.
    pub(crate) fn tell(&mut self, engine: &mut Engine, now: Instant) -> io::Result<()> {
        engine.set_full(now, self.store.is_low_on_space());
        for Read { queue, from, entries } in core::mem::take(&mut *self.pages.lock()) {
            engine.handle_page(queue, from, entries);
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let synced = self.producer.synced();
        let mut last = None;
        while let Some((_, mark)) = self.waiting.pop_front_if(|(ticket, _)| *ticket <= synced) {
            last = Some(mark);
        }
        match last {
            Some(mark) => engine.handle_stored(now, mark),
            None => {
                if let Some(fatal) = self.producer.fatal() {
                    return Err(io::Error::other(fatal.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Whether so much waits to be stored that no more work is to be taken on. Where there is no room for it, what would
    /// have to be stored is refused instead, and the rest goes on.
    pub(crate) fn is_congested(&self) -> bool {
        self.producer.is_congested() && !self.store.is_low_on_space()
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
