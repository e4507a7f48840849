//! Observing: `TD_COAP_OBS`.

use std::time::Duration;

use mynah_coap::wire::{Code, Kind, OptionNumber};
use mynah_model::{Class, Instant};

use super::{NOW, after, block, empty, options};
use crate::broker::Server;
use crate::devices::{Said, ask, message, request, said};
use crate::journeys::on;
use crate::network::{Weather, World};

/// An observer of `/t/obs`, whose value another protocol has set, which says nothing of formats.
fn observed() -> (Server, Said) {
    let mut server = Server::trusting();
    server.publish(NOW, "obs", b"first", Class::AtLeastOnce, true);
    begin(server)
}

/// The same of a value that is text.
fn observed_text() -> (Server, Said) {
    let mut server = Server::trusting();
    ask(&mut server, NOW, &request(1, Code::PUT, "t/obs", Some(0), b"first"));
    begin(server)
}

fn begin(mut server: Server) -> (Server, Said) {
    let first = ask(&mut server, NOW, &observe(2, 0));
    assert_eq!(
        (first.kind, first.code, first.payload.as_slice()),
        (Kind::Acknowledgement, Code::CONTENT, &b"first"[..])
    );
    assert!(!first.all(OptionNumber::OBSERVE).is_empty());
    (server, first)
}

fn observe(id: u16, value: u32) -> Vec<u8> {
    message(Kind::Confirmable, id, Code::GET, b"t", &options("t/obs", &[(OptionNumber::OBSERVE, value)]), b"")
}

/// The number of a notification.
fn sequence(said: &Said) -> Vec<u8> {
    let value = said.all(OptionNumber::OBSERVE);
    let bytes = value.first().expect("it is one").as_bytes();
    [&[0; 3][bytes.len()..], bytes].concat()
}

/// A message for the topic, and what is notified of it.
fn change(server: &mut Server, now: Instant, payload: &[u8], class: Class) -> Vec<Said> {
    server.publish(now, "obs", payload, class, true);
    said(server)
}

fn acknowledge(server: &mut Server, now: Instant, notification: &Said) -> Vec<Said> {
    server.hear(now, &empty(Kind::Acknowledgement, notification.id));
    said(server)
}

//= coap-plugtests [TD_COAP_OBS_01] [TD_COAP_OBS_09]
#[test]
fn confirmable_notifications_bring_every_update() {
    let (mut server, first) = observed();
    let mut last = sequence(&first);
    for (second, payload) in [(5, b"one"), (10, b"two"), (15, b"six")] {
        let notified = change(&mut server, after(second * 1_000), payload, Class::AtLeastOnce);
        let [notification] = &notified[..] else { panic!("{notified:?}") };
        assert_eq!((notification.kind, notification.code), (Kind::Confirmable, Code::CONTENT));
        assert_eq!((&notification.token[..], &notification.payload[..]), (&b"t"[..], &payload[..]));
        assert!(sequence(notification) > last);
        last = sequence(notification);
        assert!(acknowledge(&mut server, after(second * 1_000 + 50), notification).is_empty());
    }
}

//= coap-plugtests [TD_COAP_OBS_02] [TD_COAP_OBS_06]
#[test]
fn unconfirmable_notifications_end_with_a_reset() {
    let (mut server, _) = observed();
    let proof = change(&mut server, after(1_000), b"0", Class::AtMostOnce);
    acknowledge(&mut server, after(1_000), &proof[0]);
    let mut last = proof.into_iter().next().unwrap();
    for second in [5, 10] {
        let mut notified = change(&mut server, after(second * 1_000), b"more", Class::AtMostOnce);
        let notification = notified.remove(0);
        assert_eq!((notification.kind, notification.code), (Kind::NonConfirmable, Code::CONTENT));
        assert!(notification.token == b"t" && sequence(&notification) > sequence(&last));
        last = notification;
    }
    server.hear(after(11_000), &empty(Kind::Reset, last.id));
    assert!(change(&mut server, after(15_000), b"none", Class::AtMostOnce).is_empty());
    assert!(server.subscriptions.is_empty());
}

/// The server has lost what it knew of the client; the client registers again with the same token.
//= coap-plugtests [TD_COAP_OBS_04]
#[test]
fn who_registers_again_is_notified_again() {
    let (mut server, _) = observed();
    server.connection.handle_shutdown(after(1_000), &mut server.out);
    server.run(after(1_000));
    said(&mut server);
    server.subscriptions.clear();
    assert!(change(&mut server, after(2_000), b"unseen", Class::AtLeastOnce).is_empty());
    let again = ask(&mut server, after(3_000), &observe(3, 0));
    assert_eq!(
        (again.code, &again.token[..], &again.payload[..]),
        (Code::CONTENT, &b"t"[..], &b"unseen"[..])
    );
    let first = sequence(&again);
    let notified = change(&mut server, after(4_000), b"seen", Class::AtLeastOnce);
    assert!(sequence(&notified[0]) > first && notified[0].payload == b"seen");
}

/// The client is switched off: what is sent again has the newest value, until nothing is sent any more.
//= coap-plugtests [TD_COAP_OBS_05]
#[test]
fn who_is_switched_off_is_notified_no_more() {
    let (mut server, _) = observed();
    let first = change(&mut server, after(1_000), b"1", Class::AtLeastOnce).remove(0);
    let mut tries = vec![sequence(&first)];
    let mut payload = 1;
    while let Some(due) = server.connection.deadline().filter(|_| !server.subscriptions.is_empty()) {
        payload += 1;
        assert!(change(&mut server, due, &[b'0' + payload], Class::AtLeastOnce).is_empty());
        server.timeout(due);
        for again in said(&mut server) {
            assert_eq!((again.kind, &again.payload[..]), (Kind::Confirmable, &[b'0' + payload][..]));
            tries.push(sequence(&again));
        }
    }
    assert!(tries.len() == 5 && tries.is_sorted_by(|a, b| a < b), "{tries:?}");
    assert!(change(&mut server, after(200_000), b"9", Class::AtLeastOnce).is_empty());
}

