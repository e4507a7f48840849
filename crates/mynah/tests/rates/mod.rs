//! Rates that rules set, from outside: what each protocol sees of them.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::{Broker, Folder, LISTENERS, ask, field};

const RULES: &str = "[[rule]]\nlimits = { messages_per_s = 2 }\n";

#[test]
fn http_hears_that_it_is_too_early_whatever_the_connection() {
    let folder = Folder::new("rates-http");
    let broker = Broker::start(&folder.write("mynah.toml", &format!("{LISTENERS}{RULES}")));
    let put = || ask(broker.http, "PUT", "/v1/topics/t", "", "x");
    let answers: Vec<String> = (0..8).map(|_| put()).collect();
    let refused = answers.iter().position(|answer| !answer.starts_with("HTTP/1.1 204")).unwrap();
    let answer = &answers[refused];
    assert!(refused >= 2 && answer.starts_with("HTTP/1.1 429 Too Many Requests"), "{refused}: {answer}");
    assert_eq!(field(answer, "retry-after"), "1");
    assert!(answer.contains("\"type\":\"urn:mynah:problem:too-many-requests\""), "{answer}");
    // Reading is not limited.
    assert!(ask(broker.http, "GET", "/v1/topics/t", "", "").starts_with("HTTP/1.1 200"));
    thread::sleep(Duration::from_secs(1));
    assert!(put().starts_with("HTTP/1.1 204"), "who waits as long as it is told gets in");
    assert!(broker.log.lock().unwrap().contains("\"audit\":\"limit/publish-rate\""));
    assert!(broker.stop());
}

/// How long the acknowledgements of six publications take that are sent at once.
fn six(broker: &Broker, connect: &[u8], connack: usize, properties: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(broker.mqtt).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(connect).unwrap();
    let mut start = [0; 2];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(start[0], 0x20);
    let mut rest = vec![0; usize::from(start[1])];
    stream.read_exact(&mut rest).unwrap();
    assert!(rest.len() >= connack && rest[1] == 0);
    let began = Instant::now();
    for id in 1..=6 {
        let body = [&[0, 1, b't', 0, id], properties, b"x"].concat();
        stream.write_all(&[&[0x32, body.len() as u8], &body[..]].concat()).unwrap();
    }
    for id in 1..=6 {
        stream.read_exact(&mut start).unwrap();
        let mut ack = vec![0; usize::from(start[1])];
        stream.read_exact(&mut ack).unwrap();
        assert_eq!((start[0], &ack[..2]), (0x40, &[0, id][..]));
        // No matching subscribers, in MQTT 5.0.
        assert!(ack[2..].iter().all(|code| *code == 0x10), "{ack:?}");
    }
    began.elapsed()
}

#[test]
fn mqtt_is_read_no_faster_and_nothing_is_refused() {
    let folder = Folder::new("rates-mqtt");
    let broker = Broker::start(&folder.write("mynah.toml", &format!("{LISTENERS}{RULES}")));
    let three = six(&broker, b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a", 2, &[]);
    let five = six(&broker, b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01b", 3, &[0]);
    for took in [three, five] {
        // Three come at once, half a second is for each of the others.
        assert!(took > Duration::from_millis(1_200) && took < Duration::from_secs(10), "{took:?}");
    }
    assert!(broker.stop());
}

/// Listeners of protocols that have one connection each, as HTTP's have not.
const MORE: &str = r#"
[[listener]]
name = "s"
protocol = "stomp"
address = "127.0.0.1:0"
[[listener]]
name = "c"
protocol = "coap"
address = "127.0.0.1:0"
"#;

#[test]
fn stomp_is_read_no_faster_and_nothing_is_refused() {
    let folder = Folder::new("rates-stomp");
    let broker = Broker::start(&folder.write("mynah.toml", &format!("{LISTENERS}{MORE}{RULES}")));
    let mut stream = TcpStream::connect(broker.listeners["stomp"]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let frames: String =
        (1..=6).map(|id| format!("SEND\ndestination:/topic/t\nreceipt:{id}\n\nx\0")).collect();
    let began = Instant::now();
    stream.write_all(format!("CONNECT\naccept-version:1.2\nhost:/\n\n\0{frames}").as_bytes()).unwrap();
    let mut heard = String::new();
    while heard.matches('\0').count() < 7 {
        let mut some = [0; 512];
        let octets = stream.read(&mut some).unwrap();
        assert!(octets > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&some[..octets]));
    }
    assert_eq!(heard.matches("RECEIPT\n").count(), 6, "{heard}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1_200) && took < Duration::from_secs(10), "{took:?}");
    assert!(broker.stop());
}

#[test]
fn coap_hears_that_it_is_too_early_whatever_its_address() {
    let folder = Folder::new("rates-coap");
    let broker = Broker::start(&folder.write("mynah.toml", &format!("{LISTENERS}{MORE}{RULES}")));
    let codes: Vec<u8> = (0..8)
        .map(|id| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // A confirmable PUT to /t/t.
            let put = [&[0x40, 3, 0, id, 0xB1, b't', 0x01, b't', 0xFF][..], b"x"].concat();
            socket.send_to(&put, broker.listeners["coap"]).unwrap();
            let mut answer = [0; 64];
            socket.recv(&mut answer).unwrap();
            answer[1]
        })
        .collect();
    let (created, changed, too_many) = (0x41, 0x44, 0x9D);
    let refused = codes.iter().position(|code| ![created, changed].contains(code)).unwrap();
    assert!(refused >= 2 && codes[refused] == too_many, "{codes:02x?}");
    assert!(broker.stop());
}
