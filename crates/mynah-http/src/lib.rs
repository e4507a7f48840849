//! The REST data plane: topics as resources, subscriptions as server-sent events.
//!
//! HTTP itself is a library's business. [`adapter`] turns an HTTP request into the frames of [`wire`] on a link and the
//! frames that come back into an HTTP response; the rest of the crate is a stack like every other: [`Http`] is its
//! [`mynah_stack::Protocol`], a link its connection, [`HttpCodec`] reads and writes its messages.
//!
//! ```text
//! client <--HTTP--> adapter <--frames on a link--> connection <--commands, outcomes, deliveries--> core
//! ```

pub mod adapter;
mod codec;
mod config;
mod connection;
mod error;
pub mod framing;
pub mod mapping;
mod protocol;
pub mod wire;

pub use codec::{ANSWER_LAYOUT, HttpCodec, NATIVE_LAYOUT, STREAM_LAYOUT};
pub use config::{ConfigError, HttpConfig};
pub use error::Problem;
pub use protocol::Http;
