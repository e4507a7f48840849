//! Prefetch (basic.qos): how many deliveries each consumer of a channel may be given now, so that neither its own bound
//! nor the channel's is passed.

use alloc::collections::BTreeMap;

/// The consumers of a channel with what they hold and what they may be given.
#[derive(Clone, Debug, Default)]
pub struct Prefetch {
    /// Of the channel; 0: none.
    channel_limit: u32,
    held: u32,
    consumers: BTreeMap<u32, Share>,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    limit: u32,
    held: u32,
    /// Deliveries that it may be given and was not.
    credit: u32,
}

impl Share {
    /// What its own bound leaves.
    const fn room(self, unlimited: u32) -> u32 {
        let limit = if self.limit == 0 { unlimited } else { self.limit };
        limit.saturating_sub(self.held)
    }
}

impl Prefetch {
    /// Sets the bound of the channel; 0: none.
    pub const fn set_channel_limit(&mut self, limit: u32) {
        self.channel_limit = limit;
    }

    /// Adds a consumer with a bound of its own; 0: none. It may be given nothing until [`Prefetch::balance`].
    pub fn add(&mut self, consumer: u32, limit: u32) {
        self.consumers.insert(consumer, Share { limit, held: 0, credit: 0 });
    }

    /// Removes a consumer; what it holds counts for the channel until it is settled.
    pub fn remove(&mut self, consumer: u32) {
        self.consumers.remove(&consumer);
    }

    /// A consumer was given a delivery that waits for an acknowledgement.
    pub fn deliver(&mut self, consumer: u32) {
        self.held += 1;
        if let Some(share) = self.consumers.get_mut(&consumer) {
            share.held += 1;
            share.credit = share.credit.saturating_sub(1);
        }
    }

    /// A delivery was settled.
    pub fn settle(&mut self, consumer: u32) {
        self.held = self.held.saturating_sub(1);
        if let Some(share) = self.consumers.get_mut(&consumer) {
            share.held = share.held.saturating_sub(1);
        }
    }

    /// Says for which consumers it changed what they may be given, and to what. One that is unbounded may be given
    /// `unlimited` less what it holds. Small rises wait until they are as large as what is left.
    pub fn balance(&mut self, unlimited: u32, mut grant: impl FnMut(u32, u32)) {
        let channel_limit = if self.channel_limit == 0 { u32::MAX } else { self.channel_limit };
        let mut room = channel_limit.saturating_sub(self.held);
        let is_shared = self.channel_limit != 0;
        let mut left = self.consumers.len() as u32;
        for (consumer, share) in &mut self.consumers {
            // An equal part each, and what others have no room for goes to those behind them.
            let part = if is_shared { room.div_ceil(left.max(1)) } else { u32::MAX };
            let wanted = share.room(unlimited).min(part);
            room = room.saturating_sub(if is_shared { wanted } else { 0 });
            left -= 1;
            let rises = share.credit < wanted && share.credit <= wanted - share.credit;
            if rises || share.credit > wanted {
                share.credit = wanted;
                grant(*consumer, wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_of_one_is_renewed_at_once_and_a_large_one_seldom() {
        let (mut one, mut many) = (Prefetch::default(), Prefetch::default());
        one.add(7, 1);
        many.add(7, 100);
        let granted = |prefetch: &mut Prefetch| {
            let mut granted = Vec::new();
            prefetch.balance(1_000, |consumer, credit| granted.push((consumer, credit)));
            granted
        };
        assert_eq!((granted(&mut one), granted(&mut many)), ([(7, 1)].into(), [(7, 100)].into()));
        assert_eq!(granted(&mut one), []);
        one.deliver(7);
        assert_eq!(granted(&mut one), []);
        one.settle(7);
        assert_eq!(granted(&mut one), [(7, 1)]);
        for at in 1..=50 {
            many.deliver(7);
            many.settle(7);
            assert_eq!(granted(&mut many).len(), usize::from(at == 50), "{at}");
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Add { consumer: u32, limit: u32 },
        Remove { consumer: u32 },
        Deliver { at: usize },
        Settle { at: usize },
        Limit(u32),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            2 => (0..5_u32, 0..6_u32).prop_map(|(consumer, limit)| Act::Add { consumer, limit }),
            1 => (0..5_u32).prop_map(|consumer| Act::Remove { consumer }),
            6 => any::<usize>().prop_map(|at| Act::Deliver { at }),
            5 => any::<usize>().prop_map(|at| Act::Settle { at }),
            1 => (0..9_u32).prop_map(Act::Limit),
        ]
    }

    proptest! {
        #[test]
        fn no_bound_is_passed_and_nobody_waits_for_room_that_is_there(
            acts in proptest::collection::vec(act(), 0..150),
        ) {
            const UNLIMITED: u32 = 12;
            let mut prefetch = Prefetch::default();
            let mut limits: BTreeMap<u32, u32> = BTreeMap::new();
            let mut credits: BTreeMap<u32, u32> = BTreeMap::new();
            let (mut held, mut channel_limit): (Vec<u32>, u32) = (Vec::new(), 0);
            for act in acts {
                match act {
                    Act::Add { consumer, limit } => {
                        // A number is used again once nothing is held under it.
                        if !limits.contains_key(&consumer) && !held.contains(&consumer) {
                            prefetch.add(consumer, limit);
                            limits.insert(consumer, limit);
                            credits.insert(consumer, 0);
                        }
                    }
                    Act::Remove { consumer } => {
                        prefetch.remove(consumer);
                        limits.remove(&consumer);
                        credits.remove(&consumer);
                    }
                    Act::Deliver { at } => {
                        let able: Vec<u32> =
                            credits.iter().filter(|(_, credit)| **credit > 0).map(|(it, _)| *it).collect();
                        if let Some(consumer) = able.get(at % able.len().max(1)) {
                            prefetch.deliver(*consumer);
                            held.push(*consumer);
                            *credits.get_mut(consumer).unwrap() -= 1;
                        }
                    }
                    Act::Settle { at } => {
                        if !held.is_empty() {
                            prefetch.settle(held.remove(at % held.len()));
                        }
                    }
                    Act::Limit(limit) => {
                        prefetch.set_channel_limit(limit);
                        channel_limit = limit;
                    }
                }
                prefetch.balance(UNLIMITED, |consumer, credit| {
                    credits.insert(consumer, credit);
                });
                let of = |consumer: u32| held.iter().filter(|it| **it == consumer).count() as u32;
                let total: u32 = credits.values().sum();
                let has_room = channel_limit == 0 || (held.len() as u32) < channel_limit;
                prop_assert!(channel_limit == 0 || total == 0 || held.len() as u32 + total <= channel_limit);
                let mut somebody_wants = false;
                for (consumer, limit) in &limits {
                    let limit = if *limit == 0 { UNLIMITED } else { *limit };
                    prop_assert!(credits[consumer] == 0 || of(*consumer) + credits[consumer] <= limit);
                    somebody_wants |= of(*consumer) < limit;
                }
                prop_assert!(!has_room || !somebody_wants || total > 0, "somebody can be served");
            }
        }
    }
}
