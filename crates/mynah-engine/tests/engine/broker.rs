//! Engines without sockets: a broker of several workers whose inboxes and connections a test moves by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mynah_core::WorkerId;
use mynah_core::administration::Ordered;
use mynah_core::rules::Rules;
use mynah_engine::{Attempt, Audited, ConnectionId, Engine, Event, Listener, Proof, Settings, Shared};
use mynah_model::{Instant, Limits, TenantId};

use crate::disk::Disk;
use crate::lines::Lines;

/// Which worker a name belongs to follows from it.
pub(crate) const SEED: u64 = 7;

pub(crate) struct Broker {
    pub(crate) engines: Vec<Engine>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) now: Instant,
    pub(crate) asked: Vec<(usize, ConnectionId, String)>,
    /// What the log would tell.
    pub(crate) audited: Vec<Audited>,
    /// What became of orders: at which worker, of which number.
    pub(crate) ordered: Vec<(usize, u32, Ordered)>,
    peers: Vec<Peer>,
    places: HashMap<(usize, ConnectionId), usize>,
    disk: Option<Disk>,
}

#[derive(Default)]
struct Peer {
    place: Option<(usize, ConnectionId)>,
    heard: Vec<u8>,
    /// Bytes that the peer's socket still takes; unlimited if absent.
    room: Option<usize>,
}

pub(crate) fn settings(workers: u16, limits: Limits) -> Settings {
    let listener = |name: &str, anonymous| Listener {
        name: name.into(),
        protocol: Arc::new(Lines),
        tenant: TenantId::DEFAULT,
        anonymous,
        certificates: name == "guarded",
        identity: None,
    };
    Settings {
        workers,
        limits,
        listeners: vec![listener("open", true), listener("guarded", false)],
        verifies_credentials: true,
        tenants: Default::default(),
        rules: Arc::new(Rules::default()),
        seed: SEED,
        sys_interval: None,
        version: "0",
    }
}

impl Broker {
    pub(crate) fn new(workers: u16) -> Self {
        Self::with(settings(workers, Limits::default()))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let shared = Shared::new(settings);
        let now = Instant::from_micros(1_000_000);
        let engine = |n| Engine::new(WorkerId(n), Arc::clone(&shared), now);
        let engines = (0..shared.workers()).map(engine).collect();
        Self {
            engines,
            shared,
            now,
            asked: Vec::new(),
            audited: Vec::new(),
            ordered: Vec::new(),
            peers: Vec::new(),
            places: HashMap::new(),
            disk: None,
        }
    }

    /// A broker with a store, which stores at once.
    pub(crate) fn durable(workers: u16) -> Self {
        let settings = settings(workers, Limits::default());
        Self::with_disk(settings, Disk::default(), Instant::from_micros(1_000_000))
    }

    /// Whose answers do not wait for the store.
    pub(crate) fn late(workers: u16) -> Self {
        let mut disk = Disk::default();
        disk.is_late = true;
        Self::with_disk(settings(workers, Limits::default()), disk, Instant::from_micros(1_000_000))
    }

    fn with_disk(settings: Settings, mut disk: Disk, now: Instant) -> Self {
        let mut broker = Self::with(settings);
        broker.now = now;
        disk.holds = false;
        disk.start(&mut broker.engines, SEED, now);
        broker.disk = Some(disk);
        broker.settle();
        broker
    }

    /// The process is gone with everything that is not stored; another one comes.
    pub(crate) fn crash(self, workers: u16) -> Self {
        self.crash_into(settings(workers, Limits::default()))
    }

    /// The same, and the other one has other settings.
    pub(crate) fn crash_into(self, settings: Settings) -> Self {
        Self::with_disk(settings, self.disk.unwrap(), self.now)
    }

    pub(crate) fn disk(&self) -> &Disk {
        self.disk.as_ref().unwrap()
    }

    /// Whether what comes waits until [`Broker::store_next`].
    pub(crate) fn hold(&mut self, holds: bool) {
        self.disk.as_mut().unwrap().holds = holds;
    }

    /// Whether the changes of several turns are taken together: of those until this ends.
    pub(crate) fn gather(&mut self, gathers: bool) {
        self.disk.as_mut().unwrap().gathers = gathers;
        self.settle();
    }

    /// How many turns' changes are not stored.
    pub(crate) fn pending(&self) -> usize {
        self.disk().pending.len()
    }

    pub(crate) fn store_next(&mut self) -> bool {
        let stored = self.disk.as_mut().unwrap().store_next(&mut self.engines, self.now);
        self.settle();
        stored
    }

    pub(crate) fn store_all(&mut self) {
        while self.store_next() {}
    }

    /// A new peer at a worker; none if it is turned away.
    pub(crate) fn try_accept(&mut self, worker: usize, listener: u16) -> Option<usize> {
        let id = self.engines[worker].handle_accepted(self.now, listener).ok()?;
        let peer = self.peers.len();
        self.peers.push(Peer { place: Some((worker, id)), ..Peer::default() });
        self.places.insert((worker, id), peer);
        Some(peer)
    }

    pub(crate) fn accept(&mut self, worker: usize) -> usize {
        self.try_accept(worker, 0).unwrap()
    }

    /// A peer with an open session.
    pub(crate) fn open(&mut self, worker: usize, line: &str) -> usize {
        self.open_heard(worker, line).0
    }

    /// A peer with an open session, and everything that it has heard.
    pub(crate) fn open_heard(&mut self, worker: usize, line: &str) -> (usize, String) {
        let peer = self.accept(worker);
        self.say(peer, line);
        let heard = self.hear(peer);
        assert!(heard.starts_with("opened"), "{line}: {heard}");
        (peer, heard)
    }

