//! A store that a test works by hand: it keeps what engines say has changed, when the test lets it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use std::sync::Arc;

use mynah_core::{Cursor, Entry, GroupKey, Kept, SHARDS, SessionKey, WorkerId, owner};
use mynah_engine::{
    Change, Engine, Mark, PageRequest, Parts, Promise, Restored, RestoredDelayed, RestoredErrand,
    RestoredSubscription, SessionName,
};
use mynah_model::{DeliveryId, Expiry, Identity, Instant, Message, SubscriptionOptions, TenantId, Will};

use crate::disk_queues::{StoredExchange, StoredQueue, fact_of_exchange, fact_of_queue};

pub(crate) type Fact = Box<dyn FnOnce(&mut State)>;
/// A message, and the group that it goes to.
type Errand = (Message, Option<Arc<GroupKey>>);
/// A message that is published later, when, and to which topic.
type Waiting = (Message, Instant, Option<Box<[u8]>>);
/// Group and filter.
type Attached = (Option<Box<[u8]>>, Box<[u8]>);

/// What is stored, and what is on its way.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) state: State,
    pub(crate) pending: VecDeque<(usize, Mark, Vec<Fact>)>,
    /// Whether what comes waits until the test says so.
    pub(crate) holds: bool,
    /// Whether answers do not wait.
    pub(crate) is_late: bool,
    /// Whether changes are left where they are, to be taken with those of later turns.
    pub(crate) gathers: bool,
    /// Parts of queues that were read back in this run.
    pub(crate) pages: usize,
    runs: u64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<Vec<u8>, StoredSession>,
    pub(crate) values: BTreeMap<Vec<u8>, Message>,
    /// By the client, what they are parts of and their numbers.
    pub(crate) parts: BTreeMap<(Vec<u8>, u64, u64), Vec<u64>>,
    pub(crate) errands: BTreeMap<(u16, u64), Errand>,
    /// By shard and number: message, time and address.
    pub(crate) delayed: BTreeMap<(u16, u64), Waiting>,
    pub(crate) queues: BTreeMap<Vec<u8>, StoredQueue>,
    pub(crate) exchanges: BTreeMap<Vec<u8>, StoredExchange>,
}

pub(crate) struct StoredSession {
    identity: Identity,
    expiry: Expiry,
    receive_max: u16,
    detached_at: Option<Instant>,
    next_sequence: u64,
    since: u64,
    subscriptions: BTreeMap<Attached, (SubscriptionOptions, Option<Cursor>)>,
    pub(crate) received: BTreeSet<u16>,
    will: Option<Will>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) leases: BTreeMap<u64, (DeliveryId, bool)>,
}

impl Disk {
    /// Begins a run: the engines get what is stored, each its own.
    pub(crate) fn start(&mut self, engines: &mut [Engine], seed: u64, now: Instant) {
        self.pending.clear();
        (self.runs, self.pages) = (self.runs + 1, 0);
        let workers = engines.len() as u16;
        let promise = if self.is_late { Promise::AtOnce } else { Promise::Stored };
        for engine in engines.iter_mut() {
            engine.store_changes(promise, self.runs << 40);
            engine.page_queues();
        }
        for (name, session) in &self.state.sessions {
            let owner = owner(TenantId::DEFAULT, name, workers, seed);
            let repeated = self.state.repeated(name, session.since);
            let restored = Restored { repeated, ..session.restored(name, now) };
            engines[usize::from(owner.0)].restore_session(restored).unwrap();
        }
        for (topic, message) in &self.state.values {
            let owner = owner(TenantId::DEFAULT, topic, workers, seed);
            engines[usize::from(owner.0)].restore_value(now, message);
        }
        for (name, of, number) in self.state.stale() {
            let session = SessionName { tenant: TenantId::DEFAULT, shard: 0, client_id: &name };
            let owner = owner(TenantId::DEFAULT, &name, workers, seed);
            engines[usize::from(owner.0)].drop_part(session, of, number);
        }
        for ((shard, number), (message, group)) in &self.state.errands {
            let (message, group) = (message.clone(), group.clone());
            let parts = self.state.parts_of(b"", *number, 0);
            let errand = RestoredErrand { shard: *shard, number: *number, message, group, parts };
            engines[usize::from(shard % workers)].restore_errand(errand);
        }
        for (name, exchange) in &self.state.exchanges {
            let owner = owner(TenantId::DEFAULT, name, workers, seed);
            engines[usize::from(owner.0)].restore_exchange(exchange.restored(name));
        }
        for (name, queue) in &self.state.queues {
            let owner = owner(TenantId::DEFAULT, name, workers, seed);
            engines[usize::from(owner.0)].restore_queue(now, queue.restored(name));
        }
        for (&(shard, number), (message, due, address)) in &self.state.delayed {
            let (message, due, address) = (message.clone(), *due, address.clone());
            let restored = RestoredDelayed { shard, number, message, due, address };
            engines[usize::from(shard % workers)].restore_delayed(restored);
        }
        for engine in engines {
            engine.begin(now);
        }
    }

