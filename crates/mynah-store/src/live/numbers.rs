//! What is known of the entries or leases of one queue, by their numbers. They come in order and mostly go in order: so
//! they stand in a row, and only what comes late stands in a tree.

use std::collections::{BTreeMap, VecDeque};

use super::recents::Recent;

/// A row shorter than this keeps the places of what has gone.
const ROW_MIN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// In order; a place without anything is of one that has gone.
    row: VecDeque<(u64, Option<Recent>)>,
    /// Places in the row with something.
    held: usize,
    /// What came after a higher number.
    late: BTreeMap<u64, Recent>,
}

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0 && self.late.is_empty()
    }

    /// Where a number stands in the row.
    fn find(&self, number: u64) -> Option<usize> {
        let ((first, _), (last, _)) = (self.row.front()?, self.row.back()?);
        if number > *last {
            return None;
        }
        // Mostly none is missing.
        let near = usize::try_from(number.checked_sub(*first)?).ok()?;
        match self.row.get(near) {
            Some((there, _)) if *there == number => Some(near),
            _ => self.row.binary_search_by_key(&number, |(number, _)| *number).ok(),
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Recent> {
        match self.find(number) {
            Some(place) => self.row[place].1.as_ref(),
            None => self.late.get(&number),
        }
    }

    /// Says what is so of a number. Returns what was said of it before.
    pub(super) fn insert(&mut self, number: u64, recent: Recent) -> Option<Recent> {
        if self.row.back().is_none_or(|(last, _)| *last < number) {
            if let Some(late) = self.late.get_mut(&number) {
                return Some(core::mem::replace(late, recent));
            }
            self.row.push_back((number, Some(recent)));
            self.held += 1;
            return None;
        }
        let Some(place) = self.find(number) else { return self.late.insert(number, recent) };
        let old = self.row[place].1.replace(recent);
        self.held += usize::from(old.is_none());
        old
    }

    /// Nothing is said of a number any more.
    pub(super) fn remove(&mut self, number: u64) -> Option<Recent> {
        let Some(place) = self.find(number) else { return self.late.remove(&number) };
        let old = self.row[place].1.take()?;
        self.held -= 1;
        while self.row.front().is_some_and(|(_, recent)| recent.is_none()) {
            self.row.pop_front();
        }
        while self.row.back().is_some_and(|(_, recent)| recent.is_none()) {
            self.row.pop_back();
        }
        if self.row.len() > ROW_MIN && self.held < self.row.len() / 4 {
            self.row.retain(|(_, recent)| recent.is_some());
        }
        Some(old)
    }

    /// What is known from a number on to the one before another, in order; `None`: to the last.
    pub(super) fn range(&self, from: u64, to: Option<u64>) -> impl Iterator<Item = (u64, &Recent)> {
        let is_before = move |number: u64| to.is_none_or(|to| number < to);
        let start = self.row.partition_point(|(number, _)| *number < from);
        let row = self.row.range(start..).take_while(move |(number, _)| is_before(*number));
        let mut row = row.filter_map(|(number, recent)| Some((*number, recent.as_ref()?))).peekable();
        let late = self.late.range(from..).take_while(move |(number, _)| is_before(**number));
        let mut late = late.map(|(number, recent)| (*number, recent)).peekable();
        core::iter::from_fn(move || match (row.peek(), late.peek()) {
            (Some((one, _)), Some((other, _))) if one > other => late.next(),
            (Some(_), _) => row.next(),
            (None, _) => late.next(),
        })
    }

    /// Hands everything over in order.
    pub(super) fn into_ordered(self) -> impl Iterator<Item = (u64, Recent)> {
        let Self { row, mut late, .. } = self;
        let row = row.into_iter().filter_map(|(number, recent)| Some((number, recent?)));
        if late.is_empty() {
            return Ordered::Row(row);
        }
        late.extend(row);
        Ordered::Late(late.into_iter())
    }
}

/// One of two iterators.
enum Ordered<R, L> {
    Row(R),
    Late(L),
}

impl<T, R: Iterator<Item = T>, L: Iterator<Item = T>> Iterator for Ordered<R, L> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Self::Row(row) => row.next(),
            Self::Late(late) => late.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::recents::{Bytes, Stored};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn recent(byte: u8) -> Recent {
        Recent { value: Some(Bytes::from(&[byte][..])), stored: Stored::Absent }
    }

    fn byte(recent: &Recent) -> u8 {
        recent.value.as_deref().unwrap()[0]
    }

    proptest! {
        #[test]
        fn numbers_are_like_a_map(steps in vec((0..4u8, 0..200u64, any::<u8>()), 0..400)) {
            let (mut numbers, mut model) = (Numbers::default(), BTreeMap::new());
            for (at, (step, number, value)) in steps.into_iter().enumerate() {
                // Half of them come in order.
                let number = if step % 2 == 0 { at as u64 } else { number };
                let old = if step < 3 {
                    (numbers.insert(number, recent(value)), model.insert(number, value))
                } else {
                    (numbers.remove(number), model.remove(&number))
                };
                prop_assert_eq!(old.0.as_ref().map(byte), old.1);
                prop_assert_eq!(numbers.get(number).map(byte), model.get(&number).copied());
                prop_assert_eq!(numbers.is_empty(), model.is_empty());
                let some = numbers.range(number, Some(number + 50)).map(|(number, recent)| (number, byte(recent)));
                prop_assert!(some.eq(model.range(number..number + 50).map(|(number, byte)| (*number, *byte))));
            }
            let all = numbers.into_ordered().map(|(number, recent)| (number, byte(&recent)));
            prop_assert!(all.eq(model));
        }
    }
}
