//! Dead letters: where messages go that have left a queue without having been accepted.

use std::sync::Arc;

use mynah_core::{Body, DropReason, Dropped, History, SessionRef, Target, WorkerId, owner};
use mynah_model::{DeadLetter, Death, DeathReason, Header, Instant, Message, MessageView, TenantId, Topic};

use super::QueueNote;
use super::addresses::place;
use super::request::{Said, Word};
use super::serving::reason_of;
use crate::engine::Engine;
use crate::inbox::{Ask, Parcel};
use crate::item::Item;
use crate::journal::{Note, Then};
use crate::lane::Lane;

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

/// Dead letters on their way to receivers of another worker.
#[derive(Clone, Debug)]
pub(crate) struct Letters {
    pub(super) message: Message,
    targets: Arc<[Target]>,
    ask: Option<Ask>,
    history: Arc<History>,
}

impl Lane {
    /// The message for receivers of another worker.
    pub(crate) fn parcel(&self, message: Message, targets: Arc<[Target]>, ask: Option<Ask>) -> Parcel {
        let Some(history) = self.history.clone() else { return Parcel::Deliver { message, targets, ask } };
        let letters = Letters { message, targets, ask, history };
        Parcel::Queue(Box::new(Word(Said::BuryAll(Box::new(letters)))))
    }
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
        if letter.exchange.is_empty() {
            let (name, history) = (history.key.clone(), Arc::new(history));
            return self.send_letter(now, Letter { tenant, name, message, history, token: None }, stored);
        }
        self.note_dead(stored);
        let address = place(&letter.exchange, &history.key);
        self.lane.history = Some(Arc::new(history));
        let address = Some(Topic::from_checked(&address));
        self.distribute(now, &mut Item::addressed(message.view(), address), None);
        self.lane.history = None;
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
        self.lane.history = Some(history);
        if !found.is_some_and(|queue| self.lane.enqueue_named(now, queue, &mut Item::shared(&message))) {
            self.count_dropped(DropReason::Offline, 1);
        }
        self.lane.history = None;
        if let Some((from, token)) = token {
            let parcel = self.lane.journal.postpone(from, Parcel::Stored { token });
            self.outboxes[usize::from(from.0)].extend(parcel);
        }
    }

    /// Dead letters have come by an exchange.
    pub(super) fn take_letters(&mut self, now: Instant, letters: Letters) {
        let Letters { message, targets, ask, history } = letters;
        self.lane.history = Some(history);
        self.deliver_parcel(now, &message, &targets, ask);
        self.lane.history = None;
    }

    /// An entry of a stored queue is gone.
    pub(crate) fn note_dead(&mut self, entry: Option<(SessionRef, u64)>) {
        if let Some((queue, sequence)) = entry {
            self.lane.journal.note(Note::Queue(QueueNote::Settled(queue, sequence, sequence + 1)));
        }
    }
}

/// Whether a dead letter has come back to a queue without anybody having rejected it on the way.
pub(super) fn is_cycle(queue: &[u8], deaths: &[Death]) -> bool {
    let came_back = deaths.iter().position(|death| *death.queue == *queue);
    came_back.is_some_and(|at| deaths[..=at].iter().all(|death| death.reason != DeathReason::Rejected))
}

/// The message as one that is wanted without end, so that it does not die of the same again, and is no topic's value.
fn without_deadline(message: Message) -> Message {
    let MessageView { header, native } = message.view();
    if header.deadline.is_none() && !header.retain {
        return message;
    }
    MessageView { header: &Header { deadline: None, retain: false, ..*header }, native }.to_message()
}
