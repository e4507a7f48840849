//! The stack from outside: exact bytes, statements of the specification, bad input, split input, properties, and
//! journeys of a client with a server.

// A test stops at the first thing that is not as it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authentication_v5;
mod bridge;
mod broker;
mod client_duties_v5;
mod client_v5;
mod client_v5_terms;
mod conformance;
mod golden;
mod journeys;
mod journeys_v5;
mod malformed;
mod malformed_v5;
mod out_of_order;
mod properties;
mod settings_v5;
mod split;
mod traveller_v5;
mod vectors;
mod version_3_1;
mod version_5;
mod wire_codes_v5;
mod written_v5;
