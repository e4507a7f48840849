//! One worker's engine: the state, and what the I/O layer calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::Address;
use mynah_core::{Counters, DropReason, RouteCache, SessionRef, SessionTable, WorkerId};
use mynah_model::{Groups, Instant, Reason};
use mynah_stack::{Close, Command, Outbound, Step};

use crate::audit::{Audited, Limit};
use crate::authenticate::Attempt;
use crate::certificate::PeerCertificate;
use crate::connections::{Connection, ConnectionId, Dirty, Phase, Proving};
use crate::deeds::{Parts, RestoredErrand};
use crate::inbox::{Handover, Parcel};
use crate::lane::Lane;
use crate::random::Random;
use crate::rules::Judge;
use crate::shared::Shared;
use crate::timer::{TimerKey, TimerWheel};

/// Deliveries made for one connection in one turn before others have their turn.
const PUMP_BUDGET: usize = 64;
/// What the I/O layer may hand over at once, beyond what a stack has to see at once.
const INPUT_SLACK_BYTES: usize = 256 << 10;
/// What a peer that was not listened to for a while has before it is taken for silent.
const READING_TIME: Duration = Duration::from_secs(1);
/// Connections pumped in one turn.
const PUMP_CONNECTIONS: usize = 64;

/// One worker's turn without I/O: bytes, time and other workers' parcels go in; bytes, events and parcels come out.
///
/// The I/O layer calls the `handle_*` methods as the world speaks, then, once in a turn, [`Engine::pump`]; it writes
/// what [`Engine::poll_dirty`] names, carries out what [`Engine::poll_event`] says, sends what
/// [`Engine::take_parcels`] holds, and sleeps until [`Engine::deadline`].
pub struct Engine {
    pub(crate) worker: WorkerId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) lane: Lane,
    pub(crate) routes: RouteCache,
    pub(crate) timers: TimerWheel<Timer>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) outboxes: Vec<Vec<Parcel>>,
    pub(crate) random: Random,
    pub(crate) half_open: usize,
    pub(crate) stopping: bool,
    /// Connections whose session lives on another worker, until the end of the turn.
    pub(crate) leaving: Vec<ConnectionId>,
    /// Where the numbers of entries begin.
    pub(crate) first_sequence: u64,
    /// What an earlier run has left of exactly-once publications that it did not answer.
    pub(crate) repeated: BTreeMap<(SessionRef, u16), Parts>,
    /// Sessions that have begun while publications of an earlier session of the name were under way: parts with lower
    /// numbers are not theirs.
    pub(crate) since: BTreeMap<SessionRef, u64>,
    /// What an earlier run owed.
    pub(crate) errands: Vec<RestoredErrand>,
    /// Sessions of an earlier run with a will or an end that may be due.
    pub(crate) restored: Vec<SessionRef>,
    pub(crate) started: Instant,
    /// The slot of the session where counting who is here goes on.
    pub(crate) count: Option<u32>,
    /// Those who have asked who is here before that was known.
    pub(crate) presence_reads: Vec<(ConnectionId, Box<[u8]>)>,
    due: Vec<Timer>,
    /// When this worker looks for retained values that have expired.
    pub(crate) retained_due: Option<(TimerKey, Instant)>,
}

/// What a timer is for.
#[derive(Clone, Copy)]
pub(crate) enum Timer {
    Connection(ConnectionId),
    Session(SessionRef),
    Sys,
    Retained,
}

/// Something that the I/O layer has to carry out.
pub enum Event {
    /// Verify elsewhere what the peer says of who it is, then call [`Engine::handle_authenticated`], or
    /// [`Engine::handle_challenge`] if it has to say more.
    Authenticate {
        /// Whose peer.
        connection: ConnectionId,
        /// The place in [`crate::Settings::listeners`] where it came in.
        listener: u16,
        /// What the peer said.
        attempt: Attempt,
    },
    /// Hand the connection's socket to another worker, together with this. The connection is no longer here.
    Handover {
        /// Which connection.
        connection: ConnectionId,
        /// The worker that owns the session.
        to: WorkerId,
        /// For [`Engine::handle_handover`] there.
        handover: Box<Handover>,
    },
    /// Something has happened that the log is to tell.
    Audited(Box<Audited>),
    /// The connection has ended and is no longer here; its socket can be closed.
    Closed {
        /// Which connection.
        connection: ConnectionId,
        /// Why it ended.
        reason: Reason,
    },
}

