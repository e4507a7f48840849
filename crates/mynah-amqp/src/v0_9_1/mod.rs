//! AMQP 0-9-1.
//!
//! ```text
//!        bytes        Frame         Method, content            Command
//! stream ----> framing ----> wire -----------------> connection ------> broker
//!        <------------------------------------------ connection <------
//!        bytes                                                   Outcome, Delivery
//! ```
//!
//! * [`wire`] has frames, methods, contents and tables as data; [`framing`] cuts a stream into frames and holds the limits;
//! * [`connection`] is the server's half of a connection and keeps the contract of `mynah_stack`; [`Amqp`] makes them;
//! * [`client`] is the client's half, for programs without a broker;
//! * [`flow`] has the side machines of both: delivery tags, confirms, contents in parts, heartbeats;
//! * [`mapping`] translates between the protocol's words and the broker's, and nothing else does;
//! * [`error`] has the families of errors and the map to reply codes.
//!
//! Sections are those of the specification's general part; what RabbitMQ adds is called so.

pub mod client;
mod config;
pub mod connection;
pub mod error;
pub mod flow;
pub mod framing;
pub mod mapping;
mod protocol;
pub mod wire;

pub use config::{Config, ConfigError, Mechanism, Settings};
pub use error::{Error, Exception, Malformed, ReplyCode, Violation};
pub use protocol::Amqp;
