//! The stack from outside: exact bytes, statements of the specification, bad input, split input, properties, and
//! journeys of a client with a server.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod client_v5;
mod conformance;
mod golden;
mod journeys;
mod malformed;
mod out_of_order;
mod properties;
mod split;
mod vectors;
mod version_3_1;
mod version_5;
