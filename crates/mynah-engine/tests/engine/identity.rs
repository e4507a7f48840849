//! Proving who a peer is by an exchange: while it opens, and again later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mynah_core::rules::{Mandate, RuleFilter};
use mynah_engine::{Authenticated, PeerCertificate, Proof, Settings};
use mynah_model::{Groups, Identity, Limits, Reason, TenantId};

use crate::broker::{Broker, settings};

/// Takes what the broker wants to be verified, which is said by the peer at `place`.
fn asked(broker: &mut Broker) -> (usize, mynah_engine::ConnectionId, String) {
    broker.asked.pop().expect("something is to be verified")
}

fn challenge(broker: &mut Broker, said: &str, challenge: &str) {
    let (worker, id, what) = asked(broker);
    assert_eq!(what, said);
    broker.engines[worker].handle_challenge(broker.now, id, challenge.as_bytes());
    broker.settle();
}

fn decide(broker: &mut Broker, said: &str, result: Result<(&str, Option<&str>), Reason>) {
    let (worker, id, what) = asked(broker);
    assert_eq!(what, said);
    let result = result.map(|(user, last_word)| Authenticated {
        last_word: last_word.map(|word| word.as_bytes().into()),
        ..Authenticated::from(Identity::user(TenantId::DEFAULT, user))
    });
    broker.engines[worker].handle_authenticated(broker.now, id, result);
    broker.settle();
}

/// A peer that has proved in two rounds that it is `u`. Its name decides at which worker it ends up.
fn proved(broker: &mut Broker, name: &str) -> usize {
    let peer = broker.try_accept(0, 1).unwrap();
    broker.say(peer, &format!("prove {name} RIDDLE one"));
    assert_eq!(broker.hear(peer), "");
    challenge(broker, "begin RIDDLE one", "why");
    assert_eq!(broker.hear(peer), "challenge why\n");
    broker.say(peer, "say RIDDLE two");
    challenge(broker, "continue RIDDLE two", "how");
    assert_eq!(broker.hear(peer), "challenge how\n");
    // What comes in two pieces is read on although the session is not open.
    broker.send(peer, b"say RIDD");
    broker.settle();
    assert!(broker.wants_bytes(peer));
    broker.say(peer, "LE three");
    decide(broker, "continue RIDDLE three", Ok(("u", Some("welcome"))));
    assert_eq!(broker.hear(peer), "opened new welcome\n");
    peer
}

//= mqtt-5.0 [MQTT-4.12.0-2]
//= mqtt-5.0 [MQTT-4.12.0-4]
#[test]
fn an_exchange_of_several_rounds_opens_a_session_wherever_it_lives() {
    let mut broker = Broker::new(3);
    let workers: std::collections::BTreeSet<usize> =
        ["a", "b", "c", "d"].map(|name| proved(&mut broker, name)).map(|peer| broker.worker_of(peer)).into();
    assert!(workers.len() > 1);
}

#[test]
fn a_peer_that_does_not_prove_itself_is_not_let_in() {
    let mut broker = Broker::new(1);
    let peer = broker.try_accept(0, 1).unwrap();
    broker.say(peer, "prove a NONE x");
    decide(&mut broker, "begin NONE x", Err(Reason::BadAuthenticationMethod));
    assert_eq!(broker.hear(peer), "ended unknown method of authentication\n");
    assert!(!broker.is_connected(peer));
}

//= mqtt-5.0 [MQTT-4.12.1-2]
#[test]
fn who_proves_itself_again_has_to_be_the_same() {
    let mut broker = Broker::new(2);
    let peer = proved(&mut broker, "a");
    broker.say(peer, "say RIDDLE again");
    challenge(&mut broker, "begin RIDDLE again", "when");
    assert_eq!(broker.hear(peer), "challenge when\n");
    broker.say(peer, "say RIDDLE now");
    decide(&mut broker, "continue RIDDLE now", Ok(("u", Some("fine"))));
    assert_eq!(broker.hear(peer), "authenticated fine\n");
    broker.say(peer, "read t");
    assert_eq!(broker.hear(peer), "value None\n", "the session goes on");
    broker.say(peer, "say RIDDLE again");
    decide(&mut broker, "begin RIDDLE again", Ok(("v", None)));
    assert_eq!(broker.hear(peer), "ended not authorized\n");
    assert!(!broker.is_connected(peer));
}

#[test]
fn a_verdict_that_comes_too_late_or_unasked_changes_nothing() {
    let mut broker = Broker::new(1);
    let peer = broker.try_accept(0, 1).unwrap();
    broker.say(peer, "prove a RIDDLE x");
    let (worker, id, _) = asked(&mut broker);
    let identity = || Ok(Identity::user(TenantId::DEFAULT, "u").into());
    broker.engines[worker].handle_challenge(broker.now, id, b"why");
    broker.engines[worker].handle_challenge(broker.now, id, b"twice");
    broker.engines[worker].handle_authenticated(broker.now, id, identity());
    broker.settle();
    assert_eq!(broker.hear(peer), "challenge why\n");
    broker.cut(peer);
    broker.engines[worker].handle_authenticated(broker.now, id, identity());
}

