//! MQTT at queues, with clients of STOMP and AMQP: each scenario is a function of `python/queue_client.py`, which says what
//! it expects. And leases over HTTP, by `curl`.

use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Process, Setup};

use crate::curl::{Answer, curl};
use crate::on_one_and_two_workers;
use crate::paho::python;

const LISTENERS: &str = "[[listener]]\nname = \"the-stomp\"\nprotocol = \"stomp\"\naddress = \"127.0.0.1:0\"\n\
                         [[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(
    shared,
    resumed,
    crosses,
    leases_are_settled_by_other_connections,
    leases_expire_and_are_extended,
    a_lease_is_waited_for
);

fn run(scenario: &str, workers: u16) {
    let setup = Setup::workers(workers).first("[store]\npath = \"store\"\n");
    let broker = setup.more(LISTENERS).start();
    let ports = ["the-mqtt", "the-stomp", "the-amqp"].map(|name| broker.listener(name).port().to_string());
    let output = Process::start(python("queue_client.py").arg(scenario).args(ports)).finish().success();
    assert_eq!(output, format!("{scenario}: ok\n"));
}

fn shared(workers: u16) {
    run("shared", workers);
}

fn resumed(workers: u16) {
    run("resumed", workers);
}

fn crosses(workers: u16) {
    run("crosses", workers);
}

/// A broker with a queue of these messages.
fn with_queue(workers: u16, messages: &[&str]) -> Broker {
    let broker = Setup::workers(workers).first("[store]\npath = \"store\"\n").start();
    for message in messages {
        let posted =
            curl(&["-d", message, "-H", "Mynah-Property: k=v", &broker.http_url("/v1/queues/jobs/messages")]);
        assert_eq!(posted.status, 204, "{posted:?}");
    }
    broker
}

/// Takes leases, as the query says.
fn take(broker: &Broker, query: &str) -> String {
    let answer = curl(&["-X", "POST", &broker.http_url(&format!("/v1/queues/jobs/leases?{query}"))]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The names of the leases in an answer.
fn names(body: &str) -> Vec<&str> {
    let named = body.split("\"lease\":\"").skip(1);
    named.map(|rest| rest.split('"').next().unwrap()).collect()
}

fn ask(broker: &Broker, method: &str, lease: &str) -> Answer {
    curl(&["-X", method, &broker.http_url(&format!("/v1/queues/jobs/leases/{lease}"))])
}

fn leases_are_settled_by_other_connections(workers: u16) {
    let broker = with_queue(workers, &["a", "b", "c"]);
    let body = take(&broker, "max=2");
    assert!(body.starts_with("[{\"topic\":\"$queue/jobs\",\"payload\":\"a\""), "{body}");
    assert!(
        body.contains("\"properties\":[[\"k\",\"v\"]]") && body.contains("\"delivery_count\":0"),
        "{body}"
    );
    let leases = names(&body);
    assert_eq!(leases.len(), 2, "{body}");
    assert_eq!(ask(&broker, "DELETE", leases[0]).status, 204);
    assert_eq!(ask(&broker, "DELETE", leases[0]).status, 410);
    assert_eq!(ask(&broker, "DELETE", "nobody").status, 404);
    let value = curl(&["-X", "PUT", "-d", "x", &broker.http_url("/v1/topics/$queue/jobs")]);
    assert_eq!(value.status, 400, "a queue holds no value: {value:?}");
    let elsewhere = broker.http_url(&format!("/v1/queues/other/leases/{}", leases[1]));
    assert_eq!(curl(&["-X", "DELETE", &elsewhere]).status, 404);
    // What is given back with a delay comes again when that is over, and not before.
    let given_back = Instant::now();
    assert_eq!(ask(&broker, "POST", &format!("{}/nack?delay=1.5", leases[1])).status, 204);
    let body = take(&broker, "max=9");
    assert!(body.contains("\"payload\":\"c\"") && names(&body).len() == 1, "{body}");
    let again = take(&broker, "max=9&wait=20");
    assert!(given_back.elapsed() >= Duration::from_millis(1_500), "{again}");
    assert!(again.contains("\"payload\":\"b\"") && again.contains("\"delivery_count\":1"), "{again}");
    // After a crash nobody holds anything, and what was acknowledged is gone.
    let broker = broker.kill_and_start();
    assert_eq!(ask(&broker, "DELETE", names(&again)[0]).status, 410);
    let left = take(&broker, "max=9");
    assert!(!left.contains("\"payload\":\"a\"") && names(&left).len() == 2, "{left}");
    for lease in names(&left) {
        assert_eq!(ask(&broker, "DELETE", lease).status, 204);
    }
    assert_eq!(take(&broker, "max=9"), "[]\n");
}

fn leases_expire_and_are_extended(workers: u16) {
    let broker = with_queue(workers, &["short", "long"]);
    let body = take(&broker, "max=2&ttl=1");
    let taken = Instant::now();
    let leases = names(&body);
    let extended = ask(&broker, "POST", &format!("{}/extend?ttl=60", leases[1]));
    assert_eq!(extended.status, 200, "{extended:?}");
    assert!(extended.body.contains("\"lease_expires\":\""), "{extended:?}");
    let again = take(&broker, "max=9&wait=20");
    assert!(taken.elapsed() >= Duration::from_millis(900), "{again}");
    assert!(again.contains("\"payload\":\"short\"") && names(&again).len() == 1, "{again}");
    assert_eq!(ask(&broker, "DELETE", leases[0]).status, 410, "it is over");
    assert_eq!(ask(&broker, "POST", &format!("{}/extend", leases[0])).status, 410);
    assert_eq!(ask(&broker, "DELETE", leases[1]).status, 204);
    assert_eq!(ask(&broker, "DELETE", names(&again)[0]).status, 204);
}

fn a_lease_is_waited_for(workers: u16) {
    let broker = with_queue(workers, &["first"]);
    let missing = curl(&["-X", "POST", &broker.http_url("/v1/queues/missing/leases")]);
    assert_eq!(missing.status, 404, "{missing:?}");
    assert_eq!(ask(&broker, "DELETE", names(&take(&broker, "ttl=60"))[0]).status, 204);
    let began = Instant::now();
    assert_eq!(take(&broker, "wait=0.5"), "[]\n");
    assert!(began.elapsed() >= Duration::from_millis(500));
    let url = broker.http_url("/v1/queues/jobs/leases?wait=30");
    let waiting = thread::spawn(move || curl(&["-X", "POST", &url]));
    thread::sleep(Duration::from_millis(200));
    let posted = curl(&["-d", "late", &broker.http_url("/v1/topics/$queue/jobs")]);
    assert_eq!(posted.status, 204, "{posted:?}");
    let answer = waiting.join().unwrap();
    assert!(answer.body.contains("\"payload\":\"late\""), "{answer:?}");
}
