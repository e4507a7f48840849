//! CoAP as a sans-IO stack: server and client, over UDP, DTLS, TCP, TLS and WebSocket.
//!
//! ```text
//!        bytes        message            request               Command
//! peer  -----> framing -----> connection -------> flow, mapping -------> broker
//!       <-------------------- connection <------------------------------
//!        bytes                                       Outcome, Delivery
//! ```
//!
//! * [`wire`] has messages, options and what they hold as data; [`framing`] cuts what a transport brings into messages;
//! * [`connection`] is the server's half of an association and keeps the contract of `mynah_stack`; [`Coap`] makes them;
//! * `flow` has the machines beside: what comes twice, what is sent again, observers, bodies in blocks;
//! * [`client`] is the client's half, for programs without a broker;
//! * [`directory`] is the Resource Directory that devices register in, and are reached by;
//! * [`mapping`] translates between the protocol's words and the broker's, and nothing else does;
//! * [`Refusal`] is why a request is not served, with the map to response codes; [`counts`] is what no answer tells of.
//!
//! # Datagrams in a stream of bytes
//!
//! The contract's input and output are bytes that may be cut anywhere, and a datagram may not be. So each datagram has its
//! length before it, two bytes, big-endian, both ways: who reads a datagram leaves two bytes before it in its buffer, and
//! who writes passes over two bytes at each datagram in the [`mynah_stack::Outbound`], whose bytes are then contiguous.
//! Nothing is allocated for a datagram, what is left unread while the core opens a session stays in one buffer, and
//! neither the contract nor the engine has to know of boundaries. An association is one peer's address, or one DTLS
//! session ([`Coap::with_verified_peers`]); it is made for the first datagram and ends by itself when nobody is heard.
//!
//! Deadlines move when a delivery begins a transmission: a caller asks [`mynah_stack::Connection::deadline`] again after
//! deliveries, too. Time and randomness are arguments; what an association draws follows from the key of its stack.
//!
//! Sections without a name are those of RFC 7252; observing is RFC 7641, blocks are RFC 7959, reliable transports RFC 8323.
#![no_std]

extern crate alloc;

pub mod client;
mod config;
pub mod connection;
pub mod counts;
pub mod directory;
mod error;
mod flow;
pub mod framing;
pub mod groups;
pub mod mapping;
mod protocol;
pub mod wire;

pub use config::{CoapConfig, Compat, ConfigError};
pub use error::Refusal;
pub use protocol::Coap;
