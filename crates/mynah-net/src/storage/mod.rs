//! The store of a broker: opened before the first peer comes, written by each worker between its turns.

mod exchanges;
mod queues;
mod recorder;
mod records;
mod recovery;
mod wall;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use mynah_engine::{Engine, Promise};
use mynah_model::TenantId;
use mynah_store::{Durability, Key, Report, Store, StoreError, StoreOptions, Value, Wake};

use crate::clock::Clock;

pub(crate) use recorder::Recorder;
pub use records::Records;
pub use recovery::{Recovered, Recovery};
pub use wall::Wall;

/// When what was acknowledged is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Before it is acknowledged.
    Sync,
    /// Within this time after: what is acknowledged meanwhile may be lost with the machine.
    Interval(Duration),
}

/// What the broker remembers about itself.
const SETTING: Key<'static> = Key::Setting { tenant: TenantId::DEFAULT, name: b"broker" };

/// Bits of an entry's number that count within one run.
const RUN_SHIFT: u32 = 40;

/// An open store, with what an earlier run has left in it.
#[derive(Debug)]
pub struct Storage {
    store: Arc<Store>,
    keeping: Keeping,
    clock: Clock,
    recovery: Recovery,
    seed: u64,
    run: u64,
    /// Listeners whose peers wait for nothing.
    hasty: Vec<u16>,
}

impl Storage {
    /// Opens a store and reads what is in it. `seed` is that of a broker that is new. `progress` hears how many of how
    /// many of which are read. Also returns what was found to be cut, damaged or lost.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(
        options: StoreOptions,
        keeping: Keeping,
        seed: u64,
        mut progress: impl FnMut(&'static str, u64, u64),
    ) -> Result<(Self, Report), StoreError> {
        let clock = Clock::start();
        let mut recovery = Recovery::new(Wall::now(clock));
        let (store, report) = Store::open(options, &mut |item| recovery.take(item, &mut progress))?;
        let (seed, run) = recovery.setting().unwrap_or((seed, 0));
        let storage =
            Self { store: Arc::new(store), keeping, clock, recovery, seed, run: run + 1, hasty: Vec::new() };
        storage.begin_run()?;
        Ok((storage, report))
    }

    /// Notes that there is one more run, and waits until that is synced: entries get their numbers from it.
    fn begin_run(&self) -> Result<(), StoreError> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..].copy_from_slice(&self.run.to_le_bytes());
        let (synced, heard) = mpsc::sync_channel(1);
        let wake: Wake = Box::new(move || {
            let _ = synced.try_send(());
        });
        let producer = self.store.producer(wake);
        let mut batch = producer.batch();
        let stored = batch.put(&SETTING, &Value::Bytes(&bytes)).map_err(|error| error.to_string());
        let stored = stored
            .and_then(|()| producer.submit(&mut batch, Durability::Sync).map_err(|error| error.to_string()));
        let ticket = stored.map_err(std::io::Error::other)?;
        while producer.synced() < ticket {
            if let Some(fatal) = producer.fatal() {
                return Err(std::io::Error::other(fatal.to_string()).into());
            }
            let _ = heard.recv_timeout(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The seed of all hashes: which worker owns what follows from it.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How much was read.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovery.recovered()
    }

    /// Peers of the listener with this place in `mynah_engine::Settings::listeners` are answered at once: what they are
    /// told is stored later and may be lost with the machine.
    pub fn answer_at_once(&mut self, listener: u16) {
        self.hasty.push(listener);
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Gives engines what is theirs of what was read, and lets them tell of every change from here on.
    pub(crate) fn restore(&mut self, engines: &mut [Engine]) {
        let promise = match self.keeping {
            Keeping::Sync => Promise::Stored,
            Keeping::Interval(_) => Promise::AtOnce,
        };
        for engine in engines.iter_mut() {
            engine.store_changes(promise, self.run << RUN_SHIFT);
            engine.page_queues();
            self.hasty.iter().for_each(|listener| engine.answer_at_once(*listener));
        }
        self.recovery.hand_over(engines, self.seed, self.clock.now());
    }

    /// A worker's end of the store.
    pub(crate) fn recorder(&self, wake: Wake) -> Recorder {
        Recorder::new(Arc::clone(&self.store), wake, self.keeping, self.clock)
    }
}
