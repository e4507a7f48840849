//! Rules: who may do what where, and how much of it.
//!
//! [`Rule`]s are compiled to [`Rules`], which a [`Resolver`] asks once for each [`Peer`]: what concerns it are its
//! [`Rights`]. These answer for a topic, a queue or a filter; [`Decisions`] remembers what they said of topics. Where a
//! decision surprises, [`Rules::explain`] tells what each rule had to do with it.
//!
//! The order of rules means nothing. A deny always wins. Once a rule allows an action to anybody, it is permitted only
//! where a rule allows it; an action that no rule allows to anybody is permitted where nothing denies it. To see what tells
//! of other peers ([`tells_of_peers`]) is never permitted without a rule that allows it.

mod cover;
mod decisions;
mod explain;
mod filters;
mod mandate;
mod meter;
mod party;
mod rights;
mod rule;
#[cfg(test)]
mod tests;
mod who;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use decisions::Decisions;
pub use explain::{Basis, Explanation, Object, Verdict};
pub use filters::Names;
pub use mandate::Mandate;
pub use meter::Meter;
pub use rights::{Grant, Resolver, Rights};
pub use rule::{Action, Check, Quota, Reach, Rule, RuleError, RuleFilter};
pub use who::{Address, Certificate, Criterion, Network, Peer, Who};

use party::{Index, Party, parties};

/// All rules, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// The rules by whom they are about.
    parties: Vec<Party>,
    index: Index,
    /// The actions that a rule allows to somebody, as bits.
    closed: u8,
    /// Where each rule is written, if that is known.
    written: Vec<Box<str>>,
}

impl Rules {
    /// Compiles rules. Where one of them is named later, it is by its place in `rules`.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let allowed = rules.iter().filter(|rule| rule.allow != Reach::Nothing);
        let closed = allowed.flat_map(|rule| &rule.actions).fold(0, |bits, action| bits | action.bit());
        let parties = parties(&rules);
        Self { index: Index::new(&parties), parties, rules, closed, written: Vec::new() }
    }

    /// The same rules, with where each of them is written.
    #[must_use]
    pub fn written_at(self, written: Vec<Box<str>>) -> Self {
        Self { written, ..self }
    }

    /// Where the rule with this place is written, if that is known.
    #[must_use]
    pub fn written(&self, place: usize) -> Option<&str> {
        self.written.get(place).map(AsRef::as_ref)
    }

    /// Whether there is no rule: everything is permitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    fn is_closed(&self, action: Action) -> bool {
        self.closed & action.bit() != 0
    }
}

/// Whether a topic or filter is the address of one reply, `$reply/` and one segment: who knows it has been asked, or has
/// asked, and needs no rule to publish there or to subscribe.
#[must_use]
pub fn is_reply_address(topic_or_filter: &[u8]) -> bool {
    let Some(token) = topic_or_filter.strip_prefix(b"$reply/") else { return false };
    !token.is_empty() && !token.iter().any(|byte| matches!(byte, b'/' | b'+' | b'#'))
}

/// Whether a filter selects more than one address of a reply: nobody may listen to the replies to others.
#[must_use]
pub fn selects_replies(filter: &[u8]) -> bool {
    filter.split(|&b| b == b'/').next() == Some(b"$reply") && !is_reply_address(filter)
}

/// Whether a topic, or what a filter selects, tells of other peers: `$events`, `$presence` and what is below them. To see
/// that takes a rule that allows it.
#[must_use]
pub fn tells_of_peers(topic_or_filter: &[u8]) -> bool {
    let first = topic_or_filter.split(|&b| b == b'/').next();
    matches!(first, Some(b"$events" | b"$presence"))
}
