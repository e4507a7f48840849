//! A harness for stacks: virtual time, links that split, delay and cut, and pairs of endpoints.
//!
//! Everything follows from a seed: the same seed gives the same run. Time stands still while anything can happen at
//! the present instant, then leaps to the next arrival or deadline.
//!
//! ```
//! use mynah_model::Instant;
//! use mynah_stack::testing::{Endpoint, Pair};
//!
//! /// Says its greeting once and remembers what it heard.
//! #[derive(Default)]
//! struct Speaker { out: Vec<u8>, heard: Vec<u8> }
//!
//! impl Endpoint for Speaker {
//!     fn handle_input(&mut self, _now: Instant, input: &mut &[u8]) {
//!         self.heard.extend_from_slice(core::mem::take(input));
//!     }
//!     fn handle_end(&mut self, _now: Instant) {}
//!     fn transmit(&mut self, _now: Instant) -> Vec<u8> { core::mem::take(&mut self.out) }
//!     fn deadline(&self) -> Option<Instant> { None }
//!     fn handle_timeout(&mut self, _now: Instant) {}
//!     fn is_finished(&self) -> bool { false }
//! }
//!
//! let hello = Speaker { out: b"hello".to_vec(), ..Speaker::default() };
//! let mut pair = Pair::new(hello, Speaker::default(), 1);
//! pair.settle();
//! assert_eq!(pair.b.heard, b"hello");
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use mynah_model::Instant;

/// A sequence of numbers that looks random and follows from its seed (splitmix64, by Vigna).
#[derive(Clone, Debug)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number that is at least `from` and at most `to`; `from` if `to` is less.
    pub const fn between(&mut self, from: u64, to: u64) -> u64 {
        let number = self.next_number();
        if to <= from {
            return from;
        }
        match (to - from).checked_add(1) {
            Some(span) => from + number % span,
            None => number,
        }
    }

    /// A sequence of its own, so that what it is used for does not shift this one.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.next_number())
    }
}

/// Virtual time: moves when it is told to, never back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Instant);

impl Clock {
    /// A clock at the origin.
    #[must_use]
    pub const fn new() -> Self {
        Self(Instant::ZERO)
    }

    /// The present.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.0
    }

    /// Moves on by `duration`.
    pub fn advance(&mut self, duration: Duration) {
        self.0 = self.0 + duration;
    }

    /// Moves on to `instant`, unless that has passed.
    pub fn advance_to(&mut self, instant: Instant) {
        self.0 = self.0.max(instant);
    }
}

/// What a link hands to its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Some of the bytes that were sent, in their order.
    Bytes(Vec<u8>),
    /// The link is closed, and every byte before has been read.
    End,
}

/// One direction of a stream of bytes: keeps order, splits and joins what was sent, delays it, and can be cut.
#[derive(Clone, Debug)]
pub struct Link {
    sequence: Sequence,
    delay: RangeInclusive<Duration>,
    read_bytes_max: usize,
    /// What is under way, with its arrival: never earlier than what was sent before it.
    under_way: VecDeque<(Instant, Vec<u8>)>,
    closing: Option<Instant>,
    is_closed: bool,
    last_arrival: Instant,
}

impl Link {
    /// A link without delay, whose reads have 1 to 16 bytes.
    #[must_use]
    pub const fn new(sequence: Sequence) -> Self {
        Self {
            sequence,
            delay: Duration::ZERO..=Duration::ZERO,
            read_bytes_max: 16,
            under_way: VecDeque::new(),
            closing: None,
            is_closed: false,
            last_arrival: Instant::ZERO,
        }
    }

    /// The same with a delay that is drawn for each piece that is sent. Order is kept.
    #[must_use]
    pub fn with_delay(mut self, delay: RangeInclusive<Duration>) -> Self {
        self.delay = delay;
        self
    }

    /// The same with reads of 1 to `read_bytes_max` bytes.
    #[must_use]
    pub fn with_reads(mut self, read_bytes_max: usize) -> Self {
        self.read_bytes_max = read_bytes_max.max(1);
        self
    }

