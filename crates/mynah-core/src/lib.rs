//! The deciding half of the broker: it would stay true if any one protocol vanished.
//!
//! Nothing here reads a clock, draws randomness, or names a protocol, a socket or a thread; time and seeds are
//! arguments. The map:
//!
//! * [`WorkerId`] and [`SessionRef`]: who owns a session and where it lives there; [`owner`] says which worker.
//! * [`TopicIndex`]: the filters of all sessions, shared by all workers and read-mostly. [`Generations`] counts its
//!   changes, so that each worker's [`RouteCache`] knows which of its remembered matches still hold.
//! * [`Target`]: a session that a message goes to, and by which of its subscriptions. [`Shares`]: groups of sessions of
//!   which one gets each message.
//! * [`Queue`]: the queue kernel. Ready entries, leases in order, settlement, bounds and expiry.
//! * [`NamedQueue`]: a queue with a name, and consumers who compete for what is in it; a stream likewise.
//! * [`Session`] and [`SessionTable`]: what outlives a connection. [`Mutation`] is every durable change of a session as
//!   explicit data.
//! * [`Text`]: a filter that the index and a session share.
//! * [`RetainedStore`]: the last value of each topic, walked in topic order by a [`Cursor`].
//! * [`exchange`]: where messages go that are published to a name with a routing key.
//! * [`selector`]: which of a queue's messages a consumer wants.
//! * [`rules`]: who may do what where. [`rules::Rules`] are resolved to each peer's [`rules::Rights`].
//! * [`Counters`]: what one worker counts and others read.
//! * [`administration`]: what administrators see, and what they may ask for.
#![no_std]

extern crate alloc;

pub mod administration;
pub mod counters;
pub mod exchange;
mod generation;
mod hash;
mod index;
mod named;
mod packed;
mod patterns;
mod queue;
mod refs;
mod retained;
mod route;
pub mod rules;
pub mod selector;
mod session;
mod sessions;
mod shard;
mod shares;
mod target;
#[cfg(test)]
mod testing;
mod text;

pub use counters::{Counters, DropReason};
pub use generation::{Generations, Stamp};
pub use index::{Match, TopicIndex};
pub use named::{
    Arrival, Body, ConsumerKey, Dropped, Handout, History, NamedQueue, PAGE, Returned, StreamStart, Taking,
    Tally,
};
pub use queue::{Entry, Kept, LeaseState, Leased, Queue, QueueBounds, Withdrawal};
pub use refs::{SessionRef, WorkerId};
pub use retained::{Cursor, RetainedStore};
pub use route::{Found, Route, RouteCache};
pub use session::{Mutation, Received, ReceivedIds, Replay, Session};
pub use sessions::{SessionKey, SessionTable};
pub use shard::{SHARDS, fingerprint, owner, shard};
pub use shares::{Member, Members, Reader, Shares};
pub use target::{GroupKey, Publishers, Target, Via};
pub use text::Text;
