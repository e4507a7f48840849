//! MQTT 3.1.1 and 3.1 as a sans-IO stack: server and client.
//!
//! ```text
//!        bytes        Unit         packet            Command
//! stream ----> framing ----> wire ----> connection ---------> broker
//!        <----------------------------- connection <---------
//!        bytes                                      Outcome, Delivery
//! ```
//!
//! * [`wire`] has the packets as data, one file for each; [`framing`] cuts a stream into packets and holds the limits;
//! * [`connection`] is the server's half of a connection and keeps the contract of `mynah_stack`; [`Mqtt`] makes them;
//! * [`client`] is the client's half, for programs without a broker;
//! * [`bridge`] is a client's half that keeps the contract: a connection that the broker makes to another one;
//! * [`mapping`] translates between the protocol's words and the broker's, and nothing else does;
//! * [`error`] has the families of errors and the map from the broker's reasons to codes of the protocol.
//!
//! Versions are data: [`Version`] says what differs. Citations such as `[MQTT-3.1.0-2]` name statements of the OASIS
//! Standard "MQTT Version 3.1.1", 29 October 2014; sections are its sections. What MQTT 3.1 has otherwise is in
//! [`Version`]. Of what only MQTT 5.0 has (OASIS Standard "MQTT Version 5.0", 7 March 2019), all but [`connection`] speak.
#![no_std]

extern crate alloc;

pub mod bridge;
pub mod client;
pub mod connection;
pub mod error;
mod flow;
pub mod framing;
pub mod mapping;
pub mod wire;

mod config;
mod protocol;
mod version;

pub use config::{Config, ConfigError, Overlapping, Settings, SubscribeRefused, UnknownLevel};
pub use connection::Answers;
pub use error::{Error, Malformed, Refused, Violation};
pub use protocol::Mqtt;
pub use version::Version;
pub use wire::TextRule;
