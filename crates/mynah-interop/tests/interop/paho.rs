//! paho-mqtt for Python: each scenario is a function of `python/paho_client.py`, which says what it expects.

use std::path::Path;
use std::process::Command;

use mynah_interop::{Process, Setup};

use crate::on_one_and_two_workers;

on_one_and_two_workers!(
    order,
    take_over,
    retained,
    persistent_session,
    keep_alive,
    will,
    refused_subscription
);

/// A script for the interpreter that has paho-mqtt: the one that `MYNAH_PYTHON` names, else the system's.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(std::env::var_os("MYNAH_PYTHON").unwrap_or_else(|| "python3".into()));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    command
}

fn run(scenario: &str, setup: Setup) {
    let broker = setup.start();
    let port = broker.mqtt.port().to_string();
    let output = Process::start(python("paho_client.py").args([&port, scenario])).finish().success();
    assert_eq!(output, format!("{scenario}: ok\n"));
}

fn order(workers: u16) {
    run("order", Setup::workers(workers));
}

fn take_over(workers: u16) {
    run("take_over", Setup::workers(workers));
}

fn retained(workers: u16) {
    run("retained", Setup::workers(workers));
}

fn persistent_session(workers: u16) {
    run("persistent_session", Setup::workers(workers));
}

fn keep_alive(workers: u16) {
    run("keep_alive", Setup::workers(workers));
}

fn will(workers: u16) {
    run("will", Setup::workers(workers));
}

fn refused_subscription(workers: u16) {
    let rule = "[[rule]]\naction = \"subscribe\"\ndeny = [\"secret/#\"]\n";
    run("refused_subscription", Setup::workers(workers).more(rule));
}
