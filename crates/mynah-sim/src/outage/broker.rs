//! The broker and its disk: engines that take turns, and a store that is written and synced by hand.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use mynah_amqp::v0_9_1 as amqp;
use mynah_core::WorkerId;
use mynah_core::administration::{Names, QueueView};
use mynah_engine::{
    Change, ConnectionId, Engine, Event, Handover, Listener, Mark, Parcel, Promise, Settings, Shared,
};
use mynah_model::{Instant, Limits, TenantId, WallTime};
use mynah_mqtt::{Config, Mqtt};
use mynah_net::{Records, Recovery, Wall};
use mynah_stack::Protocol;
use mynah_stack::testing::Sequence;
use mynah_store::testing::{SimulatedDisk, SteppedStore};
use mynah_store::{MemoryStates, StoreOptions};

use super::{Keeping, Lapse, Outages};

/// Bytes of a segment: so few that there are several.
const SEGMENT_BYTES: u32 = 64 << 10;
/// What the time of day was when the clock began, in milliseconds since 1970.
const EPOCH_MILLIS: u64 = 1_700_000_000_000;
/// Unconfirmed deliveries to one client: so few that there are backlogs.
const INFLIGHT_MAX: u16 = 8;

/// What outlives a broker.
pub(crate) struct Disk {
    disk: SimulatedDisk,
    states: MemoryStates,
    keeping: Keeping,
    lapse: Option<Lapse>,
    seed: u64,
    runs: u64,
}

impl Disk {
    pub(crate) fn new(outages: &Outages, seed: u64) -> Self {
        let &Outages { keeping, lapse, .. } = outages;
        Self { disk: SimulatedDisk::new(), states: MemoryStates::default(), keeping, lapse, seed, runs: 0 }
    }

    /// The power is cut: `keep` says for each piece of what was not synced whether it is there.
    pub(crate) fn cut_off(&mut self, keep: impl FnMut() -> bool) {
        self.disk = self.disk.crash(keep);
        self.states = self.states.fork();
    }

    /// A broker that begins with what is there.
    pub(crate) fn open(&mut self, engines: u16, now: Instant) -> Result<Broker, String> {
        let mut options = StoreOptions::new(Path::new("/store"));
        options.disk = Arc::new(self.disk.clone());
        options.states = Some(Box::new(self.states.clone()));
        (options.salt, options.segment_bytes) = (7, SEGMENT_BYTES);
        let mut recovery = Recovery::new(wall(now));
        let (store, report) = SteppedStore::open(options, &mut |item| recovery.take(item, &mut |_, _, _| ()))
            .map_err(|error| error.to_string())?;
        if let Some(finding) = report.findings.iter().find(|finding| finding.is_loss()) {
            return Err(format!("the store has lost something: {finding:?}"));
        }
        self.runs += 1;
        let shared = Shared::new(settings(engines, self.seed));
        let engine = |number| Engine::new(WorkerId(number), Arc::clone(&shared), now);
        let mut engines: Vec<Engine> = (0..engines).map(engine).collect();
        let promise = match self.keeping {
            Keeping::Sync => Promise::Stored,
            Keeping::Interval => Promise::AtOnce,
        };
        for engine in &mut engines {
            engine.store_changes(promise, self.runs << 40);
        }
        recovery.hand_over(&mut engines, self.seed, now);
        let sockets = engines.iter().map(|_| BTreeMap::new()).collect();
        let (letters, links, pending) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let (keeping, lapse) = (self.keeping, self.lapse);
        Ok(Broker { engines, store, keeping, lapse, letters, sockets, links, pending, next_link: 0 })
    }
}

/// What a client speaks: the place of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Mqtt,
    Amqp,
}

/// What lies between a client and the broker.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) to_broker: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) client_is_gone: bool,
    pub(crate) broker_is_gone: bool,
}

/// What one engine sends another.
enum Letter {
    Parcels(Vec<Parcel>),
    Handover { link: u64, handover: Box<Handover> },
}

pub(crate) struct Broker {
    engines: Vec<Engine>,
    store: SteppedStore,
    keeping: Keeping,
    lapse: Option<Lapse>,
    /// By sender and receiver; each pair keeps its order.
    letters: BTreeMap<(usize, usize), VecDeque<Letter>>,
    /// By engine and slot.
    sockets: Vec<BTreeMap<u32, (ConnectionId, u64)>>,
    links: BTreeMap<u64, Link>,
    /// What is written and not synced, in this order.
    pending: VecDeque<(usize, Mark)>,
    next_link: u64,
}

