//! The stack from outside: exact bytes, statements of the specifications, bad input, and journeys of a client with a
//! server over networks that lose, repeat, delay and swap datagrams.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod devices;
mod hostile;
mod iot_testware;
mod journeys;
mod malformed;
mod message_layer;
mod multicast;
mod network;
mod observing;
mod plugtests;
mod queues;
mod reliable;
mod requests;
