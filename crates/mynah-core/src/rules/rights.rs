//! Rights: what the rules say of one peer.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;
use mynah_model::{Filter, Segment, Topic};

use super::filters::Names;
use super::mandate::Mandate;
use super::party::{Clause, Party};
use super::rule::{Action, Check, Quota};
use super::who::Peer;
use super::{Rules, is_reply_address, tells_of_peers};

/// The answer to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It is not permitted.
    Refused,
    /// Everything that the filter selects may be seen.
    Whole,
    /// Each message is to be asked about: [`Rights::permits`].
    Partly,
}

impl Grant {
    /// What two who have to agree both grant.
    const fn least(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Whole, Self::Whole) => Self::Whole,
            _ => Self::Partly,
        }
    }
}

/// What one peer, or all peers whom the same rules concern, may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Tells these from all other rights of a resolver; later ones have higher numbers.
    number: u64,
    shape: Arc<Shape>,
    /// The actions that are not permitted everywhere, as bits.
    guarded: u8,
    /// What the peer may do at most, if somebody else says that.
    mandate: Option<Arc<Mandate>>,
}

/// What peers have in common whom the same rules concern.
#[derive(Debug)]
struct Shape {
    rules: Arc<Rules>,
    parties: Box<[u32]>,
    guarded: u8,
    /// Whether a decision depends on the names of the peer.
    is_personal: bool,
    check: Check,
    quota: Quota,
}

impl Shape {
    fn new(rules: &Arc<Rules>, places: Box<[u32]>) -> Self {
        let parties = || places.iter().map(|&place| &rules.parties[place as usize]);
        let guarded = |action: &Action| {
            let clauses = || parties().filter_map(|party| party.clause(*action));
            let is_allowed = clauses().any(|clause| clause.allow.is_everything) || !rules.is_closed(*action);
            !is_allowed || clauses().any(|clause| !clause.deny.is_nothing())
        };
        let is_personal = |party: &Party| {
            Action::ALL.iter().any(|action| party.clause(*action).is_some_and(Clause::is_personal))
        };
        let checks = parties().any(|party| party.check == Check::Delivery);
        let of = |narrowness| {
            let alike = parties().filter(move |party| party.who.narrowness() == narrowness);
            alike.fold(Quota::default(), |quota, party| quota.least(&party.quota))
        };
        Self {
            guarded: Action::ALL.iter().filter(|a| guarded(a)).fold(0, |bits, a| bits | a.bit()),
            is_personal: parties().any(is_personal),
            check: if checks { Check::Delivery } else { Check::Subscription },
            quota: of(3).or(&of(2)).or(&of(1)).or(&of(0)),
            rules: Arc::clone(rules),
            parties: places,
        }
    }

    fn clauses(&self, action: Action) -> impl Iterator<Item = &Clause> + Clone {
        let parties = self.parties.iter().map(|&place| &self.rules.parties[place as usize]);
        parties.filter_map(move |party| party.clause(action))
    }

    /// Whether the rules permit the action everywhere.
    const fn is_free(&self, action: Action) -> bool {
        self.guarded & action.bit() == 0
    }

    /// Whether an action is permitted where `selects` says what selects it; `open`: without a rule that allows it, if no
    /// rule allows the action to anybody.
    fn permits(&self, action: Action, open: bool, selects: impl Fn(&super::party::Scope) -> bool) -> bool {
        let mut allowed = open && !self.rules.is_closed(action);
        for clause in self.clauses(action) {
            if selects(&clause.deny) {
                return false;
            }
            allowed = allowed || selects(&clause.allow);
        }
        allowed
    }
}

impl Rights {
    /// Whether the action is permitted everywhere: nothing needs to be decided.
    #[inline]
    #[must_use]
    pub const fn is_free(&self, action: Action) -> bool {
        self.guarded & action.bit() == 0
    }

    /// Whether both actions are permitted everywhere.
    #[inline]
    #[must_use]
    pub const fn are_free(&self, one: Action, other: Action) -> bool {
        self.guarded & (one.bit() | other.bit()) == 0
    }

    /// Whether an action without a target is permitted.
    #[must_use]
    pub fn permits_at_all(&self, action: Action) -> bool {
        self.is_free(action)
            || (self.mandate.is_none() || Mandate::permits_at_all(action))
                && self.shape.permits(action, true, |scope| scope.is_everything)
    }

    /// Whether the peer of these names may do this to a topic, or to the queue of that name. For [`Action::Subscribe`]:
    /// whether it may see a message on the topic.
    #[must_use]
    pub fn permits(&self, action: Action, names: Names<'_>, target: Topic<'_>) -> bool {
        if matches!(action, Action::Publish | Action::Subscribe) && is_reply_address(target.as_bytes()) {
            return true;
        }
        let open = action != Action::Subscribe || !tells_of_peers(target.as_bytes());
        let by_rules = (open && self.shape.is_free(action))
            || self.shape.permits(action, open, |scope| scope.selects(names, target));
        by_rules && self.mandate.as_ref().is_none_or(|mandate| mandate.permits(action, names, target))
    }

