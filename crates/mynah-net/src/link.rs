//! Links: connections of programs in this process, such as the HTTP adapter, with a worker at the other end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mynah_engine::ConnectionId;
use mynah_stack::Outbound;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::address::Peer;
use crate::mailbox::{Letter, Mailbox};
use crate::tls::Secured;

/// Bytes that may wait in each direction before the writer has to.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// The end of a link that belongs to the program: a byte stream to a worker. Dropping it closes the link.
pub struct Link {
    state: Arc<LinkState>,
}

/// Both directions of a link and who is to be told.
pub(crate) struct LinkState {
    peer: Peer,
    /// What the peer has shown by TLS, if it came by that.
    secured: Option<Secured>,
    shared: Mutex<Shared>,
}

struct Shared {
    /// Where the worker that has the connection is reached.
    mailbox: Arc<Mailbox>,
    connection: Option<ConnectionId>,
    inward: Vec<u8>,
    outward: Vec<u8>,
    program_gone: bool,
    worker_gone: bool,
    /// A letter is under way: one is enough for everything that happens until it is read.
    announced: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Link {
    pub(crate) fn open(mailbox: &Arc<Mailbox>, listener: u16, peer: Peer, secured: Option<Secured>) -> Self {
        let shared = Shared {
            mailbox: Arc::clone(mailbox),
            connection: None,
            inward: Vec::new(),
            outward: Vec::new(),
            program_gone: false,
            worker_gone: false,
            announced: false,
            reader: None,
            writer: None,
        };
        let state = Arc::new(LinkState { peer, secured, shared: Mutex::new(shared) });
        mailbox.post(Letter::LinkOpened { link: Arc::clone(&state), listener });
        Self { state }
    }
}

impl LinkState {
    /// For whom the link is.
    pub(crate) const fn peer(&self) -> Peer {
        self.peer
    }

    /// What the peer has shown by TLS.
    pub(crate) const fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(self: &Arc<Self>, mut shared: MutexGuard<'_, Shared>) {
        if !std::mem::replace(&mut shared.announced, true) {
            let mailbox = Arc::clone(&shared.mailbox);
            drop(shared);
            mailbox.post(Letter::LinkChanged { link: Arc::clone(self) });
        }
    }

    /// The worker at this mailbox has the link now, as this connection.
    pub(crate) fn bind(&self, mailbox: &Arc<Mailbox>, connection: ConnectionId) {
        let mut shared = self.lock();
        shared.mailbox = Arc::clone(mailbox);
        shared.connection = Some(connection);
        shared.announced = false;
    }

    /// The connection that the link is, for the worker that has it.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        let mut shared = self.lock();
        shared.announced = false;
        shared.connection
    }

    /// Takes what the program wrote; none once it is gone and everything was taken.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.lock();
        if shared.inward.is_empty() {
            return if shared.program_gone { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = shared.inward.len().min(bytes.len());
        bytes[..count].copy_from_slice(&shared.inward[..count]);
        shared.inward.drain(..count);
        if let Some(writer) = shared.writer.take() {
            writer.wake();
        }
        Ok(count)
    }

    /// Writes as much for the program as it has room for. A short write means that there is no more: the worker hears
    /// when there is again.
    pub(crate) fn write(&self, outbound: &Outbound) -> io::Result<usize> {
        let mut shared = self.lock();
        if shared.program_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for bytes in outbound.slices() {
            let count = bytes.len().min(BUFFER_BYTES_MAX - shared.outward.len());
            shared.outward.extend_from_slice(&bytes[..count]);
            written += count;
        }
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    /// The worker has ended the connection.
    pub(crate) fn close(&self) {
        let mut shared = self.lock();
        shared.worker_gone = true;
        for waker in [shared.reader.take(), shared.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.state.lock();
        if shared.outward.is_empty() {
            if shared.worker_gone {
                return Poll::Ready(Ok(()));
            }
            shared.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let was_full = shared.outward.len() >= BUFFER_BYTES_MAX;
        let count = shared.outward.len().min(buffer.remaining());
        buffer.put_slice(&shared.outward[..count]);
        shared.outward.drain(..count);
        if was_full {
            self.state.announce(shared);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.state.lock();
        if shared.worker_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(BUFFER_BYTES_MAX.saturating_sub(shared.inward.len()));
        if count == 0 {
            shared.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        shared.inward.extend_from_slice(&bytes[..count]);
        self.state.announce(shared);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut shared = self.state.lock();
        shared.program_gone = true;
        self.state.announce(shared);
    }
}

/// Opens links that come in at one listener, spread over the workers.
#[derive(Clone)]
pub struct Dialer {
    mailboxes: Arc<[Arc<Mailbox>]>,
    next: Arc<AtomicUsize>,
    listener: u16,
}

impl Dialer {
    pub(crate) fn new(mailboxes: &Arc<[Arc<Mailbox>]>, next: &Arc<AtomicUsize>, listener: u16) -> Self {
        Self { mailboxes: Arc::clone(mailboxes), next: Arc::clone(next), listener }
    }

    /// Opens a link for a peer at this address; none is a program in this process that acts for itself.
    #[must_use]
    pub fn dial(&self, peer: Option<SocketAddr>) -> Link {
        self.dial_for(peer.map_or(Peer::Local, Peer::Inet), None)
    }

    /// Opens a link for a peer at this address, and with what it has shown if it came by TLS.
    #[must_use]
    pub fn dial_secured(&self, peer: SocketAddr, secured: Option<Secured>) -> Link {
        self.dial_for(Peer::Inet(peer), secured)
    }

    fn dial_for(&self, peer: Peer, secured: Option<Secured>) -> Link {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Link::open(&self.mailboxes[turn % self.mailboxes.len()], self.listener, peer, secured)
    }
}
