//! MQTT by WebSocket and over TLS: paho-mqtt, `mosquitto_pub` and `mosquitto_sub`, what `openssl` and `sslscan` see,
//! and certificates that change under live connections.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Certificates, PATIENCE, Process, Setup, line_buffered};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(
    paho_by_websocket,
    paho_over_tls,
    paho_by_websocket_over_tls,
    mosquitto_shows_a_certificate,
    a_certificate_says_who_mosquitto_is,
    a_key_that_is_shared_says_who_mosquitto_is,
    certificates_change_under_live_connections,
    a_unix_socket_is_a_listener,
    a_proxy_speaks_for_its_clients,
    who_sends_too_much_and_goes_on_hears_why,
);

const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// A broker with a listener `name` that has these further keys, beside the ordinary one.
fn with_listener(setup: Setup, name: &str, keys: &str) -> Setup {
    setup.more(&format!(
        "[[listener]]\nname = \"{name}\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n{keys}\n"
    ))
}

/// The keys of TLS with the certificates in a folder.
pub(crate) fn tls(certificates: &Certificates, more: &str) -> String {
    let file = |name: &str| certificates.folder().path(name).display().to_string();
    format!("tls = {{ certificate = \"{}\", key = \"{}\"{more} }}", file("broker.pem"), file("broker.key"))
}

fn paho(transport: &str, keys: &str, workers: u16, ca: &Path) {
    let broker = with_listener(Setup::workers(workers), "tested", keys).start();
    for scenario in ["order", "take_over", "retained", "persistent_session", "will"] {
        let port = broker.listener("tested").port().to_string();
        let output = Process::start(python("paho_client.py").args([&port, scenario, transport]).arg(ca))
            .finish()
            .success();
        assert_eq!(output, format!("{scenario}: ok\n"));
    }
}

fn paho_by_websocket(workers: u16) {
    paho("websockets", "transport = \"websocket\"", workers, Path::new(""));
}

fn paho_over_tls(workers: u16) {
    let certificates = Certificates::new();
    paho("tcp", &tls(&certificates, ""), workers, &certificates.folder().path("ca.pem"));
}

fn paho_by_websocket_over_tls(workers: u16) {
    let certificates = Certificates::new();
    let keys = format!("transport = \"websocket\"\n{}", tls(&certificates, ""));
    paho("websockets", &keys, workers, &certificates.folder().path("ca.pem"));
}

fn mosquitto_shows_a_certificate(workers: u16) {
    let certificates = Certificates::new();
    certificates.issue("sensor-7", 2);
    certificates.issue("lost", 3);
    certificates.revoke("lost");
    let ca = certificates.folder().path("ca.pem");
    let asks = format!(
        ", client_certificates = \"required\", client_ca = \"{}\", crl = \"{}\"",
        ca.display(),
        certificates.folder().path("crl.pem").display()
    );
    let broker = with_listener(Setup::workers(workers), "tested", &tls(&certificates, &asks)).start();
    let port = broker.listener("tested").port().to_string();
    let shown = |command: &mut Command, name: Option<&str>| {
        command.args(["-V", "mqttv311", "-h", "localhost", "-p", &port, "--cafile"]).arg(&ca);
        if let Some(name) = name {
            command.arg("--cert").arg(certificates.folder().path(&format!("{name}.pem")));
            command.arg("--key").arg(certificates.folder().path(&format!("{name}.key")));
        }
    };
    let mut subscriber = line_buffered("mosquitto_sub");
    shown(&mut subscriber, Some("sensor-7"));
    let mut subscriber = Process::start(subscriber.args(["-d", "-F", "> %p", "-t", "t", "-q", "1"]));
    subscriber.line("that it is subscribed", |line| line.starts_with("Subscribed "));
    let publish = |name: Option<&str>, payload: &str| {
        let mut publisher = Command::new("mosquitto_pub");
        shown(&mut publisher, name);
        Process::start(publisher.args(["-t", "t", "-q", "1", "-m", payload])).finish()
    };
    assert_ne!(publish(None, "from nobody").code, Some(0));
    assert_ne!(publish(Some("lost"), "from one that was revoked").code, Some(0));
    assert_eq!(publish(Some("sensor-7"), "hello").code, Some(0));
    assert_eq!(subscriber.line("a message", |line| line.starts_with("> ")), "> hello");
}

