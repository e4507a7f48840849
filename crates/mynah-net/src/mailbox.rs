//! Mailboxes: how anything outside a worker's thread reaches it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mynah_engine::{ConnectionId, Handover, Parcel};
use mynah_model::{Identity, Reason};
use mynah_stack::Credentials;

use crate::link::LinkState;
use crate::transport::Transport;

/// What can be put into a worker's mailbox.
pub(crate) enum Letter {
    /// A turn's batch from another worker.
    Parcels(Vec<Parcel>),
    /// A peer came in at a listener.
    Accepted { stream: mio::net::TcpStream, peer: SocketAddr, listener: u16 },
    /// A program in this process came in at a listener.
    LinkOpened { link: Arc<LinkState>, listener: u16 },
    /// Something happened at the other end of a link.
    LinkChanged { link: Arc<LinkState> },
    /// A connection whose session this worker owns.
    Handover { transport: Transport, handover: Box<Handover> },
    /// Credentials were verified.
    Authenticated { connection: ConnectionId, result: Result<Identity, Reason> },
    /// Take leave of everybody and stop.
    Shutdown,
}

/// Credentials on their way to be verified.
pub(crate) struct Verification {
    pub(crate) connection: ConnectionId,
    pub(crate) credentials: Credentials,
    pub(crate) reply_to: Arc<Mailbox>,
}

/// Letters for one worker, in the order in which they were posted. A sleeping worker is woken once.
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    sleeping: AtomicBool,
    waker: mio::Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { letters: Mutex::new(Vec::new()), sleeping: AtomicBool::new(false), waker }
    }

    pub(crate) fn post(&self, letter: Letter) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a worker cannot be woken");
        }
    }

    /// Takes everything that was posted; `empty` becomes the mailbox's next memory.
    pub(crate) fn take(&self, empty: Vec<Letter>) -> Vec<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.is_empty() { empty } else { std::mem::replace(&mut *letters, empty) }
    }

    /// Announces that the worker is about to sleep. Returns false if there is mail: then it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        let empty = self.letters.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty {
            self.sleeping.store(false, Ordering::SeqCst);
        }
        empty
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }
}
