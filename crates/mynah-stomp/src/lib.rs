//! STOMP 1.0, 1.1 and 1.2 as a sans-IO stack: server and client.
//!
//! ```text
//!        octets        Frame         frame            Command
//! stream ------> framing ----> wire ------> connection ---------> broker
//!        <--------------------------------- connection <---------
//!        octets                                       Outcome, Delivery
//! ```
//!
//! * [`wire`] has the frames as data; [`framing`] cuts a stream into frames and holds the limits;
//! * [`connection`] is the server's half of a connection and keeps the contract of `mynah_stack`; [`Stomp`] makes them;
//! * [`client`] is the client's half, for programs without a broker;
//! * [`mapping`] translates between the protocol's words and the broker's, and nothing else does;
//! * [`error`] has the families of errors and what ERROR says for the broker's reasons.
//!
//! Versions are data: [`Version`] says what differs. Names in quotation marks are sections of "STOMP Protocol
//! Specification, Version 1.2".
#![no_std]

extern crate alloc;

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

pub use config::{Config, ConfigError, Settings};
pub use error::{Error, Malformed, Refused, Violation};
pub use protocol::Stomp;
pub use version::Version;