fn certificate(name: &str) -> Arc<Proof> {
    let (der, names) = (Box::default(), Box::default());
    Arc::new(Proof::Certificate(PeerCertificate {
        der,
        sha256: [0; 32],
        subject: Box::default(),
        common_name: Some(name.into()),
        names,
    }))
}

#[test]
fn a_certificate_says_who_a_peer_is_that_has_no_credentials() {
    let mut broker = Broker::new(1);
    let peer = broker.try_accept(0, 1).unwrap();
    let (worker, id) = broker.place_of(peer);
    broker.engines[worker].handle_proof(id, certificate("sensor"));
    broker.say(peer, "open a 0");
    decide(&mut broker, "certificate of sensor for ", Ok(("sensor", None)));
    assert_eq!(broker.hear(peer), "opened new\n");
    let bare = broker.try_accept(0, 1).unwrap();
    broker.say(bare, "open b 0");
    assert_eq!(broker.hear(bare), "ended bad user name or password\n");
    // Where certificates say nothing of who a peer is, one changes nothing.
    let open = broker.try_accept(0, 0).unwrap();
    let (worker, id) = broker.place_of(open);
    broker.engines[worker].handle_proof(id, certificate("sensor"));
    broker.say(open, "open c 0");
    assert_eq!(broker.hear(open), "opened new\n");
}

#[test]
fn a_key_that_is_shared_says_who_a_peer_is_wherever_there_are_keys() {
    let mut broker = Broker::new(1);
    for listener in [0, 1] {
        let peer = broker.try_accept(0, listener).unwrap();
        let (worker, id) = broker.place_of(peer);
        broker.engines[worker].handle_proof(id, Arc::new(Proof::PreSharedKey("sensor".into())));
        broker.say(peer, "open a 0");
        decide(&mut broker, "key of sensor for ", Ok(("sensor", None)));
        assert!(broker.hear(peer).starts_with("opened "));
        broker.cut(peer);
    }
}

#[test]
fn who_names_a_tenant_has_to_prove_that_it_is_of_it() {
    let tenants = [("default", 0), ("factory", 1)].map(|(name, number)| (name.into(), TenantId::new(number)));
    let mut broker = Broker::with(Settings { tenants: tenants.into(), ..settings(1, Limits::default()) });
    for (host, listener, is_named) in [
        ("factory", 0, true),
        ("Factory", 0, true),
        ("default", 0, false),
        ("else.where", 0, false),
        ("factory", 1, true),
    ] {
        let peer = broker.try_accept(0, listener).unwrap();
        let (worker, id) = broker.place_of(peer);
        broker.engines[worker].handle_host(id, host.into());
        broker.say(peer, if listener == 0 { "open a go" } else { "open @a go" });
        let expected = is_named.then_some(TenantId::new(1));
        if listener == 0 {
            // Nobody is let in to a tenant by saying nothing.
            let answer = if is_named { "ended bad user name or password\n" } else { "opened new\n" };
            assert_eq!(broker.hear(peer), answer, "{host}");
            continue;
        }
        assert_eq!(broker.engines[worker].claimed_tenant(id), expected);
        asked(&mut broker);
        let proved = Authenticated::from(Identity::user(TenantId::new(1), "a"));
        broker.engines[worker].handle_authenticated(broker.now, id, Ok(proved));
        broker.settle();
        assert_eq!(broker.hear(peer), "opened new\n");
        assert_eq!(broker.engines[worker].claimed_tenant(id), expected, "when it proves itself again too");
    }
}

/// A peer that has proved that it is `u`, in a group, for a minute.
fn proved_for_a_minute(broker: &mut Broker, name: &str) -> usize {
    let peer = broker.try_accept(0, 1).unwrap();
    broker.say(peer, &format!("prove {name} TOKEN x"));
    let (worker, id, _) = asked(broker);
    let proved = Authenticated {
        groups: Groups::from_iter(["ops"]),
        valid_until: Some(broker.now + Duration::from_secs(60)),
        ..Authenticated::from(Identity::user(TenantId::DEFAULT, "u"))
    };
    broker.engines[worker].handle_authenticated(broker.now, id, Ok(proved));
    broker.settle();
    assert_eq!(broker.hear(peer), "opened new\n");
    peer
}

fn groups_of(broker: &Broker, peer: usize) -> Groups {
    let (worker, id) = broker.place_of(peer);
    broker.engines[worker].groups(id).unwrap().clone()
}

#[test]
fn a_connection_ends_with_the_proof_of_its_identity() {
    for name in ["a", "b", "c", "d"] {
        let mut broker = Broker::new(3);
        let peer = proved_for_a_minute(&mut broker, name);
        broker.advance(Duration::from_secs(59));
        assert!(broker.is_connected(peer));
        broker.advance(Duration::from_millis(1_002));
        assert_eq!(broker.hear(peer), "ended proof of identity expired\n");
        assert!(!broker.is_connected(peer));

        let again = proved_for_a_minute(&mut broker, name);
        assert!(groups_of(&broker, again).contains("ops"));
        broker.say(again, "say TOKEN y");
        decide(&mut broker, "begin TOKEN y", Ok(("u", None)));
        broker.advance(Duration::from_secs(120));
        assert!(broker.is_connected(again), "a new proof, which does not end");
        assert_eq!(groups_of(&broker, again), Groups::NONE);
    }
}

