//! One user with a password, a certificate and a token, whatever the protocol: who is let in, who is not, and what the same
//! rules deny. What was measured is compared with the table of `docs/one-door.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mynah_interop::{Broker, Certificates, Process, Setup};

use crate::curl;
use crate::logins::{Issuer, published_keys};
use crate::paho::python;
use crate::transports::tls;

/// What everybody may do.
const RULES: &str = "
[[rule]]
action = \"publish\"
allow = [\"devices/%u/#\"]
[[rule]]
action = \"subscribe\"
deny = [\"secret/#\"]
";

/// Where MQTT comes in, STOMP, and HTTP.
const LISTENERS: [(&str, &str); 4] = [
    ("mqtts", "protocol = \"mqtt\""),
    ("wss", "protocol = \"mqtt\"\ntransport = \"websocket\""),
    ("stomps", "protocol = \"stomp\""),
    ("https", "protocol = \"http\""),
];

/// Stands for a version of MQTT where stomp.py is the client.
const STOMP: &str = "stomp";

/// A way in: its name in the table, the listener, and version and transport of paho-mqtt; of stomp.py
/// they only say which client it is.
type Way = (&'static str, &'static str, Option<(&'static str, &'static str)>);

const WAYS: [Way; 6] = [
    ("MQTT 3.1.1", "mqtts", Some(("3.1.1", "tcp"))),
    ("MQTT 5.0", "mqtts", Some(("5.0", "tcp"))),
    ("MQTT 3.1.1 by WebSocket", "wss", Some(("3.1.1", "websockets"))),
    ("MQTT 5.0 by WebSocket", "wss", Some(("5.0", "websockets"))),
    ("STOMP 1.2", "stomps", Some((STOMP, "tcp"))),
    ("HTTP", "https", None),
];

/// What a client says who it is by.
#[derive(Clone)]
enum Proof {
    Nothing,
    Password(&'static str, &'static str),
    Token(String),
    /// The certificate and the key in this folder.
    Certificate(PathBuf, &'static str),
}

/// What a client was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    login: String,
    /// To what its rules allow and deny, if it was let in: publishing, publishing elsewhere, subscribing.
    rules: Option<[String; 3]>,
}

struct Stage {
    certificates: Certificates,
    issuer: Issuer,
    broker: Broker,
}

impl Stage {
    fn new() -> Self {
        let (certificates, issuer) = (Certificates::new(), Issuer::new("first"));
        certificates.issue("ada", 2);
        let keys = certificates.folder().write("keys.json", published_keys(&[&issuer]));
        let asks = format!(
            ", client_certificates = \"optional\", identity_from = \"common-name\", client_ca = \"{}\"",
            certificates.folder().path("ca.pem").display()
        );
        let mut tables = format!(
            "{RULES}[auth.jwt]\nalgorithms = [\"RS256\"]\nissuer = \"the issuer\"\naudience = [\"mynah\"]\n\
             key_file = \"{}\"\n",
            keys.display()
        );
        for (name, keys) in LISTENERS {
            let tls = tls(&certificates, &asks);
            let listener = format!("name = \"{name}\"\naddress = \"127.0.0.1:0\"\n{keys}\n{tls}");
            writeln!(tables, "[[listener]]\n{listener}").unwrap();
        }
        // So many wrong passwords come from this machine that it would have to wait.
        let broker =
            Setup::workers(2).user("ada", "engine").more("pair_failures_max = 1000\n").more(&tables).start();
        Self { certificates, issuer, broker }
    }

    fn ask(&self, (_, listener, mqtt): Way, proof: &Proof) -> Answers {
        let port = self.broker.listener(listener).port();
        match mqtt {
            Some((version, transport)) => self.ask_by_mqtt(port, version, transport, proof),
            None => self.ask_by_http(port, proof),
        }
    }

    fn ask_by_mqtt(&self, port: u16, version: &str, transport: &str, proof: &Proof) -> Answers {
        let script = if version == STOMP { "one_door_stomp.py" } else { "one_door.py" };
        let mut command = python(script);
        command.args([&port.to_string(), version, transport]).arg(self.certificates.folder().path("ca.pem"));
        command.args(["allowed=devices/ada/x", "denied=devices/eve/x", "hidden=secret/#"]);
        match proof {
            Proof::Nothing => {}
            Proof::Password(user, password) => {
                command.args([format!("user={user}"), format!("password={password}")]);
            }
            Proof::Token(token) => {
                // A name of the users file would ask for that user's password.
                command.args(["user=bearer".to_owned(), format!("password={token}")]);
            }
            Proof::Certificate(folder, name) => {
                command.arg(format!("certificate={}", folder.join(format!("{name}.pem")).display()));
                command.arg(format!("key={}", folder.join(format!("{name}.key")).display()));
            }
        }
        let said = Process::start(&mut command).finish().success();
        let told = |key: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            line.map(str::to_owned)
        };
        let rules = [told("allowed"), told("denied"), told("hidden")];
        let rules = if let [Some(allowed), Some(denied), Some(hidden)] = rules {
            Some([allowed, denied, hidden])
        } else {
            None
        };
        Answers { login: told("login").unwrap(), rules }
    }

    fn ask_by_http(&self, port: u16, proof: &Proof) -> Answers {
        let put = ["-X", "PUT", "-d", "x"];
        let login = self.status(port, proof, &put, "/devices/ada/x");
        if login != "204" {
            return Answers { login, rules: None };
        }
        let denied = self.status(port, proof, &put, "/devices/eve/x");
        let hidden = self.status(port, proof, &[], "?filter=secret/%23");
        Answers { rules: Some([login.clone(), denied, hidden]), login }
    }

    /// The status of an answer of HTTP.
    fn status(&self, port: u16, proof: &Proof, more: &[&str], path: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--http1.1", "-H", "Expect:", "--cacert"]);
        command.arg(self.certificates.folder().path("ca.pem")).args(more);
        match proof {
            Proof::Nothing => {}
            Proof::Password(user, password) => drop(command.args(["-u", &format!("{user}:{password}")])),
            Proof::Token(token) => drop(command.args(["-H", &format!("Authorization: Bearer {token}")])),
            Proof::Certificate(folder, name) => {
                command.arg("--cert").arg(folder.join(format!("{name}.pem")));
                command.arg("--key").arg(folder.join(format!("{name}.key")));
            }
        }
        command.arg(format!("https://localhost:{port}/v1/topics{path}"));
        let ended = Process::start(&mut command).finish();
        match ended.code {
            Some(0) => curl::answer(&ended.output).status.to_string(),
            _ => "no connection".to_owned(),
        }
    }

    /// The rows of a way in: who is let in and who is not, and what the rules say to those who are.
    fn measure(&self, way: Way, strangers: &Path) -> (String, String) {
        let own = self.certificates.folder().path("");
        let foreign = Issuer::new("first").token("mynah", 600);
        let good = [
            Proof::Password("ada", "engine"),
            Proof::Certificate(own, "ada"),
            Proof::Token(self.issuer.token("mynah", 600)),
        ]
        .map(|proof| self.ask(way, &proof));
        let wrong = [
            Proof::Password("ada", "wrong"),
            Proof::Password("eve", "engine"),
            Proof::Certificate(strangers.to_owned(), "ada"),
            Proof::Token(foreign),
            Proof::Token(self.issuer.token("mynah", -600)),
            Proof::Nothing,
        ]
        .map(|proof| self.ask(way, &proof));
        assert!(good.iter().all(|answers| *answers == good[0]), "{}: {good:?}", way.0);
        assert!(wrong.iter().all(|answers| answers.rules.is_none()), "{}: {wrong:?}", way.0);
        // MQTT 3.1.1 has no way to say that a publication was refused: it is acknowledged and goes nowhere.
        let proof = Proof::Password("ada", "engine");
        let port = self.broker.listener("https").port();
        let kept = ["/devices/ada/x", "/devices/eve/x"].map(|topic| self.status(port, &proof, &[], topic));
        assert_eq!(kept, ["200", "404"], "{}", way.0);
        let rules = good[0].rules.clone().unwrap_or_else(|| panic!("{}: {good:?}", way.0));
        let logins = good
            .iter()
            .chain(&wrong)
            .fold(format!("| {} |", way.0), |row, answers| row + " " + &answers.login + " |");
        (logins, rules.iter().fold(format!("| {} |", way.0), |row, answer| row + " " + answer + " |"))
    }
}

/// The part of the page that is measured.
fn table(rows: &[(String, String)]) -> String {
    let mut text = "| | password | certificate | token | wrong password | unknown user | certificate of another authority | \
                    token of another issuer | token that has ended | nothing |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    rows.iter().for_each(|(logins, _)| writeln!(text, "{logins}").unwrap());
    text.push_str("\n| | publishes where it may | publishes where it may not | subscribes where it may not |\n|---|---|---|---|\n");
    rows.iter().for_each(|(_, rules)| writeln!(text, "{rules}").unwrap());
    text
}

#[test]
fn one_user_one_certificate_and_one_token_open_every_door_as_the_page_says() {
    let (stage, strangers) = (Stage::new(), Certificates::new());
    strangers.issue("ada", 2);
    let strangers = strangers.folder();
    let rows: Vec<_> = WAYS.iter().map(|way| stage.measure(*way, &strangers.path(""))).collect();
    let measured = table(&rows);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/one-door.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (begin, end) = ("<!-- measured -->\n", "<!-- end -->\n");
    let (before, rest) = page.split_once(begin).expect("the page has a place for the table");
    let (found, after) = rest.split_once(end).expect("the table has an end");
    if std::env::var_os("MYNAH_WRITE_TABLES").is_some() {
        fs::write(&path, format!("{before}{begin}{measured}{end}{after}")).unwrap();
        return;
    }
    assert!(
        found == measured,
        "docs/one-door.md is not what was measured; with MYNAH_WRITE_TABLES=1 this test writes it:\n{measured}"
    );
}
