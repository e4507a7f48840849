//! The values that have a deadline, the earliest first.

use alloc::collections::BTreeSet;
use core::cmp::Ordering;

use mynah_model::{Instant, Message, TenantId};

/// One entry for each value with a deadline; a value without one costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Expiring(BTreeSet<Due>);

impl Expiring {
    /// Notes a value that has come into the store.
    pub(super) fn insert(&mut self, message: &Message) {
        if message.header().deadline.is_some() {
            self.0.insert(Due(message.clone()));
        }
    }

    /// Forgets a value that has left the store.
    pub(super) fn remove(&mut self, message: &Message) {
        if message.header().deadline.is_some() {
            self.0.remove(&Due(message.clone()));
        }
    }

    /// Takes the value with the earliest deadline, if that has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Message> {
        self.next_deadline().filter(|deadline| *deadline <= now)?;
        self.0.pop_first().map(|Due(message)| message)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.first()?.0.header().deadline
    }
}

/// A value, ordered by its deadline. A topic has one value, so that deadline, tenant and topic name it.
#[derive(Debug)]
struct Due(Message);

impl Due {
    fn place(&self) -> (Option<Instant>, TenantId, &[u8]) {
        let Self(message) = self;
        (message.header().deadline, message.header().tenant, message.topic().as_bytes())
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Due {}
