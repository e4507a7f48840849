//! The reference: a broker of plain lists. It learns from the clients what is asked, from the witness when the engine
//! does it, and says what every session must get.

mod ending;
mod expected;
mod publication;
mod replay;
mod retained;
mod session;
mod shares;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use mynah_engine::Parcel;
use mynah_model::{Class, Instant};

use crate::client::{Arrival, Heard, Opening};
use crate::shape::SHARES;
use crate::witness::{Seen, Written};
use expected::Expected;
use publication::after;
pub(crate) use publication::{Farewell, Publication, Said, label};
use retained::{History, Value, selects};
use session::{Session, Wanted, Way};
use shares::{Sent, Shares, Who};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn violation<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

/// A connection as the model sees it.
struct Peer {
    client: usize,
    opening: Opening,
    said: VecDeque<Said>,
    /// Open: the session that it uses.
    incarnation: Option<u64>,
    opened_at: u64,
    present: bool,
    /// The broker told it that its session was taken away.
    told_ended: bool,
    is_over: bool,
    /// Requests that were carried out.
    done: Vec<u16>,
    /// When the broker wrote the messages that are on their way.
    written: VecDeque<(u64, Instant)>,
}

/// Who publishes: a session on a connection, which may both be gone when a will is published.
#[derive(Clone, Copy)]
struct Publisher {
    link: usize,
    who: Who,
}

/// A message on its way from one engine to another.
struct Transit {
    publication: Rc<Publication>,
    publisher: usize,
    deadline: Option<Instant>,
    targets: Vec<Target>,
}

/// A session that is to get a message.
struct Target {
    who: Who,
    wanted: Wanted,
}

/// What was checked in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) publications: u64,
    pub(crate) wills: u64,
    pub(crate) arrivals: u64,
    pub(crate) take_overs: u64,
    /// Messages of QoS 0 that met a session without a connection.
    pub(crate) offline: u64,
    /// Messages that met no session any more, or ended with theirs.
    pub(crate) ended: u64,
}

/// The reference broker.
pub(crate) struct Model {
    peers: Vec<Peer>,
    sessions: Vec<Option<Session>>,
    /// The time of the world.
    pub(crate) clock: Instant,
    shares: Shares,
    retained: History,
    transit: BTreeMap<(usize, usize), VecDeque<Transit>>,
    now: u64,
    incarnations: u64,
    /// Deliveries to one session that are not settled, at most.
    window: usize,
    /// Messages of QoS 0 that reached live sessions in this call of an engine: client, session, place.
    fresh: Vec<(usize, u64, usize)>,
    /// Messages that slow readers cost, as the engines count.
    dropped: u64,
    pub(crate) tally: Tally,
}

impl Model {
    pub(crate) fn new(clients: usize, window: u16) -> Self {
        Self {
            window: usize::from(window),
            peers: Vec::new(),
            sessions: (0..clients).map(|_| None).collect(),
            clock: Instant::ZERO,
            shares: Shares::default(),
            retained: History::default(),
            transit: BTreeMap::new(),
            now: 0,
            incarnations: 0,
            fresh: Vec::new(),
            dropped: 0,
            tally: Tally::default(),
        }
    }

    /// A client begins the connection with the next number.
    pub(crate) fn connect(&mut self, client: usize, opening: Opening) {
        self.peers.push(Peer {
            client,
            opening,
            said: VecDeque::new(),
            incarnation: None,
            opened_at: 0,
            present: false,
            told_ended: false,
            is_over: false,
            done: Vec::new(),
            written: VecDeque::new(),
        });
    }

    /// A client writes something to its link.
    pub(crate) fn say(&mut self, link: usize, said: Said) {
        self.peers[link].said.push_back(said);
    }

    /// The engine does something.
    pub(crate) fn witness(&mut self, engine: usize, link: usize, seen: &Seen) -> Result<(), Violation> {
        self.now += 1;
        match seen {
            Seen::Opened { present } => self.open(engine, link, *present),
            Seen::Refused(reason) => violation(format!("connection {link} is refused: {reason}")),
            Seen::Ended(reason) => self.ended(engine, link, *reason),
            Seen::Written(written) => self.written(link, written),
            Seen::Closed(close) => self.closed(engine, link, *close),
            command => self.carry_out(engine, link, command),
        }
    }

