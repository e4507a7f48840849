//! Rules against a naive evaluator, and relations between filters against enumeration.

mod filters;
mod mandate;
mod naive;

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use core::num::{NonZeroU32, NonZeroU64};

use mynah_model::{Filter, FilterError, Groups, Identity, TenantId, Topic};

use super::*;
use Action::{Configure, Connect, Consume, Publish, Request, Retain, Subscribe};

fn reach(filters: &[&str]) -> Reach {
    match filters {
        [] => Reach::Nothing,
        ["**"] => Reach::Everything,
        _ => Reach::Filters(filters.iter().map(|f| RuleFilter::new(f).unwrap()).collect()),
    }
}

/// A rule about a user, or everybody (`*`), or the anonymous (`?`), or a group (`@name`).
fn rule(who: &str, actions: &[Action], allow: &[&str], deny: &[&str]) -> Rule {
    let who = match who {
        "*" => Who::default(),
        "?" => Who { anonymous: Some(true), ..Who::default() },
        name => match name.strip_prefix('@') {
            Some(group) => Who { groups: vec![group.into()], ..Who::default() },
            None => Who { identities: vec![name.into()], ..Who::default() },
        },
    };
    Rule { who, actions: actions.to_vec(), allow: reach(allow), deny: reach(deny), ..Rule::default() }
}

fn user(name: &str) -> Identity {
    Identity::user(TenantId::DEFAULT, name)
}

fn topic(text: &str) -> Topic<'_> {
    Topic::new(text.as_bytes()).unwrap()
}

fn rights(rules: &[Rule], peer: &Peer<'_>) -> Rights {
    Resolver::new(Arc::new(Rules::new(rules.to_vec()))).resolve(peer)
}

fn permits(rules: &[Rule], action: Action, identity: &Identity, client_id: &str, at: &str) -> bool {
    let names = Names::new(identity, client_id.as_bytes());
    rights(rules, &Peer::new(identity, "p")).permits(action, names, topic(at))
}

fn grant(rules: &[Rule], identity: &Identity, client_id: &str, filter: &str) -> Grant {
    let names = Names::new(identity, client_id.as_bytes());
    rights(rules, &Peer::new(identity, "p")).grant(names, Filter::new(filter.as_bytes()).unwrap())
}

#[test]
fn without_rules_everything_is_permitted_and_nothing_decided() {
    let none = Rules::default();
    assert!(none.is_empty());
    let rights = Resolver::new(Arc::new(none)).resolve(&Peer::new(&user("ann"), "p"));
    assert!(Action::ALL.iter().all(|action| rights.is_free(*action)));
}

#[test]
fn once_an_action_is_allowed_to_anybody_it_is_permitted_only_where_it_is_allowed() {
    let rules = [rule("ann", &[Publish], &["a/#"], &[])];
    assert!(permits(&rules, Publish, &user("ann"), "c", "a/b"));
    assert!(!permits(&rules, Publish, &user("ann"), "c", "b"));
    assert!(!permits(&rules, Publish, &user("bob"), "c", "a/b"));
    assert!(permits(&rules, Subscribe, &user("bob"), "c", "a/b"), "no rule speaks of it");
}

#[test]
fn a_deny_wins_over_every_allow_and_closes_nothing_else() {
    let rules = [
        rule("*", &[Publish], &["**"], &["+/secret"]),
        rule("*", &[Subscribe], &[], &["a/secret/#"]),
        rule("@g", &[Publish], &["x/secret"], &[]),
    ];
    assert!(!permits(&rules, Publish, &user("ann"), "c", "a/secret"));
    assert!(permits(&rules, Publish, &user("ann"), "c", "a/secret/b"));
    assert!(permits(&rules, Publish, &user("ann"), "c", "$x"), "everything is no filter");
    for (filter, permitted) in
        [("a/+", false), ("#", false), ("+/+/x", false), ("a/b", true), ("b/#", true), ("a", true)]
    {
        let expected = if permitted { Grant::Whole } else { Grant::Refused };
        assert_eq!(grant(&rules, &user("ann"), "c", filter), expected, "{filter}");
    }
}

