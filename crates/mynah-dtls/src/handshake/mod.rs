//! Handshakes: flights of messages out, messages in, and the server's half. What both halves have is in [`flights`].

mod flights;
mod incoming;
mod server;

pub(crate) use flights::Flights;
pub use flights::HALF_OPEN_BYTES_MAX;
pub(crate) use server::{Failure, Progress, Server, Turn};
