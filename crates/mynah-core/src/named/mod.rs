//! Named queues: entries in their order, consumers who compete for them, and what becomes of what nobody takes.
//!
//! Invariants: an entry is in one place: ready, delayed, or leased to one consumer; entries of one priority are handed out
//! in the order of their numbers, which are given once; the leases of a consumer are numbered from 1 without gaps. What
//! leaves the queue other than by delivery is kept as [`Dropped`] until it is taken; the numbers of stored entries that are
//! gone likewise. A stream is such a queue whose consumers take nothing away: each has a cursor.

mod consumer;
mod declare;
mod due;
mod entry;
mod paging;
mod ready;
#[cfg(test)]
mod reference;
mod serving;
mod settling;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use mynah_model::{DeathReason, Instant, Overflow, PRIORITY_DEFAULT, QueueSettings};

pub use consumer::{ConsumerKey, StreamStart, Taking};
pub use entry::{Arrival, Body, Dropped, History, Returned};
pub use paging::PAGE;
pub use serving::Handout;

use consumer::Consumer;
use entry::{NEVER, NamedEntry};
use ready::{Place, Ready};

/// A named queue or stream.
#[derive(Debug)]
pub struct NamedQueue {
    settings: QueueSettings,
    /// Messages and bytes that are ready at most, whatever the settings say.
    bounds: (u64, u64),
    ready: Ready,
    /// Entries that nobody gets before a time.
    delayed: BTreeMap<(Instant, u64), Body>,
    /// When the entries that are ready are wanted no longer, of those for which that is so at some time.
    deadlines: BTreeSet<(Instant, Place)>,
    consumers: BTreeMap<ConsumerKey, Consumer>,
    /// Those who can take something, by priority, in turn.
    turns: BTreeMap<Reverse<i32>, VecDeque<ConsumerKey>>,
    /// The one who gets everything, if there is to be one only.
    active: Option<ConsumerKey>,
    /// Those who wait for the place of the active one, in the order in which they came.
    standby: Vec<ConsumerKey>,
    /// Consumers who look at each entry.
    looking: usize,
    /// Somebody has taken entries by choice.
    has_looked: bool,
    draining: Vec<ConsumerKey>,
    /// Consumers that others know of.
    counted: u32,
    had_consumer: bool,
    leased: usize,
    /// Leases that were promised to be settled, whatever becomes of their consumers.
    pledged: BTreeMap<u64, Vec<NamedEntry>>,
    next_sequence: u64,
    /// When the queue was used last.
    used_at: Instant,
    dropped: Vec<Dropped>,
    gone: Vec<u64>,
    returned: Vec<Returned>,
    drained: Vec<ConsumerKey>,
    /// Stored entries that are gone and were never read back.
    gone_unread: Option<(u64, u64)>,
    /// A page was asked for.
    is_paging: bool,
    /// Somebody may have had the entries before this number, in an earlier run.
    shown_to: u64,
    /// Not everything was looked at.
    is_busy: bool,
    /// Memory for entries that are being settled.
    settling: Vec<NamedEntry>,
    tally: Tally,
}

/// What a queue has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that came.
    pub came: u64,
    /// Deliveries that were made.
    pub handed_out: u64,
    /// Messages that were accepted, or settled by being delivered.
    pub accepted: u64,
    /// Messages that a consumer has rejected.
    pub rejected: u64,
    /// Messages that were wanted no longer.
    pub expired: u64,
    /// Messages that there was no room for.
    pub overflowed: u64,
    /// Messages that have failed too often.
    pub failed: u64,
}

impl NamedQueue {
    /// An empty queue that was declared at `now`, whose entries are numbered from `first_sequence` on.
    #[must_use]
    pub const fn new(settings: QueueSettings, first_sequence: u64, now: Instant) -> Self {
        Self {
            settings,
            bounds: (u64::MAX, u64::MAX),
            ready: Ready::new(),
            delayed: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            consumers: BTreeMap::new(),
            turns: BTreeMap::new(),
            active: None,
            standby: Vec::new(),
            looking: 0,
            has_looked: false,
            draining: Vec::new(),
            counted: 0,
            had_consumer: false,
            leased: 0,
            pledged: BTreeMap::new(),
            next_sequence: first_sequence,
            used_at: now,
            dropped: Vec::new(),
            gone: Vec::new(),
            returned: Vec::new(),
            drained: Vec::new(),
            gone_unread: None,
            is_paging: false,
            shown_to: 0,
            is_busy: false,
            settling: Vec::new(),
            tally: Tally {
                came: 0,
                handed_out: 0,
                accepted: 0,
                rejected: 0,
                expired: 0,
                overflowed: 0,
                failed: 0,
            },
        }
    }

