//! The queue against a naive model.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::TenantId;
use proptest::prelude::*;

use super::*;
use crate::testing::message;

const BOUNDS: QueueBounds = QueueBounds { messages_max: 6, bytes_max: 2_000 };

fn entry(name: &str, class: Class, deadline: Option<u64>) -> Entry {
    let deadline = deadline.map(Instant::from_micros);
    Entry::new(message(TenantId::DEFAULT, "t", name, deadline), class, false, None)
}

fn id(number: u16) -> DeliveryId {
    DeliveryId::new(number).unwrap()
}

fn name(entry: &Entry) -> String {
    String::from_utf8(entry.message.payload().to_vec()).unwrap()
}

#[derive(Clone, Debug)]
enum Act {
    Push(Class, Option<u64>, usize),
    LeaseNew(Class, usize),
    LeaseNext(u16),
    Settle(usize),
    Receive(usize),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let class = (0..3_u8).prop_map(|n| Class::from_number(n).unwrap());
    let confirmed = (1..3_u8).prop_map(|n| Class::from_number(n).unwrap());
    prop_oneof![
        4 => (class, prop::option::of(0..60_u64), 0..900_usize).prop_map(|(c, d, n)| Act::Push(c, d, n)),
        2 => (confirmed, 0..900_usize).prop_map(|(c, n)| Act::LeaseNew(c, n)),
        4 => (0..6_u16).prop_map(Act::LeaseNext),
        3 => (0..8_usize).prop_map(Act::Settle),
        2 => (0..8_usize).prop_map(Act::Receive),
        1 => (0..20_u64).prop_map(Act::Wait),
    ]
}

/// The same queue in lists, with identifiers counted up.
#[derive(Default)]
struct Naive {
    ready: Vec<Entry>,
    /// Identifier, entry, whether received.
    leased: Vec<(u16, Entry, bool)>,
    next: u32,
    dropped: usize,
    expired: usize,
}

impl Naive {
    fn bytes(&self) -> usize {
        let leased = self.leased.iter().filter(|l| !l.2).map(|l| l.1.cost_bytes());
        self.ready.iter().map(Entry::cost_bytes).chain(leased).sum()
    }

    fn push(&mut self, entry: Entry) {
        if entry.cost_bytes() > BOUNDS.bytes_max {
            self.dropped += 1;
            return;
        }
        self.ready.push(entry);
        while !self.ready.is_empty()
            && (self.ready.len() > BOUNDS.messages_max || self.bytes() > BOUNDS.bytes_max)
        {
            self.ready.remove(0);
            self.dropped += 1;
        }
    }

    fn lease(&mut self, entry: Entry) -> u16 {
        let number = (self.next % 65_535 + 1) as u16;
        self.next += 1;
        self.leased.push((number, entry, false));
        number
    }

    fn lease_next(&mut self, now: Instant, window: u16) -> Option<(Option<u16>, String)> {
        while self.ready.first()?.is_expired(now) {
            self.ready.remove(0);
            self.expired += 1;
        }
        let first = self.ready.first()?.clone();
        if !first.class.is_confirmed() {
            self.ready.remove(0);
            return Some((None, name(&first)));
        }
        if self.leased.len() >= usize::from(window) {
            return None;
        }
        self.ready.remove(0);
        let text = name(&first);
        Some((Some(self.lease(first)), text))
    }
}

fn leases(queue: &Queue) -> Vec<(u16, Option<String>)> {
    let state = |state| match state {
        LeaseState::Sent(entry) => Some(name(entry)),
        LeaseState::Received => None,
    };
    queue.leased(None).map(|(id, lease)| (id.number(), state(lease))).collect()
}

