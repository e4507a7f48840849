//! What is known of a peer that says who it is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mynah_engine::Proof;
use mynah_model::TenantId;

/// A peer that says who it is.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The place of its listener in [`mynah_engine::Settings::listeners`].
    pub listener: u16,
    /// The tenant that it names or is in, if that is another one than the listener's.
    pub tenant: Option<TenantId>,
    /// The client identifier that it asks for or has, if it is text. None leaves it to the broker, or belongs to a protocol that
    /// has none.
    pub client_id: Option<Box<str>>,
    /// Its address, as a proxy has told it if there is one. None for a Unix socket, and for a program in this process.
    pub address: Option<IpAddr>,
    /// Whether nothing between it and the broker leaves this machine.
    pub is_local: bool,
    /// How it has proved who it is below its protocol.
    pub proof: Option<Arc<Proof>>,
    /// What ties what it says to the TLS by which it came, if it did.
    pub channel: Option<ChannelBinding>,
}

/// What only the two ends of one connection of TLS know, or what only its server is known by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelBinding {
    /// `tls-exporter` (RFC 9266); TLS 1.3 has it.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929); certificates signed with Ed25519 have none.
    pub server_end_point: Option<Arc<[u8]>>,
}

impl fmt::Debug for ChannelBinding {
    /// Leaves out what only the two ends know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding")
    }
}
