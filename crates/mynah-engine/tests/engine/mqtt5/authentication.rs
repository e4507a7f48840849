//! Enhanced authentication of MQTT 5.0 clients, over workers: before CONNACK, and again while the session is open.

use mynah_engine::Authenticated;
use mynah_model::{Identity, Reason, TenantId};
use mynah_mqtt::wire::properties::{AuthProperties, ConnectProperties};
use mynah_mqtt::wire::{Auth, Connect, ReasonCode};

use super::{World, connect, encoded, entry, publish};

const NOTHING: [&str; 0] = [];

fn with_method<'b>(client_id: &'b str, method: &'b str, data: &'b [u8]) -> Connect<'b> {
    let properties = ConnectProperties {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..ConnectProperties::default()
    };
    Connect { properties, ..connect(client_id) }
}

fn auth(code: ReasonCode, method: &str, data: &[u8]) -> Vec<u8> {
    let properties = AuthProperties {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..AuthProperties::default()
    };
    encoded(|out| assert!(Auth { reason_code: code, properties }.encode(usize::MAX, out)))
}

impl World {
    /// A client of the listener where everybody has to say who they are.
    fn knock(&mut self, connect: &Connect<'_>) -> usize {
        let peer = self.0.try_accept(0, 1).unwrap();
        assert_eq!(self.say(peer, &encoded(|out| connect.encode(out))), NOTHING);
        peer
    }

    fn decide(&mut self, said: &str, result: Result<&str, Reason>, last_word: Option<&str>) {
        let (worker, id, what) = self.0.asked.pop().expect("something is to be verified");
        assert_eq!(what, said);
        let result = result.map(|user| Authenticated {
            last_word: last_word.map(|word| word.as_bytes().into()),
            ..Authenticated::from(Identity::user(TenantId::DEFAULT, user))
        });
        self.0.engines[worker].handle_authenticated(self.0.now, id, result);
        self.0.settle();
    }

    fn challenge(&mut self, said: &str, challenge: &str) {
        let (worker, id, what) = self.0.asked.pop().expect("something is to be verified");
        assert_eq!(what, said);
        self.0.engines[worker].handle_challenge(self.0.now, id, challenge.as_bytes());
        self.0.settle();
    }
}

//= mqtt-5.0 [MQTT-4.12.0-5] [MQTT-3.2.0-1]
#[test]
fn a_client_that_says_all_at_once_is_let_in_and_may_say_it_again() {
    let mut workers = std::collections::BTreeSet::new();
    for name in ["a", "b", "c", "d"] {
        let mut world = World::new();
        let client = world.knock(&with_method(name, "PLAIN", b"\0u\0p"));
        world.decide("begin PLAIN \0u\0p", Ok("u"), None);
        assert_eq!(world.hear(client), ["CONNACK 00 new PLAIN"]);
        workers.insert(world.0.worker_of(client));
        world.subscribe(client, 0, &[entry("t", 1)]);
        // Meanwhile messages go on, both ways.
        world.say(client, &auth(ReasonCode::ReAuthenticate, "PLAIN", b"\0u\0q"));
        let publisher = world.client("p");
        world.say(publisher, &publish("t", 1, 1, "x"));
        assert_eq!(world.hear(client), ["q1 #1 t=x"]);
        world.decide("begin PLAIN \0u\0q", Ok("u"), None);
        assert_eq!(world.hear(client), ["AUTH 00 PLAIN"]);
        assert_eq!(world.say(client, &super::puback(1)), NOTHING);
        world.say(client, &auth(ReasonCode::ReAuthenticate, "PLAIN", b"\0u\0r"));
        world.decide("begin PLAIN \0u\0r", Err(Reason::NotAuthorized), None);
        assert_eq!(world.hear(client), ["DISCONNECT 87"]);
        assert!(!world.0.is_connected(client));
    }
    assert!(workers.len() > 1);
}

//= mqtt-5.0 [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-4.12.1-1] [MQTT-4.12.1-2]
#[test]
fn an_exchange_has_as_many_rounds_as_its_method() {
    let mut world = World::new();
    let client = world.knock(&with_method("c", "RIDDLE", b"1"));
    world.challenge("begin RIDDLE 1", "why");
    assert_eq!(world.hear(client), ["AUTH 18 RIDDLE why"]);
    assert_eq!(world.say(client, &auth(ReasonCode::ContinueAuthentication, "RIDDLE", b"2")), NOTHING);
    world.decide("continue RIDDLE 2", Ok("u"), Some("welcome"));
    assert_eq!(world.hear(client), ["CONNACK 00 new RIDDLE welcome"]);
    world.say(client, &auth(ReasonCode::ReAuthenticate, "RIDDLE", b"3"));
    world.challenge("begin RIDDLE 3", "how");
    assert_eq!(world.hear(client), ["AUTH 18 RIDDLE how"]);
    world.say(client, &auth(ReasonCode::ContinueAuthentication, "RIDDLE", b"4"));
    world.decide("continue RIDDLE 4", Ok("u"), Some("fine"));
    assert_eq!(world.hear(client), ["AUTH 00 RIDDLE fine"]);
    // Somebody else is not let in to this session.
    world.say(client, &auth(ReasonCode::ReAuthenticate, "RIDDLE", b"5"));
    world.decide("begin RIDDLE 5", Ok("v"), None);
    assert_eq!(world.hear(client), ["DISCONNECT 87"]);
}

//= mqtt-5.0 [MQTT-4.12.0-1] [MQTT-4.12.0-4]
#[test]
fn who_does_not_prove_itself_is_told_why() {
    for (reason, code) in [
        (Reason::BadAuthenticationMethod, "8c"),
        (Reason::BadCredentials, "86"),
        (Reason::NotAuthorized, "87"),
    ] {
        let mut world = World::new();
        let client = world.knock(&with_method("c", "PLAIN", b"x"));
        world.decide("begin PLAIN x", Err(reason), None);
        assert_eq!(world.hear(client), [format!("CONNACK {code} new")]);
        assert!(!world.0.is_connected(client));
    }
}

//= mqtt-5.0 [MQTT-4.12.1-1]
#[test]
fn a_method_cannot_be_changed_nor_begun_later() {
    let mut world = World::new();
    let client = world.knock(&with_method("c", "PLAIN", b"x"));
    world.decide("begin PLAIN x", Ok("u"), None);
    world.hear(client);
    assert_eq!(world.say(client, &auth(ReasonCode::ReAuthenticate, "OTHER", b"x")), ["DISCONNECT 82"]);
    let client = world.client("without");
    assert_eq!(world.say(client, &auth(ReasonCode::ReAuthenticate, "PLAIN", b"x")), ["DISCONNECT 82"]);
    assert!(world.0.asked.is_empty());
}
