//! Whether the promise is kept: the binary is killed at random moments while producers and consumers work, and a ledger
//! says whether anything that it had acknowledged is missing, came twice, or came that was never published.

mod broker;
mod coap;
mod connection;
mod consumer;
mod http;
mod producer;
mod queues;
mod requests;
mod shared;

pub mod ledger;
pub mod payload;
pub mod random;
pub mod run;
pub mod steady;
pub mod undo;
