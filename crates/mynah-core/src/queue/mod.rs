//! The queue kernel: entries that are ready, and entries that are leased to a receiver until it settles them.
//!
//! Invariants: ready entries keep the order in which they came; leases keep the order in which they were made; the
//! identifier of a lease is its sequence number modulo 65,535, plus one; no two leases have the same, since those in use
//! are passed over. Every entry gets a number when it comes, and no number is given twice: the leased ones have lower
//! numbers than the ready ones, but for those of another queue ([`Queue::lease_apart`]).

mod leases;
mod recovery;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Class, DeliveryId, Instant, Message};

pub use leases::LeaseState;
use leases::{Leases, Receipt};
pub use recovery::Kept;

use crate::Via;

/// What a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// Entries that are ready.
    pub messages_max: usize,
    /// Bytes of all messages, ready or leased.
    pub bytes_max: usize,
}

/// One message in a queue, as its receiver is to get it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// The guarantee of this delivery.
    pub class: Class,
    /// Whether the receiver sees the message as a retained value.
    pub retain: bool,
    /// The subscriptions that the message came by, where that matters.
    pub via: Option<Arc<Via>>,
    /// Its number in the queue, which gives it: what a store knows it by. Higher is later.
    pub sequence: u64,
}

impl Entry {
    /// An entry that is in no queue yet.
    #[must_use]
    pub const fn new(message: Message, class: Class, retain: bool, via: Option<Arc<Via>>) -> Self {
        Self { message, class, retain, via, sequence: 0 }
    }

    fn cost_bytes(&self) -> usize {
        self.message.cost_bytes()
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.message.header().deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// An entry that was handed out.
#[derive(Debug)]
pub enum Leased<'q> {
    /// Nobody confirms it: it has left the queue.
    Unconfirmed(Entry),
    /// It stays in the queue under this identifier until it is settled.
    Confirmed(DeliveryId, &'q Entry),
}

impl Leased<'_> {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        match self {
            Self::Unconfirmed(entry) => entry,
            Self::Confirmed(_, entry) => entry,
        }
    }

    /// The identifier to be settled; none for a class that nobody confirms.
    #[must_use]
    pub fn id(&self) -> Option<DeliveryId> {
        match self {
            Self::Unconfirmed(_) => None,
            Self::Confirmed(id, _) => Some(*id),
        }
    }
}

/// Entries of a queue that go elsewhere: see [`Queue::withdraw`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// Those that were handed out, by their identifiers.
    pub leased: Box<[DeliveryId]>,
    /// Those that are ready, by their places: 0 is the oldest. In ascending order.
    pub ready: Box<[u32]>,
}

/// An ordered queue with one receiver. Holds no memory of its own until it is used, and drops its oldest ready entries
/// when a bound is reached.
#[derive(Debug)]
pub struct Queue {
    ready: VecDeque<Entry>,
    leases: Leases,
    /// Bytes of all messages, ready or leased.
    bytes: usize,
    bytes_max: usize,
    /// Narrower than in the bounds: there is one queue for each session.
    messages_max: u32,
    /// Entries that expired and were not yet reported.
    expired: u32,
    /// The number of the next entry.
    next_sequence: u64,
}

/// Memory of an emptied queue that is worth keeping for the next burst, in entries.
const KEPT_ENTRIES_MAX: usize = 64;

impl Queue {
    /// An empty queue.
    #[must_use]
    pub const fn new(bounds: QueueBounds) -> Self {
        Self {
            ready: VecDeque::new(),
            leases: Leases::new(),
            bytes: 0,
            bytes_max: bounds.bytes_max,
            messages_max: if bounds.messages_max < u32::MAX as usize {
                bounds.messages_max as u32
            } else {
                u32::MAX
            },
            expired: 0,
            next_sequence: 0,
        }
    }

    /// The number that the next entry gets.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The number of the oldest entry that is ready, or of the next one: what was ready before it has left the queue or
    /// was leased.
    #[must_use]
    pub fn front_sequence(&self) -> u64 {
        self.ready.front().map_or(self.next_sequence, |entry| entry.sequence)
    }

