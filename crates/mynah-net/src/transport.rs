//! Transports: what carries a connection's bytes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Interest, Registry, Token};
use mynah_engine::Proof;
use mynah_engine::websocket::CloseCode;
use mynah_stack::Outbound;

use crate::address::Peer;
use crate::buffers::Buffers;
use crate::caller::ChannelBinding;
use crate::entrance::Entrance;
use crate::layers::Layered;
use crate::link::LinkState;
use crate::stream::Stream;

/// Slices handed to the kernel in one call.
pub(crate) const SLICES_MAX: usize = 16;

/// A socket, bare or with layers above it, a link to a program in this process, or a part of a socket for datagrams.
pub(crate) enum Transport {
    Bare(Stream, Peer),
    Layered(Box<Layered>),
    Link(Arc<LinkState>),
    /// An association at one of the worker's sockets for datagrams: the place of that, and the peer.
    Datagrams(usize, SocketAddr),
}

/// What was read.
pub(crate) struct Input<'b> {
    /// The connection's bytes; there may be none although something was read.
    pub(crate) bytes: &'b [u8],
    /// There may be more to be read at once.
    pub(crate) more: bool,
    /// The peer has closed, or its connection is over, after these bytes.
    pub(crate) ended: bool,
}

impl Input<'_> {
    /// The peer has closed.
    pub(crate) const END: Self = Input { bytes: &[], more: false, ended: true };
}

/// What was written.
pub(crate) struct Output {
    /// How many of the connection's bytes.
    pub(crate) count: usize,
    /// The socket may take more at once.
    pub(crate) more: bool,
}

impl Transport {
    /// What carries the bytes of a peer that came in at an entrance.
    pub(crate) fn new(stream: Stream, peer: Peer, entrance: &Entrance) -> Result<Self, rustls::Error> {
        if entrance.is_bare() {
            return Ok(Self::Bare(stream, peer));
        }
        Layered::new(stream, peer, entrance).map(|layered| Self::Layered(Box::new(layered)))
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Bare(_, peer) => *peer,
            Self::Layered(layered) => layered.peer,
            Self::Link(link) => link.peer(),
            Self::Datagrams(_, peer) => Peer::Inet(*peer),
        }
    }

    /// Reads what has come.
    pub(crate) fn read<'b>(&mut self, buffers: &'b mut Buffers) -> io::Result<Input<'b>> {
        let scratch = &mut *buffers.scratch;
        let count = match self {
            Self::Bare(stream, _) => stream.read(scratch)?,
            Self::Layered(layered) => return layered.read(buffers),
            Self::Link(link) => link.read(scratch)?,
            // The worker reads for all of them.
            Self::Datagrams(..) => return Err(io::ErrorKind::WouldBlock.into()),
        };
        // A short read has emptied a socket, and the next bytes raise an event.
        let more = count == scratch.len() || matches!(self, Self::Link(_));
        Ok(Input { bytes: &buffers.scratch[..count], more, ended: count == 0 })
    }

    /// Writes what waits, with one call if possible. An interrupted call is repeated by the caller's next turn.
    pub(crate) fn write(&mut self, outbound: &Outbound, buffers: &mut Buffers) -> io::Result<Output> {
        match self {
            Self::Bare(stream, _) if outbound.is_contiguous() => {
                let count = stream.write(outbound.first())?;
                Ok(Output { count, more: false })
            }
            Self::Bare(stream, _) => {
                let mut memory = [IoSlice::new(&[]); SLICES_MAX];
                let (pieces, total) = slices(&[], outbound, 0, usize::MAX, &mut memory);
                let count = stream.write_vectored(pieces)?;
                // If all slices were taken, no event will tell that there is room for those behind them.
                Ok(Output { count, more: count == total && total < outbound.len() })
            }
            Self::Layered(layered) => layered.write(outbound, buffers),
            Self::Link(link) => link.write(outbound).map(|count| Output { count, more: false }),
            Self::Datagrams(..) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Sends what the layers have to say themselves.
    pub(crate) fn flush(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        match self {
            Self::Layered(layered) => layered.flush(buffers).map(|_| ()),
            Self::Bare(..) | Self::Link(_) | Self::Datagrams(..) => Ok(()),
        }
    }

    /// Whether nothing is to be read because the layers' answers have not been sent.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self, Self::Layered(layered) if layered.is_blocked())
    }

    /// The layers, if there are any.
    pub(crate) fn layers(&mut self) -> Option<&mut Layered> {
        match self {
            Self::Layered(layered) => Some(layered),
            Self::Bare(..) | Self::Link(_) | Self::Datagrams(..) => None,
        }
    }

    /// What the TLS of a link has proved; what layers bring comes later.
    pub(crate) fn link_proof(&self) -> Option<Arc<Proof>> {
        let Self::Link(link) = self else { return None };
        link.secured()?.proof.clone()
    }

    /// What ties what the peer says to its TLS, if it came by that.
    pub(crate) fn channel_binding(&self) -> Option<ChannelBinding> {
        match self {
            Self::Bare(..) | Self::Datagrams(..) => None,
            Self::Layered(layered) => layered.channel_binding(),
            Self::Link(link) => link.secured().map(|secured| secured.channel.clone()),
        }
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Bare(stream, _) => Some(stream),
            Self::Layered(layered) => Some(layered.stream()),
            Self::Link(_) | Self::Datagrams(..) => None,
        }
    }

    /// Puts a socket into a worker's epoll.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.stream().map_or(Ok(()), |stream| registry.register(stream.source(), token, interest))
    }

    /// Takes it out again.
    pub(crate) fn unwatch(&mut self, registry: &Registry) {
        if let Some(stream) = self.stream() {
            // It fails only for a socket that was not watched.
            drop(registry.deregister(stream.source()));
        }
    }

    /// Ends the transport. Returns its socket if the peer has been told everything: closing that at once could
    /// take it away from a peer that is still sending.
    pub(crate) fn close(self, code: CloseCode, buffers: &mut Buffers) -> Option<Stream> {
        match self {
            Self::Layered(layered) => layered.close(code, buffers),
            Self::Link(link) => {
                link.close();
                None
            }
            Self::Bare(stream, _) => Some(stream),
            Self::Datagrams(..) => None,
        }
    }
}

