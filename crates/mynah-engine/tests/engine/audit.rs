//! The audit: what is told of logins, denials and limits, to the log and to whom.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::{Action, Address, Quota, Rule, Rules};
use mynah_engine::{Actor, Admitted, AuditEvent, AuditKind, Audited, Changed, Settings};
use mynah_model::{Instant, Limits, WallTime};

use crate::broker::{Broker, settings};
use crate::rules::{broker, rule};
use Action::{Connect, Publish, Retain, Subscribe};

/// What was told since the last call, as topics with JSON.
fn told(broker: &mut Broker) -> Vec<String> {
    let line = |record: Audited| {
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Audited>(&json).unwrap(), record);
        let (_, json) = json.split_once("\",").unwrap();
        format!("{} {json}", record.event.topic())
    };
    core::mem::take(&mut broker.audited).into_iter().map(line).collect()
}

/// A broker where `ada` may see everything, and others what the rules say.
fn guarded(workers: u16, mut rules: Vec<Rule>) -> Broker {
    rules.push(rule("ada", &[Subscribe], &["**"], &[]));
    let written = (1..=rules.len()).map(|line| format!("rules:{line}").into()).collect();
    let rules = Arc::new(Rules::new(rules).written_at(written));
    Broker::with(Settings { rules, ..settings(workers, Limits::default()) })
}

