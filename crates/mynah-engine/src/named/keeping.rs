//! What is stored of queues, and what an earlier run has left of them.

use std::sync::Arc;

use mynah_core::exchange::Endpoint;
use mynah_core::{Arrival, History, NamedQueue, Returned, SessionRef, shard};
use mynah_model::{Instant, Message, QueueSettings, TenantId};

use super::address;
use super::linked::Binding;
use super::table::Owned;
use crate::changes::Change;
use crate::engine::Engine;
use crate::journal::Note;

/// The name of a queue or an exchange, and the shard that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueName<'c> {
    /// The tenant.
    pub tenant: TenantId,
    /// The partition of durable state.
    pub shard: u16,
    /// The name.
    pub name: &'c [u8],
}

/// A change of a queue that is to be stored. Facts, as those of sessions are.
#[derive(Clone, Copy, Debug)]
pub enum QueueChange<'c> {
    /// It is there.
    There {
        /// What was said of it.
        settings: &'c QueueSettings,
        /// The number of the next entry.
        next_sequence: u64,
        /// Entries with numbers up to this one may have been handed out.
        shown: u64,
    },
    /// It is gone with everything in it.
    Ended,
    /// A filter of the topic space is attached to it, or is not any more.
    Filter(&'c [u8], bool),
    /// It is bound to an exchange, or is not any more.
    Binding(&'c Binding, bool),
    /// A message is in it.
    Entry {
        /// Its number.
        sequence: u64,
        /// The message.
        message: &'c Message,
        /// When it is wanted no longer by what was said of the queue; in a stream when it came.
        time: Option<Instant>,
        /// How it became a dead letter, if it is one.
        history: Option<&'c History>,
    },
    /// An entry was given back.
    Counts {
        /// Its number.
        sequence: u64,
        /// How often it was acquired.
        acquired: u32,
        /// How often it has failed.
        failed: u32,
        /// Nobody gets it before this time.
        until: Option<Instant>,
    },
    /// Entries are gone, from the first number up to the second, which is not among them.
    Settled(u64, u64),
}

/// A change as it is kept until the end of the turn.
#[derive(Debug)]
pub(crate) enum QueueNote {
    /// It is there, as it is at the end of the turn.
    There(SessionRef),
    Ended(TenantId, Box<[u8]>),
    Filter(SessionRef, Box<[u8]>, bool),
    Binding(SessionRef, Box<Binding>, bool),
    Entry(SessionRef, Box<Entered>),
    Counts(SessionRef, Returned),
    Settled(SessionRef, u64, u64),
    /// The same of a queue of another worker, by its name.
    SettledElsewhere(TenantId, Box<[u8]>, u64, u64),
}

#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) sequence: u64,
    pub(crate) message: Message,
    pub(crate) time: Option<Instant>,
    pub(crate) history: Option<Arc<History>>,
}

/// A queue as a store has kept it.
#[derive(Debug)]
pub struct RestoredQueue {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: Box<[u8]>,
    /// What was said of it.
    pub settings: QueueSettings,
    /// The filters of the topic space that are attached to it.
    pub filters: Vec<Box<[u8]>>,
    /// What it is bound to.
    pub bindings: Vec<Binding>,
    /// What is in it.
    pub entries: Vec<RestoredEntry>,
    /// The number that the next entry gets at least.
    pub next_sequence: u64,
    /// Entries with numbers up to this one may have been handed out.
    pub shown: u64,
}

/// An entry of a [`RestoredQueue`], as [`QueueChange::Entry`] and [`QueueChange::Counts`] said.
#[derive(Debug)]
pub struct RestoredEntry {
    /// Its number.
    pub sequence: u64,
    /// The message.
    pub message: Message,
    /// When it is wanted no longer, or when it came.
    pub time: Option<Instant>,
    /// How it became a dead letter.
    pub history: Option<History>,
    /// How often it was acquired, and has failed.
    pub counts: (u32, u32),
    /// Nobody gets it before this time.
    pub until: Option<Instant>,
}

