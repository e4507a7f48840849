//! Leases that no connection holds against a queue whose rules are written out plainly: they expire, are extended, and
//! are given back for later.

use std::time::Duration;

use proptest::prelude::*;

use crate::broker::Broker;

/// Milliseconds from one deed to the next, or several times that. What is due is so in the middle between two: timers are
/// late by up to two milliseconds.
const STEP: u64 = 10;

/// How long something lasts that ends before so many deeds.
fn lasting(steps: core::ops::Range<u64>) -> impl Strategy<Value = u64> {
    steps.prop_map(|steps| steps * STEP - STEP / 2)
}

#[derive(Clone, Debug)]
enum Op {
    Put,
    /// So many messages, for so many milliseconds.
    Take(usize, u64),
    /// Of the holder and the lease that the first number names: accepted, or given back for so many milliseconds.
    Accept(prop::sample::Index),
    Nack(prop::sample::Index, u64),
    Extend(prop::sample::Index, u64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let lease = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Op::Put),
        4 => (1..4_usize, lasting(1..6)).prop_map(|(count, lasting)| Op::Take(count, lasting)),
        2 => lease().prop_map(Op::Accept),
        2 => (lease(), prop_oneof![Just(0), lasting(1..4)]).prop_map(|(lease, after)| Op::Nack(lease, after)),
        2 => (lease(), lasting(1..6)).prop_map(|(lease, lasting)| Op::Extend(lease, lasting)),
        4 => (1..4_u64).prop_map(|steps| Op::Pass(steps * STEP)),
    ]
}

/// What the queue is told, in milliseconds and deliveries.
#[derive(Clone, Copy, Debug)]
struct Rules {
    ttl: Option<u64>,
    limit: Option<u64>,
    lease_max: Option<u64>,
}

fn rules() -> impl Strategy<Value = Rules> {
    (prop::option::of(lasting(3..9)), prop::option::of(1..3_u64), prop::option::of(lasting(2..5)))
        .prop_map(|(ttl, limit, lease_max)| Rules { ttl, limit, lease_max })
}

impl Rules {
    fn declaration(self) -> String {
        let words = [("ttl", self.ttl), ("limit", self.limit), ("lease", self.lease_max)];
        let said = words.iter().filter_map(|(word, number)| Some(format!("{word}={}", (*number)?)));
        format!("declare q -,{}", said.collect::<Vec<_>>().join(","))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready,
    Delayed(u64),
    /// By which holder under which number, since when and until when.
    Leased(usize, usize, u64, u64),
}

#[derive(Debug)]
struct Item {
    number: usize,
    expires: Option<u64>,
    acquired: u64,
    failed: u64,
    state: State,
}

/// The queue by its rules. Items are in their order.
#[derive(Debug)]
struct Reference {
    rules: Rules,
    now: u64,
    items: Vec<Item>,
    put: usize,
    /// How many leases each holder was given.
    holders: Vec<usize>,
}

impl Reference {
    /// No lease lasts for longer than the queue allows, from when it began.
    fn end(&self, since: u64, lasting: u64) -> u64 {
        (self.now + lasting).min(self.rules.lease_max.map_or(u64::MAX, |max| since + max))
    }

    fn put(&mut self) -> usize {
        self.put += 1;
        let expires = self.rules.ttl.map(|ttl| self.now + ttl);
        let number = self.put;
        self.items.push(Item { number, expires, acquired: 0, failed: 0, state: State::Ready });
        number
    }

    fn take(&mut self, count: usize, lasting: u64) -> String {
        let (holder, mut heard) = (self.holders.len(), String::new());
        let (mut lease, end) = (0, self.end(self.now, lasting));
        for item in self.items.iter_mut().filter(|item| item.state == State::Ready).take(count) {
            lease += 1;
            item.state = State::Leased(holder, lease, self.now, end);
            let again = if item.acquired == 0 {
                String::new()
            } else {
                format!(" again {} {}", item.acquired, item.failed)
            };
            heard += &format!("lease - {lease} held{again} q {}\n", item.number);
        }
        self.holders.push(lease);
        heard + "held\n"
    }

    /// A holder and a lease that it was given at some time.
    fn named(&self, index: prop::sample::Index) -> Option<(usize, usize)> {
        let given = |(holder, leases): (usize, &usize)| (1..=*leases).map(move |lease| (holder, lease));
        let all: Vec<_> = self.holders.iter().enumerate().flat_map(given).collect();
        (!all.is_empty()).then(|| all[index.index(all.len())])
    }