#[test]
fn each_denial_is_told_with_its_rule_to_the_log_and_to_subscribers_of_every_worker() {
    for workers in [1, 2] {
        let mut broker = guarded(
            workers,
            vec![
                rule("*", &[Publish], &[], &["closed/#"]),
                rule("*", &[Retain], &["kept"], &[]),
                rule("eve", &[Connect], &[], &["**"]),
                rule("*", &[Subscribe], &["open/#"], &["open/not"]),
            ],
        );
        let (watcher, _) = broker.log_in(0, "ada", &[], "open @watcher go\nsub $events/# 0");
        // Whoever may see everything is denied the one thing; the watcher asks for what it may see.
        assert_eq!(told(&mut broker), Vec::<String>::new());
        let peer = broker.open(0, "open p go will/p");
        let _ = broker.hear(watcher);
        told(&mut broker);
        broker.say(
            peer,
            "pub closed/a 0 - x\npub other 1 keep x\npub $SYS/x 0 - x\nsub closed 0\nsub open/not 0\nread t",
        );
        let who = r#""event":"denied","identity":"open","anonymous":true,"session":"p","listener":"open","protocol":"lines""#;
        let expected = [
            format!(
                r#"$events/denied/publish {who},"action":"publish","target":"closed/a","reason":"denied","rule":"rules:1"}}"#
            ),
            format!(
                r#"$events/denied/retain {who},"action":"retain","target":"other","reason":"not-allowed"}}"#
            ),
            format!(
                r#"$events/denied/publish {who},"action":"publish","target":"$SYS/x","reason":"broker-owned"}}"#
            ),
            format!(
                r#"$events/denied/subscribe {who},"action":"subscribe","target":"closed","reason":"not-allowed"}}"#
            ),
            format!(
                r#"$events/denied/subscribe {who},"action":"subscribe","target":"open/not","reason":"denied","rule":"rules:4"}}"#
            ),
            format!(
                r#"$events/denied/subscribe {who},"action":"subscribe","target":"t","reason":"not-allowed"}}"#
            ),
        ];
        assert_eq!(told(&mut broker), expected);
        let heard = broker.hear(watcher);
        let events: Vec<_> = heard.lines().map(|line| line.strip_prefix("msg 0 0 ").unwrap()).collect();
        let shown: Vec<_> = expected
            .iter()
            .map(|line| line.replacen(" ", r#" {"time":"1970-01-01T00:00:01.000Z","#, 1))
            .collect();
        assert_eq!(events, shown);

        let (_, heard) = broker.log_in(0, "eve", &[], "open @e go");
        assert_eq!(heard, "ended not authorized\n");
        let line = &told(&mut broker)[0];
        assert!(line.starts_with("$events/denied/connect"), "{line}");
        assert!(line.contains(r#""session":"@e""#) && line.ends_with(r#""rule":"rules:3"}"#), "{line}");
    }
}

#[test]
fn logins_without_proof_and_refusals_are_told() {
    let mut broker = Broker::new(2);
    broker.open(0, "open a go");
    let guarded = broker.try_accept(0, 1).unwrap();
    broker.log_in(0, "u", &[], "open @theirs stay");
    let (_, heard) = broker.log_in(1, "v", &[], "open @theirs stay");
    assert_eq!(heard, "ended client identifier refused\n");
    broker.say(guarded, "quit");
    let told = told(&mut broker);
    assert!(told[0].starts_with("$events/login/accepted"), "{told:?}");
    assert!(told[0].ends_with(r#""listener":"open","protocol":"lines","method":"anonymous"}"#), "{told:?}");
    assert!(told[1].starts_with("$events/login/refused"), "{told:?}");
    assert!(
        told[1].contains(r#""identity":"v","session":"@theirs""#)
            && told[1].ends_with(r#""method":"session","reason":"client identifier refused"}"#),
        "{told:?}"
    );
    assert_eq!(told.len(), 2, "what is proved elsewhere is told there");
}

#[test]
fn limits_are_told() {
    let quota = Quota {
        connections: NonZeroU32::new(1),
        subscriptions: NonZeroU32::new(1),
        messages_per_s: NonZeroU32::new(1),
        message_bytes: std::num::NonZeroU64::new(4),
        ..Quota::default()
    };
    let mut broker = broker(1, vec![Rule { quota, ..Rule::default() }]);
    let peer = broker.open(0, "open p go");
    told(&mut broker);
    broker.say(peer, "sub a 0\nsub b 0\npub t 0 - large\npub t 0 - x\npub t 0 - y\npub t 0 - z");
    broker.advance(Duration::from_secs(2));
    let other = broker.accept(0);
    broker.say(other, "open q go");
    let told = told(&mut broker);
    let limits: Vec<_> =
        told.iter().filter_map(|line| line.split(' ').next()?.strip_prefix("$events/limit/")).collect();
    assert_eq!(limits, ["subscriptions", "message-bytes", "publish-rate", "connections"], "{told:?}");

    let limits =
        Limits { connections_max: 1, sessions_max: 1, retained_messages_max: 1, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let peer = broker.open(0, "open p go");
    broker.say(peer, "pub a 0 keep x\npub b 0 keep x");
    assert_eq!(broker.try_accept(0, 0), None);
    broker.settle();
    let told = self::told(&mut broker);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].starts_with("$events/limit/retained") && told[1].contains(r#""target":"b""#), "{told:?}");
    assert!(told[2].starts_with("$events/limit/connections"), "{told:?}");

    let mut broker = Broker::with(settings(1, Limits { sessions_max: 1, ..Limits::default() }));
    broker.open(0, "open p go");
    let other = broker.accept(0);
    broker.say(other, "open q go");
    let told = self::told(&mut broker);
    assert!(told.len() == 3 && told[2].starts_with("$events/limit/sessions"), "{told:?}");
}

#[test]
fn a_flood_of_refusals_makes_no_flood_of_events() {
    let mut broker = guarded(1, vec![rule("*", &[Publish], &["t"], &[])]);
    let (watcher, _) = broker.log_in(0, "ada", &[], "open @watcher go\nsub $events/denied/+ 0");
    let peer = broker.open(0, "open p go");
    for _ in 0..40 {
        broker.say(peer, &["pub x 0 - x"; 25].join("\n"));
    }
    broker.advance(Duration::from_secs(1));
    broker.say(peer, "pub x 0 - x");
    let heard = broker.hear(watcher);
    assert_eq!(heard.matches("$events/denied/publish").count(), 51);
    assert_eq!(heard.matches("left_out").count(), 1);
    let left_out = told(&mut broker).pop().unwrap();
    assert!(left_out.ends_with(r#""left_out":950}"#), "{left_out}");
}

#[test]
fn what_was_left_out_is_told_though_nothing_comes_after_it() {
    let mut broker = guarded(1, vec![rule("*", &[Publish], &["t"], &[])]);
    let (watcher, _) = broker.log_in(0, "ada", &[], "open @watcher go\nsub $events/# 0");
    let peer = broker.open(0, "open p go");
    let _ = broker.hear(watcher);
    for _ in 0..3 {
        broker.say(peer, &["pub x 0 - x"; 25].join("\n"));
    }
    told(&mut broker);
    broker.advance(Duration::from_millis(1_100));
    let line = r#"$events/left-out/denied "event":"left-out","kind":"denied","left_out":25}"#;
    assert_eq!(told(&mut broker), [line]);
    assert!(broker.hear(watcher).contains(r#""event":"left-out","kind":"denied","left_out":25}"#));
    broker.advance(Duration::from_millis(2_000));
    assert!(told(&mut broker).is_empty());

    // What is counted outside the workers comes by a letter.
    let now = broker.now;
    let left_out = || broker.shared.admit_audit(now, AuditKind::Change);
    assert_eq!((0..50).filter(|_| left_out() == Admitted::Told(0)).count(), 50);
    assert_eq!(left_out(), Admitted::LeftOut { first: true });
    broker.engines[0].watch_left_out(now, AuditKind::Change);
    broker.advance(Duration::from_secs(1));
    assert!(told(&mut broker)[0].ends_with(r#""kind":"change","left_out":1}"#));
}

#[test]
fn what_is_dropped_because_too_much_waits_is_told_once_until_there_is_room_again() {
    let limits = Limits { backlog_messages_max: 2, outbound_bytes_max: 64, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let away = broker.open(0, "open away stay");
    broker.say(away, "sub t 1");
    broker.cut(away);
    let slow = broker.open(0, "open slow go");
    broker.say(slow, "sub s 0");
    broker.limit(slow, Some(0));
    let peer = broker.open(0, "open p go");
    told(&mut broker);
    broker.say(peer, &["pub t 1 - x"; 5].join("\n"));
    broker.say(peer, &["pub s 0 - x"; 40].join("\n"));
    let who = r#""event":"limit","identity":"open","anonymous":true,"session""#;
    let backlog = format!(r#"$events/limit/backlog {who}:"away","limit":"backlog"}}"#);
    let place = r#""listener":"open","protocol":"lines""#;
    let outbound = format!(r#"$events/limit/outbound {who}:"slow",{place},"limit":"outbound"}}"#);
    assert_eq!(told(&mut broker), [backlog.clone(), outbound.clone()]);
    broker.say(peer, "pub t 1 - x\npub s 0 - x");
    assert!(told(&mut broker).is_empty());

    broker.limit(slow, None);
    broker.settle();
    broker.limit(slow, Some(0));
    broker.say(peer, &["pub s 0 - x"; 40].join("\n"));
    assert_eq!(told(&mut broker), [outbound]);
    let (back, heard) = broker.open_heard(0, "open away stay");
    assert_eq!(heard.matches("\nmsg ").count(), 2, "{heard}");
    broker.say(back, "ack 1\nack 2");
    broker.cut(back);
    told(&mut broker);
    broker.say(peer, &["pub t 1 - x"; 5].join("\n"));
    assert_eq!(told(&mut broker), [backlog], "it was empty in between");
}

#[test]
fn limits_that_end_a_connection_and_those_of_names_and_logins_are_told() {
    let limits = Limits { topic_bytes_max: 8, ..Limits::default() };
    let mut broker = Broker::with(settings(1, limits));
    let peer = broker.open(0, "open p go");
    broker.say(peer, "pub too/long/a/name 0 - x\nsub too/long/+ 0");
    let heard = told(&mut broker);
    let is_topic =
        |line: &String| line.starts_with("$events/limit/topic") && line.contains(r#""target":"too/long/"#);
    assert_eq!((heard.len(), heard.iter().filter(|line| is_topic(line)).count()), (3, 2), "{heard:?}");

    let crowded = broker.try_accept(0, 1).unwrap();
    broker.say(crowded, "open @c go\n");
    let (worker, id) = broker.place_of(crowded);
    broker.engines[worker].handle_unverified(broker.now, id);
    broker.settle();
    assert!(!broker.is_connected(crowded));
}

#[test]
fn who_may_not_be_here_any_more_is_told() {
    let mut broker = guarded(1, Vec::new());
    let peer = broker.open(0, "open p go");
    told(&mut broker);
    broker.change_rules(vec![rule("*", &[Connect], &[], &["**"])]);
    assert!(!broker.is_connected(peer));
    let told = told(&mut broker);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("$events/denied/connect") && told[0].contains(r#""session":"p""#),
        "{told:?}"
    );
}

#[test]
fn who_may_see_events_is_said_by_a_rule_or_is_on_this_machine() {
    let mut broker = Broker::new(1);
    let near = broker.open(0, "open near go");
    broker.say(near, "sub $events/# 0\nsub $presence/# 0");
    assert!(broker.hear(near).starts_with("subscribed 0\nsubscribed 0\n"));
    let far = broker.try_accept(0, 0).unwrap();
    let (_, id) = broker.place_of(far);
    broker.engines[0].handle_address(id, Address::v4(0x0A00_0001));
    broker.say(far, "open far go\nsub $events/# 0\nsub $presence/a/b 0\nread $presence/a/b\nsub # 0");
    assert_eq!(
        broker.hear(far),
        "opened new\nrefused not authorized\nrefused not authorized\nrefused not authorized\nsubscribed 0\n"
    );
    // With the first rule nobody is here without one.
    assert!(broker.is_connected(near));
    broker.change_rules(vec![rule("*", &[Publish], &["#"], &[])]);
    assert!(!broker.is_connected(near) && broker.is_connected(far));
    broker.change_rules(Vec::new());
    assert!(broker.is_connected(far));
}

#[test]
fn what_has_happened_elsewhere_is_told_by_the_time_of_day() {
    let mut broker = Broker::new(1);
    broker.shared.set_time_of_day(Instant::ZERO, WallTime::from_unix_millis(1_700_000_000_000));
    let near = broker.open(0, "open near go");
    broker.say(near, "sub $events/change/+ 0");
    let event = AuditEvent::Change { what: Changed::Rules, done: false, detail: "why".into() };
    let now = broker.now;
    broker.engines[0].handle_audit(now, event, 2);
    broker.settle();
    assert_eq!(
        broker.hear(near),
        "subscribed 0\nmsg 0 0 $events/change/rules {\"time\":\"2023-11-14T22:13:21.000Z\",\"event\":\"change\",\
         \"what\":\"rules\",\"done\":false,\"detail\":\"why\",\"left_out\":2}\n"
    );
    let nobody = AuditEvent::LoginRefused {
        actor: Actor { tenant: mynah_model::TenantId::new(7), ..Actor::default() },
        method: "password".into(),
        reason: "wrong password".into(),
    };
    broker.say(near, "sub $events/login/+ 0");
    broker.engines[0].handle_audit(now, nobody, 0);
    broker.settle();
    assert_eq!(broker.hear(near), "subscribed 0\n", "what happens in another space is told there");
}