#[test]
fn a_subscription_that_reaches_too_far_is_refused_or_looked_at_message_by_message() {
    let rules = [rule("*", &[Subscribe], &["a/#"], &["a/secret/#"])];
    let mut checked = rules.to_vec();
    checked.push(Rule { check: Check::Delivery, ..Rule::default() });
    let mut all_checked = rules.to_vec();
    all_checked[0].check = Check::Delivery;
    use Grant::{Partly, Refused, Whole};
    for (filter, at_once, later, always) in [
        ("a/b", Whole, Whole, Whole),
        ("a/secret/#", Refused, Refused, Partly),
        ("a/+/x", Refused, Partly, Partly),
        ("#", Refused, Partly, Partly),
        ("b", Refused, Partly, Partly),
    ] {
        assert_eq!(grant(&rules, &user("ann"), "c", filter), at_once, "{filter}");
        assert_eq!(grant(&checked, &user("ann"), "c", filter), later, "{filter}");
        assert_eq!(grant(&all_checked, &user("ann"), "c", filter), always, "{filter}");
    }
    for (at, seen) in [("a", true), ("a/x", true), ("a/secret", false), ("a/secret/x", false), ("b", false)] {
        assert_eq!(permits(&checked, Subscribe, &user("ann"), "c", at), seen, "{at}");
    }
}

#[test]
fn placeholders_stand_for_one_ordinary_segment() {
    let rules = [rule("*", &[Publish], &["u/%u/#", "%c/x"], &[]), rule("*", &[Subscribe], &["u/%u/#"], &[])];
    let ann = user("ann");
    assert!(permits(&rules, Publish, &ann, "c1", "u/ann/t"));
    assert!(!permits(&rules, Publish, &ann, "c1", "u/bob/t"));
    assert!(permits(&rules, Publish, &ann, "c1", "c1/x"));
    assert_eq!(grant(&rules, &ann, "c1", "u/ann/+"), Grant::Whole);
    assert_eq!(grant(&rules, &ann, "c1", "u/+/t"), Grant::Refused);
    for name in ["a/b", "+", "#", ""] {
        let at = alloc::format!("{}/x", name.replace(['+', '#'], "q"));
        assert!(!permits(&rules, Publish, &ann, name, &at), "{name}");
        assert_eq!(grant(&rules, &user(name), "c1", "u/+/x"), Grant::Refused, "{name}");
    }
    assert!(!permits(&rules, Publish, &ann, "$SYS", "$SYS/x"));
}

#[test]
fn an_anonymous_identity_is_no_user() {
    let rules = [
        rule("tcp", &[Publish], &["user"], &[]),
        rule("?", &[Publish], &["nobody"], &[]),
        rule("*", &[Publish], &["own/%u"], &[]),
    ];
    let anonymous = Identity::anonymous(TenantId::DEFAULT, "tcp");
    for (at, as_anonymous, as_user) in
        [("user", false, true), ("nobody", true, false), ("own/tcp", false, true)]
    {
        assert_eq!(permits(&rules, Publish, &anonymous, "c", at), as_anonymous, "{at}");
        assert_eq!(permits(&rules, Publish, &user("tcp"), "c", at), as_user, "{at}");
    }
}

#[test]
fn an_action_without_a_target_is_permitted_as_a_whole() {
    let rules = [rule("*", &[Connect], &["**"], &[]), rule("bob", &[Connect], &[], &["**"])];
    for (name, permitted) in [("ann", true), ("bob", false)] {
        assert_eq!(rights(&rules, &Peer::new(&user(name), "p")).permits_at_all(Connect), permitted, "{name}");
    }
    assert!(
        !rights(&[rule("ann", &[Connect], &["**"], &[])], &Peer::new(&user("bob"), "p"))
            .permits_at_all(Connect)
    );
}

