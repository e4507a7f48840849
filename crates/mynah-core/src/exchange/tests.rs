//! Exchanges by example.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use mynah_model::{
    Argument, ExchangeKind, ExchangeSettings, HashOn, Properties, PropertyValue, Reason, TenantId,
    UserProperties,
};

use super::*;
use crate::WorkerId;

pub(super) const TENANT: TenantId = TenantId::DEFAULT;
const BOUNDS: ExchangeBounds = ExchangeBounds { exchanges_max: 100, bindings_max: 300_000 };

pub(super) fn queue(slot: u32) -> SessionRef {
    SessionRef { worker: WorkerId(0), slot, generation: 0 }
}

pub(super) fn exchanges() -> Exchanges {
    let mut exchanges = Exchanges::new(7, BOUNDS);
    exchanges.predeclare(TENANT).unwrap();
    exchanges
}

fn declare(exchanges: &mut Exchanges, name: &str, kind: ExchangeKind) -> ExchangeRef {
    exchanges.declare(TENANT, name.as_bytes(), ExchangeSettings::durable(kind), 0).unwrap().0
}

pub(super) fn terms(key: &str) -> BindingTerms<'_> {
    BindingTerms { key: key.as_bytes(), arguments: &[] }
}

fn bind(exchanges: &mut Exchanges, source: ExchangeRef, to: u32, key: &str) {
    let name = format!("q{to}");
    exchanges.bind(source, Endpoint::Queue(queue(to)), name.as_bytes(), &terms(key)).unwrap();
}

fn link(exchanges: &mut Exchanges, source: ExchangeRef, to: ExchangeRef, key: &str) {
    exchanges.bind(source, Endpoint::Exchange(to), b"", &terms(key)).unwrap();
}

fn routed(exchanges: &Exchanges, exchange: ExchangeRef, key: &str, properties: &Properties<'_>) -> Vec<u32> {
    let mut found = Routed::default();
    exchanges.route(exchange, &Routing { key: key.as_bytes(), properties }, &mut found);
    found.queues.iter().map(|queue| queue.slot).collect()
}

fn plain(exchanges: &Exchanges, exchange: ExchangeRef, key: &str) -> Vec<u32> {
    routed(exchanges, exchange, key, &Properties::EMPTY)
}

#[test]
fn a_direct_exchange_goes_by_the_very_key_and_a_fanout_by_none() {
    let mut exchanges = exchanges();
    let [direct, fanout] = [("d", ExchangeKind::Direct), ("f", ExchangeKind::Fanout)]
        .map(|(name, kind)| declare(&mut exchanges, name, kind));
    for (to, key) in [(1, "a"), (2, "a"), (2, "b"), (3, "")] {
        bind(&mut exchanges, direct, to, key);
        bind(&mut exchanges, fanout, to, key);
    }
    assert_eq!(plain(&exchanges, direct, "a"), [1, 2]);
    assert_eq!(plain(&exchanges, direct, "b"), [2]);
    assert_eq!(plain(&exchanges, direct, ""), [3]);
    assert_eq!(plain(&exchanges, direct, "c"), []);
    assert_eq!(plain(&exchanges, fanout, "whatever"), [1, 2, 3]);
    assert!(exchanges.unbind(direct, Endpoint::Queue(queue(2)), &terms("a")));
    assert!(!exchanges.unbind(direct, Endpoint::Queue(queue(2)), &terms("a")));
    assert_eq!((plain(&exchanges, direct, "a"), plain(&exchanges, direct, "b")), (vec![1], vec![2]));
}

#[test]
fn a_topic_exchange_takes_hash_anywhere_and_dollar_for_a_letter() {
    let mut exchanges = exchanges();
    let topic = declare(&mut exchanges, "t", ExchangeKind::Topic);
    for (to, key) in [(1, "a/#/c"), (2, "#"), (3, "+/b/+"), (4, "#/#/c"), (5, "a/b/c"), (6, ""), (7, "+")] {
        bind(&mut exchanges, topic, to, key);
    }
    for (key, queues) in [
        ("a/c", &[1, 2, 4][..]),
        ("a/b/c", &[1, 2, 3, 4, 5]),
        ("$SYS/b/x", &[2, 3]),
        ("c", &[2, 4, 7]),
        ("", &[2, 6]),
    ] {
        assert_eq!(plain(&exchanges, topic, key), queues, "{key}");
    }
    let error = exchanges.bind(topic, Endpoint::Queue(queue(9)), b"", &terms("a/b+")).unwrap_err();
    assert_eq!(error.reason, Reason::FilterInvalid);
}

