//! Telling the service manager how the broker stands: a datagram for each change, to the socket that it names
//! (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable by which the service manager says where it listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It serves.
    Ready,
    /// It takes leave.
    Stopping,
}

impl Standing {
    const fn words(self) -> &'static str {
        match self {
            Self::Ready => "READY=1\nSTATUS=serving",
            Self::Stopping => "STOPPING=1\nSTATUS=taking leave",
        }
    }
}

/// Tells the service manager, if there is one. That it could not be told ends nothing.
pub(crate) fn notify(standing: Standing) {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    if let Err(error) = tell(&socket, standing) {
        tracing::warn!(%error, ?socket, "the service manager cannot be told how the broker stands");
    }
}

fn tell(socket: &OsStr, standing: Standing) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    UnixDatagram::unbound()?.send_to_addr(standing.words().as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut words = [0; 100];
        let count = manager.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..count]).into_owned()
    }

    #[test]
    fn the_service_manager_hears_how_the_broker_stands() {
        let path = std::env::temp_dir().join(format!("mynah-manager-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        tell(path.as_os_str(), Standing::Ready).unwrap();
        assert_eq!(heard(&manager), "READY=1\nSTATUS=serving");
        tell(path.as_os_str(), Standing::Stopping).unwrap();
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=taking leave");
        std::fs::remove_file(path).unwrap();
        let name = format!("mynah-manager-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        tell(OsStr::new(&format!("@{name}")), Standing::Ready).unwrap();
        assert!(heard(&manager).starts_with("READY=1\n"));
    }

    #[test]
    fn a_service_manager_that_is_not_there_is_an_error_and_no_more() {
        assert!(tell(OsStr::new("/nowhere/at/all"), Standing::Ready).is_err());
        let error = tell(OsStr::new("vsock:2:1234"), Standing::Ready).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
