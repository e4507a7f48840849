//! The index against the definition of matching.

use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::{Class, Filter, SubscriptionOptions, TenantId, Topic};
use proptest::prelude::*;

use super::*;
use crate::WorkerId;

fn session(slot: u32) -> SessionRef {
    SessionRef { worker: WorkerId((slot % 3) as u16), slot, generation: 1 }
}

fn options(class_max: Class) -> SubscriptionOptions {
    SubscriptionOptions::new(class_max)
}

fn class() -> impl Strategy<Value = Class> {
    (0..3_u8).prop_map(|n| Class::from_number(n).unwrap())
}

/// Filters over a small alphabet, so that they overlap.
pub(super) fn filter() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(&["", "a", "b", "$s", "+", "+", "#"][..]);
    prop::collection::vec(segment, 1..6).prop_map(|s| s.join("/")).prop_filter("not empty", |s| !s.is_empty())
}

pub(super) fn topic() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(&["", "a", "b", "$s", "c"][..]);
    prop::collection::vec(segment, 1..7).prop_map(|s| s.join("/")).prop_filter("not empty", |s| !s.is_empty())
}

#[derive(Clone, Debug)]
struct Change {
    add: bool,
    tenant: u16,
    filter: String,
    slot: u32,
    class: Class,
}

fn change() -> impl Strategy<Value = Change> {
    (prop::bool::weighted(0.6), 0..2_u16, filter(), 0..4_u32, class())
        .prop_map(|(add, tenant, filter, slot, class)| Change { add, tenant, filter, slot, class })
}

fn sorted(mut matches: Vec<Match>) -> Vec<(SessionRef, u8)> {
    matches.sort_by_key(|m| (m.session, m.options.class_max));
    matches.into_iter().map(|m| (m.session, m.options.class_max.number())).collect()
}

/// Subscriptions in a plain list, matched by definition.
#[derive(Default)]
struct Naive(Vec<(Change, SubscriptionOptions)>);

impl Naive {
    fn remove(&mut self, change: &Change) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _)| {
            (other.tenant, &other.filter, other.slot) != (change.tenant, &change.filter, change.slot)
        });
        self.0.len() < before
    }

    fn matches(&self, tenant: TenantId, topic: Topic<'_>) -> Vec<(SessionRef, u8)> {
        let selected = self.0.iter().filter(|(change, _)| {
            change.tenant == tenant.number() && Filter::new(change.filter.as_bytes()).unwrap().matches(topic)
        });
        sorted(selected.map(|(c, options)| Match { session: session(c.slot), options: *options }).collect())
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_the_definition_finds(
        changes in prop::collection::vec(change(), 1..80),
        topics in prop::collection::vec(topic(), 1..20),
    ) {
        let mut index = TopicIndex::new(9);
        let mut naive = Naive::default();
        for change in changes {
            let tenant = TenantId::new(change.tenant);
            let filter = Filter::new(change.filter.as_bytes()).unwrap();
            let removed = naive.remove(&change);
            if change.add {
                let replaced = index.insert(tenant, filter, session(change.slot), options(change.class));
                prop_assert_eq!(replaced, removed);
                let options = options(change.class);
                naive.0.push((change, options));
            } else {
                prop_assert_eq!(index.remove(tenant, filter, session(change.slot)), removed);
            }
        }
        prop_assert_eq!(index.len(), naive.0.len());
        for text in topics {
            let topic = Topic::new(text.as_bytes()).unwrap();
            for tenant in [TenantId::new(0), TenantId::new(1)] {
                let mut found = Vec::new();
                index.matches(tenant, topic, &mut found);
                prop_assert_eq!(sorted(found), naive.matches(tenant, topic), "{}", text);
            }
        }
    }

    #[test]
    fn what_was_added_can_be_removed_without_a_trace(
        changes in prop::collection::vec(change(), 1..80),
    ) {
        let mut index = TopicIndex::new(9);
        let add = |index: &mut TopicIndex, c: &Change| {
            let filter = Filter::new(c.filter.as_bytes()).unwrap();
            index.insert(TenantId::new(c.tenant), filter, session(c.slot), options(c.class));
        };
        for change in &changes {
            add(&mut index, change);
        }
        for change in &changes {
            let filter = Filter::new(change.filter.as_bytes()).unwrap();
            index.remove(TenantId::new(change.tenant), filter, session(change.slot));
        }
        prop_assert!(index.is_empty());
        let rest = (index.exact.len(), index.nodes.len(), index.many.len());
        prop_assert_eq!(rest, (0, 0, 0));
    }
}

