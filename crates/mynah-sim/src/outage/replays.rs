//! What collectors get when they subscribe: each retained value once for each subscription that was confirmed, however
//! often the broker goes away meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use mynah_crash::ledger::{Kind, Violation};
use mynah_crash::payload::{self, MessageId};

/// What collectors subscribe to, with QoS 2.
pub(super) const FILTER: &str = "kept/#";
/// How the topics of the values begin.
pub(super) const TOPIC: &str = "kept/";
/// How many values there are: so many that a replay takes a while.
pub(super) const VALUES: u32 = 40;

/// What one collector has.
#[derive(Debug)]
struct Collection {
    /// Subscriptions that were asked for, and those of them that were confirmed.
    asked: u32,
    confirmed: u32,
    /// How often each value came.
    came: [u32; VALUES as usize],
}

impl Default for Collection {
    fn default() -> Self {
        Self { asked: 0, confirmed: 0, came: [0; VALUES as usize] }
    }
}

impl Collection {
    fn lacking(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let came = self.came.iter().copied().enumerate();
        came.filter(|(_, came)| *came < self.confirmed)
    }
}

/// The book of the replays.
#[derive(Debug, Default)]
pub(super) struct Replays {
    kept: BTreeSet<MessageId>,
    collections: BTreeMap<usize, Collection>,
    /// Values that came.
    pub(super) arrivals: u64,
    violations: Vec<(Kind, String)>,
}

impl Replays {
    pub(super) fn keep(&mut self, value: MessageId) {
        self.kept.insert(value);
    }

    pub(super) fn is_kept(&self, value: MessageId) -> bool {
        self.kept.contains(&value)
    }

    /// Whether all values are there.
    pub(super) fn is_complete(&self) -> bool {
        self.kept.len() == VALUES as usize
    }

    /// A collector asks for a subscription.
    pub(super) fn ask(&mut self, peer: usize) {
        self.collections.entry(peer).or_default().asked += 1;
    }

    /// A subscription is confirmed. If it only renews one whose replay was under way, nothing more is due.
    pub(super) fn confirm(&mut self, peer: usize) {
        if self.is_settled(peer) {
            self.collections.entry(peer).or_default().confirmed += 1;
        }
    }

    /// Whether a collector has what was promised.
    pub(super) fn is_settled(&self, peer: usize) -> bool {
        self.collections.get(&peer).is_none_or(|collection| collection.lacking().next().is_none())
    }

    /// A value came to a collector.
    pub(super) fn arrive(&mut self, peer: usize, topic: &str, bytes: &[u8], retain: bool) {
        self.arrivals += 1;
        let id = payload::decode(bytes, topic).filter(|id| self.kept.contains(id) && retain);
        let collection = self.collections.entry(peer).or_default();
        match id.and_then(|id| collection.came.get_mut(id.sequence as usize)) {
            Some(came) => *came += 1,
            None => self.violations.push((Kind::Unpublished, format!("{topic} brought no retained value"))),
        }
    }

    /// How many values are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.collections.values().map(|collection| collection.lacking().count()).sum()
    }

    /// Everything had time to come.
    pub(super) fn settle(&mut self, cycle: u32) -> Vec<Violation> {
        let mut found = core::mem::take(&mut self.violations);
        for (peer, collection) in &self.collections {
            let Collection { asked, confirmed, came } = collection;
            let counts = format!("to collector {peer}, after {asked} subscriptions, {confirmed} confirmed");
            for (value, came) in collection.lacking() {
                found.push((Kind::Missing, format!("value {value} came {came} times {counts}")));
            }
            for (value, came) in came.iter().enumerate().filter(|(_, came)| *came > asked) {
                found.push((Kind::Duplicate, format!("value {value} came {came} times {counts}")));
            }
        }
        found.into_iter().map(|(kind, line)| Violation { kind, cycle, line }).collect()
    }
}
