//! One worker's engine: the state, and what passes between it and the I/O layer beside bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mynah_core::administration::Ordered;
use mynah_core::{Counters, DropReason, RouteCache, SessionRef, SessionTable, WorkerId};
use mynah_model::{Instant, Reason, TenantId};
use mynah_stack::Close;

use crate::administration::Orders;
use crate::audit::Audited;
use crate::authenticate::Attempt;
use crate::connections::ConnectionId;
use crate::deeds::{Parts, RestoredErrand};
use crate::delayed::Delayed;
use crate::due::Timer;
use crate::inbox::{Handover, Parcel};
use crate::lane::Lane;
use crate::named::{Binding, Known, Noted};
use crate::random::Random;
use crate::rules::Judge;
use crate::shared::Shared;
use crate::timer::{TimerKey, TimerWheel};

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
    /// Whose command was refused last for a limit, in this turn: a stack that ends the connection for that is not told of twice.
    pub(crate) refused: Option<ConnectionId>,
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
    /// Filters of queues that are gone, which are still in the index.
    pub(crate) unbinding: VecDeque<(TenantId, Box<[u8]>, SessionRef)>,
    /// There may be bindings of queues and exchanges that are gone.
    pub(crate) forgets: bool,
    /// Durable exchanges that were declared in this run, with their numbers and the marks of what was noted of them.
    pub(crate) declared: Noted,
    /// What the exchanges of an earlier run were bound to.
    pub(crate) links: Vec<(TenantId, Box<[u8]>, Binding)>,
    pub(crate) known: Known,
    pub(crate) delayed: Delayed,
    pub(crate) due: Vec<Timer>,
    /// Memory for the topic that stands for where something is published.
    pub(crate) place: Vec<u8>,
    pub(crate) orders: Orders,
    /// When this worker looks for retained values that have expired.
    pub(crate) retained_due: Option<(TimerKey, Instant)>,
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
    /// An order was carried out, or was not.
    Ordered {
        /// As [`Engine::handle_order`] returned it.
        number: u32,
        /// What became of it.
        result: Ordered,
    },
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
                worker,
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
            refused: None,
            leaving: Vec::new(),
            first_sequence: 0,
            repeated: BTreeMap::new(),
            since: BTreeMap::new(),
            errands: Vec::new(),
            restored: Vec::new(),
            started: now,
            count: None,
            presence_reads: Vec::new(),
            unbinding: VecDeque::new(),
            forgets: false,
            declared: BTreeMap::new(),
            links: Vec::new(),
            known: Known::default(),
            delayed: Delayed::default(),
            due: Vec::new(),
            place: Vec::new(),
            orders: Orders::default(),
            retained_due: None,
            shared,
        }
    }

    /// What this worker counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.shared.counters(self.worker)
    }

    /// Hears that the peer is gone. The connection is no longer here afterwards.
    pub fn handle_peer_closed(&mut self, now: Instant, id: ConnectionId) {
        self.end(now, id, Close::new(Reason::Disconnected, true));
        if self.remove(id).is_some() {
            self.counters().connections_closed.add(1);
        }
    }

    /// Takes in what another worker sent.
    pub fn handle_parcels(&mut self, now: Instant, parcels: Vec<Parcel>) {
        for parcel in parcels {
            match parcel {
                Parcel::Deliver { message, targets, ask } => {
                    self.deliver_parcel(now, &message, &targets, ask);
                }
                Parcel::Retained { message, ask } => self.store_for_another(&message, ask),
                Parcel::Queue(word) => self.handle_word(now, *word),
                Parcel::CountPresence => self.count = Some(0),
                Parcel::PresenceKnown => self.presence_known(now),
                Parcel::Stored { token } => self.handle_remote_stored(now, token),
            }
        }
    }

    /// Takes leave of every peer, in its protocol's way. New peers are refused from here on.
    pub fn handle_shutdown(&mut self, now: Instant) {
        self.stopping = true;
        self.note_shown();
        for id in self.lane.connections.ids() {
            self.lane.lend(id.slot);
            if let Some(connection) = self.lane.connections.get_mut(id).filter(|c| !c.is_closing()) {
                connection.stack.handle_shutdown(now, &mut connection.outbound);
                self.run(now, id, &mut &[][..]);
                self.end(now, id, Close::new(Reason::ShuttingDown, false));
            }
        }
    }

    /// The next thing to be carried out.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.depart();
        self.events.pop_front()
    }

    /// Whether there is anything to be sent to other workers.
    #[must_use]
    pub fn has_parcels(&self) -> bool {
        self.outboxes.iter().any(|parcels| !parcels.is_empty())
    }

    /// What is to be sent to another worker: one batch in a turn.
    pub fn take_parcels(&mut self, to: WorkerId) -> Vec<Parcel> {
        core::mem::take(&mut self.outboxes[usize::from(to.0)])
    }

    /// How many connections are here.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lane.connections.len()
    }

    pub(crate) fn count_dropped(&self, reason: DropReason, count: usize) {
        self.counters().dropped(reason).add(count as u64);
    }
}
