//! MQTT at queues, with clients of STOMP and AMQP: each scenario is a function of `python/queue_client.py`, which says what
//! it expects.

use mynah_interop::{Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;

const LISTENERS: &str = "[[listener]]\nname = \"the-stomp\"\nprotocol = \"stomp\"\naddress = \"127.0.0.1:0\"\n\
                         [[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(shared, resumed, crosses);

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
