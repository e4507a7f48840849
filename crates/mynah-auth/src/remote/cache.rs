//! Answers that are kept for a while, found by a keyed hash of the question: neither memory nor a collision that
//! somebody prepared gives a password away.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::SystemRandom;

/// The hash of a question.
pub(super) type Key = [u8; 32];

/// Answers, at most a fixed number of them; the oldest goes for a new one.
pub(super) struct Cache<T> {
    key: Option<hmac::Key>,
    size: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_key: HashMap<Key, Entry<T>>,
    /// In the order of arrival. An entry that was replaced has a later place too.
    arrivals: VecDeque<(Key, u64)>,
    next: u64,
}

struct Entry<T> {
    value: T,
    until: Instant,
    arrival: u64,
}

impl<T: Clone> Cache<T> {
    /// A cache of `size` answers; of none if the system has no randomness for its key.
    pub(super) fn new(size: usize) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        let entries = Entries { by_key: HashMap::new(), arrivals: VecDeque::new(), next: 0 };
        Self { size: if key.is_some() { size } else { 0 }, key, entries: Mutex::new(entries) }
    }

    /// The hash of a question, of which each part may be there or not.
    pub(super) fn key<'p>(&self, parts: impl IntoIterator<Item = Option<&'p [u8]>>) -> Key {
        let Some(key) = &self.key else { return Key::default() };
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            // With its length before each part, no two questions are the same bytes.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.unwrap_or_default());
        }
        let mut found = Key::default();
        found.copy_from_slice(context.sign().as_ref());
        found
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<T> {
        let entries = self.lock();
        entries.by_key.get(key).filter(|entry| now < entry.until).map(|entry| entry.value.clone())
    }

    pub(super) fn put(&self, key: Key, value: T, kept: Duration, now: Instant) {
        let Some(until) = now.checked_add(kept).filter(|_| self.size > 0 && !kept.is_zero()) else { return };
        let mut entries = self.lock();
        let Entries { by_key, arrivals, next } = &mut *entries;
        by_key.insert(key, Entry { value, until, arrival: *next });
        arrivals.push_back((key, *next));
        *next += 1;
        // What was replaced since stands here still, but its entry has a later arrival.
        while arrivals.len() > self.size
            && let Some((oldest, arrival)) = arrivals.pop_front()
        {
            if by_key.get(&oldest).is_some_and(|entry| entry.arrival == arrival) {
                by_key.remove(&oldest);
            }
        }
    }

    /// Forgets all answers.
    pub(super) fn clear(&self) {
        let mut entries = self.lock();
        entries.by_key.clear();
        entries.arrivals.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Cache<T> {
    /// Says only how many answers there may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let (cache, now) = (Cache::new(10), Instant::now());
        let key = cache.key([Some(&b"ada"[..])]);
        cache.put(key, 1, SECOND, now);
        assert_eq!(cache.get(&key, now), Some(1));
        assert_eq!(cache.get(&key, now + SECOND), None);
        cache.put(key, 2, SECOND, now + SECOND);
        assert_eq!(cache.get(&key, now + SECOND), Some(2));
        cache.put(key, 3, Duration::ZERO, now + SECOND);
        assert_eq!(cache.get(&key, now + SECOND), Some(2));
        cache.clear();
        assert_eq!(cache.get(&key, now + SECOND), None);
    }

    #[test]
    fn questions_are_told_apart_part_by_part() {
        let (cache, other) = (Cache::<()>::new(1), Cache::<()>::new(1));
        let key = |parts: &[Option<&'static [u8]>]| cache.key(parts.iter().copied());
        let keys = [
            key(&[Some(b"ab"), Some(b"c")]),
            key(&[Some(b"a"), Some(b"bc")]),
            key(&[Some(b"abc"), None]),
            key(&[Some(b"abc"), Some(b"")]),
            key(&[None, Some(b"abc")]),
            other.key([Some(&b"ab"[..]), Some(b"c")]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
    }

    #[test]
    fn the_oldest_goes_for_a_new_one() {
        let (cache, now) = (Cache::new(3), Instant::now());
        let keys: Vec<Key> = (0..5_u8).map(|number| cache.key([Some(&[number][..])])).collect();
        for _ in 0..10 {
            cache.put(keys[0], 0, SECOND, now);
        }
        for (number, key) in keys.iter().enumerate().skip(1) {
            cache.put(*key, number, SECOND, now);
        }
        let found: Vec<_> = keys.iter().filter_map(|key| cache.get(key, now)).collect();
        assert_eq!(found, [2, 3, 4]);
        assert_eq!(cache.lock().by_key.len(), 3);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let (cache, now) = (Cache::new(0), Instant::now());
        cache.put(Key::default(), (), SECOND, now);
        assert_eq!(cache.get(&Key::default(), now), None);
    }
}
