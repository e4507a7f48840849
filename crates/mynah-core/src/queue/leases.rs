//! Leases in the order in which they were made, found by arithmetic on their identifiers.

use alloc::collections::VecDeque;

use mynah_model::{Class, DeliveryId};

use super::{Entry, KEPT_ENTRIES_MAX};

/// Identifiers: 1 to 65,535.
const IDS: usize = u16::MAX as usize;

/// How far a delivery has come.
#[derive(Clone, Copy, Debug)]
pub enum LeaseState<'q> {
    /// It was handed out.
    Sent(&'q Entry),
    /// The receiver has it and will not take it again; only the identifier is left.
    Received,
}

#[derive(Debug)]
enum Lease {
    Sent(Entry),
    Received,
}

impl Lease {
    fn state(&self) -> LeaseState<'_> {
        match self {
            Self::Sent(entry) => LeaseState::Sent(entry),
            Self::Received => LeaseState::Received,
        }
    }
}

/// What a receiver's statement about a lease meant.
pub(super) enum Receipt {
    Unknown,
    First(Entry),
    Repeated,
}

/// A ring of leases. Settled ones in the middle leave a gap; the front is never one.
///
/// ```text
/// first = 7:   [Sent] [gap] [Received] [Sent]
/// sequence        7     8        9       10      identifier = sequence % 65535 + 1
/// ```
#[derive(Debug)]
pub(super) struct Leases {
    ring: VecDeque<Option<Lease>>,
    /// Sequence number of the front, modulo [`IDS`].
    first: u16,
    /// Leases that are not gaps.
    unsettled: u16,
}

impl Leases {
    pub(super) const fn new() -> Self {
        Self { ring: VecDeque::new(), first: 0, unsettled: 0 }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.unsettled)
    }

    /// Leases that still hold their message.
    pub(super) fn messages(&self) -> usize {
        self.ring.iter().flatten().filter(|lease| matches!(lease, Lease::Sent(_))).count()
    }

    /// Whether another lease fits into the window and finds an identifier.
    pub(super) fn is_open(&self, window: u16) -> bool {
        self.unsettled < window && self.ring.len() < IDS - 1
    }

    /// Adds a lease; [`Leases::is_open`] holds.
    pub(super) fn push(&mut self, entry: Entry) -> DeliveryId {
        debug_assert!(self.ring.len() < IDS - 1);
        self.ring.push_back(Some(Lease::Sent(entry)));
        self.unsettled += 1;
        self.id(self.ring.len() - 1)
    }

    /// The entry of the newest lease.
    pub(super) fn last(&self) -> Option<&Entry> {
        match self.ring.back()? {
            Some(Lease::Sent(entry)) => Some(entry),
            _ => None,
        }
    }

    /// Ends a lease. The entry is in the answer if the lease still held it.
    pub(super) fn settle(&mut self, id: DeliveryId) -> Option<Option<Entry>> {
        let at = self.position(id);
        let lease = self.ring.get_mut(at)?.take()?;
        self.unsettled -= 1;
        while matches!(self.ring.front(), Some(None)) {
            self.ring.pop_front();
            self.first = ((usize::from(self.first) + 1) % IDS) as u16;
        }
        if self.ring.is_empty() && self.ring.capacity() > KEPT_ENTRIES_MAX {
            self.ring = VecDeque::new();
        }
        match lease {
            Lease::Sent(entry) => Some(Some(entry)),
            Lease::Received => Some(None),
        }
    }

    pub(super) fn get(&self, id: DeliveryId) -> Option<LeaseState<'_>> {
        self.ring.get(self.position(id))?.as_ref().map(Lease::state)
    }

    pub(super) fn receive(&mut self, id: DeliveryId) -> Receipt {
        let at = self.position(id);
        match self.ring.get_mut(at) {
            Some(slot @ Some(Lease::Sent(Entry { class: Class::ExactlyOnce, .. }))) => {
                match slot.replace(Lease::Received) {
                    Some(Lease::Sent(entry)) => Receipt::First(entry),
                    _ => Receipt::Repeated,
                }
            }
            Some(Some(Lease::Received)) => Receipt::Repeated,
            _ => Receipt::Unknown,
        }
    }

    pub(super) fn iter(
        &self,
        after: Option<DeliveryId>,
    ) -> impl Iterator<Item = (DeliveryId, LeaseState<'_>)> + '_ {
        // What is no longer in the ring was settled at its front: everything that is left comes after it.
        let start = match after.map(|id| self.position(id)) {
            Some(at) if at < self.ring.len() => at + 1,
            _ => 0,
        };
        self.ring.range(start..).enumerate().filter_map(move |(i, lease)| {
            let state = lease.as_ref()?.state();
            Some((self.id(start + i), state))
        })
    }

    fn id(&self, at: usize) -> DeliveryId {
        let number = (usize::from(self.first) + at) % IDS + 1;
        match DeliveryId::new(number as u16) {
            Some(id) => id,
            None => unreachable!("the number is between 1 and 65535"),
        }
    }

    fn position(&self, id: DeliveryId) -> usize {
        (usize::from(id.number()) - 1 + IDS - usize::from(self.first)) % IDS
    }
}