/// One step of queue and model.
fn step(queue: &mut Queue, naive: &mut Naive, act: Act, at: usize, now: &mut u64) {
    let sized = |n: usize| alloc::format!("{at}:{}", "x".repeat(n));
    let pick = |naive: &Naive, n: usize| naive.leased.get(n).map_or(60_000, |l| l.0);
    match act {
        Act::Push(class, deadline, n) => {
            let e = entry(&sized(n), class, deadline);
            let before = naive.dropped;
            naive.push(e.clone());
            assert_eq!(queue.push(e), naive.dropped - before);
        }
        Act::LeaseNew(class, n) => {
            let e = entry(&sized(n), class, None);
            let fits = naive.ready.is_empty()
                && naive.leased.len() < 4
                && naive.bytes() + e.cost_bytes() <= BOUNDS.bytes_max;
            let expected = fits.then(|| naive.lease(e.clone()));
            assert_eq!(queue.lease_new(e, 4).ok().map(DeliveryId::number), expected);
        }
        Act::LeaseNext(window) => {
            let expected = naive.lease_next(Instant::from_micros(*now), window);
            let leased = queue.lease_next(Instant::from_micros(*now), window);
            let leased = leased.map(|l| (l.id().map(DeliveryId::number), name(l.entry())));
            assert_eq!(leased, expected);
        }
        Act::Settle(n) => {
            let number = pick(naive, n);
            let known = naive.leased.iter().any(|l| l.0 == number);
            naive.leased.retain(|l| l.0 != number);
            assert_eq!(queue.settle(id(number)), known);
        }
        Act::Receive(n) => {
            let number = pick(naive, n);
            let lease = naive.leased.iter_mut().find(|l| l.0 == number && l.1.class == Class::ExactlyOnce);
            assert_eq!(queue.receive(id(number)), lease.is_some());
            if let Some(lease) = lease {
                lease.2 = true;
            }
        }
        Act::Wait(micros) => *now += micros,
    }
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(acts in prop::collection::vec(act(), 1..120)) {
        let (mut queue, mut naive, mut now) = (Queue::new(BOUNDS), Naive::default(), 0);
        let mut expired = 0;
        for (at, act) in acts.into_iter().enumerate() {
            step(&mut queue, &mut naive, act, at, &mut now);
            expired += queue.take_expired();
            let expected: Vec<_> =
                naive.leased.iter().map(|(n, e, received)| (*n, (!received).then(|| name(e)))).collect();
            prop_assert_eq!(leases(&queue), expected);
            prop_assert_eq!(queue.ready_len(), naive.ready.len());
            prop_assert_eq!(queue.leased_len(), naive.leased.len());
            prop_assert_eq!(queue.bytes(), naive.bytes());
            prop_assert_eq!(queue.is_drained(), naive.ready.is_empty());
        }
        prop_assert_eq!(expired, naive.expired);
        prop_assert_eq!(queue.clear(), naive.ready.len() + naive.leased.iter().filter(|l| !l.2).count());
        prop_assert!(queue.is_empty());
    }
}

#[test]
fn identifiers_wrap_and_are_never_taken_twice() {
    let mut queue = Queue::new(QueueBounds { messages_max: 10, bytes_max: usize::MAX });
    let e = entry("x", Class::AtLeastOnce, None);
    let stuck: Vec<_> = (0..3).map(|_| queue.lease_new(e.clone(), u16::MAX).unwrap()).collect();
    assert!(queue.settle(stuck[1]));
    for _ in 0..200_000 {
        let id = queue.lease_new(e.clone(), u16::MAX).unwrap();
        assert!(id != stuck[0] && id != stuck[2]);
        assert!(queue.settle(id));
    }
    let last = queue.lease_new(e, u16::MAX).unwrap();
    let leased = |queue: &Queue, after| queue.leased(after).map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(leased(&queue, None), [stuck[0], stuck[2], last], "the oldest come first");
    assert!(matches!(queue.lease(stuck[2]), Some(LeaseState::Sent(_))));
    assert!(queue.settle(stuck[0]) && !queue.settle(stuck[0]));
    assert_eq!(leased(&queue, Some(stuck[0])), [stuck[2], last]);
    assert_eq!(leased(&queue, Some(stuck[2])), [last]);
    assert!(queue.settle(stuck[2]) && queue.settle(last));
    assert!(queue.is_empty() && queue.bytes() == 0);
}

