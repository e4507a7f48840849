//! The store against a naive model, and its limits.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::testing::message;

const NOW: Instant = Instant::from_micros(100);

fn topic(text: &str) -> Topic<'_> {
    Topic::new(text.as_bytes()).unwrap()
}

fn store_of(topics: &[String]) -> RetainedStore {
    let mut store = RetainedStore::new(&Limits::default(), 1);
    for text in topics {
        store.set(&message(TenantId::DEFAULT, text, "v", None), NOW).unwrap();
    }
    store
}

/// Bytes on both sides of `/` in ASCII, so that topic order differs from byte order.
fn text(segments: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(segments), 1..5)
        .prop_map(|s| s.join("/"))
        .prop_filter("not empty", |s| !s.is_empty())
}

fn all(store: &RetainedStore, filter: &str, max: usize) -> Vec<String> {
    let filter = Filter::new(filter.as_bytes()).unwrap();
    let (mut cursor, mut found) = (Cursor::default(), Vec::new());
    loop {
        let before = found.len();
        let more = store.page(TenantId::DEFAULT, filter, &mut cursor, max, NOW, &mut found);
        assert!(found.len() - before <= max);
        if !more {
            break;
        }
    }
    found.iter().map(|m| String::from_utf8(m.topic().as_bytes().to_vec()).unwrap()).collect()
}

proptest! {
    #[test]
    fn pages_hold_what_the_filter_selects_in_topic_order(
        topics in prop::collection::vec(text(&["", "a", "b", "$s", "!", "a!", "a\u{1}"]), 0..60),
        filter in text(&["", "a", "b", "$s", "a!", "+", "+", "#"]),
        max in 1..5_usize,
    ) {
        let store = store_of(&topics);
        let definition = Filter::new(filter.as_bytes()).unwrap();
        let some_match = topics.iter().any(|t| definition.matches(topic(t)));
        prop_assert!(!some_match || store.may_match(TenantId::DEFAULT, definition));
        let mut expected: Vec<String> =
            topics.into_iter().filter(|t| definition.matches(topic(t))).collect();
        let segments = |t: &String| t.split('/').map(String::from).collect::<Vec<_>>();
        expected.sort_by_key(segments);
        expected.dedup();
        prop_assert_eq!(all(&store, &filter, max), expected);
    }

    /// The values that are due are found in the order of their deadlines, however the store came to hold them.
    #[test]
    fn what_expires_is_what_a_naive_model_says(
        changes in prop::collection::vec((text(&["a", "b"]), 0..2_usize, prop::option::of(101..120_u64)), 1..60),
        steps in prop::collection::vec(100..122_u64, 1..6),
    ) {
        let mut store = RetainedStore::new(&Limits::default(), 1);
        let mut naive = BTreeMap::new();
        for (name, len, deadline) in changes {
            let deadline = deadline.map(Instant::from_micros);
            store.set(&message(TenantId::DEFAULT, &name, &"x".repeat(len), deadline), NOW).unwrap();
            naive.remove(&name);
            if len > 0 {
                naive.insert(name, deadline);
            }
        }
        for step in steps {
            let now = Instant::from_micros(step);
            let before = naive.len();
            naive.retain(|_, deadline| deadline.is_none_or(|d| d > now));
            prop_assert_eq!(store.expire(now, 100).len(), before - naive.len());
            prop_assert_eq!(store.len(), naive.len());
            prop_assert_eq!(store.next_deadline(), naive.values().flatten().min().copied());
        }
    }

    #[test]
    fn set_and_clear_keep_count(
        changes in prop::collection::vec((text(&["a", "b", "c"]), 0..4_usize), 1..80),
    ) {
        let mut store = RetainedStore::new(&Limits::default(), 1);
        let mut naive = BTreeMap::new();
        for (name, len) in changes {
            let value = message(TenantId::DEFAULT, &name, &"x".repeat(len), None);
            store.set(&value, NOW).unwrap();
            if len == 0 {
                naive.remove(&name);
            } else {
                naive.insert(name, value);
            }
            prop_assert_eq!(store.len(), naive.len());
            prop_assert_eq!(store.bytes(), naive.values().map(Message::cost_bytes).sum::<usize>());
        }
        for (name, value) in &naive {
            let kept = store.get(TenantId::DEFAULT, topic(name), NOW).unwrap();
            prop_assert_eq!(kept.payload(), value.payload());
        }
    }
}

