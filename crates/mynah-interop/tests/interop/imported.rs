//! Users with the hashes of other brokers: what RabbitMQ has exported and `mosquitto_passwd` has written lets them in by every
//! protocol that shows the password, and by PLAIN.

use std::fs;
use std::path::Path;
use std::process::Command;

use mynah_interop::{Broker, Folder, Process, Setup};

use crate::curl::curl;
use crate::tokens::{login, password};

#[test]
fn users_of_rabbitmq_and_mosquitto_log_in_by_every_protocol_and_by_plain() {
    let folder = Folder::new();
    let (users, passwords) = (folder.path("users"), folder.path("passwords"));
    let definitions =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/rabbitmq/definitions-3.10.8.json");
    let mut import = Broker::program();
    import.args(["import", "rabbitmq-users"]).arg(definitions).arg("--output").arg(&users);
    let told = Process::start(&mut import).finish().success();
    assert!(told.starts_with("added 2 users to "), "{told}");
    for what in ["user old: ", "user nobody: ", "permissions[0]: user ada in /: ", "vhosts (2): "] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let mut mosquitto = Command::new("mosquitto_passwd");
    let _ =
        Process::start(mosquitto.args(["-b", "-c"]).arg(&passwords).args(["cleo", "asp"])).finish().success();
    let [users, line] = [&users, &passwords].map(|path| fs::read_to_string(path).unwrap());
    assert!(users.contains("groups=devices,monitoring") && line.starts_with("cleo:$7$"), "{users}{line}");

    let rule = "[[rule]]\ngroup = \"monitoring\"\naction = \"publish\"\nallow = true\n";
    let listener = "[[listener]]\nname = \"loopback\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\nplaintext_auth = true\n";
    let tables = format!("[auth]\nusers_file = \"users\"\npair_failures_max = 1000\n{listener}{rule}");
    let broker = Setup::workers(2).file("users", &(users + &line)).more(&tables).start();
    for (user, secret) in [("ada", "engine"), ("bob", "bob secret ü"), ("cleo", "asp")] {
        for (given, is_right) in [(secret, true), ("pencil", false)] {
            let mut plain = password(user, given);
            plain.push("mechanism=PLAIN".to_owned());
            let answers = [
                login(&broker, "the-mqtt", "3.1.1", &password(user, given)),
                login(&broker, "the-mqtt", "5.0", &password(user, given)),
                login(&broker, "loopback", "5.0", &plain),
            ];
            let expected = if is_right { "Success" } else { "Bad user name or password" };
            assert_eq!(answers, [expected; 3], "{user} {given}");
            let basic = format!("{user}:{given}");
            let status =
                curl(&["-u", &basic, "-X", "PUT", "-d", "x", &broker.http_url("/v1/topics/t")]).status;
            // A tag of RabbitMQ is a group here.
            let expected = match (is_right, user) {
                (false, _) => 401,
                (true, "ada") => 204,
                (true, _) => 403,
            };
            assert_eq!(status, expected, "{user} {given}");
        }
    }
}
