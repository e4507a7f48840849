//! The table of a worker's connections.

use std::num::NonZeroU64;
use std::sync::Arc;

use mynah_core::rules::{Address, Mandate, Rights};
use mynah_core::{SessionRef, WorkerId};
use mynah_model::{DeliveryId, Groups, Identity, Instant, Layout, Reason, TenantId};
use mynah_stack::{Connection as Stack, Open, Outbound};

use crate::layouts::PLAIN;
use crate::named::Taps;
use crate::proof::Proof;
use crate::restraint::Restraint;
use crate::timer::TimerKey;
use crate::waiting::Waiting;

/// Names a connection of one worker; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The place in the worker's table, used again after the connection has ended.
    pub slot: u32,
    /// Tells the connections apart that had the same slot.
    pub generation: u32,
}

/// How far a connection has come.
pub(crate) enum Phase {
    /// Nothing is known of the peer.
    New,
    /// The peer has asked to be let in, and its credentials are being verified.
    Opening(Box<Open>),
    /// The session lives on another worker, and the connection is on its way there.
    Leaving(Box<Departure>),
    /// A session is attached.
    Open(SessionRef),
    /// The session was taken away; the connection is about to end.
    Detached,
    /// No more input; the connection goes when its outbound bytes are written.
    Closing(Reason),
}

/// A request to be let in that was granted: what the session is attached by.
pub(crate) struct Admission {
    pub(crate) open: Box<Open>,
    pub(crate) identity: Identity,
    pub(crate) groups: Groups,
    pub(crate) mandate: Option<Arc<Mandate>>,
    pub(crate) valid_until: Option<Instant>,
    /// The last word of the method by which the peer has proved who it is.
    pub(crate) last_word: Option<Box<[u8]>>,
    /// Whether the broker chose the client identifier.
    pub(crate) assigned: bool,
}

/// What a connection takes along to the worker that owns its session.
pub(crate) struct Departure {
    pub(crate) to: WorkerId,
    pub(crate) admission: Admission,
}

/// Whose turn it is while a peer proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proving {
    /// Nothing is being proved.
    No,
    /// What the peer said last is being verified.
    Verifying,
    /// The peer has to say more.
    Challenged,
}

/// One connection as the engine sees it.
pub(crate) struct Connection {
    pub(crate) stack: Box<dyn Stack>,
    pub(crate) outbound: Outbound,
    /// Bytes that arrived and are not consumed yet.
    pub(crate) inbound: Vec<u8>,
    pub(crate) phase: Phase,
    pub(crate) identity: Option<Identity>,
    /// The groups that the identity is in.
    pub(crate) groups: Groups,
    /// What the peer may do at most, if whoever vouches for it says that.
    pub(crate) mandate: Option<Arc<Mandate>>,
    /// When the session was opened.
    pub(crate) opened_at: Instant,
    /// When the proof of the identity ends.
    pub(crate) valid_until: Option<Instant>,
    /// The host that the transport was asked for; until the peer asks to be let in.
    pub(crate) host: Option<Box<str>>,
    /// The tenant that the peer has named, if that is another one than its listener's.
    pub(crate) named: Option<TenantId>,
    /// How the peer has proved who it is below its protocol, if it has.
    pub(crate) proof: Option<Arc<Proof>>,
    /// Where the peer is, if that is an address of the internet.
    pub(crate) address: Option<Address>,
    /// What the rules say of the peer; absent until they are asked.
    pub(crate) rights: Option<Rights>,
    /// The last topic that the peer was found to have the right to publish to; empty if there is none.
    pub(crate) permitted: Vec<u8>,
    /// What the rules limit.
    pub(crate) restraint: Option<Box<Restraint>>,
    /// The peer has published more than it may: until then nothing is taken from it.
    pub(crate) paused: Option<Instant>,
    /// What it publishes counts with what all others do who are the same, and is refused where it is too much.
    pub(crate) shares_rates: bool,
    /// The connection counts as one of its identity's.
    pub(crate) counted: bool,
    pub(crate) proving: Proving,
    /// Tells the messages of this peer's session from those of others.
    pub(crate) publisher: Option<NonZeroU64>,
    pub(crate) tenant: TenantId,
    pub(crate) layout: Layout,
    pub(crate) listener: u16,
    pub(crate) generation: u32,
    /// The delivery after which redelivery goes on, while a session is being resumed.
    pub(crate) resume: Option<Resume>,
    /// What waits for the store.
    pub(crate) waiting: Option<Box<Waiting>>,
    pub(crate) timer: Option<(TimerKey, Instant)>,
    /// Which list of those to be flushed the connection is in.
    pub(crate) dirty: Dirty,
    /// Its deadline is looked at again when deliveries have been written.
    pub(crate) is_timed: bool,
    /// Something was dropped because the peer reads slowly, and there was no room since.
    pub(crate) is_slow: bool,
    /// The socket takes no more bytes at the moment.
    pub(crate) blocked: bool,
    /// The connection is in the list of those with deliveries to be made.
    pub(crate) pumping: bool,
    /// A queue has answered, and the stack may have something to say of it.
    pub(crate) is_answered: bool,
    /// What it has to do with queues.
    pub(crate) taps: Option<Box<Taps>>,
}

