//! What tokens say beyond who somebody is: what their bearers may do at most, and until when; how they are shown; and which names
//! are not theirs.

use std::process::Command;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Certificates, PATIENCE, Process, Setup};

use crate::curl::curl;
use crate::logins::{Issuer, published_keys};
use crate::mosquitto::{published, subscribe};
use crate::on_one_and_two_workers;
use crate::paho::python;
use crate::transports::tls;

on_one_and_two_workers!(
    a_token_takes_away_and_gives_nothing,
    a_connection_ends_with_its_token_unless_there_is_a_new_one,
    a_token_is_shown_where_nobody_else_sees_it,
);

/// A broker that takes the tokens of an issuer.
pub(crate) fn broker(setup: Setup, issuer: &Issuer, more: &str) -> Broker {
    let table = format!(
        "[auth.jwt]\nalgorithms = [\"RS256\"]\nissuer = \"the issuer\"\naudience = [\"mynah\"]\nleeway_s = 0\n\
         key_file = \"keys.json\"\n{more}"
    );
    setup.file("keys.json", &published_keys(&[issuer])).more(&table).start()
}

fn a_token_takes_away_and_gives_nothing(workers: u16) {
    const RULES: &str = "rights_claim = \"mqtt.acl\"
[[rule]]
action = [\"publish\", \"retain\"]
allow = [\"devices/#\"]
deny = [\"devices/+/secret\"]
";
    let issuer = Issuer::new("first");
    let broker = broker(Setup::workers(workers), &issuer, RULES);
    let rights = |publish: &str, subscribe: &str| {
        let acl = format!("{{\"publish\":[{publish}],\"subscribe\":[{subscribe}]}}");
        issuer.token_with("mynah", 600, &format!(",\"mqtt\":{{\"acl\":{acl}}}"))
    };
    let token = rights("\"devices/%u/#\",\"elsewhere\"", "\"news/+\"");
    let publishes = |token: &str, topic: &str| {
        let ended =
            published(&broker, &["-V", "5", "-u", "x", "-P", token, "-q", "1", "-t", topic, "-m", "x"], "");
        let by_mqtt = match (ended.code, ended.error.contains("Not authorized")) {
            (Some(0), false) => true,
            (_, true) => false,
            _ => panic!("{ended:?}"),
        };
        let (field, url) =
            (format!("Authorization: Bearer {token}"), broker.http_url(&format!("/v1/topics/{topic}")));
        let by_http = curl(&["-H", &field, "-X", "PUT", "-d", "x", &url]).status;
        assert_eq!(by_http, if by_mqtt { 204 } else { 403 }, "{topic}");
        by_mqtt
    };
    assert!(publishes(&token, "devices/ada/x"));
    assert!(!publishes(&token, "devices/bob/x"), "the rules would permit it");
    assert!(!publishes(&token, "devices/ada/secret"), "a deny always wins");
    assert!(!publishes(&token, "elsewhere"), "a token gives nothing");
    let sees = |token: &str, filter: &str| {
        let asked = ["-V", "5", "-u", "x", "-P", token, "-q", "1", "-t", filter];
        let answer = subscribe(&broker, &asked).line("an answer", |line| line.starts_with("Subscribed "));
        let by_mqtt = answer.ends_with(": 1");
        assert!(by_mqtt || answer.ends_with(": 135"), "{answer}");
        let (field, url) = (format!("Authorization: Bearer {token}"), broker.http_url("/v1/topics"));
        let filter = format!("filter={filter}");
        let mut stream = Command::new("curl");
        // A stream that is granted does not end by itself.
        stream.args(["-sS", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", "-H", &field]);
        let status = Process::start(stream.args(["-G", "--data-urlencode", &filter, &url])).finish().output;
        assert_eq!(status, if by_mqtt { "200" } else { "403" }, "{filter}");
        by_mqtt
    };
    assert!(sees(&token, "news/+") && sees(&token, "news/today"));
    assert!(!sees(&token, "news/#") && !sees(&token, "devices/ada/x") && !sees(&token, "#"));
    assert!(!publishes(&issuer.token("mynah", 600), "devices/ada/x"), "nothing is named");
    let everything = rights("\"#\"", "\"#\"");
    assert!(publishes(&everything, "devices/bob/x") && sees(&everything, "#"));
    assert!(!publishes(&everything, "devices/bob/secret") && !publishes(&everything, "elsewhere"));
    let broken = rights("\"a#\"", "");
    let (field, url) =
        (format!("Authorization: Bearer {broken}"), broker.http_url("/v1/topics/devices/ada/x"));
    assert_eq!(curl(&["-H", &field, &url]).status, 401, "nobody knows what it permits");
}

/// paho-mqtt at a listener.
pub(crate) fn paho(
    broker: &Broker,
    listener: &str,
    version: &str,
    transport: &str,
    keys: &[String],
) -> Process {
    let port = broker.listener(listener).port().to_string();
    let mut command = python("logins.py");
    Process::start(command.args([&port, version, transport]).args(keys))
}

/// What paho-mqtt is answered to its login.
#[track_caller]
pub(crate) fn login(broker: &Broker, listener: &str, version: &str, keys: &[String]) -> String {
    let said = paho(broker, listener, version, "tcp", keys).finish().success();
    said.trim().strip_prefix("login: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}

pub(crate) fn password(user: &str, password: &str) -> Vec<String> {
    vec![format!("user={user}"), format!("password={password}")]
}

fn bearer(token: &str, more: &[&str]) -> Vec<String> {
    let keys = ["mechanism=OAUTHBEARER".to_owned(), format!("token={token}")];
    keys.into_iter().chain(more.iter().map(|key| (*key).to_owned())).collect()
}

/// Listeners for the mechanisms that show what proves who somebody is: `loopback` on this machine, `tls`, and `shy`, where
/// anybody could read it.
fn listeners(certificates: &Certificates) -> String {
    let listener = |name: &str, keys: &str| {
        format!("[[listener]]\nname = \"{name}\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n{keys}\n")
    };
    [
        listener("loopback", "plaintext_auth = true"),
        listener("tls", &tls(certificates, "")),
        listener("shy", ""),
        listener("websocket", "transport = \"websocket\""),
    ]
    .concat()
}

fn a_connection_ends_with_its_token_unless_there_is_a_new_one(workers: u16) {
    let (issuer, certificates) = (Issuer::new("first"), Certificates::new());
    let broker = broker(Setup::workers(workers), &issuer, &listeners(&certificates));
    let long = issuer.token("mynah", 600);
    let begun = Instant::now();
    // A token's end is a whole second.
    let short = issuer.token("mynah", 6);
    let end = |mut keys: Vec<String>| {
        keys.push("end=1".to_owned());
        keys
    };
    let ca = format!("ca={}", certificates.folder().path("ca.pem").display());
    let ending = [
        paho(&broker, "shy", "3.1.1", "tcp", &end(password("x", &short))),
        paho(&broker, "websocket", "3.1.1", "websockets", &end(password("x", &short))),
        paho(&broker, "shy", "5.0", "tcp", &end(password("x", &short))),
        paho(&broker, "websocket", "5.0", "websockets", &end(password("x", &short))),
        paho(&broker, "tls", "5.0", "tcp", &end(bearer(&short, &[&ca]))),
        paho(&broker, "loopback", "5.0", "tcp", &end(bearer(&short, &[]))),
    ];
    let again = format!("again={long}");
    let mut renewed = paho(&broker, "tls", "5.0", "tcp", &bearer(&short, &[&ca, &again, "stay=8"]));
    assert_eq!(renewed.line("a login", |_| true), "login: Success");
    assert_eq!(renewed.line("a renewal", |_| true), "again: Success");
    for (place, process) in ending.into_iter().enumerate() {
        let said = process.finish().success();
        // MQTT 3.1.1 has no word for it: paho-mqtt has one of its own for a connection that breaks.
        let why = if place < 2 { "Unspecified error" } else { "Maximum connect time" };
        assert_eq!(said, format!("login: Success\nend: {why}\n"), "{place}");
    }
    assert!(begun.elapsed() > Duration::from_secs(4), "not before its time");
    assert_eq!(renewed.finish().success(), "stayed\n");
}

fn a_token_is_shown_where_nobody_else_sees_it(workers: u16) {
    let (issuer, certificates) = (Issuer::new("first"), Certificates::new());
    let more = format!("user_must_match = true\n{}", listeners(&certificates));
    let broker = broker(Setup::workers(workers), &issuer, &more);
    let (good, late) = (issuer.token("mynah", 600), issuer.token("mynah", -600));
    let ca = format!("ca={}", certificates.folder().path("ca.pem").display());
    for listener in ["tls", "loopback"] {
        let ask = |token: &str, more: &str| {
            let keys = if listener == "tls" { vec![ca.as_str(), more] } else { vec![more] };
            login(&broker, listener, "5.0", &bearer(token, &keys))
        };
        assert_eq!([ask(&good, "authzid="), ask(&good, "authzid=ada")], ["Success"; 2]);
        assert_eq!(ask(&good, "authzid=bob"), "Bad user name or password", "for somebody else");
        assert_eq!(ask(&late, "authzid="), "Bad user name or password");
    }
    assert_eq!(login(&broker, "shy", "5.0", &bearer(&good, &[])), "Bad authentication method");
    for version in ["3.1.1", "5.0"] {
        let ask = |user: &str| login(&broker, "shy", version, &password(user, &good));
        assert_eq!([ask("ada"), ask("bob")], ["Success", "Bad user name or password"], "user_must_match");
    }
    let (field, url) = (format!("Authorization: Bearer {good}"), broker.http_url("/v1/topics/none"));
    assert_eq!(curl(&["-H", &field, &url]).status, 404, "without a name there is nothing to match");
}

#[test]
fn a_name_of_the_users_file_asks_for_its_password_and_not_for_a_token() {
    let issuer = Issuer::new("first");
    let setup = Setup::workers(2).user("ada", "engine");
    let broker = broker(setup, &issuer, "");
    let token = issuer.token("mynah", 600);
    let by_mqtt =
        |user: &str, secret: &str| login(&broker, "the-mqtt", "5.0", &password(user, secret)) == "Success";
    let by_http = |arguments: &[&str]| {
        let url = broker.http_url("/v1/topics/none");
        curl(&[arguments, &[&url]].concat()).status == 404
    };
    let field = format!("Authorization: Bearer {token}");
    assert!(by_mqtt("ada", "engine") && by_http(&["-u", "ada:engine"]));
    assert!(!by_mqtt("ada", &token) && !by_http(&["-u", &format!("ada:{token}")]));
    assert!(by_mqtt("whoever", &token) && by_http(&["-u", &format!("whoever:{token}")]));
    assert!(by_http(&["-H", &field]), "without a name it is for ada all the same");
    let mut lock = Broker::program();
    lock.args(["user", "lock"]).arg(broker.folder().path("users")).arg("ada");
    let _ = Process::start(&mut lock).finish().success();
    broker.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while by_http(&["-u", "ada:engine"]) {
        assert!(Instant::now() < deadline, "ada is locked");
    }
    assert!(!by_mqtt("whoever", &token) && !by_http(&["-H", &field]), "whatever the proof");
}
