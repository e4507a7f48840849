//! A worker: one thread, one epoll, one engine. Everything of its connections happens in its turns.

mod associations;
mod proving;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Poll, Token};
use mynah_core::WorkerId;
use mynah_engine::websocket::CloseCode;
use mynah_engine::{ConnectionId, Engine, Event};
use mynah_model::{Instant, Reason};

use crate::acceptor::Acceptor;
use crate::address::Peer;
use crate::audit;
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::datagrams::{Gate, Ports};
use crate::entrance::Entrance;
use crate::lingering::{LINGERING_MAX, Lingering};
use crate::mailbox::{Letter, Mailbox, Then};
use crate::sockets::{Socket, Sockets};
use crate::storage::Recorder;
use crate::stream::Stream;
use crate::transport::{Input, Output, Transport};
use crate::verifier::Verifier;

/// Reads from one connection in one turn.
const READS_PER_CONNECTION: usize = 4;
/// Connections read in one turn.
const READS_PER_TURN: usize = 256;
/// One in so many of the connections that have something to be written is flushed in one turn. The others gather more,
/// for fewer, larger writes (measured: half the cost of a fan-out).
const FLUSH_PARTS: usize = 16;
/// So many at least: to look for what has come costs something too.
const FLUSHES_MIN: usize = 6;
const FLUSHES_MAX: usize = 64;
/// For so many turns deliveries go before answers.
const ANSWERS_WAIT_MAX: u8 = 16;
const EVENTS_PER_TURN: usize = 1_024;
/// How long a worker waits for another to catch up before it looks again.
const HELD_BACK: Duration = Duration::from_millis(1);

const WAKE: Token = Token(usize::MAX);
/// Sockets for datagrams have the tokens from here on.
const FIRST_PORT: usize = usize::MAX - (1 << 15);
/// Listeners have the tokens before them.
const FIRST_LISTENER: usize = usize::MAX - (1 << 16);
/// Sockets that linger have the tokens before them.
const FIRST_LINGERING: usize = FIRST_LISTENER - LINGERING_MAX;

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) poll: Poll,
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    pub(crate) acceptor: Acceptor,
    /// This worker's sockets for datagrams, with the numbers of their listeners.
    pub(crate) datagrams: Vec<(UdpSocket, u16)>,
    /// Its sockets of groups, with the numbers of their listeners.
    pub(crate) groups: Vec<(UdpSocket, u16)>,
    /// By the number of their listener.
    pub(crate) entrances: Arc<[Arc<Entrance>]>,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) clock: Clock,
    pub(crate) grace: Duration,
}

/// A worker's thread.
pub(crate) struct Worker {
    engine: Engine,
    poll: Poll,
    mailboxes: Arc<[Arc<Mailbox>]>,
    acceptor: Acceptor,
    ports: Ports,
    entrances: Arc<[Arc<Entrance>]>,
    verifier: Option<Verifier>,
    recorder: Option<Recorder>,
    clock: Clock,
    grace: Duration,
    sockets: Sockets,
    lingering: Lingering,
    /// Connections that have bytes to be read.
    ready: VecDeque<ConnectionId>,
    buffers: Buffers,
    letters: Vec<Letter>,
    /// Who waits for what becomes of orders, by their numbers.
    orders: HashMap<u32, Then>,
    /// For how many turns some answers have been left.
    answers_waited: u8,
    /// When stopping is to be over.
    stop_at: Option<Instant>,
}

/// The token that wakes a worker.
pub(crate) const fn wake_token() -> Token {
    WAKE
}