#[test]
fn beyond_the_topic_space_no_leading_wildcard_selects_a_dollar_topic() {
    let mut exchanges = exchanges();
    let space = exchanges.find(TENANT, TOPIC_SPACE).unwrap();
    let beyond = declare(&mut exchanges, "beyond", ExchangeKind::Topic);
    bind(&mut exchanges, beyond, 1, "+/x");
    for filter in ["#", "+/x", "$SYS/x"] {
        assert!(exchanges.bind(space, Endpoint::Exchange(beyond), b"", &terms(filter)).unwrap());
    }
    let found = |exchanges: &Exchanges, key: &str| {
        let mut found = Routed::default();
        let message = Routing { key: key.as_bytes(), properties: &Properties::EMPTY };
        exchanges.route_beyond(space, &message, &mut found);
        (found.queues.len(), found.topic_space)
    };
    assert_eq!(["a/x", "$SYS/x", "$SYS/y", "$other/x"].map(|key| found(&exchanges, key).0), [1, 1, 0, 0]);
    assert!(exchanges.unbind(space, Endpoint::Exchange(beyond), &terms("$SYS/x")));
    assert_eq!(found(&exchanges, "$SYS/x"), (0, false));
}

#[test]
fn many_hashes_cost_no_more_than_their_nodes() {
    let mut exchanges = exchanges();
    let topic = declare(&mut exchanges, "t", ExchangeKind::Topic);
    bind(&mut exchanges, topic, 1, &format!("{}end", "#/a/".repeat(40)));
    let key = format!("{}x", "a/".repeat(2_000));
    assert_eq!(plain(&exchanges, topic, &key), []);
    assert_eq!(plain(&exchanges, topic, &format!("{}end", "a/".repeat(2_000))), [1]);
}

fn headers<'m>() -> Properties<'m> {
    let user = UserProperties::new(b"kxn", |rest| {
        let (first, after) = rest.split_first()?;
        *rest = after;
        Some(match first {
            b'k' => ("kind", PropertyValue::Text("lamp")),
            b'x' => ("x-level", PropertyValue::Signed(3)),
            _ => ("count", PropertyValue::Signed(5)),
        })
    });
    Properties { user, ..Properties::EMPTY }
}

#[test]
fn a_headers_exchange_asks_for_all_or_any() {
    let mut exchanges = exchanges();
    let exchange = exchanges.find(TENANT, b"amq.headers").unwrap();
    let text = |text: &str| Argument::Text(text.into());
    let cases: [(&[(&str, Argument)], bool); 12] = [
        (&[("kind", text("lamp"))], true),
        (&[("kind", text("lamp")), ("count", Argument::Integer(5))], true),
        (&[("kind", text("lamp")), ("count", Argument::Integer(6))], false),
        (&[("x-match", text("any")), ("kind", text("lamp")), ("count", Argument::Integer(6))], true),
        (&[("x-match", text("any")), ("kind", text("door"))], false),
        (&[("x-match", text("any"))], false),
        (&[], true),
        (&[("kind", Argument::Null)], true),
        (&[("missing", Argument::Null)], false),
        (&[("x-level", Argument::Integer(9))], true), // not asked for
        (&[("x-match", text("all-with-x")), ("x-level", Argument::Integer(9))], false),
        (&[("x-match", text("any-with-x")), ("x-level", Argument::Integer(3))], true),
    ];
    for (at, (arguments, expected)) in cases.into_iter().enumerate() {
        let arguments: Vec<(Box<str>, Argument)> =
            arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let terms = BindingTerms { key: b"", arguments: &arguments };
        let to = Endpoint::Queue(queue(at as u32));
        assert!(exchanges.bind(exchange, to, b"", &terms).unwrap());
        assert!(!exchanges.bind(exchange, to, b"", &terms).unwrap(), "the same twice");
        let found = routed(&exchanges, exchange, "", &headers());
        assert_eq!(found.contains(&(at as u32)), expected, "{arguments:?}");
    }
    let wrong = [("x-match".into(), text("some"))];
    let error = exchanges.bind(
        exchange,
        Endpoint::Queue(queue(99)),
        b"",
        &BindingTerms { key: b"", arguments: &wrong },
    );
    assert_eq!(error.unwrap_err().reason, Reason::PreconditionFailed);
}

