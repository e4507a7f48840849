//! Mandates: what somebody else who vouches for a peer lets it do at most, such as the issuer of its token.

use alloc::vec::Vec;

use mynah_model::{Filter, Segment, Topic};

use super::filters::{FilterSet, Names};
use super::rights::Grant;
use super::rule::{Action, Check, RuleFilter};

/// The topics that a peer may publish and subscribe to, whatever else the rules permit it. A mandate takes away and never
/// gives: what the rules do not permit stays refused. Queues it does not name, so its peer has none of them.
#[derive(Debug, Default)]
pub struct Mandate {
    publish: FilterSet,
    subscribe: FilterSet,
}

impl Mandate {
    /// The actions that it says something about, as bits: all but to be here.
    pub(super) const GUARDED: u8 = !Action::Connect.bit();

    /// A mandate of these filters; an empty list permits nothing.
    #[must_use]
    pub fn new(publish: Vec<RuleFilter>, subscribe: Vec<RuleFilter>) -> Self {
        Self { publish: FilterSet::new(publish), subscribe: FilterSet::new(subscribe) }
    }

    /// Where an action is permitted, if anywhere: a retained value and a request are publications too.
    fn filters(&self, action: Action) -> Option<&FilterSet> {
        match action {
            Action::Publish | Action::Retain | Action::Request => Some(&self.publish),
            Action::Subscribe => Some(&self.subscribe),
            Action::Connect | Action::Consume | Action::Configure | Action::Administer => None,
        }
    }

    /// Whether an action without a target is permitted.
    pub(super) fn permits_at_all(action: Action) -> bool {
        action == Action::Connect
    }

    pub(super) fn permits(&self, action: Action, names: Names<'_>, topic: Topic<'_>) -> bool {
        self.filters(action).is_some_and(|filters| filters.selects(names, topic))
    }

    /// What becomes of a subscription. One that reaches beyond the mandate is looked at message by message where the rules
    /// do that.
    pub(super) fn grant(&self, names: Names<'_>, filter: Filter<'_>, check: Check) -> Grant {
        let filter: Vec<Segment<'_>> = filter.segments().collect();
        if self.subscribe.covers(names, &filter) {
            Grant::Whole
        } else if check == Check::Delivery && self.subscribe.meets(names, &filter) {
            Grant::Partly
        } else {
            Grant::Refused
        }
    }
}
