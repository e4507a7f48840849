//! Devices that speak CoAP, asked by every protocol: `python/coap_device.py` is one, made of aiocoap.

use std::process::Command;

use mynah_interop::{Broker, Process, Setup};

use crate::curl::curl;
use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(
    a_device_is_asked_by_coap,
    a_device_is_asked_by_mqtt,
    a_device_is_asked_by_http,
    a_device_that_is_gone_answers_nobody,
);

const LISTENERS: &str = "
[[listener]]
name = \"udp\"
protocol = \"coap\"
address = \"127.0.0.1:0\"
[coap]
amplification_max = 0
";

/// A broker, and the device `lamp` that has registered there.
fn start(workers: u16) -> (Broker, Process) {
    let broker = Setup::workers(workers).more(LISTENERS).start();
    let uri = format!("coap://{}", broker.listener("udp"));
    let mut device = Process::start(python("coap_device.py").args([&uri, "lamp"]));
    device.line("that it is registered", |line| line.starts_with("registered at /rd/"));
    (broker, device)
}

#[track_caller]
fn coap(broker: &Broker, arguments: &[&str], path: &str) -> String {
    let mut command = Command::new("coap-client-notls");
    let url = format!("coap://{}/{path}", broker.listener("udp"));
    let output = Process::start(command.args(["-B", "20"]).args(arguments).arg(url)).finish().success();
    output.trim().to_owned()
}

#[track_caller]
fn request(broker: &Broker, topic: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("mosquitto_rr");
    let port = broker.mqtt.port().to_string();
    command.args(["-V", "mqttv5", "-p", &port, "-q", "1", "-W", "20", "-e", "replies/1", "-t", topic]);
    let output = Process::start(command.args(arguments)).finish().success();
    output.trim().to_owned()
}

fn a_device_is_asked_by_coap(workers: u16) {
    let (broker, mut device) = start(workers);
    assert_eq!(coap(&broker, &[], "r/lamp/state"), "off");
    assert_eq!(coap(&broker, &["-m", "put", "-t", "0", "-e", "on"], "r/lamp/state?by=coap"), "was put");
    device.line("what was put", |line| line == "put on by=coap");
    assert_eq!(coap(&broker, &[], "r/lamp/state"), "on");
    assert_eq!(coap(&broker, &[], "r/lamp/large"), "0123456789abcdef".repeat(300));
    assert!(coap(&broker, &[], "rd-lookup/res?rt=state").starts_with("</r/lamp/state>"));
}

fn a_device_is_asked_by_mqtt(workers: u16) {
    let (broker, mut device) = start(workers);
    assert_eq!(request(&broker, "$request/lamp/state", &["-n"]), "off");
    let put = ["-m", "dim", "-D", "publish", "user-property", "method", "PUT"];
    assert_eq!(request(&broker, "$request/lamp/state", &put), "was put");
    device.line("what was put", |line| line == "put dim");
    assert_eq!(request(&broker, "$request/lamp/large", &["-n"]), "0123456789abcdef".repeat(300));
}

fn a_device_is_asked_by_http(workers: u16) {
    let (broker, mut device) = start(workers);
    let ask = |path: &str, more: &[&str]| {
        curl(&[more, &["-X", "POST", &*broker.http_url(&format!("/v1/requests/{path}"))]].concat())
    };
    let answer = ask("lamp/state", &["-d", ""]);
    assert_eq!((answer.status, &*answer.body), (200, "off"), "{answer:#?}");
    assert!(answer.head.contains("\r\ncontent-type: text/plain"), "{answer:#?}");
    let method = "Mynah-Property: method=PUT, by=http";
    let put = ask("lamp/state", &["-d", "blue", "-H", "Content-Type: text/plain", "-H", method]);
    assert_eq!((put.status, &*put.body), (200, "was put"), "{put:#?}");
    device.line("what was put", |line| line == "put blue by=http");
    assert_eq!(ask("lamp/large", &["-d", ""]).body, "0123456789abcdef".repeat(300));
    assert_eq!(ask("lamp/nothing", &["-d", ""]).status, 404);
    assert_eq!(ask("nobody/state", &["-d", ""]).status, 504);
    drop(device);
    let late = ask("lamp/state", &["-d", "", "-H", "Mynah-Expiry: 1"]);
    assert_eq!(late.status, 504, "{late:#?}");
}

fn a_device_that_is_gone_answers_nobody(workers: u16) {
    let (broker, device) = start(workers);
    drop(device);
    let started = std::time::Instant::now();
    let mut command = Command::new("coap-client-notls");
    let url = format!("coap://{}/r/lamp/state?timeout=1", broker.listener("udp"));
    let finished = Process::start(command.args(["-B", "20", &url])).finish();
    let said = format!("{}{}", finished.output, finished.error);
    assert!(said.contains("5.04") && started.elapsed().as_secs() < 10, "{said}");
    let url = format!("coap://{}/r/nobody/state", broker.listener("udp"));
    let finished = Process::start(Command::new("coap-client-notls").args(["-B", "20", &url])).finish();
    let said = format!("{}{}", finished.output, finished.error);
    assert!(said.contains("5.04"), "{said}");
}
