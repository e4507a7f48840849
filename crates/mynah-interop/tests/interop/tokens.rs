//! What tokens say beyond who somebody is: what their bearers may do at most.

use std::process::Command;

use mynah_interop::{Broker, Process, Setup};

use crate::curl::curl;
use crate::logins::{Issuer, published_keys};
use crate::mosquitto::{published, subscribe};
use crate::on_one_and_two_workers;

on_one_and_two_workers!(a_token_takes_away_and_gives_nothing);

/// A broker that takes the tokens of an issuer.
fn broker(setup: Setup, issuer: &Issuer, more: &str) -> Broker {
    let table = format!(
        "[auth]\npair_failures_max = 1000\naddress_failures_max = 1000\nidentity_failures_max = 1000\n\
         [auth.jwt]\nalgorithms = [\"RS256\"]\nissuer = \"the issuer\"\naudience = [\"mynah\"]\nleeway_s = 0\n\
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
