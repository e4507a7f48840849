//! A bridge to a real Mosquitto, over a connection that breaks at random while messages flow: nothing of QoS 1 is lost, QoS 2
//! comes once, and the order is kept.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Certificates, Folder, PATIENCE, Process, Setup, line_buffered};

/// Messages in each direction.
const MESSAGES: usize = 300;

/// How often the connection has to break for the test to mean something.
const CUTS_MIN: u64 = 3;

/// How often it breaks at the most: each break costs the pause before the next connection, about a second.
const CUTS_MAX: u64 = 8;

/// A Mosquitto that lets everybody in and drops nothing. Over TLS it wants to see a certificate.
struct Mosquitto {
    address: SocketAddr,
    secure: SocketAddr,
    _process: Process,
    _folder: Folder,
}

impl Mosquitto {
    fn start() -> Self {
        Self::start_with(None)
    }

    fn start_with(certificates: Option<&Certificates>) -> Self {
        let [address, secure] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, secure] = [address, secure].map(|socket| socket.local_addr().unwrap());
        Self::start_at(address, secure, certificates)
    }

    fn start_at(address: SocketAddr, secure: SocketAddr, certificates: Option<&Certificates>) -> Self {
        let folder = Folder::new();
        // Under root it would become another user, who cannot read the key.
        let mut text = "user root\nallow_anonymous true\nmax_queued_messages 0\n".to_owned();
        text += &format!("listener {} 127.0.0.1\n", address.port());
        if let Some(certificates) = certificates {
            let file = |name: &str| certificates.folder().path(name).display().to_string();
            text += &format!(
                "listener {} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
                secure.port(),
                file("ca.pem"),
                file("broker.pem"),
                file("broker.key")
            );
        }
        let file = folder.write("mosquitto.conf", text);
        let mut process = Process::start(Command::new("/usr/sbin/mosquitto").arg("-c").arg(file));
        process.line("that it runs", |line| line.contains(" running"));
        Self { address, secure, _process: process, _folder: folder }
    }
}

/// A connection's way to another address, which can be made to break.
struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    breaks: AtomicBool,
    cuts: AtomicU64,
    random: AtomicU64,
    /// Bytes until the next break.
    budget: Mutex<u64>,
}

impl State {
    /// Counts bytes; whether the connection breaks before all of them are through, and after how many.
    fn pass(&self, count: usize) -> Result<usize, usize> {
        if !self.breaks.load(Ordering::SeqCst) {
            return Ok(count);
        }
        let mut budget = self.budget.lock().unwrap();
        if (count as u64) < *budget {
            *budget -= count as u64;
            return Ok(count);
        }
        let passed = *budget as usize;
        if self.cuts.fetch_add(1, Ordering::SeqCst) + 1 >= CUTS_MAX {
            self.breaks.store(false, Ordering::SeqCst);
        }
        let step = |random: u64| random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |r| Some(step(r))).unwrap();
        // Hardly more than what waits for acknowledgements, so that it breaks again amid what is repeated.
        *budget = 800 + (random >> 33) % 4_000;
        Err(passed)
    }
}

impl Proxy {
    fn start(to: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { budget: Mutex::new(1_000), ..State::default() });
        state.random.store(seed, Ordering::SeqCst);
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(to) else { continue };
                for (from, into) in [(&near, &far), (&far, &near)] {
                    let (from, into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                    let state = Arc::clone(&shared);
                    thread::spawn(move || carry(from, into, &state));
                }
            }
        });
        Self { address, state }
    }
}

/// Carries bytes one way; both ways end together.
fn carry(mut from: TcpStream, mut into: TcpStream, state: &State) {
    let mut bytes = [0; 512];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let (count, breaks) = match state.pass(count) {
            Ok(count) => (count, false),
            Err(count) => (count, true),
        };
        if into.write_all(&bytes[..count]).is_err() || breaks {
            break;
        }
    }
    // Whoever was first has closed the other too.
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}

fn at<'c>(command: &'c mut Command, address: SocketAddr, arguments: &[&str]) -> &'c mut Command {
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]).args(arguments)
}

fn subscribed(address: SocketAddr, filter: &str) -> Process {
    let mut command = line_buffered("mosquitto_sub");
    command.args(["-d", "-F", "> %t %p"]);
    let mut process = Process::start(at(&mut command, address, &["-t", filter, "-q", "2"]));
    process.line("that it is subscribed", |line| line.starts_with("Subscribed "));
    process
}

fn publish(address: SocketAddr, arguments: &[&str], lines: &str) -> Process {
    let mut command = Command::new("mosquitto_pub");
    Process::start_with(at(&mut command, address, arguments), lines.as_bytes().to_vec())
}

/// Waits for all the messages of a topic and returns them in the order in which they came.
fn numbers(subscriber: &mut Process, topic: &str) -> Vec<usize> {
    let prefix = format!("> {topic} ");
    let mut found = Vec::new();
    let mut missing = MESSAGES;
    while missing > 0 {
        let line = subscriber.line("all messages", |line| line.starts_with(&prefix));
        let number = line[prefix.len()..].parse().unwrap();
        missing -= usize::from(!found.contains(&number));
        found.push(number);
    }
    found
}

fn bridge(to: SocketAddr, keys: &str, qos: u8) -> Broker {
    let topics = format!(
        "topics = [{{ direction = \"out\", filter = \"up/#\", remote_prefix = \"site/\", qos = {qos} }}, \
         {{ direction = \"in\", filter = \"down/#\", local_prefix = \"hq/\", qos = {qos} }}]"
    );
    let bridge = format!("[[bridge]]\nname = \"far\"\naddress = \"{}\"\n{keys}\n{topics}\n", to);
    Setup::workers(2).more(&bridge).start()
}

