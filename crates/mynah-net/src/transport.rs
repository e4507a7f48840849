//! Transports: what carries a connection's bytes.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use mynah_stack::Outbound;

use crate::link::LinkState;

/// Slices handed to the kernel in one call.
const SLICES_MAX: usize = 16;

/// A TCP socket, or a link to a program in this process.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Link(Arc<LinkState>),
}

impl Transport {
    /// Reads into `bytes`; zero means that the peer has closed.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Link(link) => link.read(bytes),
        }
    }

    /// Writes what waits, with one call if possible. An interrupted call is repeated by the caller's next turn.
    pub(crate) fn write(&mut self, outbound: &Outbound) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) if outbound.is_contiguous() => stream.write(outbound.first()),
            Self::Tcp(stream) => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                for (slot, bytes) in slices.iter_mut().zip(outbound.slices()) {
                    *slot = IoSlice::new(bytes);
                    count += 1;
                }
                stream.write_vectored(&slices[..count])
            }
            Self::Link(link) => link.write(outbound),
        }
    }
}

impl Transport {
    /// Ends the transport. A socket is closed with what it still has to send.
    pub(crate) fn close(self) {
        if let Self::Link(link) = self {
            link.close();
        }
    }
}
