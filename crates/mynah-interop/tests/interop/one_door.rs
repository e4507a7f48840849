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

/// Where MQTT comes in, AMQP, STOMP, CoAP, and HTTP.
const LISTENERS: [(&str, &str); 6] = [
    ("mqtts", "protocol = \"mqtt\""),
    ("wss", "protocol = \"mqtt\"\ntransport = \"websocket\""),
    ("amqps", "protocol = \"amqp091\""),
    ("stomps", "protocol = \"stomp\""),
    ("coaps", "protocol = \"coap\"\ntransport = \"dtls\""),
    ("https", "protocol = \"http\""),
];

/// Stand for a version of MQTT where stomp.py and pika are the clients.
const STOMP: &str = "stomp";
const AMQP: &str = "amqp";

/// What stands for a password in CoAP, which has none: a key that is shared with the broker.
const KEY: &str = "the engine of ada";
/// Stands where a protocol has no such proof.
const NO_WAY: &str = "-";

/// The scripts that ask, each for the clients of one library.
const SCRIPTS: [&str; 3] = ["one_door.py", "one_door_stomp.py", "one_door_amqp.py"];

/// A way in: its name in the table, the listener, and version and transport of paho-mqtt; of others they only say which
/// client it is. None: a program is asked for each request.
type Way = (&'static str, &'static str, Option<(&'static str, &'static str)>);

const WAYS: [Way; 8] = [
    ("MQTT 3.1.1", "mqtts", Some(("3.1.1", "tcp"))),
    ("MQTT 5.0", "mqtts", Some(("5.0", "tcp"))),
    ("MQTT 3.1.1 by WebSocket", "wss", Some(("3.1.1", "websockets"))),
    ("MQTT 5.0 by WebSocket", "wss", Some(("5.0", "websockets"))),
    ("AMQP 0-9-1", "amqps", Some((AMQP, "tcp"))),
    ("STOMP 1.2", "stomps", Some((STOMP, "tcp"))),
    ("CoAP over DTLS", "coaps", None),
    ("HTTP", "https", None),
];