impl Engine {
    /// The change that a note tells of; none if its queue is gone, which is told too.
    pub(crate) fn change_of_queue<'c>(&'c self, note: &'c QueueNote) -> Option<Change<'c>> {
        let of = |queue: SessionRef| self.lane.queues.get(queue);
        let (owned, change) = match *note {
            QueueNote::There(queue) => {
                let owned = of(queue)?;
                let (settings, next_sequence) = (owned.kernel.settings(), owned.kernel.next_sequence());
                // What is handed out is on its way before it could be noted that it was.
                let shown = if self.stopping { owned.shown } else { u64::MAX };
                (owned, QueueChange::There { settings, next_sequence, shown })
            }
            QueueNote::Ended(tenant, ref name) => {
                return Some(Change::Queue(self.queue_name(tenant, name), QueueChange::Ended));
            }
            QueueNote::Filter(queue, ref filter, attached) => {
                (of(queue)?, QueueChange::Filter(filter, attached))
            }
            QueueNote::Binding(queue, ref binding, bound) => {
                (of(queue)?, QueueChange::Binding(binding, bound))
            }
            QueueNote::Entry(queue, ref entered) => {
                let Entered { sequence, ref message, time, ref history } = **entered;
                (of(queue)?, QueueChange::Entry { sequence, message, time, history: history.as_deref() })
            }
            QueueNote::Counts(queue, Returned { sequence, acquired, failed, until }) => {
                (of(queue)?, QueueChange::Counts { sequence, acquired, failed, until })
            }
            QueueNote::Settled(queue, from, to) => (of(queue)?, QueueChange::Settled(from, to)),
            QueueNote::SettledElsewhere(tenant, ref name, from, to) => {
                let change = QueueChange::Settled(from, to);
                return Some(Change::Queue(self.queue_name(tenant, name), change));
            }
        };
        Some(Change::Queue(self.queue_name(owned.tenant, &owned.name), change))
    }

    fn queue_name<'c>(&self, tenant: TenantId, name: &'c [u8]) -> QueueName<'c> {
        QueueName { tenant, shard: shard(tenant, name, self.shared.seed), name }
    }

    /// Notes that a queue is there, once in a turn, if it is stored.
    pub(super) fn note_queue(&mut self, queue: SessionRef) {
        let mark = self.lane.journal.mark();
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        if owned.stored && owned.noted_at != mark {
            owned.noted_at = mark;
            self.lane.journal.note(Note::Queue(QueueNote::There(queue)));
        }
    }

    /// Notes which entries of a stored queue are gone, and which were given back.
    pub(super) fn note_gone(&mut self, queue: SessionRef) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        for returned in owned.kernel.take_returned() {
            self.lane.journal.note(Note::Queue(QueueNote::Counts(queue, returned)));
        }
        if let Some((from, to)) = owned.kernel.take_gone_unread() {
            self.lane.journal.note(Note::Queue(QueueNote::Settled(queue, from, to)));
        }
        for gone in owned.kernel.take_gone().chunk_by(|a, b| a + 1 == *b) {
            let (from, to) = (gone[0], gone[gone.len() - 1] + 1);
            self.lane.journal.note(Note::Queue(QueueNote::Settled(queue, from, to)));
        }
    }

    /// Takes in a queue that this worker owns (see [`mynah_core::owner`]), before the first peer comes.
    pub fn restore_queue(&mut self, now: Instant, restored: RestoredQueue) {
        let RestoredQueue { tenant, name, settings, filters, bindings, entries, next_sequence, shown } =
            restored;
        let refuses = settings.overflow != mynah_model::Overflow::DropHead;
        let mut kernel = NamedQueue::new(settings, next_sequence.max(self.first_sequence), now);
        kernel.bound(self.shared.limits.queue_messages_max, self.shared.limits.queue_bytes_max);
        self.shared.count_queue(tenant);
        let queue = self.lane.queues.insert(tenant, name.clone(), kernel);
        self.shared.count_stored(self.worker, true);
        self.publish_filter_of_queue(tenant, &address(&name), queue, true);
        for filter in &filters {
            self.publish_filter_of_queue(tenant, filter, queue, true);
        }
        for binding in bindings {
            if !self.restore_binding(tenant, Endpoint::Queue(queue), &name, &binding) {
                self.lane.journal.note(Note::Queue(QueueNote::Binding(queue, Box::new(binding), false)));
            }
        }
        if refuses {
            self.shared.note_refusing(tenant, &name, true);
        }
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        owned.stored = true;
        owned.filters.extend(filters);
        owned.entered.extend(entries.last().map(|last| (0, last.sequence)));
        for entry in entries {
            restore_entry(owned, entry, shown);
        }
        owned.shown = shown.min(owned.kernel.next_sequence().saturating_sub(1));
        owned.kernel.assume_shown(owned.shown + 1);
        self.lane.queues.list(queue);
        self.note_queue(queue);
    }

    /// The broker stops as it should: from here on it is known what was handed out.
    pub(crate) fn note_shown(&mut self) {
        for queue in self.lane.queues.references() {
            self.note_queue(queue);
        }
    }
}

fn restore_entry(owned: &mut Owned, entry: RestoredEntry, shown: u64) {
    let RestoredEntry { sequence, message, time, history, counts: (acquired, failed), until } = entry;
    let acquired = if sequence <= shown { acquired.max(1) } else { acquired };
    let (history, stored) = (history.map(Arc::new), true);
    let arrival = Arrival { history, ..Arrival::new(message, stored) };
    owned.kernel.restore(sequence, arrival, time, until, (acquired, failed));
}