//= coap-plugtests [TD_COAP_OBS_07] [TD_COAP_OBS_08]
#[test]
fn a_value_that_goes_or_changes_its_format_ends_what_observes_it() {
    for (method, format, expected) in
        [(Code::DELETE, None, Code::NOT_FOUND), (Code::PUT, Some(50), Code::NOT_ACCEPTABLE)]
    {
        let (mut server, _) = observed_text();
        let payload: &[u8] = if method == Code::PUT { b"{}" } else { b"" };
        server.hear(after(1_000), &request(9, method, "t/obs", format, payload));
        let all = said(&mut server);
        let last = all.iter().find(|said| said.token == b"t").unwrap();
        assert_eq!((last.code, last.all(OptionNumber::OBSERVE).len()), (expected, 0));
        assert!(server.subscriptions.is_empty());
        assert!(change(&mut server, after(5_000), b"none", Class::AtLeastOnce).is_empty());
    }
}

//= coap-plugtests [TD_COAP_OBS_10] [TD_COAP_OBS_12]
#[test]
fn a_get_does_not_cancel_and_a_get_with_observe_1_does() {
    let (mut server, _) = observed();
    let get = message(Kind::Confirmable, 50, Code::GET, b"other", &options("t/obs", &[]), b"");
    let value = ask(&mut server, after(1_000), &get);
    assert_eq!((value.code, &value.token[..]), (Code::CONTENT, &b"other"[..]));
    assert!(value.all(OptionNumber::OBSERVE).is_empty());
    let notified = change(&mut server, after(2_000), b"second", Class::AtLeastOnce);
    assert_eq!((&notified[0].token[..], &notified[0].payload[..]), (&b"t"[..], &b"second"[..]));
    acknowledge(&mut server, after(2_100), &notified[0]);
    let left = ask(&mut server, after(3_000), &observe(51, 1));
    assert_eq!((left.code, &left.token[..], &left.payload[..]), (Code::CONTENT, &b"t"[..], &b"second"[..]));
    assert!(left.all(OptionNumber::OBSERVE).is_empty());
    assert!(change(&mut server, after(5_000), b"third", Class::AtLeastOnce).is_empty());
}

//= coap-plugtests [TD_COAP_OBS_11]
#[test]
fn notifications_come_over_a_path_that_loses_messages() {
    let mut complete = 0;
    for seed in 0..20 {
        let weather = Weather { lost_percent: 20, repeated_percent: 0, ..Weather::FOUL };
        let mut world = World::new(Server::trusting(), weather, seed);
        world.server.publish(world.now, "a", b"0", Class::AtLeastOnce, true);
        let observed = world.request(on(Code::GET, "a").observe());
        world.run_for(Duration::from_secs(100));
        for number in 1..=9_u8 {
            world.server.publish(world.now, "a", &[b'0' + number], Class::AtLeastOnce, true);
            world.run_for(Duration::from_secs(100));
        }
        let got: Vec<u8> = world.notifications(observed).iter().map(|said| said.payload[0]).collect();
        complete += usize::from(got == b"123456789");
        assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
    }
    assert!(complete >= 14, "{complete} of 20");
}

/// What is observed is large, of one size or of another each time; the rest is got as any value's.
//= coap-plugtests [TD_COAP_OBS_13] [TD_COAP_OBS_14]
#[test]
fn large_values_are_observed_in_blocks() {
    let mut server = Server::trusting();
    server.publish(NOW, "large", &[b'0'; 1_300], Class::AtLeastOnce, true);
    let wanted = block(0, false, 256);
    let more = [(OptionNumber::OBSERVE, 0), (OptionNumber::BLOCK2, wanted)];
    let observe = message(Kind::Confirmable, 9_000, Code::GET, b"t", &options("t/large", &more), b"");
    let mut first = ask(&mut server, NOW, &observe);
    let mut id = 100;
    for (second, len) in [(1, 1_300), (2, 1_300), (3, 700), (4, 2_000), (5, 200)] {
        assert!(!first.all(OptionNumber::OBSERVE).is_empty() && first.token == b"t");
        let length = first.payload.len();
        let byte = first.payload[0];
        if let Some(got) = first.block(OptionNumber::BLOCK2) {
            assert_eq!((got.to_uint(), length), (block(0, true, 256), 256));
            let rest = read_rest(&mut server, &mut id, 256);
            assert!(rest.iter().all(|other| *other == byte));
        } else {
            assert_eq!(length, 200);
        }
        let payload = vec![b'0' + second; len];
        server.publish(after(u64::from(second) * 1_000), "large", &payload, Class::AtLeastOnce, true);
        first = said(&mut server).remove(0);
        assert_eq!((first.kind, first.payload[0]), (Kind::Confirmable, b'0' + second));
        acknowledge(&mut server, after(u64::from(second) * 1_000), &first);
    }
}

/// The blocks of `/t/large` behind the first.
fn read_rest(server: &mut Server, id: &mut u16, size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for number in 1.. {
        *id += 1;
        let more = [(OptionNumber::BLOCK2, block(number, false, size))];
        let get = message(Kind::Confirmable, *id, Code::GET, b"rest", &options("t/large", &more), b"");
        let part = ask(server, NOW, &get);
        assert_eq!(part.code, Code::CONTENT);
        body.extend(&part.payload);
        if !part.block(OptionNumber::BLOCK2).unwrap().more {
            break;
        }
    }
    body
}
