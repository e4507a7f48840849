//! What connections ask of queues, and what they hear, as data that goes from worker to worker.

use std::sync::Arc;

use mynah_core::selector::Selector;
use mynah_core::{ConsumerKey, SessionRef, Taking, WorkerId};
use mynah_model::{
    Class, Credit, LeaseSettlement, Message, QueueSettings, Reason, RetainHandling, StreamOffset, TenantId,
    WallTime,
};
use mynah_stack::{
    ConsumerId, Declared, Flow, Holder, Holding, Outcome, QueueOutcome, Refusal, SettleLeases,
};

use super::dead::{Letter, Letters};
use super::delivering::Lent;
use super::linked::Binding;
use crate::connections::ConnectionId;

/// The connection that asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) worker: WorkerId,
    pub(crate) connection: ConnectionId,
    /// Whose queues it sees.
    pub(crate) tenant: TenantId,
}

impl Asker {
    pub(crate) const fn consumer(self, id: ConsumerId) -> ConsumerKey {
        let ConnectionId { slot, generation } = self.connection;
        ConsumerKey { worker: self.worker, slot, generation, number: id.0 }
    }

    /// The connection of a consumer, and its number there.
    pub(crate) const fn of(key: ConsumerKey, tenant: TenantId) -> (Self, ConsumerId) {
        let connection = ConnectionId { slot: key.slot, generation: key.generation };
        (Self { worker: key.worker, connection, tenant }, ConsumerId(key.number))
    }
}

/// What one worker tells another about queues.
#[derive(Clone, Debug)]
pub struct Word(pub(crate) Said);

impl Word {
    /// Bytes of the message that goes along.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        match &self.0 {
            Said::Ask(_, Request::Publish { message, .. }) => message.cost_bytes(),
            Said::Bury(letter) => letter.message.cost_bytes(),
            Said::Lend(_, lent) => lent.message.cost_bytes(),
            Said::BuryAll(letters) => letters.message.cost_bytes(),
            _ => 0,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// To the queue's worker.
    Ask(Asker, Request),
    /// To the connection's worker.
    Tell(ConnectionId, Reply),
    /// To the connection's worker: a delivery.
    Lend(ConnectionId, Box<Lent>),
    /// To the connection's worker: a consumer that was cancelled holds nothing any more.
    Forget(ConnectionId, ConsumerId),
    /// To the connection's worker: leases are kept for a transaction.
    Pledged(ConnectionId, Box<Pledge>),
    /// To the worker of a queue: a dead letter.
    Bury(Box<Letter>),
    /// To the worker of an exchange: it has gone of itself.
    ExchangeEnded(TenantId, Box<[u8]>),
    /// To the worker of queues: dead letters that have come by an exchange.
    BuryAll(Box<Letters>),
    /// To the queue's worker: there is room for so many more bytes.
    Room(ConsumerKey, u64),
}

/// What a connection asks of a queue.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Declare {
        receipt: u32,
        name: Box<[u8]>,
        wanted: Wanted,
    },
    Delete {
        receipt: u32,
        name: Box<[u8]>,
        if_unused: bool,
        if_empty: bool,
    },
    Purge {
        receipt: u32,
        name: Box<[u8]>,
    },
    /// Attaches a filter of the topic space.
    Attach {
        receipt: u32,
        name: Box<[u8]>,
        filter: Box<[u8]>,
        retained: RetainHandling,
    },
    Detach {
        receipt: u32,
        name: Box<[u8]>,
        filter: Box<[u8]>,
    },
    /// Note how the tables stand about an exchange, then answer.
    NoteExchange(Box<Noting>),
    /// Bind a queue.
    Bind(Box<Wish>),
    Consume(ConsumerId, Box<Consuming>),
    Cancel {
        consumer: ConsumerId,
        keep: bool,
    },
    Flow(Flow),
    Settle(SettleLeases),
    /// Keep leases until it is said how they are settled; answered, with a number for that, when they are stored.
    Pledge(SettleLeases),
    /// Settle what was pledged.
    Redeem {
        queue: SessionRef,
        number: u64,
        settlement: LeaseSettlement,
    },
    /// Publish to a queue that may refuse.
    Publish {
        receipt: Option<u16>,
        name: Box<[u8]>,
        message: Message,
        /// Make the queue, if it is not there.
        makes: bool,
    },
    /// The consumer's connection is gone; it was lost, or it said good-bye.
    Leave {
        consumer: ConsumerId,
        lost: bool,
    },
    /// About leases that no connection holds; the consumer by which they are taken.
    Hold(ConsumerId, Box<Wanting>),
    /// The connection is gone that had the queue for itself.
    EndExclusive {
        name: Box<[u8]>,
    },
}

/// What a declaration says of a queue.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Settings(Box<QueueSettings>),
    Passive,
    OnFirstUse,
}

/// What somebody wants a queue to be bound to, or wants no longer.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) receipt: u32,
    pub(crate) name: Box<[u8]>,
    pub(crate) binding: Binding,
    pub(crate) bound: bool,
}

