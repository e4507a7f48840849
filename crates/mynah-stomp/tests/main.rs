//! The server's half against scripted clients, with a broker that is obvious rather than fast.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acknowledgements;
mod broker;
mod client;
mod frames;
mod heart_beats;
mod malformed;
mod messages;
mod queues;
mod sessions;
mod split;
mod transactions;
mod vectors;
