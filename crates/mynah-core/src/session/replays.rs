//! The replays of a session: in the order in which they began, and by their filters, so that a session that subscribes
//! with many filters at once does not pay for each with a look at all.

use alloc::collections::BTreeMap;

use mynah_model::SubscriptionOptions;

use crate::{Cursor, Text};

/// Retained values on their way to a new subscription.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The subscription's filter.
    pub filter: Text,
    /// How the subscription wants its messages.
    pub options: SubscriptionOptions,
    /// How far the replay has come.
    pub cursor: Cursor,
}

#[derive(Debug, Default)]
pub(super) struct Replays {
    /// By their numbers.
    running: BTreeMap<u64, Replay>,
    /// The number of each filter's replay.
    numbers: BTreeMap<Text, u64>,
    /// The number of the next.
    next: u64,
}

impl Replays {
    /// Begins a replay behind all others, and ends the one that the filter has.
    pub(super) fn begin(&mut self, filter: Text, options: SubscriptionOptions) {
        if let Some(earlier) = self.numbers.insert(filter.clone(), self.next) {
            self.running.remove(&earlier);
        }
        self.running.insert(self.next, Replay { filter, options, cursor: Cursor::default() });
        self.next += 1;
    }

    /// The replay that began first.
    pub(super) fn first(&mut self) -> Option<&mut Replay> {
        self.running.values_mut().next()
    }

    /// The replay of a filter.
    pub(super) fn get(&self, filter: &[u8]) -> Option<&Replay> {
        self.running.get(self.numbers.get(filter)?)
    }

    /// The replay of a filter, to change it.
    pub(super) fn get_mut(&mut self, filter: &[u8]) -> Option<&mut Replay> {
        self.running.get_mut(self.numbers.get(filter)?)
    }

    /// Ends the replay of a filter, if it has one.
    pub(super) fn end(&mut self, filter: &[u8]) {
        if let Some(number) = self.numbers.remove(filter) {
            self.running.remove(&number);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use mynah_model::Class;
    use proptest::prelude::*;

    use super::*;

    fn options(class: u8) -> SubscriptionOptions {
        SubscriptionOptions::new(Class::from_number(class).unwrap())
    }

    proptest! {
        #[test]
        fn replays_are_what_a_list_of_them_would_be(
            steps in prop::collection::vec((0..4_u8, 0..6_u8, 0..3_u8), 0..60),
        ) {
            let (mut replays, mut list) = (Replays::default(), Vec::<(u8, u8)>::new());
            for (what, filter, class) in steps {
                match what {
                    0 | 1 => {
                        replays.begin((&[filter][..]).into(), options(class));
                        list.retain(|(other, _)| *other != filter);
                        list.push((filter, class));
                    }
                    2 => {
                        replays.end(&[filter]);
                        list.retain(|(other, _)| *other != filter);
                    }
                    _ => {
                        let found = replays.get_mut(&[filter]).map(|replay| replay.options = options(class));
                        let known = list.iter_mut().find(|(other, _)| *other == filter);
                        prop_assert_eq!(found, known.map(|known| known.1 = class));
                    }
                }
                let first = replays.first().map(|replay| (replay.filter[0], replay.options));
                prop_assert_eq!(first, list.first().map(|(filter, class)| (*filter, options(*class))));
                prop_assert_eq!(replays.is_empty(), list.is_empty());
                prop_assert_eq!((replays.running.len(), replays.numbers.len()), (list.len(), list.len()));
            }
        }
    }
}
