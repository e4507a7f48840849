//! Outages: a broker of several engines with a store on a disk that forgets what was not synced. It is cut off at random
//! moments and comes back with what the disk has kept, while producers and consumers go on. The ledger of the crash
//! harness says whether anything that was promised is missing, came twice or came in another order.

mod books;
pub(crate) mod broker;
mod client;
mod group;
mod replays;
mod wills;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mynah_crash::ledger::{Totals, Violation};
use mynah_model::Instant;
use mynah_stack::testing::Sequence;

use books::Books;
use broker::{Broker, Disk};
use client::{Client, Role, TOPICS};

/// Turns of the world between two moments at which everything is drained.
const TURNS: u64 = 600;
/// Turns of a drain after which nothing is expected any more.
const DRAIN_TURNS_MAX: u32 = 20_000;
/// Turns without anything new after which a drain is over.
const QUIET_TURNS: u32 = 200;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    /// How often everything is drained and the ledger asked.
    pub rounds: u32,
    /// When what is acknowledged is on the disk.
    pub keeping: Keeping,
    /// What the broker is made to neglect.
    pub lapse: Option<Lapse>,
}

impl Default for Outages {
    fn default() -> Self {
        Self { rounds: 3, keeping: Keeping::Sync, lapse: None }
    }
}

/// When what is acknowledged is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Before.
    Sync,
    /// With the next sync: an outage may take back what was acknowledged since the last.
    Interval,
}

/// Something that the broker neglects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// What was written counts as stored before it is synced.
    AcknowledgesUnsynced,
    /// That an exactly-once publication has arrived is not stored.
    ForgetsReceived,
    /// That some have got a publication that concerns several engines is not stored.
    ForgetsParts,
    /// What it owes to members of a group on other engines is not stored.
    ForgetsErrands,
    /// Changes that belong together are stored one by one.
    TearsGroups,
    /// That a receiver has a message and will not take it again is not stored.
    ForgetsTaken,
    /// Wills are not stored.
    ForgetsWills,
    /// That retained values are still to be replayed is not stored.
    ForgetsReplays,
}

impl Lapse {
    /// Every lapse.
    pub const ALL: [Self; 8] = [
        Self::AcknowledgesUnsynced,
        Self::ForgetsReceived,
        Self::ForgetsParts,
        Self::ForgetsErrands,
        Self::TearsGroups,
        Self::ForgetsTaken,
        Self::ForgetsWills,
        Self::ForgetsReplays,
    ];

    /// The name by which a lapse is chosen on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgesUnsynced => "acknowledges-unsynced",
            Self::ForgetsReceived => "forgets-received",
            Self::ForgetsParts => "forgets-parts",
            Self::ForgetsErrands => "forgets-errands",
            Self::TearsGroups => "tears-groups",
            Self::ForgetsTaken => "forgets-taken",
            Self::ForgetsWills => "forgets-wills",
            Self::ForgetsReplays => "forgets-replays",
        }
    }
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lapse {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let lapse = Self::ALL.into_iter().find(|lapse| lapse.name() == name);
        lapse.ok_or_else(|| format!("there is no lapse `{name}`; there are: {known}"))
    }
}

/// What came of the outages of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How often the broker was cut off.
    pub outages: u64,
    /// What clients did.
    pub totals: Totals,
    /// What should not have happened.
    pub violations: Vec<Violation>,
}

/// Runs the outages of a seed, up to the first round with violations.
///
/// # Errors
/// The store cannot be opened, or does not take what it is given.
pub fn run_outages(seed: u64, outages: Outages) -> Result<Outcome, String> {
    let mut world = World::new(seed, &outages)?;
    let mut violations = Vec::new();
    for round in 1..=outages.rounds {
        world.books.ledger.begin_cycle(round);
        for _ in 0..TURNS {
            world.turn(true)?;
        }
        world.drain()?;
        violations = world.books.settle(round);
        if !violations.is_empty() {
            break;
        }
    }
    let totals = world.books.ledger.totals();
    Ok(Outcome { outages: world.outages, totals, violations })
}