#[test]
fn every_criterion_of_a_rule_has_to_fit() {
    let who = Who {
        tenants: vec![TenantId::new(3), TenantId::DEFAULT],
        identities: vec!["ann".into(), "bob".into()],
        groups: vec!["g".into()],
        certificates: vec![Certificate::Sha256([7; 32]), Certificate::CommonName("cn".into())],
        networks: vec![Network::v4(0x0A00_0000, 8), Network::v6(0x2001_0db8 << 96, 32)],
        protocols: vec!["p".into()],
        anonymous: Some(false),
    };
    let rules = Arc::new(Rules::new(vec![Rule { who, ..rule("*", &[Publish], &[], &["**"]) }]));
    let (ann, eve, elsewhere) = (user("ann"), user("eve"), Identity::user(TenantId::new(4), "ann"));
    let (groups, others) = (Groups::from_iter(["g", "h"]), Groups::from_iter(["h"]));
    let fitting = Peer {
        groups: &groups,
        sha256: Some(&[7; 32]),
        address: Some(Address::v4(0x0A01_0203)),
        ..Peer::new(&ann, "p")
    };
    let named = Peer { sha256: None, common_name: Some("cn"), ..fitting };
    let sixth = Peer { address: Some(Address::v6(0x2001_0db8 << 96 | 1)), ..fitting };
    let mapped = Peer { address: Some(Address::v6(0xFFFF_0A00_0001)), ..fitting };
    let misfits = [
        Peer { identity: &elsewhere, ..fitting },
        Peer { identity: &eve, ..fitting },
        Peer { groups: &others, ..fitting },
        Peer { sha256: Some(&[8; 32]), ..fitting },
        Peer { common_name: Some("other"), sha256: None, ..fitting },
        Peer { address: Some(Address::v4(0x0B01_0203)), ..fitting },
        Peer { address: None, ..fitting },
        Peer { protocol: "q", ..fitting },
    ];
    let denied = |peer: &Peer<'_>| !Resolver::new(Arc::clone(&rules)).resolve(peer).permits_at_all(Publish);
    assert!([fitting, named, sixth, mapped].iter().all(denied));
    assert!(!misfits.iter().any(denied));
}

#[test]
fn queues_and_requests_are_asked_about_by_name_and_no_action_stands_for_another() {
    let rules = Arc::new(Rules::new(vec![
        rule("ann", &[Consume], &["jobs/%u", "jobs/all"], &[]),
        rule("*", &[Configure], &[], &["jobs/#"]),
        rule("*", &[Request], &["ask/+"], &["ask/%c"]),
    ]));
    let (ann, bob) = (user("ann"), user("bob"));
    let mut resolver = Resolver::new(rules);
    let mut decisions = Decisions::new(64);
    let mut known: Vec<&str> = vec![];
    let mut permits = |who: &Identity, action, target: &'static str| {
        known.push(target);
        let number =
            known.iter().position(|other| *other == target).and_then(|at| NonZeroU64::new(1 + at as u64));
        let (rights, names) = (resolver.resolve(&Peer::new(who, "p")), Names::new(who, b"c"));
        let target = Topic::new(target.as_bytes()).unwrap();
        let asked = rights.permits(action, names, target);
        assert_eq!(decisions.decide(&rights, action, number, || asked), asked);
        asked
    };
    assert!(permits(&ann, Consume, "jobs/ann") && permits(&ann, Consume, "jobs/all"));
    assert!(!permits(&ann, Consume, "jobs/bob") && !permits(&bob, Consume, "jobs/all"));
    for who in [&ann, &bob] {
        assert!(!permits(who, Configure, "jobs/all") && permits(who, Configure, "other"));
        assert!(permits(who, Request, "ask/x") && !permits(who, Request, "ask/c"));
        assert!(permits(who, Publish, "ask/c") && permits(who, Retain, "jobs/all"));
    }
    let numbers: Vec<_> = Action::ALL.iter().map(|action| *action as usize).collect();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
}

#[test]
fn the_narrowest_rule_sets_a_limit() {
    let limits = |who: &str, messages, subscriptions| Rule {
        quota: Quota {
            messages_per_s: NonZeroU32::new(messages),
            subscriptions: NonZeroU32::new(subscriptions),
            ..Quota::default()
        },
        ..rule(who, &[], &[], &[])
    };
    let rules = [limits("*", 5, 50), limits("@g", 0, 70), limits("@h", 0, 60), limits("ann", 9, 0)];
    let (ann, bob) = (user("ann"), user("bob"));
    for (identity, groups, messages, subscriptions) in
        [(&ann, &["g", "h"][..], 9, 60), (&ann, &["g"], 9, 70), (&bob, &[], 5, 50)]
    {
        let groups = Groups::from_iter(groups.iter().copied());
        let rights = rights(&rules, &Peer { groups: &groups, ..Peer::new(identity, "p") });
        let quota = rights.quota();
        assert_eq!(
            (quota.messages_per_s, quota.subscriptions),
            (NonZeroU32::new(messages), NonZeroU32::new(subscriptions))
        );
        assert!(rights.is_free(Publish), "a limit forbids nothing");
    }
}

