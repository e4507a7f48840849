//! What the store that a test works by hand keeps of queues.

use std::collections::{BTreeMap, BTreeSet};

use mynah_core::History;
use mynah_engine::{QueueChange, RestoredEntry, RestoredQueue};
use mynah_model::{Instant, Message, QueueSettings, TenantId};

use crate::disk::Fact;

pub(crate) struct StoredQueue {
    settings: QueueSettings,
    next_sequence: u64,
    shown: u64,
    filters: BTreeSet<Box<[u8]>>,
    pub(crate) entries: BTreeMap<u64, StoredEntry>,
    counts: BTreeMap<u64, (u32, u32)>,
}

#[derive(Clone)]
pub(crate) struct StoredEntry {
    message: Message,
    time: Option<Instant>,
    history: Option<History>,
}

impl StoredQueue {
    pub(crate) fn restored(&self, name: &[u8]) -> RestoredQueue {
        let entry = |(&sequence, entry): (&u64, &StoredEntry)| {
            let StoredEntry { message, time, history } = entry.clone();
            let counts = self.counts.get(&sequence).copied().unwrap_or_default();
            RestoredEntry { sequence, message, time, history, counts }
        };
        RestoredQueue {
            tenant: TenantId::DEFAULT,
            name: name.into(),
            settings: self.settings.clone(),
            filters: self.filters.iter().cloned().collect(),
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
        QueueChange::Entry { sequence, message, time, history } => {
            let entry = StoredEntry { message: message.clone(), time, history: history.cloned() };
            in_queue(name, move |queue| {
                assert!(queue.entries.insert(sequence, entry).is_none(), "a number is given once");
            })
        }
        QueueChange::Counts { sequence, acquired, failed } => in_queue(name, move |queue| {
            queue.counts.insert(sequence, (acquired, failed));
        }),
        QueueChange::Settled(from, to) => in_queue(name, move |queue| {
            queue.entries.retain(|sequence, _| !(from..to).contains(sequence));
            queue.counts.retain(|sequence, _| !(from..to).contains(sequence));
        }),
    }
}

fn in_queue(name: Vec<u8>, change: impl FnOnce(&mut StoredQueue) + 'static) -> Fact {
    Box::new(move |state| {
        change(state.queues.get_mut(&name).expect("a queue is stored before what belongs to it"));
    })
}
