//! Records: their JSON form, their topics, and how many are told.

use super::bound::next_second;
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
    for one in Limit::ALL {
        assert_eq!(serde_json::to_string(&one).unwrap(), format!("{:?}", one.name()));
        assert_eq!(limit(one).topic(), format!("$events/limit/{}", one.name()));
    }
    for what in Changed::ALL {
        assert_eq!(serde_json::to_string(&what).unwrap(), format!("{:?}", what.name()));
    }
    for (number, kind) in AuditKind::ALL.into_iter().enumerate() {
        assert_eq!(
            (kind as usize, serde_json::to_string(&kind).unwrap()),
            (number, format!("{:?}", kind.name()))
        );
        assert_eq!(AuditEvent::LeftOut { kind }.topic(), format!("$events/left-out/{}", kind.name()));
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
    let is_told = |admitted| matches!(admitted, Admitted::Told(_));
    let admit = |millis| bounds.admit(at(millis), AuditKind::LoginRefused);
    let told = (0..1_000).filter(|_| is_told(admit(5_000))).count();
    assert_eq!(told, 50);
    assert_eq!(bounds.admit(at(5_999), AuditKind::Denied), Admitted::Told(0));
    assert_eq!(admit(4_000), Admitted::LeftOut { first: false }, "a clock that is behind");
    assert_eq!(admit(6_000), Admitted::Told(951));
    assert_eq!(admit(6_000), Admitted::Told(0));
}

#[test]
fn what_was_left_out_is_told_once_when_the_second_is_over() {
    let bounds = Bounds::default();
    let at = |millis: u64| Instant::from_micros(millis * 1_000);
    let (admit, rest) = (
        |millis| bounds.admit(at(millis), AuditKind::Limit),
        |millis| bounds.rest(at(millis), AuditKind::Limit),
    );
    (0..50).for_each(|_| assert_eq!(admit(5_000), Admitted::Told(0)));
    assert_eq!(rest(6_000), Rest::Nothing);
    assert_eq!(admit(5_100), Admitted::LeftOut { first: true });
    assert_eq!(admit(5_200), Admitted::LeftOut { first: false });
    assert_eq!(rest(5_999), Rest::Later);
    assert_eq!(next_second(at(5_999)), at(6_000));
    assert_eq!((rest(6_000), rest(6_001)), (Rest::Count(2), Rest::Nothing));
    assert_eq!(admit(6_002), Admitted::Told(0));
}

#[test]
fn what_a_peer_has_chosen_is_cut_where_a_character_ends() {
    assert_eq!(shown(b"a\xFFb"), "a\u{FFFD}b");
    let long = "é".repeat(300);
    assert_eq!(shown(long.as_bytes()), format!("{}…", "é".repeat(256)));
}
