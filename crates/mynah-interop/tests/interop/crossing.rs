//! From MQTT to HTTP and back: what `mosquitto_pub` says `curl` hears, and the other way round.

use mynah_interop::Setup;

use crate::curl::{curl, event, events};
use crate::mosquitto::{message, messages, publish, subscribe, subscribed};
use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    a_publication_reaches_a_stream_of_events,
    a_post_reaches_a_subscriber,
    a_put_is_retained_for_subscribers,
    a_retained_publication_is_read_by_get,
    many_subscribers_of_both_kinds_hear_the_same,
);

fn a_publication_reaches_a_stream_of_events(workers: u16) {
    let broker = Setup::workers(workers).start();
    publish(&broker, &["-t", "home/a", "-m", "before", "-r", "-q", "1"]);
    let mut stream = events(&broker, "filter=home/%23");
    let json = |payload: &str, qos: &str, retain: bool| {
        let json = format!(r#"{{"topic":"home/a","payload":"{payload}","qos":{qos},"retain":{retain}}}"#);
        ("message".to_owned(), json)
    };
    assert_eq!(event(&mut stream), json("before", "1", true));
    for qos in ["0", "1", "2"] {
        publish(&broker, &["-t", "home/a", "-m", "live", "-q", qos]);
        assert_eq!(event(&mut stream), json("live", qos, false));
    }
    publish(&broker, &["-t", "home/a", "-n", "-r", "-q", "1"]);
    assert_eq!(event(&mut stream).0, "delete");
}

fn a_post_reaches_a_subscriber(workers: u16) {
    let broker = Setup::workers(workers).start();
    let mut subscriber = subscribed(&broker, &["-t", "jobs/+", "-q", "2"]);
    for qos in ["0", "1", "2"] {
        let class = format!("Mynah-QoS: {qos}");
        assert_eq!(curl(&["-H", &class, "-d", "do it", &broker.http_url("/v1/topics/jobs/1")]).status, 204);
        assert_eq!(message(&mut subscriber), format!("jobs/1 {qos} 0 do it"));
    }
    assert_eq!(curl(&["-d", "do it", &broker.http_url("/v1/topics/jobs/a%20b")]).status, 204);
    assert_eq!(message(&mut subscriber), "jobs/a b 1 0 do it");
}

fn a_put_is_retained_for_subscribers(workers: u16) {
    let broker = Setup::workers(workers).start();
    let url = broker.http_url("/v1/topics/lamp/state");
    assert_eq!(curl(&["-X", "PUT", "-d", "on", &url]).status, 204);
    let mut subscriber = subscribed(&broker, &["-t", "lamp/#", "-q", "1"]);
    assert_eq!(message(&mut subscriber), "lamp/state 1 1 on");
    assert_eq!(curl(&["-X", "PUT", "-d", "off", &url]).status, 204);
    assert_eq!(message(&mut subscriber), "lamp/state 1 0 off");
    assert_eq!(curl(&["-X", "DELETE", &url]).status, 204);
    assert_eq!(message(&mut subscriber), "lamp/state 1 0 ");
}

fn a_retained_publication_is_read_by_get(workers: u16) {
    let broker = Setup::workers(workers).start();
    let url = broker.http_url("/v1/topics/lamp/state");
    publish(&broker, &["-t", "lamp/state", "-m", "not kept", "-q", "1"]);
    assert_eq!(curl(&[&url]).status, 404);
    publish(&broker, &["-t", "lamp/state", "-m", "on", "-q", "1", "-r"]);
    let read = curl(&[&url]);
    assert_eq!((read.status, read.body.as_str()), (200, "on"));
    assert!(read.head.contains("\r\ncontent-type: application/octet-stream\r\n"), "{}", read.head);
    publish(&broker, &["-t", "lamp/state", "-n", "-q", "1", "-r"]);
    assert_eq!(curl(&[&url]).status, 404);
}

/// Sessions are spread over the workers by their names: with this many, messages cross between workers.
fn many_subscribers_of_both_kinds_hear_the_same(workers: u16) {
    let broker = Setup::workers(workers).start();
    let names: Vec<String> = (0..6).map(|number| format!("reader-{number}")).collect();
    let readers: Vec<_> = names
        .iter()
        .map(|name| subscribed(&broker, &["-i", name, "-t", "m", "-q", "1", "-C", "4"]))
        .collect();
    let mut streams: Vec<_> = (0..2).map(|_| events(&broker, "filter=m")).collect();
    for (number, writer) in ["w-1", "w-2"].into_iter().enumerate() {
        publish(&broker, &["-i", writer, "-t", "m", "-m", &format!("mqtt {number}"), "-q", "1"]);
        let posted = curl(&["-d", &format!("http {number}"), &broker.http_url("/v1/topics/m")]);
        assert_eq!(posted.status, 204);
    }
    let mut expected = ["mqtt 0", "http 0", "mqtt 1", "http 1"];
    expected.sort_unstable();
    for reader in readers {
        let mut found = messages(reader);
        found.sort_unstable();
        assert_eq!(found, expected.map(|payload| format!("m 1 0 {payload}")));
    }
    for stream in &mut streams {
        let mut found: Vec<String> = expected.iter().map(|_| event(stream).1).collect();
        found.sort_unstable();
        for (found, payload) in found.iter().zip(expected) {
            assert!(found.contains(&format!("\"payload\":\"{payload}\"")), "{found}");
        }
    }
    // Nothing more has come to anybody.
    let late = subscribe(&broker, &["-t", "m", "-E"]);
    assert_eq!(messages(late), [""; 0]);
}
