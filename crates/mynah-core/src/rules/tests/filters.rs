//! Relations between filters, and sets of them, against enumeration and against each filter alone.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mynah_model::{Filter, Segment, Topic};
use proptest::prelude::*;

use super::super::cover;
use super::super::filters::{FilterSet, Names};
use super::super::rule::RuleFilter;
use super::user;

fn filter(segments: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(segments), 1..5).prop_map(|s| s.join("/"))
}

pub(super) fn mqtt_filter(segments: &'static [&'static str]) -> impl Strategy<Value = String> {
    let tail = (filter(segments), any::<bool>()).prop_map(|(f, tail)| if tail { f + "/#" } else { f });
    prop_oneof![9 => tail, 1 => Just("#".to_string())]
}

/// All topics of up to five segments over what the filters know, one segment that they do not know, and one `$`.
fn topics() -> Vec<String> {
    let alphabet = ["a", "b", "q", "$s"];
    let mut all: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
    let mut last = all.clone();
    for _ in 1..5 {
        last = last.iter().flat_map(|t| alphabet.map(|s| alloc::format!("{t}/{s}"))).collect();
        all.extend_from_slice(&last);
    }
    all
}

fn relations(a: &str, b: &str) -> ((bool, bool), (bool, bool)) {
    let (fa, fb) = (Filter::new(a.as_bytes()).unwrap(), Filter::new(b.as_bytes()).unwrap());
    let (mut inside, mut common) = (true, false);
    for text in topics() {
        let topic = Topic::new(text.as_bytes()).unwrap();
        inside &= !fb.matches(topic) || fa.matches(topic);
        common |= fa.matches(topic) && fb.matches(topic);
        assert_eq!(cover::selects(fa.segments(), topic), fa.matches(topic), "{a} {text}");
    }
    let (sa, sb): (Vec<_>, Vec<_>) = (fa.segments().collect(), fb.segments().collect());
    ((cover::covers(&sa, &sb), inside), (cover::meets(&sa, &sb), common))
}

#[test]
fn a_filter_covers_one_with_an_inner_many() {
    for (outer, inner, covered) in [
        ("+/#", "#/a", true),
        ("+/+/#", "a/#/b", true),
        ("+/+/#", "#/a", false),
        ("a/+/#", "a/#/b", true),
        ("a/+", "a/#/b", false),
        ("#/b", "a/#/b", true),
    ] {
        let set = FilterSet::new([RuleFilter::new(outer).unwrap()].into());
        let inner: Vec<_> = Filter::new(inner.as_bytes()).unwrap().segments().collect();
        assert_eq!(set.covers(Names::new(&user("u"), b"c"), &inner), covered, "{outer} {inner:?}");
    }
}

proptest! {
    #[test]
    fn relations_between_filters_are_exact(
        a in mqtt_filter(&["a", "b", "$s", "+"]),
        b in mqtt_filter(&["a", "b", "$s", "+"]),
    ) {
        let (covers, meets) = relations(&a, &b);
        prop_assert_eq!(covers.0, covers.1, "{} covers {}", a, b);
        prop_assert_eq!(meets.0, meets.1, "{} meets {}", a, b);
    }

    #[test]
    fn with_an_inner_many_they_err_on_the_safe_side(
        a in filter(&["a", "$s", "+", "#"]),
        b in filter(&["a", "$s", "+", "#"]),
    ) {
        let (covers, meets) = relations(&a, &b);
        // What the short topics do not refute may still be false: only refutations count.
        prop_assert!(!covers.0 || covers.1, "{} covers {}", a, b);
        prop_assert!(meets.0 || !meets.1, "{} meets {}", a, b);
    }

    /// A set says of a topic or a filter what one of its filters says alone.
    #[test]
    fn a_set_of_filters_is_its_filters(
        set in prop::collection::vec(
            prop_oneof![
                6 => mqtt_filter(&["a", "b", "$s", "+", "%u", "%c"]),
                1 => filter(&["a", "%u", "+", "#"]),
            ],
            0..6,
        ),
        asked in prop_oneof![
            4 => mqtt_filter(&["a", "b", "u", "$s", "+"]),
            1 => filter(&["a", "u", "+", "#"]),
        ],
        user_name in prop::sample::select(&["u", "a", "$s", "", "+"][..]),
        client_id in prop::sample::select(&["c", "b", "a/b"][..]),
        topic in filter(&["a", "b", "u", "c", "$s", "q"]),
    ) {
        let identity = user(user_name);
        let names = Names::new(&identity, client_id.as_bytes());
        let compiled = FilterSet::new(set.iter().map(|f| RuleFilter::new(f).unwrap()).collect());
        prop_assert_eq!(compiled.has_placeholder(), set.iter().any(|f| f.contains('%')));
        prop_assert_eq!(compiled.is_empty(), set.is_empty());
        let put: Vec<Vec<Segment<'_>>> = set.iter().filter_map(|f| names.put_into(f.as_bytes())).collect();
        let topic = Topic::new(topic.as_bytes()).unwrap();
        prop_assert_eq!(
            compiled.selects(names, topic),
            put.iter().any(|filter| cover::selects(filter.iter().copied(), topic))
        );
        let asked: Vec<_> = Filter::from_checked(asked.as_bytes()).segments().collect();
        prop_assert_eq!(compiled.covers(names, &asked), put.iter().any(|f| cover::covers(f, &asked)));
        prop_assert_eq!(compiled.meets(names, &asked), put.iter().any(|f| cover::meets(f, &asked)));
    }
}
