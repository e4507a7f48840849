//! HTTPS: `curl` says who it is by password, token and certificate; what a stream outlives and what ends it; and peers that
//! are slow to shake hands.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mynah_interop::{Broker, Certificates, Finished, PATIENCE, Process, Setup, line_buffered};

use crate::curl::{Answer, answer, event};
use crate::logins::{Issuer, RULES, is_put_off, published_keys};
use crate::on_one_and_two_workers;
use crate::transports::tls;

on_one_and_two_workers!(
    a_password_a_token_and_a_certificate_say_who_curl_is,
    a_stream_outlives_the_certificates_and_no_token,
);

/// A broker whose listener `web` speaks HTTPS, with the certificates of a folder.
struct Stage {
    certificates: Certificates,
    issuer: Issuer,
    broker: Broker,
}

impl Stage {
    fn new(workers: u16, more: &str) -> Self {
        let (certificates, issuer) = (Certificates::new(), Issuer::new("first"));
        certificates.issue("sensor-7", 2);
        let keys = certificates.folder().write("keys.json", published_keys(&[&issuer]));
        let ca = certificates.folder().path("ca.pem");
        let asks = format!(
            ", client_certificates = \"optional\", identity_from = \"common-name\", client_ca = \"{}\"",
            ca.display()
        );
        let tables = format!(
            "[[listener]]\nname = \"web\"\nprotocol = \"http\"\naddress = \"127.0.0.1:0\"\n{}\n\
             [auth.jwt]\nalgorithms = [\"RS256\"]\nissuer = \"the issuer\"\naudience = [\"mynah\"]\nleeway_s = 0\n\
             key_file = \"{}\"\n{more}",
            tls(&certificates, &asks),
            keys.display(),
        );
        let setup = Setup::workers(workers).user("ada", "engine").user("bob", "builder");
        let broker = setup.more(&tables).start();
        Self { certificates, issuer, broker }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.certificates.folder().path(name)
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.broker.listener("web").port())
    }

    /// Runs `curl` with the authority of these certificates and, if there is a name, with a client's.
    fn curl(&self, shown: Option<&str>, arguments: &[&str]) -> Finished {
        curl(&self.certificates, shown, arguments)
    }

    fn put(&self, shown: Option<&str>, proof: &[&str], topic: &str) -> Answer {
        let url = self.url(&format!("/v1/topics/{topic}"));
        answer(&self.curl(shown, &[proof, &["-X", "PUT", "-d", "x", &url]].concat()).success())
    }
}