/// That something has changed about an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Noting {
    pub(crate) name: Box<[u8]>,
    /// What it is bound to or is not any more; absent: whether it is there.
    pub(crate) binding: Option<Binding>,
    /// What the asker hears when that is stored.
    pub(crate) reply: Reply,
}

/// How somebody begins to consume.
#[derive(Clone, Debug)]
pub(crate) struct Consuming {
    pub(crate) name: Box<[u8]>,
    pub(crate) taking: Taking,
    pub(crate) offset: Option<StreamOffset>,
    pub(crate) selector: Option<Arc<Selector>>,
    pub(crate) credit: Credit,
    /// Make the queue, if it is not there.
    pub(crate) makes: bool,
}

/// What somebody wants of leases that no connection holds.
#[derive(Clone, Debug)]
pub(crate) struct Wanting {
    pub(crate) receipt: u32,
    pub(crate) name: Box<[u8]>,
    pub(crate) holder: Holder,
    pub(crate) holding: Holding,
}

/// Leases that are kept for a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Pledge {
    pub(crate) queue: SessionRef,
    pub(crate) name: Box<[u8]>,
    pub(crate) number: u64,
    pub(crate) settlement: LeaseSettlement,
    /// The numbers of those of the entries that are stored, in ascending order.
    pub(crate) stored: Vec<u64>,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: Arc<str>,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<Arc<str>>) -> Self {
        Self { reason, detail: detail.into() }
    }

    fn refusal(&self) -> Refusal<'_> {
        Refusal { reason: self.reason, detail: &self.detail }
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::new(reason, "")
    }
}

/// What a connection hears of a queue.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Declared {
        receipt: u32,
        name: Box<[u8]>,
        result: Result<(u64, u32), Fault>,
    },
    Deleted {
        receipt: u32,
        result: Result<u64, Fault>,
    },
    Bound {
        receipt: u32,
        result: Result<(), Fault>,
    },
    Consuming {
        consumer: ConsumerId,
        result: Result<(), Fault>,
    },
    Cancelled(ConsumerId),
    ConsumerEnded {
        consumer: ConsumerId,
        reason: Reason,
    },
    Drained(ConsumerId),
    Settled {
        receipt: u32,
    },
    /// With the places of the publications that have reached nobody.
    Committed {
        receipt: u32,
        result: Result<Box<[u32]>, Fault>,
    },
    Published {
        receipt: u16,
        class: Class,
        result: Result<bool, Reason>,
    },
    /// The consumer by which it was taken, if it was.
    Held {
        receipt: u32,
        taken_by: Option<ConsumerId>,
        result: Result<Option<WallTime>, Fault>,
    },
}

impl Reply {
    /// Whether it tells of something that is stored before it may be told.
    pub(crate) const fn is_promise(&self) -> bool {
        !matches!(
            self,
            Self::Consuming { .. }
                | Self::Cancelled(_)
                | Self::ConsumerEnded { .. }
                | Self::Drained(_)
                | Self::Held { taken_by: Some(_), .. }
        )
    }

    /// The consumer that it is about, if it is about one.
    pub(crate) const fn consumer(&self) -> Option<ConsumerId> {
        match *self {
            Self::Consuming { consumer, .. }
            | Self::ConsumerEnded { consumer, .. }
            | Self::Cancelled(consumer)
            | Self::Drained(consumer) => Some(consumer),
            _ => None,
        }
    }

    /// The same for the stack.
    pub(crate) fn outcome(&self) -> Outcome<'_> {
        Outcome::Queue(match *self {
            Self::Declared { receipt, ref name, ref result } => {
                let declared = |&(messages, consumers): &(u64, u32)| Declared { name, messages, consumers };
                QueueOutcome::Declared {
                    receipt,
                    result: result.as_ref().map(declared).map_err(Fault::refusal),
                }
            }
            Self::Deleted { receipt, ref result } => {
                QueueOutcome::Deleted { receipt, result: result.as_ref().copied().map_err(Fault::refusal) }
            }
            Self::Bound { receipt, ref result } => {
                QueueOutcome::Bound { receipt, result: result.as_ref().copied().map_err(Fault::refusal) }
            }
            Self::Consuming { consumer, ref result } => {
                QueueOutcome::Consuming { consumer, result: result.as_ref().copied().map_err(Fault::refusal) }
            }
            Self::Cancelled(consumer) => QueueOutcome::Cancelled(consumer),
            Self::ConsumerEnded { consumer, reason } => QueueOutcome::ConsumerEnded { consumer, reason },
            Self::Drained(consumer) => QueueOutcome::Drained(consumer),
            Self::Settled { receipt } => QueueOutcome::Settled { receipt },
            Self::Committed { receipt, ref result } => {
                let unwanted = result.as_deref().unwrap_or_default();
                let result = result.as_ref().map(|_| ()).map_err(Fault::refusal);
                QueueOutcome::Committed { receipt, result, unwanted }
            }
            Self::Held { receipt, ref result, .. } => {
                QueueOutcome::Held { receipt, result: result.as_ref().copied().map_err(Fault::refusal) }
            }
            Self::Published { receipt, class, result } => {
                return Outcome::Published { receipt, class, result };
            }
        })
    }
}

/// A queue that was found for somebody.
pub(super) type Found = Result<SessionRef, Fault>;