#[test]
fn what_is_no_rule_says_why() {
    let error = |filter: &str| RuleFilter::new(filter).map(drop);
    assert_eq!(error("a/x%u"), Err(RuleError::PartialPlaceholder));
    assert_eq!(error("a/b+"), Err(RuleError::Filter(FilterError::PartialWildcard)));
    assert_eq!(error(&"a/".repeat(128)), Err(RuleError::TooDeep));
    assert_eq!(error(&"a/".repeat(127)), Ok(()));
    assert_eq!(error("%u/%c/100%/#"), Ok(()));
    assert!(RuleFilter::new("").is_err());
}

#[test]
fn rights_are_those_of_the_rules_of_now() {
    let rules = |filter: &str| Arc::new(Rules::new(vec![rule("*", &[Publish], &[filter], &[])]));
    let (ann, bob) = (user("ann"), user("bob"));
    let mut resolver = Resolver::new(rules("a"));
    let before = resolver.resolve(&Peer::new(&ann, "p"));
    assert_eq!(before.key(Publish), resolver.resolve(&Peer::new(&bob, "p")).key(Publish), "shared");
    resolver.replace(rules("%u"));
    assert!(!resolver.is_current(&before));
    let after = resolver.resolve(&Peer::new(&ann, "p"));
    assert!(resolver.is_current(&after) && after.key(Publish) != before.key(Publish));
    assert_ne!(after.key(Publish), resolver.resolve(&Peer::new(&bob, "p")).key(Publish), "personal");
}

#[test]
fn a_decision_is_remembered_for_its_rights_action_and_topic_only() {
    let rules = Arc::new(Rules::new(vec![rule("*", &[Publish, Retain], &["%u"], &[])]));
    let mut resolver = Resolver::new(rules);
    let (ann, bob) = (user("ann"), user("bob"));
    let (ann, bob) = (resolver.resolve(&Peer::new(&ann, "p")), resolver.resolve(&Peer::new(&bob, "p")));
    let mut decisions = Decisions::new(4);
    let number = NonZeroU64::new;
    let known = |decisions: &mut Decisions, rights, action, topic| {
        let mut judged = false;
        let said = decisions.decide(rights, action, number(topic), || {
            judged = true;
            false
        });
        (said, !judged)
    };
    assert!(decisions.decide(&ann, Publish, number(1), || true));
    assert_eq!(known(&mut decisions, &ann, Publish, 1), (true, true));
    for (rights, action, topic) in [(&bob, Publish, 1), (&ann, Retain, 1), (&ann, Publish, 2)] {
        assert_eq!(known(&mut decisions, rights, action, topic), (false, false));
    }
    assert_eq!(known(&mut decisions, &ann, Publish, 0), (false, false));
    // However many share four places, no answer is another's.
    for topic in (1..1_000).chain(1..1_000) {
        let rights = if topic % 3 == 0 { &ann } else { &bob };
        assert_eq!(decisions.decide(rights, Publish, number(topic), || topic % 2 == 0), topic % 2 == 0);
    }
}

#[test]
fn an_explanation_names_the_rule_that_decided() {
    let rules = Arc::new(Rules::new(vec![
        rule("bob", &[Publish], &["a/#"], &[]),
        rule("*", &[Subscribe], &["a/b"], &[]),
        rule("*", &[Publish, Subscribe], &["a/b", "u"], &[]),
        rule("ann", &[Publish], &[], &["a/x", "u"]),
    ]));
    let ann = user("ann");
    let explain =
        |action, object| rules.explain(&Peer::new(&ann, "p"), Names::new(&ann, b"c"), action, object);
    let of = |at| explain(Publish, Object::Topic(topic(at)));
    let told = of("u");
    assert_eq!((told.grant, told.basis), (Grant::Refused, Basis::Denied(3)));
    let told = of("a/b");
    assert_eq!((told.grant, told.basis), (Grant::Whole, Basis::Allowed(2)));
    assert_eq!(
        told.verdicts,
        [(0, Verdict::OtherPeer(Criterion::Identity)), (2, Verdict::Allows), (3, Verdict::Elsewhere)]
    );
    assert_eq!((of("z").grant, of("z").basis), (Grant::Refused, Basis::NotAllowed));
    let told = explain(Subscribe, Object::Filter(Filter::new(b"a/+").unwrap()));
    assert_eq!((told.grant, told.basis), (Grant::Refused, Basis::NotAllowed));
    assert_eq!(told.verdicts, [(1, Verdict::AllowsPart), (2, Verdict::AllowsPart)]);
    let told = explain(Connect, Object::Nothing);
    assert_eq!((told.grant, told.basis), (Grant::Whole, Basis::NotDenied));
    let quota = Quota { message_bytes: NonZeroU64::new(1), ..Quota::default() };
    assert_eq!(Rules::new(vec![Rule { quota, ..Rule::default() }]).len(), 1);
}

