//! Prefetch (basic.qos): how many deliveries each consumer of a channel may be given now, so that neither its own bound
//! nor the channel's is passed. What is on its way to a consumer is not known here: so credit is only added to, or taken
//! back as a whole, and is known again once the broker has said that nothing is left of it.

use alloc::collections::BTreeMap;

/// The consumers of a channel with what they hold and what they may be given.
#[derive(Clone, Debug, Default)]
pub struct Prefetch {
    /// Of the channel; 0: none.
    channel_limit: u32,
    held: u32,
    /// The client wants nothing at present.
    is_stopped: bool,
    consumers: BTreeMap<u32, Share>,
}

/// What is done to a consumer's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It may be given this many more.
    Add(u32),
    /// It may be given nothing; [`Prefetch::drained`] follows.
    Withdraw,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    limit: u32,
    held: u32,
    /// Deliveries that it may be given and was not.
    credit: u32,
    /// Its credit is being taken back.
    is_draining: bool,
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

    /// Whether the client wants anything (channel.flow).
    pub const fn set_active(&mut self, active: bool) {
        self.is_stopped = !active;
    }

    /// Adds a consumer with a bound of its own; 0: none. It may be given nothing until [`Prefetch::balance`].
    pub fn add(&mut self, consumer: u32, limit: u32) {
        self.consumers.insert(consumer, Share { limit, held: 0, credit: 0, is_draining: false });
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

    /// Nothing is left of a consumer's credit that was taken back.
    pub fn drained(&mut self, consumer: u32) {
        if let Some(share) = self.consumers.get_mut(&consumer)
            && share.is_draining
        {
            share.is_draining = false;
            share.credit = 0;
        }
    }

    /// Says for which consumers it changed what they may be given, and how. One that is unbounded may be given
    /// `unlimited` less what it holds. Small rises wait until they are as large as what is left.
    pub fn balance(&mut self, unlimited: u32, mut grant: impl FnMut(u32, Grant)) {
        let is_shared = self.channel_limit != 0;
        // What all have together is given out again only once it is known what is left of it.
        let mut takes_back = is_shared && self.consumers.values().any(|share| share.is_draining);
        self.for_each_part(unlimited, |consumer, share, part| {
            if share.credit > part && !share.is_draining {
                share.is_draining = true;
                takes_back |= is_shared;
                grant(consumer, Grant::Withdraw);
            }
        });
        if takes_back || self.is_stopped {
            return;
        }
        self.for_each_part(unlimited, |consumer, share, part| {
            let rises = share.credit < part && share.credit <= part - share.credit;
            if rises && !share.is_draining {
                grant(consumer, Grant::Add(part - share.credit));
                share.credit = part;
            }
        });
    }

    /// An equal part of the channel's room for each, and what others have no room for goes to those behind them.
    fn for_each_part(&mut self, unlimited: u32, mut visit: impl FnMut(u32, &mut Share, u32)) {
        let is_shared = self.channel_limit != 0;
        let mut room = if self.is_stopped { 0 } else { self.channel_limit.saturating_sub(self.held) };
        let mut left = self.consumers.len() as u32;
        for (consumer, share) in &mut self.consumers {
            let most = match (self.is_stopped, is_shared) {
                (true, _) => 0,
                (false, true) => room.div_ceil(left.max(1)),
                (false, false) => u32::MAX,
            };
            let part = share.room(unlimited).min(most);
            room = room.saturating_sub(part);
            left -= 1;
            visit(*consumer, share, part);
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
            prefetch.balance(1_000, |consumer, grant| match grant {
                Grant::Add(more) => granted.push((consumer, more)),
                Grant::Withdraw => panic!("nothing is taken back"),
            });
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
        Active(bool),
        Drained { at: usize },
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            2 => (0..5_u32, 0..6_u32).prop_map(|(consumer, limit)| Act::Add { consumer, limit }),
            1 => (0..5_u32).prop_map(|consumer| Act::Remove { consumer }),
            6 => any::<usize>().prop_map(|at| Act::Deliver { at }),
            5 => any::<usize>().prop_map(|at| Act::Settle { at }),
            1 => (0..9_u32).prop_map(Act::Limit),
            1 => any::<bool>().prop_map(Act::Active),
            4 => any::<usize>().prop_map(|at| Act::Drained { at }),
        ]
    }

    const UNLIMITED: u32 = 12;

    /// The broker's side, which knows what each may be given.
    struct Seen {
        limits: BTreeMap<u32, u32>,
        credits: BTreeMap<u32, u32>,
        draining: Vec<u32>,
        held: Vec<u32>,
        channel_limit: u32,
        is_active: bool,
    }

    impl Seen {
        fn apply(&mut self, act: &Act, prefetch: &mut Prefetch) {
            match *act {
                // A number is used again once nothing is held under it.
                Act::Add { consumer, limit } => {
                    if !self.limits.contains_key(&consumer) && !self.held.contains(&consumer) {
                        prefetch.add(consumer, limit);
                        self.limits.insert(consumer, limit);
                        self.credits.insert(consumer, 0);
                    }
                }
                Act::Remove { consumer } => {
                    prefetch.remove(consumer);
                    self.limits.remove(&consumer);
                    self.credits.remove(&consumer);
                    self.draining.retain(|it| *it != consumer);
                }
                Act::Deliver { at } => {
                    let able: Vec<u32> =
                        self.credits.iter().filter(|(_, credit)| **credit > 0).map(|(it, _)| *it).collect();
                    if let Some(consumer) = able.get(at % able.len().max(1)) {
                        prefetch.deliver(*consumer);
                        self.held.push(*consumer);
                        *self.credits.get_mut(consumer).unwrap() -= 1;
                    }
                }
                Act::Settle { at } if !self.held.is_empty() => {
                    prefetch.settle(self.held.remove(at % self.held.len()));
                }
                Act::Limit(limit) => {
                    prefetch.set_channel_limit(limit);
                    self.channel_limit = limit;
                }
                Act::Active(active) => {
                    prefetch.set_active(active);
                    self.is_active = active;
                }
                Act::Drained { at } if !self.draining.is_empty() => {
                    let consumer = self.draining.remove(at % self.draining.len());
                    prefetch.drained(consumer);
                    self.credits.insert(consumer, 0);
                }
                Act::Settle { .. } | Act::Drained { .. } => {}
            }
            prefetch.balance(UNLIMITED, |consumer, grant| match grant {
                Grant::Add(more) => *self.credits.get_mut(&consumer).unwrap() += more,
                Grant::Withdraw => self.draining.push(consumer),
            });
        }
    }

    proptest! {
        #[test]
        fn no_bound_is_passed_and_nobody_waits_for_room_that_is_there(
            acts in proptest::collection::vec(act(), 0..150),
        ) {
            let mut prefetch = Prefetch::default();
            let (limits, credits, draining, held) = Default::default();
            let mut seen = Seen { limits, credits, draining, held, channel_limit: 0, is_active: true };
            for act in acts {
                seen.apply(&act, &mut prefetch);
                let Seen { limits, credits, draining, held, channel_limit, is_active } = &seen;
                if !draining.is_empty() {
                    continue;
                }
                let of = |consumer: u32| held.iter().filter(|it| **it == consumer).count() as u32;
                let (total, held, limit) = (credits.values().sum::<u32>(), held.len() as u32, *channel_limit);
                prop_assert!(limit == 0 || total == 0 || held + total <= limit);
                prop_assert!(*is_active || total == 0);
                let mut somebody_wants = false;
                for (consumer, limit) in limits {
                    let limit = if *limit == 0 { UNLIMITED } else { *limit };
                    prop_assert!(credits[consumer] == 0 || of(*consumer) + credits[consumer] <= limit);
                    somebody_wants |= of(*consumer) < limit;
                }
                let (has_room, is_served) = (limit == 0 || held < limit, total > 0 || !is_active);
                prop_assert!(!has_room || !somebody_wants || is_served, "somebody can be served");
            }
        }
    }
}