/// The token of the listener with this place among the sockets that listen.
pub(crate) const fn listener_token(place: usize) -> Token {
    Token(FIRST_LISTENER + place)
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { engine, poll, mailboxes, acceptor, datagrams, groups, entrances, .. } = parts;
        let Parts { verifier, recorder, clock, grace, .. } = parts;
        let mut ports = Ports::default();
        for (socket, listener) in datagrams {
            let dtls = entrances.get(usize::from(listener)).and_then(|entrance| entrance.dtls.as_ref());
            let gate = dtls.map(|dtls| {
                let verify = verifier.as_ref().map(|verifier| Arc::clone(verifier.verify()));
                Gate::new(clock.now(), dtls, verify, listener)
                    .ok_or_else(|| io::Error::other("the system has no randomness to give"))
            });
            let port = (listener, gate.transpose()?);
            ports.watch(poll.registry(), socket, port, |place| Token(FIRST_PORT + place))?;
        }
        for group in groups {
            ports.watch_group(poll.registry(), group, |place| Token(FIRST_PORT + place))?;
        }
        Ok(Self {
            engine,
            poll,
            mailboxes,
            acceptor,
            ports,
            entrances,
            verifier,
            recorder,
            clock,
            grace,
            sockets: Sockets::default(),
            lingering: Lingering::new(FIRST_LINGERING),
            ready: VecDeque::new(),
            buffers: Buffers::new(),
            letters: Vec::new(),
            orders: HashMap::new(),
            answers_waited: 0,
            stop_at: None,
        })
    }

    /// Takes turns until the worker is told to stop and everybody has gone or the grace is over. Returns whether
    /// everybody had gone.
    pub(crate) fn run(mut self) -> io::Result<bool> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        // There may be something that an earlier run has left to be done.
        let mut more = true;
        loop {
            self.sleep(&mut events, more)?;
            let now = self.clock.now();
            self.note_events(&events);
            more = self.turn(now)?;
            if let Some(stop_at) = self.stop_at {
                let all_gone = self.engine.connections() == 0;
                if now >= stop_at || (all_gone && self.lingering.is_empty()) {
                    self.store()?;
                    return Ok(all_gone);
                }
            }
            self.engine.counters().turns.record(self.clock.now().saturating_since(now));
        }
    }

    fn sleep(&mut self, events: &mut Events, mut more: bool) -> io::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            if !more && recorder.is_eager(&self.engine) {
                // What has come meanwhile is stored with it.
                match self.poll.poll(events, Some(Duration::ZERO)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    Ok(()) if !events.is_empty() => return Ok(()),
                    _ => recorder.store(&mut self.engine)?,
                }
            }
            more |= recorder.has_news();
        }
        let mailbox = Arc::clone(self.mailbox());
        let timeout = if self.is_held_back() {
            Some(HELD_BACK)
        } else if more || !mailbox.fall_asleep() {
            Some(Duration::ZERO)
        } else {
            self.patience()
        };
        let result = self.poll.poll(events, timeout);
        mailbox.awake();
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether another worker has so much to catch up with that this one must not bring in more.
    fn is_held_back(&self) -> bool {
        let own = usize::from(self.engine.worker().0);
        let storing = self.recorder.as_ref().is_some_and(Recorder::is_congested);
        storing
            || self
                .mailboxes
                .iter()
                .enumerate()
                .any(|(place, mailbox)| place != own && mailbox.is_congested())
    }

    /// How long the worker may sleep.
    fn patience(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let own = [self.stop_at, self.acceptor.retry_at(), self.lingering.deadline(), self.ports.deadline()];
        let storing = self.recorder.as_mut().and_then(|recorder| recorder.deadline(&self.engine));
        let earliest = own.into_iter().chain([storing, self.engine.deadline()]).flatten().min()?;
        // The kernel counts in milliseconds and rounds down; waking too early would spin.
        Some(earliest.saturating_since(now) + Duration::from_millis(1))
    }

    fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailboxes[usize::from(self.engine.worker().0)]
    }

    fn note_events(&mut self, events: &Events) {
        for event in events {
            let Token(token) = event.token();
            if token == WAKE.0 {
                continue;
            }
            if token >= FIRST_PORT {
                self.ports.note_ready(token - FIRST_PORT, event.is_readable(), event.is_writable());
                continue;
            }
            if token >= FIRST_LISTENER {
                self.acceptor.note_ready(token - FIRST_LISTENER);
                continue;
            }
            if token >= FIRST_LINGERING {
                self.lingering.discard(token - FIRST_LINGERING, &mut self.buffers.scratch);
                continue;
            }
            let Some(socket) = self.sockets.at(token) else { continue };
            let id = socket.id;
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                socket.ends |= event.is_read_closed() || event.is_error();
                self.note_readable(id);
            }
            if event.is_writable() {
                self.note_writable(id);
            }
        }
    }

    fn note_writable(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get(id) else { return };
        // What has failed here fails again when it is read or written.
        let _ = socket.transport.flush(&mut self.buffers);
        if socket.readable && !socket.transport.is_blocked() {
            self.note_readable(id);
        }
        self.engine.handle_writable(id);
    }

    fn note_readable(&mut self, id: ConnectionId) {
        if let Some(socket) = self.sockets.get(id) {
            socket.readable = true;
            if !socket.queued {
                socket.queued = true;
                self.ready.push_back(id);
            }
        }
    }

    /// One turn; returns whether there is more to do at once.
    fn turn(&mut self, now: Instant) -> io::Result<bool> {
        if let Some(recorder) = &mut self.recorder {
            recorder.tell(&mut self.engine, now)?;
        }
        self.read_letters(now);
        self.accept(now);
        if !self.is_held_back() {
            self.read_ready(now);
            self.read_datagrams(now);
            self.work_on_handshakes(now);
        }
        if self.engine.deadline().is_some_and(|deadline| deadline <= now) {
            self.engine.handle_time(now);
        }
        self.lingering.expire(now);
        let mut more = self.engine.pump(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&mut self.engine, now, !more && self.ready.is_empty())?;
        }
        self.flush(now);
        self.carry_out(now)?;
        self.send_datagrams();
        self.send_parcels()?;
        more |= self.engine.is_dirty() || !self.ready.is_empty() || self.acceptor.is_ready();
        more |= self.ports.is_ready() || self.engine.is_pumping();
        Ok(more)
    }

    fn accept(&mut self, now: Instant) {
        for (stream, peer, listener) in self.acceptor.accept(now) {
            let turn = self.acceptor.next_worker() % self.mailboxes.len();
            if turn == usize::from(self.engine.worker().0) {
                self.take_in_stream(now, stream, peer, listener);
            } else {
                self.mailboxes[turn].post(Letter::Accepted { stream, peer, listener });
            }
        }
    }

    fn take_in_stream(&mut self, now: Instant, stream: Stream, peer: Peer, listener: u16) {
        tracing::trace!(%peer, listener, "accepted");
        let Some(entrance) = self.entrances.get(usize::from(listener)) else { return };
        match Transport::new(stream, peer, entrance) {
            Ok(transport) => self.take_in(now, transport, listener),
            Err(error) => tracing::warn!(%error, %peer, "TLS cannot begin"),
        }
    }

    fn take_in(&mut self, now: Instant, transport: Transport, listener: u16) {
        // A refused peer is not told why: nothing is known of what it speaks. Its socket is closed.
        match self.engine.handle_accepted(now, listener) {
            Ok(id) => {
                if let Some(proof) = transport.link_proof() {
                    self.engine.handle_proof(id, proof);
                }
                self.install(now, id, transport);
            }
            Err(reason) => {
                tracing::debug!(%reason, listener, peer = %transport.peer(), "a peer was refused");
                drop(transport.close(CloseCode::GOING_AWAY, &mut self.buffers));
            }
        }
    }

    fn install(&mut self, now: Instant, id: ConnectionId, mut transport: Transport) {
        let registered = transport.watch(self.poll.registry(), Token(id.slot as usize));
        let is_link = matches!(transport, Transport::Link(_));
        if let Some(address) = transport.peer().address() {
            self.engine.handle_address(id, address);
        }
        if let Transport::Link(link) = &transport {
            link.bind(&self.mailboxes[usize::from(self.engine.worker().0)], id);
        }
        self.sockets.insert(Socket::new(id, transport));
        if let Err(error) = registered {
            tracing::warn!(%error, "a connection cannot be watched");
            self.drop_connection(now, id, false);
        } else if is_link {
            self.note_readable(id);
        }
    }

    fn read_letters(&mut self, now: Instant) {
        let memory = core::mem::take(&mut self.letters);
        let mut letters = self.mailbox().take(memory);
        for letter in letters.drain(..) {
            self.read_letter(now, letter);
        }
        self.letters = letters;
    }

    fn read_letter(&mut self, now: Instant, letter: Letter) {
        match letter {
            Letter::Parcels(parcels) => self.engine.handle_parcels(now, parcels),
            Letter::Accepted { stream, peer, listener } => {
                self.take_in_stream(now, stream, peer, listener);
            }
            Letter::LinkOpened { link, listener } => self.take_in(now, Transport::Link(link), listener),
            Letter::LinkChanged { link } => {
                if let Some(id) = link.connection() {
                    self.note_readable(id);
                    self.engine.handle_writable(id);
                }
            }
            Letter::Handover { transport, handover } => {
                let id = self.engine.handle_handover(now, *handover);
                self.install(now, id, transport);
                // What arrived while the socket was on its way raised no event here.
                self.note_readable(id);
            }
            Letter::Audit { event, left_out } => self.engine.handle_audit(now, *event, left_out),
            Letter::LeftOut(kind) => self.engine.watch_left_out(now, kind),
            Letter::Look(look) => look(&self.engine),
            Letter::Order { tenant, order, then } => {
                let number = self.engine.handle_order(now, tenant, *order);
                self.orders.insert(number, then);
            }
            Letter::Disconnect { tenant, connection, then } => {
                then(self.engine.handle_disconnect(now, tenant, connection));
            }
            Letter::Rules(rules) => self.engine.handle_rules(rules),
            Letter::Verified { connection, verdict } => self.verified(now, connection, verdict),
            Letter::Identities(standings) => self.engine.handle_identities(now, &standings),
            // Looked at as the turn began.
            Letter::Synced => {}
            Letter::Shutdown => {
                self.acceptor.stop(self.poll.registry());
                self.lingering.hurry(now);
                self.engine.handle_shutdown(now);
                self.stop_at = Some(now + self.grace);
            }
        }
    }

    fn read_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len().min(READS_PER_TURN) {
            let Some(id) = self.ready.pop_front() else { break };
            if let Some(socket) = self.sockets.get(id) {
                socket.queued = false;
                self.read(now, id);
            }
        }
    }

    fn read(&mut self, now: Instant, id: ConnectionId) {
        for _ in 0..READS_PER_CONNECTION {
            let Some(socket) = self.sockets.get(id) else { return };
            if !socket.readable || socket.transport.is_blocked() || !self.engine.wants_bytes(id) {
                return; // looked at again when its outbound bytes have been written
            }
            match socket.transport.read(&mut self.buffers) {
                Ok(Input { bytes, more, ended }) => {
                    // The end of the stream raises no event after it was announced.
                    socket.readable = more || socket.ends;
                    if let Some(layers) = socket.transport.layers() {
                        if let Some(address) = layers.take_named().and_then(Peer::address) {
                            self.engine.handle_address(id, address);
                        }
                        if let Some(host) = layers.take_host() {
                            self.engine.handle_host(id, host);
                        }
                        if let Some(proof) = layers.take_proof() {
                            self.engine.handle_proof(id, proof);
                        }
                        if layers.has_just_opened() {
                            if layers.stack() != 0 {
                                self.engine.handle_stack(now, id, layers.stack());
                            }
                            self.engine.handle_writable(id);
                        }
                    }
                    if !bytes.is_empty() {
                        self.engine.handle_bytes(now, id, bytes);
                    }
                    if ended {
                        return self.peer_closed(now, id);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.peer_closed(now, id),
            }
        }
        if self.sockets.get(id).is_some_and(|s| s.readable) {
            self.note_readable(id);
        }
    }

    fn peer_closed(&mut self, now: Instant, id: ConnectionId) {
        self.engine.handle_peer_closed(now, id);
        // Layers may have ended what the socket has not.
        let is_layered = self.sockets.get(id).is_some_and(|s| s.transport.layers().is_some());
        self.drop_connection(now, id, is_layered);
    }

    /// Writes to some of the connections that have something to be written, those with deliveries first. The others
    /// gather more until the next turn, which comes at once.
    fn flush(&mut self, now: Instant) {
        let mut left = (self.engine.dirty() / FLUSH_PARTS).clamp(FLUSHES_MIN, FLUSHES_MAX);
        while left > 0
            && let Some(id) = self.engine.poll_urgent()
        {
            self.flush_connection(now, id);
            left -= 1;
        }
        if self.answers_waited >= ANSWERS_WAIT_MAX {
            left = FLUSHES_MAX;
        }
        // Answers wait for those of one more turn at least.
        while left > 0
            && self.answers_waited > 0
            && let Some(id) = self.engine.poll_answered()
        {
            self.flush_connection(now, id);
            left -= 1;
        }
        self.answers_waited =
            if self.engine.is_answered() { self.answers_waited.saturating_add(1) } else { 0 };
    }

    fn flush_connection(&mut self, now: Instant, id: ConnectionId) {
        let (Some(socket), Some(outbound)) = (self.sockets.get(id), self.engine.outbound(id)) else { return };
        if let Transport::Datagrams(place, peer) = socket.transport {
            return self.take_datagrams(id, place, peer);
        }
        let written = if outbound.is_empty() {
            Ok(Output { count: 0, more: false })
        } else {
            socket.transport.write(outbound, &mut self.buffers)
        };
        match written {
            Ok(Output { count, more }) => {
                self.engine.handle_written(id, count);
                if more {
                    self.engine.handle_writable(id);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.engine.handle_written(id, 0);
            }
            Err(_) => return self.peer_closed(now, id),
        }
        // Reading may have been waiting for this.
        let is_readable = |s: &mut Socket| s.readable && !s.transport.is_blocked();
        if self.sockets.get(id).is_some_and(is_readable) && self.engine.wants_bytes(id) {
            self.note_readable(id);
        }
    }

    fn carry_out(&mut self, now: Instant) -> io::Result<()> {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Closed { connection, reason } => {
                    let peer = self.sockets.get(connection).map_or(Peer::Local, |s| s.transport.peer());
                    tracing::debug!(%reason, %peer, slot = connection.slot, "connection closed");
                    // Who has taken leave is not sending any more.
                    self.drop_connection(now, connection, reason != Reason::Disconnected);
                }
                Event::Audited(record) => audit::log(&record),
                Event::Ordered { number, result } => {
                    if let Some(then) = self.orders.remove(&number) {
                        then(result);
                    }
                }
                Event::Authenticate { connection, listener, attempt } => {
                    self.verify(now, connection, listener, attempt);
                }
                Event::Handover { connection, to, handover } => {
                    self.store()?;
                    if let Some(mut socket) = self.sockets.remove(connection) {
                        socket.unwatch(self.poll.registry());
                        let transport = socket.transport;
                        self.mailboxes[usize::from(to.0)].post(Letter::Handover { transport, handover });
                    }
                }
            }
        }
        Ok(())
    }

    /// What has changed is on its way to be stored, whoever hears of it from here on.
    fn store(&mut self) -> io::Result<()> {
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.store(&mut self.engine))
    }

    fn send_parcels(&mut self) -> io::Result<()> {
        if !self.engine.has_parcels() {
            return Ok(());
        }
        // What another worker makes of them is stored after what this one made of them.
        self.store()?;
        for (place, mailbox) in self.mailboxes.iter().enumerate() {
            let parcels = self.engine.take_parcels(WorkerId(place as u16));
            if !parcels.is_empty() {
                mailbox.post(Letter::Parcels(parcels));
            }
        }
        Ok(())
    }

    /// Closes a connection's socket; `lingers` if its peer may be sending at this moment.
    fn drop_connection(&mut self, now: Instant, id: ConnectionId, lingers: bool) {
        let Some(mut socket) = self.sockets.remove(id) else { return };
        if let Transport::Datagrams(place, peer) = socket.transport {
            return self.ports.forget(place, peer, id);
        }
        socket.unwatch(self.poll.registry());
        let code = if self.stop_at.is_some() { CloseCode::GOING_AWAY } else { CloseCode::NORMAL };
        if let Some(stream) = socket.transport.close(code, &mut self.buffers).filter(|_| lingers) {
            self.lingering.take_in(now, stream, self.poll.registry(), &mut self.buffers.scratch);
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
