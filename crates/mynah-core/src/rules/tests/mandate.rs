//! Mandates: what they take away, and that they give nothing.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use mynah_model::{Filter, Topic};
use proptest::prelude::*;

use super::super::*;
use super::filters::mqtt_filter;
use super::{rule, topic, user};
use Action::{Connect, Publish, Retain, Subscribe};

fn mandate(publish: &[impl AsRef<str>], subscribe: &[impl AsRef<str>]) -> Arc<Mandate> {
    fn filters(texts: &[impl AsRef<str>]) -> Vec<RuleFilter> {
        texts.iter().map(|text| RuleFilter::new(text.as_ref()).unwrap()).collect()
    }
    Arc::new(Mandate::new(filters(publish), filters(subscribe)))
}

fn within(rules: &[Rule], mandate: &Arc<Mandate>) -> Rights {
    let mut resolver = Resolver::new(Arc::new(Rules::new(rules.to_vec())));
    resolver.resolve_within(&Peer::new(&user("ann"), "p"), Some(mandate))
}

#[test]
fn a_mandate_bounds_what_nothing_else_does() {
    let (ann, rights) = (user("ann"), within(&[], &mandate(&["a/%u/#"], &["b/+"])));
    let names = Names::new(&ann, b"c");
    for action in [Publish, Retain, Action::Request] {
        assert!(rights.permits(action, names, topic("a/ann/x")) && !rights.is_free(action));
        assert!(
            !rights.permits(action, names, topic("a/bob/x")) && !rights.permits(action, names, topic("b/x"))
        );
    }
    assert!(
        rights.permits(Subscribe, names, topic("b/x")) && !rights.permits(Subscribe, names, topic("a/ann/x"))
    );
    let grant = |filter: &str| rights.grant(names, Filter::new(filter.as_bytes()).unwrap());
    assert_eq!(
        ["b/+", "b/x", "b/#", "a/ann/x", "#"].map(grant).map(|grant| grant == Grant::Whole),
        [true, true, false, false, false]
    );
    assert!(rights.permits_at_all(Connect));
    assert!(!rights.permits_at_all(Action::Administer));
    for action in [Action::Consume, Action::Configure] {
        assert!(!rights.permits(action, names, topic("a/ann/x")), "{action:?}: queues are not named");
    }
}

#[test]
fn what_the_rules_refuse_no_mandate_gives() {
    let rules = [rule("*", &[Publish], &["a/#"], &["a/secret"]), rule("*", &[Connect], &[], &["**"])];
    let (ann, rights) = (user("ann"), within(&rules, &mandate(&["#"], &["#", "$events/#"])));
    let names = Names::new(&ann, b"c");
    for (at, permitted) in [("a/x", true), ("a/secret", false), ("b", false)] {
        assert_eq!(rights.permits(Publish, names, topic(at)), permitted, "{at}");
    }
    assert!(!rights.permits_at_all(Connect));
    assert!(!rights.permits(Subscribe, names, topic("$events/x")), "this takes a rule");
}

#[test]
fn what_reaches_beyond_a_mandate_is_looked_at_where_the_rules_do_that() {
    let rules = [Rule { check: Check::Delivery, ..rule("*", &[Subscribe], &["a/#"], &[]) }];
    let (ann, rights) = (user("ann"), within(&rules, &mandate(&[""; 0], &["a/b", "c"])));
    let names = Names::new(&ann, b"c");
    for (filter, expected) in
        [("a/b", Grant::Whole), ("a/+", Grant::Partly), ("a/c", Grant::Refused), ("c", Grant::Partly)]
    {
        assert_eq!(rights.grant(names, Filter::new(filter.as_bytes()).unwrap()), expected, "{filter}");
    }
    let seen = ["a/b", "a/c", "c"].map(|at| rights.permits(Subscribe, names, topic(at)));
    assert_eq!(seen, [true, false, false]);
}

#[test]
fn decisions_within_a_mandate_are_nobody_elses() {
    let (ann, mut resolver) = (user("ann"), Resolver::new(Arc::new(Rules::default())));
    let (peer, names) = (Peer::new(&ann, "p"), Names::new(&ann, b"c"));
    let narrow = resolver.resolve_within(&peer, Some(&mandate(&["a"], &["a"])));
    let other = resolver.resolve_within(&peer, Some(&mandate(&["b"], &["b"])));
    let free = resolver.resolve_within(&peer, None);
    let mut decisions = Decisions::new(16);
    let number = core::num::NonZeroU64::new(7);
    let mut decide = |rights: &Rights| {
        decisions.decide(rights, Publish, number, || rights.permits(Publish, names, topic("a")))
    };
    assert_eq!([&narrow, &other, &free, &narrow].map(&mut decide), [true, false, true, true]);
}

fn filters() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(mqtt_filter(&["a", "b", "+", "%u"]), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// A mandate and rules together permit what the rules permit and rules that allow just the mandate would permit.
    #[test]
    fn a_mandate_is_as_rules_that_have_to_agree(
        allowed in filters(),
        denied in filters(),
        named in filters(),
        asked in prop::collection::vec(mqtt_filter(&["a", "b", "ann", "+"]), 4),
    ) {
        fn texts(filters: &[String]) -> Vec<&str> {
            filters.iter().map(String::as_str).collect()
        }
        let (ann, actions) = (user("ann"), [Publish, Subscribe]);
        let own = [rule("*", &actions, &texts(&allowed), &texts(&denied))];
        // Somebody else's rule closes the actions to those whom the mandate names nothing.
        let other = [rule("*", &actions, &texts(&named), &[]), rule("bob", &actions, &["**"], &[])];
        let both = within(&own, &mandate(&named, &named));
        let (own, other) = (super::rights(&own, &Peer::new(&ann, "p")), super::rights(&other, &Peer::new(&ann, "p")));
        let names = Names::new(&ann, b"c");
        for text in &asked {
            let filter = Filter::new(text.as_bytes()).unwrap();
            let expected = [&own, &other].map(|rights| rights.grant(names, filter) == Grant::Whole);
            prop_assert_eq!(both.grant(names, filter) == Grant::Whole, expected == [true, true], "{}", text);
            let text = text.replace(['+', '#'], "q");
            let topic = Topic::new(text.as_bytes()).unwrap();
            for action in actions {
                let expected = own.permits(action, names, topic) && other.permits(action, names, topic);
                prop_assert_eq!(both.permits(action, names, topic), expected, "{}", text);
            }
        }
    }
}
