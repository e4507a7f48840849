//! Access rules: which identity may publish and subscribe where, by static filters.

mod cover;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use mynah_model::{Filter, FilterError, Identity, Segment, Topic};

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every identity.
    Everyone,
    /// The anonymous identities of all listeners.
    Anonymous,
    /// The user of this name.
    Named(Box<str>),
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publishing to a topic.
    Publish,
    /// Subscribing to a filter.
    Subscribe,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Permits what lies inside its filter.
    Allow,
    /// Refuses what meets its filter, whatever else permits it.
    Deny,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    subject: Subject,
    action: Action,
    effect: Effect,
    filter: Box<[u8]>,
}

impl Rule {
    /// A rule. In `filter` the segment `%u` stands for the name of the user and `%c` for the client identifier.
    ///
    /// # Errors
    /// `filter` is not a filter, or has one of the two inside a longer segment.
    pub fn new(subject: Subject, action: Action, effect: Effect, filter: &str) -> Result<Self, RuleError> {
        let checked = Filter::new(filter.as_bytes()).map_err(RuleError::Filter)?;
        for segment in checked.segments() {
            if let Segment::Literal(literal) = segment
                && literal.len() > 2
                && literal.windows(2).any(|pair| matches!(pair, b"%u" | b"%c"))
            {
                return Err(RuleError::PartialPlaceholder);
            }
        }
        Ok(Self { subject, action, effect, filter: filter.as_bytes().into() })
    }

    /// The rule's filter for this peer. A name that is no single ordinary segment (absent, empty, with `/`, a wildcard or NUL,
    /// or one that would turn the filter into one of a `$`-tree) stands for nothing: the rule then selects nothing.
    fn filter_of<'s>(&'s self, peer: Peer<'s>) -> Option<impl Iterator<Item = Segment<'s>> + Clone> {
        let segments = Filter::from_checked(&self.filter).segments();
        let value = move |segment| match segment {
            Segment::Literal(b"%u") => Some(peer.user.unwrap_or_default().as_bytes()),
            Segment::Literal(b"%c") => Some(peer.client_id),
            _ => None,
        };
        let usable = segments.clone().enumerate().all(|(i, segment)| {
            value(segment).is_none_or(|value| {
                let plain = Topic::new(value).is_ok() && !value.contains(&b'/');
                plain && (i > 0 || value[0] != b'$')
            })
        });
        usable.then(|| segments.map(move |segment| value(segment).map_or(segment, Segment::Literal)))
    }

    fn concerns(&self, action: Action, peer: Peer<'_>) -> bool {
        self.action == action
            && match &self.subject {
                Subject::Everyone => true,
                Subject::Anonymous => peer.user.is_none(),
                Subject::Named(name) => peer.user == Some(name),
            }
    }
}

/// Why a rule cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// Its filter is not one.
    Filter(FilterError),
    /// `%u` and `%c` stand alone in their segment.
    PartialPlaceholder,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => error.fmt(f),
            Self::PartialPlaceholder => f.write_str("%u and %c must stand alone in their segment"),
        }
    }
}

impl core::error::Error for RuleError {}

/// Who asks.
#[derive(Clone, Copy)]
struct Peer<'p> {
    /// None for an anonymous identity: its name is a listener's and must not pass for a user's.
    user: Option<&'p str>,
    client_id: &'p [u8],
}

impl<'p> Peer<'p> {
    fn new(identity: &'p Identity, client_id: &'p [u8]) -> Self {
        Self { user: (!identity.is_anonymous()).then(|| identity.name()), client_id }
    }
}

/// When the rules for subscribing are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// When a peer subscribes: a filter that reaches beyond what the peer may see is refused.
    #[default]
    Subscription,
    /// When a peer subscribes and, for a filter that reaches beyond what it may see, again for each message.
    Delivery,
}

/// The answer to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nothing that the filter selects may be seen.
    Refused,
    /// Everything that the filter selects may be seen.
    Whole,
    /// Each message is to be asked about: [`AccessRules::may_receive`].
    Partly,
}

/// All rules. Their order means nothing: a deny always wins, and where at least one allow concerns the identity and
/// the action, only what is allowed is permitted. What no rule concerns is permitted.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    rules: Vec<Rule>,
    check: Check,
}

impl AccessRules {
    /// These rules, asked when a peer subscribes.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, check: Check::default() }
    }

    /// The same rules, asked then.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// Whether there is no rule: everything is permitted.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a peer may publish to `topic`.
    #[must_use]
    pub fn may_publish(&self, identity: &Identity, client_id: &[u8], topic: Topic<'_>) -> bool {
        let peer = Peer::new(identity, client_id);
        self.permits(Action::Publish, peer, |rule| {
            rule.filter_of(peer).is_some_and(|filter| cover::selects(filter, topic))
        })
    }

    /// Whether a peer may subscribe to `filter`. All of it may be seen if it lies inside an allowed one and meets no
    /// denied one; part of it, if it meets an allowed one and does not lie inside a denied one.
    #[must_use]
    pub fn grant(&self, identity: &Identity, client_id: &[u8], filter: Filter<'_>) -> Grant {
        let peer = Peer::new(identity, client_id);
        let wanted: Vec<Segment<'_>> = filter.segments().collect();
        let permits = |whole: bool| {
            self.permits(Action::Subscribe, peer, |rule| {
                let Some(filter) = rule.filter_of(peer) else { return false };
                let filter: Vec<Segment<'_>> = filter.collect();
                if (rule.effect == Effect::Allow) == whole {
                    cover::covers(&filter, &wanted)
                } else {
                    cover::meets(&filter, &wanted)
                }
            })
        };
        if permits(true) {
            Grant::Whole
        } else if self.check == Check::Delivery && permits(false) {
            Grant::Partly
        } else {
            Grant::Refused
        }
    }

    /// Whether a peer may see a message on `topic`.
    #[must_use]
    pub fn may_receive(&self, identity: &Identity, client_id: &[u8], topic: Topic<'_>) -> bool {
        let peer = Peer::new(identity, client_id);
        self.permits(Action::Subscribe, peer, |rule| {
            rule.filter_of(peer).is_some_and(|filter| cover::selects(filter, topic))
        })
    }

    fn permits(&self, action: Action, peer: Peer<'_>, hits: impl Fn(&Rule) -> bool) -> bool {
        let (mut restricted, mut allowed) = (false, false);
        for rule in self.rules.iter().filter(|rule| rule.concerns(action, peer)) {
            match rule.effect {
                Effect::Deny if hits(rule) => return false,
                Effect::Deny => {}
                Effect::Allow => {
                    restricted = true;
                    allowed = allowed || hits(rule);
                }
            }
        }
        allowed || !restricted
    }
}
