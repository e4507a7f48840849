//! The program itself: how it refuses to start, how it stops while others are connected, and its own client.

use std::net::TcpListener;

use mynah_interop::{Broker, Finished, Folder, Process, Setup};

use crate::{curl, mosquitto, on_one_and_two_workers};

on_one_and_two_workers!(its_own_client_goes_round, stopping_closes_connections_and_ends_well);

#[track_caller]
fn mynah(arguments: &[&str]) -> Finished {
    Process::start(Broker::program().args(arguments)).finish()
}

#[test]
fn a_busy_port_is_told_with_its_listener_and_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::new();
    let config = format!("[[listener]]\nname = \"door\"\nprotocol = \"mqtt\"\naddress = \"{address}\"\n");
    let file = folder.write("mynah.toml", config);
    let ended = mynah(&["serve", "-c", file.to_str().unwrap()]);
    let what = format!("mynah: listener `door` cannot listen on {address}: Address already in use");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.contains(&what) && ended.error.contains("stop it, or give"), "{ended:?}");
}

#[test]
fn an_unknown_key_is_told_with_its_place() {
    let folder = Folder::new();
    let file = folder.write("mynah.toml", "workers = 2\n\n[mqtt]\n  packet_byte_max = 5\n");
    let ended = mynah(&["serve", "-c", file.to_str().unwrap()]);
    let what =
        format!("{}:4:3: unknown key `packet_byte_max`, did you mean `packet_bytes_max`?", file.display());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.contains(&what), "{ended:?}");
}

fn its_own_client_goes_round(workers: u16) {
    let broker = Setup::workers(workers).user("ada", "engine").start();
    let url = format!("mqtt://ada:engine@{}", broker.mqtt);
    let published = |topic, payload, qos| {
        let ended = mynah(&["pub", &url, "-t", topic, "-m", payload, "-q", qos, "-r"]);
        assert_eq!((ended.code, ended.output.as_str(), ended.error.as_str()), (Some(0), "", ""));
    };
    published("own/1", "one", "1");
    published("own/2", "two", "2");
    let ended = mynah(&["sub", &url, "-t", "own/#", "-v", "-n", "2", "-q", "2", "--timeout", "15"]);
    let mut lines: Vec<&str> = ended.output.lines().collect();
    lines.sort_unstable();
    assert_eq!((ended.code, lines), (Some(0), vec!["own/1 one", "own/2 two"]), "{ended:?}");
    let said =
        ["--content-type", "text/x", "--user-property", "k=v", "--correlation", "c", "--response-topic", "r"];
    let five = [&["pub", &url, "-V", "5", "-t", "own/5", "-m", "five", "-q", "2", "-r"][..], &said].concat();
    assert_eq!(mynah(&five).code, Some(0));
    let ended = mynah(&["sub", &url, "-V", "5", "-t", "own/5", "--properties", "-n", "1", "--timeout", "15"]);
    let line = "content-type=\"text/x\" response-topic=\"r\" correlation=\"c\" \"k\"=\"v\" five\n";
    assert_eq!((ended.code, ended.output.as_str()), (Some(0), line), "{ended:?}");
    let refused = mynah(&["pub", &url, "-t", "own/5", "--expiry", "1"]);
    assert!(refused.error.contains("only MQTT 5.0 has that"), "{refused:?}");
    let refused = mynah(&["pub", &broker.mqtt_url(), "-t", "own/1", "-m", "x"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");

    // With programs of others at the other end.
    let mut theirs =
        mosquitto::subscribed(&broker, &["-t", "to/them", "-u", "ada", "-P", "engine", "-q", "2"]);
    published("to/them", "hello", "2");
    assert_eq!(mosquitto::message(&mut theirs), "to/them 2 0 hello");
}

fn stopping_closes_connections_and_ends_well(workers: u16) {
    let broker = Setup::workers(workers).start();
    mosquitto::publish(&broker, &["-t", "x", "-m", "kept", "-r", "-q", "1"]);
    let mut own: Vec<Process> = Vec::new();
    for number in 0..4 {
        let (url, id) = (broker.mqtt_url(), format!("own-{number}"));
        own.push(Process::start(Broker::program().args(["sub", &url, "-t", "x", "--id", &id])));
    }
    // The retained message shows that they are there.
    for process in &mut own {
        process.line("the retained message", |line| line == "kept");
    }
    let mut stream = curl::events(&broker, "filter=x");
    assert_eq!(curl::event(&mut stream).0, "message");

    let ended = broker.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for process in own {
        let ended = process.finish();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.error.starts_with("mynah: "), "{ended:?}");
    }
    // The stream is ended, not cut off.
    let ended = stream.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
