//! CoAP over DTLS, with keys and certificates at one listener: libcoap's `coap-client` on OpenSSL and on GnuTLS, and aiocoap on
//! tinydtls.

use std::process::Command;

use mynah_interop::{Broker, Certificates, Process, Setup, line_buffered};

use crate::on_one_and_two_workers;
use crate::paho::python;

on_one_and_two_workers!(
    a_key_and_a_certificate_open_the_same_listener,
    who_proves_nothing_stays_outside_and_is_told_of,
    rules_hold_for_who_a_key_or_a_certificate_says_a_peer_is,
    tinydtls_observes_what_openssl_puts,
    certificates_and_users_change_under_an_association,
);

const PROGRAMS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];
const KEY: &str = "sixteen letters.";
const RULES: &str = "
[[rule]]
action = [\"publish\", \"subscribe\"]
allow = [\"devices/%u/#\", \"shared/#\"]
";

/// Who a client proves to be.
#[derive(Clone, Copy)]
enum Proof<'p> {
    Key(&'p str, &'p str),
    /// The name of the files, and the folder of the authority.
    Certificate(&'p str),
}

fn start(workers: u16, certificates: &Certificates) -> Broker {
    let key: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let people = format!("sensor: psk={key}\nlocked: locked psk={key}\n");
    let folder = certificates.folder().path("");
    let folder = folder.display();
    let listener = format!(
        "[auth]\nusers_file = \"people\"\n{RULES}[[listener]]\nname = \"dtls\"\nprotocol = \"coap\"\n\
         transport = \"dtls\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{folder}/broker.pem\"\n\
         key = \"{folder}/broker.key\"\nclient_certificates = \"optional\"\nclient_ca = \"{folder}/ca.pem\"\n\
         identity_from = \"common-name\"\n"
    );
    Setup::workers(workers).file("people", &people).more(&listener).start()
}

fn url(broker: &Broker, topic: &str) -> String {
    format!("coaps://localhost:{}/t/{topic}", broker.listener("dtls").port())
}

fn prove(command: &mut Command, proof: Proof<'_>, certificates: &Certificates) {
    match proof {
        Proof::Key(user, key) => drop(command.args(["-u", user, "-k", key])),
        Proof::Certificate(name) => {
            let folder = certificates.folder();
            command.arg("-c").arg(folder.path(&format!("{name}.pem")));
            command.arg("-j").arg(folder.path(&format!("{name}.key"))).arg("-C").arg(folder.path("ca.pem"));
        }
    }
}

/// What `coap-client` prints, both of its outputs.
#[track_caller]
fn ask(program: &str, proof: Proof<'_>, certificates: &Certificates, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    prove(&mut command, proof, certificates);
    let finished = Process::start(command.args(["-B", "10"]).args(arguments)).finish();
    (finished.output + &finished.error).trim().to_owned()
}

fn a_key_and_a_certificate_open_the_same_listener(workers: u16) {
    let certificates = Certificates::new();
    certificates.issue("device", 7);
    let broker = start(workers, &certificates);
    let url = url(&broker, "shared/value");
    for program in PROGRAMS {
        for proof in [Proof::Key("sensor", KEY), Proof::Certificate("device")] {
            let value = format!("{program} {}", matches!(proof, Proof::Key(..)));
            assert_eq!(ask(program, proof, &certificates, &["-m", "put", "-e", &value, &url]), "");
            assert_eq!(ask(program, proof, &certificates, &[&url]), value);
        }
    }
}

fn who_proves_nothing_stays_outside_and_is_told_of(workers: u16) {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    others.issue("device", 7);
    let broker = start(workers, &certificates);
    let url = url(&broker, "shared/value");
    for program in PROGRAMS {
        for (user, key) in [("sensor", "another sixteen."), ("nobody", KEY), ("locked", KEY)] {
            let said = ask(program, Proof::Key(user, key), &certificates, &[&url]);
            assert!(said.to_lowercase().contains("decrypt error"), "{program} {user}: {said}");
        }
    }
    // The broker's certificate is found good; the client's is of another authority with the same name.
    let mut command = Command::new("coap-client-openssl");
    let folder = others.folder();
    command.arg("-c").arg(folder.path("device.pem")).arg("-j").arg(folder.path("device.key"));
    command.arg("-C").arg(certificates.folder().path("ca.pem")).args(["-B", "10", &url]);
    let finished = Process::start(&mut command).finish();
    let said = finished.output + &finished.error;
    assert!(said.contains("fatal:decrypt error"), "{said}");
    let log = broker.stop().error;
    for (user, reason) in [("sensor", "key is somebody else's"), ("nobody", "unknown user")] {
        let is_told =
            |line: &&str| line.contains("login/refused") && line.contains(user) && line.contains(reason);
        assert_eq!(log.lines().filter(is_told).count(), PROGRAMS.len(), "{user}: {log}");
    }
}

fn rules_hold_for_who_a_key_or_a_certificate_says_a_peer_is(workers: u16) {
    let certificates = Certificates::new();
    certificates.issue("device", 7);
    let broker = start(workers, &certificates);
    for (proof, own, other) in
        [(Proof::Key("sensor", KEY), "sensor", "device"), (Proof::Certificate("device"), "device", "sensor")]
    {
        let put = |whose: &str| {
            let url = url(&broker, &format!("devices/{whose}/on"));
            ask(PROGRAMS[0], proof, &certificates, &["-m", "put", "-e", "1", &url])
        };
        assert_eq!(put(own), "");
        assert!(put(other).starts_with("4.03"), "{own} writes what is {other}'s: {}", put(other));
    }
}

fn tinydtls_observes_what_openssl_puts(workers: u16) {
    let certificates = Certificates::new();
    let broker = start(workers, &certificates);
    let url = url(&broker, "shared/door");
    let numeric = url.replace("localhost", "127.0.0.1");
    let mut observer = Process::start(python("dtls_client.py").args([&numeric, "sensor", KEY]));
    for expected in ["put 2.01", "got first", "observed first"] {
        observer.line(expected, |line| line == expected);
    }
    let sensor = Proof::Key("sensor", KEY);
    for state in ["open", "last"] {
        assert_eq!(ask(PROGRAMS[0], sensor, &certificates, &["-m", "put", "-e", state, &url]), "");
        observer.line(state, |line| line == format!("observed {state}"));
    }
    let _ = observer.finish().success();
}

fn certificates_and_users_change_under_an_association(workers: u16) {
    let certificates = Certificates::new();
    let broker = start(workers, &certificates);
    let url = url(&broker, "shared/door");
    let sensor = Proof::Key("sensor", KEY);
    assert_eq!(ask(PROGRAMS[0], sensor, &certificates, &["-m", "put", "-e", "shut", &url]), "");
    let mut command = line_buffered(PROGRAMS[1]);
    prove(&mut command, sensor, &certificates);
    let mut observer = Process::start(command.args(["-w", "-s", "30", &url]));
    observer.line("what is retained", |line| line == "shut");
    // The same files: who is new gets what is in them then.
    certificates.issue("broker", 9);
    broker.signal("HUP");
    for state in ["open", "ajar"] {
        assert_eq!(ask(PROGRAMS[0], sensor, &certificates, &["-m", "put", "-e", state, &url]), "");
        observer.line(state, |line| line == state);
    }
    broker.folder().write("people", "");
    broker.signal("HUP");
    let is_out = || ask(PROGRAMS[0], sensor, &certificates, &[&url]).to_lowercase().contains("decrypt error");
    assert!((0..40).any(|_| is_out()), "who is no user any more comes in");
}