    fn held(&self, (holder, lease): (usize, usize)) -> Option<usize> {
        let is_it = |item: &Item| matches!(item.state, State::Leased(by, number, ..) if (by, number) == (holder, lease));
        self.items.iter().position(is_it)
    }

    fn fail(&mut self, at: usize, after: u64) {
        let item = &mut self.items[at];
        (item.acquired, item.failed) = (item.acquired + 1, item.failed + 1);
        if self.rules.limit.is_some_and(|limit| item.failed > limit) {
            self.items.remove(at);
        } else {
            item.state = if after == 0 { State::Ready } else { State::Delayed(self.now + after) };
        }
        self.expire();
    }

    fn extend(&mut self, at: usize, lasting: u64) {
        if let State::Leased(holder, lease, since, _) = self.items[at].state {
            self.items[at].state = State::Leased(holder, lease, since, self.end(since, lasting));
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        for item in &mut self.items {
            if matches!(item.state, State::Delayed(until) if until <= now) {
                item.state = State::Ready;
            }
        }
        let is_over = |item: &Item| matches!(item.state, State::Leased(.., end) if end <= now);
        while let Some(at) = self.items.iter().position(is_over) {
            self.fail(at, 0);
        }
        self.expire();
    }

    fn expire(&mut self) {
        let now = self.now;
        let is_late = |item: &Item| item.expires.is_some_and(|expires| expires < now);
        self.items.retain(|item| item.state != State::Ready || !is_late(item));
    }

    fn ready(&self) -> usize {
        self.items.iter().filter(|item| item.state == State::Ready).count()
    }
}

fn says(broker: &mut Broker, peer: usize, line: &str) -> String {
    broker.say(peer, line);
    broker.hear(peer)
}

/// What is done with a lease that somebody holds, or nobody any more.
fn with_lease(
    (broker, peer): (&mut Broker, usize),
    reference: &Reference,
    lease: prop::sample::Index,
    what: &str,
) -> Option<usize> {
    let (holder, lease) = reference.named(lease)?;
    let held = reference.held((holder, lease));
    let heard = says(broker, peer, &format!("taken q h{holder} {lease} {what}"));
    assert_eq!(heard, if held.is_some() { "held\n" } else { "not held\n" }, "{holder} {lease} {what}");
    held
}

fn follow(workers: u16, rules: Rules, ops: Vec<Op>) {
    let mut broker = Broker::new(workers);
    let peer = broker.open(0, "open a go");
    assert_eq!(says(&mut broker, peer, &rules.declaration()), "declared q 0 0\n");
    let mut reference = Reference { rules, now: 0, items: Vec::new(), put: 0, holders: Vec::new() };
    for op in ops {
        match op {
            Op::Put => {
                let put = reference.put();
                assert!(says(&mut broker, peer, &format!("put q 1 {put}")).starts_with("published"));
            }
            Op::Take(count, lasting) => {
                let holder = reference.holders.len();
                let heard = says(&mut broker, peer, &format!("take q h{holder} {count} {lasting} 0"));
                assert_eq!(heard, reference.take(count, lasting));
            }
            Op::Accept(lease) => {
                if let Some(at) = with_lease((&mut broker, peer), &reference, lease, "yes 0") {
                    reference.items.remove(at);
                }
            }
            Op::Nack(lease, after) => {
                if let Some(at) = with_lease((&mut broker, peer), &reference, lease, &format!("no {after}")) {
                    reference.fail(at, after);
                }
            }
            Op::Extend(lease, lasting) => {
                let what = format!("more {lasting}");
                if let Some(at) = with_lease((&mut broker, peer), &reference, lease, &what) {
                    reference.extend(at, lasting);
                }
            }
            Op::Pass(millis) => {
                // What comes back late goes with what is due next.
                broker.advance(Duration::from_millis(millis - 2));
                broker.advance(Duration::from_millis(2));
                reference.pass(millis);
                let counted = says(&mut broker, peer, "present q");
                assert_eq!(counted, format!("declared q {} 0\n", reference.ready()), "{reference:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn leases_do_what_the_rules_of_their_queue_say(
        workers in prop::sample::select(vec![1_u16, 3]),
        rules in rules(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        follow(workers, rules, ops);
    }
}
