//! Mutations against the methods whose effect they record.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, DeliveryId, Instant, TenantId};
use proptest::prelude::*;

use super::*;
use crate::testing::message;
use crate::{Entry, LeaseState, Leased};

const BOUNDS: QueueBounds = QueueBounds { messages_max: 5, bytes_max: 100_000 };

fn session() -> Session {
    Session::new(Identity::user(TenantId::DEFAULT, "u"), Expiry::Never, 3, BOUNDS)
}

fn options(class_max: Class) -> SubscriptionOptions {
    SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(class_max) }
}

/// Everything of a session that a store has to give back.
fn state(mut session: Session) -> String {
    let bytes =
        |e: &Entry| (String::from_utf8_lossy(e.message.view().native).into_owned(), e.class, e.retain);
    let leased: Vec<_> = session
        .queue
        .leased(None)
        .map(|(id, lease)| match lease {
            LeaseState::Sent(entry) => (id, Some(bytes(entry))),
            LeaseState::Received => (id, None),
        })
        .collect();
    for (id, _) in &leased {
        session.queue.settle(*id);
    }
    let mut ready = Vec::new();
    while let Some(next) = session.queue.lease_next(Instant::ZERO, u16::MAX) {
        ready.push((next.id(), bytes(next.entry())));
    }
    let subscriptions: Vec<_> = session.subscriptions().collect();
    let will = session.will.as_ref().map(|w| String::from_utf8_lossy(w.view().native).into_owned());
    let rest = (session.expiry, session.receive_max, session.connection, session.detached_at, will);
    alloc::format!("{leased:?} {ready:?} {subscriptions:?} {:?} {rest:?}", session.received)
}