#[test]
fn a_ring_spreads_by_weight_and_moves_only_the_part_of_who_goes() {
    let mut exchanges = exchanges();
    let ring = declare(&mut exchanges, "r", ExchangeKind::ConsistentHash);
    for (to, weight) in [(1, "1"), (2, "1"), (3, "2")] {
        bind(&mut exchanges, ring, to, weight);
    }
    let keys: Vec<String> = (0..8_000).map(|at| format!("key-{at}")).collect();
    let owners =
        |exchanges: &Exchanges| keys.iter().map(|key| plain(exchanges, ring, key)).collect::<Vec<_>>();
    let before = owners(&exchanges);
    for (to, share) in [(1, 2_000.0), (2, 2_000.0), (3, 4_000.0)] {
        let got = before.iter().filter(|owner| **owner == [to]).count() as f64;
        assert!((got / share - 1.0).abs() < 0.25, "{to}: {got} of {share}");
    }
    assert!(exchanges.unbind(ring, Endpoint::Queue(queue(2)), &terms("1")));
    for (before, after) in before.iter().zip(owners(&exchanges)) {
        assert!(after.len() == 1 && (after == *before || *before == [2]), "{before:?} {after:?}");
    }
    for weight in ["0", "65", "", "x", "-1"] {
        let error = exchanges.bind(ring, Endpoint::Queue(queue(9)), b"", &terms(weight)).unwrap_err();
        assert_eq!(error.reason, Reason::PreconditionFailed, "{weight}");
    }
}

#[test]
fn a_ring_goes_by_what_it_was_told() {
    let mut exchanges = exchanges();
    let settings = ExchangeSettings {
        hash_on: HashOn::Property("kind".into()),
        ..ExchangeSettings::durable(ExchangeKind::ConsistentHash)
    };
    let ring = exchanges.declare(TENANT, b"r", settings, 0).unwrap().0;
    for to in 0..8 {
        bind(&mut exchanges, ring, to, "1");
    }
    let of_lamps = routed(&exchanges, ring, "a", &headers());
    assert!((0..50).all(|key| routed(&exchanges, ring, &format!("{key}"), &headers()) == of_lamps));
}

#[test]
fn links_are_followed_once_and_cycles_end() {
    let mut exchanges = exchanges();
    let [a, b, c] = ["a", "b", "c"].map(|name| declare(&mut exchanges, name, ExchangeKind::Fanout));
    for (from, to) in [(a, b), (b, c), (c, a), (a, c), (b, b)] {
        link(&mut exchanges, from, to, "");
    }
    bind(&mut exchanges, c, 1, "");
    bind(&mut exchanges, a, 1, "");
    bind(&mut exchanges, b, 2, "");
    for exchange in [a, b, c] {
        assert_eq!(plain(&exchanges, exchange, "k"), [1, 2]);
    }
}

#[test]
fn an_alternate_gets_what_nobody_is_bound_for() {
    let mut exchanges = exchanges();
    let with = |alternate: &str| ExchangeSettings {
        alternate: Some(alternate.as_bytes().into()),
        ..ExchangeSettings::durable(ExchangeKind::Direct)
    };
    let main = exchanges.declare(TENANT, b"main", with("spare"), 0).unwrap().0;
    assert_eq!(plain(&exchanges, main, "a"), [], "the alternate is not there");
    let spare = exchanges.declare(TENANT, b"spare", with("main"), 0).unwrap().0;
    bind(&mut exchanges, main, 1, "a");
    bind(&mut exchanges, spare, 2, "b");
    assert_eq!(plain(&exchanges, main, "a"), [1]);
    assert_eq!(plain(&exchanges, main, "b"), [2]);
    assert_eq!(plain(&exchanges, main, "c"), [], "and round they go no more");
    exchanges.forget(Endpoint::Queue(queue(1)));
    bind(&mut exchanges, spare, 3, "a");
    assert_eq!(plain(&exchanges, main, "a"), [3], "who is forgotten is nobody");
}

#[test]
fn the_topic_space_leads_on_to_exchanges_and_can_be_led_to() {
    let mut exchanges = exchanges();
    let space = exchanges.find(TENANT, TOPIC_SPACE).unwrap();
    let [inward, outward] = ["in", "out"].map(|name| declare(&mut exchanges, name, ExchangeKind::Fanout));
    link(&mut exchanges, inward, space, "a/#");
    bind(&mut exchanges, outward, 4, "");
    let mut found = Routed::default();
    let routing = Routing { key: b"a/b", properties: &Properties::EMPTY };
    exchanges.route(inward, &routing, &mut found);
    assert!(found.topic_space && found.queues.is_empty() && !found.is_empty());
    assert!(!exchanges.leads_on(space));
    link(&mut exchanges, space, outward, "a/+");
    assert!(exchanges.leads_on(space));
    exchanges.route_beyond(space, &routing, &mut found);
    assert!(!found.topic_space && found.queues == [queue(4)]);
}