#[test]
fn what_tells_of_other_peers_takes_a_rule_that_allows_it() {
    let ada = user("ada");
    let sees = |rules: &[Rule], at: &str| {
        (permits(rules, Subscribe, &ada, "c", at), grant(rules, &ada, "c", at) == Grant::Whole)
    };
    let open = [rule("*", &[Publish], &["t"], &[])];
    for at in ["$events/login/refused", "$presence/ada/c"] {
        assert_eq!(sees(&open, at), (false, false), "{at}");
        assert_eq!(sees(&[rule("*", &[Subscribe], &["#"], &[])], at), (false, false), "{at}");
        assert_eq!(sees(&[rule("ada", &[Subscribe], &["**"], &[])], at), (true, true), "{at}");
        assert_eq!(sees(&[rule("bob", &[Subscribe], &["**"], &[])], at), (false, false), "{at}");
        assert!(permits(&open, Retain, &ada, "c", at), "whether it may be written is decided elsewhere");
    }
    assert_eq!(sees(&open, "$SYS/broker"), (true, true));
    assert_eq!(sees(&open, "$eventsx"), (true, true));
    let own = [rule("*", &[Subscribe], &["$presence/%u/#"], &["$presence/ada/secret"])];
    assert_eq!(sees(&own, "$presence/ada/c"), (true, true));
    assert_eq!(sees(&own, "$presence/ada/secret"), (false, false));
    assert_eq!(sees(&own, "$events/login/refused"), (false, false));
    let looked_at = Rule { check: Check::Delivery, ..rule("ada", &[Publish], &["t"], &[]) };
    assert_eq!(grant(&[looked_at], &ada, "c", "$events/#"), Grant::Refused, "nothing of it may be seen");

    let rules = Arc::new(Rules::new(vec![rule("*", &[Publish], &["t"], &[])]).written_at(vec!["f:7".into()]));
    let filter = Object::Filter(Filter::new(b"$events/#").unwrap());
    let told = rules.explain(&Peer::new(&ada, "p"), Names::new(&ada, b"c"), Subscribe, filter);
    assert_eq!((told.grant, told.basis), (Grant::Refused, Basis::NotAllowed));
    assert_eq!((rules.written(0), rules.written(1)), (Some("f:7"), None));
}

#[test]
fn an_address_is_shown_as_it_is_written() {
    for (address, shown, is_loopback) in [
        (Address::v4(0x7F00_0002), "127.0.0.2", true),
        (Address::v4(0x0A00_0001), "10.0.0.1", false),
        (Address::v6(1), "::1", true),
        (Address::v6(0x2001_0DB8 << 96), "2001:db8::", false),
    ] {
        assert_eq!((address.to_string().as_str(), address.is_loopback()), (shown, is_loopback));
    }
}

#[test]
fn whoever_knows_the_address_of_a_reply_may_use_it() {
    let rules = [rule("*", &[Publish, Subscribe, Retain], &["a/#"], &["$reply/#"])];
    let alice = user("alice");
    for (at, expected) in
        [("$reply/1f", true), ("$reply/1f/2", false), ("$reply", false), ("$replyx/1", false)]
    {
        for action in [Publish, Subscribe] {
            assert_eq!(permits(&rules, action, &alice, "", at), expected, "{at}");
        }
        assert!(!permits(&rules, Retain, &alice, "", at));
        assert_eq!(grant(&rules, &alice, "", at) == Grant::Whole, expected, "{at}");
    }
    for (filter, expected) in
        [("$reply/#", true), ("$reply/+", true), ("$reply/a/#", true), ("$reply/a", false), ("+/a", false)]
    {
        assert_eq!(selects_replies(filter.as_bytes()), expected, "{filter}");
    }
}
