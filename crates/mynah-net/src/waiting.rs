//! Verifications that wait for a thread: bounded, and fair between the addresses that they come from.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue between workers and the threads that verify. Each address has its turn, however many wait behind one of them.
pub(crate) struct Waiting<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    max: usize,
}

struct State<T> {
    lines: HashMap<u128, VecDeque<T>>,
    /// The addresses in whose lines somebody waits, in the order of their turns.
    turns: VecDeque<u128>,
    len: usize,
    closed: bool,
}

impl<T> Waiting<T> {
    /// A queue for `max` at most.
    pub(crate) fn new(max: usize) -> Self {
        let state = State { lines: HashMap::new(), turns: VecDeque::new(), len: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), max }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one into the line of its address. Returns who has to go instead if there is no room: the last of the longest
    /// line, or this one.
    pub(crate) fn push(&self, address: Option<IpAddr>, item: T) -> Option<T> {
        let (mut state, key) = (self.lock(), line_of(address));
        if state.closed {
            return Some(item);
        }
        let gone = if state.len < self.max { None } else { state.shorten(key) };
        if gone.is_none() && state.len >= self.max {
            return Some(item);
        }
        let line = state.lines.entry(key).or_default();
        line.push_back(item);
        if line.len() == 1 {
            state.turns.push_back(key);
        }
        state.len += 1;
        drop(state);
        self.changed.notify_one();
        gone
    }

    /// Waits for the next; none when the queue is closed.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(item) = state.take() {
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody waits any longer.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.lines.clear();
        drop(state);
        self.changed.notify_all();
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes the last out of the longest line, if that is longer than the one of `key` would be.
    fn shorten(&mut self, key: u128) -> Option<T> {
        let own = self.lines.get(&key).map_or(0, VecDeque::len);
        let len_of = |key: &&u128| self.lines.get(*key).map_or(0, VecDeque::len);
        let longest = *self.turns.iter().max_by_key(len_of)?;
        let line = self.lines.get_mut(&longest).filter(|line| line.len() > own + 1)?;
        let item = line.pop_back();
        self.len -= usize::from(item.is_some());
        item
    }
}

/// Who shares a line: an address of IPv4, a site of IPv6, this machine.
fn line_of(address: Option<IpAddr>) -> u128 {
    match address.map(|address| address.to_canonical()) {
        None => 0,
        Some(IpAddr::V4(address)) => 1 << 64 | u128::from(address.to_bits()),
        Some(IpAddr::V6(address)) => 1 << 65 | address.to_bits() >> 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Option<IpAddr> {
        Some([192, 0, 2, number].into())
    }

    #[test]
    fn each_address_has_its_turn() {
        let waiting = Waiting::new(100);
        for number in 0..5 {
            assert_eq!(waiting.push(address(1), (1, number)), None);
        }
        waiting.push(address(2), (2, 0));
        waiting.push(None, (3, 0));
        waiting.push(address(2), (2, 1));
        let order: Vec<_> = (0..8).filter_map(|_| waiting.pop()).collect();
        assert_eq!(order, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3), (1, 4)]);
    }

    #[test]
    fn who_has_many_waiting_makes_room_for_who_has_few() {
        let waiting = Waiting::new(10);
        for number in 0..10 {
            assert_eq!(waiting.push(address(1), number), None);
        }
        assert_eq!(waiting.push(address(1), 10), Some(10));
        for number in 20..25 {
            assert_eq!(waiting.push(address(2), number), Some(29 - number));
        }
        assert_eq!(waiting.push(address(2), 25), Some(25), "now there are as many of each");
        let order: Vec<_> = (0..10).filter_map(|_| waiting.pop()).collect();
        assert_eq!(order, [0, 20, 1, 21, 2, 22, 3, 23, 4, 24]);
    }

    #[test]
    fn a_site_is_one_line() {
        let of = |text: &str| line_of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("0.0.0.0"), line_of(None));
    }

    #[test]
    fn who_waits_is_sent_away_when_the_queue_is_closed() {
        let waiting = std::sync::Arc::new(Waiting::<u8>::new(1));
        let other = std::sync::Arc::clone(&waiting);
        let thread = std::thread::spawn(move || other.pop());
        waiting.close();
        assert_eq!(thread.join().unwrap(), None);
        assert_eq!(waiting.push(None, 1), Some(1));
    }
}