fn a_certificate_says_who_mosquitto_is(workers: u16) {
    let certificates = Certificates::new();
    certificates.issue("sensor-7", 2);
    let file = |name: &str| certificates.folder().path(name);
    let asks = format!(
        ", client_certificates = \"optional\", identity_from = \"common-name\", client_ca = \"{}\"",
        file("ca.pem").display()
    );
    let setup = Setup::workers(workers).user("ada", "engine");
    let broker = with_listener(setup, "tested", &tls(&certificates, &asks)).start();
    let port = broker.listener("tested").port().to_string();
    let publish = |shows: bool, more: &[&str]| {
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-h", "localhost", "-p", &port, "-t", "t", "-q", "1", "-m", "x"]).args(more);
        publisher.arg("--cafile").arg(file("ca.pem"));
        if shows {
            publisher.arg("--cert").arg(file("sensor-7.pem")).arg("--key").arg(file("sensor-7.key"));
        }
        Process::start(&mut publisher).finish().code
    };
    assert_eq!(publish(true, &[]), Some(0));
    assert_eq!(publish(true, &["-u", "sensor-7"]), Some(0));
    assert_eq!(publish(true, &["-u", "ada", "-P", "engine"]), Some(0), "a password says more");
    assert_eq!(publish(false, &["-u", "ada", "-P", "engine"]), Some(0));
    assert_ne!(publish(true, &["-u", "ada"]), Some(0), "the certificate is another's");
    assert_ne!(publish(false, &["-u", "sensor-7"]), Some(0));
    assert_ne!(publish(false, &[]), Some(0));
}

/// A client of TLS that trusts the authority in a file.
fn client(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A client of MQTT over TLS that was let in.
fn open(address: SocketAddr, config: &Arc<ClientConfig>, name: u32) -> std::io::Result<Secure> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = ServerName::try_from("localhost").unwrap();
    let mut secure = StreamOwned::new(ClientConnection::new(Arc::clone(config), host).unwrap(), stream);
    secure.write_all(format!("\x10\x10\0\x04MQTT\x04\x02\0\0\0\x04c{name:03}").as_bytes())?;
    let mut answer = [0; 4];
    secure.read_exact(&mut answer)?;
    assert_eq!(answer, CONNACK);
    Ok(secure)
}

fn ping(secure: &mut Secure) {
    secure.write_all(b"\xc0\0").unwrap();
    let mut answer = [0; 2];
    secure.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xD0, 0]);
}

fn a_key_that_is_shared_says_who_mosquitto_is(workers: u16) {
    let (key, other) = ("0f".repeat(32), "f0".repeat(32));
    let people = format!("sensor-7: psk={key}\n");
    let setup = Setup::workers(workers).file("people", &people).more("[auth]\nusers_file = \"people\"\n");
    let broker = with_listener(setup, "tested", "tls_psk = true").start();
    let port = broker.listener("tested").port().to_string();
    let publish = |identity: &str, key: &str, more: &[&str]| {
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-h", "localhost", "-p", &port, "-t", "t", "-q", "1", "-m", "x"]).args(more);
        Process::start(publisher.args(["--psk", key, "--psk-identity", identity])).finish().code
    };
    for version in ["tlsv1.2", "tlsv1.3"] {
        let version = ["--tls-version", version];
        assert_eq!(publish("sensor-7", &key, &version), Some(0), "{version:?}");
        assert_ne!(publish("sensor-7", &other, &version), Some(0), "{version:?}");
        assert_ne!(publish("sensor-8", &key, &version), Some(0), "{version:?}");
    }
    assert_eq!(publish("sensor-7", &key, &["-u", "sensor-7"]), Some(0));
    assert_ne!(publish("sensor-7", &key, &["-u", "ada"]), Some(0), "the key is another's");
    broker.folder().write("people", people.replace(": ", ": locked "));
    broker.signal("HUP");
    let begun = Instant::now();
    while publish("sensor-7", &key, &[]) == Some(0) {
        assert!(begun.elapsed() < PATIENCE, "a locked user comes in");
    }
}

