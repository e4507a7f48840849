//! STOMP 1.0, 1.1 and 1.2 as a sans-IO stack.
#![no_std]

extern crate alloc;

pub mod error;
mod flow;
pub mod framing;
pub mod mapping;
pub mod wire;

mod config;
mod version;

pub use config::{Config, ConfigError, Settings};
pub use error::{Error, Malformed, Refused, Violation};
pub use version::Version;
