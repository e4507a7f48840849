//! Named queues at work. A queue lives at the worker that owns its name; connections everywhere consume from it.
//!
//! `commands`: what a connection asks for, checked where the connection is. `request`: the same as data, which goes to the
//! queue's worker, and what comes back. `serving`: what the queue's worker does about it. `delivering`: what a queue hands
//! out, here or to another worker, as long as there is room. `publishing`: what comes in under a queue's own name.
//! `replaying`: retained values for a queue.
//! `dead`: what leaves a queue without having been accepted. `keeping`: what is stored of queues. `transacting`: several things together. `ending`: of consumers with their connections, and of queues. `table`: the queues of a worker.
//! `held`: leases that no connection holds.
//! `subscribed`: sessions that consume because they have subscribed to a queue's topic.
//! `exchanging`: exchanges and bindings come and go. `routing`: where exchanges lead. `linked`: what is stored of them.
//! `paging`: what of long queues the store alone holds.
//!
//! A queue is referred to like a session, in a range of slots of its own, so that a filter that is attached to it is one in the topic
//! index like any other. Its own name is such a filter too, and a key of an exchange is a topic: see `addresses`.

mod addresses;
mod commands;
mod dead;
mod delivering;
mod ending;
mod exchanging;
mod held;
mod keeping;
mod linked;
mod paging;
mod publishing;
mod replaying;
mod request;
mod routing;
mod serving;
mod subscribed;
mod table;
mod transacting;

pub(crate) use addresses::{address, queue_of, stands_for_others};
pub(crate) use exchanging::Noted;
pub(crate) use held::Holders;
pub(crate) use keeping::QueueNote;
pub use keeping::{QueueChange, QueueName, RestoredEntry, RestoredQueue};
pub(crate) use linked::ExchangeNote;
pub use linked::{Binding, ExchangeChange, RestoredExchange};
pub use paging::PageRequest;
pub use request::Word;
pub(crate) use request::{Fault, Reply, Request};
pub(crate) use routing::Known;
pub(crate) use table::{Queues, is_named};

use std::collections::BTreeMap;

use mynah_core::WorkerId;
use mynah_stack::ConsumerId;
use subscribed::{Subscription, UnderWay};
use transacting::Undertaking;

/// What a connection has to do with queues.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    consumers: BTreeMap<ConsumerId, Tap>,
    /// Queues that end with the connection.
    exclusive: Vec<Box<[u8]>>,
    /// Somebody waits for room in the connection's outbound buffer.
    waits_for_room: bool,
    /// Of subscriptions to topics of queues.
    under_way: UnderWay,
    /// A transaction that other workers keep leases for. Nothing is read from the peer until it is over.
    transaction: Option<Box<Undertaking>>,
}

/// One consumer of a connection.
#[derive(Debug)]
struct Tap {
    queue: Box<[u8]>,
    /// The queue's worker.
    worker: WorkerId,
    /// Bytes that have come from there and for which it has not been given room again.
    owed: u64,
    /// No more is delivered, but leases may be held.
    is_cancelled: bool,
    /// Of a subscription to the queue's topic.
    subscribed: Option<Box<Subscription>>,
}

impl Tap {
    fn new(queue: &[u8], worker: WorkerId) -> Self {
        Self { queue: queue.into(), worker, owed: 0, is_cancelled: false, subscribed: None }
    }
}

impl Taps {
    /// How many consumers there are.
    pub(crate) fn len(&self) -> usize {
        self.consumers.len()
    }

    /// Whether something goes on when there is room in the outbound buffer.
    pub(crate) const fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// Whether a transaction is under way.
    pub(crate) const fn is_transacting(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether deliveries wait until the peer takes more.
    pub(crate) fn waits_for_window(&self) -> bool {
        self.under_way.waits()
    }
}