/// Which of the scripts asks by a way, if one does.
fn script(place: usize) -> Option<usize> {
    WAYS[place].2.map(|(version, _)| match version {
        STOMP => 1,
        AMQP => 2,
        _ => 0,
    })
}

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
        tables.push_str("[amqp091]\nmechanisms = [\"PLAIN\", \"EXTERNAL\"]\n");
        for (name, keys) in LISTENERS {
            let tls = tls(&certificates, &asks);
            let listener = format!("name = \"{name}\"\naddress = \"127.0.0.1:0\"\n{keys}\n{tls}");
            writeln!(tables, "[[listener]]\n{listener}").unwrap();
        }
        // So many wrong passwords come from this machine that it would have to wait.
        let broker = Setup::workers(2)
            .user("ada", "engine")
            .key("ada", KEY)
            .more("pair_failures_max = 1000\n")
            .more(&tables)
            .start();
        Self { certificates, issuer, broker }
    }

    /// What clients are answered that come in by these ways and say who they are by these proofs, each with topics of its way.
    fn ask(&self, clients: &[(usize, &Proof)]) -> Vec<Answers> {
        let mut lines = [const { String::new() }; SCRIPTS.len()];
        for (place, proof) in clients {
            let (_, listener, Some((version, transport))) = WAYS[*place] else { continue };
            let port = self.broker.listener(listener).port();
            let lines = &mut lines[script(*place).unwrap()];
            writeln!(lines, "{port}\t{version}\t{transport}\t{}", keys(*place, proof).join("\t")).unwrap();
        }
        let said: Vec<String> = SCRIPTS
            .into_iter()
            .zip(lines)
            .map(|(script, lines)| {
                let mut command = python(script);
                command.arg(self.certificates.folder().path("ca.pem"));
                Process::start_with(&mut command, lines.into_bytes()).finish().success()
            })
            .collect();
        let mut said: Vec<_> = said.iter().map(|said| said.lines()).collect();
        let ask = |(place, proof): &(usize, &Proof)| {
            let Some(script) = script(*place) else {
                return match WAYS[*place].1 {
                    "coaps" => self.ask_by_coap(*place, proof),
                    _ => self.ask_by_http(*place, proof),
                };
            };
            let mut words = said[script].next().unwrap().split('\t').map(str::to_owned);
            let login = words.next().unwrap();
            let rules: Vec<String> = words.collect();
            Answers { login, rules: rules.try_into().ok() }
        };
        let answers = clients.iter().map(ask).collect();
        assert!(said.into_iter().all(|mut said| said.next().is_none()));
        answers
    }

    fn ask_by_coap(&self, place: usize, proof: &Proof) -> Answers {
        let login = self.code(place, proof, &["-m", "get"], ".well-known/core");
        if !login.starts_with("2.") {
            return Answers { login, rules: None };
        }
        let ([allowed, denied], put) = (topics(place), ["-m", "put", "-e", "x"]);
        let code = self.code(place, proof, &put, &format!("t/{allowed}"));
        // The first who writes finds no value there.
        let is_written = ["2.01", "2.04"].contains(&code.as_str());
        let allowed = if is_written { "2.01 or 2.04".to_owned() } else { code };
        let denied = self.code(place, proof, &put, &format!("t/{denied}"));
        let hidden = self.code(place, proof, &["-m", "get", "-s", "1"], "t/secret/x");
        Answers { login, rules: Some([allowed, denied, hidden]) }
    }

    /// The code of an answer of CoAP.
    fn code(&self, place: usize, proof: &Proof, request: &[&str], path: &str) -> String {
        let mut command = Command::new("coap-client-openssl");
        match proof {
            // It would ask without any security.
            Proof::Nothing => drop(command.args(["-u", "", "-k", "nothing at all, so"])),
            Proof::Password(user, "engine") => drop(command.args(["-u", user, "-k", KEY])),
            Proof::Password(user, _) => drop(command.args(["-u", user, "-k", "not the key of ada"])),
            Proof::Token(_) => return NO_WAY.to_owned(),
            Proof::Certificate(folder, name) => {
                command.arg("-c").arg(folder.join(format!("{name}.pem")));
                command.arg("-j").arg(folder.join(format!("{name}.key")));
                command.arg("-C").arg(self.certificates.folder().path("ca.pem"));
            }
        }
        let port = self.broker.listener(WAYS[place].1).port();
        command.args(["-B", "10", "-v", "6"]).args(request);
        command.arg(format!("coaps://localhost:{port}/{path}"));
        let finished = Process::start(&mut command).finish();
        let said = finished.output + &finished.error;
        let messages = said.lines().filter(|line| line.starts_with("v:1"));
        let mut codes = messages.filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("c:")));
        let answer = codes.rfind(|code| code.contains('.'));
        answer.unwrap_or("no connection").to_owned()
    }

    fn ask_by_http(&self, place: usize, proof: &Proof) -> Answers {
        let (port, [allowed, denied]) = (self.broker.listener(WAYS[place].1).port(), topics(place));
        let put = ["-X", "PUT", "-d", "x"];
        let login = self.status(port, proof, &put, &format!("/{allowed}"));
        if login != "204" {
            return Answers { login, rules: None };
        }
        let denied = self.status(port, proof, &put, &format!("/{denied}"));
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

    /// The rows of each way in: who is let in and who is not, and what the rules say to those who are.
    fn measure(&self, strangers: &Path) -> Vec<(String, String)> {
        let own = self.certificates.folder().path("");
        let foreign = Issuer::new("first").token("mynah", 600);
        let proofs = [
            Proof::Password("ada", "engine"),
            Proof::Certificate(own, "ada"),
            Proof::Token(self.issuer.token("mynah", 600)),
            Proof::Password("ada", "wrong"),
            Proof::Password("eve", "engine"),
            Proof::Certificate(strangers.to_owned(), "ada"),
            Proof::Token(foreign),
            Proof::Token(self.issuer.token("mynah", -600)),
            Proof::Nothing,
        ];
        let clients: Vec<_> =
            (0..WAYS.len()).flat_map(|place| proofs.iter().map(move |proof| (place, proof))).collect();
        let answers = self.ask(&clients);
        let rows = answers.chunks(proofs.len()).enumerate();
        rows.map(|(place, answers)| self.row(place, answers)).collect()
    }

    fn row(&self, place: usize, answers: &[Answers]) -> (String, String) {
        let (name, (good, wrong)) = (WAYS[place].0, answers.split_at(GOOD));
        let mut good = good.iter().filter(|answers| answers.login != NO_WAY);
        let first = good.next().unwrap();
        assert!(good.all(|answers| answers == first), "{name}: {answers:?}");
        assert!(wrong.iter().all(|answers| answers.rules.is_none()), "{name}: {wrong:?}");
        // MQTT 3.1.1 has no way to say that a publication was refused: it is acknowledged and goes nowhere.
        let proof = Proof::Password("ada", "engine");
        let port = self.broker.listener("https").port();
        let kept = topics(place).map(|topic| self.status(port, &proof, &[], &format!("/{topic}")));
        assert_eq!(kept, ["200", "404"], "{name}");
        let rules = first.rules.clone().unwrap_or_else(|| panic!("{name}: {first:?}"));
        let row = |words: &mut dyn Iterator<Item = &String>| {
            words.fold(format!("| {name} |"), |row, word| row + " " + word + " |")
        };
        (row(&mut answers.iter().map(|answers| &answers.login)), row(&mut rules.iter()))
    }
}

/// So many of the proofs are good ones.
const GOOD: usize = 3;

/// Topics of a way in: where `ada` may publish and where not.
fn topics(place: usize) -> [String; 2] {
    ["ada", "eve"].map(|name| format!("devices/{name}/{place}"))
}

/// What the script is told of a client.
fn keys(place: usize, proof: &Proof) -> Vec<String> {
    let [allowed, denied] = topics(place);
    let mut keys =
        vec![format!("allowed={allowed}"), format!("denied={denied}"), "hidden=secret/#".to_owned()];
    match proof {
        Proof::Nothing => {}
        Proof::Password(user, password) => {
            keys.extend([format!("user={user}"), format!("password={password}")]);
        }
        Proof::Token(token) => {
            // A name of the users file would ask for that user's password.
            keys.extend(["user=bearer".to_owned(), format!("password={token}")]);
        }
        Proof::Certificate(folder, name) => {
            keys.push(format!("certificate={}", folder.join(format!("{name}.pem")).display()));
            keys.push(format!("key={}", folder.join(format!("{name}.key")).display()));
        }
    }
    keys
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
    let rows = stage.measure(&strangers.path(""));
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