/// What waits to be written to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dirty {
    /// Nothing that is not known to be stuck.
    No,
    /// Answers only, which can wait for those of the next turn.
    Answers,
    /// A delivery, or the last words of a connection that ends.
    Deliveries,
}

/// Where the redelivery of unconfirmed deliveries stands.
#[derive(Clone, Copy)]
pub(crate) struct Resume {
    /// The last delivery that was repeated.
    pub(crate) after: Option<DeliveryId>,
}

impl Connection {
    pub(crate) fn session(&self) -> Option<SessionRef> {
        match self.phase {
            Phase::Open(session) => Some(session),
            Phase::New | Phase::Opening(_) | Phase::Leaving(_) | Phase::Detached | Phase::Closing(_) => None,
        }
    }

    /// Whether nothing more is read from the peer for now: it has published too much, or so much waits for the store, or a
    /// transaction for other workers.
    pub(crate) fn is_held_back(&self) -> bool {
        self.paused.is_some()
            || self.waiting.as_ref().is_some_and(|waiting| waiting.is_full())
            || self.taps.as_ref().is_some_and(|taps| taps.is_transacting())
    }

    /// Whether the peer does not know yet that its session is open.
    pub(crate) fn is_opening(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.opening)
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.phase, Phase::New | Phase::Opening(_) | Phase::Leaving(_))
    }
}

/// A worker's connections, by slot.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
}

enum Slot {
    Free { generation: u32 },
    Used(Box<Connection>),
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, stack: Box<dyn Stack>, listener: u16) -> ConnectionId {
        let is_timed = stack.is_woken_for_deliveries();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free { generation: 0 });
            self.slots.len() as u32 - 1
        });
        let generation = match &self.slots[slot as usize] {
            Slot::Free { generation } => *generation,
            Slot::Used(connection) => connection.generation,
        };
        self.slots[slot as usize] = Slot::Used(Box::new(Connection {
            stack,
            outbound: Outbound::new(),
            inbound: Vec::new(),
            phase: Phase::New,
            identity: None,
            groups: Groups::NONE,
            mandate: None,
            opened_at: Instant::ZERO,
            valid_until: None,
            host: None,
            named: None,
            proof: None,
            address: None,
            rights: None,
            permitted: Vec::new(),
            restraint: None,
            paused: None,
            shares_rates: false,
            counted: false,
            proving: Proving::No,
            publisher: None,
            tenant: TenantId::DEFAULT,
            layout: PLAIN,
            listener,
            generation,
            resume: None,
            waiting: None,
            timer: None,
            dirty: Dirty::No,
            is_timed,
            is_slow: false,
            blocked: false,
            pumping: false,
            is_answered: false,
            taps: None,
        }));
        self.count += 1;
        ConnectionId { slot, generation }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.get_mut(id)?;
        let free = Slot::Free { generation: id.generation.wrapping_add(1) };
        self.free.push(id.slot);
        self.count -= 1;
        match core::mem::replace(&mut self.slots[id.slot as usize], free) {
            Slot::Used(connection) => Some(connection),
            Slot::Free { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Connection> {
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Used(connection)) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn peek(&self, slot: u32) -> Option<&Connection> {
        match self.slots.get(slot as usize) {
            Some(Slot::Used(connection)) => Some(connection),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.at(id.slot).filter(|c| c.generation == id.generation)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        match self.slots.get(id.slot as usize) {
            Some(Slot::Used(connection)) if connection.generation == id.generation => Some(connection),
            _ => None,
        }
    }

    /// The names of all connections, by slot.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let id = |(slot, s): (usize, &Slot)| match s {
            Slot::Used(c) => Some(ConnectionId { slot: slot as u32, generation: c.generation }),
            Slot::Free { .. } => None,
        };
        self.slots.iter().enumerate().filter_map(id).collect()
    }
}
