//! Parties: the rules by whom they are about, and how those that concern a peer are found among very many.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::filters::{FilterSet, Names};
use super::rule::{Action, Check, Quota, Reach, Rule};
use super::who::{Certificate, Peer, Who, masked};
use mynah_model::{Segment, Topic};

/// The map of this module: its keys are an operator's, so nobody can choose them to collide.
type Map<K, V> = HashMap<K, V, foldhash::quality::FixedState>;

/// What all rules say that are about the same peers.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) who: Who,
    /// By action; absent where the rules say nothing of it.
    clauses: [Option<Box<Clause>>; Action::COUNT],
    pub(super) check: Check,
    pub(super) quota: Quota,
}

/// What the rules of a party say of an action.
#[derive(Debug, Default)]
pub(super) struct Clause {
    pub(super) allow: Scope,
    pub(super) deny: Scope,
    /// For subscribing: what is denied by rules that are asked when a peer subscribes.
    pub(super) deny_at_once: Scope,
}

/// Where.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) is_everything: bool,
    filters: FilterSet,
}

impl Scope {
    pub(super) fn selects(&self, names: Names<'_>, topic: Topic<'_>) -> bool {
        self.is_everything || self.filters.selects(names, topic)
    }

    pub(super) fn covers(&self, names: Names<'_>, filter: &[Segment<'_>]) -> bool {
        self.is_everything || self.filters.covers(names, filter)
    }

    pub(super) fn meets(&self, names: Names<'_>, filter: &[Segment<'_>]) -> bool {
        self.is_everything || self.filters.meets(names, filter)
    }

    pub(super) fn is_nothing(&self) -> bool {
        !self.is_everything && self.filters.is_empty()
    }

    /// What several rules say of one action.
    pub(super) fn of<'r>(reaches: impl Iterator<Item = &'r Reach>) -> Self {
        let (mut is_everything, mut filters) = (false, Vec::new());
        for reach in reaches {
            match reach {
                Reach::Nothing => {}
                Reach::Everything => is_everything = true,
                Reach::Filters(more) => filters.extend_from_slice(more),
            }
        }
        Self { is_everything, filters: FilterSet::new(filters) }
    }
}

impl Clause {
    /// Whether what it says depends on the names of the peer.
    pub(super) fn is_personal(&self) -> bool {
        self.allow.filters.has_placeholder() || self.deny.filters.has_placeholder()
    }
}

impl Party {
    pub(super) fn clause(&self, action: Action) -> Option<&Clause> {
        self.clauses[action as usize].as_deref()
    }

    fn new(who: Who, rules: &[&Rule]) -> Self {
        let mut party = Self {
            who,
            clauses: Default::default(),
            check: Check::Subscription,
            quota: rules.iter().fold(Quota::default(), |quota, rule| quota.least(&rule.quota)),
        };
        if rules.iter().any(|rule| rule.check == Check::Delivery) {
            party.check = Check::Delivery;
        }
        for action in Action::ALL {
            let of_action = || rules.iter().filter(|rule| rule.actions.contains(&action));
            let clause = Clause {
                allow: Scope::of(of_action().map(|rule| &rule.allow)),
                deny: Scope::of(of_action().map(|rule| &rule.deny)),
                deny_at_once: Scope::of(
                    of_action()
                        .filter(|rule| action == Action::Subscribe && rule.check == Check::Subscription)
                        .map(|rule| &rule.deny),
                ),
            };
            if !clause.allow.is_nothing() || !clause.deny.is_nothing() {
                party.clauses[action as usize] = Some(Box::new(clause));
            }
        }
        party
    }
}

impl Quota {
    /// The lesser of each limit.
    pub(super) fn least(&self, other: &Self) -> Self {
        fn least<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Self {
            messages_per_s: least(self.messages_per_s, other.messages_per_s),
            bytes_per_s: least(self.bytes_per_s, other.bytes_per_s),
            connections: least(self.connections, other.connections),
            subscriptions: least(self.subscriptions, other.subscriptions),
            message_bytes: least(self.message_bytes, other.message_bytes),
        }
    }

