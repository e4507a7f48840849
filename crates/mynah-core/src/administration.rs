//! What administrators see of queues, exchanges and connections, and what they may ask for, as data.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::{Argument, Credit, Description, ExchangeSettings, QueueSettings, Reason};

use crate::WorkerId;
use crate::named::{ConsumerKey, Taking, Tally};

/// Bindings that one answer shows at most.
pub const BINDINGS_SHOWN_MAX: usize = 100_000;

/// Some of what has names, in the order of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// The one of this name.
    One(Box<[u8]>),
    /// So many that come after a name, or from the first.
    After(Option<Box<[u8]>>, usize),
}

/// A queue as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueView {
    /// Its name.
    pub name: Box<[u8]>,
    /// The worker that owns it.
    pub worker: WorkerId,
    /// What it was declared as.
    pub settings: QueueSettings,
    /// Messages that are ready.
    pub ready: u64,
    /// Bytes of their payloads.
    pub ready_bytes: u64,
    /// Messages that consumers hold.
    pub leased: u64,
    /// Messages that nobody gets yet.
    pub delayed: u64,
    /// Since it was made, or since the broker started.
    pub tally: Tally,
    /// Who consumes from it.
    pub consumers: Vec<ConsumerView>,
    /// What it is bound to, if that was asked for.
    pub bindings: Vec<BindingView>,
}

/// A consumer of a queue as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerView {
    /// Which consumer of which connection.
    pub key: ConsumerKey,
    /// How it takes messages.
    pub taking: Taking,
    /// What it may still get.
    pub credit: Credit,
    /// Messages that it holds.
    pub leased: u64,
    /// Whether it gets anything, where only one does.
    pub is_active: bool,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeView {
    /// Its name.
    pub name: Box<[u8]>,
    /// What it was declared as.
    pub settings: ExchangeSettings,
}

/// That a queue or an exchange is bound to an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingView {
    /// The exchange.
    pub source: Box<[u8]>,
    /// What is bound to it.
    pub destination: Box<[u8]>,
    /// Whether that is a queue, rather than an exchange.
    pub is_queue: bool,
    /// The key; of a topic exchange a filter in canonical form.
    pub key: Box<[u8]>,
    /// The arguments.
    pub arguments: Box<[(Box<str>, Argument)]>,
}

/// A connection as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionView {
    /// Its worker.
    pub worker: WorkerId,
    /// Its slot there.
    pub slot: u32,
    /// Which of the connections that have used the slot.
    pub generation: u32,
    /// Who its peer has proved to be; the listener's name for one that has not.
    pub identity: String,
    /// Where its peer is, if that is an address of the internet.
    pub address: Option<String>,
    /// The listener where it came in.
    pub listener: String,
    /// The protocol that is spoken.
    pub protocol: &'static str,
    /// Its consumers of queues.
    pub consumers: usize,
    /// What only its protocol knows.
    pub description: Description,
}

/// A connection, for an administrator who closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionName {
    /// Its worker.
    pub worker: WorkerId,
    /// Its slot there.
    pub slot: u32,
    /// Which of the connections that have used the slot.
    pub generation: u32,
}

/// What an administrator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// There is to be a queue.
    DeclareQueue {
        /// Its name.
        name: Box<[u8]>,
        /// What it is.
        settings: Box<QueueSettings>,
    },
    /// There is to be an exchange.
    DeclareExchange {
        /// Its name.
        name: Box<[u8]>,
        /// What it is.
        settings: Box<ExchangeSettings>,
    },
    /// A queue goes.
    DeleteQueue {
        /// Its name.
        name: Box<[u8]>,
        /// Only if nobody consumes from it.
        if_unused: bool,
        /// Only if no message is ready in it.
        if_empty: bool,
    },
    /// An exchange goes.
    DeleteExchange {
        /// Its name.
        name: Box<[u8]>,
        /// Only if nothing is bound to it.
        if_unused: bool,
    },
    /// What is ready in a queue goes.
    Purge {
        /// Its name.
        name: Box<[u8]>,
    },
    /// A binding is made, or undone.
    Bind {
        /// Which.
        binding: BindingView,
        /// Whether it is to be there.
        bound: bool,
    },
}

impl Order {
    /// The name of the queue or of the exchange that it is about; of a binding the destination's.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::DeclareQueue { name, .. }
            | Self::DeclareExchange { name, .. }
            | Self::DeleteQueue { name, .. }
            | Self::DeleteExchange { name, .. }
            | Self::Purge { name } => name,
            Self::Bind { binding, .. } => &binding.destination,
        }
    }
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// In the broker's words.
    pub reason: Reason,
    /// What exactly, for people.
    pub detail: Box<str>,
}

/// What became of an order: messages that went with it, of those that take messages away.
pub type Ordered = Result<u64, Declined>;
