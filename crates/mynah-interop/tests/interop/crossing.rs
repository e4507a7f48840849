//! From MQTT to HTTP and back: what `mosquitto_pub` says `curl` hears, and the other way round.

use mynah_interop::{Broker, Setup};

use crate::curl::{curl, event, events};
use crate::mosquitto::{message, messages, publish, subscribe, subscribed};
use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    a_publication_reaches_a_stream_of_events,
    a_post_reaches_a_subscriber,
    a_put_is_retained_for_subscribers,
    a_retained_publication_is_read_by_get,
    what_mqtt_5_says_of_a_message_is_read_and_heard_by_http,
    what_http_says_of_a_message_is_heard_by_mqtt_5,
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

/// Publishes by MQTT 5.0 with properties: names and values as `mosquitto_pub -D publish` takes them.
fn publish_saying(broker: &Broker, arguments: &[&str], said: &[&[&str]]) {
    let properties = said.iter().flat_map(|property| [&["-D", "publish"][..], property]);
    let all: Vec<&[&str]> = [&["-V", "mqttv5"][..], arguments].into_iter().chain(properties).collect();
    publish(broker, &all.concat());
}

fn what_mqtt_5_says_of_a_message_is_read_and_heard_by_http(workers: u16) {
    let broker = Setup::workers(workers).start();
    let mut stream = events(&broker, "filter=said/%23");
    let said: [&[&str]; 11] = [
        &["content-type", "application/json"],
        &["payload-format-indicator", "1"],
        &["response-topic", "replies/ü"],
        &["correlation-data", "c, 1"],
        &["message-expiry-interval", "3600"],
        &["user-property", "k", "1"],
        &["user-property", "k=", "a,b"],
        &["user-property", "mynah-content-encoding", "gzip"],
        &["user-property", "mynah-message-id", "m 1"],
        &["user-property", "mynah-created", "784111777000"],
        &["user-property", "mynah-priority", "9"],
    ];
    publish_saying(&broker, &["-t", "said/a", "-m", "{}", "-q", "2", "-r"], &said);
    let read = curl(&[&broker.http_url("/v1/topics/said/a")]);
    assert_eq!((read.status, read.body.as_str()), (200, "{}"));
    for field in [
        "content-type: application/json; charset=utf-8",
        "content-encoding: gzip",
        "mynah-qos: 2",
        "mynah-priority: 9",
        "mynah-correlation: c%2c%201",
        "mynah-reply-to: replies/%c3%bc",
        "mynah-message-id: m%201",
        "mynah-created: sun, 06 nov 1994 08:49:37 gmt",
        "mynah-property: k=1\r\nmynah-property: k%3d=a%2cb",
    ] {
        assert!(read.head.contains(&format!("\r\n{field}\r\n")), "{field}: {}", read.head);
    }
    assert!(read.head.contains("\r\nmynah-expiry: 35") && !read.head.contains("omitted"), "{}", read.head);
    let (name, json) = event(&mut stream);
    for part in [
        r#""payload":"{}","content_type":"application/json; charset=utf-8","content_encoding":"gzip","correlation":"c, 1","#,
        r#""reply_to":"replies/ü","message_id":"m 1","qos":2,"retain":true,"priority":9,"#,
        r#""created":"1994-11-06T08:49:37Z","expiry_ms":3"#,
        r#""properties":[["k","1"],["k=","a,b"]]}"#,
    ] {
        assert!(name == "message" && json.contains(part), "{part}: {json}");
    }
}

fn what_http_says_of_a_message_is_heard_by_mqtt_5(workers: u16) {
    let broker = Setup::workers(workers).start();
    let arguments =
        ["-V", "mqttv5", "-t", "said/#", "-q", "2", "-F", "> %q %r %p|%C|%F|%R|%D|%P|%E", "-D", "subscribe"];
    let arguments = [&arguments[..], &["subscription-identifier", "7"]].concat();
    let mut subscriber = subscribed(&broker, &arguments);
    let fields = [
        "Content-Type: text/csv;charset=utf-8",
        "Content-Encoding: gzip",
        "Mynah-QoS: 2",
        "Mynah-Priority: 9",
        "Mynah-Correlation: c%2C%201",
        "Mynah-Reply-To: replies/%C3%BC",
        "Mynah-Message-Id: m%201",
        "Mynah-Created: Sun, 06 Nov 1994 08:49:37 GMT",
        "Mynah-Expiry: 3600",
        "Mynah-Property: k=1, k%3D=a%2Cb",
        "Mynah-Property: k=",
    ];
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["-H", field]).collect();
    let url = broker.http_url("/v1/topics/said/a");
    let expected = "|text/csv;charset=utf-8|1|replies/ü|c, 1|";
    let pairs = "mynah-content-encoding:gzip mynah-message-id:m 1 mynah-created:784111777000 mynah-priority:9 \
                 k:1 k=:a,b k:";
    let is_said = |line: &str, start: &str| {
        assert!(line.starts_with(&format!("{start}{expected}{pairs}")), "{line}");
        let left: u32 = line.rsplit('|').next().unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&left), "{line}");
    };
    assert_eq!(curl(&[&fields[..], &["-d", "1,2", &url]].concat()).status, 204);
    is_said(&message(&mut subscriber), "2 0 1,2");
    assert_eq!(curl(&[&fields[..], &["-X", "PUT", "-d", "3,4", &url]].concat()).status, 204);
    is_said(&message(&mut subscriber), "2 0 3,4");
    let mut late = subscribed(&broker, &arguments);
    is_said(&message(&mut late), "2 1 3,4");
    // What clears the value speaks too, but not of content that it does not have.
    assert_eq!(curl(&[&fields[..], &["-X", "DELETE", &url]].concat()).status, 204);
    let cleared = message(&mut subscriber);
    assert!(cleared.starts_with("2 0 |||replies/ü|c, 1|mynah-message-id:m 1 "), "{cleared}");
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
