//! Records and messages of handshakes as bytes.

pub(crate) mod hello;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod record;
