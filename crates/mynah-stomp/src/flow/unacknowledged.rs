//! The messages of one subscription that are under way, and the credit that follows from them.
//!
//! Credit counts down at the broker with each delivery, and stops at nothing. What is left of it is reckoned here too, so
//! that what is given back never grows beyond the prefetch: a message may be larger than the octets that were left.

use alloc::collections::VecDeque;

use mynah_stack::Credit;

/// Deliveries that wait for an acknowledgement.
#[derive(Clone, Debug)]
pub(crate) struct Unacknowledged {
    limit: Credit,
    /// What the broker has left to give.
    left: Credit,
    /// Deliveries in their order: the lease and its octets.
    waiting: VecDeque<(u64, u32)>,
    /// What waits.
    under_way: Credit,
}

/// Leases that an acknowledgement settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Unacknowledged {
    pub(crate) const fn new(limit: Credit) -> Self {
        Self { limit, left: limit, waiting: VecDeque::new(), under_way: Credit::NONE }
    }

    /// Notes a delivery. Numbers come without a gap.
    pub(crate) fn delivered(&mut self, lease: u64, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.waiting.push_back((lease, octets));
        self.left.messages = self.left.messages.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(u64::from(octets));
        self.under_way.messages += 1;
        self.under_way.bytes += u64::from(octets);
    }

    /// Whether a delivery waits.
    pub(crate) fn waits(&self, lease: u64) -> bool {
        self.waiting.binary_search_by_key(&lease, |&(lease, _)| lease).is_ok()
    }

    /// What an acknowledgement of a delivery that waits settles: it alone, or all before it too.
    pub(crate) fn span(&self, lease: u64, is_cumulative: bool) -> Settled {
        let first = self.waiting.front().map_or(lease, |&(first, _)| first);
        Settled { first: if is_cumulative { first } else { lease }, last: lease }
    }

    /// Notes what has been settled.
    pub(crate) fn settle(&mut self, settled: Settled) {
        let first = self.waiting.partition_point(|&(lease, _)| lease < settled.first);
        let end = self.waiting.partition_point(|&(lease, _)| lease <= settled.last);
        for (_, octets) in self.waiting.drain(first..end.max(first)) {
            self.under_way.messages -= 1;
            self.under_way.bytes -= u64::from(octets);
        }
    }

    /// The credit to be given, once it is worth a command: half of the prefetch, or any if nothing is left.
    pub(crate) fn top_up(&mut self) -> Option<Credit> {
        let wanted = Credit {
            messages: self.limit.messages.saturating_sub(self.under_way.messages),
            bytes: self.limit.bytes.saturating_sub(self.under_way.bytes),
        };
        let more = Credit {
            messages: wanted.messages.saturating_sub(self.left.messages),
            bytes: wanted.bytes.saturating_sub(self.left.bytes),
        };
        let is_worth_it = more.messages >= self.limit.messages.div_ceil(2)
            || more.bytes >= self.limit.bytes.div_ceil(2)
            || (self.left.messages == 0 && more.messages > 0)
            || (self.left.bytes == 0 && more.bytes > 0);
        if !is_worth_it {
            return None;
        }
        self.left.messages += more.messages;
        self.left.bytes += more.bytes;
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMIT: Credit = Credit { messages: 4, bytes: 100 };

    #[test]
    fn an_acknowledgement_is_of_one_or_of_all_before() {
        let mut under_way = Unacknowledged::new(LIMIT);
        for lease in 1..=4 {
            under_way.delivered(lease, 10);
        }
        under_way.settle(under_way.span(3, false));
        assert!(!under_way.waits(3) && under_way.waits(2) && under_way.waits(4));
        assert_eq!(under_way.span(4, true), Settled { first: 1, last: 4 });
        under_way.settle(under_way.span(2, true));
        assert_eq!(under_way.span(4, true), Settled { first: 4, last: 4 });
        assert!(!under_way.waits(0) && !under_way.waits(1) && !under_way.waits(5));
    }

    /// A naive broker: gives what credit allows, to a consumer that acknowledges as it is told.
    #[derive(Debug, Clone, Copy)]
    enum Deed {
        Deliver(u16),
        Ack { pick: usize, is_cumulative: bool },
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            (0u16..150).prop_map(Deed::Deliver),
            (any::<usize>(), any::<bool>())
                .prop_map(|(pick, is_cumulative)| Deed::Ack { pick, is_cumulative }),
        ];
        prop::collection::vec(deed, 0..80)
    }

    proptest! {
        #[test]
        fn credit_never_passes_the_prefetch_and_never_dries_up(deeds in deeds()) {
            let mut under_way = Unacknowledged::new(LIMIT);
            let (mut credit, mut next, mut held) = (LIMIT, 1, Vec::<(u64, u64)>::new());
            for deed in deeds {
                match deed {
                    Deed::Deliver(octets) if credit.messages > 0 && credit.bytes > 0 => {
                        credit.messages -= 1;
                        credit.bytes = credit.bytes.saturating_sub(u64::from(octets));
                        under_way.delivered(next, usize::from(octets));
                        held.push((next, u64::from(octets)));
                        next += 1;
                    }
                    Deed::Ack { pick, is_cumulative } if !held.is_empty() => {
                        let (lease, _) = held[pick % held.len()];
                        prop_assert!(under_way.waits(lease));
                        let span = under_way.span(lease, is_cumulative);
                        held.retain(|&(held, _)| if is_cumulative { held > lease } else { held != lease });
                        under_way.settle(span);
                        prop_assert!(!under_way.waits(lease));
                        if let Some(more) = under_way.top_up() {
                            credit.messages += more.messages;
                            credit.bytes += more.bytes;
                        }
                    }
                    _ => {}
                }
                let octets: u64 = held.iter().map(|(_, octets)| octets).sum();
                prop_assert!(credit.messages + held.len() as u32 <= LIMIT.messages);
                prop_assert!(credit.bytes == 0 || credit.bytes + octets <= LIMIT.bytes);
                prop_assert!(!held.is_empty() || (credit.messages > 0 && credit.bytes > 0));
                prop_assert!(held.iter().all(|&(lease, _)| under_way.waits(lease)));
            }
        }
    }
}