    /// Takes what has changed in a turn. Returns whether that was anything.
    pub(crate) fn take(&mut self, engine: &mut Engine) -> bool {
        let mut facts = Vec::new();
        let Some(mark) = engine.take_changes(|change| facts.push(fact(change))) else { return false };
        let WorkerId(worker) = engine.worker();
        self.pending.push_back((usize::from(worker), mark, facts));
        true
    }

    /// Reads parts of queues back. Returns whether any were wanted.
    pub(crate) fn read_pages(&mut self, engine: &mut Engine) -> bool {
        let pages = self.pages;
        while let Some(PageRequest { queue, from, name, .. }) = engine.poll_page() {
            let stored = self.state.queues.get(&*name);
            engine.handle_page(queue, from, Some(stored.map_or_else(Vec::new, |stored| stored.page(from))));
            self.pages += 1;
        }
        self.pages > pages
    }

    /// Stores the oldest of what is on its way.
    pub(crate) fn store_next(&mut self, engines: &mut [Engine], now: Instant) -> bool {
        let Some((worker, mark, facts)) = self.pending.pop_front() else { return false };
        facts.into_iter().for_each(|fact| fact(&mut self.state));
        engines[worker].handle_stored(now, mark);
        true
    }
}

impl State {
    fn parts_of(&self, name: &[u8], of: u64, since: u64) -> Parts {
        let mut parts = Parts::default();
        for ((_, _, number), receivers) in
            self.parts.range((name.to_vec(), of, since)..=(name.to_vec(), of, u64::MAX))
        {
            parts.numbers.push(*number);
            parts.receivers.extend(receivers);
        }
        parts
    }

    /// The parts of publications that have not arrived everywhere.
    fn repeated(&self, name: &[u8], since: u64) -> Vec<(u16, Parts)> {
        let mut receipts: Vec<u64> =
            self.parts.keys().filter(|(n, ..)| n == name).map(|(_, of, _)| *of).collect();
        receipts.dedup();
        let parts = receipts.into_iter().map(|of| (of as u16, self.parts_of(name, of, since)));
        parts.filter(|(_, parts)| !parts.numbers.is_empty()).collect()
    }

    /// Parts of what is over.
    fn stale(&self) -> Vec<(Vec<u8>, u64, u64)> {
        let is_stale = |(name, of, number): &&(Vec<u8>, u64, u64)| match self.sessions.get(name) {
            Some(session) => *number < session.since,
            None => !name.is_empty() || !self.errands.keys().any(|(_, errand)| errand == of),
        };
        self.parts.keys().filter(is_stale).cloned().collect()
    }

    /// Nothing is left that would be of no use.
    pub(crate) fn is_tidy(&self) -> bool {
        self.parts.is_empty() && self.errands.is_empty()
    }

    fn session(&mut self, client_id: &[u8]) -> &mut StoredSession {
        self.sessions.get_mut(client_id).expect("a session is stored before what belongs to it")
    }
}

impl StoredSession {
    pub(crate) const fn has_will(&self) -> bool {
        self.will.is_some()
    }

    fn restored(&self, name: &[u8], now: Instant) -> Restored {
        let subscription = |((share, filter), (options, replay)): (&Attached, &(_, Option<Cursor>))| {
            let (share, filter, options) = (share.clone(), filter.clone(), *options);
            RestoredSubscription { share, filter, options, replay: replay.clone() }
        };
        let taken = self.leases.iter().filter(|(_, (_, received))| *received);
        let taken = taken.map(|(sequence, (id, _))| Kept::Received(*id, *sequence));
        let entries = self.entries.values().cloned().map(|entry| match self.leases.get(&entry.sequence) {
            Some((id, _)) => Kept::Sent(*id, entry),
            None => Kept::Ready(entry),
        });
        Restored {
            key: SessionKey { tenant: TenantId::DEFAULT, client_id: name.into() },
            identity: self.identity.clone(),
            expiry: self.expiry,
            receive_max: self.receive_max,
            detached_at: self.detached_at.unwrap_or(now),
            subscriptions: self.subscriptions.iter().map(subscription).collect(),
            received: self.received.iter().copied().collect(),
            repeated: Vec::new(),
            will: self.will.clone(),
            queue: taken.chain(entries).collect(),
            next_sequence: self.next_sequence,
        }
    }
}

