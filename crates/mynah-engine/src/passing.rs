//! Entries that come and go before anybody has taken the changes: nothing of them needs to be stored.

use mynah_core::SessionRef;

use crate::journal::Note;

/// Entries of one session that are gone, by their numbers, which adjoin.
#[derive(Debug)]
struct Span {
    session: SessionRef,
    from: u64,
    to: u64,
    /// The first of them that came since changes were taken. Numbers are given in order: so did all after it.
    fresh: u64,
}

/// What of some notes concerns entries that have come and gone in them.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// In the order of sessions and numbers.
    spans: Vec<Span>,
    /// Where the last one was found: mostly the next is there as well.
    near: usize,
}

impl Passing {
    /// Looks through all notes that are taken.
    pub(crate) fn look_through(&mut self, notes: &[Note]) {
        self.spans.clear();
        self.near = 0;
        for note in notes {
            if let Note::Settled(session, from, to) = *note {
                self.spans.push(Span { session, from, to, fresh: u64::MAX });
            }
        }
        if self.spans.is_empty() {
            return;
        }
        self.spans.sort_unstable_by_key(|span| (span.session, span.from));
        self.spans.dedup_by(|next, span| {
            let adjoins = next.session == span.session && next.from <= span.to;
            if adjoins {
                span.to = span.to.max(next.to);
            }
            adjoins
        });
        for note in notes {
            if let Note::Enqueued(session, entry) = note
                && let Some(span) = self.find(*session, entry.sequence)
            {
                span.fresh = span.fresh.min(entry.sequence);
            }
        }
    }

    /// What of a note is to be stored: all of it, or less, or nothing.
    pub(crate) fn rest(&mut self, note: &Note) -> Rest {
        let (session, number) = match *note {
            Note::Enqueued(session, ref entry) => (session, entry.sequence),
            Note::Leased(session, sequence, _) | Note::Taken(session, sequence, _) => (session, sequence),
            Note::Settled(session, from, to) => {
                let fresh = self.find(session, from).map_or(u64::MAX, |span| span.fresh);
                return match to.min(fresh) {
                    end if end <= from => Rest::Nothing,
                    end if end < to => Rest::Settled(session, from, end),
                    _ => Rest::All,
                };
            }
            _ => return Rest::All,
        };
        let passes = self.find(session, number).is_some_and(|span| number >= span.fresh);
        if passes { Rest::Nothing } else { Rest::All }
    }

    /// The span that a number is in.
    fn find(&mut self, session: SessionRef, number: u64) -> Option<&mut Span> {
        let has = |span: &Span| span.session == session && (span.from..span.to).contains(&number);
        if !self.spans.get(self.near).is_some_and(has) {
            let after = self.spans.partition_point(|span| (span.session, span.from) <= (session, number));
            self.near = after.checked_sub(1)?;
        }
        self.spans.get_mut(self.near).filter(|span| has(span))
    }
}

/// What of a note is to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    All,
    /// Fewer entries are to be called gone.
    Settled(SessionRef, u64, u64),
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Enqueued;
    use crate::sys;
    use mynah_core::WorkerId;
    use mynah_model::{Class, DeliveryId, TenantId};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const fn session(slot: u32) -> SessionRef {
        SessionRef { worker: WorkerId(0), slot, generation: 1 }
    }

    fn enqueued(slot: u32, sequence: u64) -> Note {
        let message = sys::message(TenantId::DEFAULT, b"a", b"", false);
        let class = Class::AtLeastOnce;
        let entry = Enqueued { sequence, message, class, retain: false, via: None, delivery: None };
        Note::Enqueued(session(slot), entry)
    }

    const fn settled(slot: u32, from: u64, to: u64) -> Note {
        Note::Settled(session(slot), from, to)
    }

    fn rests(notes: &[Note]) -> Vec<Rest> {
        let mut passing = Passing::default();
        passing.look_through(notes);
        notes.iter().map(|note| passing.rest(note)).collect()
    }

    #[test]
    fn an_entry_that_came_and_went_leaves_nothing() {
        let delivery = DeliveryId::new(1).unwrap();
        let leased = Note::Leased(session(1), 5, delivery);
        let notes = [enqueued(1, 5), leased, enqueued(1, 6), enqueued(2, 5), settled(1, 5, 6)];
        let (all, nothing) = (Rest::All, Rest::Nothing);
        assert_eq!(rests(&notes), [nothing, Rest::Nothing, all, Rest::All, Rest::Nothing]);
    }

    #[test]
    fn what_was_stored_before_is_called_gone() {
        let taken = Note::Taken(session(1), 4, DeliveryId::new(1).unwrap());
        let notes = [taken, enqueued(1, 5), settled(1, 3, 5), settled(1, 5, 6), settled(2, 5, 6)];
        assert_eq!(rests(&notes), [Rest::All, Rest::Nothing, Rest::All, Rest::Nothing, Rest::All]);
        let notes = [enqueued(1, 5), settled(1, 3, 6)];
        assert_eq!(rests(&notes), [Rest::Nothing, Rest::Settled(session(1), 3, 5)]);
    }

    /// The entries that a store has after these notes.
    fn store(entries: &mut BTreeSet<(SessionRef, u64)>, notes: &[Note], rest: impl FnMut(&Note) -> Rest) {
        for (note, rest) in notes.iter().zip(notes.iter().map(rest)) {
            match (note, rest) {
                (_, Rest::Nothing) => {}
                (Note::Enqueued(session, entry), _) => assert!(entries.insert((*session, entry.sequence))),
                (_, Rest::Settled(session, from, to)) => {
                    entries.retain(|entry| entry.0 != session || !(from..to).contains(&entry.1));
                }
                (&Note::Settled(session, from, to), _) => {
                    entries.retain(|entry| entry.0 != session || !(from..to).contains(&entry.1));
                }
                _ => {}
            }
        }
    }

    proptest! {
        #[test]
        fn the_store_ends_with_the_same_entries(takings in vec(vec((0..3u32, 0..4u64, any::<bool>()), 0..40), 1..5)) {
            let (mut passing, mut next) = (Passing::default(), [0; 3]);
            let (mut stored, mut model) = (BTreeSet::new(), BTreeSet::new());
            for steps in takings {
                let mut notes = Vec::new();
                for (slot, count, comes) in steps {
                    let last = &mut next[slot as usize];
                    if comes {
                        notes.extend((*last..*last + count).map(|number| enqueued(slot, number)));
                        // Some numbers are never stored.
                        *last += count + count % 2;
                    } else {
                        let from = last.saturating_sub(count * 2);
                        notes.push(settled(slot, from, (from + count).min(*last)));
                    }
                }
                store(&mut model, &notes, |_| Rest::All);
                passing.look_through(&notes);
                store(&mut stored, &notes, |note| passing.rest(note));
                prop_assert_eq!(&stored, &model);
            }
        }
    }
}
