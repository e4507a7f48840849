//! The world in one thread: engines that take turns, letters between them, links, clients, the model and virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mynah_core::{Counters, DropReason, WorkerId};
use mynah_engine::{Attempt, ConnectionId, Engine, Event, Handover, Listener, Parcel, Settings, Shared};
use mynah_model::{Identity, Instant, Limits, TenantId};
use mynah_mqtt::{Config, Mqtt};
use mynah_stack::Protocol;
use mynah_stack::testing::Sequence;

use crate::client::{Client, Heard, Opening};
use crate::fault::{Fault, faulty};
use crate::link::{Link, Pipe, Place, Read};
use crate::model::{Model, Said, Violation, violation};
use crate::shape::Shape;
use crate::trace::Trace;
use crate::witness::{Record, Seen, Written, watched};

/// What one engine sends another.
enum Letter {
    Parcels(Vec<Parcel>),
    Handover { link: usize, handover: Box<Handover> },
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) sequence: Sequence,
    pub(crate) shape: Shape,
    pub(crate) clients: Vec<Client>,
    pub(crate) links: Vec<Link>,
    pub(crate) model: Model,
    pub(crate) trace: Trace,
    /// Nothing is left to chance or for later: everything that can be moved is.
    pub(crate) hurries: bool,
    engines: Vec<Engine>,
    record: Record,
    memory: Vec<(usize, Seen)>,
    /// By sender and receiver; each pair keeps its order.
    letters: BTreeMap<(usize, usize), VecDeque<Letter>>,
    verifications: Vec<VecDeque<(ConnectionId, Box<str>)>>,
    /// By engine and slot.
    sockets: Vec<BTreeMap<u32, (ConnectionId, usize)>>,
    /// Messages that slow readers cost, by engine, as counted so far.
    slow_drops: Vec<u64>,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Option<Fault>, trace: Trace) -> Self {
        let mut sequence = Sequence::new(seed);
        let shape = Shape::draw(&mut sequence);
        let record = Record::default();
        let mut protocol: Arc<dyn Protocol> = Arc::new(Mqtt::new(Config::default()));
        if let Some(fault) = fault {
            protocol = faulty(protocol, fault, sequence.fork());
        }
        let protocol = watched(protocol, record.clone());
        let shared = Shared::new(settings(&shape, protocol, sequence.next_number()));
        let engine = |place| Engine::new(WorkerId(place as u16), Arc::clone(&shared), Instant::ZERO);
        let client = |(place, &profile)| Client::new(format!("client-{place}"), profile);
        Self {
            now: Instant::ZERO,
            clients: shape.clients.iter().enumerate().map(client).collect(),
            links: Vec::new(),
            model: Model::new(shape.clients.len(), shape.inflight_max),
            trace,
            hurries: false,
            engines: (0..shape.engines).map(engine).collect(),
            record,
            memory: Vec::new(),
            letters: BTreeMap::new(),
            verifications: (0..shape.engines).map(|_| VecDeque::new()).collect(),
            sockets: (0..shape.engines).map(|_| BTreeMap::new()).collect(),
            slow_drops: vec![0; shape.engines],
            sequence,
            shape,
        }
    }

    /// A number that is at least `from` and at most `to`.
    pub(crate) fn between(&mut self, from: usize, to: usize) -> usize {
        self.sequence.between(from as u64, to as u64) as usize
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.sequence.between(1, 100) <= percent
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.model.clock = self.now;
        while self.model.is_undecided() {
            self.now = self.now + Duration::from_millis(1);
            self.model.clock = self.now;
        }
    }

    pub(crate) fn counters(&self) -> impl Iterator<Item = &Counters> {
        self.engines.iter().map(Engine::counters)
    }

    /// Connections that any engine has.
    pub(crate) fn connections(&self) -> usize {
        self.engines.iter().map(Engine::connections).sum()
    }

    /// A client connects at the listener of some engine.
    pub(crate) fn connect(&mut self, client: usize, opening: Opening) -> Result<(), Violation> {
        let (engine, link) = (self.between(0, self.engines.len() - 1), self.links.len());
        self.record.accept(link);
        let Ok(id) = self.engines[engine].handle_accepted(self.now, 0) else {
            return violation(format!("connection {link} is not accepted"));
        };
        let (inward, outward) = (self.shape.window, self.shape.window);
        let (inward, outward) = (self.between(inward / 4, inward), self.between(outward / 4, outward));
        self.links.push(Link {
            to_broker: Pipe::new(inward),
            to_client: Pipe::new(outward),
            place: Place::At(engine, id),
            blocked: false,
        });
        self.sockets[engine].insert(id.slot, (id, link));
        self.trace
            .note(|| format!("client {client} opens connection {link} at engine {engine}: {opening:?}"));
        self.clients[client].connect(link, &opening);
        self.model.connect(client, opening);
        Ok(())
    }

    /// Moves what a client says to its link.
    pub(crate) fn write_client(&mut self, place: usize) -> bool {
        let client = &mut self.clients[place];
        let Some(link) = client.link else { return false };
        for said in client.said.drain(..) {
            self.trace.note(|| format!("client {place} on {link} says {}", show(&said)));
            self.model.say(link, said);
        }
        let count = self.links[link].to_broker.write(&client.out);
        client.out.drain(..count);
        count > 0
    }

    /// Lets a client read.
    pub(crate) fn read_client(&mut self, place: usize) -> Result<bool, Violation> {
        let max = self.chunk();
        let client = &mut self.clients[place];
        let Some(link) = client.link.filter(|_| !client.stalled) else { return Ok(false) };
        let bytes = match self.links[link].to_client.read(max) {
            Read::Nothing => return Ok(false),
            Read::Bytes(bytes) => bytes,
            Read::End if self.model.was_let_go(link) => {
                // An earlier connection of the client was slower to come in, and won.
                self.trace.note(|| format!("client {place} finds connection {link} closed"));
                client.leave();
                return Ok(true);
            }
            Read::End => return violation(format!("the broker closes connection {link} for no reason")),
        };
        for heard in client.hear(&bytes)? {
            self.trace.note(|| format!("client {place} on {link} hears {}", show_heard(&heard)));
            self.model.heard(link, &heard)?;
        }
        Ok(true)
    }

    /// One turn of an engine, as a worker's. Returns whether anything moved.
    pub(crate) fn turn(&mut self, engine: usize) -> Result<bool, Violation> {
        let mut busy = self.read_letters(engine)?;
        busy |= self.verify(engine)?;
        busy |= self.read_sockets(engine)?;
        if self.engines[engine].deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engines[engine].handle_time(self.now);
            self.model.time_comes(engine)?;
            self.after_call(engine)?;
        } else {
            self.model.time_passes(engine)?;
        }
        busy |= self.engines[engine].pump(self.now);
        self.after_call(engine)?;
        busy |= self.flush(engine);
        busy |= self.carry_out(engine);
        self.send_parcels(engine);
        Ok(busy)
    }

    /// How much one read takes in at most.
    fn chunk(&mut self) -> usize {
        if self.hurries { usize::MAX } else { self.between(1, self.shape.chunk) }
    }

    /// How many of `all` are done in this turn.
    fn some(&mut self, all: usize) -> usize {
        if self.hurries { all } else { self.between(0, all) }
    }

    /// Gives the model what was seen in a call of an engine, and what the engine counted.
    fn after_call(&mut self, engine: usize) -> Result<(), Violation> {
        let mut seen = self.record.take(std::mem::take(&mut self.memory));
        for (link, seen) in seen.drain(..) {
            if !matches!(&seen, Seen::Written(Written { shared: None, .. })) {
                self.trace.note(|| format!("engine {engine}, connection {link}: {seen:?}"));
            }
            self.model.witness(engine, link, &seen)?;
        }
        self.memory = seen;
        let dropped = self.engines[engine].counters().dropped(DropReason::SlowConsumer).read();
        let before = std::mem::replace(&mut self.slow_drops[engine], dropped);
        self.model.end_call(dropped - before)
    }

    fn read_letters(&mut self, engine: usize) -> Result<bool, Violation> {
        let first = self.between(0, self.engines.len() - 1);
        let mut busy = false;
        for turn in 0..self.engines.len() {
            let from = (first + turn) % self.engines.len();
            let waiting = self.letters.get(&(from, engine)).map_or(0, VecDeque::len);
            for _ in 0..self.some(waiting) {
                let letter = self.letters.get_mut(&(from, engine)).and_then(VecDeque::pop_front);
                if let Some(letter) = letter {
                    self.read_letter(from, engine, letter)?;
                    busy = true;
                }
            }
        }
        Ok(busy)
    }

    fn read_letter(&mut self, from: usize, engine: usize, letter: Letter) -> Result<(), Violation> {
        match letter {
            Letter::Parcels(parcels) => {
                self.trace.note(|| format!("engine {engine} gets {} parcels from {from}", parcels.len()));
                self.model.parcels_arrive(from, engine, &parcels)?;
                self.engines[engine].handle_parcels(self.now, parcels);
            }
            Letter::Handover { link, handover } => {
                self.trace.note(|| format!("engine {engine} gets connection {link} from {from}"));
                let id = self.engines[engine].handle_handover(self.now, *handover);
                self.sockets[engine].insert(id.slot, (id, link));
                self.links[link].place = Place::At(engine, id);
            }
        }
        self.after_call(engine)
    }

    /// Answers who asked to be verified: everybody is who they say.
    fn verify(&mut self, engine: usize) -> Result<bool, Violation> {
        let waiting = self.verifications[engine].len();
        let count = self.some(waiting);
        for _ in 0..count {
            let Some((id, user)) = self.verifications[engine].pop_front() else { break };
            let identity = Identity::user(TenantId::DEFAULT, &user);
            self.engines[engine].handle_authenticated(self.now, id, Ok(identity.into()));
            self.after_call(engine)?;
        }
        Ok(count > 0)
    }

    fn read_sockets(&mut self, engine: usize) -> Result<bool, Violation> {
        let sockets: Vec<(ConnectionId, usize)> = self.sockets[engine].values().copied().collect();
        let mut busy = false;
        for (id, link) in sockets {
            if self.links[link].blocked && self.links[link].to_client.has_room() {
                self.links[link].blocked = false;
                self.engines[engine].handle_writable(id);
            }
            if (self.hurries || self.happens(70)) && self.engines[engine].wants_bytes(id) {
                busy |= self.read_socket(engine, id, link)?;
            }
        }
        Ok(busy)
    }

    fn read_socket(&mut self, engine: usize, id: ConnectionId, link: usize) -> Result<bool, Violation> {
        let max = self.chunk();
        match self.links[link].to_broker.read(max) {
            Read::Nothing => return Ok(false),
            Read::Bytes(bytes) => self.engines[engine].handle_bytes(self.now, id, &bytes),
            Read::End => {
                self.trace.note(|| format!("engine {engine} finds the peer of connection {link} gone"));
                self.engines[engine].handle_peer_closed(self.now, id);
                self.sockets[engine].remove(&id.slot);
                self.links[link].place = Place::Closed;
                self.model.peer_gone(engine, link)?;
            }
        }
        self.after_call(engine)?;
        Ok(true)
    }

    fn flush(&mut self, engine: usize) -> bool {
        let most = self.sockets[engine].len();
        let budget = self.some(most);
        let mut busy = false;
        for _ in 0..budget {
            let Some(id) = self.engines[engine].poll_dirty() else { break };
            let Some(&(_, link)) = self.sockets[engine].get(&id.slot) else { continue };
            let (engine, link) = (&mut self.engines[engine], &mut self.links[link]);
            let Some(outbound) = engine.outbound(id) else { continue };
            let mut count = 0;
            for bytes in outbound.slices() {
                let taken = link.to_client.write(bytes);
                count += taken;
                if taken < bytes.len() {
                    link.blocked = true;
                    break;
                }
            }
            engine.handle_written(id, count);
            busy = true;
        }
        busy || !self.hurries && self.engines[engine].is_dirty()
    }

    fn carry_out(&mut self, engine: usize) -> bool {
        let mut busy = false;
        while let Some(event) = self.engines[engine].poll_event() {
            busy = true;
            match event {
                Event::Authenticate { connection, attempt: Attempt::Credentials(credentials), .. } => {
                    self.verifications[engine].push_back((connection, credentials.user));
                }
                // No client begins an exchange.
                Event::Authenticate { .. } => {}
                Event::Handover { connection, to, handover } => {
                    if let Some((_, link)) = self.sockets[engine].remove(&connection.slot) {
                        self.links[link].place = Place::Moving;
                        let letter = Letter::Handover { link, handover };
                        self.letters.entry((engine, usize::from(to.0))).or_default().push_back(letter);
                    }
                }
                Event::Audited(_) | Event::Ordered { .. } => {}
                Event::Closed { connection, reason } => {
                    if let Some((_, link)) = self.sockets[engine].remove(&connection.slot) {
                        self.trace.note(|| format!("engine {engine} closes connection {link}: {reason}"));
                        let link = &mut self.links[link];
                        link.place = Place::Closed;
                        link.to_client.end();
                        link.to_broker.abandon();
                    }
                }
            }
        }
        busy
    }

    fn send_parcels(&mut self, engine: usize) {
        for to in 0..self.engines.len() {
            let parcels = self.engines[engine].take_parcels(WorkerId(to as u16));
            if !parcels.is_empty() {
                self.letters.entry((engine, to)).or_default().push_back(Letter::Parcels(parcels));
            }
        }
    }
}

fn settings(shape: &Shape, protocol: Arc<dyn Protocol>, seed: u64) -> Settings {
    let listener = Listener {
        name: "simulated".to_owned(),
        protocol,
        tenant: TenantId::DEFAULT,
        anonymous: true,
        certificates: false,
        identity: None,
    };
    Settings {
        workers: shape.engines as u16,
        limits: Limits {
            inflight_max: shape.inflight_max,
            outbound_bytes_max: shape.outbound_bytes_max,
            route_cache_max: shape.route_cache_max,
            ..Limits::default()
        },
        listeners: vec![listener],
        verifies_credentials: shape.verifies,
        tenants: Default::default(),
        rules: Arc::default(),
        seed,
        sys_interval: None,
        version: "simulated",
    }
}

fn show(said: &Said) -> String {
    match said {
        Said::Publish { id, publication } => format!("PUBLISH {id} {}", publication.name()),
        other => format!("{other:?}"),
    }
}

fn show_heard(heard: &Heard) -> String {
    match heard {
        Heard::Acknowledged(publication) => format!("that {} is acknowledged", publication.name()),
        Heard::Message(arrival) => arrival.to_string(),
        other => format!("{other:?}"),
    }
}