fn certificates_change_under_live_connections(workers: u16) {
    let (certificates, next) = (Certificates::new(), Certificates::new());
    let broker = with_listener(Setup::workers(workers), "tested", &tls(&certificates, "")).start();
    let address = broker.listener("tested");
    let (old, new) = (client(&certificates.folder().path("ca.pem")), client(&next.folder().path("ca.pem")));
    let mut live: Vec<Secure> = (0..200).map(|name| open(address, &old, name).unwrap()).collect();
    assert!(open(address, &new, 250).is_err(), "it does not know this authority yet");
    for file in ["broker.pem", "broker.key"] {
        fs::copy(next.folder().path(file), certificates.folder().path(file)).unwrap();
    }
    broker.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    let mut late = loop {
        match open(address, &new, 251) {
            Ok(secure) => break secure,
            Err(error) if Instant::now() > deadline => panic!("the new certificate is not there: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    ping(&mut late);
    assert!(open(address, &old, 252).is_err(), "the old certificate is gone");
    live.iter_mut().for_each(ping);
}

fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> [u8; 4] {
    stream.write_all(bytes).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn a_unix_socket_is_a_listener(workers: u16) {
    let listener = "[[listener]]\nname = \"local\"\nprotocol = \"mqtt\"\naddress = \"unix:mqtt.sock\"\n";
    let broker = Setup::workers(workers).more(listener).start();
    let path = broker.folder().path("mqtt.sock");
    let mut local = Process::start(
        line_buffered("mosquitto_sub")
            .args(["-V", "mqttv311", "-d", "-F", "> %p", "-t", "t", "--unix"])
            .arg(&path),
    );
    local.line("that it is subscribed", |line| line.starts_with("Subscribed "));
    let mut publisher = Command::new("mosquitto_pub");
    publisher.args(["-V", "mqttv311", "-t", "t", "-m", "hello", "--unix"]).arg(&path);
    assert_eq!(Process::start(&mut publisher).finish().code, Some(0));
    assert_eq!(local.line("a message", |line| line.starts_with("> ")), "> hello");
}

fn a_proxy_speaks_for_its_clients(workers: u16) {
    let setup = Setup::workers(workers).user("ada", "secret");
    let setup = with_listener(setup, "tested", "proxies = [\"127.0.0.0/8\"]");
    let broker = with_listener(setup, "stranger", "proxies = [\"192.0.2.0/24\"]").start();
    let connect = b"\x10\x1b\0\x04MQTT\x04\xc2\0\0\0\x02x1\0\x03ada\0\x06secret";
    let dial = |name| TcpStream::connect(broker.listener(name)).unwrap();
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
    assert_eq!(exchange(dial("tested"), &[&v1[..], connect].concat()), CONNACK);
    for (name, bytes) in [("tested", CONNECT), ("stranger", &v1[..])] {
        let mut stream = dial(name);
        // The broker may have closed already.
        let _ = stream.write_all(bytes);
        assert!(!matches!(stream.read(&mut [0; 4]), Ok(1..)), "{name}");
    }
}

/// A client of MQTT 5.0 that sends more than the Receive Maximum, and does not look up: it reads DISCONNECT in the end.
fn send_too_much(mut stream: impl Read + Write) {
    stream.write_all(b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0").unwrap();
    for id in 1..=3 {
        stream.write_all(&[0x34, 6, 0, 1, b't', 0, id, 0]).unwrap();
    }
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(5));
        stream.write_all(b"\xc0\0").unwrap();
    }
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert!(said.ends_with(b"\x50\x03\0\x02\x10\xe0\x01\x93"), "{said:x?}");
}

fn who_sends_too_much_and_goes_on_hears_why(workers: u16) {
    let certificates = Certificates::new();
    let setup = with_listener(Setup::workers(workers), "tested", &tls(&certificates, ""));
    let broker = setup.more("[mqtt]\npublications_max = 2\nreason_strings = false\n").start();
    let dial = |address| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    send_too_much(dial(broker.mqtt));
    let host = ServerName::try_from("localhost").unwrap();
    let config = client(&certificates.folder().path("ca.pem"));
    let stream = dial(broker.listener("tested"));
    send_too_much(StreamOwned::new(ClientConnection::new(config, host).unwrap(), stream));
}

#[test]
fn scanners_see_sound_versions_and_suites_only() {
    let certificates = Certificates::new();
    let broker = with_listener(Setup::workers(1), "tested", &tls(&certificates, "")).start();
    let address = broker.listener("tested").to_string();
    let scan = Process::start(Command::new("sslscan").args(["--no-colour", &address])).finish().success();
    let enabled = |version: &str| {
        let line = scan.lines().find(|line| line.starts_with(version) && line.trim_end().ends_with("abled"));
        line.is_some_and(|line| line.trim_end().ends_with(" enabled"))
    };
    let versions = ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let found: Vec<&str> = versions.into_iter().filter(|version| enabled(version)).collect();
    assert_eq!(found, ["TLSv1.2", "TLSv1.3"], "{scan}");
    let suites: Vec<&str> = scan
        .lines()
        .filter(|line| line.starts_with("Preferred ") || line.starts_with("Accepted "))
        .map(|line| line.split_whitespace().nth(4).unwrap())
        .collect();
    assert!(suites.len() >= 6, "{scan}");
    for suite in suites {
        let is_sound = suite.starts_with("TLS_") || suite.starts_with("ECDHE-");
        assert!(is_sound && (suite.contains("GCM") || suite.contains("CHACHA20")), "{suite}\n{scan}");
    }
    for (version, works) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &address,
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
            "-alpn",
            "mqtt",
        ]);
        openssl.arg("-CAfile").arg(certificates.folder().path("ca.pem")).arg("-verify_return_error");
        let finished = Process::start(&mut openssl).finish();
        assert_eq!(finished.code == Some(0), works, "{version}: {finished:#?}");
        assert_eq!(finished.output.contains("ALPN protocol: mqtt"), works, "{version}");
    }
}

