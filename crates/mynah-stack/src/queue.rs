//! Commands about named queues, streams and exchanges, what they come to, and how a consumer settles what it got.
//!
//! A consumer gets what its credit allows ([`crate::Delivery::Leased`]). Each delivery is a *lease*: it has a number,
//! consecutive for its consumer and beginning with 1, under which it is settled. Leases that a consumer holds when it is
//! cancelled, or when its connection ends, are released: as failed if the connection was lost.

use alloc::boxed::Box;
use alloc::vec::Vec;

use core::time::Duration;

use mynah_model::{
    Argument, Credit, CreditChange, ExchangeSettings, LeaseSettlement, QueueSettings, Reason, StreamOffset,
    WallTime,
};

use crate::Publish;

/// What a connection asks about named queues, streams and exchanges.
#[derive(Debug)]
pub enum QueueCommand<'b> {
    /// Declare a queue or an exchange.
    Declare(Box<Declare<'b>>),
    /// Delete a queue or an exchange.
    Delete(Delete<'b>),
    /// Delete what is ready in a queue.
    Purge(Purge<'b>),
    /// Bind to an exchange.
    Bind(Box<Bind<'b>>),
    /// Undo a binding.
    Unbind(Box<Bind<'b>>),
    /// Take messages from a queue.
    Consume(Box<Consume<'b>>),
    /// Take no more. Answered by [`QueueOutcome::Cancelled`].
    Cancel {
        /// The consumer.
        consumer: ConsumerId,
        /// Whether the leases that it holds stay until they are settled or the connection ends; else they are released.
        keep: bool,
    },
    /// Say how much a consumer takes.
    Flow(Flow),
    /// Settle leases.
    Settle(SettleLeases),
    /// Do several things together or not at all.
    Transact(Box<Transaction<'b>>),
    /// Something about leases that no connection holds. Answered by [`QueueOutcome::Held`].
    Hold(Box<Hold<'b>>),
}

/// What became of a [`QueueCommand`].
#[derive(Clone, Copy, Debug)]
pub enum QueueOutcome<'a> {
    /// Answers [`QueueCommand::Declare`].
    Declared {
        /// The receipt of the command.
        receipt: u32,
        /// The entity, or why it is not there.
        result: Result<Declared<'a>, Refusal<'a>>,
    },
    /// Answers [`QueueCommand::Delete`] and [`QueueCommand::Purge`].
    Deleted {
        /// The receipt of the command.
        receipt: u32,
        /// How many messages went.
        result: Result<u64, Refusal<'a>>,
    },
    /// Answers [`QueueCommand::Bind`] and [`QueueCommand::Unbind`].
    Bound {
        /// The receipt of the command.
        receipt: u32,
        /// Done, or why not.
        result: Result<(), Refusal<'a>>,
    },
    /// Answers [`QueueCommand::Consume`].
    Consuming {
        /// The consumer.
        consumer: ConsumerId,
        /// Done, or why not.
        result: Result<(), Refusal<'a>>,
    },
    /// Answers [`QueueCommand::Cancel`]: no delivery follows.
    Cancelled(ConsumerId),
    /// A consumer has ended without having been cancelled: its queue is gone, or its right to it. Its leases are gone with
    /// it.
    ConsumerEnded {
        /// The consumer.
        consumer: ConsumerId,
        /// Why.
        reason: Reason,
    },
    /// Answers [`QueueCommand::Flow`] with `drain`: the consumer has no credit left.
    Drained(ConsumerId),
    /// Answers [`QueueCommand::Settle`] that has a receipt.
    Settled {
        /// The receipt of the command.
        receipt: u32,
    },
    /// Answers [`QueueCommand::Transact`].
    Committed {
        /// The receipt of the command.
        receipt: u32,
        /// Everything was done, or nothing was.
        result: Result<(), Refusal<'a>>,
        /// The places of the publications that have reached nobody.
        unwanted: &'a [u32],
    },
    /// Answers [`QueueCommand::Hold`]: of [`Holding::Take`] after the deliveries.
    Held {
        /// The receipt of the command.
        receipt: u32,
        /// Done, and until when what was asked about is held or was; none if it is not held any more, or never was.
        result: Result<Option<WallTime>, Refusal<'a>>,
    },
}

/// Something that is declared, deleted, or bound to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity<'b> {
    /// A named queue or stream.
    Queue(&'b [u8]),
    /// An exchange. `amq.topic` is the topic space; the others have a space of their own each.
    Exchange(&'b [u8]),
}

/// What a declaration says of its entity.
#[derive(Debug)]
pub enum Declaration {
    /// Of a queue.
    Queue(QueueSettings),
    /// Of an exchange.
    Exchange(ExchangeSettings),
    /// Nothing: the question is only whether it is there.
    Passive,
    /// Nothing: a queue that is not there is made as the broker makes those that are used first, if the peer may; one that
    /// is there is taken as it is.
    OnFirstUse,
}

/// Declares a queue or an exchange. Answered by [`QueueOutcome::Declared`], once a durable one is stored.
#[derive(Debug)]
pub struct Declare<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// What is declared. A queue without a name gets one from the broker.
    pub entity: Entity<'b>,
    /// What is said of it.
    pub declaration: Declaration,
}

/// Deletes a queue or an exchange. Answered by [`QueueOutcome::Deleted`].
#[derive(Clone, Copy, Debug)]
pub struct Delete<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// What is deleted.
    pub entity: Entity<'b>,
    /// Only if nobody uses it: no consumer of a queue, nothing bound to an exchange.
    pub if_unused: bool,
    /// Only if it holds no message.
    pub if_empty: bool,
}

/// Deletes the messages of a queue that are ready. Answered by [`QueueOutcome::Deleted`].
#[derive(Clone, Copy, Debug)]
pub struct Purge<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// The queue.
    pub queue: &'b [u8],
}

/// Binds a queue or an exchange to an exchange, or undoes that. Answered by [`QueueOutcome::Bound`], after the change
/// is visible to all publishers and, where all that it concerns is durable, stored.
#[derive(Debug)]
pub struct Bind<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// The exchange whose messages are wanted.
    pub source: &'b [u8],
    /// Who wants them.
    pub destination: Entity<'b>,
    /// Which. Of a [`mynah_model::ExchangeKind::Topic`] a filter in canonical form.
    pub key: &'b [u8],
    /// Headers that are asked for where the exchange goes by these, and options such as `x-mqtt-retain-handling`.
    pub arguments: Vec<(Box<str>, Argument)>,
}

/// Names a consumer of a connection. The stack chooses the numbers; a new consumer may have the number of one that has
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u32);

/// Begins to take messages from a queue. Answered by [`QueueOutcome::Consuming`], before the first delivery.
#[derive(Debug)]
pub struct Consume<'b> {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The queue.
    pub queue: &'b [u8],
    /// How it takes them.
    pub options: ConsumeOptions<'b>,
    /// What it takes to begin with.
    pub credit: Credit,
}

/// How a consumer takes messages.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumeOptions<'b> {
    /// A delivery is settled by being made: there is nothing to hear of it.
    pub settled: bool,
    /// Nobody else may consume from the queue. Refused with [`Reason::Locked`] if somebody does.
    pub exclusive: bool,
    /// Takes single messages when it is told to, and is no consumer to anybody else: neither counted, nor one that keeps a
    /// queue or takes a single active consumer's place (AMQP 0-9-1's `basic.get`).
    pub polls: bool,
    /// Consumers with a higher number are served first as long as they have credit.
    pub priority: i32,
    /// The consumer gets nothing that its own connection has published.
    pub no_local: bool,
    /// Which messages are wanted: a condition in the SQL-92 subset of JMS. The others stay in the queue.
    pub selector: Option<&'b str>,
    /// Of a stream: where to begin. Absent: with what comes from now on.
    pub offset: Option<StreamOffset>,
}