struct World {
    now: Instant,
    sequence: Sequence,
    disk: Disk,
    broker: Broker,
    clients: Vec<Client>,
    books: Books,
    outages: u64,
}

impl World {
    fn new(seed: u64, outages: &Outages) -> Result<Self, String> {
        let mut sequence = Sequence::new(seed);
        let now = Instant::from_micros(1_000_000);
        let mut disk = Disk::new(outages, sequence.next_number());
        let broker = disk.open(sequence.between(1, 3) as u16, now)?;
        let clients = client::all(&mut sequence)?;
        let books = Books::new(outages.keeping, clients.iter().map(Client::name).collect());
        Ok(Self { now, sequence, disk, broker, clients, books, outages: 0 })
    }

    /// Something moves. `works`: clients publish, come and go, and the broker may be cut off.
    fn turn(&mut self, works: bool) -> Result<(), String> {
        self.now = self.now + Duration::from_micros(self.sequence.between(1, 3_000));
        let engine = self.sequence.between(0, self.broker.len() as u64 - 1) as usize;
        self.broker.turn(engine, self.now, &mut self.sequence)?;
        if self.broker.is_quiet() {
            self.books.written();
        }
        if self.sequence.between(1, 100) <= 25 {
            self.sync()?;
        }
        if self.sequence.between(1, 100) <= 3 {
            self.broker.keep()?;
        }
        let place = self.sequence.between(0, self.clients.len() as u64 - 1) as usize;
        let client = &mut self.clients[place];
        client.turn(self.now, &mut self.broker, &mut self.books, &mut self.sequence, works);
        if works && self.sequence.between(1, 1_000) <= 12 {
            self.cut_off()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        self.broker.sync(self.now)?;
        self.books.synced();
        Ok(())
    }

    /// The broker is gone with everything that the disk has not kept; another one comes, perhaps with more engines or
    /// fewer.
    fn cut_off(&mut self) -> Result<(), String> {
        self.outages += 1;
        for client in &mut self.clients {
            client.lose_broker(&mut self.broker, &self.books);
        }
        self.books.cut_off(self.clients.iter().flat_map(Client::in_flight));
        let kept = self.sequence.between(0, 100);
        let mut chance = Sequence::new(self.sequence.next_number());
        self.disk.cut_off(|| chance.between(1, 100) <= kept);
        let engines = self.sequence.between(1, 3) as u16;
        self.broker = self.disk.open(engines, self.now)?;
        Ok(())
    }

    /// Nothing new is published, everybody comes and stays, until everything has come or nothing comes any more.
    fn drain(&mut self) -> Result<(), String> {
        let (mut last, mut quiet) = (0, 0);
        for _ in 0..DRAIN_TURNS_MAX {
            self.turn(false)?;
            let events = self.books.events();
            quiet = if events == last { quiet + 1 } else { 0 };
            last = events;
            let is_idle = self.books.outstanding() == 0 && self.clients.iter().all(Client::is_idle);
            if quiet > QUIET_TURNS * if is_idle { 1 } else { 20 } {
                break;
            }
        }
        self.look_at_values()
    }

    /// Compares the retained values with the ledger, by a client that is new each time.
    fn look_at_values(&mut self) -> Result<(), String> {
        let mut reader = Client::new(usize::MAX, Role::reader(), 1)?;
        for _ in 0..DRAIN_TURNS_MAX {
            self.now = self.now + Duration::from_millis(1);
            for engine in 0..self.broker.len() {
                self.broker.turn(engine, self.now, &mut self.sequence)?;
            }
            self.sync()?;
            reader.turn(self.now, &mut self.broker, &mut self.books, &mut self.sequence, false);
            if let Some(values) = reader.values() {
                for topic in TOPICS.iter().flat_map(|topic| client::value_topics(topic)) {
                    self.books.ledger.look_at(&topic, values.get(&topic).map(Vec::as_slice));
                }
                return Ok(());
            }
        }
        Err("the reader of retained values hears nothing".to_owned())
    }
}
