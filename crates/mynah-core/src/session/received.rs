//! Identifiers of exactly-once publications that are received and not complete: what duplicates are recognised by.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// What an identifier of an exactly-once publication meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The publication is new.
    New,
    /// It was received before and is not complete.
    Duplicate,
    /// It is new, and there are as many incomplete ones as allowed.
    Full,
}

/// A small sorted set of identifiers. Holds no memory while it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
// Few sessions have any: a boxed vector is one word in all the others.
#[allow(clippy::box_collection)]
pub struct ReceivedIds(Option<Box<Vec<u16>>>);

impl ReceivedIds {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Records a publication, unless `received_max` are recorded.
    pub fn receive(&mut self, id: u16, received_max: u16) -> Received {
        let ids = self.as_slice();
        match ids.binary_search(&id) {
            Ok(_) => Received::Duplicate,
            Err(_) if ids.len() >= usize::from(received_max) => Received::Full,
            Err(at) => {
                self.0.get_or_insert_default().insert(at, id);
                Received::New
            }
        }
    }

    /// Forgets a publication that is complete. Returns whether it was known.
    pub fn complete(&mut self, id: u16) -> bool {
        let Some(ids) = &mut self.0 else { return false };
        let Ok(at) = ids.binary_search(&id) else { return false };
        ids.remove(at);
        if ids.is_empty() {
            self.0 = None;
        }
        true
    }

    /// The identifiers in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.0.as_ref().map_or(&[], |ids| ids.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_new_until_it_is_recorded_and_again_when_it_is_complete() {
        let mut ids = ReceivedIds::new();
        assert_eq!(ids.receive(7, 2), Received::New);
        assert_eq!(ids.receive(7, 2), Received::Duplicate);
        assert_eq!(ids.receive(3, 2), Received::New);
        assert_eq!(ids.receive(5, 2), Received::Full);
        assert_eq!(ids.receive(3, 2), Received::Duplicate);
        assert!(ids.complete(7));
        assert!(!ids.complete(7));
        assert_eq!(ids.receive(7, 2), Received::New);
        assert_eq!(ids.as_slice(), [3, 7]);
    }

    #[test]
    fn an_empty_set_holds_no_memory() {
        let mut ids = ReceivedIds::new();
        ids.receive(1, 9);
        ids.complete(1);
        assert_eq!(ids, ReceivedIds::new());
    }
}
