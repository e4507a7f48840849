//! What was published, promised and delivered. Where what is acknowledged is synced only later, a promise counts from
//! the sync on, once nothing is under way between engines, and what an outage takes back until then is in doubt.

use std::collections::BTreeSet;

use mynah_crash::ledger::{Kind, Ledger, Violation};
use mynah_crash::payload::MessageId;
use mynah_model::Class;

use super::Keeping;
use super::group::Group;
use super::replays::Replays;
use super::wills::Wills;

/// Something that the broker has said.
enum Word {
    Acknowledged(MessageId),
    /// The first CONNACK of a session that is kept.
    Begun(usize),
    Subscribed(usize, &'static str, Option<Class>),
    Unsubscribed(usize, &'static str),
    /// A connection with a will was let in.
    Willed(MessageId),
    /// A value that is to be replayed is retained.
    Kept(MessageId),
    /// A replay was promised.
    Replaying(usize),
}

/// All books.
pub(super) struct Books {
    keeping: Keeping,
    pub(super) ledger: Ledger,
    pub(super) group: Group,
    pub(super) wills: Wills,
    pub(super) replays: Replays,
    /// What was said since the last sync, if that comes later.
    words: Vec<Word>,
    /// How many of them concern nothing that is still under way from one engine to another.
    arrived: usize,
    /// Messages that an outage may have taken back, whatever is said of them later.
    in_doubt: BTreeSet<MessageId>,
    /// Peers whose session was said to be there.
    begun: BTreeSet<usize>,
}

impl Books {
    pub(super) fn new(keeping: Keeping, peers: Vec<String>) -> Self {
        Self {
            keeping,
            ledger: Ledger::new(peers),
            group: Group::default(),
            wills: Wills::default(),
            replays: Replays::default(),
            words: Vec::new(),
            arrived: 0,
            in_doubt: BTreeSet::new(),
            begun: BTreeSet::new(),
        }
    }

    pub(super) const fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// How much is outstanding.
    pub(super) fn outstanding(&mut self) -> usize {
        let Self { ledger, group, wills, replays, .. } = self;
        ledger.outstanding() + group.outstanding() + wills.outstanding() + replays.outstanding()
    }

    /// How much has happened.
    pub(super) fn events(&self) -> u64 {
        self.ledger.events() + self.group.arrivals + self.wills.arrivals + self.replays.arrivals
    }

    pub(super) fn acknowledged(&mut self, id: MessageId) {
        self.say(Word::Acknowledged(id));
    }

    pub(super) fn connected(&mut self, peer: usize, session_present: bool) {
        if self.keeping == Keeping::Interval && !self.begun.contains(&peer) {
            return self.say(Word::Begun(peer));
        }
        self.ledger.connected(peer, session_present);
    }

    pub(super) fn subscribed(&mut self, peer: usize, filter: &'static str, granted: Option<Class>) {
        self.say(Word::Subscribed(peer, filter, granted));
    }

    pub(super) fn unsubscribed(&mut self, peer: usize, filter: &'static str) {
        self.say(Word::Unsubscribed(peer, filter));
    }

    pub(super) fn willed(&mut self, will: MessageId) {
        self.say(Word::Willed(will));
    }

    pub(super) fn kept(&mut self, value: MessageId) {
        self.say(Word::Kept(value));
    }

    pub(super) fn replaying(&mut self, peer: usize) {
        self.say(Word::Replaying(peer));
    }

    /// Whether a collector has all that it was promised to get.
    pub(super) fn is_replayed(&self, peer: usize) -> bool {
        let is_said = |word: &Word| matches!(word, Word::Replaying(other) if *other == peer);
        !self.words.iter().any(is_said) && self.replays.is_settled(peer)
    }

    fn say(&mut self, word: Word) {
        match self.keeping {
            Keeping::Sync => self.take(word),
            Keeping::Interval => self.words.push(word),
        }
    }

    fn take(&mut self, word: Word) {
        match word {
            Word::Acknowledged(id) => {
                if !self.in_doubt.contains(&id) {
                    self.ledger.acknowledge(id);
                    self.group.acknowledge(id);
                }
            }
            Word::Begun(peer) => {
                self.begun.insert(peer);
                self.ledger.connected(peer, false);
            }
            Word::Subscribed(peer, filter, granted) => {
                if filter == super::group::FILTER {
                    self.group.joined();
                }
                if filter == super::wills::FILTER {
                    self.wills.awaited();
                }
                self.ledger.subscribed(peer, filter, granted);
            }
            Word::Unsubscribed(peer, filter) => self.ledger.unsubscribed(peer, filter),
            Word::Willed(will) => self.wills.confirm(will),
            Word::Kept(value) => self.replays.keep(value),
            Word::Replaying(peer) => self.replays.confirm(peer),
        }
    }

    /// Nothing is under way between engines: what was said so far is written.
    pub(super) const fn written(&mut self) {
        self.arrived = self.words.len();
    }

    /// Everything that was written is on the disk: what was said of it is a promise.
    pub(super) fn synced(&mut self) {
        let later = self.words.split_off(core::mem::take(&mut self.arrived));
        for word in core::mem::replace(&mut self.words, later) {
            self.take(word);
        }
    }

    /// The broker is gone. `in_flight`: what was not answered to the end.
    pub(super) fn cut_off(&mut self, in_flight: impl Iterator<Item = MessageId>) {
        self.wills.cut_off();
        if self.keeping == Keeping::Sync {
            return;
        }
        let words = core::mem::take(&mut self.words);
        self.arrived = 0;
        let said = words.into_iter().filter_map(|word| match word {
            Word::Acknowledged(id) => Some(id),
            _ => None,
        });
        // A publication with QoS 2 is promised before its answer is complete.
        for id in said.chain(in_flight) {
            self.in_doubt.insert(id);
            self.ledger.give_up(id);
            self.group.give_up(id);
        }
    }

    /// What was wrong, once everything had time to come. What comes again because of an outage is no violation where
    /// receipts, too, are synced only later.
    pub(super) fn settle(&mut self, round: u32) -> Vec<Violation> {
        self.ledger.settle();
        let mut violations = self.group.settle(round);
        violations.extend(self.wills.settle(round));
        violations.extend(self.replays.settle(round));
        violations.extend(self.ledger.violations().iter().cloned());
        violations.retain(|violation| self.keeping == Keeping::Sync || violation.kind != Kind::Duplicate);
        violations
    }
}
