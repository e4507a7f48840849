//! Confirms of a channel (RabbitMQ): publications are numbered from 1, and each is acknowledged or refused once. What
//! becomes known together is told together.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Publications of a channel that wait to be confirmed.
#[derive(Clone, Debug, Default)]
pub struct Confirms {
    /// From `told + 1` on.
    states: VecDeque<State>,
    /// All up to this one have been told of.
    told: u64,
    /// Those whose result became known since the last drain, in the order in which it did.
    fresh: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Known { accepted: bool },
    Told,
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Which publication.
    pub delivery_tag: u64,
    /// All before it too.
    pub multiple: bool,
    /// By ack, or else by nack.
    pub accepted: bool,
}

impl Confirms {
    /// Numbers a publication.
    pub fn publish(&mut self) -> u64 {
        self.states.push_back(State::Waiting);
        self.told + self.states.len() as u64
    }

    /// How many the publisher has not been told of; what is told out of its turn counts until its turn comes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether the publisher has been told of all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Notes what became of a publication. What is said twice, or of one that was never made, changes nothing.
    pub fn settle(&mut self, tag: u64, accepted: bool) {
        let at = tag.checked_sub(self.told + 1).and_then(|at| usize::try_from(at).ok());
        if let Some(state) = at.and_then(|at| self.states.get_mut(at))
            && *state == State::Waiting
        {
            *state = State::Known { accepted };
            self.fresh.push(tag);
        }
    }

    /// Tells what has become known, in as few words as it takes.
    pub fn drain(&mut self, mut tell: impl FnMut(Confirm)) {
        if self.fresh.is_empty() {
            return;
        }
        let mut run: Option<Confirm> = None;
        while let Some(state) = self.states.pop_front_if(|state| *state != State::Waiting) {
            self.told += 1;
            let State::Known { accepted } = state else { continue };
            run = match run {
                Some(run) if run.accepted == accepted => {
                    Some(Confirm { delivery_tag: self.told, multiple: true, accepted })
                }
                other => {
                    other.into_iter().for_each(&mut tell);
                    Some(Confirm { delivery_tag: self.told, multiple: false, accepted })
                }
            };
        }
        run.into_iter().for_each(&mut tell);
        // Behind one that still waits each has to be named.
        for tag in core::mem::take(&mut self.fresh) {
            let at = tag.checked_sub(self.told + 1).map(|at| at as usize);
            if let Some(state) = at.and_then(|at| self.states.get_mut(at))
                && let State::Known { accepted } = *state
            {
                *state = State::Told;
                tell(Confirm { delivery_tag: tag, multiple: false, accepted });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn drained(confirms: &mut Confirms) -> Vec<(u64, bool, bool)> {
        let mut told = Vec::new();
        confirms.drain(|confirm| told.push((confirm.delivery_tag, confirm.multiple, confirm.accepted)));
        told
    }

    #[test]
    fn a_row_is_told_in_one_word_and_a_gap_is_not_jumped() {
        let mut confirms = Confirms::default();
        for tag in 1..=6 {
            assert_eq!(confirms.publish(), tag);
        }
        for tag in [3, 1, 2, 5] {
            confirms.settle(tag, true);
        }
        assert_eq!(drained(&mut confirms), [(3, true, true), (5, false, true)]);
        confirms.settle(4, false);
        confirms.settle(6, true);
        confirms.settle(6, false);
        assert_eq!(drained(&mut confirms), [(4, false, false), (6, false, true)]);
        assert!(confirms.is_empty() && drained(&mut confirms) == vec![]);
    }

    proptest! {
        //= amqp-0-9-1 [rabbitmq.confirm-order]
        #[test]
        fn each_publication_is_told_of_once_and_as_it_was(
            acts in proptest::collection::vec((0..4_u8, 1..80_u64, any::<bool>()), 0..200),
        ) {
            let (mut confirms, mut last) = (Confirms::default(), 0);
            let (mut known, mut heard) = (BTreeMap::new(), BTreeMap::new());
            for (act, tag, accepted) in acts {
                match act {
                    0 | 1 => {
                        last += 1;
                        prop_assert_eq!(confirms.publish(), last);
                    }
                    2 => {
                        confirms.settle(tag, accepted);
                        if tag <= last {
                            known.entry(tag).or_insert(accepted);
                        }
                    }
                    _ => {
                        for (tag, multiple, accepted) in drained(&mut confirms) {
                            // As a client understands it: all that it has not heard of yet.
                            let from = if multiple { 1 } else { tag };
                            prop_assert!(multiple || !heard.contains_key(&tag), "twice");
                            for tag in from..=tag {
                                heard.entry(tag).or_insert(accepted);
                            }
                        }
                        prop_assert_eq!(&heard, &known);
                    }
                }
            }
        }
    }
}
