//! Named queues: clients of AMQP 0-9-1 send and take in every way, with transactions and dead letters, while connections
//! break and the broker is cut off. The ledger of the crash harness says what was lost, came again or came in another
//! order; a book says who holds what and how many messages are where.

mod book;
mod client;

use std::time::Duration;

use mynah_crash::ledger::Totals;
use mynah_model::Instant;
use mynah_stack::testing::Sequence;

use crate::outage::broker::{Broker, Disk};
use crate::outage::{Keeping, Lapse, Outages};
use book::Book;
use client::{Client, Phase, Role};

/// Turns of the world until everything rests and is drained.
const TURNS: u64 = 2_500;
/// Turns of a rest or a drain after which it is an error that there is no end.
const PATIENCE_TURNS: u32 = 40_000;
/// Turns without anything new after which there is nothing more to come.
const QUIET_TURNS: u32 = 120;

/// The queues. By their names they belong to different engines. The second has a single active consumer; the third gets
/// its messages by an exchange.
const QUEUES: [&str; 4] = ["work-0", "work-1", "work-2", "dead"];
/// The queue that gets the dead letters of the others.
const DEAD: usize = 3;
/// An exchange that they are bound to by their names.
const EXCHANGE: &str = "by-name";

const ROLES: [Role; 9] = [
    Role::Confirmed,
    Role::Confirmed,
    Role::Committer,
    Role::Taker(&[0, 1]),
    Role::Taker(&[1, 2, DEAD]),
    Role::Taker(&[0, 2]),
    Role::Mover(&[0, 1, 2]),
    Role::Mover(&[2, DEAD]),
    Role::Getter,
];

/// What came of the queues of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// How often the broker was cut off.
    pub outages: u64,
    /// What clients did.
    pub totals: Totals,
    /// Dead letters that came.
    pub dead_letters: u64,
    /// What should not have happened.
    pub violations: Vec<String>,
}

/// Runs the queues of a seed. In one of three nothing breaks, so that all counts are exact.
///
/// # Errors
/// The store cannot be opened, or does not take what it is given.
pub fn run_queues(seed: u64, lapse: Option<Lapse>) -> Result<Served, String> {
    let mut world = World::new(seed, lapse)?;
    for _ in 0..TURNS {
        world.turn(Phase::Work { is_rough: world.is_rough })?;
    }
    if world.come_to(Phase::Rest)? {
        world.compare();
    }
    if world.come_to(Phase::Drain)? {
        world.compare();
        world.look_whether_all_is_gone();
    }
    world.book.finish();
    let World { outages, book, .. } = world;
    let (totals, dead_letters) = (book.ledger.totals(), book.dead_letters);
    Ok(Served { outages, totals, dead_letters, violations: book.violations })
}

struct World {
    now: Instant,
    sequence: Sequence,
    disk: Disk,
    broker: Broker,
    clients: Vec<Client>,
    book: Book,
    outages: u64,
    is_rough: bool,
}

impl World {
    fn new(seed: u64, lapse: Option<Lapse>) -> Result<Self, String> {
        let mut sequence = Sequence::new(seed);
        let now = Instant::from_micros(1_000_000);
        let outages = Outages { keeping: Keeping::Sync, lapse, ..Outages::default() };
        let mut disk = Disk::new(&outages, sequence.next_number());
        let broker = disk.open(sequence.between(1, 3) as u16, now)?;
        let client = |(place, role)| Client::new(place, role);
        let clients: Vec<Client> = ROLES.into_iter().enumerate().map(client).collect();
        let book = Book::new(clients.iter().map(Client::name).collect());
        let is_rough = !seed.is_multiple_of(3);
        Ok(Self { now, sequence, disk, broker, clients, book, outages: 0, is_rough })
    }

    fn turn(&mut self, phase: Phase) -> Result<(), String> {
        self.now = self.now + Duration::from_micros(self.sequence.between(1, 2_000));
        let engine = self.sequence.between(0, self.broker.len() as u64 - 1) as usize;
        self.broker.turn(engine, self.now, &mut self.sequence)?;
        if self.sequence.between(1, 100) <= 25 {
            self.broker.sync(self.now)?;
        }
        if self.sequence.between(1, 100) <= 2 {
            self.broker.keep()?;
        }
        let place = self.sequence.between(0, self.clients.len() as u64 - 1) as usize;
        let client = &mut self.clients[place];
        client.turn(self.now, &mut self.broker, &mut self.book, &mut self.sequence, phase);
        if phase == (Phase::Work { is_rough: true }) && self.sequence.between(1, 1_000) <= 2 {
            self.cut_off()?;
        }
        Ok(())
    }

    /// The broker is gone with everything that the disk has not kept; another one comes.
    fn cut_off(&mut self) -> Result<(), String> {
        self.outages += 1;
        for client in &mut self.clients {
            client.lose_broker(self.now, &mut self.broker, &mut self.book);
        }
        self.book.cut_off();
        let kept = self.sequence.between(0, 100);
        let mut chance = Sequence::new(self.sequence.next_number());
        self.disk.cut_off(|| chance.between(1, 100) <= kept);
        self.broker = self.disk.open(self.sequence.between(1, 3) as u16, self.now)?;
        Ok(())
    }

    /// Goes on until nothing happens any more. Whether that was so.
    fn come_to(&mut self, phase: Phase) -> Result<bool, String> {
        let (mut last, mut quiet) = (0, 0);
        for _ in 0..PATIENCE_TURNS {
            self.turn(phase)?;
            let events = self.book.ledger.events() + self.book.dead_letters;
            let is_drained = phase == Phase::Drain
                && self.clients.iter().all(Client::has_nothing)
                && self.book.ledger.outstanding() == 0;
            let rests =
                self.broker.is_quiet() && self.broker.is_read() && self.clients.iter().all(Client::is_idle);
            let goes_on = if phase == Phase::Drain { is_drained } else { rests };
            quiet = if events == last && goes_on { quiet + 1 } else { 0 };
            last = events;
            if quiet > QUIET_TURNS && rests {
                return Ok(true);
            }
        }
        let busy = self.clients.iter().filter(|client| !client.is_idle() || !client.has_nothing());
        let busy: Vec<String> = busy.map(Client::name).collect();
        let outstanding = self.book.ledger.outstanding();
        self.book.accuse(format!("{phase:?} has no end: {outstanding} outstanding, busy {busy:?}"));
        Ok(false)
    }

    fn compare(&mut self) {
        for (place, name) in QUEUES.into_iter().enumerate() {
            match self.broker.queue(name) {
                Some(view) => self.book.compare(place, &view),
                None => self.book.accuse(format!("{name} is not there")),
            }
        }
    }

    fn look_whether_all_is_gone(&mut self) {
        for name in QUEUES {
            let there = self.broker.queue(name).map_or(0, |view| view.ready + view.leased);
            if there > 0 {
                self.book.accuse(format!("{there} messages have stayed in {name}"));
            }
        }
    }
}