impl Broker {
    pub(crate) fn len(&self) -> usize {
        self.engines.len()
    }

    /// Whether nothing is under way between engines.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_written = |engine: &Engine| engine.changes() == 0;
        self.letters.values().all(VecDeque::is_empty) && self.engines.iter().all(is_written)
    }

    /// A client connects to some engine.
    pub(crate) fn connect(&mut self, now: Instant, speaks: Speaks, sequence: &mut Sequence) -> Option<u64> {
        let engine = sequence.between(0, self.engines.len() as u64 - 1) as usize;
        let id = self.engines[engine].handle_accepted(now, speaks as u16).ok()?;
        self.next_link += 1;
        self.links.insert(self.next_link, Link::default());
        self.sockets[engine].insert(id.slot, (id, self.next_link));
        Some(self.next_link)
    }

    pub(crate) fn link(&mut self, link: u64) -> Option<&mut Link> {
        self.links.get_mut(&link)
    }

    /// Whether every byte that was written has been read.
    pub(crate) fn is_read(&self) -> bool {
        let mut there = self.links.values().filter(|link| !link.client_is_gone && !link.broker_is_gone);
        there.all(|link| link.to_broker.is_empty() && link.to_client.is_empty())
    }

    /// A named queue as administrators see it.
    pub(crate) fn queue(&self, name: &str) -> Option<QueueView> {
        let names = Names::One(name.as_bytes().into());
        self.engines.iter().find_map(|engine| engine.queues(TenantId::DEFAULT, &names, false).pop())
    }

    /// One turn of an engine, as a worker's.
    pub(crate) fn turn(&mut self, place: usize, now: Instant, sequence: &mut Sequence) -> Result<(), String> {
        self.read_letters(place, now, sequence);
        self.read_sockets(place, now, sequence);
        if self.engines[place].deadline().is_some_and(|deadline| deadline <= now) {
            self.engines[place].handle_time(now);
        }
        self.engines[place].pump(now);
        // Otherwise changes gather for another turn.
        if sequence.between(0, 1) == 0 {
            self.record(place, now)?;
        }
        self.flush(place);
        self.carry_out(place, now)?;
        if self.engines[place].has_parcels() {
            self.record(place, now)?;
        }
        for to in 0..self.engines.len() {
            let parcels = self.engines[place].take_parcels(WorkerId(to as u16));
            if !parcels.is_empty() {
                self.letters.entry((place, to)).or_default().push_back(Letter::Parcels(parcels));
            }
        }
        Ok(())
    }

    fn read_letters(&mut self, place: usize, now: Instant, sequence: &mut Sequence) {
        for from in 0..self.engines.len() {
            let Some(letters) = self.letters.get_mut(&(from, place)) else { continue };
            let count = sequence.between(0, letters.len() as u64) as usize;
            for letter in letters.drain(..count) {
                match letter {
                    Letter::Parcels(parcels) => self.engines[place].handle_parcels(now, parcels),
                    Letter::Handover { link, handover } => {
                        let id = self.engines[place].handle_handover(now, *handover);
                        self.sockets[place].insert(id.slot, (id, link));
                    }
                }
            }
        }
    }

    fn read_sockets(&mut self, place: usize, now: Instant, sequence: &mut Sequence) {
        let sockets: Vec<(ConnectionId, u64)> = self.sockets[place].values().copied().collect();
        for (id, number) in sockets {
            let Some(link) = self.links.get_mut(&number) else { continue };
            if !link.to_broker.is_empty() && self.engines[place].wants_bytes(id) {
                let count = sequence.between(1, link.to_broker.len() as u64) as usize;
                let bytes: Vec<u8> = link.to_broker.drain(..count).collect();
                self.engines[place].handle_bytes(now, id, &bytes);
            } else if link.client_is_gone {
                self.engines[place].handle_peer_closed(now, id);
                self.sockets[place].remove(&id.slot);
                self.links.remove(&number);
            }
        }
    }

    /// Writes what has changed.
    fn record(&mut self, place: usize, now: Instant) -> Result<(), String> {
        let (lapse, store) = (self.lapse, &mut self.store);
        let mut batch = store.batch();
        let mut records = Records::new(wall(now));
        let mut outcome = Ok(());
        if lapse != Some(Lapse::TearsGroups) {
            batch.begin_group();
        }
        let mark = self.engines[place].take_changes(|change| {
            let is_forgotten = match change {
                Change::Received { complete: false, .. } => lapse == Some(Lapse::ForgetsReceived),
                Change::Part { .. } => lapse == Some(Lapse::ForgetsParts),
                Change::Errand { .. } => lapse == Some(Lapse::ForgetsErrands),
                Change::Lease { received: true, .. } => lapse == Some(Lapse::ForgetsTaken),
                Change::Will { .. } => lapse == Some(Lapse::ForgetsWills),
                _ => false,
            };
            let change = match change {
                Change::Subscription { session, share, filter, options, .. }
                    if lapse == Some(Lapse::ForgetsReplays) =>
                {
                    Change::Subscription { session, share, filter, options, replay: None }
                }
                change => change,
            };
            if !is_forgotten {
                let added = records.add(&mut batch, &mut || store.new_payload_id(), &change);
                outcome = core::mem::replace(&mut outcome, Ok(())).and(added);
            }
        });
        batch.end_group();
        outcome.map_err(|error| error.to_string())?;
        let Some(mark) = mark else { return Ok(()) };
        self.store.write(&mut batch).map_err(|error| error.to_string())?;
        if lapse == Some(Lapse::AcknowledgesUnsynced) && self.keeping == Keeping::Sync {
            self.engines[place].handle_stored(now, mark);
        } else {
            self.pending.push_back((place, mark));
        }
        Ok(())
    }

    /// Makes what was written last, and tells the engines.
    pub(crate) fn sync(&mut self, now: Instant) -> Result<(), String> {
        if self.lapse != Some(Lapse::AcknowledgesUnsynced) || self.keeping == Keeping::Sync {
            self.store.sync().map_err(|error| error.to_string())?;
        }
        for (place, mark) in self.pending.drain(..) {
            self.engines[place].handle_stored(now, mark);
        }
        Ok(())
    }

    /// The state follows the journal.
    pub(crate) fn keep(&mut self) -> Result<(), String> {
        self.store.keep().and_then(|_| self.store.flush()).map_err(|error| error.to_string())
    }

    fn flush(&mut self, place: usize) {
        while let Some(id) = self.engines[place].poll_dirty() {
            let link = self.sockets[place].get(&id.slot).and_then(|(_, link)| self.links.get_mut(link));
            let (Some(link), Some(outbound)) = (link, self.engines[place].outbound(id)) else { continue };
            let before = link.to_client.len();
            for bytes in outbound.slices() {
                link.to_client.extend_from_slice(bytes);
            }
            let count = link.to_client.len() - before;
            self.engines[place].handle_written(id, count);
        }
    }

    fn carry_out(&mut self, place: usize, now: Instant) -> Result<(), String> {
        while let Some(event) = self.engines[place].poll_event() {
            match event {
                // Nobody is verified here.
                Event::Authenticate { .. } => {}
                Event::Handover { connection, to, handover } => {
                    self.record(place, now)?;
                    if let Some((_, link)) = self.sockets[place].remove(&connection.slot) {
                        let letters = self.letters.entry((place, usize::from(to.0))).or_default();
                        letters.push_back(Letter::Handover { link, handover });
                    }
                }
                Event::Audited(_) | Event::Ordered { .. } => {}
                Event::Closed { connection, .. } => {
                    let socket = self.sockets[place].remove(&connection.slot);
                    if let Some(link) = socket.and_then(|(_, link)| self.links.get_mut(&link)) {
                        link.broker_is_gone = true;
                    }
                }
            }
        }
        Ok(())
    }
}

fn wall(now: Instant) -> Wall {
    Wall::at(now, EPOCH_MILLIS + now.as_micros() / 1_000)
}

fn settings(workers: u16, seed: u64) -> Settings {
    let listener = |protocol: Arc<dyn Protocol>| Listener {
        name: protocol.name().to_owned(),
        protocol,
        tenant: TenantId::DEFAULT,
        anonymous: true,
        certificates: false,
        identity: None,
    };
    let amqp = amqp::Amqp::new(amqp::Config::default(), WallTime::from_unix_millis(EPOCH_MILLIS));
    Settings {
        workers,
        limits: Limits { inflight_max: INFLIGHT_MAX, ..Limits::default() },
        listeners: vec![listener(Arc::new(Mqtt::new(Config::default()))), listener(Arc::new(amqp))],
        verifies_credentials: false,
        tenants: Default::default(),
        rules: Arc::default(),
        seed,
        sys_interval: None,
        version: "simulated",
    }
}
