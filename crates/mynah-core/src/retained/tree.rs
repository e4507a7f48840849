//! Values in topic order: a tree that tells topics apart by the first bit in which they differ.
//!
//! A node takes twelve bytes and knows nothing but the number of that bit. So a search reads one topic, at its end,
//! however many values there are; a tree that compares topics on the way reads one at each step.

use alloc::vec::Vec;

use mynah_model::Message;

use super::order::{first_difference, symbol_bit};

/// The values of a tenant by their topics.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Option<Link>,
    nodes: Vec<Node>,
    values: Vec<Option<Message>>,
    vacant_nodes: Vec<u32>,
    vacant_values: Vec<u32>,
    /// The nodes on the way to where the last value was to be put, from the root on.
    trail: Vec<Link>,
}

/// What leads to a node, or to a value: the highest bit tells which.
#[derive(Clone, Copy, Debug)]
struct Link(u32);

impl Link {
    const VALUE: u32 = 1 << 31;

    fn to_value(at: u32) -> Self {
        Self(at | Self::VALUE)
    }

    fn is_value(self) -> bool {
        self.0 & Self::VALUE != 0
    }

    fn index(self) -> usize {
        (self.0 & !Self::VALUE) as usize
    }
}

/// A place where topics part. All topics below agree in every bit before `bit`.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Where the topics lead that have 0 in this bit, and those that have 1.
    children: [Link; 2],
    bit: u32,
}

/// Where a topic is in the tree, or where it is to come: valid until the tree changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The topic has a value.
    Taken(u32),
    /// It has none, and parts from the nearest topic in this bit.
    Free(u32),
    /// No topic has a value.
    Empty,
}

impl Tree {
    /// The most values that links can tell apart.
    pub(super) const VALUES_MAX: usize = Link::VALUE as usize;

    pub(super) fn len(&self) -> usize {
        self.values.len() - self.vacant_values.len()
    }

    /// Where `topic` belongs.
    pub(super) fn place(&self, topic: &[u8]) -> Place {
        self.place_passing(topic, |_| ())
    }

    /// The same for a value that is to be put there: [`Tree::put`] need not go the way again.
    pub(super) fn place_to_put(&mut self, topic: &[u8]) -> Place {
        let mut trail = core::mem::take(&mut self.trail);
        trail.clear();
        let place = self.place_passing(topic, |node| trail.push(node));
        self.trail = trail;
        place
    }

    #[inline]
    fn place_passing(&self, topic: &[u8], mut pass: impl FnMut(Link)) -> Place {
        let Some(mut link) = self.root else { return Place::Empty };
        while !link.is_value() {
            pass(link);
            let node = &self.nodes[link.index()];
            link = node.children[symbol_bit(topic, node.bit)];
        }
        match first_difference(topic, self.topic(link)) {
            None => Place::Taken(link.index() as u32),
            Some(bit) => Place::Free(bit),
        }
    }

    /// The value at a place.
    pub(super) fn at(&self, place: Place) -> Option<&Message> {
        let Place::Taken(at) = place else { return None };
        self.values[at as usize].as_ref()
    }

    /// Puts a value at the place of its topic, which [`Tree::place_to_put`] was asked for last. Returns the one that was
    /// there.
    pub(super) fn put(&mut self, place: Place, message: Message) -> Option<Message> {
        let bit = match place {
            Place::Taken(at) => return self.values[at as usize].replace(message),
            Place::Empty => {
                self.root = Some(self.add_value(message));
                return None;
            }
            Place::Free(bit) => bit,
        };
        let topic = message.topic().as_bytes();
        let nodes = &self.nodes;
        // Most topics part from the nearest one close to it.
        let above = self.trail.iter().rfind(|node| nodes[node.index()].bit < bit);
        let parent = above.map(|&node| (node, symbol_bit(topic, nodes[node.index()].bit)));
        let below = match parent {
            Some((node, side)) => nodes[node.index()].children[side],
            None => self.root?,
        };
        let side = symbol_bit(topic, bit);
        let value = self.add_value(message);
        let children = if side == 0 { [value, below] } else { [below, value] };
        let node = self.add_node(Node { children, bit });
        self.lead(parent, node);
        None
    }

    /// Takes the value of a topic out.
    pub(super) fn remove(&mut self, topic: &[u8]) -> Option<Message> {
        let mut link = self.root?;
        let (mut above, mut parent) = (None, None);
        while !link.is_value() {
            let node = &self.nodes[link.index()];
            let side = symbol_bit(topic, node.bit);
            above = parent.replace((link, side));
            link = node.children[side];
        }
        if self.topic(link) != topic {
            return None;
        }
        let message = self.values[link.index()].take();
        let Some((node, side)) = parent else {
            // Gives all memory back.
            *self = Self::default();
            return message;
        };
        let sibling = self.nodes[node.index()].children[1 - side];
        self.lead(above, sibling);
        self.vacant_nodes.push(node.0);
        self.vacant_values.push(link.index() as u32);
        message
    }

