//! What a worker does with the store: its turn's changes go in together, and what is synced is told to its engine.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use mynah_engine::{Change, Engine, Mark};
use mynah_model::Instant;
use mynah_store::{Batch, Durability, Producer, Store, Ticket, Wake};

use super::records::Records;
use super::{Keeping, Wall};
use crate::clock::Clock;

/// A turn's changes beyond this are stored in several groups.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// A worker's end of the store.
pub(crate) struct Recorder {
    store: Arc<Store>,
    producer: Producer,
    batch: Batch,
    durability: Durability,
    clock: Clock,
    /// Turns whose changes are not synced.
    waiting: VecDeque<(Ticket, Mark)>,
}

impl Recorder {
    pub(crate) fn new(store: Arc<Store>, wake: Wake, keeping: Keeping, clock: Clock) -> Self {
        let producer = store.producer(wake);
        let durability = match keeping {
            Keeping::Sync => Durability::Sync,
            Keeping::Interval(interval) => Durability::Interval(interval),
        };
        let batch = producer.batch();
        Self { store, producer, batch, durability, clock, waiting: VecDeque::new() }
    }

    /// Stores what has changed in the turn.
    ///
    /// # Errors
    /// Nothing can be stored any more.
    pub(crate) fn record(&mut self, engine: &mut Engine) -> io::Result<()> {
        let (producer, durability) = (&self.producer, self.durability);
        let mut outcome = Ok(());
        let mut records = None;
        let batch = &mut self.batch;
        let mark = engine.take_changes(|change| {
            let records = records.get_or_insert_with(|| {
                batch.begin_group();
                Records::new(Wall::now(self.clock))
            });
            if let Change::Apart = change {
                if batch.bytes_len() > BATCH_BYTES_MAX && outcome.is_ok() {
                    batch.end_group();
                    outcome = producer.submit(batch, durability).map(drop);
                    batch.begin_group();
                }
            } else if let Err(error) = records.add(batch, &mut || self.store.new_payload_id(), &change) {
                tracing::error!(%error, "something cannot be stored");
            }
        });
        let Some(mark) = mark else { return Ok(()) };
        self.batch.end_group();
        let submitted = outcome.and_then(|()| self.producer.submit(&mut self.batch, self.durability));
        let ticket = submitted.map_err(|error| io::Error::other(error.to_string()))?;
        self.waiting.push_back((ticket, mark));
        Ok(())
    }

    /// Tells the engine what is synced, and whether there is room for more.
    ///
    /// # Errors
    /// Nothing can be stored any more.
    pub(crate) fn tell(&mut self, engine: &mut Engine, now: Instant) -> io::Result<()> {
        engine.set_full(self.store.is_low_on_space());
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
