//! Who holds what, what went to where dead letters go, and how many messages are in each queue: what the ledger of the
//! crash harness, which knows what was promised of a message, does not say.

use std::collections::{BTreeMap, BTreeSet};

use mynah_core::administration::QueueView;
use mynah_crash::ledger::{Ledger, Taken};
use mynah_crash::payload::{self, MessageId};

use super::{DEAD, QUEUES};

/// A message in a queue. Each dead letter is one of its own.
pub(super) type Key = (usize, MessageId);

/// Somebody who got a message and has not let go of it.
#[derive(Clone, Copy, Debug)]
struct Hold {
    place: usize,
    state: State,
    rejects: bool,
}

/// How far a holder has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// It has settled the message. While its connection lasts, nobody else gets the message.
    Asked,
    /// It was told that this is done.
    Done,
}

/// Whether a message is in its queue, held or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// It was sent, and nothing was heard of it.
    Sent,
    Maybe,
    In,
    Gone,
}

/// A message that was rejected.
#[derive(Clone, Copy, Debug, Default)]
struct Rejected {
    /// How often.
    times: usize,
    /// How often it came as a dead letter, unmarked.
    came: usize,
    /// Whether it came as one since it was last rejected, or came back from its own queue.
    is_accounted_for: bool,
    /// Outages before it was last rejected.
    at: u64,
}

/// The book.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) ledger: Ledger,
    holds: BTreeMap<Key, Vec<Hold>>,
    presence: BTreeMap<Key, Presence>,
    /// Those whose publication was confirmed.
    confirmed: BTreeSet<MessageId>,
    rejected: BTreeMap<MessageId, Rejected>,
    outages: u64,
    pub(super) dead_letters: u64,
    pub(super) violations: Vec<String>,
}

