//! stomp.py: each scenario is a function of `python/stomp_client.py`, which says what it expects. Crossings with MQTT are
//! played by mosquitto's and stomp's words on plain sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mynah_interop::{Broker, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;

const LISTENER: &str =
    "[[listener]]\nname = \"the-stomp\"\nprotocol = \"stomp\"\naddress = \"127.0.0.1:0\"\n";

on_one_and_two_workers!(
    topics,
    order,
    heart_beats,
    by_websocket,
    wrong,
    passwords,
    denied,
    crosses_with_mqtt,
    queues_wherever_they_are
);

fn run(scenario: &str, setup: Setup) {
    let broker = setup.more(LISTENER).start();
    let port = broker.listener("the-stomp").port().to_string();
    let output = Process::start(python("stomp_client.py").args([&port, scenario])).finish().success();
    assert_eq!(output, format!("{scenario}: ok\n"));
}

fn topics(workers: u16) {
    run("topics", Setup::workers(workers));
}

fn order(workers: u16) {
    run("order", Setup::workers(workers));
}

fn heart_beats(workers: u16) {
    run("heart_beats", Setup::workers(workers));
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

/// At a listener of MQTT: the sub-protocol says what is spoken.
fn by_websocket(workers: u16) {
    let listener = "[[listener]]\nname = \"the-web\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n\
                    transport = \"websocket\"\nwebsocket = { paths = [\"/ws\"] }\n";
    let broker = Setup::workers(workers).more(listener).start();
    let port = broker.listener("the-web").port().to_string();
    let output = Process::start(python("stomp_client.py").args([&port, "by_websocket"])).finish().success();
    assert_eq!(output, "by_websocket: ok\n");
}

/// A client that says octets and hears them.
struct Client(TcpStream);

impl Client {
    fn new(broker: &Broker, listener: &str) -> Self {
        let stream = TcpStream::connect(broker.listener(listener)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).unwrap();
    }

    /// Hears until this comes.
    fn hear(&mut self, wanted: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !heard.windows(wanted.len()).any(|window| window == wanted) {
            let mut octet = [0];
            self.0.read_exact(&mut octet).unwrap();
            heard.push(octet[0]);
        }
        heard
    }
}

/// The same topic on both sides, whatever is in its segments.
fn crosses_with_mqtt(workers: u16) {
    let broker = Setup::workers(workers).more(LISTENER).start();
    let mut stomp = Client::new(&broker, "the-stomp");
    stomp.say("CONNECT\naccept-version:1.2\nhost:h\n\n\0");
    stomp.hear(b"\0");
    stomp.say("SUBSCRIBE\nid:1\ndestination:/topic/#\nreceipt:s\n\n\0");
    stomp.hear(b"RECEIPT\nreceipt-id:s\n\n\0");
    let mut mqtt = Client::new(&broker, "the-mqtt");
    mqtt.say(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a");
    mqtt.hear(b"\x20\x02\0\0");
    mqtt.say(b"\x82\x08\0\x01\0\x03b/#\0");
    mqtt.hear(b"\x90\x03\0\x01\0");
    mqtt.say(b"\x30\x08\0\x05a.b/chi"[..].iter().take(10).copied().collect::<Vec<u8>>());
    let heard = String::from_utf8(stomp.hear(b"\0")).unwrap();
    assert!(heard.contains("\ndestination:/topic/a%2Eb.c\n"), "{heard}");
    stomp.say("SEND\ndestination:/topic/b.x%2Ey\n\nhi\0");
    mqtt.hear(b"\x30\x09\0\x05b/x.yhi");
}

/// Whichever worker owns a queue: the first message finds it, and who subscribes to it need not say more to be answered.
fn queues_wherever_they_are(workers: u16) {
    let broker = Setup::workers(workers).first("[store]\npath = \"store\"\n").more(LISTENER).start();
    let open = || {
        let mut client = Client::new(&broker, "the-stomp");
        client.say("CONNECT\naccept-version:1.2\nhost:h\n\n\0");
        client.hear(b"\0");
        client
    };
    let mut producer = open();
    for number in 0..8 {
        let destination = format!("destination:/queue/jobs-{number}");
        producer.say(format!("SEND\n{destination}\npersistent:true\nreceipt:{number}\n\nhi\0"));
        producer.hear(format!("receipt-id:{number}\n\n\0").as_bytes());
        let mut consumer = open();
        consumer.say(format!("SUBSCRIBE\nid:0\n{destination}\nreceipt:s\n\n\0"));
        consumer.hear(b"RECEIPT\nreceipt-id:s\n\n\0");
        consumer.hear(b"\n\nhi\0");
    }
}