/// A change that can be kept.
fn fact(change: Change<'_>) -> Fact {
    match change {
        Change::Session { session, identity, expiry, receive_max, detached_at, next_sequence, since } => {
            assert!(session.shard < SHARDS);
            let (name, identity) = (session.client_id.to_vec(), identity.clone());
            Box::new(move |state| {
                let session = state.sessions.entry(name).or_insert_with(|| StoredSession {
                    identity,
                    expiry,
                    receive_max,
                    detached_at,
                    next_sequence,
                    since,
                    subscriptions: BTreeMap::new(),
                    received: BTreeSet::new(),
                    will: None,
                    entries: BTreeMap::new(),
                    leases: BTreeMap::new(),
                });
                (session.expiry, session.receive_max) = (expiry, receive_max);
                (session.detached_at, session.next_sequence) = (detached_at, next_sequence);
                session.since = since;
            })
        }
        Change::Apart => Box::new(|_| ()),
        Change::SessionEnded(session) => {
            let name = session.client_id.to_vec();
            Box::new(move |state| {
                state.sessions.remove(&name);
                state.parts.retain(|(client, ..), _| *client != name);
            })
        }
        Change::Retained { message, .. } => {
            let message = message.clone();
            Box::new(move |state| {
                state.values.insert(message.topic().as_bytes().to_vec(), message);
            })
        }
        Change::Cleared { topic, .. } => {
            let topic = topic.to_vec();
            Box::new(move |state| drop(state.values.remove(&topic)))
        }
        Change::Part { session: SessionName { client_id, .. }, of, number, receivers } => {
            let (key, receivers) = ((client_id.to_vec(), of, number), receivers.to_vec());
            Box::new(move |state| {
                assert!(state.parts.insert(key, receivers).is_none(), "a number is given once");
            })
        }
        Change::PartGone { session: SessionName { client_id, .. }, of, number } => {
            let key = (client_id.to_vec(), of, number);
            Box::new(move |state| drop(state.parts.remove(&key)))
        }
        Change::Errand { shard, number, message, group, .. } => {
            let errand = (message.clone(), group.cloned());
            Box::new(move |state| drop(state.errands.insert((shard, number), errand)))
        }
        Change::ErrandDone { shard, number, .. } => {
            Box::new(move |state| drop(state.errands.remove(&(shard, number))))
        }
        Change::Delayed { .. } | Change::DelayedDone { .. } => fact_of_delayed(change),
        Change::Queue(queue, change) => fact_of_queue(queue.name.to_vec(), change),
        Change::Exchange(exchange, change) => fact_of_exchange(exchange.name.to_vec(), change),
        change => fact_of_session(change),
    }
}

fn fact_of_delayed(change: Change<'_>) -> Fact {
    match change {
        Change::Delayed { shard, number, message, due, address } => {
            let waiting = (message.clone(), due, address.map(Box::from));
            Box::new(move |state| {
                let before = state.delayed.insert((shard, number), waiting);
                assert!(before.is_none(), "a number is given once");
            })
        }
        Change::DelayedDone { shard, number, .. } => {
            Box::new(move |state| drop(state.delayed.remove(&(shard, number))))
        }
        other => panic!("nothing is delayed: {other:?}"),
    }
}

/// A change of something that belongs to a session.
fn fact_of_session(change: Change<'_>) -> Fact {
    match change {
        Change::Subscription { session, share, filter, options, replay } => {
            let (name, key) = (session.client_id.to_vec(), (share.map(Box::from), filter.into()));
            let replay = replay.cloned();
            Box::new(move |state| {
                let subscriptions = &mut state.session(&name).subscriptions;
                match options {
                    Some(options) => drop(subscriptions.insert(key, (options, replay))),
                    None => drop(subscriptions.remove(&key)),
                }
            })
        }
        Change::Received { session, id, complete } => {
            let name = session.client_id.to_vec();
            Box::new(move |state| {
                let received = &mut state.session(&name).received;
                let _ = if complete { received.remove(&id) } else { received.insert(id) };
            })
        }
        Change::Will { session, will } => {
            let (name, will) = (session.client_id.to_vec(), will.cloned());
            Box::new(move |state| state.session(&name).will = will)
        }
        Change::Entry { session, sequence, message, class, retain, via, delivery } => {
            let name = session.client_id.to_vec();
            let entry = Entry { sequence, ..Entry::new(message.clone(), class, retain, via.cloned()) };
            Box::new(move |state| {
                let session = state.session(&name);
                assert!(session.entries.insert(sequence, entry).is_none(), "a number is given once");
                if let Some(id) = delivery {
                    session.leases.insert(sequence, (id, false));
                }
            })
        }
        Change::Lease { session, sequence, delivery, received } => {
            let name = session.client_id.to_vec();
            Box::new(move |state| {
                let session = state.session(&name);
                if received {
                    session.entries.remove(&sequence);
                }
                session.leases.insert(sequence, (delivery, received));
            })
        }
        Change::Settled { session, from, to } => {
            let name = session.client_id.to_vec();
            Box::new(move |state| {
                let session = state.session(&name);
                session.entries.retain(|sequence, _| !(from..to).contains(sequence));
                session.leases.retain(|sequence, _| !(from..to).contains(sequence));
            })
        }
        other => panic!("no change of a session: {other:?}"),
    }
}