impl Book {
    pub(super) fn new(peers: Vec<String>) -> Self {
        Self {
            ledger: Ledger::new(peers),
            holds: BTreeMap::new(),
            presence: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            rejected: BTreeMap::new(),
            outages: 0,
            dead_letters: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn accuse(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A message is on its way to its queue.
    pub(super) fn sent(&mut self, key: Key) {
        self.presence.insert(key, Presence::Sent);
    }

    /// Its publication was confirmed. It may have been settled before.
    pub(super) fn confirmed(&mut self, key: Key) {
        self.confirmed.insert(key.1);
        if self.presence.get(&key) == Some(&Presence::Sent) {
            self.presence.insert(key, Presence::In);
        }
    }

    /// A message came. `queue`: from where.
    pub(super) fn take(
        &mut self,
        place: usize,
        queue: usize,
        payload: &[u8],
        redelivered: bool,
    ) -> Option<Key> {
        if queue == DEAD {
            return self.take_dead(place, payload, redelivered);
        }
        let run = self.ledger.run();
        let id = self.ledger.take(place, Taken { queue: QUEUES[queue], payload, redelivered, run })?;
        if let Some(rejected) = self.rejected.get_mut(&id) {
            rejected.is_accounted_for = true;
        }
        self.presence.insert((queue, id), Presence::In);
        self.hold(place, (queue, id), 1);
        Some((queue, id))
    }

    fn take_dead(&mut self, place: usize, payload: &[u8], redelivered: bool) -> Option<Key> {
        let Some(id) = QUEUES.iter().find_map(|queue| payload::decode(payload, queue)) else {
            self.accuse(format!("{} bytes that nobody has sent are a dead letter", payload.len()));
            return None;
        };
        let rejected = self.rejected.entry(id).or_default();
        rejected.is_accounted_for = true;
        rejected.came += usize::from(!redelivered);
        self.dead_letters += u64::from(!redelivered);
        let Rejected { times, came, .. } = *rejected;
        if came > times {
            self.accuse(format!("{id} was rejected {times} times, and came {came} times as a dead letter"));
        }
        self.hold(place, (DEAD, id), times);
        Some((DEAD, id))
    }

    /// Somebody has a message of which there are so many.
    fn hold(&mut self, place: usize, key: Key, copies: usize) {
        let holds = self.holds.entry(key).or_default();
        holds.push(Hold { place, state: State::Held, rejects: false });
        if holds.len() > copies {
            let what = format!("{} of {}, {copies} times there, came to {holds:?}", key.1, QUEUES[key.0]);
            self.accuse(what);
        }
    }

    /// A holder gives a message back.
    pub(super) fn give_back(&mut self, place: usize, key: Key) {
        let Some(holds) = self.holds.get_mut(&key) else { return };
        if let Some(at) = holds.iter().position(|hold| hold.place == place && hold.state == State::Held) {
            holds.swap_remove(at);
        }
        if holds.is_empty() {
            self.holds.remove(&key);
        }
    }

    /// A holder settles a message: for good, or as a dead letter.
    pub(super) fn settle(&mut self, place: usize, key: Key, rejects: bool) {
        if rejects {
            let rejected = self.rejected.entry(key.1).or_default();
            rejected.times += 1;
            (rejected.is_accounted_for, rejected.at) = (false, self.outages);
        }
        self.step(place, key, State::Held, State::Asked, rejects);
        self.presence.insert(key, Presence::Maybe);
    }

    /// It was told that this is done.
    pub(super) fn settled(&mut self, place: usize, key: Key) {
        self.step(place, key, State::Asked, State::Done, false);
        self.presence.insert(key, Presence::Gone);
    }

    fn step(&mut self, place: usize, key: Key, from: State, to: State, rejects: bool) {
        let holds = self.holds.get_mut(&key).into_iter().flatten();
        if let Some(hold) = holds.into_iter().find(|hold| hold.place == place && hold.state == from) {
            hold.state = to;
            hold.rejects |= rejects;
        }
    }

    /// A connection is over, and what it held is free. What it has settled without being told may be, too.
    pub(super) fn end(&mut self, place: usize) {
        self.keep(|hold| hold.place != place || hold.state == State::Done);
    }

    /// The broker is gone. A dead letter that was on its way to another engine may be in both queues.
    pub(super) fn cut_off(&mut self) {
        self.outages += 1;
        self.ledger.cut_off();
        let is_rejected =
            |holds: &Vec<Hold>| holds.iter().any(|hold| hold.rejects && hold.state == State::Done);
        for (key, _) in self.holds.iter().filter(|(_, holds)| is_rejected(holds)) {
            self.presence.insert(*key, Presence::Maybe);
        }
        self.keep(|hold| hold.state == State::Done && !hold.rejects);
        for ((_, id), presence) in &mut self.presence {
            // What is not confirmed may have been shown before it was stored.
            if *presence == Presence::In && !self.confirmed.contains(id) {
                *presence = Presence::Maybe;
            }
        }
    }

    fn keep(&mut self, mut keeps: impl FnMut(&Hold) -> bool) {
        self.holds.retain(|_, holds| {
            holds.retain(&mut keeps);
            !holds.is_empty()
        });
    }

    /// Everything rests: what is held is leased, and what is in a queue is ready or leased.
    pub(super) fn compare(&mut self, queue: usize, view: &QueueView) {
        let name = QUEUES[queue];
        let (held, asked) = (self.holds_of(queue, State::Held), self.holds_of(queue, State::Asked));
        if view.leased != held {
            self.accuse(format!("{name}: {} are leased, {held} are held", view.leased));
        }
        if queue == DEAD {
            return;
        }
        let least = self.count(queue, Presence::In);
        // Who has settled a message, and is still connected, was heard.
        let doubtful = self.count(queue, Presence::Sent) + self.count(queue, Presence::Maybe);
        let most = least + doubtful.saturating_sub(asked);
        let there = view.ready + view.leased;
        if there < least || there > most {
            self.accuse(format!("{name}: {there} are there, and should be {least} to {most}"));
        }
    }

    fn holds_of(&self, queue: usize, state: State) -> u64 {
        let holds = self.holds.iter().filter(|(key, _)| key.0 == queue).flat_map(|(_, holds)| holds);
        holds.filter(|hold| hold.state == state).count() as u64
    }

    fn count(&self, queue: usize, wanted: Presence) -> u64 {
        let messages = self.presence.iter().filter(|(key, _)| key.0 == queue);
        messages.filter(|(_, presence)| **presence == wanted).count() as u64
    }

    /// Everything had time to come.
    pub(super) fn finish(&mut self) {
        let is_lost = |(id, rejected): &(&MessageId, &Rejected)| {
            // What was shown before it was stored may be gone.
            let was_kept = self.confirmed.contains(id) || rejected.at == self.outages;
            was_kept && !rejected.is_accounted_for
        };
        let lost: Vec<MessageId> = self.rejected.iter().filter(is_lost).map(|(id, _)| *id).collect();
        for id in lost {
            self.accuse(format!("{id} was rejected, and came neither as a dead letter nor back"));
        }
        self.ledger.settle();
        self.violations.extend(self.ledger.violations().iter().map(ToString::to_string));
    }
}