    /// Lets the numbers go on at `sequence`, unless they are there already.
    pub fn skip_to(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// Appends an entry to those that are ready. Returns how many entries the bounds cost: the oldest that are ready,
    /// or the new one if it alone is too large.
    pub fn push(&mut self, mut entry: Entry) -> usize {
        let cost = entry.cost_bytes();
        if cost > self.bytes_max || self.messages_max == 0 {
            return 1;
        }
        let mut dropped = 0;
        self.bytes += cost;
        entry.sequence = self.take_sequence();
        self.ready.push_back(entry);
        while self.ready.len() > self.messages_max as usize || self.bytes > self.bytes_max {
            let Some(oldest) = self.pop_ready() else { break };
            drop(oldest);
            dropped += 1;
        }
        dropped
    }

    /// Whether [`Queue::lease_new`] takes an entry of `cost_bytes`: nothing is ready that would be overtaken, fewer
    /// than `window` deliveries are unsettled, and the bounds allow it.
    #[must_use]
    pub fn can_lease_new(&self, window: u16, cost_bytes: usize) -> bool {
        self.ready.is_empty()
            && self.leases.is_open(window)
            && self.bytes.saturating_add(cost_bytes) <= self.bytes_max
    }

    /// Leases an entry of a confirmed class that was never ready, which saves the way through the queue.
    ///
    /// # Errors
    /// Gives the entry back if [`Queue::can_lease_new`] does not hold.
    pub fn lease_new(&mut self, mut entry: Entry, window: u16) -> Result<DeliveryId, Entry> {
        debug_assert!(entry.class.is_confirmed());
        let cost = entry.cost_bytes();
        if !self.can_lease_new(window, cost) {
            return Err(entry);
        }
        self.bytes += cost;
        entry.sequence = self.take_sequence();
        Ok(self.leases.push(entry))
    }

    /// Leases an entry of a confirmed class that is another queue's: it has no place among those of this one, and only what
    /// is leased already may be in its way.
    ///
    /// # Errors
    /// Gives the entry back if `window` deliveries are unsettled already, or if the bounds do not allow it.
    pub fn lease_apart(&mut self, entry: Entry, window: u16) -> Result<DeliveryId, Entry> {
        let cost = entry.cost_bytes();
        if !self.leases.is_open(window) || self.bytes.saturating_add(cost) > self.bytes_max {
            return Err(entry);
        }
        self.bytes += cost;
        let sequence = self.take_sequence();
        Ok(self.leases.push(Entry { sequence, ..entry }))
    }

    /// Hands out the oldest ready entry that has not expired at `now`. None if there is none, or if it has to be
    /// confirmed and `window` deliveries are unsettled already. Expired entries in its way are dropped, see
    /// [`Queue::take_expired`].
    pub fn lease_next(&mut self, now: Instant, window: u16) -> Option<Leased<'_>> {
        while self.ready.front()?.is_expired(now) {
            self.pop_ready();
            self.expired = self.expired.saturating_add(1);
        }
        let confirmed = self.ready.front()?.class.is_confirmed();
        if !confirmed {
            return self.pop_ready().map(Leased::Unconfirmed);
        }
        if !self.leases.is_open(window) {
            return None;
        }
        let entry = self.pop_ready()?;
        self.bytes += entry.cost_bytes();
        let id = self.leases.push(entry);
        self.leases.last().map(|entry| Leased::Confirmed(id, entry))
    }

    /// How many entries have expired since the last call.
    pub fn take_expired(&mut self) -> usize {
        core::mem::take(&mut self.expired) as usize
    }

    /// Ends a delivery. Returns whether it was known.
    pub fn settle(&mut self, id: DeliveryId) -> bool {
        match self.leases.settle(id) {
            None => false,
            Some(entry) => {
                self.bytes -= entry.map_or(0, |e| e.cost_bytes());
                true
            }
        }
    }

    /// Notes that the receiver has an exactly-once message and will not take it again: the message is dropped, the
    /// identifier stays taken until it is settled. Returns whether the delivery was known (a repetition is).
    pub fn receive(&mut self, id: DeliveryId) -> bool {
        match self.leases.receive(id) {
            Receipt::Unknown => false,
            Receipt::Repeated => true,
            Receipt::First(entry) => {
                self.bytes -= entry.cost_bytes();
                true
            }
        }
    }

    /// How far the delivery with this identifier has come; none if it is settled or was never made.
    #[must_use]
    pub fn lease(&self, id: DeliveryId) -> Option<LeaseState<'_>> {
        self.leases.get(id)
    }

    /// The number of the entry that was handed out under this identifier; none if it is settled or was never made.
    #[must_use]
    pub fn leased_sequence(&self, id: DeliveryId) -> Option<u64> {
        self.leases.sequence(id)
    }

    /// The unsettled deliveries in the order in which they were made, from the one after `after` on: what a receiver
    /// that came back has to hear again. Between two calls deliveries may be settled, `after` included.
    pub fn leased(
        &self,
        after: Option<DeliveryId>,
    ) -> impl Iterator<Item = (DeliveryId, LeaseState<'_>)> + '_ {
        self.leases.iter(after)
    }

    /// The entries that are ready, oldest first.
    pub fn ready(&self) -> impl Iterator<Item = &Entry> {
        self.ready.iter()
    }

    /// Takes entries out, which go elsewhere: first those that were handed out, then those that are ready. The identifiers
    /// of the former are free again.
    pub fn withdraw(&mut self, withdrawal: &Withdrawal) -> Vec<Entry> {
        let settled = withdrawal.leased.iter().filter_map(|id| self.leases.settle(*id).flatten());
        let mut entries: Vec<Entry> = settled.collect();
        if !withdrawal.ready.is_empty() {
            let mut places = withdrawal.ready.iter().peekable();
            for (entry, place) in core::mem::take(&mut self.ready).into_iter().zip(0_u32..) {
                if places.next_if(|other| **other == place).is_some() {
                    entries.push(entry);
                } else {
                    self.ready.push_back(entry);
                }
            }
        }
        self.bytes -= entries.iter().map(Entry::cost_bytes).sum::<usize>();
        entries
    }

    /// Forgets all entries and leases. Returns how many messages went with them.
    pub fn clear(&mut self) -> usize {
        let messages = self.ready.len() + self.leases.messages();
        (self.ready, self.leases, self.bytes) = (VecDeque::new(), Leases::new(), 0);
        messages
    }

    /// Entries that are ready.
    #[must_use]
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Deliveries that are unsettled.
    #[must_use]
    pub fn leased_len(&self) -> usize {
        self.leases.len()
    }

    /// Bytes of all messages in the queue, ready or leased.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is ready: a new message may overtake the queue without being out of order.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether nothing is ready and nothing unsettled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.leases.len() == 0
    }

    const fn take_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    fn pop_ready(&mut self) -> Option<Entry> {
        let entry = self.ready.pop_front()?;
        self.bytes -= entry.cost_bytes();
        if self.ready.is_empty() && self.ready.capacity() > KEPT_ENTRIES_MAX {
            self.ready = VecDeque::new();
        }
        Some(entry)
    }
}