#[test]
fn as_many_deliveries_as_there_are_identifiers_can_be_unsettled() {
    let mut queue = Queue::new(QueueBounds { messages_max: 10, bytes_max: usize::MAX });
    let e = entry("x", Class::ExactlyOnce, None);
    let mut ids = BTreeSet::new();
    while let Ok(id) = queue.lease_new(e.clone(), u16::MAX) {
        assert!(ids.insert(id), "{id:?} is in use");
    }
    assert_eq!((ids.len(), queue.leased_len()), (65_534, 65_534));
    for number in (1..=65_534).filter(|number| number % 10_000 != 1) {
        assert!(queue.receive(id(number)) && queue.settle(id(number)));
        ids.remove(&id(number));
    }
    for _ in 0..60_000 {
        let id = queue.lease_new(e.clone(), u16::MAX).unwrap();
        assert!(ids.insert(id), "{id:?} is in use");
    }
    assert_eq!(queue.leased_len(), 60_007);
    assert!(ids.iter().all(|&id| queue.settle(id)));
    assert!(queue.is_empty() && queue.bytes() == 0);
}

#[test]
fn resumption_goes_on_where_it_paused_even_if_that_was_settled() {
    let mut queue = Queue::new(BOUNDS);
    let ids: Vec<_> = (0..5)
        .map(|i| queue.lease_new(entry(&alloc::format!("{i}"), Class::ExactlyOnce, None), 9).unwrap())
        .collect();
    let rest = |queue: &Queue, after| queue.leased(after).map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(rest(&queue, None), ids);
    assert_eq!(rest(&queue, Some(ids[1])), ids[2..]);
    queue.settle(ids[1]);
    assert_eq!(rest(&queue, Some(ids[1])), ids[2..]);
    queue.settle(ids[0]);
    assert_eq!(rest(&queue, Some(ids[1])), ids[2..]);
    queue.settle(ids[2]);
    assert_eq!(rest(&queue, Some(ids[4])), []);
    queue.receive(ids[3]);
    assert!(matches!(queue.leased(None).next(), Some((_, LeaseState::Received))));
}

#[test]
fn an_idle_queue_is_small_and_gives_memory_back() {
    assert!(size_of::<Queue>() <= 112, "{}", size_of::<Queue>());
    assert!(size_of::<Entry>() == 32);
    let mut queue = Queue::new(QueueBounds { messages_max: 10_000, bytes_max: usize::MAX });
    for _ in 0..1_000 {
        queue.push(entry("x", Class::AtLeastOnce, None));
    }
    let mut ids = Vec::new();
    while let Some(leased) = queue.lease_next(Instant::ZERO, u16::MAX) {
        ids.extend(leased.id());
    }
    assert!(ids.iter().all(|&id| queue.settle(id)));
    assert_eq!(queue.ready.capacity(), 0);
    assert!(queue.is_empty() && queue.bytes() == 0);
}

#[test]
fn identifiers_go_round() {
    let mut queue = Queue::new(BOUNDS);
    for sequence in 0..140_000_u32 {
        let leased = queue.lease_new(entry("x", Class::AtLeastOnce, None), 1).unwrap();
        assert_eq!(u32::from(leased.number()), sequence % 65_535 + 1);
        assert!(queue.settle(leased));
    }
}

#[test]
fn an_entry_expires_at_its_deadline() {
    let mut queue = Queue::new(BOUNDS);
    queue.push(entry("x", Class::AtMostOnce, Some(5)));
    assert!(queue.lease_next(Instant::from_micros(5), 9).is_none());
    assert_eq!(queue.take_expired(), 1);
}

#[test]
fn what_is_withdrawn_leaves_the_rest_as_it_was() {
    let mut queue = Queue::new(BOUNDS);
    for name in ["a", "b", "c"] {
        queue.lease_new(entry(name, Class::AtLeastOnce, None), 9).unwrap();
    }
    for name in ["d", "e", "f"] {
        queue.push(entry(name, Class::AtLeastOnce, None));
    }
    assert!(queue.ready().map(name).eq(["d", "e", "f"]));
    let all = queue.bytes();
    let withdrawal = Withdrawal { leased: [id(1), id(3)].into(), ready: [0, 2].into() };
    let taken = queue.withdraw(&withdrawal);
    assert!(taken.iter().map(name).eq(["a", "c", "d", "f"]));
    assert_eq!(leases(&queue), [(2, Some("b".into()))]);
    assert!(queue.ready().map(name).eq(["e"]));
    assert_eq!(queue.bytes(), all - taken.iter().map(Entry::cost_bytes).sum::<usize>());
    assert!(queue.withdraw(&Withdrawal::default()).is_empty());
}