fn nothing_is_lost(keys: &str, qos: u8) {
    let mosquitto = Mosquitto::start();
    let proxy = Proxy::start(mosquitto.address, u64::from(qos) + keys.len() as u64);
    let mynah = bridge(proxy.address, keys, qos);
    let mut here = subscribed(mynah.mqtt, "hq/#");
    let mut there = subscribed(mosquitto.address, "site/#");
    // Retained values tell when the bridge has subscribed on either side.
    let _ = publish(mosquitto.address, &["-t", "down/ready", "-r", "-m", "yes"], "").finish().success();
    let _ = publish(mynah.mqtt, &["-t", "up/ready", "-r", "-m", "yes"], "").finish().success();
    here.line("that the bridge is there", |line| line == "> hq/down/ready yes");
    there.line("that the bridge is there", |line| line == "> site/up/ready yes");

    proxy.state.breaks.store(true, Ordering::SeqCst);
    let lines: String = (0..MESSAGES).map(|number| format!("{number}\n")).collect();
    let qos_text = qos.to_string();
    let out = publish(mynah.mqtt, &["-t", "up/n", "-q", &qos_text, "-l"], &lines);
    let back = publish(mosquitto.address, &["-t", "down/n", "-q", &qos_text, "-l"], &lines);
    let _ = (out.finish().success(), back.finish().success());
    let begun = Instant::now();
    while proxy.state.cuts.load(Ordering::SeqCst) < CUTS_MIN && begun.elapsed() < PATIENCE / 2 {
        thread::sleep(Duration::from_millis(20));
    }
    proxy.state.breaks.store(false, Ordering::SeqCst);
    for (subscriber, topic) in [(&mut there, "site/up/n"), (&mut here, "hq/down/n")] {
        let mut found = numbers(subscriber, topic);
        if qos == 1 {
            // What comes again comes later; the first of each are in order.
            let mut seen = Vec::new();
            found.retain(|number| {
                !seen.contains(number) && {
                    seen.push(*number);
                    true
                }
            });
        }
        assert!(found.iter().copied().eq(0..MESSAGES), "{topic}, {keys}, QoS {qos}: {found:?}");
    }
    let cuts = proxy.state.cuts.load(Ordering::SeqCst);
    assert!(cuts >= CUTS_MIN, "the connection broke {cuts} times");
    let _ = mynah.stop().success();
}

#[test]
fn at_least_once_by_mqtt_3_1_1() {
    nothing_is_lost("", 1);
}

#[test]
fn exactly_once_by_mqtt_3_1_1() {
    nothing_is_lost("bridge_bit = true", 2);
}

#[test]
fn at_least_once_by_mqtt_5() {
    nothing_is_lost("version = \"5.0\"", 1);
}

#[test]
fn exactly_once_by_mqtt_5() {
    nothing_is_lost("version = \"5.0\"", 2);
}

/// What waits for the other broker outlives this one.
fn nothing_is_lost_with_the_broker(qos: u8) {
    let mosquitto = Mosquitto::start();
    let mynah = bridge(mosquitto.address, "", qos);
    let mut there = subscribed(mosquitto.address, "site/#");
    let _ = publish(mynah.mqtt, &["-t", "up/ready", "-r", "-m", "yes"], "").finish().success();
    there.line("that the bridge is there", |line| line == "> site/up/ready yes");

    let (address, secure) = (mosquitto.address, mosquitto.secure);
    drop((mosquitto, there));
    let lines: String = (0..MESSAGES).map(|number| format!("{number}\n")).collect();
    let out = publish(mynah.mqtt, &["-t", "up/n", "-q", &qos.to_string(), "-l"], &lines);
    let _ = out.finish().success();
    let mynah = mynah.kill_and_start();
    let mosquitto = Mosquitto::start_at(address, secure, None);
    let mut there = subscribed(mosquitto.address, "site/#");
    let found = numbers(&mut there, "site/up/n");
    assert!(found.iter().copied().eq(0..MESSAGES), "QoS {qos}: {found:?}");
    let _ = mynah.stop().success();
}

#[test]
fn at_least_once_although_the_broker_is_killed() {
    nothing_is_lost_with_the_broker(1);
}

#[test]
fn exactly_once_although_the_broker_is_killed() {
    nothing_is_lost_with_the_broker(2);
}

#[test]
fn over_tls_with_a_certificate_of_its_own() {
    let certificates = Certificates::new();
    certificates.issue("site-7", 2);
    let mosquitto = Mosquitto::start_with(Some(&certificates));
    let file = |name: &str| certificates.folder().path(name).display().to_string();
    let keys = format!(
        "tls = {{ ca = \"{}\", certificate = \"{}\", key = \"{}\", server_name = \"localhost\" }}",
        file("ca.pem"),
        file("site-7.pem"),
        file("site-7.key")
    );
    let mynah = bridge(mosquitto.secure, &keys, 1);
    let mut here = subscribed(mynah.mqtt, "hq/#");
    let mut there = subscribed(mosquitto.address, "site/#");
    let large = "x".repeat(100_000);
    let _ = publish(mosquitto.address, &["-t", "down/n", "-r", "-m", &large], "").finish().success();
    let _ = publish(mynah.mqtt, &["-t", "up/n", "-r", "-m", &large], "").finish().success();
    here.line("a message of the other broker", |line| line == format!("> hq/down/n {large}"));
    there.line("a message of this broker", |line| line == format!("> site/up/n {large}"));
    assert!(mynah.stop().code == Some(0), "it stops with a bridge over TLS");
}
