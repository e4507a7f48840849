//! Side machines of a connection, each without a word of the wire: heart-beats, what is under way, transactions.

mod heart_beats;
mod transactions;
mod unacknowledged;

pub(crate) use heart_beats::HeartBeats;
pub(crate) use transactions::{Held, HeldPublish, Transactions};
pub(crate) use unacknowledged::Unacknowledged;
