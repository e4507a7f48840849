//! Many filters as one tree: whether one of them selects a topic, covers a filter or meets it, in steps that grow with
//! the depth and not with their number.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mynah_model::{Filter, Identity, Segment, Topic};

use super::cover;
use super::rule::RuleFilter;

/// What `%u` and `%c` stand for. A name that is no single ordinary segment (absent, empty, with `/`, a wildcard or NUL)
/// stands for nothing: a filter with it then selects nothing, and neither does one that it would turn into one of a
/// `$`-tree.
#[derive(Clone, Copy, Debug)]
pub struct Names<'n> {
    user: Option<&'n [u8]>,
    client: Option<&'n [u8]>,
}

impl<'n> Names<'n> {
    /// The names of a peer: an anonymous one has none of a user.
    #[must_use]
    pub fn new(identity: &'n Identity, client_id: &'n [u8]) -> Self {
        let usable = |name: &&[u8]| Topic::new(name).is_ok() && !name.contains(&b'/');
        let user = (!identity.is_anonymous()).then(|| identity.name().as_bytes());
        Self { user: user.filter(usable), client: Some(client_id).filter(usable) }
    }

    /// The segments of a rule's filter for this peer.
    pub(super) fn put_into<'f>(self, filter: &'f [u8]) -> Option<Vec<Segment<'f>>>
    where
        'n: 'f,
    {
        let put = |(at, segment)| {
            let name = match segment {
                Segment::Literal(b"%u") => self.user?,
                Segment::Literal(b"%c") => self.client?,
                other => return Some(other),
            };
            (at > 0 || name[0] != b'$').then_some(Segment::Literal(name))
        };
        Filter::from_checked(filter).segments().enumerate().map(put).collect()
    }
}

/// Filters of rules.
#[derive(Debug, Default)]
pub(super) struct FilterSet {
    /// A tree, the root first; empty if there are no filters but tangled ones.
    nodes: Vec<Node>,
    /// Those with a `#` that is not in the last place, which have no place in the tree.
    tangled: Vec<RuleFilter>,
    all: Vec<RuleFilter>,
    has_placeholder: bool,
}

/// The filters with the same beginning. The root is nobody's child: 0 stands for none.
#[derive(Debug, Default)]
struct Node {
    /// Sorted.
    literals: Vec<(Box<[u8]>, u32)>,
    one: u32,
    user: u32,
    client: u32,
    /// A filter ends here.
    is_end: bool,
    /// A filter ends here with a `#`.
    is_tail: bool,
}

impl FilterSet {
    pub(super) fn new(mut filters: Vec<RuleFilter>) -> Self {
        filters.sort_unstable();
        filters.dedup();
        let mut set = Self::default();
        for filter in &filters {
            let segments = Filter::from_checked(filter.as_bytes());
            let is_placeholder = |s| matches!(s, Segment::Literal(b"%u" | b"%c"));
            set.has_placeholder |= segments.segments().any(is_placeholder);
            if segments.has_inner_many() {
                set.tangled.push(filter.clone());
            } else {
                set.insert(segments);
            }
        }
        set.all = filters;
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has_placeholder(&self) -> bool {
        self.has_placeholder
    }

    fn insert(&mut self, filter: Filter<'_>) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in filter.segments() {
            if matches!(segment, Segment::Tail | Segment::Many) {
                self.nodes[at].is_tail = true;
                return;
            }
            at = self.step(at, segment);
        }
        self.nodes[at].is_end = true;
    }

