//! What queues and exchanges can do, by pika: each scenario is a function of `python/queue_features.py`, which says what it
//! expects.

use mynah_interop::{Broker, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(exchanges, single_active, bounds, stream, times);

fn start(workers: u16) -> Broker {
    let listener = "[[listener]]\nname = \"the-amqp\"\nprotocol = \"amqp091\"\naddress = \"127.0.0.1:0\"\n";
    Setup::workers(workers).first("[store]\npath = \"store\"\n").more(listener).start()
}

#[track_caller]
fn play(broker: &Broker, scenario: &str) {
    let mut command = python("queue_features.py");
    command.args([scenario, &broker.listener("the-amqp").port().to_string()]);
    command.arg(broker.folder().path("note"));
    assert_eq!(Process::start(&mut command).finish().success(), format!("{scenario}: ok\n"));
}

/// The broker is killed between the halves of a scenario.
fn over_a_crash(workers: u16, scenario: &str) {
    let broker = start(workers);
    play(&broker, &format!("{scenario}_begins"));
    play(&broker.kill_and_start(), &format!("{scenario}_ends"));
}

fn exchanges(workers: u16) {
    play(&start(workers), "exchanges");
}

fn single_active(workers: u16) {
    play(&start(workers), "single_active");
}

fn bounds(workers: u16) {
    play(&start(workers), "bounds");
}

fn stream(workers: u16) {
    over_a_crash(workers, "stream");
}

fn times(workers: u16) {
    over_a_crash(workers, "times");
}
