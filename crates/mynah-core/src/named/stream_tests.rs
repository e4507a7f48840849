//! Streams against a naive reference: a list of entries, and for each reader the number that it wants next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::time::Duration;

use mynah_model::{Credit, CreditChange, Instant, LeaseSettlement, QueueSettings, StreamSettings};
use proptest::prelude::*;

use super::tests::{at, id_of, key, message};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Push { more: usize },
    Read { number: u32, start: Option<StreamStart>, credit: Credit },
    Cancel { number: u32 },
    Flow { number: u32, messages: u32 },
    Settle { number: u32, settlement: LeaseSettlement },
    HandOut { full: Option<u32> },
    Pass { millis: u64 },
    Purge,
    Restart,
}

fn start() -> impl Strategy<Value = Option<StreamStart>> {
    prop_oneof![
        Just(None),
        Just(Some(StreamStart::First)),
        Just(Some(StreamStart::Last)),
        Just(Some(StreamStart::Next)),
        (0..40_u64).prop_map(|number| Some(StreamStart::Number(number))),
        (0..200_u64).prop_map(|millis| Some(StreamStart::Since(at(millis)))),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let number = || 0..4_u32;
    let credit = || (0..6_u32, prop_oneof![0..80_u64, Just(u64::MAX)]);
    let settlement = prop_oneof![Just(LeaseSettlement::Accepted), Just(LeaseSettlement::Rejected)];
    prop_oneof![
        8 => (0..20_usize).prop_map(|more| Op::Push { more }),
        4 => (number(), start(), credit()).prop_map(|(number, start, (messages, bytes))| {
            Op::Read { number, start, credit: Credit { messages, bytes } }
        }),
        1 => number().prop_map(|number| Op::Cancel { number }),
        2 => (number(), 0..9_u32).prop_map(|(number, messages)| Op::Flow { number, messages }),
        1 => (number(), settlement).prop_map(|(number, settlement)| Op::Settle { number, settlement }),
        5 => prop::option::weighted(0.2, number()).prop_map(|full| Op::HandOut { full }),
        3 => (0..30_u64).prop_map(|millis| Op::Pass { millis }),
        1 => prop::bool::weighted(0.2).prop_map(|purge| if purge { Op::Purge } else { Op::Restart }),
    ]
}

fn settings() -> impl Strategy<Value = StreamSettings> {
    let max = || prop::option::weighted(0.5, 1..12_u64);
    (max(), max()).prop_map(|(bytes, age)| StreamSettings {
        bytes_max: bytes.and_then(|bytes| NonZeroU64::new(bytes * 20)),
        age_max: age.map(|age| Duration::from_millis(age * 10)),
    })
}

#[derive(Clone, Copy, Debug)]
struct Item {
    number: u64,
    bytes: u64,
    came: Instant,
}

/// A stream, by its rules written out.
#[derive(Debug, Default)]
struct Reference {
    items: Vec<Item>,
    next: u64,
    /// What a reader wants next, and what it may get.
    readers: BTreeMap<u32, (u64, Credit)>,
    gone: BTreeSet<u64>,
}

impl Reference {
    fn from(&self, start: Option<StreamStart>) -> u64 {
        match start {
            Some(StreamStart::First) => 0,
            Some(StreamStart::Last) => self.items.last().map_or(self.next, |item| item.number),
            Some(StreamStart::Next) | None => self.next,
            Some(StreamStart::Number(number)) => number,
            Some(StreamStart::Since(time)) => {
                self.items.iter().find(|item| item.came >= time).map_or(self.next, |item| item.number)
            }
        }
    }

    /// What a reader gets until it may get no more.
    fn read(&mut self, number: u32) -> Vec<u64> {
        let mut read = Vec::new();
        let Some((next, credit)) = self.readers.get_mut(&number) else { return read };
        for item in self.items.iter().filter(|item| item.number >= *next) {
            if credit.messages == 0 || credit.bytes == 0 {
                break;
            }
            credit.messages -= 1;
            if credit.bytes != u64::MAX {
                credit.bytes = credit.bytes.saturating_sub(item.bytes);
            }
            read.push(item.number);
        }
        if let Some(last) = read.last() {
            *next = last + 1;
        }
        read
    }

    /// What is too old goes, and the oldest of what is too much, but never the last for that.
    fn retain(&mut self, now: Instant, settings: StreamSettings) {
        let is_old = |item: &Item| settings.age_max.is_some_and(|age| item.came + age <= now);
        while self.items.first().is_some_and(is_old) {
            self.gone.insert(self.items.remove(0).number);
        }
        let max = settings.bytes_max.map_or(u64::MAX, NonZeroU64::get);
        while self.items.len() > 1 && self.items.iter().map(|item| item.bytes).sum::<u64>() > max {
            self.gone.insert(self.items.remove(0).number);
        }
    }
}

struct Both {
    queue: NamedQueue,
    reference: Reference,
    settings: StreamSettings,
    now: Instant,
}

impl Both {
    fn new(settings: StreamSettings) -> Self {
        Self { queue: stream(settings, 0), reference: Reference::default(), settings, now: at(0) }
    }

    fn push(&mut self, more: usize) {
        let message = message(self.reference.next, 4, more, None, 0);
        let bytes = message.payload().len() as u64;
        let (number, came) = self.queue.push(self.now, Arrival::new(message, true));
        assert_eq!((number, came), (self.reference.next, Some(self.now)));
        self.reference.items.push(Item { number, bytes, came: self.now });
        self.reference.next += 1;
    }

    /// Hands out to all but the one whose connection is `full`.
    fn hand_out(&mut self, full: Option<u32>) {
        let mut got: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let has_room = |key: ConsumerKey| full != Some(key.number);
        while let Some(handout) = self.queue.hand_out(self.now, has_room, |_, _| true) {
            assert_eq!((id_of(&handout.message), handout.is_held), (handout.sequence, false));
            got.entry(handout.consumer.number).or_default().push(handout.sequence);
        }
        for number in (0..4).filter(|number| full != Some(*number)) {
            let got = got.remove(&number).unwrap_or_default();
            assert_eq!(got, self.reference.read(number), "reader {number}");
        }
        assert!(got.is_empty());
        if let Some(full) = full {
            self.queue.wake(key(full));
        }
    }

    /// A new stream from what is stored of the old one: what is there, and when it came.
    fn restart(&mut self) {
        let Self { reference, settings, .. } = self;
        self.queue = stream(*settings, reference.next);
        for Item { number, bytes, came } in &reference.items {
            let message = message(*number, 4, *bytes as usize - 8, None, 0);
            self.queue.restore(*number, Arrival::new(message, true), Some(*came), None, (0, 0));
        }
        reference.readers.clear();
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Push { more } => self.push(more),
            Op::Read { number, start, credit } => {
                let taking = Taking { offset: start, ..Taking::default() };
                if self.queue.consume(self.now, key(number), taking, credit).is_ok() {
                    let next = self.reference.from(start);
                    assert!(self.reference.readers.insert(number, (next, credit)).is_none());
                }
            }
            Op::Cancel { number } => {
                let was_there = self.queue.cancel(self.now, key(number), false, true);
                assert_eq!(was_there, self.reference.readers.remove(&number).is_some());
            }
            Op::Flow { number, messages } => {
                let credit = Credit { messages, ..Credit::UNLIMITED };
                self.queue.flow(key(number), CreditChange::Set(credit), false);
                if let Some(reader) = self.reference.readers.get_mut(&number) {
                    reader.1 = credit;
                }
            }
            Op::Settle { number, settlement } => self.queue.settle(self.now, key(number), 1, 9, settlement),
            Op::HandOut { full } => self.hand_out(full),
            Op::Pass { millis } => self.now = self.now + Duration::from_millis(millis),
            Op::Purge => {
                let purged = core::mem::take(&mut self.reference.items);
                assert_eq!(self.queue.purge(), purged.len() as u64);
                self.reference.gone.extend(purged.iter().map(|item| item.number));
            }
            Op::Restart => self.restart(),
        }
    }

    fn compare(&mut self) {
        while self.queue.handle_time(self.now, 3) {}
        self.queue.enforce();
        self.reference.retain(self.now, self.settings);
        let there: Vec<u64> = self.queue.ready.iter().map(|(place, _)| place.sequence).collect();
        assert_eq!(there, self.reference.items.iter().map(|item| item.number).collect::<Vec<_>>());
        let gone: BTreeSet<u64> = self.queue.take_gone().into_iter().collect();
        assert_eq!(gone, core::mem::take(&mut self.reference.gone));
        assert_eq!((self.queue.leased_len(), self.queue.take_dropped().len()), (0, 0));
    }
}

fn stream(settings: StreamSettings, first: u64) -> NamedQueue {
    let settings = QueueSettings { stream: Some(settings), ..QueueSettings::DURABLE };
    NamedQueue::new(settings, first, at(0))
}

proptest! {
    #[test]
    fn a_stream_does_what_its_rules_say(settings in settings(), ops in prop::collection::vec(op(), 1..80)) {
        let mut both = Both::new(settings);
        for op in ops {
            both.apply(op);
            both.compare();
        }
        // Whoever comes now can read all that is left.
        both.apply(Op::Restart);
        both.apply(Op::Read { number: 0, start: Some(StreamStart::First), credit: Credit::UNLIMITED });
        both.apply(Op::HandOut { full: None });
    }
}
