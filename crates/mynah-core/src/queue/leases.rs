//! Leases in the order in which they were made, found by arithmetic on their identifiers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

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
pub(super) enum Lease {
    Sent(Entry),
    /// With the number that the entry had.
    Received(u64),
}

impl Lease {
    fn state(&self) -> LeaseState<'_> {
        match self {
            Self::Sent(entry) => LeaseState::Sent(entry),
            Self::Received(_) => LeaseState::Received,
        }
    }

    const fn sequence(&self) -> u64 {
        match self {
            Self::Sent(entry) => entry.sequence,
            Self::Received(sequence) => *sequence,
        }
    }
}

/// What a receiver's statement about a lease meant.
pub(super) enum Receipt {
    Unknown,
    First(Entry),
    Repeated,
}

/// A lease that left the ring unsettled.
type Aside = (DeliveryId, Option<Lease>);

/// A ring of leases. Settled ones in the middle leave a gap; the front is never one.
///
/// ```text
/// first = 7:   [Sent] [gap] [Received] [Sent]
/// sequence        7     8        9       10      identifier = sequence % 65535 + 1
/// ```
///
/// When the identifiers have gone round and the front is still unsettled, it is set aside, and its identifier is passed
/// over until it is settled.
#[derive(Debug)]
pub(super) struct Leases {
    ring: VecDeque<Option<Lease>>,
    /// Leases older than the ring, oldest first. Settled ones stay as gaps until the next lease is made, so that
    /// iteration can go on after them.
    // Boxed because hardly any queue has some.
    #[allow(clippy::box_collection)]
    aside: Option<Box<Vec<Aside>>>,
    /// Sequence number of the front, modulo [`IDS`].
    first: u16,
    /// Leases that are not gaps.
    unsettled: u16,
}