fn curl(certificates: &Certificates, shown: Option<&str>, arguments: &[&str]) -> Finished {
    let file = |name: &str| certificates.folder().path(name);
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--http1.1", "-H", "Expect:", "--cacert"]).arg(file("ca.pem"));
    if let Some(name) = shown {
        command.arg("--cert").arg(file(&format!("{name}.pem")));
        command.arg("--key").arg(file(&format!("{name}.key")));
    }
    Process::start(command.args(arguments)).finish()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn a_password_a_token_and_a_certificate_say_who_curl_is(workers: u16) {
    let stage = Stage::new(workers, RULES);
    let good = bearer(&stage.issuer.token("mynah", 600));
    let status = |shown, proof: &[&str], topic: &str| stage.put(shown, proof, topic).status;
    for (shown, proof, name) in [
        (None, &["-u", "ada:engine"][..], "ada"),
        (None, &["-H", &good], "ada"),
        (Some("sensor-7"), &[], "sensor-7"),
        // A password says more than a certificate.
        (Some("sensor-7"), &["-u", "bob:builder"], "bob"),
    ] {
        assert_eq!(status(shown, proof, &format!("devices/{name}/x")), 204, "{name}");
        assert_eq!(status(shown, proof, "devices/eve/x"), 403, "{name}");
    }
    let (strange, late) = (Issuer::new("first").token("mynah", 600), stage.issuer.token("mynah", -60));
    let (strange, late) = (bearer(&strange), bearer(&late));
    let wrong: [&[&str]; 6] = [
        &[],
        &["-u", "ada:builder"],
        &["-u", "eve:engine"],
        &["-H", &strange],
        &["-H", &late],
        &["-H", "Authorization: Bearer x"],
    ];
    for proof in wrong {
        let answer = stage.put(None, proof, "devices/ada/x");
        let challenge =
            "\r\nwww-authenticate: basic realm=\"mynah\", charset=\"utf-8\", bearer realm=\"mynah\"\r\n";
        assert!(answer.status == 401 && answer.head.contains(challenge), "{proof:?}: {answer:?}");
    }
    // The certificate of a stranger does not get as far as HTTP, and neither does HTTP without TLS.
    let stranger = Certificates::new();
    for file in ["broker.pem", "broker.key"] {
        fs::copy(stranger.folder().path(file), stage.file(&file.replace("broker", "strange"))).unwrap();
    }
    let url = stage.url("/v1/topics/devices/ada/x");
    assert_ne!(stage.curl(Some("strange"), &["-u", "ada:engine", &url]).code, Some(0));
    assert_ne!(stage.curl(None, &["-u", "ada:engine", &url.replace("https", "http")]).code, Some(0));
}

/// A stream of events, once it has begun.
fn stream(stage: &Stage, proof: &[&str]) -> Process {
    let mut command = line_buffered("curl");
    command.args(["-sS", "-i", "-N", "--cacert"]).arg(stage.file("ca.pem")).args(proof);
    let mut process = Process::start(command.arg(stage.url("/v1/topics?filter=devices/%23")));
    process.line("200", |line| line == "HTTP/1.1 200 OK");
    process.line("the end of the head", str::is_empty);
    process
}

fn a_stream_outlives_the_certificates_and_no_token(workers: u16) {
    let stage = Stage::new(workers, "");
    let mut lasting = stream(&stage, &["-u", "ada:engine"]);
    let begun = Instant::now();
    let ending = stream(&stage, &["-H", &bearer(&stage.issuer.token("mynah", 4))]);
    let _ = ending.finish();
    assert!(begun.elapsed() < PATIENCE, "the token had ended by then");
    let next = Certificates::new();
    for file in ["broker.pem", "broker.key"] {
        fs::copy(next.folder().path(file), stage.file(file)).unwrap();
    }
    stage.broker.signal("HUP");
    let url = stage.url("/v1/topics/devices/x");
    let put = |certificates: &Certificates| {
        curl(certificates, None, &["-u", "ada:engine", "-X", "PUT", "-d", "late", &url])
    };
    let deadline = Instant::now() + PATIENCE;
    while put(&next).code != Some(0) {
        assert!(Instant::now() < deadline, "the new certificate is not there");
        thread::sleep(Duration::from_millis(20));
    }
    let (name, value) = event(&mut lasting);
    assert!(name == "message" && value.contains("devices/x"), "{name} {value}");
    assert_ne!(put(&stage.certificates).code, Some(0), "the old certificate is gone");
}

#[test]
fn who_is_slow_to_shake_hands_holds_up_nobody() {
    let stage = Stage::new(1, "[http]\nopening_timeout_s = 2\n[limits]\nhalf_open_max = 3\n");
    let address = stage.broker.listener("web");
    let silent = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut few: Vec<TcpStream> = (0..2).map(|_| silent()).collect();
    assert_eq!(stage.put(None, &["-u", "ada:engine"], "a").status, 204);
    few.push(silent());
    let begun = Instant::now();
    let ends = |mut stream: TcpStream| matches!(stream.read(&mut [0]), Ok(0) | Err(_));
    assert!(ends(silent()), "there are too many");
    assert!(begun.elapsed() < Duration::from_secs(2), "at once: {:?}", begun.elapsed());
    assert!(few.into_iter().all(ends));
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(stage.put(None, &["-u", "ada:engine"], "a").status, 204);
}

#[test]
fn who_guesses_by_https_has_to_wait_by_mqtt_too() {
    let stage = Stage::new(1, "");
    let guess = || stage.put(None, &["-u", "ada:wrong"], "a").status;
    let guesses: Vec<u16> = (0..8).map(|_| guess()).collect();
    assert!(guesses[..5] == [401; 5] && guesses.contains(&503), "{guesses:?}");
    is_put_off(&stage.broker, "ada", "engine");
    assert_eq!(stage.put(None, &["-u", "bob:builder"], "a").status, 204, "bob has done nothing");
}

#[test]
fn metrics_are_for_those_with_a_certificate() {
    let certificates = Certificates::new();
    certificates.issue("monitor", 2);
    certificates.issue("sensor-7", 3);
    let asks = format!(
        ", client_certificates = \"required\", client_ca = \"{}\"",
        certificates.folder().path("ca.pem").display()
    );
    let listener = format!(
        "[[listener]]\nname = \"monitor\"\nprotocol = \"management\"\naddress = \"0.0.0.0:0\"\n\
         auth = \"certificate\"\n{}\n",
        tls(&certificates, &asks)
    );
    let rule = "[[rule]]\ncertificate = \"monitor\"\naction = \"administer\"\nallow = true\n";
    let broker = Setup::workers(1).more(&listener).more(rule).start();
    let url = format!("https://localhost:{}/metrics", broker.listener("monitor").port());
    let found = answer(&curl(&certificates, Some("monitor"), &[&url]).success());
    assert!(found.status == 200 && found.body.ends_with("# EOF\n"), "{found:?}");
    let refused = answer(&curl(&certificates, Some("sensor-7"), &[&url]).success());
    assert_eq!(refused.status, 403, "a rule is about the other certificate: {refused:?}");
    assert_ne!(curl(&certificates, None, &[&url]).code, Some(0));
}
