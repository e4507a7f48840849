//! The program from outside: what it prints, what it returns, and how it comes and goes.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod audit;
mod import;
mod rates;
mod store;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mynah-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mynah(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> (bool, String, String) {
    finished(mynah(arguments).output().unwrap())
}

fn finished(output: Output) -> (bool, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn with_input(arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut child = mynah(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finished(child.wait_with_output().unwrap())
}

/// A broker on ports that the system chose.
struct Broker {
    child: Child,
    mqtt: SocketAddr,
    http: SocketAddr,
    management: SocketAddr,
    /// The address of the listener of each protocol.
    listeners: BTreeMap<String, SocketAddr>,
    /// Everything that it has said.
    log: Arc<Mutex<String>>,
}

const LISTENERS: &str = r#"
workers = 1
[[listener]]
name = "m"
protocol = "mqtt"
address = "127.0.0.1:0"
[[listener]]
name = "h"
protocol = "http"
address = "127.0.0.1:0"
[[listener]]
name = "o"
protocol = "management"
address = "127.0.0.1:0"
[log]
format = "json"
[shutdown]
grace_s = 5
"#;

impl Broker {
    fn start(config: &Path) -> Self {
        Self::spawn(&mut mynah(&["serve", "-c", config.to_str().unwrap()]))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut addresses, mut said_so_far) = (BTreeMap::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the broker ended");
            said_so_far.push_str(&line);
            if line.contains("\"ready\"") {
                break;
            }
            let said = |name: &str| {
                Some(line.split_once(&format!("\"{name}\":\""))?.1.split_once('"')?.0.to_owned())
            };
            if let (Some(protocol), Some(address)) = (said("protocol"), said("address")) {
                addresses.insert(protocol, address.trim_start_matches("udp:").parse().unwrap());
            }
        }
        let (mqtt, http, management) = (addresses["mqtt"], addresses["http"], addresses["management"]);
        let heard = Arc::new(Mutex::new(said_so_far));
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                hearing.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        Self { child, mqtt, http, management, listeners: addresses, log: heard }
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.mqtt)
    }

    /// The answer to a GET, from its status line to the end of the connection.
    fn get(&self, address: SocketAddr, path: &str) -> String {
        ask(address, "GET", path, "", "")
    }

    /// Asks the broker to stop, and says whether it ended well.
    fn stop(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a request with more header fields, each with its line end.
fn ask(address: SocketAddr, method: &str, path: &str, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What a stream of events brings, up to and with `end`.
fn listen(address: SocketAddr, filter: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /v1/topics?filter={filter} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    while !text.contains(end) {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "the stream ended: {text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

/// The value of a header field in an answer; the answer is shown if there is none.
fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn a_value_has_properties_and_expires_and_is_changed_by_who_knows_it() {
    const PATH: &str = "/v1/topics/a/b";
    let folder = Folder::new("properties");
    let config = format!("{LISTENERS}[sys]\ninterval_s = 0\n");
    let broker = Broker::start(&folder.write("mynah.toml", &config));
    let put = |fields: &str, body: &str| ask(broker.http, "PUT", PATH, fields, body);
    let said =
        "Content-Type: text/plain; charset=utf-8\r\nMynah-Correlation: %ff\r\nMynah-Property: k=1, k=2\r\n";
    assert!(put(&format!("{said}If-None-Match: *\r\n"), "one").starts_with("HTTP/1.1 204"));
    assert!(put("If-None-Match: *\r\n", "two").starts_with("HTTP/1.1 412"));
    let answer = broker.get(broker.http, PATH);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("one"), "{answer}");
    assert_eq!(field(&answer, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(field(&answer, "mynah-correlation"), "%FF");
    assert!(answer.contains("mynah-property: k=1\r\nmynah-property: k=2\r\n"), "{answer}");
    let events = listen(broker.http, "a/b", "]]");
    let expected = r#""correlation_base64":"/w==","qos":1,"retain":true,"properties":[["k","1"],["k","2"]]"#;
    assert!(events.contains(expected), "{events}");
    let tag = field(&answer, "etag");
    let unchanged = ask(broker.http, "GET", PATH, &format!("If-None-Match: {tag}\r\n"), "");
    assert!(unchanged.starts_with("HTTP/1.1 304") && unchanged.ends_with("\r\n\r\n"), "{unchanged}");

    // MQTT 3.1.1 has no properties: topic and payload are all that crosses, and a write from there is a change too.
    let url = broker.url();
    let subscribe = || output(&["sub", &url, "-t", "a/+", "-v", "-n", "1", "--timeout", "10"]).1;
    assert_eq!(subscribe(), "a/b one\n");
    assert!(output(&["pub", &url, "-t", "a/b", "-m", "two", "-r", "-q", "1"]).0);
    assert!(put(&format!("If-Match: {tag}\r\n"), "three").starts_with("HTTP/1.1 412"));
    let answer = broker.get(broker.http, PATH);
    assert!(answer.ends_with("two") && !answer.contains("mynah-property"), "{answer}");
    let tag = field(&answer, "etag");
    assert!(put(&format!("If-Match: {tag}\r\nMynah-Expiry: 2.5\r\n"), "three").starts_with("HTTP/1.1 204"));
    let left: f64 = field(&broker.get(broker.http, PATH), "mynah-expiry").parse().unwrap();
    assert!(left > 0.0 && left <= 2.5, "{left}");
    let events = listen(broker.http, "a/b", "expiry_ms");
    assert!(
        events.contains(r#"data: {"topic":"a/b","payload":"three","qos":1,"retain":true,"expiry_ms":"#),
        "{events}"
    );
    let has_values = || broker.get(broker.management, "/metrics").contains("\nmynah_retained_messages 1\n");
    assert!(has_values());
    thread::sleep(Duration::from_millis(2_600));
    assert!(broker.get(broker.http, PATH).starts_with("HTTP/1.1 404"));
    let gone = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(100));
        !has_values()
    });
    assert!(gone, "what has expired is taken out");
    assert!(broker.stop());
}

/// A connection of the client `s` with a session that stays; says whether the session was there.
fn staying(broker: &Broker) -> (TcpStream, bool) {
    let mut stream = TcpStream::connect(broker.mqtt).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01s").unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!((&connack[..2], connack[3]), (&b"\x20\x02"[..], 0));
    (stream, connack[2] == 1)
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_acknowledged_is_there_after_the_process_was_killed() {
    let folder = Folder::new("killed");
    let config = folder.write("mynah.toml", &format!("{LISTENERS}[store]\npath = \"kept\"\n"));
    let broker = Broker::start(&config);
    let (mut stream, present) = staying(&broker);
    stream.write_all(b"\x82\x06\0\x01\0\x01t\x02").unwrap();
    assert_eq!((present, read(&mut stream, 5)), (false, b"\x90\x03\0\x01\x02".to_vec()));
    drop(stream);
    for message in ["one", "two"] {
        assert!(output(&["pub", &broker.url(), "-t", "t", "-m", message, "-q", "2", "-r"]).0);
    }
    let (ended_well, _, complaint) = output(&["serve", "-c", config.to_str().unwrap()]);
    assert!(!ended_well && complaint.contains("another process uses this folder"), "{complaint}");
    drop(broker); // kills it

    let broker = Broker::start(&config);
    assert!(broker.get(broker.http, "/v1/topics/t").ends_with("two"));
    let (mut stream, present) = staying(&broker);
    let heard = read(&mut stream, 20);
    assert_eq!((present, &heard[..]), (true, &b"\x34\x08\0\x01t\0\x01one\x34\x08\0\x01t\0\x02two"[..]));
    stream.write_all(b"\x50\x02\0\x01").unwrap();
    assert_eq!(read(&mut stream, 4), b"\x62\x02\0\x01");
    drop((stream, broker));

    let broker = Broker::start(&config);
    let (mut stream, _) = staying(&broker);
    let heard = read(&mut stream, 14);
    assert_eq!(&heard, b"\x62\x02\0\x01\x3c\x08\0\x01t\0\x02two", "each goes on where it was");
    assert!(broker.stop());
}

//= mqtt-3.1.1 [MQTT-7.1.1-1] [MQTT-7.1.2-1]
#[test]
fn a_message_crosses_the_broker_and_the_broker_drains() {
    let folder = Folder::new("crosses");
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let url = broker.url();
    let publish = |topic, message| output(&["pub", &url, "-t", topic, "-m", message, "-q", "2", "-r"]);
    assert_eq!(publish("a/b", "one"), (true, String::new(), String::new()));
    assert!(with_input(&["pub", &url, "-t", "a/c", "--stdin", "-r", "-q", "1"], "two").0);
    let filters = ["sub", &url, "-t", "a/b", "-t", "a/c", "-v", "-n", "2", "--timeout", "10", "-q", "1"];
    let (ended_well, printed, _) = output(&filters);
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!((ended_well, lines), (true, vec!["a/b one", "a/c two"]));
    assert!(broker.get(broker.http, "/v1/topics/a/b").ends_with("one"));
    assert!(broker.get(broker.management, "/readyz").ends_with("ready\n"));
    assert!(broker.get(broker.management, "/metrics").contains("\nmynah_workers 1\n"));

    let _held = TcpStream::connect(broker.http).unwrap();
    let mut subscriber = mynah(&["sub", &url, "-t", "x"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(broker.stop(), "a clean drain returns 0");
    assert!(!subscriber.wait().unwrap().success(), "the subscriber lost its server");
}

#[test]
fn passwords_decide_who_comes_in() {
    let folder = Folder::new("passwords");
    let users = folder.0.join("users");
    let users = users.to_str().unwrap();
    let (ended_well, printed, _) = with_input(&["user", "add", users, "ada"], "engine\n");
    assert_eq!(
        (ended_well, printed.as_str()),
        (true, "added ada; a running broker reads the file again on SIGHUP\n")
    );
    assert!(with_input(&["user", "add", users, "bob"], "builder").0);
    assert!(output(&["user", "remove", users, "bob"]).0);
    assert_eq!(output(&["user", "list", users]).1, "ada argon2id\n");
    let (ended_well, _, complaint) = with_input(&["user", "add", users, "eve"], "\n");
    assert_eq!(
        (ended_well, complaint.as_str()),
        (false, "mynah: the password is empty; choose one with at least one character\n")
    );

    let config = format!("{LISTENERS}[auth]\nusers_file = \"users\"\n");
    let broker = Broker::start(&folder.write("mynah.toml", &config));
    let url = broker.url();
    let publish = |more: &[&str]| output(&[&["pub", &url, "-t", "a", "-q", "1"], more].concat());
    assert!(publish(&["-u", "ada", "-P", "engine"]).0);
    for wrong in [&[][..], &["-u", "ada", "-P", "builder"], &["-u", "bob", "-P", "builder"], &["-u", "ada"]] {
        let (ended_well, _, complaint) = publish(wrong);
        assert!(!ended_well && complaint.contains("connection refused"), "{wrong:?}: {complaint}");
    }
    assert!(broker.get(broker.http, "/v1/topics/a").starts_with("HTTP/1.1 401"));
    assert!(broker.stop());
}

#[test]
fn rules_are_read_again_while_clients_are_there() {
    let folder = Folder::new("rules");
    folder.write("rules.toml", "");
    let config = folder.write("mynah.toml", &format!("rules_file = \"rules.toml\"\n{LISTENERS}"));
    let broker = Broker::start(&config);
    let subscriber = {
        let (url, sub) = (broker.url(), ["-t", "a/#", "--timeout", "60", "-V", "5"]);
        mynah(&[&["sub", &url][..], &sub].concat()).spawn().unwrap()
    };
    let published = || output(&["pub", &broker.url(), "-t", "a/b", "-q", "1", "-V", "5", "-m", "x"]);
    let mut heard = BufReader::new(subscriber.stdout.unwrap()).lines();
    while !broker.get(broker.management, "/metrics").contains("subscriptions 1\n") {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(published().0);
    assert_eq!(heard.next().unwrap().unwrap(), "x");
    let reload = |rules: &str| {
        folder.write("rules.toml", rules);
        let pid = broker.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        thread::sleep(Duration::from_secs(1));
    };
    reload("[[rule]]\naction = \"publish\"\ndeny = \"a/+/b\"\nallow = 1\n");
    assert!(published().0, "what is wrong changes nothing");
    reload("[[rule]]\naction = [\"subscribe\", \"administer\"]\nallow = \"b\"\n");
    assert!(published().0, "an error in any rule keeps all as they were");
    reload("[[rule]]\naction = [\"publish\", \"subscribe\"]\ndeny = \"a/#\"\n");
    let (permitted, _, error) = published();
    assert!(!permitted && error.contains("not authorized"), "{error}");
    let mut complaint = String::new();
    BufReader::new(subscriber.stderr.unwrap()).read_to_string(&mut complaint).unwrap();
    assert!(complaint.contains("not authorized"), "{complaint}");
    let answer = ask(broker.http, "PUT", "/v1/topics/a/b", "", "x");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(broker.get(broker.management, "/metrics").starts_with("HTTP/1.1 200"));
    reload("[[rule]]\naction = \"administer\"\ndeny = true\n");
    assert!(broker.get(broker.management, "/metrics").starts_with("HTTP/1.1 403"));
    assert!(published().0);
    for (network, status) in [("127.0.0.0/8", "403"), ("10.0.0.0/8", "204")] {
        let rule = "action = \"publish\"\ndeny = true\nprotocol = \"http\"\naddress";
        reload(&format!("[[rule]]\n{rule} = \"{network}\"\n"));
        assert!(published().0, "the rule is about another protocol");
        let answer = ask(broker.http, "POST", "/v1/topics/a/b", "", "x");
        assert_eq!(answer.split(' ').nth(1), Some(status), "{network}");
    }
    assert!(broker.stop());
}

#[test]
fn users_are_kept_without_a_password_on_the_command_line() {
    let folder = Folder::new("users");
    let (users, secret) = (folder.0.join("users"), folder.write("secret", "pencil\nmore\n"));
    let (users, secret) = (users.to_str().unwrap(), secret.to_str().unwrap());
    let user = |command: &[&str]| output(&[&["user"], command].concat());
    let add =
        |name: &str, more: &[&str]| user(&[&["add", users, name, "--password-file", secret], more].concat());
    assert!(add("ada", &["--scram", "--argon2", "-g", "ops", "-g", "staff"]).0);
    assert!(add("old", &["--scram-sha1", "--iterations", "100000"]).0);
    assert!(add("ada", &["--tenant", "factory"]).0);
    let fingerprint = "AB".repeat(32);
    let (ended_well, printed, _) =
        user(&["add", users, "dev", "--no-password", "--certificate", &fingerprint, "--psk"]);
    assert!(ended_well && printed.starts_with("the pre-shared key, shown only once: "), "{printed}");
    assert!(user(&["lock", users, "old"]).0);
    let expected = "ada argon2id+SCRAM-SHA-256 groups=ops,staff\nold SCRAM-SHA-1 locked\n\
                    ada argon2id tenant=factory\ndev psk+certificate\n";
    assert_eq!(user(&["list", users]).1, expected);
    let text = fs::read_to_string(users).unwrap();
    assert!(text.contains("old:SCRAM-SHA-1$100000:") && !text.contains("pencil"), "{text}");

    // Another password is kept as the one before.
    assert!(user(&["passwd", users, "ada", "--password-file", secret]).0);
    assert!(user(&["unlock", users, "old"]).0);
    assert!(user(&["remove", users, "ada", "--tenant", "factory"]).0);
    let expected = "ada argon2id+SCRAM-SHA-256 groups=ops,staff\nold SCRAM-SHA-1\ndev psk+certificate\n";
    assert_eq!(user(&["list", users]).1, expected);
    let changed = fs::read_to_string(users).unwrap();
    assert_ne!(text.lines().nth(1), changed.lines().nth(1));

    for (command, words) in [
        (&["add", users, "Ada"][..], "is too much like \"ada\": where case does not count they would be one"),
        (&["add", users, "eve", "--no-password"], "without a password the user needs --certificate or --psk"),
        (&["add", users, "eve", "-g", "a b"], "the name \"a b\" is not usable for a group or a tenant"),
        (&["add", users, "eve", "--certificate", "12"], "a fingerprint is the SHA-256 of a certificate"),
        (&["lock", users, "eve"], "there is no user \"eve\""),
        (&["passwd", users, "eve", "--password-file", secret], "there is no user \"eve\""),
        (
            &["add", users, "eve", "--scram", "--iterations", "99999", "--password-file", secret],
            "a verifier of SCRAM has 100000 to 10000000 iterations",
        ),
    ] {
        let (ended_well, _, complaint) = user(command);
        assert!(!ended_well && complaint.contains(words), "{complaint}");
    }
    assert_eq!(fs::read_to_string(users).unwrap(), changed);
}

#[test]
fn a_user_who_is_locked_goes_and_others_stay() {
    let folder = Folder::new("reload");
    let users = folder.0.join("users");
    let users = users.to_str().unwrap();
    for name in ["ada", "bob"] {
        assert!(with_input(&["user", "add", users, name], "secret\n").0);
    }
    let config = format!("{LISTENERS}[auth]\nusers_file = \"users\"\n");
    let broker = Broker::start(&folder.write("mynah.toml", &config));
    let url = broker.url();
    let subscriber = |name| {
        let mut child =
            mynah(&["sub", &url, "-t", "#", "-n", "1", "-u", name, "-P", "secret", "--timeout", "20"])
                .spawn()
                .unwrap();
        thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none());
        child
    };
    let (ada, mut bob) = (subscriber("ada"), subscriber("bob"));
    assert!(output(&["user", "lock", users, "ada"]).0);
    let id = broker.child.id().to_string();
    let hang_up = || {
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    };
    hang_up();
    let begun = std::time::Instant::now();
    assert!(!finished(ada.wait_with_output().unwrap()).0);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let publish = |name| output(&["pub", &url, "-t", "a", "-m", "x", "-u", name, "-P", "secret"]).0;
    assert!(!publish("ada"));

    // A file that cannot be used changes nothing.
    let text = fs::read_to_string(users).unwrap();
    fs::write(users, "nonsense").unwrap();
    hang_up();
    thread::sleep(Duration::from_millis(300));
    assert!(bob.try_wait().unwrap().is_none());
    fs::write(users, text.replace(" locked", "")).unwrap();
    hang_up();
    thread::sleep(Duration::from_millis(300));
    assert!(publish("ada"));
    assert!(bob.wait().unwrap().success());
    assert!(broker.stop());
}

#[test]
fn a_busy_port_is_named_with_its_listener() {
    let folder = Folder::new("busy");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for protocol in ["mqtt", "http", "management"] {
        let config =
            format!("[[listener]]\nname = \"first\"\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n");
        let (ended_well, _, complaint) =
            output(&["serve", "-c", folder.write("m.toml", &config).to_str().unwrap()]);
        let expected = format!(
            "mynah: listener `first` cannot listen on {address}: Address already in use (os error 98) (another program \
             listens there; stop it, or give the listener another address; `ss -ltnp 'sport = :{}'` shows which)\n",
            address.port()
        );
        assert!(!ended_well);
        assert!(complaint.ends_with(&expected), "{complaint}");
    }
}

#[test]
fn a_configuration_is_checked_without_starting_anything() {
    let folder = Folder::new("check");
    let config = folder.write("mynah.toml", "[[listener]]\nname = \"x\"\nprotcol = \"mqtt\"\n");
    let (ended_well, _, complaint) = output(&["check", "-c", config.to_str().unwrap()]);
    let expected = format!(
        "mynah: the configuration cannot be used\n{}:3:1: unknown key `protcol`, did you mean `protocol`?\n  \
         3 | protcol = \"mqtt\"\n    | ^^^^^^^\n",
        config.display()
    );
    assert_eq!((ended_well, complaint), (false, expected));
    let (ended_well, printed, _) = output(&["check"]);
    assert!(ended_well);
    assert!(
        printed.starts_with(
            "mqtt       on 127.0.0.1:1883        for anybody on this machine (listener `mqtt`)\n"
        )
    );
}

#[test]
fn a_client_says_why_it_failed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ended_well, _, complaint) = output(&["pub", &format!("mqtt://{free}"), "-t", "a"]);
    let expected = format!(
        "mynah: cannot connect to {free}: Connection refused (os error 111) (is a broker running there?)\n"
    );
    assert_eq!((ended_well, complaint), (false, expected));

    let folder = Folder::new("client");
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let (ended_well, _, complaint) = output(&["pub", &broker.url(), "-t", "a/#"]);
    assert!(!ended_well, "{complaint}");
    let nothing = output(&["sub", &broker.url(), "-t", "a", "-n", "1", "--timeout", "1"]);
    assert_eq!(nothing, (false, String::new(), "mynah: 0 of 1 messages came in time\n".to_owned()));
    assert!(broker.stop());
}
