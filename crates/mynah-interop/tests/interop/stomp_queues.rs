//! stomp.py on queues, and where STOMP meets the others: each scenario is a function of `python/stomp_queues.py` or
//! `python/stomp_crossings.py`, which says what it expects.

use std::process::Command;

use mynah_interop::{Broker, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(
    modes,
    refusals,
    transactions,
    receipts,
    prefetch,
    durable,
    replies,
    selectors,
    exchanges,
    streams,
    expiry,
    large,
    by_websocket,
    profiles,
    tenants,
    meets_mqtt,
    meets_amqp,
    meets_http,
    meets_coap
);

/// A listener of STOMP with these keys beside.
fn listener(name: &str, keys: &str) -> String {
    format!("[[listener]]\nname = \"{name}\"\nprotocol = \"stomp\"\naddress = \"127.0.0.1:0\"\n{keys}\n")
}

fn setup(workers: u16) -> Setup {
    Setup::workers(workers).first("[store]\npath = \"store\"\n").more(&listener("the-stomp", ""))
}

/// Plays a scenario at these listeners.
#[track_caller]
fn play(broker: &Broker, script: &str, scenario: &str, listeners: &[&str]) {
    let mut command: Command = python(script);
    command.arg(broker.listener(listeners[0]).port().to_string()).arg(scenario);
    command.args(listeners[1..].iter().map(|name| broker.listener(name).port().to_string()));
    assert_eq!(Process::start(&mut command).finish().success(), format!("{scenario}: ok\n"));
}

#[track_caller]
fn on_queues(workers: u16, scenario: &str) {
    play(&setup(workers).start(), "stomp_queues.py", scenario, &["the-stomp"]);
}

fn modes(workers: u16) {
    on_queues(workers, "modes");
}

fn refusals(workers: u16) {
    on_queues(workers, "refusals");
}

fn transactions(workers: u16) {
    on_queues(workers, "transactions");
}

fn receipts(workers: u16) {
    on_queues(workers, "receipts");
}

fn prefetch(workers: u16) {
    on_queues(workers, "prefetch");
}

/// The broker is killed while nobody is there.
fn durable(workers: u16) {
    let broker = setup(workers).start();
    play(&broker, "stomp_queues.py", "durable_begins", &["the-stomp"]);
    let broker = broker.kill_and_start();
    play(&broker, "stomp_queues.py", "durable_ends", &["the-stomp"]);
}

fn replies(workers: u16) {
    on_queues(workers, "replies");
}

fn selectors(workers: u16) {
    on_queues(workers, "selectors");
}

fn exchanges(workers: u16) {
    on_queues(workers, "exchanges");
}

fn streams(workers: u16) {
    on_queues(workers, "streams");
}

fn expiry(workers: u16) {
    on_queues(workers, "expiry");
}

fn large(workers: u16) {
    on_queues(workers, "large");
}

fn by_websocket(workers: u16) {
    let web = listener("the-web", "transport = \"websocket\"\nwebsocket = { paths = [\"/ws\"] }");
    play(&setup(workers).more(&web).start(), "stomp_queues.py", "by_websocket", &["the-web"]);
}

fn profiles(workers: u16) {
    let activemq = listener("the-activemq", "profile = \"activemq\"");
    let plain = listener("the-plain", "profile = \"plain\"");
    let broker = setup(workers).more(&activemq).more(&plain).start();
    play(&broker, "stomp_queues.py", "profiles", &["the-activemq", "the-plain"]);
}

fn tenants(workers: u16) {
    let broker = setup(workers)
        .user("bob", "engine")
        .user_of("factory", "ada", "steam")
        .more("[tenants]\nfactory = 1\n")
        .start();
    play(&broker, "stomp_queues.py", "tenants", &["the-stomp"]);
}

fn meets_mqtt(workers: u16) {
    play(&setup(workers).start(), "stomp_crossings.py", "meets_mqtt", &["the-stomp", "the-mqtt"]);
}

fn meets_amqp(workers: u16) {
    let amqp = listener("the-amqp", "").replace("\"stomp\"", "\"amqp091\"");
    play(&setup(workers).more(&amqp).start(), "stomp_crossings.py", "meets_amqp", &["the-stomp", "the-amqp"]);
}

fn meets_http(workers: u16) {
    play(&setup(workers).start(), "stomp_crossings.py", "meets_http", &["the-stomp", "the-http"]);
}

fn meets_coap(workers: u16) {
    let coap = listener("the-coap", "").replace("\"stomp\"", "\"coap\"");
    play(&setup(workers).more(&coap).start(), "stomp_crossings.py", "meets_coap", &["the-stomp", "the-coap"]);
}