#[test]
fn slots_of_removed_filters_are_used_again() {
    let mut index = TopicIndex::new(1);
    let churn = |index: &mut TopicIndex, n: u32| {
        let text = alloc::format!("keep/{n}/+");
        let filter = Filter::new(text.as_bytes()).unwrap();
        index.insert(TenantId::DEFAULT, filter, session(n), options(Class::AtMostOnce));
        text
    };
    churn(&mut index, 0);
    for n in 1..5_000 {
        let text = churn(&mut index, n);
        index.remove(TenantId::DEFAULT, Filter::new(text.as_bytes()).unwrap(), session(n));
    }
    // One chunk of slots, and tables that never held more than a few entries.
    assert!(index.memory_bytes() < 40_000, "{}", index.memory_bytes());
}

#[test]
fn a_filter_with_wildcards_takes_little_besides_its_text() {
    const COUNT: usize = 100_000;
    let texts: Vec<String> = (0..COUNT).map(|n| alloc::format!("building/{n}/+/t")).collect();
    let mut index = TopicIndex::new(1);
    for (n, text) in texts.iter().enumerate() {
        let filter = Filter::from_checked(text.as_bytes());
        index.insert(TenantId::DEFAULT, filter, session(n as u32), options(Class::AtMostOnce));
    }
    let text_bytes: usize = texts.iter().map(String::len).sum();
    let besides = (index.memory_bytes() - text_bytes) / COUNT;
    assert!(besides <= 88, "{besides}");
}

#[test]
fn the_last_filter_that_is_left_needs_no_nodes() {
    let mut index = TopicIndex::new(1);
    let texts = ["a/b/c/d/#", "a/b/c/d/+", "a/b/c/+", "a/b/c/d/e/+", "+/b/#"];
    let filters = texts.map(|text| Filter::from_checked(text.as_bytes()));
    for kept in filters {
        for filter in filters {
            index.insert(TenantId::DEFAULT, filter, session(1), options(Class::AtMostOnce));
        }
        for filter in filters.into_iter().filter(|filter| *filter != kept) {
            assert!(index.remove(TenantId::DEFAULT, filter, session(1)));
        }
        assert_eq!((index.len(), index.nodes.len()), (1, 1), "{kept}");
        let mut found = Vec::new();
        index.matches(TenantId::DEFAULT, Topic::new(b"a/b/c/d").unwrap(), &mut found);
        assert_eq!(found.len(), usize::from(kept.matches(Topic::new(b"a/b/c/d").unwrap())), "{kept}");
    }
}

#[test]
fn the_account_of_memory_follows_the_filters_that_are_kept() {
    const COUNT: usize = 1_000;
    let long = "x".repeat(200);
    for (shape, each) in [("exact", 200), ("+", 200), ("#/y", 500)] {
        let mut index = TopicIndex::new(1);
        let texts: Vec<String> = (0..COUNT).map(|n| alloc::format!("{long}/{n:03}/{shape}")).collect();
        for (n, text) in texts.iter().enumerate() {
            let filter = Filter::new(text.as_bytes()).unwrap();
            index.insert(TenantId::DEFAULT, filter, session(n as u32), options(Class::AtMostOnce));
        }
        let full = index.memory_bytes();
        let text_bytes: usize = texts.iter().map(String::len).sum();
        assert!(full > text_bytes && full < text_bytes + each * COUNT, "{shape}: {full}");
        for (n, text) in texts.iter().enumerate().skip(COUNT / 2) {
            index.remove(TenantId::DEFAULT, Filter::new(text.as_bytes()).unwrap(), session(n as u32));
        }
        let freed = full.saturating_sub(index.memory_bytes());
        assert!(freed > text_bytes * 2 / 5, "{shape}: {freed}");
    }
}

#[test]
fn many_subscribers_of_one_filter_come_and_go_quickly() {
    let mut index = TopicIndex::new(1);
    let filter = Filter::new(b"fleet/all").unwrap();
    for n in (0..100_000).rev() {
        index.insert(TenantId::DEFAULT, filter, session(n), options(Class::AtLeastOnce));
    }
    let mut found = Vec::new();
    index.matches(TenantId::DEFAULT, Topic::new(b"fleet/all").unwrap(), &mut found);
    assert_eq!(found.len(), 100_000);
    for n in 0..100_000 {
        assert!(index.remove(TenantId::DEFAULT, filter, session(n)));
    }
    assert!(index.is_empty());
}