impl Engine {
    /// The engine of one worker, at the origin of its clock.
    #[must_use]
    pub fn new(worker: WorkerId, shared: Arc<Shared>, now: Instant) -> Self {
        let limits = &shared.limits;
        let mut timers = TimerWheel::new(now);
        if worker.0 == 0 && shared.sys_interval.is_some() {
            timers.arm(now, Timer::Sys);
        }
        Self {
            worker,
            lane: Lane::new(
                SessionTable::new(worker, shared.seed, limits),
                Judge::new(&shared.rules, limits.route_cache_max),
            ),
            routes: RouteCache::new(shared.seed, limits.route_cache_max, worker),
            timers,
            events: VecDeque::new(),
            outboxes: (0..shared.workers()).map(|_| Vec::new()).collect(),
            random: Random::new(shared.seed ^ u64::from(worker.0)),
            half_open: 0,
            stopping: false,
            leaving: Vec::new(),
            first_sequence: 0,
            repeated: BTreeMap::new(),
            since: BTreeMap::new(),
            errands: Vec::new(),
            restored: Vec::new(),
            started: now,
            count: None,
            presence_reads: Vec::new(),
            due: Vec::new(),
            retained_due: None,
            shared,
        }
    }

    /// What this worker counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.shared.counters(self.worker)
    }

    /// Takes in a peer that came in at the listener with this place in [`crate::Settings::listeners`].
    ///
    /// # Errors
    /// The worker has as many connections, or as many that are not open yet, as it may.
    pub fn handle_accepted(&mut self, now: Instant, listener: u16) -> Result<ConnectionId, Reason> {
        let limits = &self.shared.limits;
        let full =
            self.lane.connections.len() >= limits.connections_max || self.half_open >= limits.half_open_max;
        let door = self.shared.listeners.get(usize::from(listener)).filter(|_| !full && !self.stopping);
        let Some(door) = door else {
            self.counters().connections_refused.add(1);
            if full {
                self.audit_turned_away(now, listener);
            }
            return Err(Reason::ServerBusy);
        };
        let id = self.lane.connections.insert(door.protocol.accept(now), listener);
        self.count_half_open(1);
        self.counters().connections_opened.add(1);
        self.arm(now, id.slot);
        Ok(id)
    }

    /// Takes in bytes from a peer. What is not a whole unit yet is kept.
    pub fn handle_bytes(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        self.shared.counters(self.worker).bytes_received.add(bytes.len() as u64);
        if connection.is_closing() {
            return;
        }
        let mut kept = core::mem::take(&mut connection.inbound);
        if kept.is_empty() {
            let mut input = bytes;
            self.run(now, id, &mut input);
            self.keep(now, id, kept, input);
        } else {
            kept.extend_from_slice(bytes);
            self.run_kept(now, id, kept);
        }
        self.arm(now, id.slot);
    }

    /// Whether the connection can take more bytes at the moment. It cannot while its peer does not read the answers,
    /// or while it waits to be let in.
    #[must_use]
    pub fn wants_bytes(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.lane.connections.get(id) else { return false };
        let waits = match connection.phase {
            Phase::New => false,
            Phase::Open(_) => connection.is_held_back(),
            // A peer that was challenged is about to say more.
            Phase::Opening(_) => !connection.inbound.is_empty() && connection.proving != Proving::Challenged,
            Phase::Leaving(_) | Phase::Detached | Phase::Closing(_) => true,
        };
        let outbound_max = 2 * self.shared.limits.outbound_bytes_max;
        !waits && connection.outbound.len() < outbound_max
    }

    /// Hears that the peer is gone. The connection is no longer here afterwards.
    pub fn handle_peer_closed(&mut self, now: Instant, id: ConnectionId) {
        self.end(now, id, Close::new(Reason::Disconnected, true));
        if self.remove(id).is_some() {
            self.counters().connections_closed.add(1);
        }
    }

    /// Takes in a connection from another worker.
    pub fn handle_handover(&mut self, now: Instant, handover: Handover) -> ConnectionId {
        let Handover { stack, outbound, inbound, listener, certificate, address, admission } = handover;
        let id = self.lane.connections.insert(stack, listener);
        self.count_half_open(1);
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.outbound = outbound;
            connection.inbound = inbound;
            connection.certificate = certificate;
            connection.address = address;
        }
        self.attach(now, id, admission);
        self.resume_input(now, id);
        id
    }

    /// Hears with which certificate the peer has proved who it is; before its first bytes.
    pub fn handle_certificate(&mut self, id: ConnectionId, certificate: Arc<PeerCertificate>) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.certificate = Some(certificate);
        }
    }

    /// Hears where the peer is; before its first bytes.
    pub fn handle_address(&mut self, id: ConnectionId, address: Address) {
        if let Some(connection) = self.lane.connections.get_mut(id) {
            connection.address = Some(address);
        }
    }

    /// The certificate of the peer, if it has shown one.
    #[must_use]
    pub fn certificate(&self, id: ConnectionId) -> Option<&Arc<PeerCertificate>> {
        self.lane.connections.get(id)?.certificate.as_ref()
    }

    /// The groups that the peer's identity is in.
    #[must_use]
    pub fn groups(&self, id: ConnectionId) -> Option<&Groups> {
        self.lane.connections.get(id).map(|connection| &connection.groups)
    }

    /// Takes in what another worker sent.
    pub fn handle_parcels(&mut self, now: Instant, parcels: Vec<Parcel>) {
        for parcel in parcels {
            match parcel {
                Parcel::Deliver { message, targets, ask } => {
                    self.deliver_parcel(now, &message, &targets, ask);
                }
                Parcel::Retained { message, ask } => self.store_for_another(&message, ask),
                Parcel::CountPresence => self.count = Some(0),
                Parcel::PresenceKnown => self.presence_known(now),
                Parcel::Stored { token } => self.handle_remote_stored(now, token),
            }
        }
    }

    /// Works off the timers that are due.
    pub fn handle_time(&mut self, now: Instant) {
        let mut due = core::mem::take(&mut self.due);
        self.timers.expire(now, &mut due);
        for timer in &due {
            // What is done for another timer must not cancel one that has fired.
            if let Timer::Session(session) = *timer
                && let Some(session) = self.lane.sessions.get_mut(session)
            {
                session.timer = None;
            }
        }
        for timer in due.drain(..) {
            match timer {
                Timer::Connection(id) => self.connection_due(now, id),
                Timer::Session(session) => self.session_due(now, session),
                Timer::Sys => self.sys_due(now),
                Timer::Retained => self.expire_retained(now),
            }
        }
        self.due = due;
    }

    /// Takes leave of every peer, in its protocol's way. New peers are refused from here on.
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.stopping = true;
        for id in self.lane.connections.ids() {
            self.lane.lend(id.slot);
            if let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) {
                connection.stack.handle_shutdown(now, &mut connection.outbound);
                self.run(now, id, &mut &[][..]);
                self.end(now, id, Close::new(Reason::ShuttingDown, false));
            }
        }
    }

    /// Does what had to wait for room: goes on with input that was kept, and makes deliveries from redelivery, backlogs
    /// and retained values; some for each connection; and looks at what changed rules end. Returns whether more is to be done at once.
    pub fn pump(&mut self, now: Instant) -> bool {
        for _ in 0..self.lane.pumps.len().min(PUMP_CONNECTIONS) {
            let Some(slot) = self.lane.pumps.pop_front() else { break };
            let Some(connection) = self.lane.connections.at(slot) else { continue };
            connection.pumping = false;
            let id = ConnectionId { slot, generation: connection.generation };
            if !connection.inbound.is_empty() {
                self.resume_input(now, id);
            }
            if self.pump_connection(now, slot, PUMP_BUDGET) {
                self.lane.mark_pumping(slot);
            }
        }
        let reviewing = self.review_some(now) | self.count_some(now);
        reviewing || !self.lane.pumps.is_empty()
    }

    /// The next connection with bytes to be written. Its bytes are in [`Engine::outbound`]; what became of them is
    /// told by [`Engine::handle_written`].
    pub fn poll_dirty(&mut self) -> Option<ConnectionId> {
        self.poll_urgent().or_else(|| self.poll_answered())
    }

    /// The next connection with a delivery to be written. What has answers only can wait for a turn: under load the
    /// answers of two turns go out with one write.
    pub fn poll_urgent(&mut self) -> Option<ConnectionId> {
        self.poll_listed(Dirty::Deliveries)
    }

    /// The next connection with answers to be written and no delivery.
    pub fn poll_answered(&mut self) -> Option<ConnectionId> {
        self.poll_listed(Dirty::Answers)
    }

    fn poll_listed(&mut self, kind: Dirty) -> Option<ConnectionId> {
        let lane = &mut self.lane;
        let list = if kind == Dirty::Answers { &mut lane.answered } else { &mut lane.dirty };
        while let Some(slot) = list.pop_front() {
            if let Some(connection) = lane.connections.at(slot).filter(|c| c.dirty == kind) {
                connection.dirty = Dirty::No;
                return Some(ConnectionId { slot, generation: connection.generation });
            }
        }
        None
    }

    /// Whether there are connections with bytes to be written.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.lane.dirty.is_empty() || !self.lane.answered.is_empty()
    }

    /// How many connections have bytes to be written, at most.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.lane.dirty.len() + self.lane.answered.len()
    }

    /// Whether there may be connections with answers to be written and no delivery.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !self.lane.answered.is_empty()
    }

    /// The bytes that wait to be written to a peer.
    #[must_use]
    pub fn outbound(&self, id: ConnectionId) -> Option<&Outbound> {
        self.lane.connections.get(id).map(|c| &c.outbound)
    }

    /// Hears that the first `count` bytes were written. If some are left, the socket takes no more at the moment and
    /// the connection waits for [`Engine::handle_writable`].
    pub fn handle_written(&mut self, id: ConnectionId, count: usize) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        self.shared.counters(self.worker).bytes_sent.add(count as u64);
        connection.outbound.advance(count);
        connection.blocked = !connection.outbound.is_empty();
        let room = connection.outbound.len() < self.shared.limits.outbound_bytes_max / 2;
        if connection.is_closing() && !connection.blocked {
            return self.finish(id);
        }
        if !connection.blocked {
            self.lane.reclaim(id.slot);
        }
        if room && self.has_waiting_work(id.slot) {
            self.lane.mark_pumping(id.slot);
        }
    }

    /// Hears that the socket takes bytes again.
    pub fn handle_writable(&mut self, id: ConnectionId) {
        if let Some(connection) = self.lane.connections.get_mut(id).filter(|c| c.blocked) {
            connection.blocked = false;
            self.lane.mark_dirty(id.slot);
        }
    }

    /// Goes on with bytes that were kept because the connection could not take them.
    pub fn resume_input(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        let kept = core::mem::take(&mut connection.inbound);
        self.run_kept(now, id, kept);
        self.arm(now, id.slot);
    }

    /// The next thing to be carried out.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.depart();
        self.events.pop_front()
    }

    /// What is to be sent to another worker: one batch in a turn.
    pub fn take_parcels(&mut self, to: WorkerId) -> Vec<Parcel> {
        core::mem::take(&mut self.outboxes[usize::from(to.0)])
    }

    /// When [`Engine::handle_time`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// How many connections are here.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lane.connections.len()
    }

    fn run_kept(&mut self, now: Instant, id: ConnectionId, mut kept: Vec<u8>) {
        let mut input = &kept[..];
        self.run(now, id, &mut input);
        let consumed = kept.len() - input.len();
        if consumed == kept.len() {
            kept.clear();
        } else {
            kept.drain(..consumed);
        }
        self.keep(now, id, kept, &[]);
    }

    /// Keeps the bytes that were not consumed, in the memory of `kept`.
    fn keep(&mut self, now: Instant, id: ConnectionId, mut kept: Vec<u8>, rest: &[u8]) {
        if kept.is_empty() && rest.is_empty() {
            return;
        }
        let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) else { return };
        kept.extend_from_slice(rest);
        // What a stack leaves is one incomplete unit, or what came while it could not go on.
        let kept_max = connection.stack.input_bytes_max().saturating_add(INPUT_SLACK_BYTES);
        if kept.len() > kept_max {
            return self.end(now, id, Close::new(Reason::TooLarge, true));
        }
        connection.inbound = kept;
    }

    /// Lets the stack work on `input` until it is idle, and carries out its commands.
    pub(crate) fn run(&mut self, now: Instant, id: ConnectionId, input: &mut &[u8]) {
        self.lane.lend(id.slot);
        while let Some(connection) = self.lane.connections.get_mut(id) {
            let outbound_max = 2 * self.shared.limits.outbound_bytes_max;
            let has_room = connection.outbound.len() < outbound_max;
            if connection.is_closing() || connection.is_held_back() || !has_room {
                break;
            }
            let mut step = connection.stack.step(now, input, &mut connection.outbound);
            match &mut step {
                Step::Idle => break,
                // In its place: a command is large, and moving it costs as much as reading it.
                Step::Command(Command::Publish(publish)) => self.publish(now, id, publish),
                Step::Command(Command::Settle(settle)) => self.settle(now, id, *settle),
                Step::Command(_) | Step::Close(_) => self.carry_out(now, id, step),
            }
        }
        self.settle_output(id);
    }

    fn settle_output(&mut self, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        match connection.outbound.is_empty() {
            _ if connection.is_closing() => self.lane.mark_dirty(id.slot),
            true => self.lane.reclaim(id.slot),
            false => self.lane.mark_answered(id.slot),
        }
    }

    #[inline(never)]
    fn carry_out(&mut self, now: Instant, id: ConnectionId, step: Step<'_>) {
        match step {
            Step::Idle => {}
            Step::Command(command) => self.execute(now, id, command),
            Step::Close(close) => self.end(now, id, close),
        }
    }

    fn execute(&mut self, now: Instant, id: ConnectionId, command: Command<'_>) {
        self.lane.journal.begin();
        match command {
            Command::Publish(mut publish) => self.publish(now, id, &mut publish),
            Command::PublishIf(command) => self.publish_if(now, id, *command),
            Command::Settle(settle) => self.settle(now, id, settle),
            Command::Complete { receipt } => self.complete(now, id, receipt),
            Command::Subscribe(subscribe) => self.subscribe(now, id, &subscribe),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(now, id, &unsubscribe),
            Command::Read(topic) => self.read(now, id, topic),
            Command::Named(named) => self.execute(now, id, named.as_command()),
            Command::Open(open) => self.open(now, id, open),
            Command::Authenticate(exchange) => self.authenticate(now, id, *exchange),
        }
    }

    /// A peer that had published too much is listened to again. What it has sent meanwhile is read before its silence
    /// counts.
    fn go_on(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.paused = None;
        let kept = core::mem::take(&mut connection.inbound);
        self.audit_limit(now, id, Limit::PublishRate, None);
        self.run_kept(now, id, kept);
        let waits = self.lane.connections.get_mut(id).is_some_and(|connection| connection.paused.is_some());
        self.arm(if waits { now } else { now + READING_TIME }, id.slot);
        self.lane.mark_answered(id.slot);
    }

    /// Arms the timer of a connection if it wants to be woken earlier than it will be.
    pub(crate) fn arm(&mut self, now: Instant, slot: u32) {
        let Some(connection) = self.lane.connections.at(slot) else { return };
        let Some(deadline) = wake_at(connection) else { return };
        if let Some((key, armed)) = connection.timer {
            if armed <= deadline {
                return;
            }
            self.timers.cancel(key);
        }
        let id = ConnectionId { slot, generation: connection.generation };
        connection.timer = Some((self.timers.arm(deadline.max(now), Timer::Connection(id)), deadline));
    }

    fn connection_due(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.lane.connections.get_mut(id) else { return };
        connection.timer = None;
        if connection.is_closing() {
            return self.finish(id);
        }
        if connection.valid_until.is_some_and(|until| until <= now) {
            return self.expel(now, id);
        }
        if connection.paused.is_some_and(|until| until <= now) {
            return self.go_on(now, id);
        }
        if connection.stack.deadline().is_some_and(|deadline| deadline <= now) {
            self.lane.lend(id.slot);
            if let Some(connection) = self.lane.connections.get_mut(id) {
                connection.stack.handle_timeout(now, &mut connection.outbound);
            }
            self.resume_input(now, id);
        }
        self.arm(now, id.slot);
    }

    pub(crate) fn count_half_open(&mut self, change: isize) {
        self.half_open = self.half_open.saturating_add_signed(change);
        self.counters().half_open.set(self.half_open as u64);
    }

    pub(crate) fn count_dropped(&self, reason: DropReason, count: usize) {
        self.counters().dropped(reason).add(count as u64);
    }
}

fn wake_at(connection: &Connection) -> Option<Instant> {
    if connection.is_closing() {
        return None;
    }
    let own = connection.paused.or_else(|| connection.stack.deadline());
    [own, connection.valid_until].into_iter().flatten().min()
}
