//! The audit: what is told of logins, denials and limits, to the log and to whom.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::{Action, Address, Quota, Rule, Rules};
use mynah_engine::{Actor, AuditEvent, Audited, Changed, Settings};
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