    /// Takes bytes to be brought to the other end. On a closed link they are lost.
    pub fn send(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.is_empty() || self.is_closed || self.closing.is_some() {
            return;
        }
        let arrival = self.draw_arrival(now);
        self.under_way.push_back((arrival, bytes.to_vec()));
    }

    /// Closes the link once what is under way has been read.
    pub fn close(&mut self, now: Instant) {
        if !self.is_closed && self.closing.is_none() {
            self.closing = Some(self.draw_arrival(now));
        }
    }

    /// Cuts the link: what is under way is lost.
    pub fn cut(&mut self) {
        self.under_way.clear();
        self.closing = None;
        self.is_closed = true;
    }

    /// Whether nothing comes any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// When there is something to read.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|&(at, _)| at).or(self.closing)
    }

    /// Reads what has arrived by `now`, a random part of it.
    pub fn read(&mut self, now: Instant) -> Option<Read> {
        if self.next_arrival()? > now {
            return None;
        }
        if self.under_way.is_empty() {
            self.cut();
            return Some(Read::End);
        }
        let wanted = self.sequence.between(1, self.read_bytes_max as u64) as usize;
        let mut bytes = Vec::new();
        while let Some((at, piece)) = self.under_way.front_mut()
            && *at <= now
            && bytes.len() < wanted
        {
            let count = piece.len().min(wanted - bytes.len());
            bytes.extend(piece.drain(..count));
            if piece.is_empty() {
                self.under_way.pop_front();
            }
        }
        Some(Read::Bytes(bytes))
    }

    fn draw_arrival(&mut self, now: Instant) -> Instant {
        let micros = |duration: &Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let delay = self.sequence.between(micros(self.delay.start()), micros(self.delay.end()));
        self.last_arrival = self.last_arrival.max(now + Duration::from_micros(delay));
        self.last_arrival
    }
}

/// One end of a connection, as the harness drives it.
pub trait Endpoint {
    /// Reads from `input`, advancing it past what was consumed; the rest is presented again with what follows.
    fn handle_input(&mut self, now: Instant, input: &mut &[u8]);

    /// Hears that the link to it is closed or cut.
    fn handle_end(&mut self, now: Instant);

    /// Takes the bytes that wait to be sent.
    fn transmit(&mut self, now: Instant) -> Vec<u8>;

    /// When it wants [`Endpoint::handle_timeout`].
    fn deadline(&self) -> Option<Instant>;

    /// Hears that its deadline has come. It has no deadline at or before `now` afterwards.
    fn handle_timeout(&mut self, now: Instant);

    /// Whether it wants the connection closed once what it transmitted has arrived.
    fn is_finished(&self) -> bool;
}

/// Two endpoints, a link each way, and a clock.
#[derive(Debug)]
pub struct Pair<A, B> {
    /// One end.
    pub a: A,
    /// The other end.
    pub b: B,
    /// Virtual time.
    pub clock: Clock,
    /// From `b` to `a`.
    pub to_a: Link,
    /// From `a` to `b`.
    pub to_b: Link,
    unread_a: Vec<u8>,
    unread_b: Vec<u8>,
    sequence: Sequence,
}

impl<A: Endpoint, B: Endpoint> Pair<A, B> {
    /// Two endpoints that are connected by links without delay.
    #[must_use]
    pub fn new(a: A, b: B, seed: u64) -> Self {
        let mut sequence = Sequence::new(seed);
        let (to_a, to_b) = (Link::new(sequence.fork()), Link::new(sequence.fork()));
        Self { a, b, clock: Clock::new(), to_a, to_b, unread_a: Vec::new(), unread_b: Vec::new(), sequence }
    }

    /// The present.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Cuts both links: what is under way is lost, and both ends hear of it.
    pub fn cut(&mut self) {
        let now = self.now();
        self.to_a.cut();
        self.to_b.cut();
        self.a.handle_end(now);
        self.b.handle_end(now);
    }