    /// The node one segment below, made if it is not there.
    fn step(&mut self, at: usize, segment: Segment<'_>) -> usize {
        let new = self.nodes.len() as u32;
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(b"%u") => &mut node.user,
            Segment::Literal(b"%c") => &mut node.client,
            Segment::Literal(literal) => {
                let place = node.literals.binary_search_by(|(other, _)| (**other).cmp(literal));
                let place = place.unwrap_or_else(|place| {
                    node.literals.insert(place, (literal.into(), 0));
                    place
                });
                &mut node.literals[place].1
            }
            _ => &mut node.one,
        };
        if *child == 0 {
            *child = new;
            self.nodes.push(Node::default());
            return new as usize;
        }
        *child as usize
    }

    /// Whether one of the filters selects `topic`.
    pub(super) fn selects(&self, names: Names<'_>, topic: Topic<'_>) -> bool {
        let of_tangled = |filter: &RuleFilter| {
            let filter = names.put_into(filter.as_bytes());
            filter.is_some_and(|filter| cover::selects(filter.into_iter(), topic))
        };
        !self.nodes.is_empty() && self.selects_below(0, names, topic.segments())
            || self.tangled.iter().any(of_tangled)
    }

    fn selects_below<'t>(
        &self,
        at: usize,
        names: Names<'_>,
        mut rest: impl Iterator<Item = &'t [u8]> + Clone,
    ) -> bool {
        let node = &self.nodes[at];
        let next = rest.next();
        if node.is_tail && !is_dollar(at, next) {
            return true;
        }
        let Some(segment) = next else { return node.is_end };
        self.children(at, names, segment).any(|child| self.selects_below(child, names, rest.clone()))
    }

    /// Whether one of the filters selects all that `filter` selects. With a `#` inside either the answer may be no where
    /// it could be yes.
    pub(super) fn covers(&self, names: Names<'_>, filter: &[Segment<'_>]) -> bool {
        self.relates(names, filter, Self::covers_below, cover::covers)
    }

    /// Whether there is a topic that one of the filters and `filter` select. With a `#` inside either the answer may be
    /// yes where it could be no.
    pub(super) fn meets(&self, names: Names<'_>, filter: &[Segment<'_>]) -> bool {
        self.relates(names, filter, Self::meets_below, cover::meets)
    }

    fn relates(
        &self,
        names: Names<'_>,
        filter: &[Segment<'_>],
        below: impl Fn(&Self, usize, Names<'_>, &[Segment<'_>]) -> bool,
        of_two: impl Fn(&[Segment<'_>], &[Segment<'_>]) -> bool,
    ) -> bool {
        let singly =
            |own: &RuleFilter| names.put_into(own.as_bytes()).is_some_and(|own| of_two(&own, filter));
        if filter.contains(&Segment::Many) {
            return self.all.iter().any(singly);
        }
        !self.nodes.is_empty() && below(self, 0, names, filter) || self.tangled.iter().any(singly)
    }

    fn covers_below(&self, at: usize, names: Names<'_>, rest: &[Segment<'_>]) -> bool {
        let node = &self.nodes[at];
        let Some((next, rest)) = rest.split_first() else { return node.is_end || node.is_tail };
        let literal = if let Segment::Literal(literal) = next { Some(*literal) } else { None };
        if node.is_tail && !is_dollar(at, literal) {
            return true;
        }
        let one = node.one as usize;
        match next {
            Segment::Literal(literal) => {
                self.children(at, names, literal).any(|child| self.covers_below(child, names, rest))
            }
            Segment::One => one != 0 && self.covers_below(one, names, rest),
            // A topic has at least one segment: alone, `#` is `+/#`.
            Segment::Tail | Segment::Many => at == 0 && one != 0 && self.nodes[one].is_tail,
        }
    }

    fn meets_below(&self, at: usize, names: Names<'_>, rest: &[Segment<'_>]) -> bool {
        let node = &self.nodes[at];
        let Some((next, rest)) = rest.split_first() else { return node.is_end || node.is_tail };
        let literal = if let Segment::Literal(literal) = next { Some(*literal) } else { None };
        if node.is_tail && !is_dollar(at, literal) {
            return true;
        }
        match next {
            Segment::Literal(literal) => {
                self.children(at, names, literal).any(|child| self.meets_below(child, names, rest))
            }
            Segment::One => self.all_children(at, names).any(|child| self.meets_below(child, names, rest)),
            Segment::Tail | Segment::Many if at == 0 => {
                self.all_children(at, names).any(|child| self.selects_anything(child, names))
            }
            Segment::Tail | Segment::Many => self.selects_anything(at, names),
        }
    }

    /// Whether a filter here or below selects anything for this peer.
    fn selects_anything(&self, at: usize, names: Names<'_>) -> bool {
        let node = &self.nodes[at];
        node.is_end
            || node.is_tail
            || self.all_children(at, names).any(|child| self.selects_anything(child, names))
    }

    /// The nodes below that stand for this segment.
    fn children(&self, at: usize, names: Names<'_>, segment: &[u8]) -> impl Iterator<Item = usize> {
        let node = &self.nodes[at];
        let literal = node.literals.binary_search_by(|(literal, _)| (**literal).cmp(segment));
        let literal = literal.map_or(0, |place| node.literals[place].1);
        let is_dollar = is_dollar(at, Some(segment));
        let of = |fits: bool, child: u32| if fits && !is_dollar { child } else { 0 };
        let user = of(names.user == Some(segment), node.user);
        let client = of(names.client == Some(segment), node.client);
        [literal, user, client, of(true, node.one)].into_iter().filter(|&c| c != 0).map(|c| c as usize)
    }

    /// The nodes below that stand for anything that a wildcard selects.
    fn all_children(&self, at: usize, names: Names<'_>) -> impl Iterator<Item = usize> {
        let node = &self.nodes[at];
        let of = move |name: Option<&[u8]>, child: u32| {
            if name.is_some_and(|name| !is_dollar(at, Some(name))) { child } else { 0 }
        };
        let others = [node.one, of(names.user, node.user), of(names.client, node.client)];
        let literals = node.literals.iter().filter(move |(literal, _)| !is_dollar(at, Some(literal)));
        literals.map(|(_, child)| *child).chain(others).filter(|&c| c != 0).map(|c| c as usize)
    }
}

/// Whether this is the first segment of a `$`-tree, which no wildcard and no name stands for.
fn is_dollar(at: usize, segment: Option<&[u8]>) -> bool {
    at == 0 && matches!(segment, Some([b'$', ..]))
}