    /// What was said of it when it was declared.
    #[must_use]
    pub const fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Takes in a message. Returns its number, and when it is wanted no longer by what was said of the queue, or, in a
    /// stream, that it came now. See [`NamedQueue::enforce`].
    pub fn push(&mut self, now: Instant, arrival: Arrival) -> (u64, Option<Instant>) {
        let Arrival { message, stored, history, again } = arrival;
        let header = message.header();
        let (deadline, level) = (header.deadline.unwrap_or(NEVER), self.level(header.priority));
        let own = self.settings.message_ttl.map(|ttl| now + ttl);
        let own = if self.is_stream() { Some(now) } else { own };
        let time = if self.is_stream() { now } else { deadline.min(own.unwrap_or(NEVER)) };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.tally.came += 1;
        let body = Body { message, history, time, acquired: again.into(), failed: 0, stored, level };
        self.make_ready(NamedEntry { sequence, body });
        (sequence, own)
    }

    /// Takes in an entry of an earlier run, which keeps its number, its time as [`NamedQueue::push`] said it, until when
    /// nobody gets it if it was given back for later, and how often it was acquired and has failed.
    pub fn restore(
        &mut self,
        sequence: u64,
        arrival: Arrival,
        time: Option<Instant>,
        until: Option<Instant>,
        (acquired, failed): (u32, u32),
    ) {
        self.next_sequence = self.next_sequence.max(sequence + 1);
        let Arrival { message, stored, history, .. } = arrival;
        let deadline = message.header().deadline.filter(|_| !self.is_stream());
        let time = [deadline, time].into_iter().flatten().min().unwrap_or(NEVER);
        let level = self.level(message.header().priority);
        let body = Body { message, history, time, acquired, failed, stored, level };
        match until {
            Some(until) => drop(self.delayed.insert((until, sequence), body)),
            None => self.make_ready(NamedEntry { sequence, body }),
        }
    }