    /// A peer says lines; then the broker is run until it is idle.
    pub(crate) fn say(&mut self, peer: usize, lines: &str) {
        self.send(peer, format!("{lines}\n").as_bytes());
        self.settle();
    }

    pub(crate) fn send(&mut self, peer: usize, bytes: &[u8]) {
        let (worker, id) = self.peers[peer].place.expect("the peer is connected");
        self.engines[worker].handle_bytes(self.now, id, bytes);
    }

    /// Whether the broker would read from the peer's socket.
    pub(crate) fn wants_bytes(&self, peer: usize) -> bool {
        let (worker, id) = self.peers[peer].place.expect("the peer is connected");
        self.engines[worker].wants_bytes(id)
    }

    /// What a peer has heard since it was last asked.
    pub(crate) fn hear(&mut self, peer: usize) -> String {
        String::from_utf8(self.hear_bytes(peer)).unwrap()
    }

    /// What a peer has heard, of a protocol that is not made of lines.
    pub(crate) fn hear_bytes(&mut self, peer: usize) -> Vec<u8> {
        core::mem::take(&mut self.peers[peer].heard)
    }

    pub(crate) fn is_connected(&self, peer: usize) -> bool {
        self.peers[peer].place.is_some()
    }

    pub(crate) fn place_of(&self, peer: usize) -> (usize, ConnectionId) {
        self.peers[peer].place.expect("the peer is connected")
    }

    pub(crate) fn worker_of(&self, peer: usize) -> usize {
        self.place_of(peer).0
    }

    pub(crate) fn cut(&mut self, peer: usize) {
        if let Some((worker, id)) = self.peers[peer].place.take() {
            self.places.remove(&(worker, id));
            self.engines[worker].handle_peer_closed(self.now, id);
            self.settle();
        }
    }

    /// How many more bytes the peer's socket takes.
    pub(crate) fn limit(&mut self, peer: usize, room: Option<usize>) {
        self.peers[peer].room = room;
        if let Some((worker, id)) = self.peers[peer].place {
            self.engines[worker].handle_writable(id);
        }
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        for engine in &mut self.engines {
            engine.handle_time(self.now);
        }
        self.settle();
    }

    /// Lets every worker take turns until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut busy = false;
            for worker in 0..self.engines.len() {
                busy |= self.turn(worker);
            }
            if !busy {
                return;
            }
        }
    }

    /// One worker does what there is to do for it now. Returns whether there was anything.
    pub(crate) fn turn(&mut self, worker: usize) -> bool {
        let mut busy = self.engines[worker].pump(self.now);
        if let Some(disk) = self.disk.as_mut().filter(|disk| !disk.gathers) {
            busy |= disk.take(&mut self.engines[worker]);
            while !disk.holds && disk.store_next(&mut self.engines, self.now) {}
            busy |= disk.read_pages(&mut self.engines[worker]);
        }
        while let Some(id) = self.engines[worker].poll_dirty() {
            self.write(worker, id);
            busy = true;
        }
        while let Some(event) = self.engines[worker].poll_event() {
            self.carry_out(worker, event);
            busy = true;
        }
        for to in 0..self.engines.len() {
            let parcels = self.engines[worker].take_parcels(WorkerId(to as u16));
            busy |= !parcels.is_empty();
            self.engines[to].handle_parcels(self.now, parcels);
        }
        busy
    }

    fn write(&mut self, worker: usize, id: ConnectionId) {
        let Some(outbound) = self.engines[worker].outbound(id) else { return };
        let peer = self.places.get(&(worker, id)).map(|&p| &mut self.peers[p]);
        let Some(peer) = peer else { return };
        let bytes = outbound.slices().collect::<Vec<_>>().concat();
        let count = peer.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        peer.heard.extend_from_slice(&bytes[..count]);
        peer.room = peer.room.map(|room| room - count);
        self.engines[worker].handle_written(id, count);
    }

    fn carry_out(&mut self, worker: usize, event: Event) {
        match event {
            Event::Authenticate { connection, attempt, .. } => {
                let said = match attempt {
                    Attempt::Credentials(credentials) => credentials.user.into(),
                    Attempt::Begin(said) => format!("begin {} {}", said.method, text(&said.data)),
                    Attempt::Proof { user } => {
                        let proof = match &**self.engines[worker].proof(connection).unwrap() {
                            Proof::Certificate(shown) => {
                                format!("certificate of {}", shown.common_name.as_deref().unwrap())
                            }
                            Proof::PreSharedKey(user) => format!("key of {user}"),
                        };
                        format!("{proof} for {}", user.unwrap_or_default())
                    }
                    Attempt::Continue(said) => format!("continue {} {}", said.method, text(&said.data)),
                };
                self.asked.push((worker, connection, said));
            }
            Event::Handover { connection, to, handover } => {
                let peer = self.places.remove(&(worker, connection)).unwrap();
                let place =
                    (usize::from(to.0), self.engines[usize::from(to.0)].handle_handover(self.now, *handover));
                self.peers[peer].place = Some(place);
                self.places.insert(place, peer);
            }
            Event::Audited(record) => self.audited.push(*record),
            Event::Ordered { number, result } => self.ordered.push((worker, number, result)),
            Event::Closed { connection, .. } => {
                if let Some(peer) = self.places.remove(&(worker, connection)) {
                    self.peers[peer].place = None;
                }
            }
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