    fn carry_out(&mut self, engine: usize, link: usize, seen: &Seen) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        let (client, said) = (peer.client, peer.said.pop_front());
        let is_attached = peer.incarnation.is_some() && !peer.is_over;
        let session = self.sessions[client].as_mut().filter(|_| is_attached);
        let (Some(session), Some(said)) = (session, said) else {
            return violation(format!("connection {link} asks for {seen:?} out of turn"));
        };
        match (seen, said) {
            (Seen::Publish { class, receipt }, Said::Publish { id, publication })
                if (*class, *receipt) == (publication.class, id) =>
            {
                let is_first = !session.receipts.contains(&id);
                if *class == Class::ExactlyOnce && is_first {
                    session.receipts.push(id);
                }
                if *class != Class::ExactlyOnce || is_first {
                    self.tally.publications += 1;
                    let who = (client, session.incarnation);
                    self.distribute(engine, Publisher { link, who }, &publication);
                }
                publication.taken.set(publication.taken.get() + 1);
            }
            (Seen::Complete { receipt }, Said::Complete { id }) if *receipt == id => {
                session.receipts.retain(|receipt| *receipt != id);
            }
            (Seen::Subscribe { receipt }, Said::Subscribe { id, wishes }) if *receipt == id => {
                wishes.into_iter().for_each(|wish| session.subscribe(self.now, link, wish));
                self.peers[link].done.push(id);
                self.shares.change(self.now);
            }
            (Seen::Unsubscribe { receipt }, Said::Unsubscribe { id, names }) if *receipt == id => {
                names.into_iter().for_each(|name| session.unsubscribe(name));
                self.peers[link].done.push(id);
                self.shares.change(self.now);
                self.dissolve();
            }
            (Seen::Settle(settle), Said::Settle { id, settlement })
                if (settle.delivery.number(), settle.settlement) == (id, settlement) =>
            {
                if let Some(owed) = session.settle(id, settlement) {
                    self.shares.settle(owed);
                }
            }
            (seen, said) => return violation(format!("connection {link} said {said:?}, done is {seen:?}")),
        }
        Ok(())
    }

    /// Gives a publication to all who want it: at once on the engine where it is, in a parcel on others.
    fn distribute(&mut self, engine: usize, publisher: Publisher, publication: &Rc<Publication>) {
        self.now += 1;
        let Publisher { link, who } = publisher;
        let deadline = publication.deadline(self.clock);
        if publication.retain {
            let value = Value { publication: Rc::clone(publication), deadline, publisher: who };
            self.retained.set(self.now, value);
        }
        self.owe(link, publication, deadline);
        let mut parcels: BTreeMap<usize, Vec<Target>> = BTreeMap::new();
        for client in 0..self.sessions.len() {
            let Some(session) = &self.sessions[client] else { continue };
            let target = (client, session.incarnation);
            let Some(wanted) = session.wants(publication, target == who) else { continue };
            let target = Target { who: target, wanted };
            if session.engine == engine {
                self.arrive(target, link, deadline, publication);
            } else {
                parcels.entry(session.engine).or_default().push(target);
            }
        }
        for (to, targets) in parcels {
            let publication = Rc::clone(publication);
            let transit = Transit { publication, publisher: link, deadline, targets };
            self.transit.entry((engine, to)).or_default().push_back(transit);
        }
    }

    /// Every group whose filter selects a publication is to get it once.
    fn owe(&mut self, link: usize, publication: &Rc<Publication>, deadline: Option<Instant>) {
        for share in SHARES {
            let members: Vec<&Session> =
                self.sessions.iter().flatten().filter(|session| session.shares(share)).collect();
            let filter = crate::wish::Wish::new(share, Class::ExactlyOnce).filter();
            if !members.is_empty() && selects(filter, &publication.topic) {
                let all_online = members.iter().all(|session| session.link.is_some());
                self.shares.owe(share, publication, (link, self.now), deadline, all_online);
            }
        }
    }

    /// A message reaches a session.
    fn arrive(
        &mut self,
        target: Target,
        publisher: usize,
        deadline: Option<Instant>,
        publication: &Rc<Publication>,
    ) {
        let Target { who: (client, incarnation), wanted: Wanted { class, retain, ids } } = target;
        let session = self.sessions[client].as_mut().filter(|session| session.incarnation == incarnation);
        let Some(session) = session else { return self.tally.ended += 1 };
        if session.link.is_none() && !class.is_confirmed() {
            return self.tally.offline += 1;
        }
        if !class.is_confirmed() {
            self.fresh.push((client, incarnation, session.expected.len()));
        }
        session.expected.push(Expected {
            retain,
            ids,
            deadline,
            publisher,
            at: self.now,
            ..Expected::live(publication, class, session.link)
        });
    }

    /// The broker writes a message to a connection.
    fn written(&mut self, link: usize, written: &Written) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        peer.written.push_back((self.now, self.clock));
        let Some(shared) = &written.shared else { return Ok(()) };
        let Some(incarnation) = peer.incarnation else { return Ok(()) };
        let who = (peer.client, incarnation);
        let sent = Sent {
            who,
            share: shared.share,
            class: written.class,
            payload: &shared.payload,
            again: written.dup,
            remaining: shared.remaining,
            now: self.clock,
        };
        let Some(at) = self.shares.send(&sent)? else { return Ok(()) };
        let owed = self.shares.get(at);
        let session = self.sessions[who.0].as_mut().filter(|session| session.incarnation == incarnation);
        if let Some(session) = session {
            session.expected.push(Expected {
                retain: written.retain,
                ids: vec![shared.id],
                deadline: owed.deadline,
                publisher: owed.publisher,
                at: self.now,
                owed: Some(at),
                ..Expected::live(&owed.publication, written.class, Some(link))
            });
        }
        Ok(())
    }

    /// An engine takes in what another sent.
    pub(crate) fn parcels_arrive(
        &mut self,
        from: usize,
        to: usize,
        parcels: &[Parcel],
    ) -> Result<(), Violation> {
        self.now += 1;
        for parcel in parcels {
            // There is no store that others would speak of.
            let Parcel::Deliver { message, targets, .. } = parcel else { continue };
            if targets.iter().any(|target| target.group().is_some()) {
                continue; // where it goes is seen when it is written
            }
            let is_right = |transit: &Transit| {
                transit.targets.len() == targets.len()
                    && transit.publication.topic.as_bytes() == message.topic().as_bytes()
                    && transit.publication.payload == message.payload()
            };
            let transit = self.transit.get_mut(&(from, to)).and_then(|transit| {
                // Delayed wills that are due in the same moment have no order among each other.
                let wills =
                    transit.iter().take_while(|transit| transit.publication.topic.starts_with("will/"));
                transit.remove(wills.map(is_right).position(|is_right| is_right).unwrap_or_default())
            });
            if !transit.as_ref().is_some_and(is_right) {
                let next = transit.map_or("nothing".to_owned(), |transit| transit.publication.name());
                let sent = label(message.payload());
                return violation(format!("engine {from} sends engine {to} `{sent}`, due is {next}"));
            }
            let Some(transit) = transit else { continue };
            if transit.deadline.is_some_and(|deadline| deadline <= self.clock) {
                continue; // it expired on the way
            }
            let (publication, publisher, deadline) =
                (&transit.publication, transit.publisher, transit.deadline);
            for target in transit.targets {
                self.arrive(target, publisher, deadline, publication);
            }
        }
        Ok(())
    }

    /// A call of an engine is over; it counted this many messages that slow readers cost.
    pub(crate) fn end_call(&mut self, dropped: u64) -> Result<(), Violation> {
        if dropped > self.fresh.len() as u64 + self.shares.unsent() {
            return violation(format!("{dropped} messages dropped of {}", self.fresh.len()));
        }
        self.dropped += dropped;
        for (client, incarnation, at) in self.fresh.drain(..).filter(|_| dropped > 0) {
            if let Some(session) = self.sessions[client].as_mut().filter(|s| s.incarnation == incarnation) {
                session.expected[at].excused = true;
            }
        }
        Ok(())
    }

    /// A client hears something on its connection.
    pub(crate) fn heard(&mut self, link: usize, heard: &Heard) -> Result<(), Violation> {
        let peer = &self.peers[link];
        match heard {
            Heard::Connected { present } if peer.incarnation.is_none() || *present != peer.present => {
                violation(format!("connection {link} is told that it has a session: {present}"))
            }
            Heard::Acknowledged(publication) if publication.taken.get() == 0 => {
                violation(format!("{} is acknowledged before the broker took it in", publication.name()))
            }
            Heard::Answered { id } if !peer.done.contains(id) => {
                violation(format!("request {id} of connection {link} is answered before it is carried out"))
            }
            Heard::Message(arrival) => self.receive(link, arrival),
            Heard::Dismissed(code) => self.dismissed(link, *code),
            _ => Ok(()),
        }
    }

    /// Whether a connection of the client is on its way to a session.
    pub(crate) fn is_arriving(&self, client: usize) -> bool {
        self.peers.iter().any(|peer| peer.client == client && peer.incarnation.is_none() && !peer.is_over)
    }

    /// Whether another connection has got the session of this one.
    pub(crate) fn was_taken_over(&self, link: usize) -> bool {
        self.peers[link].told_ended && self.peers[link].is_over
    }

    /// Whether the broker had reason to end a connection: another has its session, or it took too long to open one.
    pub(crate) fn was_let_go(&self, link: usize) -> bool {
        let peer = &self.peers[link];
        peer.is_over && (peer.told_ended || peer.incarnation.is_none())
    }

    fn receive(&mut self, link: usize, arrival: &Arrival) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        let (sent_at, sent) = peer.written.pop_front().unwrap_or((self.now, self.clock));
        let who = (peer.client, peer.incarnation.unwrap_or_default());
        let session = self.sessions[peer.client].as_mut();
        let Some(session) = session.filter(|s| Some(s.incarnation) == peer.incarnation) else {
            if peer.told_ended && peer.is_over {
                return Ok(()); // the last bytes of a session that is gone
            }
            return violation(format!("connection {link} gets a message without a session"));
        };
        self.now += 1;
        self.tally.arrivals += 1;
        let window = self.window.min(usize::from(peer.opening.receive_max));
        let way = Way { link, opened_at: peer.opened_at, sent_at, sent, window };
        session
            .receive(way, who, arrival, &self.retained)
            .map_err(|Violation(text)| Violation(format!("connection {link}: {text}")))
    }

    /// Messages of QoS 0 that groups were owed.
    pub(crate) fn unconfirmed_shares(&self) -> u64 {
        self.shares.unconfirmed()
    }

    /// How many messages did not come because they were too old or too large.
    pub(crate) fn too_old_or_large(&self) -> u64 {
        self.sessions.iter().flatten().map(|session| session.dropped(self.clock)).sum()
    }

    /// Checks what must hold when everything has come to rest.
    pub(crate) fn check_end(&self) -> Result<(), Violation> {
        if let Some(((from, to), _)) = self.transit.iter().find(|(_, transit)| !transit.is_empty()) {
            return violation(format!("a message from engine {from} to engine {to} never arrives"));
        }
        for (client, session) in self.sessions.iter().enumerate() {
            if let Some(session) = session {
                session
                    .check_end((client, session.incarnation), self.clock, &self.retained)
                    .map_err(|Violation(text)| Violation(format!("client {client}: {text}")))?;
            }
        }
        self.shares.check_end(self.clock)?;
        let missing: usize = self.sessions.iter().flatten().map(|session| session.missing(self.clock)).sum();
        if missing as u64 > self.dropped {
            return violation(format!("{missing} messages are missing, {} were counted", self.dropped));
        }
        Ok(())
    }
}
