//! Delivery tags of a channel: numbers in the order of the deliveries, and what waits for an acknowledgement under them.

use alloc::collections::VecDeque;

/// Deliveries of a channel. Settling one costs a search among those that wait, settling a row costs each of them once.
#[derive(Clone, Debug)]
pub struct Unacknowledged<T> {
    /// By tag. What was settled out of its turn leaves a gap, see `trim`.
    entries: VecDeque<(u64, Option<T>)>,
    waiting: usize,
    last_tag: u64,
}

/// The tag names no delivery that waits: it was settled before, or never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag;

impl<T> Default for Unacknowledged<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), waiting: 0, last_tag: 0 }
    }
}

impl<T> Unacknowledged<T> {
    /// The tag of a delivery that nobody acknowledges.
    pub const fn pass(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// The tag of a delivery that waits from now on.
    pub fn push(&mut self, delivery: T) -> u64 {
        let tag = self.pass();
        self.entries.push_back((tag, Some(delivery)));
        self.waiting += 1;
        tag
    }

    /// The tag of the last delivery; 0 before the first.
    #[must_use]
    pub const fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// How many wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Settles the delivery `tag`, or with `multiple` all up to it; 0 then is all that wait. Hands them out by tag.
    ///
    /// # Errors
    /// None of them waits; for 0 with `multiple` that is no error.
    pub fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        mut settled: impl FnMut(u64, T),
    ) -> Result<(), UnknownTag> {
        if !multiple {
            let at = self.entries.binary_search_by_key(&tag, |(tag, _)| *tag).map_err(|_| UnknownTag)?;
            let delivery = self.entries.get_mut(at).and_then(|(_, entry)| entry.take()).ok_or(UnknownTag)?;
            self.waiting -= 1;
            self.trim();
            settled(tag, delivery);
            return Ok(());
        }
        if tag > self.last_tag {
            return Err(UnknownTag);
        }
        let before = self.waiting;
        while let Some((found, entry)) = self.entries.pop_front_if(|(found, _)| tag == 0 || *found <= tag) {
            if let Some(delivery) = entry {
                self.waiting -= 1;
                settled(found, delivery);
            }
        }
        self.trim();
        if before == self.waiting && tag != 0 { Err(UnknownTag) } else { Ok(()) }
    }

    /// Puts a delivery back that was settled: it waits again under its tag.
    pub fn restore(&mut self, tag: u64, delivery: T) {
        let at = match self.entries.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (tag, None));
                at
            }
        };
        if let Some((_, entry)) = self.entries.get_mut(at) {
            self.waiting += usize::from(entry.is_none());
            *entry = Some(delivery);
        }
    }

    /// Takes those that `is_wanted` says, by tag.
    pub fn take_if(&mut self, mut is_wanted: impl FnMut(&T) -> bool, mut taken: impl FnMut(T)) {
        for (_, entry) in &mut self.entries {
            if let Some(delivery) = entry.take_if(|delivery| is_wanted(delivery)) {
                self.waiting -= 1;
                taken(delivery);
            }
        }
        self.trim();
    }

    /// Removes gaps: always at the front, and everywhere once they are more than what waits.
    fn trim(&mut self) {
        while self.entries.pop_front_if(|(_, entry)| entry.is_none()).is_some() {}
        if self.entries.len() > 2 * self.waiting + 16 {
            self.entries.retain(|(_, entry)| entry.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Push(bool),
        Settle { tag: u64, multiple: bool },
        TakeOdd,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => any::<bool>().prop_map(Act::Push),
            4 => (0..60_u64, any::<bool>()).prop_map(|(tag, multiple)| Act::Settle { tag, multiple }),
            1 => Just(Act::TakeOdd),
        ]
    }

    /// The same, by the words of the specification.
    #[derive(Default)]
    struct Naive {
        waiting: BTreeMap<u64, u64>,
        last: u64,
    }

    impl Naive {
        fn settle(&mut self, tag: u64, multiple: bool) -> Result<Vec<u64>, UnknownTag> {
            let wanted: Vec<u64> = match (tag, multiple) {
                (0, true) => self.waiting.keys().copied().collect(),
                (tag, true) if tag <= self.last => {
                    self.waiting.range(..=tag).map(|(found, _)| *found).collect()
                }
                (tag, false) if self.waiting.contains_key(&tag) => [tag].into(),
                _ => return Err(UnknownTag),
            };
            if wanted.is_empty() && tag != 0 {
                return Err(UnknownTag);
            }
            Ok(wanted.into_iter().filter_map(|tag| self.waiting.remove(&tag)).collect())
        }
    }

    proptest! {
        //= amqp-0-9-1 [basic.ack-multiple] [basic.ack-unknown] [basic.deliver-order]
        #[test]
        fn tags_settle_as_in_a_sorted_map(acts in proptest::collection::vec(act(), 0..120)) {
            let (mut tags, mut naive) = (Unacknowledged::default(), Naive::default());
            for act in acts {
                match act {
                    Act::Push(waits) => {
                        naive.last += 1;
                        let tag = if waits { tags.push(naive.last * 10) } else { tags.pass() };
                        prop_assert_eq!(tag, naive.last);
                        if waits {
                            naive.waiting.insert(tag, tag * 10);
                        }
                    }
                    Act::Settle { tag, multiple } => {
                        let mut settled = Vec::new();
                        let result = tags.settle(tag, multiple, |_, delivery| settled.push(delivery));
                        prop_assert_eq!(result.map(|()| settled), naive.settle(tag, multiple));
                    }
                    Act::TakeOdd => {
                        let (mut taken, mut expected) = (Vec::new(), Vec::new());
                        tags.take_if(|delivery| delivery / 10 % 2 == 1, |delivery| taken.push(delivery));
                        naive.waiting.retain(|tag, delivery| {
                            if tag % 2 == 1 {
                                expected.push(*delivery);
                            }
                            tag % 2 == 0
                        });
                        prop_assert_eq!(taken, expected);
                    }
                }
                prop_assert_eq!((tags.len(), tags.is_empty()), (naive.waiting.len(), naive.waiting.is_empty()));
                prop_assert!(tags.entries.len() <= 2 * tags.len() + 16, "gaps are bounded");
            }
        }
    }
}
