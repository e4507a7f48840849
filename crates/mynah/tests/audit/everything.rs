//! Every kind of event that the document names is provoked over sockets, told to the log and to who may see it, and none
//! holds a secret.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::watcher::{Client, Heard, another_broker, crowd};
use crate::store::faults::{seen_by, with_disk};
use crate::{Broker, Folder, LISTENERS, ask, mynah, with_input};

/// Before the others: the last of a protocol is the one that is talked to.
const SECURE: &str = r#"[[listener]]
name = "s"
protocol = "mqtt"
address = "127.0.0.1:0"
[listener.tls]
certificate = "certificate.pem"
key = "key.pem"
"#;

const SETTINGS: &str = r#"
[auth]
users_file = "users"
[auth.jwt]
algorithms = ["HS256"]
issuer = "i"
audience = ["b"]
secret_file = "secret"
[limits]
sessions_max = 24
received_max = 2
retained_message_bytes_max = 512
topic_bytes_max = 100
backlog_messages_max = 3
outbound_bytes_max = 65536
[http]
body_bytes_max = 1024
[store]
path = "disk/store"
free_bytes_min = 33554432
[[rule]]
identity = "ada"
action = ["subscribe", "administer"]
allow = true
[[rule]]
action = "subscribe"
allow = "open/#"
[[rule]]
action = "publish"
deny = "closed/#"
[[rule]]
action = "retain"
deny = "fleeting/#"
[[rule]]
identity = "eve"
action = "connect"
deny = true
[[rule]]
identity = "bob"
limits = { subscriptions = 1, message_bytes = 4, messages_per_s = 1, connections = 1 }
[[bridge]]
name = "b"
address = "REMOTE"
user = "there"
password_file = "bridge-password"
[[bridge.topics]]
direction = "out"
filter = "open/there"
"#;

const PASSWORD: &str = "MARKED-password";
/// Of `tok`, by the secret of the test, until 2100.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiAiaSIsICJhdWQiOiAiYiIsICJzdWIiOiAidG9rIiwgImV4cCI6IDQxMDI0NDQ4MDB9.dDZMIqSYIc_slV54qwLTPEFGEKV9xuqTmlZ28llEUrk";
/// `bob:MARKED-password`, as Basic has it.
const BASIC: &str = "Ym9iOk1BUktFRC1wYXNzd29yZA==";

/// A broker, who watches it, and what it has told.
struct Stage {
    broker: Broker,
    heard: Heard,
}

impl Stage {
    fn client(&self, id: &str, user: &str) -> Client {
        Client::connect(&self.broker, id, user, PASSWORD, false)
    }

    fn ask(&self, method: &str, path: &str, field: &str, body: &str) -> String {
        ask(self.broker.http, method, path, field, body)
    }

    fn await_limit(&self, limit: &str, part: &str) {
        self.heard.await_on(&format!("$events/limit/{limit}"), part);
    }

    fn await_denied(&self, action: &str, part: &str) {
        self.heard.await_on(&format!("$events/denied/{action}"), part);
    }
}

/// Logging in and what rules deny.
fn log_in_and_be_denied(stage: &Stage) {
    let Stage { broker, heard } = stage;
    assert_eq!(Client::connect(broker, "x", "ada", "MARKED-wrong", false).code, 4);
    assert_eq!(Client::connect(broker, "x", "nobody", "MARKED-other", false).code, 4);
    heard.await_on("$events/login/refused", "\"user\":\"nobody\"");
    assert_eq!(stage.client("x", "eve").code, 5);
    stage.await_denied("connect", "\"identity\":\"eve\"");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for refused in ["MARKED.token.signature", "eyJhbGciOiJIUzI1NiJ9.MARKED.c2ln"] {
        assert!(stage.ask("GET", "/v1/topics/open/a", &bearer(refused), "").starts_with("HTTP/1.1 401"));
    }
    let answer = stage.ask("PUT", "/v1/topics/open/a", &bearer(TOKEN), "v");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    heard.await_on("$events/login/accepted", "\"identity\":\"tok\"");
    let basic = format!("Authorization: Basic {BASIC}\r\n");
    assert!(stage.ask("GET", "/v1/topics/elsewhere", &basic, "").starts_with("HTTP/1.1 403"));
    stage.await_denied("subscribe", "\"target\":\"elsewhere\"");
    let mut ada = stage.client("denied", "ada");
    ada.publish(1, true, "fleeting/a", b"MARKED-payload");
    stage.await_denied("retain", "\"target\":\"fleeting/a\"");
    // A storm, and nothing after it.
    (0..80).for_each(|_| ada.publish(0, false, "closed/a", b"MARKED-payload"));
    stage.await_denied("publish", "\"rule\":\"");
    heard.await_on("$events/left-out/denied", "\"left_out\":");
    assert!(broker.get(broker.management, "/metrics").starts_with("HTTP/1.1 403"));
    stage.await_denied("administer", "\"listener\":\"o\",\"protocol\":\"management\"");
}