#[test]
fn who_may_not_be_here_any_more_goes_and_who_is_in_other_groups_stays() {
    let mut broker = Broker::new(2);
    let peers: Vec<usize> = ["a", "b", "c"].map(|name| proved_for_a_minute(&mut broker, name)).into();
    let other = broker.accept(0);
    broker.say(other, "open z 0");
    broker.hear(other);
    let change = |identity: &str, groups: Option<Groups>, broker: &mut Broker| {
        let standings = HashMap::from([(Identity::user(TenantId::DEFAULT, identity), groups)]);
        let now = broker.now;
        broker.engines.iter_mut().for_each(|engine| engine.handle_identities(now, &standings));
        broker.settle();
    };
    change("v", None, &mut broker);
    change("u", Some(Groups::from_iter(["staff"])), &mut broker);
    for peer in &peers {
        assert!(groups_of(&broker, *peer).contains("staff"));
        assert_eq!(broker.hear(*peer), "");
    }
    change("u", None, &mut broker);
    for peer in &peers {
        assert_eq!(broker.hear(*peer), "ended not authorized\n");
        assert!(!broker.is_connected(*peer));
    }
    assert!(broker.is_connected(other));
}

/// A peer of this session that has shown a token, which lets it publish to `out/#` and see `in/#`.
fn bound(broker: &mut Broker, open: &str) -> usize {
    let peer = broker.try_accept(0, 1).unwrap();
    broker.say(peer, open);
    let (worker, id, _) = asked(broker);
    broker.engines[worker].handle_authenticated(broker.now, id, Ok(mandated("out/#", "in/#")));
    broker.settle();
    assert!(broker.hear(peer).starts_with("opened"));
    peer
}

fn mandated(publish: &str, subscribe: &str) -> Authenticated {
    let filters = |text: &str| vec![RuleFilter::new(text).unwrap()];
    Authenticated {
        mandate: Some(Arc::new(Mandate::new(filters(publish), filters(subscribe)))),
        ..Authenticated::from(Identity::user(TenantId::DEFAULT, "u"))
    }
}

#[test]
fn who_comes_with_a_mandate_may_do_no_more_than_it_says() {
    for name in ["a", "b", "c", "d"] {
        let mut broker = Broker::new(3);
        let other = broker.open(0, "open z go");
        let peer = bound(&mut broker, &format!("open @{name} go"));
        broker.say(peer, "pub out/x 1 keep x\npub in/x 1 - x\nsub in/# 0\nsub # 0\nread in/x\nread out/x");
        assert_eq!(
            broker.hear(peer),
            "published 2 unwanted\nrefused 3 not authorized\nsubscribed 0\nrefused not authorized\nvalue None\n\
             refused not authorized\n"
        );
        // Nobody else is bound by it.
        broker.say(other, "pub in/x 1 - y\nsub # 0\nsub $presence/# 0");
        assert!(broker.hear(other).starts_with("published 2\nsubscribed 0\nsubscribed 0\n"));
        assert_eq!(broker.hear(peer), "msg 0 0 in/x y\n");
    }
}

#[test]
fn a_will_is_published_only_within_the_mandate_of_its_client() {
    for (topic, expected) in [("out/will", "msg 0 0 out/will gone\n"), ("in/will", "")] {
        let mut broker = Broker::new(2);
        let other = broker.open(0, "open z go");
        broker.say(other, "sub # 0");
        broker.hear(other);
        let peer = bound(&mut broker, &format!("open @a stay {topic}"));
        broker.cut(peer);
        assert_eq!(broker.hear(other), expected, "{topic}");
    }
}

#[test]
fn a_new_proof_with_a_narrower_mandate_ends_what_it_does_not_name() {
    let mut broker = Broker::new(2);
    let again = |broker: &mut Broker, peer: usize, mandate: Authenticated| {
        broker.say(peer, "say TOKEN y");
        let (worker, id, _) = asked(broker);
        broker.engines[worker].handle_authenticated(broker.now, id, Ok(mandate));
        broker.settle();
        broker.hear(peer)
    };
    let peer = bound(&mut broker, "open @a go");
    broker.say(peer, "sub in/a 0");
    assert_eq!(broker.hear(peer), "subscribed 0\n");
    assert_eq!(again(&mut broker, peer, mandated("other", "in/a")), "authenticated \n");
    broker.say(peer, "pub other 1 - x\npub out/x 1 - x");
    assert_eq!(broker.hear(peer), "published 4 unwanted\nrefused 5 not authorized\n");
    assert_eq!(again(&mut broker, peer, mandated("other", "in/b")), "authenticated \nended not authorized\n");
    assert!(!broker.is_connected(peer));
}
