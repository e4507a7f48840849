//! Records: their JSON form, their topics, and how many are told.

use super::*;
use mynah_model::Instant;

fn actor() -> Actor {
    Actor {
        identity: Some("ada".into()),
        address: Some("10.0.0.1".into()),
        listener: "m".into(),
        protocol: "mqtt".into(),
        ..Actor::default()
    }
}

#[test]
fn a_record_is_one_json_object_and_is_read_back() {
    let denied =
        AuditEvent::denied(actor(), Action::Publish, Some(b"a/b"), Denial::Denied, Some("mynah.toml:9"));
    let record = Audited { time: "t".into(), event: denied, left_out: 3 };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(
        text,
        r#"{"time":"t","event":"denied","identity":"ada","address":"10.0.0.1","listener":"m","protocol":"mqtt","action":"publish","target":"a/b","reason":"denied","rule":"mynah.toml:9","left_out":3}"#
    );
    assert_eq!(serde_json::from_str::<Audited>(&text).unwrap(), record);
    let change = AuditEvent::Change { what: Changed::Rules, done: true, detail: String::new() };
    let record = Audited { time: "t".into(), event: change, left_out: 0 };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(text, r#"{"time":"t","event":"change","what":"rules","done":true}"#);
    assert_eq!(serde_json::from_str::<Audited>(&text).unwrap(), record);
}

#[test]
fn each_event_has_its_topic_and_names_are_those_of_json() {
    let limit = |limit| AuditEvent::Limit { actor: actor(), limit, target: None };
    for one in [
        Limit::Connections,
        Limit::Sessions,
        Limit::Subscriptions,
        Limit::MessageBytes,
        Limit::PublishRate,
        Limit::Publications,
        Limit::Retained,
        Limit::Storage,
    ] {
        assert_eq!(serde_json::to_string(&one).unwrap(), format!("{:?}", one.name()));
        assert_eq!(limit(one).topic(), format!("$events/limit/{}", one.name()));
    }
    for what in [Changed::Broker, Changed::Rules, Changed::Users, Changed::Certificates, Changed::Store] {
        assert_eq!(serde_json::to_string(&what).unwrap(), format!("{:?}", what.name()));
    }
    let accepted = AuditEvent::LoginAccepted { actor: actor(), method: "password".into() };
    assert_eq!(accepted.topic(), "$events/login/accepted");
    let denied = AuditEvent::denied(actor(), Action::Connect, None, Denial::NotAllowed, None);
    assert_eq!(denied.topic(), "$events/denied/connect");
}

#[test]
fn a_flood_is_counted_and_hides_no_other_kind() {
    let bounds = Bounds::default();
    let at = |millis: u64| Instant::from_micros(millis * 1_000);
    let told = (0..1_000).filter(|_| bounds.admit(at(5_000), AuditKind::LoginRefused).is_some()).count();
    assert_eq!(told, 50);
    assert_eq!(bounds.admit(at(5_999), AuditKind::Denied), Some(0));
    assert_eq!(bounds.admit(at(4_000), AuditKind::LoginRefused), None, "a clock that is behind");
    assert_eq!(bounds.admit(at(6_000), AuditKind::LoginRefused), Some(951));
    assert_eq!(bounds.admit(at(6_000), AuditKind::LoginRefused), Some(0));
}

#[test]
fn what_a_peer_has_chosen_is_cut_where_a_character_ends() {
    assert_eq!(shown(b"a\xFFb"), "a\u{FFFD}b");
    let long = "é".repeat(300);
    assert_eq!(shown(long.as_bytes()), format!("{}…", "é".repeat(256)));
}