/// Waits until the peer has closed, and returns what it said before and how long that took.
fn until_closed(mut stream: TcpStream) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it was not closed: {error}"),
    }
    (said, start.elapsed())
}

#[test]
fn who_does_not_come_to_an_end_with_a_handshake_is_closed() {
    let certificates = Certificates::new();
    let limits = "[mqtt]\nconnect_timeout_s = 1\n[limits]\nhalf_open_max = 3\n";
    let setup = with_listener(Setup::workers(1), "tls", &tls(&certificates, ""));
    let setup = with_listener(setup, "websocket", "transport = \"websocket\"");
    let broker = setup.more(limits).start();
    let dial = |name: &str, bytes: &[u8]| {
        let mut stream = TcpStream::connect(broker.listener(name)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    // Slow ones: pieces of a ClientHello, and nothing at all. So many may be half open, and no more.
    let slow = [&b"\x16\x03\x01\x02\0\x01"[..], b"", b"\x16"].map(|bytes| dial("tls", bytes));
    let (_, took) = until_closed(dial("tls", b""));
    assert!(took < Duration::from_millis(900), "{took:?}");
    for stream in slow.into_iter().chain([dial("websocket", b"GET /mqtt HT")]) {
        let (said, took) = until_closed(stream);
        assert!(said.is_empty() && took < Duration::from_secs(5), "{took:?}");
    }
    let (said, _) = until_closed(dial("tls", b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(said.first(), Some(&21), "an alert");
    let long = format!("GET /mqtt HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(8_192));
    assert!(until_closed(dial("websocket", long.as_bytes())).0.starts_with(b"HTTP/1.1 431 "));
    assert!(until_closed(dial("websocket", CONNECT_AND_MORE)).0.starts_with(b"HTTP/1.1 400 "));
    assert_eq!(exchange(TcpStream::connect(broker.mqtt).unwrap(), CONNECT), CONNACK, "the others are served");
}

/// A client of MQTT at the door of WebSocket.
const CONNECT_AND_MORE: &[u8] = b"\x10\x12\0\x04MQTT\x04\x02\0\0\0\x06\r\n\r\n\r\n";

#[test]
fn what_is_wrong_with_a_certificate_is_told_before_anything_starts() {
    let certificates = Certificates::new();
    let file = certificates.folder().write(
        "mynah.toml",
        "[[listener]]\nname = \"s\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:8883\"\n\
         [listener.tls]\ncertificate = \"broker.pem\"\nkey = \"ca.key\"\n",
    );
    let finished = Process::start(Broker::program().args(["check", "-c"]).arg(&file)).finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.error.contains("mynah.toml:7:7: "), "{}", finished.error);
    assert!(finished.error.contains("the key does not belong to the certificate in "), "{}", finished.error);
}

/// The cases of Autobahn, by kosoku, that concern what the broker speaks: all but those of compression. Those with long
/// messages run by themselves.
#[test]
fn autobahn_finds_no_fault() {
    let server = mynah_interop::example("websocket_echo");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/autobahn.py");
    let interpreter = std::env::var_os("MYNAH_PYTHON").unwrap_or_else(|| "python3".into());
    let short = ["1.*", "2.*", "3.*", "4.*", "5.*"];
    for (cases, count) in [(&short[..], 64), (&["6.*", "7.*", "10.*"], 183), (&["9.*"], 54)] {
        let output = Process::start(Command::new(&interpreter).arg(&script).arg(&server).args(cases))
            .finish()
            .success();
        assert_eq!(output, format!("{count} cases, 0 failed\n"));
    }
}
