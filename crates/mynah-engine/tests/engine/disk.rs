//! A store that a test works by hand: it keeps what engines say has changed, when the test lets it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mynah_core::{Entry, Kept, SHARDS, SessionKey, WorkerId, owner};
use mynah_engine::{Change, Engine, Mark, Promise, Restored, RestoredSubscription};
use mynah_model::{DeliveryId, Expiry, Identity, Instant, Message, SubscriptionOptions, TenantId, Will};

type Fact = Box<dyn FnOnce(&mut State)>;
/// Group and filter.
type Attached = (Option<Box<[u8]>>, Box<[u8]>);

/// What is stored, and what is on its way.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) state: State,
    pub(crate) pending: VecDeque<(usize, Mark, Vec<Fact>)>,
    /// Whether what comes waits until the test says so.
    pub(crate) holds: bool,
    runs: u64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<Vec<u8>, StoredSession>,
    pub(crate) values: BTreeMap<Vec<u8>, Message>,
}

pub(crate) struct StoredSession {
    identity: Identity,
    expiry: Expiry,
    receive_max: u16,
    detached_at: Option<Instant>,
    next_sequence: u64,
    subscriptions: BTreeMap<Attached, SubscriptionOptions>,
    pub(crate) received: BTreeSet<u16>,
    will: Option<Will>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) leases: BTreeMap<u64, (DeliveryId, bool)>,
}

impl Disk {
    /// Begins a run: the engines get what is stored, each its own.
    pub(crate) fn start(&mut self, engines: &mut [Engine], seed: u64, now: Instant) {
        self.pending.clear();
        self.runs += 1;
        let workers = engines.len() as u16;
        for engine in engines.iter_mut() {
            engine.store_changes(Promise::Stored, self.runs << 40);
        }
        for (name, session) in &self.state.sessions {
            let owner = owner(TenantId::DEFAULT, name, workers, seed);
            engines[usize::from(owner.0)].restore_session(session.restored(name, now)).unwrap();
        }
        for (topic, message) in &self.state.values {
            let owner = owner(TenantId::DEFAULT, topic, workers, seed);
            engines[usize::from(owner.0)].restore_value(now, message);
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

    /// Stores the oldest of what is on its way.
    pub(crate) fn store_next(&mut self, engines: &mut [Engine], now: Instant) -> bool {
        let Some((worker, mark, facts)) = self.pending.pop_front() else { return false };
        facts.into_iter().for_each(|fact| fact(&mut self.state));
        engines[worker].handle_stored(now, mark);
        true
    }
}

impl State {
    fn session(&mut self, client_id: &[u8]) -> &mut StoredSession {
        self.sessions.get_mut(client_id).expect("a session is stored before what belongs to it")
    }
}

impl StoredSession {
    pub(crate) const fn has_will(&self) -> bool {
        self.will.is_some()
    }

    fn restored(&self, name: &[u8], now: Instant) -> Restored {
        let subscription = |((share, filter), options): (&Attached, &_)| {
            let (share, filter, options) = (share.clone(), filter.clone(), *options);
            RestoredSubscription { share, filter, options }
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
            will: self.will.clone(),
            queue: taken.chain(entries).collect(),
            next_sequence: self.next_sequence,
        }
    }
}

/// A change that can be kept.
fn fact(change: Change<'_>) -> Fact {
    match change {
        Change::Session { session, identity, expiry, receive_max, detached_at, next_sequence } => {
            assert!(session.shard < SHARDS);
            let (name, identity) = (session.client_id.to_vec(), identity.clone());
            Box::new(move |state| {
                let session = state.sessions.entry(name).or_insert_with(|| StoredSession {
                    identity,
                    expiry,
                    receive_max,
                    detached_at,
                    next_sequence,
                    subscriptions: BTreeMap::new(),
                    received: BTreeSet::new(),
                    will: None,
                    entries: BTreeMap::new(),
                    leases: BTreeMap::new(),
                });
                (session.expiry, session.receive_max) = (expiry, receive_max);
                (session.detached_at, session.next_sequence) = (detached_at, next_sequence);
            })
        }
        Change::SessionEnded(session) => {
            let name = session.client_id.to_vec();
            Box::new(move |state| drop(state.sessions.remove(&name)))
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
        change => fact_of_session(change),
    }
}

/// A change of something that belongs to a session.
fn fact_of_session(change: Change<'_>) -> Fact {
    match change {
        Change::Subscription { session, share, filter, options } => {
            let (name, key) = (session.client_id.to_vec(), (share.map(Box::from), filter.into()));
            Box::new(move |state| {
                let subscriptions = &mut state.session(&name).subscriptions;
                match options {
                    Some(options) => drop(subscriptions.insert(key, options)),
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
