//! aiocoap: each scenario is a function of `python/coap_client.py`, which says what it expects, played over every
//! transport that carries CoAP.

use mynah_interop::{Certificates, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;
use crate::transports::tls;

on_one_and_two_workers!(over_udp, over_tcp, over_tls, by_websocket, by_websocket_at_a_listener_of_mqtt);

const SCENARIOS: [&str; 7] = ["values", "large", "observe", "fetch", "conditions", "crowded", "stream"];

/// Plays the scenarios at a listener with these keys.
#[track_caller]
fn play(scheme: &str, keys: &str, certificates: Option<&Certificates>, workers: u16) {
    let listener = format!("[[listener]]\nname = \"tested\"\naddress = \"127.0.0.1:0\"\n{keys}\n");
    let broker = Setup::workers(workers).more(&listener).start();
    let port = broker.listener("tested").port();
    let uri = format!("{scheme}://localhost:{port}");
    for scenario in SCENARIOS {
        let mut client = python("coap_client.py");
        client.args([&uri, scenario]);
        if let Some(certificates) = certificates {
            client.arg(certificates.folder().path("ca.pem"));
        }
        assert_eq!(Process::start(&mut client).finish().success(), format!("{scenario}: ok\n"));
    }
}

fn over_udp(workers: u16) {
    play("coap", "protocol = \"coap\"", None, workers);
}

fn over_tcp(workers: u16) {
    play("coap+tcp", "protocol = \"coap\"\ntransport = \"tcp\"", None, workers);
}

fn over_tls(workers: u16) {
    let certificates = Certificates::new();
    let keys = format!("protocol = \"coap\"\ntransport = \"tcp\"\n{}", tls(&certificates, ""));
    play("coaps+tcp", &keys, Some(&certificates), workers);
}

fn by_websocket(workers: u16) {
    play("coap+ws", "protocol = \"coap\"\ntransport = \"websocket\"", None, workers);
}

/// The sub-protocol says what is spoken.
fn by_websocket_at_a_listener_of_mqtt(workers: u16) {
    play("coap+ws", "protocol = \"mqtt\"\ntransport = \"websocket\"", None, workers);
}