impl Leases {
    pub(super) const fn new() -> Self {
        Self { ring: VecDeque::new(), aside: None, first: 0, unsettled: 0 }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.unsettled)
    }

    /// Leases that still hold their message.
    pub(super) fn messages(&self) -> usize {
        let aside = self.aside.iter().flat_map(|aside| aside.iter().flat_map(|(_, lease)| lease));
        self.ring.iter().flatten().chain(aside).filter(|lease| matches!(lease, Lease::Sent(_))).count()
    }

    /// Whether another lease fits into the window and finds an identifier.
    pub(super) fn is_open(&self, window: u16) -> bool {
        self.unsettled < window && usize::from(self.unsettled) < IDS - 1
    }

    /// Adds a lease; [`Leases::is_open`] holds.
    pub(super) fn push(&mut self, entry: Entry) -> DeliveryId {
        debug_assert!(self.is_open(u16::MAX));
        if self.ring.len() >= IDS - 1 || self.aside.is_some() {
            self.find_room();
        }
        self.ring.push_back(Some(Lease::Sent(entry)));
        self.unsettled += 1;
        self.id(self.ring.len() - 1)
    }

    /// Sets leases aside that are in the way of the next identifier, and passes over identifiers of those set aside.
    #[cold]
    fn find_room(&mut self) {
        loop {
            while self.ring.len() >= IDS - 1 {
                let id = self.id(0);
                let lease = self.ring.pop_front().flatten();
                self.advance_first();
                self.aside.get_or_insert_default().push((id, lease));
                self.drop_gaps();
            }
            let Some(aside) = &mut self.aside else { return };
            aside.retain(|(_, lease)| lease.is_some());
            if aside.is_empty() {
                self.aside = None;
                return;
            }
            let next = self.id(self.ring.len());
            if !self.aside.iter().any(|aside| aside.iter().any(|(id, _)| *id == next)) {
                return;
            }
            if self.ring.is_empty() {
                self.advance_first();
            } else {
                self.ring.push_back(None);
            }
        }
    }

    fn advance_first(&mut self) {
        self.first = ((usize::from(self.first) + 1) % IDS) as u16;
    }

    /// Lets the ring begin with a lease.
    #[inline]
    fn drop_gaps(&mut self) {
        while matches!(self.ring.front(), Some(None)) {
            self.ring.pop_front();
            self.advance_first();
        }
    }

    /// The lease that has this identifier.
    fn find(&mut self, id: DeliveryId) -> Option<&mut Option<Lease>> {
        let at = self.position(id);
        // The identifier of a lease that is set aside is a gap of the ring, if it is in its span.
        if self.aside.is_some() && !matches!(self.ring.get(at), Some(Some(_))) {
            let mut aside = self.aside.iter_mut().flat_map(|aside| aside.iter_mut());
            return aside.find(|(other, _)| *other == id).map(|(_, lease)| lease);
        }
        self.ring.get_mut(at)
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
        let lease = self.find(id)?.take()?;
        self.unsettled -= 1;
        self.drop_gaps();
        if self.ring.is_empty() && self.ring.capacity() > KEPT_ENTRIES_MAX {
            self.ring = VecDeque::new();
        }
        match lease {
            Lease::Sent(entry) => Some(Some(entry)),
            Lease::Received(_) => Some(None),
        }
    }

    pub(super) fn get(&self, id: DeliveryId) -> Option<LeaseState<'_>> {
        self.lease(id).map(Lease::state)
    }

    pub(super) fn sequence(&self, id: DeliveryId) -> Option<u64> {
        self.lease(id).map(Lease::sequence)
    }

    fn lease(&self, id: DeliveryId) -> Option<&Lease> {
        match self.ring.get(self.position(id)) {
            Some(Some(lease)) => Some(lease),
            _ => {
                let aside = self.aside.as_ref()?.iter().find(|(other, _)| *other == id)?;
                aside.1.as_ref()
            }
        }
    }

    /// Makes the leases those that an earlier run left, in the order of their numbers.
    pub(super) fn restore(&mut self, leases: Vec<(DeliveryId, Lease)>) {
        *self = Self::new();
        self.unsettled = u16::try_from(leases.len()).unwrap_or(u16::MAX);
        let Some(&(newest, _)) = leases.last() else { return };
        let back = |id: DeliveryId| (usize::from(newest.number()) + IDS - usize::from(id.number())) % IDS;
        // The ring holds the newest of them, as far back as their identifiers go back once around.
        let mut reach = 0;
        let in_ring = leases.iter().rev().enumerate().take_while(|(at, (id, _))| {
            let fits = *at == 0 || (back(*id) > reach && back(*id) < IDS - 1);
            reach = reach.max(back(*id));
            fits
        });
        let aside = leases.len() - in_ring.count();
        let mut leases = leases.into_iter().map(|(id, lease)| (id, Some(lease)));
        let older: Vec<Aside> = leases.by_ref().take(aside).collect();
        self.aside = (!older.is_empty()).then(|| Box::new(older));
        for (id, lease) in leases {
            if self.ring.is_empty() {
                self.first = id.number() - 1;
            }
            let at = self.position(id);
            self.ring.resize_with(at, || None);
            self.ring.push_back(lease);
        }
    }

    /// Sets all leases aside: new ones have identifiers from another place on.
    pub(super) fn move_on(&mut self, to: u16) {
        let mut aside = self.aside.take().unwrap_or_default();
        let ids = (0..self.ring.len()).map(|at| self.id(at)).collect::<Vec<_>>();
        let ring = core::mem::take(&mut self.ring);
        aside.extend(ids.into_iter().zip(ring).filter(|(_, lease)| lease.is_some()));
        self.aside = (!aside.is_empty()).then_some(aside);
        self.first = (usize::from(to) % IDS) as u16;
    }

    pub(super) fn receive(&mut self, id: DeliveryId) -> Receipt {
        match self.find(id) {
            Some(slot @ Some(Lease::Sent(Entry { class: Class::ExactlyOnce, .. }))) => {
                let sequence = slot.as_ref().map_or(0, Lease::sequence);
                match slot.replace(Lease::Received(sequence)) {
                    Some(Lease::Sent(entry)) => Receipt::First(entry),
                    _ => Receipt::Repeated,
                }
            }
            Some(Some(Lease::Received(_))) => Receipt::Repeated,
            _ => Receipt::Unknown,
        }
    }

    pub(super) fn iter(
        &self,
        after: Option<DeliveryId>,
    ) -> impl Iterator<Item = (DeliveryId, LeaseState<'_>)> + '_ {
        let aside: &[Aside] = self.aside.as_ref().map_or(&[], |aside| aside);
        let (aside, start) = match after {
            None => (aside, 0),
            Some(id) => match aside.iter().position(|(other, _)| *other == id) {
                Some(at) => (&aside[at + 1..], 0),
                // What is no longer in the ring was settled at its front: everything that is left comes after it.
                None => match self.position(id) {
                    at if at < self.ring.len() => (&[][..], at + 1),
                    _ => (&[][..], 0),
                },
            },
        };
        let aside = aside.iter().filter_map(|(id, lease)| Some((*id, lease.as_ref()?.state())));
        aside.chain(self.ring.range(start..).enumerate().filter_map(move |(i, lease)| {
            let state = lease.as_ref()?.state();
            Some((self.id(start + i), state))
        }))
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
