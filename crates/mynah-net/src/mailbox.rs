//! Mailboxes: how anything outside a worker's thread reaches it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mynah_core::administration::{Order, Ordered};
use mynah_core::rules::Rules;
use mynah_engine::{Attempt, AuditEvent, AuditKind, ConnectionId, Engine, Handover, Parcel};
use mynah_model::{Groups, Identity, TenantId};

use crate::address::Peer;
use crate::caller::Caller;
use crate::link::LinkState;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::verifier::{Dialogue, Verdict};

/// Bytes of other workers' messages that may wait in a mailbox. Beyond that the others read nothing from their peers
/// until the worker has caught up.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What can be put into a worker's mailbox.
pub(crate) enum Letter {
    /// A turn's batch from another worker.
    Parcels(Vec<Parcel>),
    /// A peer came in at a listener.
    Accepted { stream: Stream, peer: Peer, listener: u16 },
    /// A program in this process came in at a listener.
    LinkOpened { link: Arc<LinkState>, listener: u16 },
    /// Something happened at the other end of a link.
    LinkChanged { link: Arc<LinkState> },
    /// A connection whose session this worker owns.
    Handover { transport: Transport, handover: Box<Handover> },
    /// What a peer said of who it is was verified.
    Verified { connection: ConnectionId, verdict: Verdict },
    /// Something has happened outside the workers that is to be told.
    Audit { event: Box<AuditEvent>, left_out: u64 },
    /// Something of this kind has happened that is not told: there is too much.
    LeftOut(AuditKind),
    /// Somebody looks at what the worker has.
    Look(Box<dyn FnOnce(&Engine) + Send>),
    /// An administrator wants something, and waits for what becomes of it.
    Order { tenant: TenantId, order: Box<Order>, then: Then },
    /// An administrator wants a connection to end, and hears whether it was there.
    Disconnect { tenant: TenantId, connection: ConnectionId, then: Box<dyn FnOnce(bool) + Send> },
    /// Other rules hold.
    Rules(Arc<Rules>),
    /// How identities stand from now on.
    Identities(Arc<HashMap<Identity, Option<Groups>>>),
    /// The store has synced something.
    Synced,
    /// Take leave of everybody and stop.
    Shutdown,
}

/// Hears what became of an order; dropped if nothing did.
pub(crate) type Then = Box<dyn FnOnce(Ordered) + Send>;

/// What a peer says of who it is, on its way to be verified.
pub(crate) struct Verification {
    pub(crate) connection: ConnectionId,
    pub(crate) caller: Caller,
    pub(crate) attempt: Attempt,
    /// The exchange that the peer goes on with.
    pub(crate) dialogue: Option<Box<Dialogue>>,
    pub(crate) reply_to: Arc<Mailbox>,
}

/// Letters for one worker, in the order in which they were posted. A sleeping worker is woken once.
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    sleeping: AtomicBool,
    /// Bytes of the messages in `letters`.
    waiting_bytes: AtomicUsize,
    waker: mio::Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self {
            letters: Mutex::new(Vec::new()),
            sleeping: AtomicBool::new(false),
            waiting_bytes: AtomicUsize::new(0),
            waker,
        }
    }

    pub(crate) fn post(&self, letter: Letter) {
        {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            self.waiting_bytes.fetch_add(bytes_of(&letter), Ordering::Relaxed);
            letters.push(letter);
        }
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a worker cannot be woken");
        }
    }

    /// Takes everything that was posted; `empty` becomes the mailbox's next memory.
    pub(crate) fn take(&self, empty: Vec<Letter>) -> Vec<Letter> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting_bytes.store(0, Ordering::Relaxed);
        if letters.is_empty() { empty } else { std::mem::replace(&mut *letters, empty) }
    }

    /// Whether so much waits here that its senders have to hold back.
    pub(crate) fn is_congested(&self) -> bool {
        self.waiting_bytes.load(Ordering::Relaxed) > WAITING_BYTES_MAX
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

/// What a letter's messages cost in memory, at most: some may be shared with other letters.
fn bytes_of(letter: &Letter) -> usize {
    let Letter::Parcels(parcels) = letter else { return 0 };
    let cost = |parcel: &Parcel| match parcel {
        Parcel::Deliver { message, .. } | Parcel::Retained { message, .. } => message.cost_bytes(),
        Parcel::Queue(word) => word.cost_bytes(),
        Parcel::CountPresence | Parcel::PresenceKnown | Parcel::Stored { .. } => 0,
    };
    parcels.iter().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_model::{Class, Header, Layout, MessageView, PRIORITY_DEFAULT};

    fn parcels(count: usize, bytes: u32) -> Letter {
        let header = Header {
            tenant: TenantId::DEFAULT,
            layout: Layout { id: 0, version: 0 },
            class: Class::AtMostOnce,
            retain: false,
            priority: PRIORITY_DEFAULT,
            topic: (0, 1),
            payload: (1, bytes),
            deadline: None,
            publisher: None,
        };
        let message = MessageView { header: &header, native: &vec![b'x'; bytes as usize] }.to_message();
        let targets: Arc<[mynah_core::Target]> = Arc::new([]);
        Letter::Parcels(vec![Parcel::Deliver { message, targets, ask: None }; count])
    }

    #[test]
    fn a_mailbox_is_congested_until_its_letters_are_taken() {
        let poll = mio::Poll::new().unwrap();
        let mailbox = Mailbox::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        mailbox.post(parcels(31, 1 << 20));
        mailbox.post(parcels(32, 1 << 20));
        assert!(!mailbox.is_congested());
        mailbox.post(parcels(1, 1 << 20));
        assert!(mailbox.is_congested());
        assert_eq!(mailbox.take(Vec::new()).len(), 3);
        assert!(!mailbox.is_congested() && mailbox.fall_asleep());
    }
}