/// The limits of rules, and those of names and messages.
fn come_to_limits(stage: &Stage) {
    let mut bob = stage.client("b", "bob");
    assert_eq!((bob.code, stage.client("c", "bob").code), (0, 3));
    stage.await_limit("connections", "\"identity\":\"bob\"");
    bob.subscribe("open/1");
    bob.subscribe("open/2");
    stage.await_limit("subscriptions", "\"target\":\"open/2\"");
    (0..3).for_each(|_| bob.publish(0, false, "open/b", b"x"));
    stage.await_limit("publish-rate", "\"identity\":\"bob\"");
    thread::sleep(Duration::from_millis(1_500));
    bob.publish(1, false, "open/b", b"larger than four");
    stage.await_limit("message-bytes", "\"target\":\"open/b\"");
    let body = "x".repeat(2_000);
    assert!(stage.ask("PUT", "/v1/topics/open/a", "", &body).starts_with("HTTP/1.1 413"));
    stage.await_limit("message-bytes", "\"listener\":\"h\"");

    let mut ada = stage.client("a", "ada");
    ada.publish(1, false, &"long".repeat(30), b"x");
    stage.await_limit("topic", "longlong");
    ada.publish(0, true, "open/large", &[b'x'; 1_000]);
    stage.await_limit("retained", "\"target\":\"open/large\"");
    (0..3).for_each(|_| ada.publish(2, false, "open/2", b"x"));
    stage.await_limit("publications", "\"session\":\"a\"");
}

/// What waits: messages for who is away or reads nothing, sessions, and logins.
fn let_things_wait(stage: &Stage) {
    let mut away = Client::connect(&stage.broker, "away", "ada", PASSWORD, true);
    away.subscribe("open/away");
    drop(away);
    let mut slow = stage.client("slow", "ada");
    slow.subscribe("open/slow");
    let mut ada = stage.client("a", "ada");
    thread::sleep(Duration::from_millis(200));
    (0..5).for_each(|_| ada.publish(1, false, "open/away", b"x"));
    stage.await_limit("backlog", "\"session\":\"away\"");
    // More than the buffers of both sockets take.
    (0..600).for_each(|_| ada.publish(0, false, "open/slow", &vec![b'x'; 60_000]));
    stage.await_limit("outbound", "\"session\":\"slow\"");
    drop(slow);
    let many: Vec<_> = (0..25).map(|number| stage.client(&format!("n{number}"), "ada")).collect();
    assert!(many.iter().any(|client| client.code == 3));
    stage.await_limit("sessions", "\"identity\":\"ada\"");
    drop(many);
    let crowd = crowd(stage.broker.mqtt, 1_200);
    stage.await_limit("logins", "\"listener\":\"m\"");
    drop(crowd);
}

/// Files are read again, an administrator declares a queue and closes a connection, and the disk is full for a while.
fn change_things(stage: &Stage, config: &Path, disk: Option<&Path>) {
    let mut rules = fs::File::options().append(true).open(config).unwrap();
    rules.write_all(b"[[rule]]\nprotocol = \"management\"\naction = \"administer\"\nallow = true\n").unwrap();
    let id = stage.broker.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    for what in ["rules", "users", "certificates"] {
        stage.heard.await_on(&format!("$events/change/{what}"), "\"done\":true");
    }
    let declared = ask(stage.broker.management, "PUT", "/admin/v1/queues/jobs", "", "{}");
    assert!(declared.starts_with("HTTP/1.1 20"), "{declared}");
    stage.heard.await_on("$events/change/queues", "jobs");
    let bob = stage.client("closed", "bob");
    let connections = ask(stage.broker.management, "GET", "/admin/v1/connections", "", "");
    let (_, connections) = connections.split_once("\r\n\r\n").unwrap();
    let connections: serde_json::Value = serde_json::from_str(connections).unwrap();
    let of_bob = |shown: &&serde_json::Value| shown["identity"] == "bob";
    let name = &connections["items"].as_array().unwrap().iter().find(of_bob).unwrap()["name"];
    let path = format!("/admin/v1/connections/{}", name.as_str().unwrap());
    let closed = ask(stage.broker.management, "DELETE", &path, "", "");
    assert!(closed.starts_with("HTTP/1.1 204"), "{closed}");
    stage.heard.await_on("$events/change/connections", "closed, by ");
    drop(bob);
    let Some(disk) = disk else { return };
    let filler = seen_by(&stage.broker, disk).join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let chunk = vec![1; 1 << 20];
    while file.write_all(&chunk).is_ok() {}
    drop(file);
    // The store itself goes on with what is left.
    let taken = fs::metadata(&filler).unwrap().len();
    fs::File::options().write(true).open(&filler).unwrap().set_len(taken - (20 << 20)).unwrap();
    stage.heard.await_on("$events/change/store", "\"done\":false");
    stage.client("a", "ada").publish(1, false, "open/away", b"x");
    stage.await_limit("storage", "\"target\":\"open/away\"");
    fs::remove_file(filler).unwrap();
    stage.heard.await_on("$events/change/store", "\"done\":true");
}

