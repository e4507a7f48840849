//! The stack from outside: exact bytes, statements of the specification, bad input, properties, and journeys of a client
//! with a server.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod conformance;
mod golden;
mod journeys;
mod malformed;
mod methods;
mod properties;
mod queues;
