//! DTLS 1.2 (RFC 6347) without I/O, server and client, for datagrams of constrained devices.
//!
//! ```text
//!           ClientHello without a good cookie: HelloVerifyRequest, nothing is kept
//!          .----<----.
//! datagram |         |  cookie           Finished
//! -------> Demultiplexer ------> Server ----------> Association -----> plain datagrams
//!                        half-open            SecureDatagram
//! ```
//!
//! * [`Demultiplexer`] stands in front of a socket: it keeps nothing for who has not shown that its address is its own,
//!   and bounds what is kept for the others until their handshakes are done;
//! * [`Association`] seals and opens the datagrams of a peer that is known; it is what [`SecureDatagram`] asks for;
//! * [`Client`] is the other end;
//! * [`Credentials`] has keys, certificates and the judgement of those of peers: the work of others.
//!
//! Cipher suites: `TLS_PSK_WITH_AES_128_CCM_8`, `TLS_PSK_WITH_AES_128_GCM_SHA256`, `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8` and
//! `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`, all at one listener. There is no renegotiation and no resumption.

mod alert;
mod association;
mod client;
mod cookie;
mod credentials;
mod datagrams;
mod demultiplexer;
mod handshake;
mod peer;
mod protection;
mod replay;
mod secrets;
mod suite;
mod wire;

pub use alert::Alert;
pub use association::{Association, Exhausted, Opened, SecureDatagram};
pub use client::{Client, ClientSettings, SharedKey};
pub use credentials::{Certification, Credentials};
pub use datagrams::Datagrams;
pub use demultiplexer::{Demultiplexer, HALF_OPEN_MAX, HALF_OPEN_PER_PREFIX_MAX, Refusal, Verdict};
pub use handshake::HALF_OPEN_BYTES_MAX;
pub use peer::{PeerAddress, PeerIdentity};
pub use suite::Suite;
