//! The journal: one stream of records, written by one thread, synced for many.

pub(crate) mod committer;
pub(crate) mod handed;
pub(crate) mod writer;

pub use committer::{Durability, Fatal, Producer, SubmitError, Ticket, Wake};