    /// Connects the ends again by new links with the delays and reads of the old ones.
    pub fn reconnect(&mut self) {
        let renew = |sequence: &mut Sequence, link: &Link| {
            Link::new(sequence.fork()).with_delay(link.delay.clone()).with_reads(link.read_bytes_max)
        };
        self.to_a = renew(&mut self.sequence, &self.to_a);
        self.to_b = renew(&mut self.sequence, &self.to_b);
        self.unread_a.clear();
        self.unread_b.clear();
    }

    /// Does the next thing, moving time to it. Returns false if there is nothing until `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let now = self.now();
        transmit(now, &mut self.a, &mut self.to_b);
        transmit(now, &mut self.b, &mut self.to_a);
        let next = |link: &Link, deadline: Option<Instant>| {
            [link.next_arrival(), deadline].into_iter().flatten().min()
        };
        let due_a = next(&self.to_a, self.a.deadline());
        let due_b = next(&self.to_b, self.b.deadline());
        let Some(due) = [due_a, due_b].into_iter().flatten().min() else { return false };
        if due > until {
            return false;
        }
        self.clock.advance_to(due);
        let now = self.now();
        if due_a == Some(due) {
            turn(now, &mut self.a, &mut self.to_a, &mut self.to_b, &mut self.unread_a);
        } else {
            turn(now, &mut self.b, &mut self.to_b, &mut self.to_a, &mut self.unread_b);
        }
        true
    }

    /// Runs until nothing is under way and nobody has anything to send. Deadlines that come before are met.
    pub fn settle(&mut self) {
        loop {
            let now = self.now();
            transmit(now, &mut self.a, &mut self.to_b);
            transmit(now, &mut self.b, &mut self.to_a);
            let arrivals = [self.to_a.next_arrival(), self.to_b.next_arrival()];
            let Some(arrival) = arrivals.into_iter().flatten().min() else { return };
            self.step(arrival.max(now));
        }
    }

    /// Runs until `until`, and moves time there.
    pub fn run_until(&mut self, until: Instant) {
        while self.step(until) {}
        self.clock.advance_to(until);
    }
}

fn transmit(now: Instant, end: &mut impl Endpoint, link: &mut Link) {
    let bytes = end.transmit(now);
    link.send(now, &bytes);
    if end.is_finished() {
        link.close(now);
    }
}

