//! pika, aio-pika and amqpstorm: each scenario is a function of `python/amqp_client.py`, which says what it expects; and the
//! programs of rabbitmq-c (`amqp-tools`).

use std::process::Command;
use std::time::Instant;

use mynah_interop::{Broker, Certificates, PATIENCE, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;
use crate::transports::tls;

const LISTENER: &str =
    "[[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";
const STOMP: &str = "[[listener]]\nname = \"the-stomp\"\nprotocol = \"stomp\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(
    queues,
    keys,
    consumers,
    confirms,
    transactions,
    dead_letters,
    replies,
    retained,
    wrong,
    passwords,
    denied,
    blocked,
    others,
    by_tls,
    by_websocket,
    by_scram,
    crosses,
    with_programs
);

fn run(scenario: &str, setup: Setup) {
    let broker = setup.more(LISTENER).start();
    let port = broker.listener("the-amqp").port().to_string();
    let output = Process::start(python("amqp_client.py").args([scenario, &port])).finish().success();
    assert_eq!(output, format!("{scenario}: ok\n"));
}

fn queues(workers: u16) {
    run("queues", Setup::workers(workers));
}

fn keys(workers: u16) {
    run("keys", Setup::workers(workers));
}

fn consumers(workers: u16) {
    run("consumers", Setup::workers(workers));
}

fn confirms(workers: u16) {
    run("confirms", Setup::workers(workers));
}

fn transactions(workers: u16) {
    run("transactions", Setup::workers(workers));
}

fn dead_letters(workers: u16) {
    run("dead_letters", Setup::workers(workers));
}

fn replies(workers: u16) {
    run("replies", Setup::workers(workers));
}

fn retained(workers: u16) {
    run("retained", Setup::workers(workers));
}

fn wrong(workers: u16) {
    run("wrong", Setup::workers(workers));
}

fn passwords(workers: u16) {
    run("passwords", Setup::workers(workers).user("alice", "secret"));
}

fn denied(workers: u16) {
    let rules = "[[rule]]\naction = [\"publish\", \"subscribe\"]\ndeny = [\"secret/#\"]\n";
    run("denied", Setup::workers(workers).more(rules));
}

/// No disk has as much room as this one is to have.
fn blocked(workers: u16) {
    run("blocked", Setup::workers(workers).more("[store]\nfree_bytes_min = 1000000000000000\n"));
}

fn others(workers: u16) {
    run("others", Setup::workers(workers));
}

fn by_tls(workers: u16) {
    let certificates = Certificates::new();
    let tls = tls(&certificates, "");
    let listener =
        format!("[[listener]]\nname = \"amqps\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n{tls}\n");
    let broker = Setup::workers(workers).more(&listener).start();
    let port = broker.listener("amqps").port().to_string();
    let mut command = python("amqp_client.py");
    command.args(["by_tls", &port]).arg(certificates.folder().path("ca.pem"));
    assert_eq!(Process::start(&mut command).finish().success(), "by_tls: ok\n");
}

fn by_websocket(workers: u16) {
    let listener = "[[listener]]\nname = \"web\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n\
                    transport = \"websocket\"\nwebsocket = { paths = [\"/ws\"] }\n";
    let broker = Setup::workers(workers).more(listener).start();
    let port = broker.listener("web").port().to_string();
    let output = Process::start(python("amqp_client.py").args(["by_websocket", &port])).finish().success();
    assert_eq!(output, "by_websocket: ok\n");
}

/// Who has a verifier is let in without saying the password, and the broker shows that it has the verifier.
fn by_scram(workers: u16) {
    let mechanisms = "[amqp091]\nmechanisms = [\"PLAIN\", \"SCRAM-SHA-256\"]\n";
    let broker = Setup::workers(workers).user("bob", "builder").more(LISTENER).more(mechanisms).start();
    let mut add = Broker::program();
    add.args(["user", "add", "--scram"]).arg(broker.folder().path("users")).arg("alice");
    let _ = Process::start_with(&mut add, b"secret\n".to_vec()).finish().success();
    let port = broker.listener("the-amqp").port().to_string();
    let log_in = |user: &str, password: &str| {
        Process::start(python("amqp_scram.py").args([&port, user, password])).finish().success()
    };
    // Before the users are read again nobody can log in like this.
    assert_eq!(log_in("alice", "secret"), "refused 403\n");
    broker.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while log_in("alice", "secret") != "open\n" {
        assert!(Instant::now() < deadline, "the users have not been read again");
    }
    for (user, password) in [("alice", "wrong"), ("bob", "builder"), ("nobody", "secret")] {
        assert_eq!(log_in(user, password), "refused 403\n", "{user}");
    }
}

fn crosses(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).more(STOMP).start();
    let port = |name: &str| broker.listener(name).port().to_string();
    let ports = [port("the-amqp"), port("the-mqtt"), port("the-stomp")];
    let output = Process::start(python("amqp_client.py").arg("crosses").args(ports)).finish().success();
    assert_eq!(output, "crosses: ok\n");
}

/// `amqp-tools` of Debian.
fn with_programs(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).start();
    let server = format!("--server={}", broker.listener("the-amqp"));
    let run = |program: &str, arguments: &[&str]| {
        Process::start(Command::new(program).arg(&server).args(arguments)).finish()
    };
    assert_eq!(run("amqp-declare-queue", &["-q", "tools", "-d"]).success(), "tools\n");
    for body in ["first", "second"] {
        assert_eq!(run("amqp-publish", &["-r", "tools", "-p", "-b", body]).success(), "");
    }
    assert_eq!(run("amqp-get", &["-q", "tools"]).success(), "first");
    assert_eq!(run("amqp-consume", &["-q", "tools", "-c", "1", "cat"]).success(), "second");
    assert_eq!(run("amqp-get", &["-q", "tools"]).code, Some(2), "it is empty");
    assert_eq!(run("amqp-delete-queue", &["-q", "tools"]).success(), "0\n");
}
