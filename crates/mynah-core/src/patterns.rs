//! Filters in which `#` stands anywhere: those of a topic exchange, and those of the topic space in which it does. What has
//! them is known by its number.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Those who have a filter, by their numbers; who has one in several places knows its position in its list.
pub(crate) type List = Vec<u32>;

/// What is selected from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// The keys of an exchange, in which `$` means nothing.
    Own,
    /// Topics: what begins with `$` is selected by no filter that begins with a wildcard.
    Topics,
}

/// A tree of segments.
#[derive(Debug)]
pub(crate) struct Patterns {
    hash: FixedState,
    /// The first is the root.
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    /// Nodes that a literal leads to, by the node above and the literal.
    literals: HashTable<u32>,
}

#[derive(Debug)]
struct Node {
    /// The node above; the root has none.
    above: u32,
    /// What leads from there to this one.
    segment: Segment,
    one: u32,
    many: u32,
    /// How many literals go on from here.
    literals: u32,
    /// Those whose filters end here.
    here: List,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    One,
    /// Zero or more.
    Many,
}

/// No node.
const NONE: u32 = u32::MAX;

impl Node {
    const fn new(above: u32, segment: Segment) -> Self {
        Self { above, segment, one: NONE, many: NONE, literals: 0, here: List::new() }
    }

    const fn is_deserted(&self) -> bool {
        self.here.is_empty() && self.literals == 0 && self.one == NONE && self.many == NONE
    }
}

impl Patterns {
    /// No filters yet; the table is keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hash: FixedState::with_seed(seed),
            nodes: Vec::from([Node::new(NONE, Segment::Many)]),
            vacant: Vec::new(),
            literals: HashTable::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes[0].is_deserted()
    }

    /// The node of a filter, made if it is not there.
    pub(crate) fn grow(&mut self, filter: &[u8]) -> u32 {
        segments(filter).fold(0, |node, segment| self.below(node, segment))
    }

    pub(crate) fn list_mut(&mut self, node: u32) -> &mut List {
        &mut self.nodes[node as usize].here
    }

    /// Who has just this filter, and its node.
    pub(crate) fn find(&self, filter: &[u8]) -> Option<(u32, &List)> {
        let node = segments(filter).try_fold(0, |node, segment| self.leads(node, segment))?;
        Some((node, &self.nodes[node as usize].here))
    }

    /// Where a segment of a filter leads.
    fn leads(&self, node: u32, segment: &[u8]) -> Option<u32> {
        let at = &self.nodes[node as usize];
        match segment {
            b"+" => is_there(at.one),
            b"#" => is_there(at.many),
            literal => self.literal(node, literal),
        }
    }

    fn literal(&self, node: u32, literal: &[u8]) -> Option<u32> {
        if self.nodes[node as usize].literals == 0 {
            return None;
        }
        let is_it = |&below: &u32| {
            let below = &self.nodes[below as usize];
            below.above == node && matches!(&below.segment, Segment::Literal(text) if **text == *literal)
        };
        self.literals.find(hash_of(&self.hash, node, literal), is_it).copied()
    }

    fn below(&mut self, node: u32, segment: &[u8]) -> u32 {
        if let Some(found) = self.leads(node, segment) {
            return found;
        }
        let number = self.vacant.pop().unwrap_or(self.nodes.len() as u32);
        let leads_here = match segment {
            b"+" => Segment::One,
            b"#" => Segment::Many,
            literal => Segment::Literal(literal.into()),
        };
        let made = Node::new(node, leads_here);
        if number as usize == self.nodes.len() {
            self.nodes.push(made);
        } else {
            self.nodes[number as usize] = made;
        }
        let at = &mut self.nodes[node as usize];
        match segment {
            b"+" => at.one = number,
            b"#" => at.many = number,
            literal => {
                at.literals += 1;
                let (hash, nodes) = (&self.hash, &self.nodes);
                let again = |&below: &u32| match &nodes[below as usize] {
                    Node { above, segment: Segment::Literal(text), .. } => hash_of(hash, *above, text),
                    _ => 0,
                };
                self.literals.insert_unique(hash_of(hash, node, literal), number, again);
            }
        }
        number
    }

    /// Bytes of memory that it takes, as far as it knows.
    pub(crate) fn memory_bytes(&self) -> usize {
        const ALLOCATION_BYTES: usize = 16;
        let text = |node: &Node| match &node.segment {
            Segment::Literal(text) => text.len() + ALLOCATION_BYTES,
            Segment::One | Segment::Many => 0,
        };
        self.nodes.capacity() * size_of::<Node>()
            + self.nodes.iter().map(text).sum::<usize>()
            + self.literals.allocation_size()
            + self.vacant.capacity() * size_of::<u32>()
    }

    /// Takes away a node that has nothing left, and those above it that have nothing else.
    pub(crate) fn prune(&mut self, mut node: u32) {
        while node != 0 && self.nodes[node as usize].is_deserted() {
            let gone = core::mem::replace(&mut self.nodes[node as usize], Node::new(NONE, Segment::Many));
            self.vacant.push(node);
            let above = &mut self.nodes[gone.above as usize];
            match gone.segment {
                Segment::One => above.one = NONE,
                Segment::Many => above.many = NONE,
                Segment::Literal(literal) => {
                    above.literals -= 1;
                    let hash = hash_of(&self.hash, gone.above, &literal);
                    if let Ok(entry) = self.literals.find_entry(hash, |&below| below == node) {
                        entry.remove();
                    }
                }
            }
            node = gone.above;
        }
        if self.is_empty() {
            self.nodes.truncate(1);
            (self.vacant, self.literals) = Default::default();
        }
    }

    pub(crate) fn all(&self) -> Vec<u32> {
        self.nodes.iter().flat_map(|node| &node.here).copied().collect()
    }

    /// Pushes those whose filters select a key. All ways are gone together, segment by segment, so that filters with
    /// several `#` cost no more than there are nodes.
    pub(crate) fn select(&self, key: &[u8], space: Space, found: &mut Vec<u32>) {
        let mut active = Vec::from([0]);
        let mut rest = segments(key);
        if space == Space::Topics && key.starts_with(b"$") {
            active = rest.next().and_then(|segment| self.literal(0, segment)).into_iter().collect();
        }
        self.skip(&mut active);
        for segment in rest {
            let mut next = Vec::new();
            for &node in &active {
                let at = &self.nodes[node as usize];
                // What has come through a `#` may stay there.
                let stays = (node != 0 && at.segment == Segment::Many).then_some(node);
                next.extend(self.literal(node, segment).into_iter().chain(is_there(at.one)).chain(stays));
            }
            self.skip(&mut next);
            active = next;
        }
        for node in active {
            found.extend_from_slice(&self.nodes[node as usize].here);
        }
    }

    /// Adds what follows when a `#` stands for nothing.
    fn skip(&self, active: &mut Vec<u32>) {
        let mut at = 0;
        while let Some(&node) = active.get(at) {
            active.extend(is_there(self.nodes[node as usize].many));
            at += 1;
        }
        active.sort_unstable();
        active.dedup();
    }
}

fn is_there(node: u32) -> Option<u32> {
    (node != NONE).then_some(node)
}

fn hash_of(hash: &FixedState, above: u32, literal: &[u8]) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write_u32(above);
    hasher.write(literal);
    hasher.finish()
}

/// The empty key has no segment.
fn segments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'/').filter(move |_| !text.is_empty())
}