    /// The number that the next entry gets.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    fn level(&self, priority: u8) -> u8 {
        let max = self.settings.priority_max.filter(|_| !self.is_stream());
        let max = max.map_or(0, core::num::NonZeroU8::get);
        max - if priority == PRIORITY_DEFAULT { 0 } else { priority.min(max) }
    }

    fn make_ready(&mut self, entry: NamedEntry) {
        let deadline = entry.body.time;
        let place = self.ready.insert(entry);
        if deadline != NEVER && !self.is_stream() {
            self.deadlines.insert((deadline, place));
        }
        if self.looking > 0 && !self.is_stream() {
            for consumer in self.consumers.values_mut() {
                consumer.cursor = consumer.cursor.min(place);
            }
        }
    }

    /// Takes an entry out of those that are ready.
    fn take_ready(&mut self, place: Place) -> Option<NamedEntry> {
        let entry = self.ready.take(place)?;
        if entry.body.time != NEVER {
            self.deadlines.remove(&(entry.body.time, place));
        }
        Some(entry)
    }

    /// An entry has left the queue without having been accepted.
    fn drop_entry(&mut self, entry: NamedEntry, reason: DeathReason) {
        let count = match reason {
            DeathReason::Rejected => &mut self.tally.rejected,
            DeathReason::Expired => &mut self.tally.expired,
            DeathReason::MaxLength => &mut self.tally.overflowed,
            DeathReason::DeliveryLimit => &mut self.tally.failed,
        };
        *count += 1;
        self.dropped.push(Dropped { sequence: entry.sequence, body: entry.body, reason });
    }

    /// An entry is no longer in the queue.
    fn forget(&mut self, entry: &NamedEntry) {
        if entry.body.stored {
            self.gone.push(entry.sequence);
        }
    }

    /// Bounds what is ready, in messages and in bytes, whatever was said when the queue was declared.
    pub const fn bound(&mut self, messages: u64, bytes: u64) {
        self.bounds = (messages, bytes);
    }

    fn length_max(&self) -> u64 {
        self.settings.length_max.unwrap_or(u64::MAX).min(self.bounds.0)
    }

    fn bytes_max(&self) -> u64 {
        self.settings.bytes_max.unwrap_or(u64::MAX).min(self.bounds.1)
    }

    /// Whether a message of `payload_bytes` fits without another having to go.
    #[must_use]
    pub fn has_room_for(&self, payload_bytes: u64) -> bool {
        (self.ready.len() as u64) < self.length_max()
            && self.ready.bytes().saturating_add(payload_bytes) <= self.bytes_max()
    }

    /// Whether a message that does not fit is refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.settings.overflow != Overflow::DropHead
    }

    /// Keeps the bounds: called after what could be handed out was, since only what stays ready counts.
    pub fn enforce(&mut self) {
        if let Some(stream) = self.settings.stream {
            let max = stream.bytes_max.map_or(u64::MAX, core::num::NonZeroU64::get);
            while self.ready.bytes() > max && self.ready.len() > 1 {
                self.drop_oldest();
            }
        }
        let (length_max, bytes_max) = (self.length_max(), self.bytes_max());
        while self.ready.len() as u64 > length_max || self.ready.bytes() > bytes_max {
            let place = match self.settings.overflow {
                Overflow::DropHead => self.ready.first_from(Place::default()).map(|(place, _)| place),
                Overflow::RejectPublish | Overflow::RejectPublishDeadLetter => self.ready.latest(),
            };
            let Some(entry) = place.and_then(|place| self.take_ready(place)) else { break };
            if self.settings.overflow == Overflow::RejectPublish {
                self.tally.overflowed += 1;
                self.forget(&entry);
            } else {
                self.drop_entry(entry, DeathReason::MaxLength);
            }
        }
    }

    /// Retention takes the oldest entry of a stream, which is no dead letter.
    fn drop_oldest(&mut self) {
        let place = self.ready.first_from(Place::default()).map(|(place, _)| place);
        if let Some(entry) = place.and_then(|place| self.take_ready(place)) {
            self.forget(&entry);
        }
    }

    /// Removes what is ready. Returns how many entries that were.
    pub fn purge(&mut self) -> u64 {
        let ready = core::mem::take(&mut self.ready);
        self.gone_unread = ready.paged();
        self.deadlines.clear();
        for (place, body) in ready.iter() {
            if body.stored {
                self.gone.push(place.sequence);
            }
        }
        ready.len() as u64
    }

    /// Entries that are ready.
    #[must_use]
    pub const fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Bytes of payload that are ready.
    #[must_use]
    pub const fn ready_bytes(&self) -> u64 {
        self.ready.bytes()
    }

    /// Entries that are leased.
    #[must_use]
    pub const fn leased_len(&self) -> usize {
        self.leased
    }

    /// Entries that nobody gets yet.
    #[must_use]
    pub fn delayed_len(&self) -> usize {
        self.delayed.len()
    }

    /// Whether it holds no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.len() == 0 && self.leased == 0 && self.delayed.is_empty()
    }

    /// What it has seen.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether it is read without being consumed.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.settings.stream.is_some()
    }

    /// What has left the queue since the last call without having been accepted, in this order.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        core::mem::take(&mut self.dropped)
    }

    /// The numbers of stored entries that are gone since the last call, beside those that were dropped.
    pub fn take_gone(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.gone)
    }

    /// Whether one of the next five has something to tell.
    #[must_use]
    pub const fn has_effects(&self) -> bool {
        !self.dropped.is_empty()
            || !self.gone.is_empty()
            || self.gone_unread.is_some()
            || !self.returned.is_empty()
            || !self.drained.is_empty()
    }

    /// What is to be stored of entries that were given back since the last call.
    pub fn take_returned(&mut self) -> Vec<Returned> {
        core::mem::take(&mut self.returned)
    }

    /// Consumers whose credit could not be used, since the last call; they have none left.
    pub fn take_drained(&mut self) -> Vec<ConsumerKey> {
        core::mem::take(&mut self.drained)
    }
}
