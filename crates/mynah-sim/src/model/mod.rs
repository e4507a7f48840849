//! The reference: a broker of plain lists. It learns from the clients what is asked, from the witness when the engine
//! does it, and says what every session must get.

mod replay;
mod retained;
mod session;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use mynah_engine::Parcel;
use mynah_model::{Class, Reason};
use mynah_stack::{Close, Settlement};

use crate::client::{Arrival, Heard, Opening};
use crate::witness::Seen;
use retained::History;
pub(crate) use session::label;
use session::{Expected, Session};

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

/// What a client publishes.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) class: Class,
    pub(crate) retain: bool,
    /// How often the broker took it in.
    pub(crate) taken: Cell<u32>,
}

impl Publication {
    pub(crate) fn new(topic: &str, payload: Vec<u8>, class: u8, retain: bool) -> Rc<Self> {
        let class = Class::from_number(class).unwrap_or_default();
        Rc::new(Self { topic: topic.to_owned(), payload, class, retain, taken: Cell::new(0) })
    }

    pub(crate) fn name(&self) -> String {
        let retain = if self.retain { " retain" } else { "" };
        format!("`{}` to {} (QoS {}{retain})", label(&self.payload), self.topic, self.class.number())
    }
}

/// Something that a client said and the broker has not yet done.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Publish { id: u16, publication: Rc<Publication> },
    Complete { id: u16 },
    Subscribe { id: u16, filters: Vec<(&'static str, Class)> },
    Unsubscribe { id: u16, filters: Vec<&'static str> },
    Settle { id: u16, settlement: Settlement },
    Disconnect,
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
}

/// A message on its way from one engine to another.
struct Transit {
    publication: Rc<Publication>,
    publisher: usize,
    targets: Vec<Target>,
}

/// A session that is to get a message.
struct Target {
    client: usize,
    incarnation: u64,
    class: Class,
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
            Seen::Ended(reason) if *reason != Reason::TakenOver => {
                violation(format!("connection {link} is ended: {reason}"))
            }
            Seen::Ended(_) => {
                self.peers[link].told_ended = true;
                Ok(())
            }
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
                    self.distribute(engine, link, &publication);
                }
                publication.taken.set(publication.taken.get() + 1);
            }
            (Seen::Complete { receipt }, Said::Complete { id }) if *receipt == id => {
                session.receipts.retain(|receipt| *receipt != id);
            }
            (Seen::Subscribe { receipt }, Said::Subscribe { id, filters }) if *receipt == id => {
                for (filter, class_max) in filters {
                    session.subscribe(self.now, link, filter, class_max);
                }
                self.peers[link].done.push(id);
            }
            (Seen::Unsubscribe { receipt }, Said::Unsubscribe { id, filters }) if *receipt == id => {
                filters.into_iter().for_each(|filter| session.unsubscribe(filter));
                self.peers[link].done.push(id);
            }
            (Seen::Settle(settle), Said::Settle { id, settlement })
                if (settle.delivery.number(), settle.settlement) == (id, settlement) =>
            {
                session.settle(id, settlement);
            }
            (seen, said) => return violation(format!("connection {link} said {said:?}, done is {seen:?}")),
        }
        Ok(())
    }

    /// A connection gets its session: one that uses it already is ended, with its will.
    fn open(&mut self, engine: usize, link: usize, present: bool) -> Result<(), Violation> {
        let (client, clean) = (self.peers[link].client, self.peers[link].opening.clean);
        if let Some(session) = &self.sessions[client] {
            if session.engine != engine {
                return violation(format!("client {client} has a session on two engines: double take-over"));
            }
            if let Some(old) = session.link {
                if !self.peers[old].told_ended {
                    return violation(format!("connection {link} took over from {old}, which was not ended"));
                }
                self.tally.take_overs += 1;
                self.detach(engine, old, true)?;
            }
        }
        if clean {
            self.discard(client)?;
        }
        let expected = self.sessions[client].is_some();
        if expected != present {
            return violation(format!("connection {link}: session present is {present}, not {expected}"));
        }
        self.incarnations += u64::from(!expected);
        let session =
            self.sessions[client].get_or_insert_with(|| Session::new(self.incarnations, engine, self.window));
        (session.link, session.is_clean) = (Some(link), clean);
        let peer = &mut self.peers[link];
        (peer.incarnation, peer.opened_at, peer.present) = (Some(session.incarnation), self.now, present);
        Ok(())
    }

    fn closed(&mut self, engine: usize, link: usize, close: Close) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        if peer.told_ended || peer.is_over {
            return Ok(());
        }
        if peer.incarnation.is_none() && close.reason == Reason::OpeningTimeout {
            peer.is_over = true;
            return Ok(());
        }
        match peer.said.pop_front() {
            Some(Said::Disconnect) => self.detach(engine, link, false),
            said => violation(format!("connection {link} is closed: {}; it said {said:?}", close.reason)),
        }
    }

    /// The broker finds that the peer is gone.
    pub(crate) fn peer_gone(&mut self, engine: usize, link: usize) -> Result<(), Violation> {
        self.now += 1;
        let peer = &mut self.peers[link];
        if peer.is_over || peer.incarnation.is_none() {
            peer.is_over = true;
            return Ok(());
        }
        self.detach(engine, link, true)
    }

    /// A connection ends: its session stays or goes, then its will is published.
    fn detach(&mut self, engine: usize, link: usize, publish_will: bool) -> Result<(), Violation> {
        let peer = &mut self.peers[link];
        peer.is_over = true;
        let (client, will) = (peer.client, peer.opening.will.clone().filter(|_| publish_will));
        if let Some(session) = &mut self.sessions[client] {
            session.link = None;
            if session.is_clean {
                self.discard(client)?;
            }
        }
        if let Some(will) = will {
            self.tally.wills += 1;
            self.distribute(engine, link, &will);
        }
        Ok(())
    }

    fn discard(&mut self, client: usize) -> Result<(), Violation> {
        let Some(session) = self.sessions[client].take() else { return Ok(()) };
        self.tally.ended += session.held();
        session.check_gaps()
    }

    /// Gives a publication to all who want it: at once on the engine where it is, in a parcel on others.
    fn distribute(&mut self, engine: usize, publisher: usize, publication: &Rc<Publication>) {
        self.now += 1;
        if publication.retain {
            self.retained.set(self.now, publication);
        }
        let mut parcels: BTreeMap<usize, Vec<Target>> = BTreeMap::new();
        for client in 0..self.sessions.len() {
            let Some(session) = &self.sessions[client] else { continue };
            let Some(class) = session.wants(publication) else { continue };
            let target = Target { client, incarnation: session.incarnation, class };
            if session.engine == engine {
                self.arrive(&target, publisher, publication);
            } else {
                parcels.entry(session.engine).or_default().push(target);
            }
        }
        for (to, targets) in parcels {
            let transit = Transit { publication: Rc::clone(publication), publisher, targets };
            self.transit.entry((engine, to)).or_default().push_back(transit);
        }
    }

    /// A message reaches a session.
    fn arrive(&mut self, target: &Target, publisher: usize, publication: &Rc<Publication>) {
        let Target { client, incarnation, class } = *target;
        let session = self.sessions[client].as_mut().filter(|session| session.incarnation == incarnation);
        let Some(session) = session else { return self.tally.ended += 1 };
        if session.link.is_none() && !class.is_confirmed() {
            return self.tally.offline += 1;
        }
        if !class.is_confirmed() {
            self.fresh.push((client, incarnation, session.expected.len()));
        }
        session.expected.push(Expected {
            publication: Rc::clone(publication),
            class,
            retain: false,
            publisher,
            at: self.now,
            link: session.link,
            came_on: None,
            is_settled: false,
            excused: false,
        });
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
            let transit = self.transit.get_mut(&(from, to)).and_then(VecDeque::pop_front);
            let is_right = |transit: &&Transit| {
                transit.targets.len() == targets.len()
                    && transit.publication.topic.as_bytes() == message.topic().as_bytes()
                    && transit.publication.payload == message.payload()
            };
            let Some(transit) = transit.as_ref().filter(is_right) else {
                let next = transit.map_or("nothing".to_owned(), |transit| transit.publication.name());
                let sent = label(message.payload());
                return violation(format!("engine {from} sends engine {to} `{sent}`, due is {next}"));
            };
            for target in &transit.targets {
                self.arrive(target, transit.publisher, &transit.publication);
            }
        }
        Ok(())
    }

    /// A call of an engine is over; it counted this many messages that slow readers cost.
    pub(crate) fn end_call(&mut self, dropped: u64) -> Result<(), Violation> {
        if dropped > self.fresh.len() as u64 {
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

    fn receive(&mut self, link: usize, arrival: &Arrival) -> Result<(), Violation> {
        let peer = &self.peers[link];
        let session = self.sessions[peer.client].as_mut();
        let Some(session) = session.filter(|s| Some(s.incarnation) == peer.incarnation) else {
            if self.was_taken_over(link) {
                return Ok(()); // the last bytes of a session that is gone
            }
            return violation(format!("connection {link} gets a message without a session"));
        };
        self.now += 1;
        self.tally.arrivals += 1;
        session
            .receive(link, peer.opened_at, arrival, &self.retained)
            .map_err(|Violation(text)| Violation(format!("connection {link}: {text}")))
    }

    /// Checks what must hold when everything has come to rest.
    pub(crate) fn check_end(&self) -> Result<(), Violation> {
        if let Some(((from, to), _)) = self.transit.iter().find(|(_, transit)| !transit.is_empty()) {
            return violation(format!("a message from engine {from} to engine {to} never arrives"));
        }
        for (client, session) in self.sessions.iter().enumerate() {
            if let Some(session) = session {
                session
                    .check_end(&self.retained)
                    .map_err(|Violation(text)| Violation(format!("client {client}: {text}")))?;
            }
        }
        let missing: usize = self.sessions.iter().flatten().map(Session::missing).sum();
        if missing as u64 > self.dropped {
            return violation(format!("{missing} messages are missing, {} were counted", self.dropped));
        }
        Ok(())
    }
}