impl ConsumeOptions<'_> {
    /// All messages of a queue, each to be settled.
    pub const ALL: Self = Self {
        settled: false,
        exclusive: false,
        polls: false,
        priority: 0,
        no_local: false,
        selector: None,
        offset: None,
    };
}

/// Gives a consumer more credit, or takes back what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The consumer.
    pub consumer: ConsumerId,
    /// What is done to its credit.
    pub change: CreditChange,
    /// Whether credit that cannot be used at once is given up: answered by [`QueueOutcome::Drained`], after the
    /// deliveries that it was enough for.
    pub drain: bool,
}

/// Settles leases of a consumer. One that is not held is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleLeases {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The number of the first lease.
    pub first: u64,
    /// The number of the last lease.
    pub last: u64,
    /// What becomes of the messages.
    pub settlement: LeaseSettlement,
    /// Set if the peer wants to hear when that is stored: [`QueueOutcome::Settled`].
    pub receipt: Option<u32>,
}

/// Names who holds leases without being a connection. Who knows it may settle them, so nobody can guess it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(pub [u8; 16]);

impl core::fmt::Debug for Holder {
    /// A secret is never shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Holder").finish_non_exhaustive()
    }
}

/// Asks something about leases that outlive the connection: each ends by itself, as failed, when its time is over. They are
/// gone when the broker stops.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// The queue.
    pub queue: &'b [u8],
    /// Who holds them.
    pub holder: Holder,
    /// What is asked.
    pub holding: Holding,
}

/// What is asked of a holder's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Lease messages to a holder that is new. If there are none, the first that comes is waited for.
    Take {
        /// How many at most.
        credit: Credit,
        /// For how long.
        lasting: Duration,
        /// How long is waited.
        wait: Duration,
    },
    /// Settle a lease, by its number.
    Settle(u64, LeaseSettlement),
    /// Hold a lease, by its number, for this long from now on.
    Extend(u64, Duration),
}

/// Publications and settlements that are carried out together or not at all, and stored as one. Answered by
/// [`QueueOutcome::Committed`].
#[derive(Debug)]
pub struct Transaction<'b> {
    /// Identifies the request in its outcome.
    pub receipt: u32,
    /// What is published, in order. Their receipts mean nothing.
    pub publications: Vec<Publish<'b>>,
    /// What is settled.
    pub settlements: Vec<SettleLeases>,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination<'b> {
    /// To those who want its topic.
    #[default]
    Topic,
    /// To the queue whose name stands where the topic is.
    Queue,
    /// To this exchange; where the topic is stands the routing key, in canonical form or empty.
    Exchange(&'b [u8]),
}

/// Why a command about queues was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// In the broker's words.
    pub reason: Reason,
    /// What exactly, for people: such as which setting of a queue differs, with both values. May be empty.
    pub detail: &'a str,
}

/// A queue or an exchange as it was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    /// Its name, which the broker may have chosen.
    pub name: &'a [u8],
    /// Messages that are ready.
    pub messages: u64,
    /// Consumers.
    pub consumers: u32,
}
