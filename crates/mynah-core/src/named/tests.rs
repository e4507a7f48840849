//! Tests of named queues: against the reference, and rule by rule.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use core::time::Duration;

use mynah_model::{
    Class, Credit, CreditChange, Header, Instant, Layout, LeaseSettlement, Message, MessageView, Overflow,
    QueueSettings, Reason, StreamSettings, TenantId,
};
use proptest::prelude::*;

use super::reference::{Item, Reference, State, selects};
use super::*;
use crate::WorkerId;

pub(super) fn key(number: u32) -> ConsumerKey {
    ConsumerKey { worker: WorkerId(0), slot: 1, generation: 0, number }
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// A message whose payload says which one it is, followed by some bytes.
pub(super) fn message(
    id: u64,
    priority: u8,
    more: usize,
    deadline: Option<Instant>,
    publisher: u64,
) -> Message {
    let mut native = vec![b't'];
    native.extend_from_slice(&id.to_be_bytes());
    native.resize(native.len() + more, b'.');
    let header = Header {
        tenant: TenantId::DEFAULT,
        layout: Layout { id: 0, version: 0 },
        class: Class::AtLeastOnce,
        retain: false,
        priority,
        topic: (0, 1),
        payload: (1, native.len() as u32),
        deadline,
        publisher: NonZeroU64::new(publisher),
    };
    MessageView { header: &header, native: &native }.to_message()
}

pub(super) fn id_of(message: &Message) -> u64 {
    u64::from_be_bytes(message.payload()[..8].try_into().unwrap())
}

#[derive(Clone, Debug)]
enum Op {
    Push { priority: u8, more: usize, lives: Option<u64>, publisher: u64 },
    Consume { number: u32, taking: Taking, credit: Credit },
    Cancel { number: u32, keep: bool, failed: bool },
    Flow { number: u32, change: CreditChange, drain: bool },
    Settle { number: u32, first: u64, count: u64, settlement: LeaseSettlement },
    HandOut { full: Option<u32> },
    Wake { number: u32 },
    Pass { millis: u64 },
    Enforce,
    Purge,
}

fn credit() -> impl Strategy<Value = Credit> {
    prop_oneof![
        4 => (0..4_u32, prop_oneof![0..60_u64, Just(u64::MAX)])
            .prop_map(|(messages, bytes)| Credit { messages, bytes }),
        1 => Just(Credit::UNLIMITED),
    ]
}

fn taking() -> impl Strategy<Value = Taking> {
    let rare = || prop::bool::weighted(0.1);
    let (spares, selects) = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (rare(), rare(), rare(), -1..2_i32, spares, selects, rare()).prop_map(
        |(settled, exclusive, polls, priority, spares, selects, times)| Taking {
            settled,
            exclusive,
            polls,
            priority,
            spares: spares.then_some(NonZeroU64::MIN),
            selects,
            times,
            offset: None,
        },
    )
}

fn settlement() -> impl Strategy<Value = LeaseSettlement> {
    let after = || prop_oneof![2 => Just(0_u64), 1 => 1..30_u64].prop_map(Duration::from_millis);
    prop_oneof![
        Just(LeaseSettlement::Accepted),
        after().prop_map(|after| LeaseSettlement::Released { after }),
        after().prop_map(|after| LeaseSettlement::Failed { after }),
        Just(LeaseSettlement::Rejected),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let number = || 0..4_u32;
    let lives = prop::option::weighted(0.3, 0..40_u64);
    let change = || prop_oneof![credit().prop_map(CreditChange::Add), credit().prop_map(CreditChange::Set)];
    prop_oneof![
        6 => (prop_oneof![0..12_u8, Just(u8::MAX)], 0..20_usize, lives, 0..3_u64).prop_map(
            |(priority, more, lives, publisher)| Op::Push { priority, more, lives, publisher }
        ),
        2 => (number(), taking(), credit())
            .prop_map(|(number, taking, credit)| Op::Consume { number, taking, credit }),
        1 => (number(), any::<bool>(), any::<bool>())
            .prop_map(|(number, keep, failed)| Op::Cancel { number, keep, failed }),
        2 => (number(), change(), any::<bool>())
            .prop_map(|(number, change, drain)| Op::Flow { number, change, drain }),
        3 => (number(), 0..8_u64, 0..4_u64, settlement()).prop_map(
            |(number, first, count, settlement)| Op::Settle { number, first, count, settlement }
        ),
        5 => prop::option::weighted(0.2, number()).prop_map(|full| Op::HandOut { full }),
        1 => number().prop_map(|number| Op::Wake { number }),
        2 => (0..25_u64).prop_map(|millis| Op::Pass { millis }),
        1 => Just(Op::Enforce),
        1 => prop::bool::weighted(0.1).prop_map(|purge| if purge { Op::Purge } else { Op::Enforce }),
    ]
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let overflow = prop_oneof![
        Just(Overflow::DropHead),
        Just(Overflow::RejectPublish),
        Just(Overflow::RejectPublishDeadLetter)
    ];
    let max = || prop::option::weighted(0.3, 0..6_u64);
    (max(), max(), overflow, 0..4_u8, 0..3_u32, any::<bool>(), max(), max()).prop_map(
        |(length_max, bytes_max, overflow, priority_max, limit, single, ttl, lease_max)| QueueSettings {
            length_max,
            bytes_max: bytes_max.map(|max| max * 20),
            overflow,
            priority_max: NonZeroU8::new(priority_max),
            delivery_limit: NonZeroU32::new(limit),
            single_active_consumer: single,
            message_ttl: ttl.map(|ttl| Duration::from_millis(ttl * 5)),
            lease_max: lease_max.map(|max| Duration::from_millis(5 + max * 5)),
            ..QueueSettings::DURABLE
        },
    )
}

/// The queue beside the reference.
struct Both {
    queue: NamedQueue,
    reference: Reference,
    now: Instant,
    /// What a store has of it.
    stored: BTreeMap<u64, Message>,
}

impl Both {
    fn push(&mut self, (priority, more, lives, publisher): (u8, usize, Option<u64>, u64)) {
        let (now, sequence) = (self.now, self.queue.next_sequence());
        let millis = Duration::from_millis;
        let deadline = lives.map(|lives| now + millis(lives));
        let own = self.queue.settings().message_ttl.map(|ttl| now + ttl);
        let message = message(sequence, priority, more, deadline, publisher);
        self.stored.insert(sequence, message.clone());
        self.queue.push(now, Arrival::new(message, true));
        self.reference.push(Item {
            sequence,
            priority,
            bytes: 8 + more as u64,
            publisher,
            expires: [deadline, own].into_iter().flatten().min(),
            state: State::Ready,
            acquired: 0,
            failed: 0,
        });
    }

    fn hand_out(&mut self, full: Option<u32>) {
        let has_room = |key: ConsumerKey| full != Some(key.number);
        let mut parked = Vec::new();
        loop {
            let note = |key: ConsumerKey| {
                if !has_room(key) {
                    parked.push(key);
                }
                has_room(key)
            };
            let wants = |key, message: &Message| selects(key, id_of(message));
            let paged = self.queue.ready.paged().map_or(0..0, |(from, to)| from..to);
            let Some(handout) = self.queue.hand_out(self.now, note, wants) else {
                match self.queue.wants_page() {
                    Some(from) => read_page(&mut self.queue, &self.stored, from),
                    None => break,
                }
                continue;
            };
            assert_eq!(id_of(&handout.message), handout.sequence);
            // What it passed over because its time is over is gone.
            self.reference.handed_out(self.now, &handout, has_room, &paged);
        }
        assert!(!self.queue.is_busy());
        self.reference.nothing_left(self.now, has_room, &parked);
    }

    fn apply(&mut self, op: Op) {
        let Self { queue, reference, now, .. } = self;
        match op {
            Op::Push { priority, more, lives, publisher } => {
                self.push((priority, more, lives, publisher));
            }
            Op::Consume { number, taking, credit } => {
                let done = queue.consume(*now, key(number), taking, credit).is_ok();
                assert_eq!(done, reference.consume(key(number), taking, credit));
            }
            Op::Cancel { number, keep, failed } => {
                queue.cancel(*now, key(number), keep, failed);
                reference.cancel(*now, key(number), keep, failed);
            }
            Op::Flow { number, change, drain } => {
                queue.flow(key(number), change, drain);
                reference.flow(key(number), change, drain);
            }
            Op::Settle { number, first, count, settlement } => {
                queue.settle(*now, key(number), first, first + count, settlement);
                reference.settle(*now, key(number), first, first + count, settlement);
            }
            Op::HandOut { full } => self.hand_out(full),
            Op::Wake { number } => {
                queue.wake(key(number));
                reference.wake(key(number));
            }
            Op::Pass { millis } => {
                *now = *now + Duration::from_millis(millis);
                while queue.handle_time(*now, 3) {}
                reference.handle_time(*now);
                // What comes back late goes at once.
                while queue.handle_time(*now, 3) {}
                reference.expire(*now);
            }
            Op::Enforce => {
                queue.enforce();
                reference.enforce();
                queue.let_go(u64::MAX);
            }
            Op::Purge => assert_eq!(queue.purge(), reference.purge()),
        }
    }

    fn compare(&mut self) {
        let Self { queue, reference, now, .. } = self;
        // When a late entry is found does not matter.
        while queue.handle_time(*now, 3) {}
        reference.handle_time(*now);
        reference.expire(*now);
        let ready: Vec<u64> = queue.ready.iter().map(|(place, _)| place.sequence).collect();
        let expected: Vec<u64> = reference.ready().iter().map(|item| item.sequence).collect();
        let paged = queue.ready.paged().map_or(0..0, |(from, to)| from..to);
        let in_memory: Vec<u64> = expected.iter().copied().filter(|number| !paged.contains(number)).collect();
        assert_eq!(ready, in_memory);
        assert_eq!(queue.ready_len(), expected.len());
        assert_eq!(queue.ready_bytes(), reference.ready().iter().map(|item| item.bytes).sum::<u64>());
        assert_eq!(queue.leased_len(), reference.count(|state| matches!(state, State::Leased(..))));
        assert_eq!(queue.delayed_len(), reference.count(|state| matches!(state, State::Delayed(_))));
        assert_eq!(queue.consumers() as usize, reference.consumers());
        let left = core::mem::take(&mut reference.left);
        let dropped = queue.take_dropped();
        assert!(dropped.iter().all(|dropped| id_of(&dropped.body.message) == dropped.sequence));
        let dropped_numbers: Vec<u64> = dropped.iter().map(|dropped| dropped.sequence).collect();
        let dropped: BTreeSet<_> =
            dropped.iter().map(|dropped| (dropped.sequence, dropped.reason.name())).collect();
        assert_eq!(
            dropped,
            left.dropped.iter().map(|(sequence, reason)| (*sequence, reason.name())).collect()
        );
        let unread = queue.take_gone_unread().map_or(0..0, |(from, to)| from..to);
        let unread = unread.filter(|number| left.gone.contains(number));
        let gone: BTreeSet<u64> =
            queue.take_gone().into_iter().chain(dropped_numbers).chain(unread).collect();
        self.stored.retain(|number, _| !gone.contains(number));
        assert_eq!(gone, left.gone.iter().copied().collect());
        let drained: BTreeSet<_> = queue.take_drained().into_iter().collect();
        assert_eq!(drained, left.drained.into_iter().collect());
        assert!(queue.due().is_none_or(|due| due > *now), "what is due was done");
    }
}

proptest! {
    #[test]
    fn a_queue_does_what_its_rules_say(settings in settings(), ops in prop::collection::vec(op(), 1..60)) {
        let now = at(1_000);
        let queue = NamedQueue::new(settings.clone(), 7, now);
        let mut both = Both { queue, reference: Reference::new(settings), now, stored: BTreeMap::new() };
        for op in ops {
            both.apply(op);
            both.compare();
        }
    }

    #[test]
    fn a_queue_whose_middle_a_store_holds_does_the_same(ops in prop::collection::vec(op(), 1..150)) {
        let (now, settings) = (at(1_000), QueueSettings::DURABLE);
        let queue = NamedQueue::new(settings.clone(), 7, now);
        let mut both = Both { queue, reference: Reference::new(settings), now, stored: BTreeMap::new() };
        for op in ops {
            let op = match op {
                Op::Push { priority, more, publisher, .. } => {
                    Op::Push { priority, more, publisher, lives: None }
                }
                Op::Consume { number, taking, credit } => {
                    let taking = Taking { selects: false, spares: None, ..taking };
                    Op::Consume { number, taking, credit }
                }
                op => op,
            };
            both.apply(op);
            both.compare();
        }
    }
}

/// Reads a page of a queue from what is stored of it.
fn read_page(queue: &mut NamedQueue, stored: &BTreeMap<u64, Message>, from: u64) {
    let page: Vec<_> =
        stored.range(from..).take(PAGE).map(|(number, m)| (*number, Some(m.clone()))).collect();
    queue.take_page(from, page.into_iter());
}

#[test]
fn a_long_queue_keeps_its_front_and_what_is_not_stored_in_memory() {
    let mut queue = plain();
    fill(&mut queue, 50);
    let stored: BTreeMap<u64, Message> = (0..50).map(|id| (id, message(id, 4, 0, None, 0))).collect();
    queue.let_go(39);
    assert_eq!((queue.in_memory(), queue.ready_len()), (4 + 10, 50));
    queue.consume(at(0), key(0), Taking { settled: true, ..Taking::default() }, Credit::UNLIMITED).unwrap();
    let mut got = Vec::new();
    while got.len() < 50 {
        got.extend(all(&mut queue).iter().map(|(_, number)| *number));
        assert!(queue.in_memory() < 20);
        match queue.wants_page() {
            Some(from) => read_page(&mut queue, &stored, from),
            None => break,
        }
    }
    assert_eq!(got, (0..50).collect::<Vec<_>>());
    assert_eq!((queue.in_memory(), queue.ready_bytes()), (0, 0));
}

#[test]
fn what_may_have_been_had_in_an_earlier_run_says_so_when_it_is_read_back() {
    let mut queue = plain();
    let stored: BTreeMap<u64, Message> = (0..20).map(|id| (id, message(id, 4, 0, None, 0))).collect();
    for (sequence, message) in &stored {
        let acquired = u32::from(*sequence < 15);
        queue.restore(*sequence, Arrival::new(message.clone(), true), None, None, (acquired, 0));
    }
    queue.assume_shown(15);
    queue.let_go(u64::MAX);
    assert_eq!((queue.in_memory(), queue.ready_len()), (4, 20));
    queue.consume(at(0), key(0), Taking::default(), Credit::UNLIMITED).unwrap();
    let mut acquired = Vec::new();
    loop {
        while let Some(handout) = queue.hand_out(at(0), |_| true, |_, _| true) {
            acquired.push((handout.sequence, handout.acquired));
        }
        let Some(from) = queue.wants_page() else { break };
        read_page(&mut queue, &stored, from);
    }
    assert_eq!(acquired, (0..20).map(|number| (number, u32::from(number < 15))).collect::<Vec<_>>());
}

#[test]
fn what_a_store_has_lost_holds_up_nothing() {
    let mut queue = plain();
    fill(&mut queue, 20);
    queue.let_go(u64::MAX);
    queue.consume(at(0), key(0), Taking::default(), Credit::UNLIMITED).unwrap();
    assert_eq!(all(&mut queue).len(), 4);
    let from = queue.wants_page().unwrap();
    assert_eq!((from, queue.wants_page()), (4, None), "asked once");
    queue.take_page(9, [(9, None)].into_iter());
    assert_eq!(queue.ready_len(), 16, "an answer to nobody's question");
    let page = [(4, None), (5, Some(message(5, 4, 0, None, 0))), (6, None)];
    assert_eq!(queue.wants_page(), Some(4));
    queue.take_page(4, page.into_iter());
    assert_eq!((all(&mut queue), queue.take_gone()), (vec![(0, 5)], vec![4, 6]));
    assert_eq!(queue.wants_page(), Some(7));
    queue.take_page(7, core::iter::empty());
    assert_eq!((queue.ready_len(), queue.ready_bytes(), queue.wants_page()), (0, 0, None));
}

#[test]
fn who_looks_has_not_seen_all_before_the_middle_is_read() {
    let mut queue = plain();
    fill(&mut queue, 10);
    let stored: BTreeMap<u64, Message> = (0..10).map(|id| (id, message(id, 4, 0, None, 0))).collect();
    queue.let_go(u64::MAX);
    queue.consume(at(0), key(0), Taking { selects: true, ..Taking::default() }, Credit::NONE).unwrap();
    queue.flow(key(0), CreditChange::Set(Credit { messages: 2, ..Credit::UNLIMITED }), true);
    let mut got = Vec::new();
    loop {
        let wants = |_, message: &Message| id_of(message) == 8;
        got.extend(queue.hand_out(at(0), |_| true, wants).map(|handout| handout.sequence));
        let Some(from) = queue.wants_page() else { break };
        assert_eq!(queue.take_drained(), []);
        read_page(&mut queue, &stored, from);
    }
    assert!(queue.hand_out(at(0), |_| true, |_, message| id_of(message) == 8).is_none());
    assert_eq!((got, queue.take_drained()), (vec![8], vec![key(0)]));
}

fn plain() -> NamedQueue {
    NamedQueue::new(QueueSettings::DURABLE, 0, at(0))
}

fn fill(queue: &mut NamedQueue, count: u64) {
    for _ in 0..count {
        let id = queue.next_sequence();
        queue.push(at(id), Arrival::new(message(id, 4, 0, None, 0), true));
    }
}

fn all(queue: &mut NamedQueue) -> Vec<(u32, u64)> {
    let next = || queue.hand_out(at(0), |_| true, |_, _| true).map(|h| (h.consumer.number, h.sequence));
    core::iter::from_fn(next).collect()
}

#[test]
fn consumers_take_turns() {
    let mut queue = plain();
    for number in 0..3 {
        queue.consume(at(0), key(number), Taking::default(), Credit::UNLIMITED).unwrap();
    }
    fill(&mut queue, 7);
    let who: Vec<u32> = all(&mut queue).iter().map(|(number, _)| *number).collect();
    assert_eq!(who, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn what_is_given_back_is_handed_out_in_its_place_again() {
    let mut queue = plain();
    let credit = Credit { messages: 2, ..Credit::UNLIMITED };
    queue.consume(at(0), key(0), Taking::default(), credit).unwrap();
    fill(&mut queue, 4);
    assert_eq!(all(&mut queue), [(0, 0), (0, 1)]);
    assert!(queue.cancel(at(0), key(0), false, true));
    queue.consume(at(0), key(1), Taking::default(), Credit::UNLIMITED).unwrap();
    let first = queue.hand_out(at(0), |_| true, |_, _| true).unwrap();
    assert_eq!((first.lease, first.sequence, first.acquired, first.failed), (1, 0, 1, 1));
    assert_eq!(all(&mut queue), [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn many_that_nobody_wants_do_not_hold_up_the_turn() {
    let mut queue = plain();
    let taking = Taking { selects: true, ..Taking::default() };
    queue.consume(at(0), key(0), taking, Credit::UNLIMITED).unwrap();
    fill(&mut queue, 2_500);
    let mut rounds = 0;
    let found = loop {
        let found = queue.hand_out(at(0), |_| true, |_, message| id_of(message) == 2_400);
        if found.is_some() || !queue.is_busy() {
            break found;
        }
        rounds += 1;
    };
    assert_eq!((found.map(|handout| handout.sequence), rounds), (Some(2_400), 2));
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut queue = plain();
    let exclusive = Taking { exclusive: true, ..Taking::default() };
    queue.consume(at(0), key(0), exclusive, Credit::NONE).unwrap();
    assert_eq!(queue.consume(at(0), key(1), Taking::default(), Credit::NONE), Err(Reason::Locked));
    queue.cancel(at(0), key(0), false, false);
    queue.consume(at(0), key(1), Taking::default(), Credit::NONE).unwrap();
    assert_eq!(queue.consume(at(0), key(0), exclusive, Credit::NONE), Err(Reason::Locked));
}

#[test]
fn a_queue_ends_when_its_last_consumer_has_gone_or_nobody_uses_it() {
    let auto = QueueSettings { auto_delete: true, ..QueueSettings::DURABLE };
    let mut queue = NamedQueue::new(auto, 0, at(0));
    assert!(!queue.is_over(at(9)));
    let poll = Taking { polls: true, ..Taking::default() };
    queue.consume(at(0), key(0), poll, Credit::NONE).unwrap();
    queue.cancel(at(0), key(0), false, false);
    assert!(!queue.is_over(at(9)), "who polls is no consumer");
    queue.consume(at(0), key(0), Taking::default(), Credit::NONE).unwrap();
    assert!(!queue.is_over(at(9)));
    queue.cancel(at(0), key(0), false, false);
    assert!(queue.is_over(at(9)));

    let expires = QueueSettings { expires: Some(Duration::from_millis(10)), ..QueueSettings::DURABLE };
    let mut queue = NamedQueue::new(expires, 0, at(0));
    assert_eq!(queue.due(), Some(at(10)));
    queue.consume(at(5), key(0), Taking::default(), Credit::NONE).unwrap();
    assert_eq!((queue.due(), queue.is_over(at(50))), (None, false));
    queue.cancel(at(60), key(0), false, false);
    assert!(!queue.is_over(at(69)) && queue.is_over(at(70)));
}

#[test]
fn a_stream_is_read_from_anywhere_and_nothing_leaves_it() {
    let stream = Some(StreamSettings::default());
    let mut queue = NamedQueue::new(QueueSettings { stream, ..QueueSettings::DURABLE }, 10, at(0));
    fill(&mut queue, 5); // 10 to 14, each at its number
    let starts = [
        (StreamStart::First, 10),
        (StreamStart::Last, 14),
        (StreamStart::Number(12), 12),
        (StreamStart::Number(3), 10),
        (StreamStart::Since(at(13)), 13),
        (StreamStart::Next, 15),
    ];
    for (number, (start, _)) in (0..).zip(starts) {
        let taking = Taking { offset: Some(start), ..Taking::default() };
        queue.consume(at(20), key(number), taking, Credit::UNLIMITED).unwrap();
    }
    fill(&mut queue, 1);
    let seen = all(&mut queue);
    for (number, (start, first)) in (0..).zip(starts) {
        let own: Vec<u64> = seen.iter().filter(|(who, _)| *who == number).map(|(_, s)| *s).collect();
        assert_eq!(own, (first..=15).collect::<Vec<_>>(), "{start:?}");
    }
    queue.settle(at(20), key(0), 1, 9, LeaseSettlement::Rejected);
    assert_eq!((queue.ready_len(), queue.leased_len(), queue.take_dropped().len()), (6, 0, 0));
}

#[test]
fn a_stream_keeps_what_it_is_to_keep() {
    let stream = StreamSettings { bytes_max: NonZeroU64::new(40), age_max: Some(Duration::from_millis(10)) };
    let settings = QueueSettings { stream: Some(stream), ..QueueSettings::DURABLE };
    let mut queue = NamedQueue::new(settings, 0, at(0));
    fill(&mut queue, 7);
    queue.enforce();
    assert_eq!((queue.ready_len(), queue.take_gone()), (5, vec![0, 1]));
    assert_eq!(queue.due(), Some(at(12)));
    assert!(!queue.handle_time(at(14), 100));
    assert_eq!((queue.take_gone(), queue.take_dropped().len()), (vec![2, 3, 4], 0));
}

#[test]
fn an_entry_of_an_earlier_run_keeps_its_place_and_its_counts() {
    let mut queue = NamedQueue::new(QueueSettings::DURABLE, 50, at(0));
    for sequence in [30, 20] {
        queue.restore(sequence, Arrival::new(message(sequence, 4, 0, None, 0), true), None, None, (2, 1));
    }
    assert_eq!(queue.next_sequence(), 50);
    queue.consume(at(0), key(0), Taking::default(), Credit::UNLIMITED).unwrap();
    let first = queue.hand_out(at(0), |_| true, |_, _| true).unwrap();
    assert_eq!((first.sequence, first.acquired, first.failed), (20, 2, 1));
    assert_eq!(all(&mut queue), [(0, 30)]);
}