/// Slices of `own` and then of `outbound` behind `skip`, `limit` bytes of it at most, as many as there is memory for;
/// and how many bytes they are.
pub(crate) fn slices<'m, 'b>(
    own: &'b [u8],
    outbound: &'b Outbound,
    mut skip: usize,
    limit: usize,
    memory: &'m mut [IoSlice<'b>; SLICES_MAX],
) -> (&'m [IoSlice<'b>], usize) {
    let (mut used, mut total, mut left) = (0, 0, limit);
    let mut push = |bytes: &'b [u8]| {
        if !bytes.is_empty() && used < SLICES_MAX {
            memory[used] = IoSlice::new(bytes);
            used += 1;
            total += bytes.len();
        }
    };
    push(own);
    for bytes in outbound.slices() {
        let skipped = skip.min(bytes.len());
        skip -= skipped;
        let taken = (bytes.len() - skipped).min(left);
        left -= taken;
        push(&bytes[skipped..skipped + taken]);
        if left == 0 {
            break;
        }
    }
    (&memory[..used], total)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use mio::net::UnixStream;
    use mynah_model::{Class, Header, Layout, Message, MessageView, PRIORITY_DEFAULT, TenantId};

    fn message(payload: &[u8]) -> Message {
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtMostOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (0, 0),
            payload: (0, payload.len() as u32),
            deadline: None,
            publisher: None,
        };
        MessageView { header: &header, native: payload }.to_message()
    }

    /// No event tells that there is room for what was not even offered.
    #[test]
    fn more_pieces_than_one_call_takes_are_written_without_waiting() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut transport = Transport::Bare(Stream::Unix(near), Peer::Local);
        let (mut outbound, mut expected) = (Outbound::new(), Vec::new());
        for number in 0..40u8 {
            outbound.append(&[number]);
            outbound.append_shared(&message(&[number; 100]), 0..100);
            expected.extend([number; 101]);
        }
        let mut buffers = Buffers::new();
        loop {
            let Output { count, more } = transport.write(&outbound, &mut buffers).unwrap();
            outbound.advance(count);
            assert_eq!(more, !outbound.is_empty());
            if !more {
                break;
            }
        }
        let mut got = vec![0; expected.len()];
        far.read_exact(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}
