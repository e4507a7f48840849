//! The audit from outside: every kind of event is told, to the log and to who may see it, and none holds a secret.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::{Broker, Folder, LISTENERS, ask, mynah, output, with_input};

const SETTINGS: &str = r#"
[auth]
users_file = "users"
[auth.jwt]
algorithms = ["HS256"]
issuer = "i"
audience = ["b"]
secret_file = "secret"
[[rule]]
identity = "ada"
action = "subscribe"
allow = true
[[rule]]
action = "subscribe"
allow = "open/#"
[[rule]]
action = "publish"
deny = "closed/#"
[[rule]]
identity = "eve"
action = "connect"
deny = true
[[rule]]
identity = "bob"
limits = { subscriptions = 1, message_bytes = 4 }
"#;

const PASSWORD: &str = "MARKED-password";

/// Does what the audit has to tell of; everything that is secret in it is marked.
fn act(broker: &Broker) {
    let url = broker.url();
    let publish = |user: &str, password: &str, topic: &str| {
        output(&["pub", &url, "-u", user, "-P", password, "-t", topic, "-m", "MARKED-payload", "-q", "1"]).0
    };
    assert!(publish("ada", PASSWORD, "open/a"));
    publish("ada", PASSWORD, "closed/a");
    publish("bob", PASSWORD, "open/b");
    for (user, password) in [("ada", "MARKED-wrong"), ("nobody", "MARKED-other"), ("eve", PASSWORD)] {
        assert!(!publish(user, password, "open/a"));
    }
    let filters = ["-t", "open/a", "-t", "open/b", "-t", "elsewhere", "-n", "1", "--timeout", "1"];
    output(&[&["sub", &url, "-u", "bob", "-P", PASSWORD], &filters[..]].concat());
    for bearer in ["MARKED.token.signature", "eyJhbGciOiJIUzI1NiJ9.MARKED.c2ln"] {
        let field = format!("Authorization: Bearer {bearer}\r\n");
        assert!(ask(broker.http, "GET", "/v1/topics/open/a", &field, "").starts_with("HTTP/1.1 401"));
    }
    // bob:MARKED-password
    let field = "Authorization: Basic Ym9iOk1BUktFRC1wYXNzd29yZA==\r\n";
    assert!(ask(broker.http, "GET", "/v1/topics/elsewhere", field, "").starts_with("HTTP/1.1 403"));
    let id = broker.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
}

#[test]
fn every_kind_of_event_is_told_and_holds_no_secret() {
    let folder = Folder::new("audit");
    let users = folder.0.join("users");
    for user in ["ada", "bob", "eve"] {
        assert!(with_input(&["user", "add", users.to_str().unwrap(), user], PASSWORD).0);
    }
    folder.write("secret", "MARKED-key-of-thirty-two-bytes-or-more");
    let broker = Broker::start(&folder.write("mynah.toml", &format!("{LISTENERS}{SETTINGS}")));
    let url = broker.url();
    let watch = ["sub", &url, "-u", "ada", "-P", PASSWORD, "-t", "$events/#", "-v", "-n", "1000"];
    let watcher = mynah(&[&watch[..], &["--timeout", "6"]].concat()).spawn().unwrap();
    thread::sleep(Duration::from_millis(1_500));
    act(&broker);
    let printed = String::from_utf8(watcher.wait_with_output().unwrap().stdout).unwrap();
    let log = broker.log.lock().unwrap().clone();

    let seen: BTreeSet<&str> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "$events/change/rules",
        "$events/change/users",
        "$events/denied/connect",
        "$events/denied/publish",
        "$events/denied/subscribe",
        "$events/limit/message-bytes",
        "$events/limit/subscriptions",
        "$events/login/accepted",
        "$events/login/refused",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected, "{printed}");
    for topic in expected {
        let named = format!("\"audit\":\"{}\"", topic.strip_prefix("$events/").unwrap());
        assert!(log.contains(&named), "{named} in {log}");
    }
    let rule = format!("{}:", folder.0.join("mynah.toml").display());
    assert!(printed.contains(&format!("\"reason\":\"denied\",\"rule\":\"{rule}")), "{printed}");
    assert!(printed.contains("\"user\":\"nobody\"") && log.contains("unknown user"), "{log}");
    let kept = fs::read_to_string(users).unwrap();
    let hashes = kept.split(|c: char| c.is_whitespace() || c == ':').filter(|part| part.len() > 20);
    for secret in hashes.chain(["MARKED", "Ym9iOk1BUktFRC1wYXNzd29yZA"]) {
        assert!(!log.contains(secret) && !printed.contains(secret), "{secret} is told");
    }
    assert!(broker.stop());
}

#[test]
fn presence_is_read_by_http_as_mqtt_sees_it() {
    let folder = Folder::new("presence");
    let broker = Broker::start(&folder.write("mynah.toml", LISTENERS));
    let (held, _) = super::staying(&broker);
    let path = "/v1/topics/$presence/m/s";
    let answer = broker.get(broker.http, path);
    assert!(answer.contains("{\"state\":\"online\",\"protocol\":\"mqtt\",\"since\":\"2"), "{answer}");
    let url = broker.url();
    let (_, printed, _) = output(&["sub", &url, "-t", "$presence/+/s", "-v", "-n", "1", "--timeout", "10"]);
    assert!(printed.starts_with("$presence/m/s {\"state\":\"online\""), "{printed}");
    drop(held);
    let left = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(50));
        broker.get(broker.http, path).contains("{\"state\":\"offline\",\"since\":\"2")
    });
    assert!(left);
    assert!(broker.stop());
}