    /// A walk that begins at the first topic which is not before `from`.
    pub(super) fn walk(&self, from: &[u8]) -> Walk<'_> {
        let mut walk = Walk { tree: self, ahead: Vec::with_capacity(32) };
        walk.seek(from);
        walk
    }

    /// Makes a side of a node lead to `link`; without a node, the root.
    fn lead(&mut self, from: Option<(Link, usize)>, link: Link) {
        match from {
            Some((node, side)) => self.nodes[node.index()].children[side] = link,
            None => self.root = Some(link),
        }
    }

    fn add_node(&mut self, node: Node) -> Link {
        if let Some(at) = self.vacant_nodes.pop() {
            self.nodes[at as usize] = node;
            return Link(at);
        }
        self.nodes.push(node);
        Link((self.nodes.len() - 1) as u32)
    }

    fn add_value(&mut self, message: Message) -> Link {
        if let Some(at) = self.vacant_values.pop() {
            self.values[at as usize] = Some(message);
            return Link::to_value(at);
        }
        self.values.push(Some(message));
        Link::to_value((self.values.len() - 1) as u32)
    }

    fn topic(&self, value: Link) -> &[u8] {
        self.values[value.index()].as_ref().map_or(&[], |message| message.topic().as_bytes())
    }
}

/// The values from a place on, in topic order.
pub(super) struct Walk<'t> {
    tree: &'t Tree,
    /// What is still to be walked, the next last.
    ahead: Vec<Link>,
}

impl Walk<'_> {
    /// Goes to the first topic that is not before `from`.
    pub(super) fn seek(&mut self, from: &[u8]) {
        let tree = self.tree;
        self.ahead.clear();
        // All that differs from `from` in an earlier bit than the nearest topic does lies wholly before or after it.
        let (differs, after) = match tree.place(from) {
            Place::Empty => return,
            Place::Taken(_) => (u32::MAX, false),
            Place::Free(bit) => (bit, symbol_bit(from, bit) == 1),
        };
        let Some(mut link) = tree.root else { return };
        while !link.is_value() && tree.nodes[link.index()].bit < differs {
            let node = &tree.nodes[link.index()];
            let side = symbol_bit(from, node.bit);
            if side == 0 {
                self.ahead.push(node.children[1]);
            }
            link = node.children[side];
        }
        if !after {
            self.ahead.push(link);
        }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = &'t Message;

    fn next(&mut self) -> Option<&'t Message> {
        let mut link = self.ahead.pop()?;
        while !link.is_value() {
            let [low, high] = self.tree.nodes[link.index()].children;
            self.ahead.push(high);
            link = low;
        }
        self.tree.values[link.index()].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::String;

    use mynah_model::TenantId;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::message;

    /// Few bytes, so that topics share beginnings: on both sides of `/`, and of all of their bits.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(&['/', '/', '.', '0', 'a', '\u{1}', '\u{e9}']), 1..7)
            .prop_map(|chars| chars.into_iter().collect())
    }

    /// The definition of topic order: the end of a topic, then `/`, then the other bytes.
    fn ranks(topic: &str) -> Vec<u16> {
        topic.bytes().map(|byte| if byte == b'/' { 0 } else { u16::from(byte) }).collect()
    }

    fn topics<'t>(values: impl Iterator<Item = &'t Message>) -> Vec<&'t [u8]> {
        values.map(|value| value.topic().as_bytes()).collect()
    }

    proptest! {
        #[test]
        fn the_tree_holds_what_a_sorted_map_holds(
            changes in prop::collection::vec((text(), any::<bool>()), 1..120),
            places in prop::collection::vec(text(), 1..8),
        ) {
            let (mut tree, mut naive) = (Tree::default(), BTreeMap::new());
            for (turn, (topic, put)) in changes.iter().enumerate() {
                let payload = alloc::format!("{turn}");
                let (new, old) = if *put {
                    let place = tree.place_to_put(topic.as_bytes());
                    let new = message(TenantId::DEFAULT, topic, &payload, None);
                    (tree.put(place, new), naive.insert(ranks(topic), (topic, payload)))
                } else {
                    (tree.remove(topic.as_bytes()), naive.remove(&ranks(topic)))
                };
                let old = old.map(|(_, payload)| payload);
                prop_assert_eq!(new.as_ref().map(Message::payload), old.as_ref().map(String::as_bytes));
                prop_assert_eq!(tree.len(), naive.len());
                prop_assert!(tree.len() < 2 || tree.nodes.len() - tree.vacant_nodes.len() == tree.len() - 1);
            }
            for (topic, payload) in naive.values() {
                let value = tree.at(tree.place(topic.as_bytes()));
                prop_assert_eq!(value.map(Message::payload), Some(payload.as_bytes()));
            }
            for place in places.iter().map(String::as_str).chain([""]) {
                let from = naive.range(ranks(place)..).map(|(_, (topic, _))| topic.as_bytes());
                prop_assert_eq!(topics(tree.walk(place.as_bytes())), from.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn vacated_places_are_used_again_and_an_empty_tree_holds_no_memory() {
        let mut tree = Tree::default();
        let names: Vec<String> = (0..100).map(|i| alloc::format!("t/{i}")).collect();
        for kept in [0, 1, 1] {
            for name in &names[kept..] {
                let place = tree.place_to_put(name.as_bytes());
                tree.put(place, message(TenantId::DEFAULT, name, "v", None));
            }
            assert!(tree.values.len() <= 100 && tree.nodes.len() <= 99);
            for name in &names[1..] {
                assert!(tree.remove(name.as_bytes()).is_some());
            }
        }
        assert!(tree.remove(b"t").is_none() && tree.remove(b"t/00").is_none());
        assert!(tree.remove(b"t/0").is_some() && tree.remove(b"t/0").is_none());
        assert_eq!((tree.len(), tree.nodes.capacity(), tree.values.capacity()), (0, 0, 0));
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!((size_of::<Node>(), size_of::<Option<Message>>()), (12, size_of::<usize>()));
    }
}