    /// These limits, and where one is absent that of `others`.
    pub(super) fn or(&self, others: &Self) -> Self {
        Self {
            messages_per_s: self.messages_per_s.or(others.messages_per_s),
            bytes_per_s: self.bytes_per_s.or(others.bytes_per_s),
            connections: self.connections.or(others.connections),
            subscriptions: self.subscriptions.or(others.subscriptions),
            message_bytes: self.message_bytes.or(others.message_bytes),
        }
    }
}

/// The parties of these rules, in the order in which they first come.
pub(super) fn parties(rules: &[Rule]) -> Vec<Party> {
    let mut places: Map<Who, usize> = Map::default();
    let mut grouped: Vec<(Who, Vec<&Rule>)> = Vec::new();
    for rule in rules {
        let who = rule.who.ordered();
        let place = *places.entry(who.clone()).or_insert_with(|| {
            grouped.push((who, Vec::new()));
            grouped.len() - 1
        });
        grouped[place].1.push(rule);
    }
    grouped.into_iter().map(|(who, rules)| Party::new(who, &rules)).collect()
}

/// Finds the parties that may concern a peer, each by the narrowest of its criteria.
#[derive(Debug, Default)]
pub(super) struct Index {
    identities: Map<Box<str>, Vec<u32>>,
    certificates: Map<Certificate, Vec<u32>>,
    groups: Map<Box<str>, Vec<u32>>,
    /// By the first bits of their addresses, for each number of bits that there is.
    networks: Vec<(u8, Map<u128, Vec<u32>>)>,
    /// Those with none of these criteria.
    others: Vec<u32>,
}

impl Index {
    pub(super) fn new(parties: &[Party]) -> Self {
        let mut index = Self::default();
        for (party, place) in parties.iter().zip(0..) {
            let who = &party.who;
            if !who.identities.is_empty() {
                enter(&mut index.identities, &who.identities, place);
            } else if !who.certificates.is_empty() {
                enter(&mut index.certificates, &who.certificates, place);
            } else if !who.groups.is_empty() {
                enter(&mut index.groups, &who.groups, place);
            } else if who.networks.is_empty() {
                index.others.push(place);
            } else {
                for network in &who.networks {
                    let (first, len) = (network.first(), network.len());
                    let known = index.networks.iter().position(|(other, _)| *other == len);
                    let at = known.unwrap_or_else(|| {
                        index.networks.push((len, Map::default()));
                        index.networks.len() - 1
                    });
                    index.networks[at].1.entry(first).or_default().push(place);
                }
            }
        }
        index
    }

    /// The places of the parties that concern a peer, in order.
    pub(super) fn find(&self, parties: &[Party], peer: &Peer<'_>, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.others);
        let mut extend = |more: Option<&Vec<u32>>| found.extend(more.into_iter().flatten());
        if let Some(user) = peer.user() {
            extend(self.identities.get(user));
        }
        if !self.certificates.is_empty() {
            let sha256 = peer.sha256.map(|sha256| Certificate::Sha256(*sha256));
            let common_name = peer.common_name.map(|name| Certificate::CommonName(name.into()));
            for certificate in sha256.into_iter().chain(common_name) {
                extend(self.certificates.get(&certificate));
            }
        }
        for group in peer.groups.iter() {
            extend(self.groups.get(group));
        }
        if let Some(address) = peer.address {
            for (len, networks) in &self.networks {
                extend(networks.get(&masked(address.bits(), *len)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|&place| parties[place as usize].who.misfit(peer).is_none());
    }
}

fn enter<K: Clone + Eq + core::hash::Hash>(map: &mut Map<K, Vec<u32>>, keys: &[K], place: u32) {
    for key in keys {
        map.entry(key.clone()).or_default().push(place);
    }
}
