//! Mutations against the methods whose effect they record.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use mynah_model::{Class, DeliveryId, Instant, RetainHandling, SubscriptionId, TenantId};
use proptest::prelude::*;

use super::*;
use crate::testing::message;
use crate::{Entry, GroupKey, LeaseState, Leased, Via, Withdrawal};

const BOUNDS: QueueBounds = QueueBounds { messages_max: 5, bytes_max: 100_000 };

fn session() -> Session {
    Session::new(Identity::user(TenantId::DEFAULT, "u"), Expiry::Never, 3, BOUNDS)
}

fn options(class_max: Class) -> SubscriptionOptions {
    SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(class_max) }
}

/// What a message came by that a subscription named `number` got, if it is not zero, and a group if it is even.
fn via(number: u32) -> Option<Arc<Via>> {
    let ids = [SubscriptionId::new(number)?].into();
    let key = GroupKey { tenant: TenantId::DEFAULT, group: (*b"g").into(), filter: (*b"t").into() };
    let group = number.is_multiple_of(2).then(|| Arc::new(key));
    Some(Arc::new(Via { ids, group }))
}

/// Everything of a session that a store has to give back.
fn state(mut session: Session) -> String {
    let bytes = |e: &Entry| {
        (String::from_utf8_lossy(e.message.view().native).into_owned(), e.class, e.retain, e.via.clone())
    };
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
    let will = session.will.as_ref();
    let will =
        will.map(|w| (String::from_utf8_lossy(w.message.view().native).into_owned(), w.delay, w.lifetime));
    let due = (session.will_due(), session.expiry_due(), session.has_shared);
    let rest = (session.expiry, session.receive_max, session.connection, session.detached_at, will, due);
    alloc::format!("{leased:?} {ready:?} {subscriptions:?} {:?} {rest:?}", session.received)
}

#[derive(Clone, Debug)]
enum Act {
    Open(u64, u16),
    Discard,
    Detach(Option<u64>),
    Subscribe(bool, u8, SubscriptionOptions),
    Unsubscribe(bool, u8),
    Enqueue(Class, Option<u64>, u32),
    LeaseNew(Class, u32),
    LeaseNext,
    Receive(u16),
    Settle(u16),
    Record(u16),
    Complete(u16),
    Withdraw,
    Will(Option<u64>),
}

fn act() -> impl Strategy<Value = Act> {
    let class = || (0..3_u8).prop_map(|n| Class::from_number(n).unwrap());
    prop_oneof![
        1 => (0..9_u64, 1..5_u16).prop_map(|(e, r)| Act::Open(e, r)),
        1 => Just(Act::Discard),
        1 => prop::option::of(0..9_u64).prop_map(Act::Detach),
        2 => (any::<bool>(), 0..3_u8, subscribed()).prop_map(|(s, f, o)| Act::Subscribe(s, f, o)),
        2 => (any::<bool>(), 0..3_u8).prop_map(|(s, f)| Act::Unsubscribe(s, f)),
        8 => (class(), prop::option::of(0..100_u64), 0..6_u32).prop_map(|(c, d, v)| Act::Enqueue(c, d, v)),
        4 => (class(), 0..6_u32).prop_map(|(c, v)| Act::LeaseNew(c, v)),
        8 => Just(Act::LeaseNext),
        4 => (1..20_u16).prop_map(Act::Receive),
        6 => (1..20_u16).prop_map(Act::Settle),
        3 => (0..6_u16).prop_map(Act::Record),
        2 => (0..6_u16).prop_map(Act::Complete),
        1 => Just(Act::Withdraw),
        1 => prop::option::of(0..9_u64).prop_map(Act::Will),
    ]
}

fn subscribed() -> impl Strategy<Value = SubscriptionOptions> {
    (0..3_u8, 0..3_u8, any::<[bool; 3]>(), 0..9_u32).prop_map(
        |(class, handling, [rap, no_local, separate], id)| SubscriptionOptions {
            class_max: Class::from_number(class).unwrap(),
            retain_handling: match handling {
                0 => RetainHandling::EachTime,
                1 => RetainHandling::WhenNew,
                _ => RetainHandling::Never,
            },
            retain_as_published: rap,
            no_local,
            separate,
            id: SubscriptionId::new(id),
        },
    )
}