#[derive(Clone, Debug)]
enum Act {
    Open(u64, u16),
    Discard,
    Detach,
    Subscribe(u8, Class),
    Unsubscribe(u8),
    Enqueue(Class, Option<u64>),
    LeaseNew(Class),
    LeaseNext,
    Receive(u16),
    Settle(u16),
    Record(u16),
    Complete(u16),
    Will(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let class = || (0..3_u8).prop_map(|n| Class::from_number(n).unwrap());
    prop_oneof![
        1 => (0..9_u64, 1..5_u16).prop_map(|(e, r)| Act::Open(e, r)),
        1 => Just(Act::Discard),
        1 => Just(Act::Detach),
        2 => (0..4_u8, class()).prop_map(|(f, c)| Act::Subscribe(f, c)),
        2 => (0..4_u8).prop_map(Act::Unsubscribe),
        8 => (class(), prop::option::of(0..100_u64)).prop_map(|(c, d)| Act::Enqueue(c, d)),
        4 => class().prop_map(Act::LeaseNew),
        8 => Just(Act::LeaseNext),
        4 => (1..20_u16).prop_map(Act::Receive),
        6 => (1..20_u16).prop_map(Act::Settle),
        3 => (0..6_u16).prop_map(Act::Record),
        2 => (0..6_u16).prop_map(Act::Complete),
        1 => any::<bool>().prop_map(Act::Will),
    ]
}

/// Does `act` by the methods of the hot path and returns the mutation that describes what came of it.
fn perform(session: &mut Session, act: Act, at: u64) -> Option<Mutation> {
    let now = Instant::from_micros(at);
    let entry = |class, deadline: Option<u64>| {
        let deadline = deadline.map(Instant::from_micros);
        let payload = alloc::format!("{at}");
        Entry { message: message(TenantId::DEFAULT, "t", &payload, deadline), class, retain: false }
    };
    let id = |n| DeliveryId::new(n).unwrap();
    let text = |n: u8| alloc::format!("f/{n}").into_bytes().into_boxed_slice();
    Some(match act {
        Act::Open(expiry, receive_max) => {
            let expiry = Expiry::After(Duration::from_secs(expiry));
            session.open(expiry, receive_max);
            Mutation::Open { expiry, receive_max }
        }
        Act::Discard => {
            session.discard();
            Mutation::Discard
        }
        Act::Detach => {
            session.detach(now);
            Mutation::Detach { now }
        }
        Act::Subscribe(n, class) => {
            let (filter, options) = (text(n), options(class));
            session.subscribe(Filter::from_checked(&filter), options, 3).ok()?;
            Mutation::Subscribe { filter, options }
        }
        Act::Unsubscribe(n) => {
            let filter = text(n);
            session.unsubscribe(Filter::from_checked(&filter)).then_some(Mutation::Unsubscribe { filter })?
        }
        Act::Enqueue(class, deadline) => {
            let entry = entry(class, deadline);
            session.queue.push(entry.clone());
            Mutation::Enqueue(entry)
        }
        Act::LeaseNew(class) => {
            let entry = entry(class.max(Class::AtLeastOnce), None);
            session.queue.lease_new(entry.clone(), session.receive_max).ok()?;
            Mutation::LeaseNew(entry)
        }
        Act::LeaseNext => {
            let window = session.receive_max;
            drop(session.queue.lease_next(now, window));
            Mutation::LeaseNext { now, window }
        }
        Act::Receive(n) => session.queue.receive(id(n)).then_some(Mutation::Receive(id(n)))?,
        Act::Settle(n) => session.queue.settle(id(n)).then_some(Mutation::Settle(id(n)))?,
        Act::Record(n) => (session.received.receive(n, 4) == Received::New).then_some(Mutation::Record(n))?,
        Act::Complete(n) => session.received.complete(n).then_some(Mutation::Complete(n))?,
        Act::Will(set) => {
            let will = set.then(|| message(TenantId::DEFAULT, "will", "w", None));
            session.will = will.clone();
            Mutation::Will(will)
        }
    })
}

proptest! {
    #[test]
    fn replayed_mutations_give_an_equal_session(acts in prop::collection::vec(act(), 1..150)) {
        let (mut original, mut replayed) = (session(), session());
        for (at, act) in acts.into_iter().enumerate() {
            if let Some(mutation) = perform(&mut original, act, at as u64) {
                replayed.apply(mutation);
            }
        }
        prop_assert_eq!(state(replayed), state(original));
    }
}

#[test]
fn subscriptions_are_bounded_and_replaced() {
    let mut session = session();
    let filter = |text: &'static str| Filter::new(text.as_bytes()).unwrap();
    assert_eq!(session.subscribe(filter("b"), options(Class::AtMostOnce), 2), Ok(false));
    assert_eq!(session.subscribe(filter("a/+"), options(Class::AtMostOnce), 2), Ok(false));
    assert_eq!(session.subscribe(filter("c"), options(Class::AtMostOnce), 2), Err(Reason::QuotaExceeded));
    assert_eq!(session.subscribe(filter("b"), options(Class::ExactlyOnce), 2), Ok(true));
    let all: Vec<_> = session.subscriptions().map(|(f, o)| (f, o.class_max)).collect();
    assert_eq!(all, [(filter("a/+"), Class::AtMostOnce), (filter("b"), Class::ExactlyOnce)]);
    assert!(session.unsubscribe(filter("b")) && !session.unsubscribe(filter("b")));
}

#[test]
fn a_replay_lives_as_long_as_its_subscription() {
    let mut session = session();
    let filter = |text: &'static str| Filter::new(text.as_bytes()).unwrap();
    session.start_replay(filter("a"), options(Class::AtMostOnce));
    assert!(!session.is_replaying());
    for text in ["a", "b"] {
        session.subscribe(filter(text), options(Class::AtMostOnce), 9).unwrap();
        session.start_replay(filter(text), options(Class::AtMostOnce));
    }
    session.detach(Instant::ZERO);
    assert_eq!(*session.replay().unwrap().filter, *b"a");
    session.start_replay(filter("a"), options(Class::AtLeastOnce));
    assert_eq!(*session.replay().unwrap().filter, *b"b");
    session.unsubscribe(filter("b"));
    assert_eq!(session.replay().unwrap().options.class_max, Class::AtLeastOnce);
    session.finish_replay(filter("a"));
    assert!(!session.is_replaying());
}

#[test]
fn a_discarded_session_is_as_new() {
    let mut session = session();
    session.subscribe(Filter::new(b"a").unwrap(), options(Class::AtMostOnce), 9).unwrap();
    session.received.receive(4, 9);
    let entry = |class| Entry { message: message(TenantId::DEFAULT, "t", "p", None), class, retain: false };
    session.queue.push(entry(Class::AtMostOnce));
    session.queue.push(entry(Class::AtLeastOnce));
    assert!(matches!(session.queue.lease_next(Instant::ZERO, 9), Some(Leased::Unconfirmed(_))));
    assert!(session.queue.lease_next(Instant::ZERO, 9).is_some());
    assert_eq!(session.discard(), 1);
    assert_eq!(state(session), state(self::session()));
}
