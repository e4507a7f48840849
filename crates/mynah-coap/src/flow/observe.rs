//! Observations of one peer (RFC 7641): who is to be notified of what, and what waits for each.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use mynah_model::{Class, DeliveryId, Instant, Message};
use mynah_stack::Frame;

use crate::wire::{BlockSize, MessageId, Token};

/// What an observer is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The state: what is newer takes the place of what waits.
    State,
    /// Every message, each confirmable.
    Stream,
}

/// A notification that waits.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The encoding of the delivery, as far as it was copied.
    pub(crate) head: Vec<u8>,
    /// The payload, if it was shared.
    pub(crate) tail: Option<(Message, Range<usize>)>,
    pub(crate) retain: bool,
    pub(crate) delivery: Option<DeliveryId>,
}

impl Kept {
    /// What the notification has at most beside a head, a token and options.
    fn len(&self) -> usize {
        self.head.len() + self.tail.as_ref().map_or(0, |(_, range)| range.len())
    }

    pub(crate) fn new(frame: &Frame, retain: bool, delivery: Option<DeliveryId>) -> Self {
        let tail = frame.body().map(|(message, range)| (message.clone(), range));
        Self { head: frame.head.clone(), tail, retain, delivery }
    }
}

/// One observer: a token of the peer, and what it observes.
#[derive(Debug)]
pub(crate) struct Observation {
    /// Names it here, and its subscriptions to the core.
    pub(crate) number: u32,
    pub(crate) token: Token,
    /// One topic, or the filters of a selection.
    pub(crate) names: Vec<Box<[u8]>>,
    /// Whether it is a selection, whose notifications say which topic they are of.
    pub(crate) is_selection: bool,
    pub(crate) mode: Mode,
    pub(crate) class_max: Class,
    /// The Content-Format of the first answer, which stays (section 4.2).
    pub(crate) format: Option<u16>,
    pub(crate) block: BlockSize,
    /// Whether the first answer has gone out.
    pub(crate) is_begun: bool,
    /// When the observer last acknowledged something, or asked.
    pub(crate) confirmed_at: Instant,
    /// The number of the last notification that wants no acknowledgement.
    pub(crate) last_non: Option<MessageId>,
    /// The last sequence number.
    sequence: u32,
    waiting: VecDeque<Kept>,
}

impl Observation {
    pub(crate) fn new(number: u32, token: Token, now: Instant) -> Self {
        Self {
            number,
            token,
            names: Vec::new(),
            is_selection: false,
            mode: Mode::State,
            class_max: Class::AtLeastOnce,
            format: None,
            block: BlockSize::MAX,
            is_begun: false,
            confirmed_at: now,
            last_non: None,
            sequence: 1,
            waiting: VecDeque::new(),
        }
    }

    /// The next sequence number, of 24 bits (section 4.4).
    pub(crate) const fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1) & 0x00ff_ffff;
        self.sequence
    }

    /// Lets a notification wait. Returns what gave way to it: in state mode whatever was there, in stream mode the oldest
    /// of `stream_max`.
    pub(crate) fn wait(&mut self, kept: Kept, stream_max: usize) -> Option<Kept> {
        let max = if self.mode == Mode::State { 1 } else { stream_max };
        let given_way = if self.waiting.len() >= max { self.waiting.pop_front() } else { None };
        self.waiting.push_back(kept);
        given_way
    }

    pub(crate) fn take_waiting(&mut self) -> Option<Kept> {
        self.waiting.pop_front()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes of what waits the longest, at most.
    pub(crate) fn next_bytes(&self) -> usize {
        self.waiting.front().map_or(0, Kept::len)
    }
}

/// All observations of a peer.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    all: Vec<Observation>,
    last_number: u32,
    /// Whose turn it is to be notified.
    turn: usize,
}

impl Observations {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A number that no observation has.
    pub(crate) fn free_number(&mut self) -> u32 {
        loop {
            self.last_number = self.last_number % mynah_model::SubscriptionId::MAX + 1;
            if self.by_number(self.last_number).is_none() {
                return self.last_number;
            }
        }
    }

