//! What the store that a test works by hand keeps of queues.

use std::collections::{BTreeMap, BTreeSet};

use mynah_core::{History, PAGE};
use mynah_engine::{Binding, ExchangeChange, QueueChange, RestoredEntry, RestoredExchange, RestoredQueue};
use mynah_model::{ExchangeSettings, Instant, Message, QueueSettings, TenantId};

use crate::disk::Fact;

pub(crate) struct StoredQueue {
    settings: QueueSettings,
    next_sequence: u64,
    shown: u64,
    filters: BTreeSet<Box<[u8]>>,
    /// With their exchanges.
    pub(crate) bindings: Vec<(Box<[u8]>, Binding)>,
    pub(crate) entries: BTreeMap<u64, StoredEntry>,
    counts: BTreeMap<u64, (u32, u32, Option<Instant>)>,
}

#[derive(Clone)]
pub(crate) struct StoredEntry {
    message: Message,
    time: Option<Instant>,
    history: Option<History>,
}

impl StoredQueue {
    pub(crate) fn page(&self, from: u64) -> Vec<(u64, Option<Message>)> {
        let entries = self.entries.range(from..).take(PAGE);
        entries.map(|(number, entry)| (*number, Some(entry.message.clone()))).collect()
    }

    pub(crate) fn restored(&self, name: &[u8]) -> RestoredQueue {
        let entry = |(&sequence, entry): (&u64, &StoredEntry)| {
            let StoredEntry { message, time, history } = entry.clone();
            let (acquired, failed, until) = self.counts.get(&sequence).copied().unwrap_or_default();
            RestoredEntry { sequence, message, time, history, counts: (acquired, failed), until }
        };
        RestoredQueue {
            tenant: TenantId::DEFAULT,
            name: name.into(),
            settings: self.settings.clone(),
            filters: self.filters.iter().cloned().collect(),
            bindings: self.bindings.iter().map(|(_, binding)| binding.clone()).collect(),
            entries: self.entries.iter().map(entry).collect(),
            next_sequence: self.next_sequence,
            shown: self.shown,
        }
    }
}

pub(crate) fn fact_of_queue(name: Vec<u8>, change: QueueChange<'_>) -> Fact {
    match change {
        QueueChange::There { settings, next_sequence, shown } => {
            let settings = settings.clone();
            Box::new(move |state| {
                let queue = state.queues.entry(name).or_insert_with(|| StoredQueue {
                    settings,
                    next_sequence,
                    shown,
                    filters: BTreeSet::new(),
                    bindings: Vec::new(),
                    entries: BTreeMap::new(),
                    counts: BTreeMap::new(),
                });
                (queue.next_sequence, queue.shown) = (next_sequence, shown);
            })
        }
        QueueChange::Ended => Box::new(move |state| drop(state.queues.remove(&name))),
        QueueChange::Filter(filter, attached) => {
            let filter: Box<[u8]> = filter.into();
            in_queue(name, move |queue| {
                let _ = if attached { queue.filters.insert(filter) } else { queue.filters.remove(&filter) };
            })
        }
        QueueChange::Binding(binding, bound) => {
            let binding = binding.clone();
            in_queue(name, move |queue| put(&mut queue.bindings, binding, bound))
        }
        QueueChange::Entry { sequence, message, time, history } => {
            let entry = StoredEntry { message: message.clone(), time, history: history.cloned() };
            in_queue(name, move |queue| {
                assert!(queue.entries.insert(sequence, entry).is_none(), "a number is given once");
            })
        }
        QueueChange::Counts { sequence, acquired, failed, until } => in_queue(name, move |queue| {
            queue.counts.insert(sequence, (acquired, failed, until));
        }),
        QueueChange::Settled(from, to) => in_queue(name, move |queue| {
            queue.entries.retain(|sequence, _| !(from..to).contains(sequence));
            queue.counts.retain(|sequence, _| !(from..to).contains(sequence));
        }),
    }
}

/// An exchange as it is stored.
#[derive(Default)]
pub(crate) struct StoredExchange {
    settings: Option<(ExchangeSettings, u64)>,
    bindings: Vec<(Box<[u8]>, Binding)>,
}

impl StoredExchange {
    pub(crate) fn restored(&self, name: &[u8]) -> RestoredExchange {
        RestoredExchange {
            tenant: TenantId::DEFAULT,
            name: name.into(),
            settings: self.settings.as_ref().map(|(settings, _)| settings.clone()),
            number: self.settings.as_ref().map_or(0, |(_, number)| *number),
            bindings: self.bindings.iter().map(|(_, binding)| binding.clone()).collect(),
        }
    }
}

pub(crate) fn fact_of_exchange(name: Vec<u8>, change: ExchangeChange<'_>) -> Fact {
    match change {
        ExchangeChange::There { settings, number } => {
            let settings = settings.clone();
            Box::new(move |state| {
                state.exchanges.entry(name).or_default().settings = Some((settings, number));
            })
        }
        ExchangeChange::Ended => Box::new(move |state| drop(state.exchanges.remove(&name))),
        ExchangeChange::Binding(binding, bound) => {
            let binding = binding.clone();
            Box::new(move |state| put(&mut state.exchanges.entry(name).or_default().bindings, binding, bound))
        }
    }
}

fn put(bindings: &mut Vec<(Box<[u8]>, Binding)>, binding: Binding, bound: bool) {
    let is_same = |other: &Binding| {
        (&other.source, &other.key, &other.arguments) == (&binding.source, &binding.key, &binding.arguments)
    };
    bindings.retain(|(_, other)| !is_same(other));
    if bound {
        bindings.push((binding.source.clone(), binding));
    }
}

fn in_queue(name: Vec<u8>, change: impl FnOnce(&mut StoredQueue) + 'static) -> Fact {
    Box::new(move |state| {
        change(state.queues.get_mut(&name).expect("a queue is stored before what belongs to it"));
    })
}