    /// Whether the peer of these names may subscribe to `filter`: it has to lie inside what is allowed by one filter,
    /// and to meet no denied one. See [`Check`] for the others.
    #[must_use]
    pub fn grant(&self, names: Names<'_>, filter: Filter<'_>) -> Grant {
        if is_reply_address(filter.as_bytes()) {
            return Grant::Whole;
        }
        let by_rules = self.grant_by_rules(names, filter);
        match &self.mandate {
            Some(mandate) => by_rules.least(mandate.grant(names, filter, self.shape.check)),
            None => by_rules,
        }
    }

    fn grant_by_rules(&self, names: Names<'_>, filter: Filter<'_>) -> Grant {
        let (is_free, open) = (self.shape.is_free(Action::Subscribe), !tells_of_peers(filter.as_bytes()));
        if is_free && open {
            return Grant::Whole;
        }
        let filter: Vec<Segment<'_>> = filter.segments().collect();
        let clauses = || self.shape.clauses(Action::Subscribe);
        let is_allowed = (open && !self.shape.rules.is_closed(Action::Subscribe))
            || clauses().any(|clause| clause.allow.covers(names, &filter));
        if is_allowed && !clauses().any(|clause| clause.deny.meets(names, &filter)) {
            Grant::Whole
        } else if is_free
            || self.shape.check == Check::Subscription
            || clauses().any(|clause| clause.deny_at_once.covers(names, &filter))
        {
            Grant::Refused
        } else {
            Grant::Partly
        }
    }

    /// How much the peer may do. Of several rules that set the same limit the narrowest holds: one about identities or
    /// certificates, then one about groups, then any other that is not about everybody; of those alike, the lesser.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        &self.shape.quota
    }

    /// Tells decisions of these rights on an action from those of others.
    pub(super) const fn key(&self, action: Action) -> u64 {
        self.number << 3 | action as u64
    }
}

/// Finds the rights of peers. Each worker has its own: the numbers of rights are its.
#[derive(Debug)]
pub struct Resolver {
    rules: Arc<Rules>,
    /// Shapes by their parties, with the number of the rights if those are the same for all.
    shapes: HashMap<Box<[u32]>, (u64, Arc<Shape>), foldhash::quality::FixedState>,
    /// The number of the next rights. Never used again.
    next: u64,
    /// The first number of these rules.
    first: u64,
    found: Vec<u32>,
}

impl Resolver {
    /// Shapes that are remembered, to be shared.
    const SHAPES_MAX: usize = 4_096;

    /// A resolver of these rules.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules, shapes: HashMap::default(), next: 1, first: 1, found: Vec::new() }
    }

    /// Other rules hold from here on: rights of before are stale.
    pub fn replace(&mut self, rules: Arc<Rules>) {
        (self.rules, self.first) = (rules, self.next);
        self.shapes.clear();
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Whether these are the rights that the rules of now give.
    #[inline]
    #[must_use]
    pub const fn is_current(&self, rights: &Rights) -> bool {
        rights.number >= self.first
    }

    /// The rights of a peer.
    pub fn resolve(&mut self, peer: &Peer<'_>) -> Rights {
        self.found.clear();
        self.rules.index.find(&self.rules.parties, peer, &mut self.found);
        if let Some((number, shape)) = self.shapes.get(&*self.found) {
            let (number, shape) = (*number, Arc::clone(shape));
            return self.rights(number, shape);
        }
        let parties: Box<[u32]> = self.found.as_slice().into();
        let shape = Arc::new(Shape::new(&self.rules, parties.clone()));
        if self.shapes.len() == Self::SHAPES_MAX {
            self.shapes.clear();
        }
        let number = self.number();
        self.shapes.insert(parties, (number, Arc::clone(&shape)));
        self.rights(number, shape)
    }

    /// The rights of a peer that may do no more than the mandate says.
    pub fn resolve_within(&mut self, peer: &Peer<'_>, mandate: Option<&Arc<Mandate>>) -> Rights {
        let rights = self.resolve(peer);
        let Some(mandate) = mandate else { return rights };
        Rights {
            number: self.number(),
            guarded: rights.guarded | Mandate::GUARDED,
            mandate: Some(Arc::clone(mandate)),
            ..rights
        }
    }

    fn rights(&mut self, number: u64, shape: Arc<Shape>) -> Rights {
        let number = if shape.is_personal { self.number() } else { number };
        Rights { number, guarded: shape.guarded, shape, mandate: None }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}
