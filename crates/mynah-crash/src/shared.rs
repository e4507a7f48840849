//! What the clients and the one who kills the broker share: the ledger, where the broker is, and what is to be done.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::Addresses;
use crate::ledger::Ledger;

/// How often a client that waits looks whether it still has to.
const NAP: Duration = Duration::from_millis(3);

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Publish, come and go.
    Work,
    /// Publish nothing new, come and stay, until nothing is outstanding.
    Drain,
    /// End.
    Stop,
}

pub(crate) struct Shared {
    ledger: Mutex<Ledger>,
    address: Mutex<Option<Addresses>>,
    phase: AtomicU8,
    /// For each client: whether it is connected and waits for nothing.
    idle: Vec<AtomicBool>,
}

impl Shared {
    pub(crate) fn new(peers: Vec<String>) -> Self {
        let idle = peers.iter().map(|_| AtomicBool::new(false)).collect();
        Self {
            ledger: Mutex::new(Ledger::new(peers)),
            address: Mutex::new(None),
            phase: AtomicU8::new(Phase::Work as u8),
            idle,
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the broker is; none while it is not ready.
    pub(crate) fn address(&self) -> Option<Addresses> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_address(&self, address: Option<Addresses>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Work,
            1 => Phase::Drain,
            _ => Phase::Stop,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        for idle in &self.idle {
            idle.store(false, Ordering::Release);
        }
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn set_idle(&self, peer: usize, is_idle: bool) {
        self.idle[peer].store(is_idle, Ordering::Release);
    }

    pub(crate) fn all_idle(&self) -> bool {
        self.idle.iter().all(|idle| idle.load(Ordering::Acquire))
    }

    /// Sleeps while there is work to be done by others; ends early when the phase changes.
    pub(crate) fn sleep(&self, length: Duration) {
        let (end, phase) = (Instant::now() + length, self.phase());
        while self.phase() == phase && Instant::now() < end {
            thread::sleep(NAP.min(end.saturating_duration_since(Instant::now())));
        }
    }
}
