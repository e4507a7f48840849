//! The contract between a protocol stack and the broker.
//!
//! A stack is pure: it never reads a clock, opens a socket or names a runtime. A [`Connection`] takes
//!
//! * bytes and the instant they came ([`Connection::step`]),
//! * a delivery ([`Connection::deliver`]),
//! * the outcome of a command it gave earlier ([`Connection::handle_outcome`]),
//! * a timeout ([`Connection::handle_timeout`]) and a shutdown ([`Connection::handle_shutdown`]),
//!
//! and yields bytes into the caller's [`Outbound`], [`Command`]s to the core (one closed enum), a [`Close`], and the
//! instant at which it wants to be woken ([`Connection::deadline`]).
//!
//! **Mutate once, drain to idle.** After bytes arrived, an outcome, a timeout or a shutdown the caller calls
//! [`Connection::step`] until it returns [`Step::Idle`] or [`Step::Close`]. A command is carried out before the next
//! call; its outcome may follow at once or much later.
//!
//! Messages are read and written through [`LayoutCodec`]s, so that a stack that delivers a message need not know the
//! stack that it came from.
#![no_std]

extern crate alloc;

mod command;
mod connection;
mod delivery;
mod layout;
mod outbound;
mod queue;
pub mod testing;

pub use command::{
    Close, Command, Credentials, Exchange, Open, Prepared, Publish, PublishIf, SessionRequest, Settle,
    Settlement, Subscribe, SubscribeRequest, Unsubscribe, UnsubscribeRequest,
};
pub use connection::{Connection, Opened, Outcome, Protocol, Step, SubscribeResult, Value};
pub use delivery::{Delivery, Lease, Subscribed};
pub use layout::{Frame, FrameKind, LayoutCodec};
pub use mynah_model::{Credit, CreditChange, Death, DeathReason, LeaseSettlement};
pub use outbound::Outbound;
pub use queue::{
    Bind, Consume, ConsumeOptions, ConsumerId, Declaration, Declare, Declared, Delete, Destination, Entity,
    Flow, Hold, Holder, Holding, Purge, QueueCommand, QueueOutcome, Refusal, SettleLeases, Transaction,
};
