//! Where AMQP 0-9-1 meets the others: each scenario is a function of `python/amqp_crossings.py`, which says what it expects,
//! live, and again when the broker has been killed and is back.

use mynah_interop::{Broker, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(meets_mqtt, meets_http, meets_coap);

fn listener(protocol: &str) -> String {
    format!("[[listener]]\nname = \"the-{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n")
}

#[track_caller]
fn play(broker: &Broker, scenario: &str, other: &str, more: &[&str]) {
    let mut command = python("amqp_crossings.py");
    command.arg(broker.listener("the-amqp091").port().to_string()).arg(scenario);
    command.arg(broker.listener(other).port().to_string()).args(more);
    assert_eq!(Process::start(&mut command).finish().success(), format!("{scenario}: ok\n"));
}

#[track_caller]
fn crosses(workers: u16, scenario: &str, other: &str) {
    let setup = Setup::workers(workers).first("[store]\npath = \"store\"\n");
    let broker = setup.more(&listener("amqp091")).more(&listener("coap")).start();
    play(&broker, scenario, other, &[]);
    play(&broker.kill_and_start(), scenario, other, &["later"]);
}

fn meets_mqtt(workers: u16) {
    crosses(workers, "meets_mqtt", "the-mqtt");
}

fn meets_http(workers: u16) {
    crosses(workers, "meets_http", "the-http");
}

fn meets_coap(workers: u16) {
    crosses(workers, "meets_coap", "the-coap");
}