#[test]
fn a_page_does_bounded_work_and_goes_on_where_it_stopped() {
    let topics: Vec<String> = (0..5_000).map(|i| alloc::format!("d/{i}/x")).collect();
    let mut store = store_of(&topics);
    store.set(&message(TenantId::DEFAULT, "d/zz/y", "v", None), NOW).unwrap();
    let filter = Filter::new(b"d/+/y").unwrap();
    let (mut cursor, mut found, mut calls) = (Cursor::default(), Vec::new(), 1);
    while store.page(TenantId::DEFAULT, filter, &mut cursor, 10, NOW, &mut found) {
        calls += 1;
    }
    assert_eq!(found.len(), 1);
    assert!(calls > 3);
}

#[test]
fn a_walk_goes_on_after_a_topic_that_is_named() {
    let store = store_of(&["a".into(), "a/b".into(), "a!".into(), "b".into()]);
    let mut found = Vec::new();
    let mut cursor = Cursor::after(topic("a/b"));
    let filter = Filter::new(b"#").unwrap();
    assert!(!store.page(TenantId::DEFAULT, filter, &mut cursor, 9, NOW, &mut found));
    let names: Vec<_> = found.iter().map(|m| m.topic().as_bytes()).collect();
    assert_eq!(names, [b"a!".as_slice(), b"b"]);
}

#[test]
fn a_filter_whose_beginning_no_topic_has_cannot_match() {
    let mut store = store_of(&["a/b/c".into(), "$s/x".into()]);
    let may_match = |store: &RetainedStore, tenant, filter: &str| {
        store.may_match(TenantId::new(tenant), Filter::new(filter.as_bytes()).unwrap())
    };
    for (filter, expected) in [
        ("#", true),
        ("a/#", true),
        ("a/b/+", true),
        ("a/c/+", false),
        ("a/a/#", false),
        ("b", false),
        ("z/#", false),
    ] {
        assert_eq!(may_match(&store, 0, filter), expected, "{filter}");
        assert!(!may_match(&store, 1, filter));
    }
    for name in ["a/b/c", "$s/x"] {
        store.set(&message(TenantId::DEFAULT, name, "", None), NOW).unwrap();
    }
    assert!(!may_match(&store, 0, "#"));
}

#[test]
fn an_exact_filter_is_answered_once() {
    let store = store_of(&["a/b".into()]);
    let filter = Filter::new(b"a/b").unwrap();
    let (mut cursor, mut found) = (Cursor::default(), Vec::new());
    assert!(store.page(TenantId::DEFAULT, filter, &mut cursor, 0, NOW, &mut found));
    assert!(!store.page(TenantId::DEFAULT, filter, &mut cursor, 1, NOW, &mut found));
    assert!(!store.page(TenantId::DEFAULT, filter, &mut cursor, 1, NOW, &mut found));
    assert_eq!(found.len(), 1);
}

#[test]
fn an_expired_value_is_never_seen() {
    let mut store = RetainedStore::new(&Limits::default(), 1);
    let deadline = Some(Instant::from_micros(200));
    store.set(&message(TenantId::DEFAULT, "a", "v", deadline), NOW).unwrap();
    assert!(store.get(TenantId::DEFAULT, topic("a"), NOW).is_some());
    let later = Instant::from_micros(200);
    assert!(store.get(TenantId::DEFAULT, topic("a"), later).is_none());
    for filter in [b"a".as_slice(), b"+", b"#"] {
        let mut found = Vec::new();
        let filter = Filter::new(filter).unwrap();
        assert!(!store.page(TenantId::DEFAULT, filter, &mut Cursor::default(), 9, later, &mut found));
        assert!(found.is_empty());
    }
    store.set(&message(TenantId::DEFAULT, "a", "w", deadline), later).unwrap();
    assert!(store.is_empty());
}

#[test]
fn limits_hold_for_each_tenant_and_leave_what_is_there() {
    let cost = message(TenantId::DEFAULT, "a", "v", None).cost_bytes();
    let limits = Limits {
        retained_messages_max: 2,
        retained_bytes_max: 2 * cost + 1,
        retained_message_bytes_max: cost + 2,
        ..Limits::default()
    };
    let mut store = RetainedStore::new(&limits, 1);
    let mut set = |tenant, name, value| store.set(&message(TenantId::new(tenant), name, value, None), NOW);
    assert_eq!(set(0, "a", "v"), Ok(()));
    assert_eq!(set(0, "b", "v"), Ok(()));
    assert_eq!(set(0, "c", "v"), Err(Reason::QuotaExceeded));
    assert_eq!(set(0, "b", "vv"), Ok(()));
    assert_eq!(set(0, "a", "vv"), Err(Reason::QuotaExceeded));
    assert_eq!(set(0, "a", "vvvv"), Err(Reason::TooLarge));
    assert_eq!(set(1, "c", "v"), Ok(()));
    assert_eq!(set(0, "a", ""), Ok(()));
    assert_eq!(set(0, "c", "v"), Ok(()));
    assert_eq!((store.len(), store.bytes()), (3, 3 * cost + 1));
}

