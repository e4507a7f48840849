//! Which publications of QoS 2 the other end has under way: they count against Receive Maximum from PUBLISH to PUBCOMP,
//! or to a PUBREC that refuses (section 4.9).

use alloc::collections::VecDeque;

use crate::wire::PacketId;

/// Publications of QoS 2 that came and are not finished, by their identifiers.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// In ascending order. Most clients count upwards, so that what begins is last and what ends is first.
    ids: VecDeque<PacketId>,
}

impl Unfinished {
    /// How many there are: at most 65,535.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn contains(&self, id: PacketId) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Notes one that begins.
    pub(crate) fn begin(&mut self, id: PacketId) {
        if let Err(at) = self.ids.binary_search(&id) {
            self.ids.insert(at, id);
        }
    }

    /// Notes one that ends, if it is there.
    pub(crate) fn end(&mut self, id: PacketId) {
        if let Ok(at) = self.ids.binary_search(&id) {
            self.ids.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_twice_counts_once_and_what_is_unknown_ends_nothing() {
        let mut unfinished = Unfinished::default();
        let id = |number| PacketId::new(number).unwrap();
        for number in [7, 3, 9, 3] {
            unfinished.begin(id(number));
        }
        unfinished.end(id(4));
        assert_eq!(
            (unfinished.len(), unfinished.contains(id(3)), unfinished.contains(id(4))),
            (3, true, false)
        );
        unfinished.end(id(3));
        assert_eq!((unfinished.len(), unfinished.contains(id(3))), (2, false));
    }
}