/// Lets an endpoint have what is due: a read, or else its timeout.
fn turn(now: Instant, end: &mut impl Endpoint, from: &mut Link, to: &mut Link, unread: &mut Vec<u8>) {
    match from.read(now) {
        Some(Read::Bytes(bytes)) => unread.extend_from_slice(&bytes),
        Some(Read::End) => {
            to.cut();
            return end.handle_end(now);
        }
        None => end.handle_timeout(now),
    }
    // A timeout may have been what the endpoint needed to read on.
    if !unread.is_empty() {
        let mut input = unread.as_slice();
        end.handle_input(now, &mut input);
        let consumed = unread.len() - input.len();
        unread.drain(..consumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drain(link: &mut Link, until: Instant) -> (Vec<usize>, Vec<u8>) {
        let (mut reads, mut all) = (Vec::new(), Vec::new());
        while let Some(Read::Bytes(bytes)) = link.read(until) {
            reads.push(bytes.len());
            all.extend(bytes);
        }
        (reads, all)
    }

    #[test]
    fn a_link_keeps_bytes_and_order_and_splits_by_its_seed() {
        let sent: Vec<u8> = (0..=255).collect();
        let run = |seed| {
            let mut link = Link::new(Sequence::new(seed)).with_reads(9);
            for piece in sent.chunks(31) {
                link.send(Instant::ZERO, piece);
            }
            drain(&mut link, Instant::ZERO)
        };
        let (reads, all) = run(1);
        assert_eq!(all, sent);
        assert!(reads.iter().all(|&n| (1..=9).contains(&n)) && reads.len() > 28);
        assert_eq!(run(1).0, reads);
        assert_ne!(run(2).0, reads);
    }

    #[test]
    fn delay_never_swaps_pieces() {
        for seed in 0..50 {
            let mut link = Link::new(Sequence::new(seed)).with_delay(MS..=10 * MS);
            for byte in 0..20 {
                link.send(Instant::from_micros(u64::from(byte) * 100), &[byte]);
            }
            assert_eq!(link.read(Instant::from_micros(999)), None);
            let (_, all) = drain(&mut link, Instant::from_micros(20_000));
            assert!(all.iter().copied().eq(0..20));
        }
    }

    #[test]
    fn a_close_lets_bytes_arrive_and_a_cut_does_not() {
        let mut link = Link::new(Sequence::new(0));
        link.send(Instant::ZERO, b"x");
        link.close(Instant::ZERO);
        link.send(Instant::ZERO, b"lost");
        assert_eq!(link.read(Instant::ZERO), Some(Read::Bytes(b"x".to_vec())));
        assert_eq!(link.read(Instant::ZERO), Some(Read::End));
        assert_eq!(link.read(Instant::ZERO), None);

        let mut link = Link::new(Sequence::new(0));
        link.send(Instant::ZERO, b"x");
        link.cut();
        assert_eq!(link.read(Instant::ZERO), None);
        assert!(link.is_closed());
    }

    /// Sends a byte at each of its deadlines, and finishes after the third.
    #[derive(Debug, Default)]
    struct Ticker {
        next: Option<Instant>,
        ticks: u8,
        out: Vec<u8>,
        heard: Vec<(u64, u8)>,
        ended: bool,
    }

    impl Endpoint for Ticker {
        fn handle_input(&mut self, now: Instant, input: &mut &[u8]) {
            // Reads pairs only, so that a rest stays unread.
            while let Some((pair, rest)) = input.split_first_chunk::<2>() {
                self.heard.push((now.as_micros() / 1_000, pair[0]));
                *input = rest;
            }
        }

        fn handle_end(&mut self, _now: Instant) {
            self.ended = true;
        }

        fn transmit(&mut self, _now: Instant) -> Vec<u8> {
            core::mem::take(&mut self.out)
        }

        fn deadline(&self) -> Option<Instant> {
            self.next
        }

        fn handle_timeout(&mut self, now: Instant) {
            self.ticks += 1;
            self.out.extend([self.ticks, 0]);
            self.next = (self.ticks < 3).then(|| now + 10 * MS);
        }

        fn is_finished(&self) -> bool {
            self.ticks == 3
        }
    }

    #[test]
    fn a_pair_meets_deadlines_and_delays_in_virtual_time() {
        let ticker = Ticker { next: Some(Instant::ZERO + 5 * MS), ..Ticker::default() };
        let mut pair = Pair::new(ticker, Ticker::default(), 3);
        pair.to_b = Link::new(Sequence::new(4)).with_delay(2 * MS..=2 * MS);
        pair.run_until(Instant::ZERO + 20 * MS);
        assert_eq!(pair.b.heard, [(7, 1), (17, 2)]);
        assert_eq!(pair.now(), Instant::ZERO + 20 * MS);
        pair.run_until(Instant::ZERO + 100 * MS);
        assert_eq!(pair.b.heard, [(7, 1), (17, 2), (27, 3)]);
        assert!(pair.b.ended && !pair.a.ended);
    }

    #[test]
    fn a_cut_is_heard_at_both_ends_and_a_new_link_works() {
        let mut pair = Pair::new(Ticker::default(), Ticker::default(), 3);
        pair.a.out = b"a_".to_vec();
        pair.settle();
        pair.cut();
        assert!(pair.a.ended && pair.b.ended);
        pair.a.out = b"b_".to_vec();
        pair.settle();
        pair.reconnect();
        pair.a.out = b"c_".to_vec();
        pair.settle();
        assert_eq!(pair.b.heard, [(0, b'a'), (0, b'c')]);
    }
}
