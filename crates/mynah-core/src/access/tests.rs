//! Rules, and relations between filters against enumeration.

use alloc::string::{String, ToString};

use mynah_model::TenantId;
use proptest::prelude::*;

use super::*;

fn rules(lines: &[(&str, Action, Effect, &str)]) -> AccessRules {
    let rule = |(who, action, effect, filter): &(&str, Action, Effect, &str)| {
        let subject = match *who {
            "*" => Subject::Everyone,
            "?" => Subject::Anonymous,
            name => Subject::Named(name.into()),
        };
        Rule::new(subject, *action, *effect, filter).unwrap()
    };
    AccessRules::new(lines.iter().map(rule).collect())
}

fn user(name: &str) -> Identity {
    Identity::user(TenantId::DEFAULT, name)
}

fn publish(rules: &AccessRules, identity: &Identity, client_id: &str, topic: &str) -> bool {
    rules.may_publish(identity, client_id.as_bytes(), Topic::new(topic.as_bytes()).unwrap())
}

fn subscribe(rules: &AccessRules, identity: &Identity, client_id: &str, filter: &str) -> bool {
    grant(rules, identity, client_id, filter) == Grant::Whole
}

fn grant(rules: &AccessRules, identity: &Identity, client_id: &str, filter: &str) -> Grant {
    rules.grant(identity, client_id.as_bytes(), Filter::new(filter.as_bytes()).unwrap())
}

#[test]
fn a_filter_that_reaches_too_far_is_refused_or_looked_at_message_by_message() {
    let lines = [("*", Subscribe, Allow, "a/#"), ("*", Subscribe, Deny, "a/secret/#")];
    let ann = user("ann");
    for (filter, at_delivery) in [
        ("a/b", Grant::Whole),
        ("a/secret/x", Grant::Refused),
        ("a/secret/#", Grant::Refused),
        ("a/+/x", Grant::Partly),
        ("a/#", Grant::Partly),
        ("#", Grant::Partly),
        ("b", Grant::Refused),
        ("b/#", Grant::Refused),
    ] {
        let at_subscription = if at_delivery == Grant::Partly { Grant::Refused } else { at_delivery };
        assert_eq!(grant(&rules(&lines), &ann, "c", filter), at_subscription, "{filter}");
        let checked = rules(&lines).with_check(Check::Delivery);
        assert_eq!(grant(&checked, &ann, "c", filter), at_delivery, "{filter}");
    }
    for (topic, seen) in
        [("a", true), ("a/x", true), ("a/secret", false), ("a/secret/x", false), ("b", false)]
    {
        let topic = Topic::new(topic.as_bytes()).unwrap();
        assert_eq!(rules(&lines).may_receive(&ann, b"c", topic), seen, "{topic}");
    }
}

#[test]
fn a_rule_covers_a_filter_with_an_inner_many() {
    for (rule, filter, covered) in [
        ("+/#", "#/a", true),
        ("+/+/#", "a/#/b", true),
        ("+/+/#", "#/a", false),
        ("a/+/#", "a/#/b", true),
        ("a/+", "a/#/b", false),
        ("#/b", "a/#/b", true),
    ] {
        let rules = rules(&[("*", Subscribe, Allow, rule)]);
        assert_eq!(subscribe(&rules, &user("ann"), "c", filter), covered, "{rule} {filter}");
    }
}

use Action::{Publish, Subscribe};
use Effect::{Allow, Deny};

#[test]
fn without_a_rule_that_concerns_it_everything_is_permitted() {
    assert!(AccessRules::default().is_unrestricted());
    let rules = rules(&[("ann", Publish, Allow, "a/#")]);
    assert!(!rules.is_unrestricted());
    assert!(publish(&rules, &user("bob"), "c", "b"));
    assert!(subscribe(&rules, &user("ann"), "c", "#"));
    assert!(publish(&rules, &user("ann"), "c", "a/b"));
    assert!(!publish(&rules, &user("ann"), "c", "b"));
}

#[test]
fn a_deny_wins_over_every_allow() {
    let rules = rules(&[
        ("*", Publish, Allow, "#"),
        ("*", Publish, Deny, "+/secret"),
        ("*", Subscribe, Deny, "a/secret/#"),
    ]);
    assert!(!publish(&rules, &user("ann"), "c", "a/secret"));
    assert!(publish(&rules, &user("ann"), "c", "a/secret/b"));
    for (filter, permitted) in
        [("a/+", false), ("#", false), ("+/+/x", false), ("a/b", true), ("b/#", true), ("a", true)]
    {
        assert_eq!(subscribe(&rules, &user("ann"), "c", filter), permitted, "{filter}");
    }
}

#[test]
fn placeholders_stand_for_one_ordinary_segment() {
    let rules = rules(&[
        ("*", Publish, Allow, "u/%u/#"),
        ("*", Publish, Allow, "%c/x"),
        ("*", Subscribe, Allow, "u/%u/#"),
    ]);
    assert!(publish(&rules, &user("ann"), "c1", "u/ann/t"));
    assert!(!publish(&rules, &user("ann"), "c1", "u/bob/t"));
    assert!(publish(&rules, &user("ann"), "c1", "c1/x"));
    assert!(subscribe(&rules, &user("ann"), "c1", "u/ann/+"));
    assert!(!subscribe(&rules, &user("ann"), "c1", "u/+/t"));
    for name in ["a/b", "+", "#", ""] {
        assert!(!publish(&rules, &user("ann"), name, &alloc::format!("{}/x", name.replace(['+', '#'], "q"))));
        assert!(!subscribe(&rules, &user(name), "c1", "u/+/x"), "{name}");
    }
    assert!(!publish(&rules, &user("ann"), "$SYS", "$SYS/x"));
}

#[test]
fn an_anonymous_identity_is_no_user() {
    let rules = rules(&[
        ("tcp", Publish, Allow, "user"),
        ("?", Publish, Allow, "nobody"),
        ("*", Publish, Allow, "own/%u"),
    ]);
    let anonymous = Identity::anonymous(TenantId::DEFAULT, "tcp");
    for (topic, as_anonymous, as_user) in
        [("user", false, true), ("nobody", true, false), ("own/tcp", false, true)]
    {
        assert_eq!(publish(&rules, &anonymous, "c", topic), as_anonymous, "{topic}");
        assert_eq!(publish(&rules, &user("tcp"), "c", topic), as_user, "{topic}");
    }
}

#[test]
fn what_is_no_rule_says_why() {
    let rule = |filter| Rule::new(Subject::Everyone, Publish, Allow, filter).map(drop);
    assert_eq!(rule("a/x%u"), Err(RuleError::PartialPlaceholder));
    assert_eq!(rule("a/b+"), Err(RuleError::Filter(FilterError::PartialWildcard)));
    assert!(rule("").unwrap_err().to_string().contains("empty"));
    assert_eq!(rule("%u/%c/100%/#"), Ok(()));
}

fn filter(segments: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(segments), 1..5).prop_map(|s| s.join("/"))
}

fn mqtt_filter() -> impl Strategy<Value = String> {
    (filter(&["a", "b", "$s", "+"]), any::<bool>()).prop_map(|(f, tail)| if tail { f + "/#" } else { f })
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

proptest! {
    #[test]
    fn relations_between_filters_are_exact(a in mqtt_filter(), b in mqtt_filter()) {
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
}
