//! Why a server did not start, in words for its operator.

use std::fmt;
use std::io;

use crate::address::Address;

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener's address cannot be used.
    Listen {
        /// The listener's name.
        name: String,
        /// Its address.
        address: Address,
        /// What the system said.
        error: io::Error,
    },
    /// The system refused something else that a server needs.
    System {
        /// What was needed.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { name, address, error } => {
                write!(f, "listener `{name}` cannot listen on {address}: {error}{}", advice(error, address))
            }
            Self::System { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

/// What the operator can do about it.
fn advice(error: &io::Error, address: &Address) -> String {
    match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Address::Inet(address) | Address::Datagrams(address)) => format!(
            " (another program listens there; stop it, or give the listener another address; `ss -ltnp 'sport = :{}'` shows which)",
            address.port()
        ),
        (io::ErrorKind::AddrInUse, Address::Unix(_)) => {
            " (another program listens there; stop it, or give the listener another path)".into()
        }
        (io::ErrorKind::AlreadyExists, Address::Unix(_)) => {
            " (remove it, or give the listener another path)".into()
        }
        (io::ErrorKind::PermissionDenied, Address::Inet(_) | Address::Datagrams(_)) => {
            " (ports below 1024 need a privilege; use a higher one, or grant CAP_NET_BIND_SERVICE)".into()
        }
        (io::ErrorKind::AddrNotAvailable, _) => " (this machine does not have that address)".into(),
        _ => String::new(),
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::System { error, .. } => Some(error),
        }
    }
}
