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
//! * [`error`] has the families of errors and the map to reply codes.
//!
//! Sections are those of the specification's general part; what RabbitMQ adds is called so.

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
