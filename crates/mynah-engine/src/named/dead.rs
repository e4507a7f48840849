//! Dead letters: where messages go that have left a queue without having been accepted.

use std::sync::Arc;

use mynah_core::{Arrival, Body, DropReason, Dropped, History, SessionRef, WorkerId, owner};
use mynah_model::{DeadLetter, Death, DeathReason, Header, Instant, Message, MessageView, TenantId, Topic};

use super::QueueNote;
use super::keeping::Entered;
use super::request::{Said, Word};
use super::serving::reason_of;
use crate::engine::Engine;
use crate::inbox::Parcel;
use crate::item::Item;
use crate::journal::{Note, Then};

/// A dead letter on its way into a queue.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(super) tenant: TenantId,
    pub(super) name: Box<[u8]>,
    pub(super) message: Message,
    history: Arc<History>,
    /// Who wants to hear when it is stored.
    token: Option<(WorkerId, u64)>,
}

impl Engine {
    /// An entry has left a queue without having been accepted: it goes where dead letters go, or is gone.
    pub(super) fn bury(&mut self, now: Instant, queue: SessionRef, dropped: Dropped) {
        self.count_dropped(reason_of(dropped.reason), 1);
        let Dropped { sequence, body, reason } = dropped;
        let Some(owned) = self.lane.queues.get(queue) else { return };
        let tenant = owned.tenant;
        let stored = body.stored.then_some((queue, sequence));
        let Some(letter) = owned.kernel.settings().dead_letter.clone() else { return self.note_dead(stored) };
        let history = self.history_after(now, &owned.name, &letter, &body, reason);
        let message = without_deadline(body.message);
        match &*letter.exchange {
            b"" => {
                let (name, history) = (history.key.clone(), Arc::new(history));
                self.send_letter(now, Letter { tenant, name, message, history, token: None }, stored);
            }
            b"amq.topic" => {
                self.note_dead(stored);
                let address = Some(Topic::from_checked(&history.key));
                self.distribute(now, &mut Item::addressed(message.view(), address), None);
            }
            // There is no such exchange.
            _ => self.note_dead(stored),
        }
    }

    /// What happened to a message that becomes a dead letter: its deaths, the last one first, each queue and reason once.
    fn history_after(
        &self,
        now: Instant,
        queue: &[u8],
        letter: &DeadLetter,
        body: &Body,
        reason: DeathReason,
    ) -> History {
        let topic = body.message.topic();
        let (exchange, key): (&[u8], &[u8]) = match &body.history {
            Some(history) => (&history.exchange, &history.key),
            None if topic.as_bytes() == queue => (b"", topic.as_bytes()),
            None => (b"amq.topic", topic.as_bytes()),
        };
        let mut deaths = body.history.as_ref().map_or_else(Vec::new, |history| history.deaths.clone());
        let known = deaths.iter().position(|death| *death.queue == *queue && death.reason == reason);
        let death = match known.map(|at| deaths.remove(at)) {
            Some(death) => Death { count: death.count + 1, ..death },
            None => Death {
                queue: queue.into(),
                reason,
                count: 1,
                at: self.shared.wall_at(now),
                exchange: exchange.into(),
                key: key.into(),
            },
        };
        deaths.insert(0, death);
        let key = letter.key.clone().unwrap_or_else(|| key.into());
        History { exchange: letter.exchange.clone(), key, deaths }
    }

    /// Brings a dead letter to the worker of its queue. What it was is forgotten once it is stored there.
    fn send_letter(&mut self, now: Instant, letter: Letter, stored: Option<(SessionRef, u64)>) {
        let to = owner(letter.tenant, &letter.name, self.shared.workers(), self.shared.seed);
        if to == self.worker {
            self.note_dead(stored);
            return self.take_letter(now, letter);
        }
        let waits = self.lane.journal.waits() && self.shared.stores(to);
        let token = match stored.filter(|_| waits) {
            Some((queue, sequence)) => {
                let token = self.lane.journal.ask(1, Then::Gone { queue, sequence });
                Some((self.worker, token))
            }
            None => {
                self.note_dead(stored);
                None
            }
        };
        let word = Word(Said::Bury(Box::new(Letter { token, ..letter })));
        self.outboxes[usize::from(to.0)].push(Parcel::Queue(Box::new(word)));
    }

    /// Puts a dead letter into its queue, unless it goes round in circles.
    pub(super) fn take_letter(&mut self, now: Instant, letter: Letter) {
        let Letter { tenant, name, message, history, token } = letter;
        let found = self.lane.queues.find(tenant, &name);
        match found.filter(|_| !is_cycle(&name, &history.deaths)) {
            Some(queue) => self.enqueue_letter(now, queue, message, history),
            None => self.count_dropped(DropReason::Offline, 1),
        }
        if let Some((from, token)) = token {
            let parcel = self.lane.journal.postpone(from, Parcel::Stored { token });
            self.outboxes[usize::from(from.0)].extend(parcel);
        }
    }

    fn enqueue_letter(&mut self, now: Instant, queue: SessionRef, message: Message, history: Arc<History>) {
        let Some(owned) = self.lane.queues.get_mut(queue) else { return };
        let stored = owned.stored && message.header().class.is_confirmed();
        let arrival =
            Arrival { history: Some(Arc::clone(&history)), ..Arrival::new(message.clone(), stored) };
        let (sequence, time) = owned.kernel.push(now, arrival);
        if stored {
            let entered = Entered { sequence, message, time, history: Some(history) };
            self.lane.journal.note(Note::Queue(QueueNote::Entry(queue, Box::new(entered))));
        }
        self.lane.queues.list(queue);
    }

    /// An entry of a stored queue is gone.
    pub(crate) fn note_dead(&mut self, entry: Option<(SessionRef, u64)>) {
        if let Some((queue, sequence)) = entry {
            self.lane.journal.note(Note::Queue(QueueNote::Settled(queue, sequence, sequence + 1)));
        }
    }
}

/// Whether a dead letter has come back to a queue without anybody having rejected it on the way.
fn is_cycle(queue: &[u8], deaths: &[Death]) -> bool {
    let came_back = deaths.iter().position(|death| *death.queue == *queue);
    came_back.is_some_and(|at| deaths[..=at].iter().all(|death| death.reason != DeathReason::Rejected))
}

/// The message as one that is wanted without end: it does not die of the same again.
fn without_deadline(message: Message) -> Message {
    let MessageView { header, native } = message.view();
    if header.deadline.is_none() {
        return message;
    }
    MessageView { header: &Header { deadline: None, ..*header }, native }.to_message()
}
