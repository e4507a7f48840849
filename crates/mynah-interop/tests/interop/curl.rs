//! `curl`: topics as resources, events, refusals, and what operators look at.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, PATIENCE, Process, Setup, line_buffered};

use crate::{mosquitto, on_one_and_two_workers};

on_one_and_two_workers!(
    a_value_is_put_read_and_deleted,
    an_event_is_posted_and_not_kept,
    events_begin_with_what_is_retained,
    a_stream_says_that_it_may_not_be_any_more,
    metrics_count_who_is_there,
);

/// An answer of HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:#?}");
        assert!(self.head.contains("\r\ncontent-type: application/problem+json\r\n"), "{self:#?}");
        assert!(self.body.contains(&format!("\"type\":\"urn:mynah:problem:{kind}\"")), "{self:#?}");
        assert!(self.body.contains(&format!("\"status\":{status}")), "{self:#?}");
    }
}

/// Runs `curl` and takes its answer apart.
#[track_caller]
pub(crate) fn curl(arguments: &[&str]) -> Answer {
    // An announcement that the body may be sent comes before the answer.
    let options = ["-sS", "-i", "--http1.1", "-H", "Expect:"];
    answer(&Process::start(Command::new("curl").args(options).args(arguments)).finish().success())
}

/// Takes an answer apart that `curl -i` has printed.
#[track_caller]
pub(crate) fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer of HTTP: {text}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Answer { status, head: format!("{}\r\n", head.to_ascii_lowercase()), body: body.to_owned() }
}

/// A subscription to events, once the broker has let it in.
pub(crate) fn events(broker: &Broker, query: &str) -> Process {
    let url = broker.http_url(&format!("/v1/topics?{query}"));
    // Without a terminal `curl` keeps the head to itself until the first event.
    let mut process = Process::start(line_buffered("curl").args(["-sS", "-i", "-N", &url]));
    process.line("200", |line| line == "HTTP/1.1 200 OK");
    process.line("its content type", |line| line.eq_ignore_ascii_case("content-type: text/event-stream"));
    process.line("the end of the head", str::is_empty);
    process
}

/// The next event: its name and its JSON.
#[track_caller]
pub(crate) fn event(events: &mut Process) -> (String, String) {
    let name = events.line("an event", |line| line.starts_with("event: ")).split_off(7);
    let value = events.line("the event's value", |line| line.starts_with("data: ")).split_off(6);
    (name, value)
}

fn a_value_is_put_read_and_deleted(workers: u16) {
    let broker = Setup::workers(workers).start();
    let url = broker.http_url("/v1/topics/house/kitchen%20sink/temperature");
    curl(&[&url]).is_problem(404, "no-value");
    let put = curl(&["-X", "PUT", "-H", "Content-Type: application/vnd.celsius+json", "-d", "21.5", &url]);
    assert_eq!(put.status, 204, "{put:?}");
    let read = curl(&[&url]);
    assert_eq!((read.status, read.body.as_str()), (200, "21.5"));
    assert!(read.head.contains("\r\ncontent-type: application/vnd.celsius+json\r\n"), "{}", read.head);
    let head = curl(&["-I", &url]);
    assert!(head.head.contains("\r\ncontent-length: 4\r\n") && head.body.is_empty(), "{head:?}");
    assert_eq!(curl(&["-X", "DELETE", &url]).status, 204);
    curl(&[&url]).is_problem(404, "no-value");
    assert_eq!(curl(&["-X", "DELETE", &url]).status, 204);

    let bytes: Vec<u8> = (0..=255).collect();
    let (sent, found) = (broker.folder().write("sent", &bytes), broker.folder().path("found"));
    assert_eq!(curl(&["-T", sent.to_str().unwrap(), &url]).status, 204);
    let read = Command::new("curl").args(["-sS", "-o"]).arg(&found).arg(&url).status();
    assert!(read.unwrap().success());
    assert_eq!(std::fs::read(found).unwrap(), bytes);
}

