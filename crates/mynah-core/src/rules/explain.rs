//! Explanations: what each rule had to do with a decision.

use alloc::vec::Vec;

use mynah_model::{Filter, Segment, Topic};

use super::filters::Names;
use super::party::Scope;
use super::rule::{Action, Rule};
use super::who::{Criterion, Peer};
use super::{Grant, Resolver, Rules, tells_of_peers};
use alloc::sync::Arc;

/// What an action is done to.
#[derive(Clone, Copy, Debug)]
pub enum Object<'o> {
    /// Nothing: the action has no target.
    Nothing,
    /// A topic, or the name of a queue.
    Topic(Topic<'o>),
    /// What a subscription asks for.
    Filter(Filter<'o>),
}

/// Why a decision is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub grant: Grant,
    /// What decided.
    pub basis: Basis,
    /// The rules that speak of the action, by their places, with what they had to do with it.
    pub verdicts: Vec<(usize, Verdict)>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// This rule denies it.
    Denied(usize),
    /// This rule allows it, and none denies it.
    Allowed(usize),
    /// The action is allowed to somebody, or shows what tells of other peers, and here no rule allows it.
    NotAllowed,
    /// The action is allowed to nobody in particular, and here no rule denies it.
    NotDenied,
}

/// What a rule had to do with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It denies this.
    Denies,
    /// It allows this.
    Allows,
    /// It allows a part of what the subscription asks for.
    AllowsPart,
    /// Nothing that it names is what was asked about.
    Elsewhere,
    /// It is about other peers: the first criterion that this one does not fit.
    OtherPeer(Criterion),
}

impl Rules {
    /// Decides for a peer and says why.
    #[must_use]
    pub fn explain(
        self: &Arc<Self>,
        peer: &Peer<'_>,
        names: Names<'_>,
        action: Action,
        object: Object<'_>,
    ) -> Explanation {
        let about = |(_, rule): &(usize, &Rule)| rule.actions.contains(&action);
        let verdict = |(place, rule): (usize, &Rule)| (place, verdict(rule, peer, names, object));
        let verdicts: Vec<_> = self.rules.iter().enumerate().filter(about).map(verdict).collect();
        let first = |wanted| verdicts.iter().find(|(_, v)| *v == wanted).map(|(place, _)| *place);
        let basis = match (first(Verdict::Denies), first(Verdict::Allows)) {
            (Some(place), _) => Basis::Denied(place),
            (None, Some(place)) => Basis::Allowed(place),
            (None, None) if self.is_closed(action) || is_told(action, object) => Basis::NotAllowed,
            (None, None) => Basis::NotDenied,
        };
        let rights = Resolver::new(Arc::clone(self)).resolve(peer);
        let permitted = match object {
            Object::Nothing => rights.permits_at_all(action),
            Object::Topic(topic) => rights.permits(action, names, topic),
            Object::Filter(filter) => {
                return Explanation { grant: rights.grant(names, filter), basis, verdicts };
            }
        };
        let grant = if permitted { Grant::Whole } else { Grant::Refused };
        Explanation { grant, basis, verdicts }
    }
}

/// Whether somebody would see what tells of other peers.
fn is_told(action: Action, object: Object<'_>) -> bool {
    action == Action::Subscribe
        && match object {
            Object::Nothing => false,
            Object::Topic(topic) => tells_of_peers(topic.as_bytes()),
            Object::Filter(filter) => tells_of_peers(filter.as_bytes()),
        }
}

fn verdict(rule: &Rule, peer: &Peer<'_>, names: Names<'_>, object: Object<'_>) -> Verdict {
    if let Some(criterion) = rule.who.misfit(peer) {
        return Verdict::OtherPeer(criterion);
    }
    let allow = Scope::of(core::iter::once(&rule.allow));
    let deny = Scope::of(core::iter::once(&rule.deny));
    let (denied, allowed, in_part) = match object {
        Object::Nothing => (deny.is_everything, allow.is_everything, false),
        Object::Topic(topic) => (deny.selects(names, topic), allow.selects(names, topic), false),
        Object::Filter(filter) => {
            let filter: Vec<Segment<'_>> = filter.segments().collect();
            (deny.meets(names, &filter), allow.covers(names, &filter), allow.meets(names, &filter))
        }
    };
    match (denied, allowed, in_part) {
        (true, ..) => Verdict::Denies,
        (_, true, _) => Verdict::Allows,
        (.., true) => Verdict::AllowsPart,
        _ => Verdict::Elsewhere,
    }
}
