//! What workers send each other: data, in batches, one batch for each pair of workers and turn.

use std::sync::Arc;

use mynah_core::rules::Address;
use mynah_core::{Target, WorkerId};
use mynah_model::Message;
use mynah_stack::{Connection as Stack, Outbound};

use crate::connections::Admission;
use crate::deeds::Part;
use crate::named::Word;
use crate::proof::Proof;

/// A command from one worker's engine to another's.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Deliver a message to sessions of the receiving worker.
    Deliver {
        /// The message.
        message: Message,
        /// The sessions, with the options of their subscriptions.
        targets: Arc<[Target]>,
        /// Who wants to hear when it is stored for those of them that are.
        ask: Option<Ask>,
    },
    /// The value of the message's topic has changed, which the receiving worker stores.
    Retained {
        /// The message.
        message: Message,
        /// Who wants to hear when that is stored.
        ask: Option<Ask>,
    },
    /// Something about named queues.
    Queue(Box<Word>),
    /// Somebody wants to know who is here.
    CountPresence,
    /// It is known who is here.
    PresenceKnown,
    /// What was asked for is stored.
    Stored {
        /// The token of the [`Ask`].
        token: u64,
    },
}

/// Asks to be told when something is stored.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub(crate) from: WorkerId,
    /// What the answer is to name.
    pub(crate) token: u64,
    /// What is to be stored together with it.
    pub(crate) part: Option<Part>,
}

/// A connection on its way to the worker that owns its session: everything but the socket.
pub struct Handover {
    pub(crate) stack: Box<dyn Stack>,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Vec<u8>,
    pub(crate) listener: u16,
    pub(crate) proof: Option<Arc<Proof>>,
    pub(crate) address: Option<Address>,
    pub(crate) admission: Admission,
}
