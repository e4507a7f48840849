//! The filters of a topic exchange. Unlike in the topic space `$` means nothing, and `#` stands anywhere.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::places::List;

/// A tree of segments.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The first is the root.
    nodes: Vec<Node>,
    vacant: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    /// The node above, and what leads from there to this one.
    above: Option<(u32, Segment)>,
    literals: BTreeMap<Box<[u8]>, u32>,
    one: Option<u32>,
    many: Option<u32>,
    /// The bindings whose filters end here.
    here: List,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    One,
    /// Zero or more.
    Many,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { nodes: Vec::from([Node::default()]), vacant: Vec::new() }
    }
}

impl Node {
    fn is_deserted(&self) -> bool {
        self.here.is_empty() && self.literals.is_empty() && self.one.is_none() && self.many.is_none()
    }
}

impl Patterns {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes[0].is_deserted()
    }

    /// The node of a filter, made if it is not there.
    pub(super) fn grow(&mut self, filter: &[u8]) -> u32 {
        segments(filter).fold(0, |node, segment| self.below(node, segment))
    }

    pub(super) fn list_mut(&mut self, node: u32) -> &mut List {
        &mut self.nodes[node as usize].here
    }

    fn below(&mut self, node: u32, segment: &[u8]) -> u32 {
        let at = &self.nodes[node as usize];
        let (found, segment) = match segment {
            b"+" => (at.one, Segment::One),
            b"#" => (at.many, Segment::Many),
            literal => (at.literals.get(literal).copied(), Segment::Literal(literal.into())),
        };
        if let Some(found) = found {
            return found;
        }
        let made = Node { above: Some((node, segment.clone())), ..Node::default() };
        let number = self.vacant.pop().unwrap_or(self.nodes.len() as u32);
        if number as usize == self.nodes.len() {
            self.nodes.push(made);
        } else {
            self.nodes[number as usize] = made;
        }
        let at = &mut self.nodes[node as usize];
        match segment {
            Segment::One => at.one = Some(number),
            Segment::Many => at.many = Some(number),
            Segment::Literal(literal) => drop(at.literals.insert(literal, number)),
        }
        number
    }

    /// Takes away a node that has nothing left, and those above it that have nothing else.
    pub(super) fn prune(&mut self, mut node: u32) {
        while self.nodes[node as usize].is_deserted()
            && let Some((above, segment)) = self.nodes[node as usize].above.take()
        {
            self.vacant.push(node);
            let at = &mut self.nodes[above as usize];
            match segment {
                Segment::One => at.one = None,
                Segment::Many => at.many = None,
                Segment::Literal(literal) => drop(at.literals.remove(&literal)),
            }
            node = above;
        }
    }

    pub(super) fn all(&self) -> Vec<u32> {
        self.nodes.iter().flat_map(|node| &node.here).copied().collect()
    }

    /// Pushes the bindings whose filters select a key. All ways are gone together, segment by segment, so that filters with
    /// several `#` cost no more than there are nodes.
    pub(super) fn select(&self, key: &[u8], found: &mut Vec<u32>) {
        let mut active = Vec::from([0]);
        self.skip(&mut active);
        for segment in segments(key) {
            let mut next = Vec::new();
            for &node in &active {
                let at = &self.nodes[node as usize];
                let literal = at.literals.get(segment).copied();
                // What has come through a `#` may stay there.
                let stays = matches!(at.above, Some((_, Segment::Many))).then_some(node);
                next.extend(literal.into_iter().chain(at.one).chain(stays));
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
            active.extend(self.nodes[node as usize].many);
            at += 1;
        }
        active.sort_unstable();
        active.dedup();
    }
}

/// The empty key has no segment.
fn segments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'/').filter(move |_| !text.is_empty())
}