#[test]
fn another_declaration_is_refused_with_both_values() {
    let mut exchanges = exchanges();
    let plain = ExchangeSettings::durable(ExchangeKind::Direct);
    let (first, is_new) = exchanges.declare(TENANT, b"x", plain.clone(), 0).unwrap();
    assert!(is_new);
    assert_eq!(exchanges.declare(TENANT, b"x", plain.clone(), 0), Ok((first, false)));
    for (settings, detail) in [
        (
            ExchangeSettings { kind: ExchangeKind::Fanout, ..plain.clone() },
            "received 'fanout' but current is 'direct'",
        ),
        (
            ExchangeSettings { durable: false, ..plain.clone() },
            "'durable' for exchange 'x': received 'false'",
        ),
        (ExchangeSettings { auto_delete: true, ..plain.clone() }, "'auto_delete'"),
        (ExchangeSettings { internal: true, ..plain.clone() }, "'internal'"),
        (ExchangeSettings { delayed: true, ..plain.clone() }, "'x-delayed-type'"),
        (
            ExchangeSettings { alternate: Some(b"y"[..].into()), ..plain.clone() },
            "received 'y' but current is 'none'",
        ),
        (
            ExchangeSettings { hash_on: HashOn::MessageId, ..plain.clone() },
            "received 'MessageId' but current is 'Key'",
        ),
    ] {
        let error = exchanges.declare(TENANT, b"x", settings, 0).unwrap_err();
        assert_eq!(error.reason, Reason::PreconditionFailed);
        assert!(error.detail.contains(detail), "{error}");
    }
    for name in [&b"amq.mine"[..], b""] {
        assert_eq!(
            exchanges.declare(TENANT, name, plain.clone(), 0).unwrap_err().reason,
            Reason::NotAuthorized
        );
        assert_eq!(exchanges.delete(TENANT, name, false).unwrap_err().reason, Reason::NotAuthorized);
    }
    assert_eq!(exchanges.declare(TENANT, b"amq.direct", plain, 0).map(|(_, is_new)| is_new), Ok(false));
}

#[test]
fn what_is_unused_goes_and_what_is_full_says_so() {
    let mut exchanges = Exchanges::new(7, ExchangeBounds { exchanges_max: 2, bindings_max: 2 });
    let passing = ExchangeSettings { auto_delete: true, ..ExchangeSettings::durable(ExchangeKind::Fanout) };
    let kept = declare(&mut exchanges, "kept", ExchangeKind::Direct);
    let (gone, _) = exchanges.declare(TENANT, b"passing", passing.clone(), 0).unwrap();
    assert_eq!(
        exchanges.declare(TENANT, b"third", passing.clone(), 0).unwrap_err().reason,
        Reason::QuotaExceeded
    );
    bind(&mut exchanges, gone, 1, "");
    bind(&mut exchanges, kept, 1, "k");
    let error = exchanges.bind(kept, Endpoint::Queue(queue(2)), b"", &terms("k")).unwrap_err();
    assert_eq!(error.reason, Reason::QuotaExceeded);
    assert_eq!(exchanges.delete(TENANT, b"kept", true).unwrap_err().reason, Reason::PreconditionFailed);
    assert!(exchanges.unbind(gone, Endpoint::Queue(queue(1)), &terms("")));
    assert_eq!(exchanges.find(TENANT, b"passing"), None, "nobody is left");
    let (again, is_new) = exchanges.declare(TENANT, b"passing", passing, 0).unwrap();
    assert!(is_new && again != gone && exchanges.settings(gone).is_none());
    assert_eq!(exchanges.delete(TENANT, b"kept", false), Ok(true));
    assert_eq!(exchanges.delete(TENANT, b"kept", false), Ok(false));
    assert_eq!(exchanges.bindings_of(Endpoint::Queue(queue(1))).count(), 0);
    assert_eq!(exchanges.list(TENANT).len(), 1);
}

#[test]
fn a_queue_with_many_bindings_goes_bit_by_bit() {
    let mut exchanges = exchanges();
    let [direct, topic, fanout] = [ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout]
        .map(|kind| declare(&mut exchanges, kind.name(), kind));
    for at in 0..1_000 {
        bind(&mut exchanges, direct, 1, &format!("k{at}"));
        bind(&mut exchanges, topic, 1, &format!("+/k{at}/#"));
        bind(&mut exchanges, fanout, 1, &format!("k{at}"));
    }
    bind(&mut exchanges, direct, 2, "k5");
    exchanges.forget(Endpoint::Queue(queue(1)));
    assert_eq!(plain(&exchanges, direct, "k5"), [2], "at once");
    let mut rounds = 1;
    while exchanges.forget_some(100) {
        rounds += 1;
        assert_eq!((plain(&exchanges, direct, "k5"), plain(&exchanges, topic, "a/k7/b")), (vec![2], vec![]));
    }
    assert_eq!(rounds, 30);
    assert!(exchanges.leads_on(direct) && !exchanges.leads_on(topic) && !exchanges.leads_on(fanout));
    assert_eq!(exchanges.bindings_from(direct).count(), 1);
}