fn an_event_is_posted_and_not_kept(workers: u16) {
    let broker = Setup::workers(workers).start();
    let mut stream = events(&broker, "filter=alarms/%23");
    let url = broker.http_url("/v1/topics/alarms/fire");
    let posted =
        curl(&["-H", "Mynah-QoS: 2", "-H", "Content-Type: text/plain", "--data-binary", "hot\n", &url]);
    assert_eq!(posted.status, 204, "{posted:?}");
    let json =
        r#"{"topic":"alarms/fire","payload":"hot\n","content_type":"text/plain","qos":2,"retain":false}"#;
    assert_eq!(event(&mut stream), ("message".to_owned(), json.to_owned()));
    curl(&[&url]).is_problem(404, "no-value");
}

fn a_stream_says_that_it_may_not_be_any_more(workers: u16) {
    let setup = Setup::workers(workers).first("rules_file = \"rules.toml\"\n").file("rules.toml", "");
    let broker = setup.start();
    let mut stream = events(&broker, "filter=alarms/%23");
    broker.folder().write("rules.toml", "[[rule]]\naction = \"subscribe\"\ndeny = [\"alarms/#\"]\n");
    broker.signal("HUP");
    let (name, problem) = event(&mut stream);
    assert!(name == "end" && problem.contains(r#""status":403"#), "{name} {problem}");
}

fn events_begin_with_what_is_retained(workers: u16) {
    let broker = Setup::workers(workers).start();
    let url = broker.http_url("/v1/topics/s/a");
    assert_eq!(curl(&["-X", "PUT", "-d", "1", "-H", "Content-Type: text/plain", &url]).status, 204);
    let mut stream = events(&broker, "filter=s/+&filter=t");
    let json = |retain: bool, value: u8| {
        format!(
            r#"{{"topic":"s/a","payload":"{value}","content_type":"text/plain","qos":1,"retain":{retain}}}"#
        )
    };
    assert_eq!(event(&mut stream), ("message".to_owned(), json(true, 1)));
    assert_eq!(curl(&["-X", "PUT", "-d", "2", "-H", "Content-Type: text/plain", &url]).status, 204);
    let (name, value) = event(&mut stream);
    assert!(name == "message" && value.contains(r#""payload":"2""#), "{name} {value}");
    assert_eq!(curl(&["-X", "DELETE", &url]).status, 204);
    assert_eq!(event(&mut stream).0, "delete");
    // Bytes that are no text travel as base64.
    let bytes = broker.folder().write("bytes", [0xff, 0x00]);
    let upload = format!("@{}", bytes.display());
    assert_eq!(curl(&["--data-binary", &upload, &broker.http_url("/v1/topics/t")]).status, 204);
    let (name, value) = event(&mut stream);
    assert!(name == "message" && value.contains(r#""payload_base64":"/wA=""#), "{name} {value}");
}

#[test]
fn a_request_that_makes_no_sense_is_told_why() {
    let broker = Setup::workers(1).more("[http]\nbody_bytes_max = 100\n").start();
    let topic = broker.http_url("/v1/topics/a");
    curl(&["-X", "PUT", "-d", &"x".repeat(101), &topic]).is_problem(413, "too-large");
    let answer = curl(&["-X", "PATCH", &topic]);
    assert_eq!(answer.status, 405, "{answer:?}");
    assert!(answer.head.contains("\r\nallow: "), "{answer:?}");
    for (status, path) in [
        (400, "/v1/topics/a+b"),
        (400, "/v1/topics/%ff"),
        (400, "/v1/topics?filter=a%2Bb"),
        (404, "/v1/nothing"),
    ] {
        let answer = curl(&[&broker.http_url(path)]);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.head.contains("\r\ncontent-type: application/problem+json\r\n"), "{path}: {answer:?}");
    }
}

#[test]
fn a_listener_that_asks_for_passwords_lets_nobody_else_in() {
    let rule = "[[rule]]\nidentity = \"bob\"\naction = \"publish\"\ndeny = [\"#\"]\n";
    let broker = Setup::workers(2).user("ada", "engine").user("bob", "builder").more(rule).start();
    let url = broker.http_url("/v1/topics/a");
    assert_eq!(curl(&["-u", "ada:engine", "-X", "PUT", "-d", "x", &url]).status, 204);
    assert_eq!(curl(&["-u", "bob:builder", &url]).body, "x");
    for wrong in [&["-u", "ada:builder"][..], &["-u", "eve:engine"], &[]] {
        let answer = curl(&[wrong, &[&url]].concat());
        assert_eq!(answer.status, 401, "{wrong:?}: {answer:?}");
        assert!(answer.head.contains("\r\nwww-authenticate: basic "), "{wrong:?}: {answer:?}");
    }
    assert_eq!(curl(&["-u", "bob:builder", "-X", "PUT", "-d", "y", &url]).status, 403);
    assert_eq!(curl(&["-u", "ada:engine", &url]).body, "x");
}

#[test]
fn operators_see_health() {
    let broker = Setup::workers(1).start();
    let healthy = |url: &str| {
        let answer = curl(&[url]);
        (answer.status, answer.body)
    };
    assert_eq!(healthy(&broker.management_url("/healthz")), (200, "ok\n".to_owned()));
    assert_eq!(healthy(&broker.management_url("/readyz")), (200, "ready\n".to_owned()));
    assert_eq!(healthy(&broker.http_url("/healthz")).0, 200);
    assert_eq!(healthy(&broker.http_url("/readyz")).0, 200);
    // What is for operators is not for everybody.
    assert_eq!(healthy(&broker.http_url("/metrics")).0, 404);
}

/// Asks for the metrics until all the lines are there.
#[track_caller]
fn metrics(broker: &Broker, lines: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = curl(&[&broker.management_url("/metrics")]);
        assert!(
            answer.head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0"),
            "{answer:?}"
        );
        let missing: Vec<&&str> =
            lines.iter().filter(|line| !answer.body.contains(&format!("\n{line}\n"))).collect();
        if missing.is_empty() {
            return assert!(answer.body.ends_with("# EOF\n"));
        }
        assert!(Instant::now() < deadline, "{missing:?} is not in {}", answer.body);
        thread::sleep(Duration::from_millis(50));
    }
}

fn metrics_count_who_is_there(workers: u16) {
    let broker = Setup::workers(workers).more("[sys]\ninterval_s = 0\n").start();
    let count = format!("mynah_workers {workers}");
    let mut clients = Vec::new();
    for number in 0..8 {
        let id = format!("client-{number}");
        clients.push(mosquitto::subscribed(&broker, &["-i", &id, "-c", "-t", "m/#", "-t", &id, "-q", "1"]));
    }
    mosquitto::publish(&broker, &["-t", "m/1", "-m", "x", "-q", "1", "-r"]);
    clients.iter_mut().for_each(|client| assert_eq!(mosquitto::message(client), "m/1 1 0 x"));
    metrics(
        &broker,
        &[
            &count,
            "mynah_connections 8",
            "mynah_connections_half_open 0",
            "mynah_connections_opened_total 9",
            "mynah_sessions 8",
            "mynah_subscriptions 16",
            "mynah_retained_messages 1",
            "mynah_messages_received_total{class=\"1\"} 1",
            "mynah_messages_sent_total{class=\"1\"} 8",
            "mynah_messages_dropped_total{reason=\"backlog_full\"} 0",
        ],
    );
    clients.into_iter().for_each(Process::kill);
    metrics(
        &broker,
        &[
            "mynah_connections 0",
            "mynah_connections_half_open 0",
            "mynah_sessions 8",
            "mynah_subscriptions 16",
        ],
    );
}
