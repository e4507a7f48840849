//! Logging in, what rules deny, and rules that change, for pika and stomp.py under the eyes of an administrator; certificates
//! and users that change under their live connections: `python/watched.py` and `python/renewed.py` say what they expect.

use mynah_interop::{Broker, Certificates, Process, Setup};

use crate::on_one_and_two_workers;
use crate::paho::python;
use crate::transports::tls;

on_one_and_two_workers!(
    logins_denials_and_changes_of_rules_are_told,
    connections_outlive_new_certificates_and_users
);

const RULES: &str = "[[rule]]\nidentity = \"ada\"\naction = \"subscribe\"\nallow = [\"$events/#\"]\n\
                     [[rule]]\nidentity = \"bob\"\naction = \"publish\"\ndeny = [\"closed/#\"]\n\
                     [[rule]]\nidentity = \"bob\"\naction = \"subscribe\"\nallow = [\"open/#\", \"news/#\"]\n\
                     [[rule]]\nidentity = \"bob\"\naction = \"subscribe\"\ndeny = [\"hidden/#\"]\n";

fn logins_denials_and_changes_of_rules_are_told(workers: u16) {
    let listener = |protocol: &str| {
        format!(
            "[[listener]]\nname = \"the-{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n"
        )
    };
    let setup = Setup::workers(workers).first("rules_file = \"rules.toml\"\n").file("rules.toml", RULES);
    let setup = setup.user("ada", "engine").user("bob", "builder");
    let broker = setup.more(&listener("amqp091")).more(&listener("stomp")).start();
    let mut command = python("watched.py");
    for name in ["the-amqp091", "the-stomp", "the-mqtt"] {
        command.arg(broker.listener(name).port().to_string());
    }
    let mut client = Process::start(command.arg(broker.folder().path("rules.toml")));
    client.line("again", |line| line == "again");
    broker.signal("HUP");
    assert!(client.finish().success().ends_with("watched: ok\n"));
}

fn connections_outlive_new_certificates_and_users(workers: u16) {
    let certificates = Certificates::new();
    let tls = tls(&certificates, "");
    let listener = |protocol: &str| {
        format!(
            "[[listener]]\nname = \"the-{protocol}\"\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n{tls}\n"
        )
    };
    let setup = Setup::workers(workers).user("ada", "engine");
    let broker = setup.more(&listener("amqp091")).more(&listener("stomp")).start();
    let mut command = python("renewed.py");
    for name in ["the-amqp091", "the-stomp"] {
        command.arg(broker.listener(name).port().to_string());
    }
    let mut client = Process::start(command.arg(certificates.folder().path("ca.pem")));
    client.line("again", |line| line == "again");
    certificates.issue("broker", 11);
    let mut add = Broker::program();
    add.args(["user", "add"]).arg(broker.folder().path("users")).arg("bob");
    let _ = Process::start_with(&mut add, b"builder\n".to_vec()).finish().success();
    broker.signal("HUP");
    assert!(client.finish().success().ends_with("renewed: ok\n"));
}