    pub(crate) fn add(&mut self, observation: Observation) {
        if self.all.capacity() == 0 {
            // Most observers have one.
            self.all.reserve_exact(1);
        }
        self.all.push(observation);
    }

    pub(crate) fn by_number(&mut self, number: u32) -> Option<&mut Observation> {
        self.all.iter_mut().find(|observation| observation.number == number)
    }

    pub(crate) fn by_token(&mut self, token: &[u8]) -> Option<&mut Observation> {
        self.all.iter_mut().find(|observation| observation.token.as_bytes() == token)
    }

    /// The observation whose last unconfirmable notification this was.
    pub(crate) fn by_last_non(&self, id: MessageId) -> Option<u32> {
        self.all.iter().find(|o| o.last_non == Some(id)).map(|o| o.number)
    }

    /// The observations that have one of these names.
    pub(crate) fn with_names(&self, names: &[Box<[u8]>]) -> Vec<u32> {
        let has = |observation: &&Observation| observation.names.iter().any(|name| names.contains(name));
        self.all.iter().filter(has).map(|observation| observation.number).collect()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Observation> {
        let at = self.all.iter().position(|observation| observation.number == number)?;
        Some(self.all.remove(at))
    }

    pub(crate) fn take_all(&mut self) -> Vec<Observation> {
        core::mem::take(&mut self.all)
    }

    /// The next observation that has something waiting and may be notified, in turn.
    pub(crate) fn next_waiting(&mut self, may: impl Fn(&Observation) -> bool) -> Option<u32> {
        let len = self.all.len();
        let start = self.turn % len.max(1);
        let found = (0..len).map(|step| (start + step) % len).find(|at| {
            let observation = &self.all[*at];
            observation.is_begun && observation.has_waiting() && may(observation)
        })?;
        self.turn = found + 1;
        Some(self.all[found].number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(byte: u8) -> Kept {
        Kept { head: Vec::from([byte]), tail: None, retain: false, delivery: None }
    }

    fn observation(number: u32, mode: Mode) -> Observation {
        Observation {
            mode,
            is_begun: true,
            ..Observation::new(number, Token::new(&[number as u8]), Instant::ZERO)
        }
    }

    #[test]
    fn state_keeps_the_newest_and_a_stream_the_latest() {
        let mut state = observation(1, Mode::State);
        let mut stream = observation(2, Mode::Stream);
        for byte in 0..5 {
            let gone = state.wait(kept(byte), 3).map(|k| k.head[0]);
            assert_eq!(gone, byte.checked_sub(1));
            let gone = stream.wait(kept(byte), 3).map(|k| k.head[0]);
            assert_eq!(gone, byte.checked_sub(3));
        }
        assert_eq!(state.take_waiting().unwrap().head, [4]);
        assert!(!state.has_waiting());
        assert_eq!(stream.take_waiting().unwrap().head, [2]);
    }

    //= rfc7641 [4.4-1]
    #[test]
    fn sequence_numbers_grow_and_wrap_at_24_bits() {
        let mut observation = observation(1, Mode::State);
        let first = observation.next_sequence();
        assert_eq!(observation.next_sequence(), first + 1);
        observation.sequence = 0x00ff_ffff;
        assert_eq!(observation.next_sequence(), 0);
    }

    #[test]
    fn observers_are_notified_in_turn() {
        let mut all = Observations::default();
        for _ in 0..3 {
            let number = all.free_number();
            let mut observation = observation(number, Mode::Stream);
            observation.wait(kept(0), 9);
            observation.wait(kept(1), 9);
            all.add(observation);
        }
        let mut order = Vec::new();
        while let Some(number) = all.next_waiting(|observation| observation.number != 2) {
            order.push(number);
            all.by_number(number).unwrap().take_waiting();
        }
        assert_eq!(order, [1, 3, 1, 3]);
        assert_eq!(all.by_token(&[2]).unwrap().number, 2);
        assert_eq!(all.remove(2).unwrap().number, 2);
        assert_eq!(all.free_number(), 4);
    }
}
