//! CoAP as a sans-IO stack.
#![no_std]

extern crate alloc;

pub mod client;
mod config;
pub mod connection;
pub mod counts;
mod error;
mod flow;
pub mod framing;
pub mod mapping;
mod protocol;
pub mod wire;

pub use config::{CoapConfig, ConfigError};
pub use error::Refusal;
pub use protocol::Coap;