#[test]
fn expired_values_are_taken_out_and_hold_no_quota() {
    let at = |micros| Some(Instant::from_micros(micros));
    let limits = Limits { retained_messages_max: 4, ..Limits::default() };
    let mut store = RetainedStore::new(&limits, 1);
    let value = |name, deadline| message(TenantId::DEFAULT, name, "v", deadline);
    for (name, deadline) in [("c", at(300)), ("a", at(200)), ("b", at(250)), ("d", None)] {
        store.set(&value(name, deadline), NOW).unwrap();
    }
    // What is replaced or cleared is forgotten with its deadline.
    store.set(&value("b", at(400)), NOW).unwrap();
    assert_eq!(store.next_deadline(), at(200));
    assert_eq!(store.expire(Instant::from_micros(199), 9).len(), 0);
    assert_eq!(store.set(&value("e", None), Instant::from_micros(300)), Err(Reason::QuotaExceeded));
    assert_eq!(store.expire(Instant::from_micros(300), 1).len(), 1);
    assert_eq!((store.len(), store.next_deadline()), (3, at(300)));
    assert_eq!(store.expire(Instant::from_micros(300), 9).len(), 1);
    assert_eq!(store.set(&value("e", None), Instant::from_micros(300)), Ok(()));
    store.set(&message(TenantId::DEFAULT, "b", "", None), Instant::from_micros(300)).unwrap();
    assert_eq!(store.next_deadline(), None);
    assert_eq!(store.len(), 2);
}

#[test]
fn a_write_can_depend_on_the_value_that_is_there() {
    let mut store = RetainedStore::new(&Limits::default(), 1);
    let value = |text| message(TenantId::DEFAULT, "a", text, Some(Instant::from_micros(200)));
    let (one, two) = (value("1"), value("2"));
    let is = |store: &RetainedStore, message| alloc::vec![Condition::OneOf(alloc::vec![store.tag(message)])];
    let is_one = is(&store, &one);
    assert_eq!(store.set_if(&one, &is_one, NOW), Err(Reason::ConditionFailed));
    assert_eq!(store.set_if(&one, &[Condition::Present], NOW), Err(Reason::ConditionFailed));
    assert!(store.is_empty());
    assert_eq!(store.set_if(&one, &[Condition::Absent], NOW), Ok(()));
    assert_eq!(store.set_if(&two, &[Condition::Absent], NOW), Err(Reason::ConditionFailed));
    assert_eq!(store.set_if(&two, &is_one, NOW), Ok(()));
    assert_eq!(store.set_if(&one, &is_one, NOW), Err(Reason::ConditionFailed));
    assert_eq!(
        store.set_if(&one, &[Condition::Present, is_one[0].clone()], NOW),
        Err(Reason::ConditionFailed)
    );
    assert!(store.holds(TenantId::DEFAULT, topic("a"), &is(&store, &two), NOW));
    // An expired value is no value.
    assert!(store.holds(TenantId::DEFAULT, topic("a"), &[Condition::Absent], Instant::from_micros(200)));
}

#[test]
fn a_tag_tells_apart_what_differs_in_anything() {
    use mynah_model::{Class, Layout, MessageView};
    let store = RetainedStore::new(&Limits::default(), 1);
    let base = message(TenantId::DEFAULT, "a", "v", None);
    let again = message(TenantId::DEFAULT, "a", "v", None);
    assert_eq!(store.tag(&base), store.tag(&again));
    assert_ne!(store.tag(&base), RetainedStore::new(&Limits::default(), 2).tag(&base));
    let view = base.view();
    let variant = |change: fn(&mut mynah_model::Header)| {
        let mut header = *view.header;
        change(&mut header);
        store.tag(&MessageView { header: &header, native: view.native }.to_message())
    };
    let tags = [
        store.tag(&base),
        store.tag(&message(TenantId::DEFAULT, "a", "w", None)),
        variant(|h| h.priority = 5),
        variant(|h| h.class = Class::AtMostOnce),
        variant(|h| h.layout = Layout { id: 0, version: 1 }),
        variant(|h| h.deadline = Some(Instant::ZERO)),
        variant(|h| h.deadline = Some(Instant::from_micros(1))),
    ];
    let distinct: BTreeSet<u64> = tags.iter().map(|tag| tag.number()).collect();
    assert_eq!(distinct.len(), tags.len());
}
