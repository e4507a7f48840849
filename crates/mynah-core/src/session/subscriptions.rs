//! The subscriptions of a session, by their keys: sorted, in pieces of bounded length. Most sessions have a few, which
//! then take little more than they are; one that has many pays for a new one with a move inside its piece.

use alloc::vec::Vec;

use mynah_model::SubscriptionOptions;

use crate::Text;
use crate::packed::Packed;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Sorted, and none of them empty: pieces that are sorted.
    pieces: Vec<Vec<(Text, Packed)>>,
}

/// Where a key is, or where it is to come: a piece and a place in it.
type Place = (usize, Result<usize, usize>);

impl Subscriptions {
    /// Subscriptions of one piece.
    const PIECE: usize = 256;

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The key as it is stored, and the options.
    pub(super) fn get(&self, key: &[u8]) -> Option<(&Text, SubscriptionOptions)> {
        let (piece, Ok(at)) = self.place(key) else { return None };
        let (text, options) = &self.pieces[piece][at];
        Some((text, (*options).into()))
    }

    /// Replaces the options of a subscription. Returns whether it was there.
    pub(super) fn replace(&mut self, key: &[u8], options: SubscriptionOptions) -> bool {
        let (piece, Ok(at)) = self.place(key) else { return false };
        self.pieces[piece][at].1 = options.into();
        true
    }

    /// Adds a subscription or replaces its options.
    pub(super) fn insert(&mut self, key: &[u8], options: SubscriptionOptions) {
        let (mut piece, place) = self.place(key);
        let mut at = match place {
            Ok(at) => {
                self.pieces[piece][at].1 = options.into();
                return;
            }
            Err(at) => at,
        };
        if self.pieces.is_empty() {
            self.pieces.reserve_exact(1);
            self.pieces.push(Vec::with_capacity(1));
        } else if self.pieces[piece].len() == Self::PIECE {
            // What comes in order leaves full pieces behind.
            let kept = if at == Self::PIECE { at } else { Self::PIECE / 2 };
            let upper = self.pieces[piece].split_off(kept);
            self.pieces.insert(piece + 1, upper);
            if at >= kept {
                (piece, at) = (piece + 1, at - kept);
            }
        }
        self.pieces[piece].insert(at, (key.into(), options.into()));
    }

    /// Removes a subscription. Returns whether it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let (piece, Ok(at)) = self.place(key) else { return false };
        self.pieces[piece].remove(at);
        if self.pieces[piece].is_empty() {
            self.pieces.remove(piece);
        }
        if self.pieces.is_empty() {
            // Gives all memory back.
            *self = Self::default();
        }
        true
    }

    /// All, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], SubscriptionOptions)> + '_ {
        self.pieces.iter().flatten().map(|(key, options)| (&**key, (*options).into()))
    }

    fn place(&self, key: &[u8]) -> Place {
        // The last piece that begins at or before the key.
        let begins_after =
            self.pieces.partition_point(|piece| piece.first().is_some_and(|(first, _)| **first <= *key));
        let piece = begins_after.saturating_sub(1);
        let found =
            self.pieces.get(piece).map(|piece| piece.binary_search_by(|(other, _)| (**other).cmp(key)));
        (piece, found.unwrap_or(Err(0)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use mynah_model::Class;
    use proptest::prelude::*;

    use super::*;

    fn options(class: u8) -> SubscriptionOptions {
        SubscriptionOptions::new(Class::from_number(class).unwrap())
    }

    /// Keys in order, against it, and in none.
    fn keys() -> impl Strategy<Value = Vec<u16>> {
        let run = (0..2_000_u16, 0..900_u16, 0..3_u8).prop_map(|(first, len, order)| {
            let keys = (0..len).map(move |n| match order {
                0 => first + n,
                1 => first + len - n,
                _ => first.wrapping_add(n).wrapping_mul(40_503),
            });
            keys.collect::<Vec<_>>()
        });
        prop::collection::vec(run, 1..5).prop_map(|runs| runs.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn subscriptions_are_those_of_a_sorted_map(
            added in keys(), removed in keys(), class in 0..3_u8,
        ) {
            let (mut subscriptions, mut naive) = (Subscriptions::default(), BTreeMap::new());
            for (n, key) in added.iter().enumerate() {
                let options = options(n as u8 % 3);
                subscriptions.insert(&key.to_be_bytes(), options);
                naive.insert(key.to_be_bytes(), options);
            }
            for key in &removed {
                let key = key.to_be_bytes();
                prop_assert_eq!(subscriptions.remove(&key), naive.remove(&key).is_some());
                prop_assert!(subscriptions.get(&key).is_none() && !subscriptions.replace(&key, options(0)));
            }
            if let Some(key) = added.first().filter(|key| naive.contains_key(&key.to_be_bytes())) {
                prop_assert!(subscriptions.replace(&key.to_be_bytes(), options(class)));
                naive.insert(key.to_be_bytes(), options(class));
                let (text, found) = subscriptions.get(&key.to_be_bytes()).unwrap();
                prop_assert_eq!((&**text, found), (&key.to_be_bytes()[..], options(class)));
            }
            prop_assert_eq!(subscriptions.len(), naive.len());
            let expected = naive.iter().map(|(key, options)| (&key[..], *options));
            prop_assert!(subscriptions.iter().eq(expected));
            let of_pieces = |piece: &Vec<_>| !piece.is_empty() && piece.len() <= Subscriptions::PIECE;
            prop_assert!(subscriptions.pieces.iter().all(of_pieces));
        }
    }

    #[test]
    fn a_subscription_is_small_and_pieces_that_come_in_order_are_full() {
        assert_eq!(size_of::<(Text, Packed)>(), 16);
        let mut subscriptions = Subscriptions::default();
        for n in 0..1_000_u16 {
            subscriptions.insert(&n.to_be_bytes(), options(0));
        }
        assert_eq!(subscriptions.pieces.len(), 1_000_usize.div_ceil(Subscriptions::PIECE));
    }
}