/// What other members of a group can have of what a session holds.
fn shared(session: &Session) -> Withdrawal {
    let is_shared = |entry: &Entry| entry.via.as_ref().is_some_and(|via| via.group.is_some());
    let leased = session.queue.leased(None).filter_map(|(id, state)| match state {
        LeaseState::Sent(entry) if is_shared(entry) && entry.class != Class::ExactlyOnce => Some(id),
        _ => None,
    });
    let ready = session.queue.ready().zip(0..).filter(|(entry, _)| is_shared(entry)).map(|(_, place)| place);
    Withdrawal { leased: leased.collect(), ready: ready.collect() }
}

/// Does `act` by the methods of the hot path and returns the mutation that describes what came of it.
fn perform(session: &mut Session, act: Act, at: u64) -> Option<Mutation> {
    let now = Instant::from_micros(at);
    let entry = |class, deadline: Option<u64>, number| {
        let deadline = deadline.map(Instant::from_micros);
        let payload = alloc::format!("{at}");
        let message = message(TenantId::DEFAULT, "t", &payload, deadline);
        Entry::new(message, class, false, via(number))
    };
    let group = |shared: bool| shared.then(|| Box::from(*b"g"));
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
        Act::Detach(expiry) => {
            let expiry = expiry.map(|seconds| Expiry::After(Duration::from_secs(seconds)));
            session.detach(now, expiry);
            Mutation::Detach { now, expiry }
        }
        Act::Subscribe(is_shared, n, options) => {
            let (share, filter): (Option<Box<[u8]>>, _) = (group(is_shared), text(n));
            session.subscribe(share.as_deref(), Filter::from_checked(&filter), options, 4).ok()?;
            Mutation::Subscribe { share, filter, options }
        }
        Act::Unsubscribe(is_shared, n) => {
            let (share, filter): (Option<Box<[u8]>>, _) = (group(is_shared), text(n));
            let was_there = session.unsubscribe(share.as_deref(), Filter::from_checked(&filter));
            was_there.then_some(Mutation::Unsubscribe { share, filter })?
        }
        Act::Enqueue(class, deadline, number) => {
            let entry = entry(class, deadline, number);
            session.queue.push(entry.clone());
            Mutation::Enqueue(entry)
        }
        Act::LeaseNew(class, number) => {
            let entry = entry(class.max(Class::AtLeastOnce), None, number);
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
        Act::Withdraw => {
            let withdrawal = shared(session);
            session.queue.withdraw(&withdrawal);
            Mutation::Withdraw(withdrawal)
        }
        Act::Will(delay) => {
            let message = message(TenantId::DEFAULT, "will", "w", None);
            let (seconds, lifetime) = (Duration::from_secs, Some(Duration::from_secs(at)));
            let will = delay.map(|delay| Will { message, delay: seconds(delay), lifetime });
            session.will = will.clone().map(Box::new);
            Mutation::Will(will.map(Box::new))
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
    assert_eq!(session.subscribe(None, filter("b"), options(Class::AtMostOnce), 2), Ok(false));
    assert_eq!(session.subscribe(None, filter("a/+"), options(Class::AtMostOnce), 2), Ok(false));
    assert_eq!(
        session.subscribe(None, filter("c"), options(Class::AtMostOnce), 2),
        Err(Reason::QuotaExceeded)
    );
    assert_eq!(session.subscribe(None, filter("b"), options(Class::ExactlyOnce), 2), Ok(true));
    let all: Vec<_> = session.subscriptions().map(|(_, f, o)| (f, o.class_max)).collect();
    assert_eq!(all, [(filter("a/+"), Class::AtMostOnce), (filter("b"), Class::ExactlyOnce)]);
    assert!(session.unsubscribe(None, filter("b")) && !session.unsubscribe(None, filter("b")));
}

#[test]
fn a_replay_lives_as_long_as_its_subscription() {
    let mut session = session();
    let filter = |text: &'static str| Filter::new(text.as_bytes()).unwrap();
    session.start_replay(filter("a"), options(Class::AtMostOnce));
    assert!(!session.is_replaying());
    for text in ["a", "b"] {
        session.subscribe(None, filter(text), options(Class::AtMostOnce), 9).unwrap();
        session.start_replay(filter(text), options(Class::AtMostOnce));
    }
    session.detach(Instant::ZERO, None);
    assert_eq!(*session.replay().unwrap().filter, *b"a");
    session.start_replay(filter("a"), options(Class::AtLeastOnce));
    assert_eq!(*session.replay().unwrap().filter, *b"b");
    session.unsubscribe(None, filter("b"));
    assert_eq!(session.replay().unwrap().options.class_max, Class::AtLeastOnce);
    session.finish_replay(filter("a"));
    assert!(!session.is_replaying());
}

#[test]
fn a_discarded_session_is_as_new() {
    let mut session = session();
    session.subscribe(None, Filter::new(b"a").unwrap(), options(Class::AtMostOnce), 9).unwrap();
    session.received.receive(4, 9);
    let entry = |class| Entry::new(message(TenantId::DEFAULT, "t", "p", None), class, false, None);
    session.queue.push(entry(Class::AtMostOnce));
    session.queue.push(entry(Class::AtLeastOnce));
    assert!(matches!(session.queue.lease_next(Instant::ZERO, 9), Some(Leased::Unconfirmed(_))));
    assert!(session.queue.lease_next(Instant::ZERO, 9).is_some());
    assert_eq!(session.discard(), 1);
    assert_eq!(state(session), state(self::session()));
}

#[test]
fn a_shared_subscription_stands_beside_one_of_the_session_s_own() {
    let mut session = session();
    let filter = Filter::new(b"a/+").unwrap();
    let (own, shared) = (options(Class::AtMostOnce), options(Class::ExactlyOnce));
    assert_eq!(session.subscribe(None, filter, own, 9), Ok(false));
    assert_eq!(session.subscribe(Some(b"g"), filter, shared, 9), Ok(false));
    assert_eq!(session.subscribe(Some(b"h"), filter, own, 9), Ok(false));
    assert_eq!(session.subscribe(Some(b"g"), filter, shared, 9), Ok(true));
    let all: Vec<_> = session.subscriptions().collect();
    assert_eq!(all, [(Some(&b"g"[..]), filter, shared), (Some(b"h"), filter, own), (None, filter, own)]);
    assert!(session.shared().eq([(&b"g"[..], filter), (b"h", filter)]));
    assert!(session.unsubscribe(Some(b"g"), filter) && !session.unsubscribe(Some(b"g"), filter));
    assert_eq!(session.subscriptions_len(), 2);
    for group in [&b""[..], b"a\0b"] {
        assert_eq!(session.subscribe(Some(group), filter, own, 9), Err(Reason::FilterInvalid));
    }
}

#[test]
fn a_will_waits_for_its_delay_and_the_end_of_the_session_for_its_expiry() {
    let mut session = session();
    let message = message(TenantId::DEFAULT, "will", "w", None);
    session.will = Some(Box::new(Will { message, delay: Duration::from_micros(30), lifetime: None }));
    assert_eq!((session.will_due(), session.expiry_due()), (None, None), "somebody is connected");
    session.detach(Instant::from_micros(100), None);
    assert_eq!((session.will_due(), session.expiry_due()), (Some(Instant::from_micros(130)), None));
    session.open(Expiry::After(Duration::from_micros(7)), 1);
    assert_eq!((session.will_due(), session.expiry_due()), (None, None));
    session.detach(Instant::from_micros(200), None);
    assert_eq!(session.expiry_due(), Some(Instant::from_micros(207)));
    session.detach(Instant::from_micros(200), Some(Expiry::After(Duration::from_micros(9))));
    assert_eq!(session.expiry_due(), Some(Instant::from_micros(209)));
    session.detach(Instant::from_micros(200), Some(Expiry::WithConnection));
    assert_eq!(session.expiry_due(), Some(Instant::from_micros(200)));
}

#[test]
fn a_replay_goes_on_as_its_subscription_was_changed() {
    let mut session = session();
    let filter = Filter::new(b"a").unwrap();
    session.subscribe(None, filter, options(Class::AtMostOnce), 9).unwrap();
    session.start_replay(filter, options(Class::AtMostOnce));
    let renamed = SubscriptionOptions { id: SubscriptionId::new(7), ..options(Class::AtMostOnce) };
    session.subscribe(Some(b"g"), filter, options(Class::ExactlyOnce), 9).unwrap();
    session.subscribe(None, filter, renamed, 9).unwrap();
    assert_eq!(session.replay().unwrap().options, renamed);
    session.unsubscribe(Some(b"g"), filter);
    assert!(session.is_replaying());
}
