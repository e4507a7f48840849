//! Queues that outlive the process: filled with what a store kept of them.

use alloc::vec::Vec;

use mynah_model::DeliveryId;

use super::leases::Lease;
use super::{Entry, Queue};

/// How far the delivery of an entry had come.
#[derive(Clone, Debug)]
pub enum Kept {
    /// It was not handed out.
    Ready(Entry),
    /// It was handed out under this identifier.
    Sent(DeliveryId, Entry),
    /// It was handed out under this identifier, and the receiver has it and will not take it again. The entry is gone;
    /// this is its number.
    Received(DeliveryId, u64),
}

impl Kept {
    /// The number of the entry.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Ready(entry) | Self::Sent(_, entry) => entry.sequence,
            Self::Received(_, sequence) => *sequence,
        }
    }
}

impl Queue {
    /// Makes the queue what an earlier run left: whatever order `kept` is in, entries stand by their numbers. New ones
    /// have numbers from `next` on, or higher. The bounds of the day drop nothing before the next entry comes. Of two
    /// deliveries with one identifier the later one counts as not handed out.
    pub fn restore(&mut self, mut kept: Vec<Kept>, next: u64) {
        kept.sort_unstable_by_key(Kept::sequence);
        self.skip_to(kept.last().map_or(next, |last| next.max(last.sequence() + 1)));
        let mut leases: Vec<(DeliveryId, Lease)> = Vec::new();
        let mut taken = Vec::new();
        for one in kept {
            let (id, lease) = match one {
                Kept::Ready(entry) => {
                    self.bytes += entry.cost_bytes();
                    self.ready.push_back(entry);
                    continue;
                }
                Kept::Sent(id, entry) => (id, Lease::Sent(entry)),
                Kept::Received(id, sequence) => (id, Lease::Received(sequence)),
            };
            match taken.binary_search(&id.number()) {
                Err(at) => {
                    taken.insert(at, id.number());
                    if let Lease::Sent(entry) = &lease {
                        self.bytes += entry.cost_bytes();
                    }
                    leases.push((id, lease));
                }
                Ok(_) => {
                    if let Lease::Sent(entry) = lease {
                        self.bytes += entry.cost_bytes();
                        self.ready.push_back(entry);
                    }
                }
            }
        }
        self.ready.make_contiguous().sort_unstable_by_key(|entry| entry.sequence);
        self.leases.restore(leases);
    }

    /// New deliveries have identifiers from `to` on, or the next that is free. Where the receiver may know of deliveries
    /// that this queue has forgotten, it would take another message under one of their identifiers for a repetition.
    pub fn move_on(&mut self, to: DeliveryId) {
        self.leases.move_on(to.number() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{LeaseState, QueueBounds};
    use crate::testing::message;
    use alloc::collections::BTreeSet;
    use mynah_model::{Class, Instant, TenantId};
    use proptest::prelude::*;

    fn bounds() -> QueueBounds {
        QueueBounds { messages_max: 100_000, bytes_max: usize::MAX }
    }

    fn entry(class: Class) -> Entry {
        Entry::new(message(TenantId::DEFAULT, "t", "x", None), class, false, None)
    }

    /// What a store would have of a queue.
    fn kept(queue: &Queue) -> Vec<Kept> {
        let leased = queue.leased(None).map(|(id, state)| match state {
            LeaseState::Sent(entry) => Kept::Sent(id, entry.clone()),
            LeaseState::Received => Kept::Received(id, queue.leased_sequence(id).unwrap()),
        });
        leased.chain(queue.ready().cloned().map(Kept::Ready)).collect()
    }

    fn outline(queue: &Queue) -> (Vec<(u16, bool, u64)>, Vec<u64>, usize) {
        let leased = queue.leased(None).map(|(id, state)| {
            (id.number(), matches!(state, LeaseState::Received), queue.leased_sequence(id).unwrap())
        });
        (leased.collect(), queue.ready().map(|entry| entry.sequence).collect(), queue.bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_restored_queue_is_the_one_that_was_left_and_goes_on_with_new_numbers(
            steps in proptest::collection::vec((0..6_u8, any::<proptest::sample::Index>()), 0..60),
            turns in 0..3_u32,
        ) {
            let mut queue = Queue::new(bounds());
            // Identifiers go round while one stays.
            for _ in 0..turns * 40_000 {
                let id = queue.lease_new(entry(Class::AtLeastOnce), 10);
                if let Ok(id) = id && queue.leased_len() > 2 {
                    queue.settle(id);
                }
            }
            for (step, at) in steps {
                let leased: Vec<_> = queue.leased(None).map(|(id, _)| id).collect();
                match step {
                    0 => drop(queue.push(entry(Class::ExactlyOnce))),
                    1 => drop(queue.push(entry(Class::AtLeastOnce))),
                    2 | 3 => drop(queue.lease_next(Instant::ZERO, 20)),
                    4 if !leased.is_empty() => drop(queue.receive(*at.get(&leased))),
                    5 if !leased.is_empty() => drop(queue.settle(*at.get(&leased))),
                    _ => {}
                }
            }
            let mut restored = Queue::new(bounds());
            let mut left = kept(&queue);
            left.reverse();
            restored.restore(left, 0);
            prop_assert_eq!(outline(&restored), outline(&queue));
            let mut taken: BTreeSet<u64> = kept(&queue).iter().map(Kept::sequence).collect();
            for _ in 0..30 {
                let before = restored.leased(None).map(|(id, _)| id).collect::<Vec<_>>();
                prop_assert!(taken.insert(restored.next_sequence()));
                restored.push(entry(Class::AtLeastOnce));
                if let Some(leased) = restored.lease_next(Instant::ZERO, 60) {
                    prop_assert!(!before.contains(&leased.id().unwrap()));
                }
            }
        }
    }

    #[test]
    fn a_queue_that_moves_on_keeps_its_deliveries_and_gives_other_identifiers() {
        let (mut queue, id) = (Queue::new(bounds()), |number| DeliveryId::new(number).unwrap());
        let ids = |queue: &Queue| queue.leased(None).map(|(id, _)| id.number()).collect::<Vec<_>>();
        for _ in 0..4 {
            queue.lease_new(entry(Class::ExactlyOnce), 100).unwrap();
        }
        queue.settle(id(2));
        queue.move_on(id(u16::MAX - 1));
        for _ in 0..4 {
            queue.lease_new(entry(Class::ExactlyOnce), 100).unwrap();
        }
        // Those that are still under way are passed over.
        assert_eq!(ids(&queue), [1, 3, 4, 65_534, 65_535, 2, 5]);
        for number in [1, 3, 4, 65_534, 65_535, 2, 5] {
            assert!(queue.settle(id(number)), "{number}");
        }
        assert_eq!((queue.leased_len(), ids(&queue)), (0, [].into()));
    }

    #[test]
    fn of_two_deliveries_with_one_identifier_the_later_is_handed_out_anew() {
        let id = DeliveryId::new(7).unwrap();
        let numbered = |sequence| Entry { sequence, ..entry(Class::AtLeastOnce) };
        let mut queue = Queue::new(bounds());
        queue.restore(
            [Kept::Ready(numbered(3)), Kept::Sent(id, numbered(4)), Kept::Sent(id, numbered(2))].into(),
            9,
        );
        assert_eq!(outline(&queue).0, [(7, false, 2)]);
        assert_eq!((outline(&queue).1, queue.next_sequence()), ([3, 4].into(), 9));
    }
}