/// The topics that the document names, and one for each thing that it says of them.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md")).unwrap();
    let names = |row: &str| -> Vec<String> { row.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let row = |topic: &str| page.lines().find(|line| line.contains(topic)).unwrap().to_owned();
    let (_, limits) = page.split_once("| limit | what").unwrap();
    let limits = limits.lines().skip(2).map_while(|row| row.strip_prefix("| `")?.split('`').next());
    let mut topics: BTreeSet<String> = limits.map(|limit| format!("$events/limit/{limit}")).collect();
    let (of_denied, of_change) = (row("$events/denied/ACTION"), row("$events/change/WHAT"));
    let actions = of_denied.split_once("`action`").unwrap().1.split_once(", as in rules").unwrap().0;
    topics.extend(names(actions).iter().map(|action| format!("$events/denied/{action}")));
    let changes = of_change.split_once("`what`").unwrap().1.split_once("; `done`").unwrap().0;
    topics.extend(names(changes).iter().map(|what| format!("$events/change/{what}")));
    topics.extend(["$events/login/accepted", "$events/login/refused"].map(str::to_owned));
    topics
}

/// Everything secret that the broker has been given.
fn secrets(folder: &Folder) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    let long = |text: String| -> Vec<String> {
        let parts = text.split(|c: char| c.is_whitespace() || ":$,=".contains(c)).map(str::to_owned);
        parts.filter(|part| part.len() > 20).collect()
    };
    let mut secrets =
        ["MARKED", BASIC.trim_end_matches('='), "x".repeat(20).as_str()].map(str::to_owned).to_vec();
    secrets.extend(TOKEN.split('.').map(str::to_owned));
    secrets.extend(long(read("users")));
    secrets.extend(long(read("key.pem")));
    assert!(secrets.len() > 12);
    secrets
}

#[test]
fn every_kind_of_event_is_told_and_holds_no_secret() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let folder = Folder::new("audit");
    let users = folder.0.join("users");
    for more in [&["ada"][..], &["bob"], &["eve"], &["kim", "--scram", "--psk"]] {
        let add = [&["user", "add", users.to_str().unwrap()], more].concat();
        assert!(with_input(&add, PASSWORD).0);
    }
    folder.write("secret", "MARKED-key-of-thirty-two-bytes-or-more");
    folder.write("bridge-password", "MARKED-bridge\n");
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    folder.write("certificate.pem", &certificate.pem());
    folder.write("key.pem", &key.serialize_pem());
    let remote = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = SETTINGS.replace("REMOTE", &remote.local_addr().unwrap().to_string());
    let listeners = LISTENERS.replacen("[[listener]]\n", &format!("{SECURE}[[listener]]\n"), 1);
    let config = folder.write("mynah.toml", &format!("{listeners}{settings}"));
    let disk = folder.0.join("disk");
    let own_disk = with_disk(&disk);
    let has_disk = own_disk.is_some();
    let broker = match own_disk {
        Some(mut command) => {
            Broker::spawn(command.arg(env!("CARGO_BIN_EXE_mynah")).args(["serve", "-c"]).arg(&config))
        }
        None => Broker::spawn(&mut mynah(&["serve", "-c", config.to_str().unwrap()])),
    };
    let mut watcher = Client::connect(&broker, "watcher", "ada", PASSWORD, false);
    watcher.subscribe("$events/#");
    let stage = Stage { broker, heard: Heard::by(watcher) };
    another_broker(&stage.heard, &remote);
    log_in_and_be_denied(&stage);
    come_to_limits(&stage);
    let_things_wait(&stage);
    change_things(&stage, &config, has_disk.then_some(&disk));

    let Stage { broker, heard } = stage;
    let log = std::sync::Arc::clone(&broker.log);
    assert!(broker.stop());
    heard.await_on("$events/change/broker", "\"detail\":\"stopping\"");
    let log = log.lock().unwrap().clone();
    let told = heard.all();
    for topic in documented() {
        if !has_disk && matches!(&*topic, "$events/change/store" | "$events/limit/storage") {
            eprintln!("left out: this system does not let its users mount a disk of their own");
            continue;
        }
        assert!(told.iter().any(|(on, _)| *on == topic), "{topic} is not told");
        let named = format!("\"audit\":\"{}\"", topic.strip_prefix("$events/").unwrap());
        assert!(log.contains(&named), "{named} is not in the log");
    }
    let rule = format!("\"reason\":\"denied\",\"rule\":\"{}:", config.display());
    assert!(told.iter().any(|(_, event)| event.contains(&rule)));
    for secret in secrets(&folder) {
        let event = told.iter().find(|(topic, event)| topic.contains(&secret) || event.contains(&secret));
        assert!(event.is_none(), "{secret} is told: {event:?}");
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}
