//! The broker as a service: the unit of systemd, what the service manager hears, and the example of a configuration.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use mynah_interop::{Broker, Certificates, Folder, PATIENCE, Process};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program, where the unit would have it.
fn program() -> PathBuf {
    PathBuf::from(Broker::program().get_program())
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    let unit = example("systemd/mynah.service");
    assert!(unit.contains("\nExecStart=/usr/bin/mynah serve -c /etc/mynah/mynah.toml\n"), "{unit}");
    let folder = Folder::new();
    let here = unit.replace("/usr/bin/mynah", &program().display().to_string());
    let file = folder.write("mynah.service", here);
    let ended =
        Process::start(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(file)).finish();
    assert!(ended.code == Some(0) && ended.error.is_empty(), "{ended:?}");
}

#[test]
fn the_service_manager_hears_when_the_broker_serves_and_when_it_stops() {
    let folder = Folder::new();
    let path = folder.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = folder
        .write("mynah.toml", "[[listener]]\nname = \"m\"\nprotocol = \"mqtt\"\naddress = \"127.0.0.1:0\"\n");
    let mut command = Broker::program();
    command.args(["serve", "-c"]).arg(config).env("NOTIFY_SOCKET", &path);
    let broker = Process::start(&mut command);
    let heard = || {
        let mut words = [0; 100];
        let count = manager.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..count]).into_owned()
    };
    assert!(heard().starts_with("READY=1\n"));
    broker.signal("TERM");
    assert!(heard().starts_with("STOPPING=1\n"));
    assert_eq!(broker.finish().code, Some(0));
}

#[test]
fn the_example_of_a_configuration_can_be_used() {
    let certificates = Certificates::new();
    certificates.issue("lost", 2);
    certificates.revoke("lost");
    let folder = certificates.folder();
    for (made, named) in
        [("ca.pem", "devices-ca.pem"), ("ca.pem", "operators-ca.pem"), ("crl.pem", "devices-crl.pem")]
    {
        fs::copy(folder.path(made), folder.path(named)).unwrap();
    }
    folder.write("headquarters-password", "secret\n");
    let mut add = Broker::program();
    add.args(["user", "add"]).arg(folder.path("users")).arg("ada");
    let _ = Process::start_with(&mut add, b"engine\n".to_vec()).finish().success();
    // Authorities of the system may not be there.
    let ca = folder.path("ca.pem").display().to_string();
    let text = example("mynah.toml").replace("/etc/ssl/certs/ca-certificates.crt", &ca);
    let file = folder.write("mynah.toml", text);
    let said = Process::start(Broker::program().args(["check", "-c"]).arg(file)).finish().success();
    for line in [
        "mqtt       on 0.0.0.0:8883          for users with a password (listener `devices`, over TLS)",
        "mqtt       on 0.0.0.0:8084          for users with a password (listener `browsers`, by WebSocket, over TLS)",
        "http       on 0.0.0.0:8443          for users with a password (listener `web`, over TLS)",
        "management on 0.0.0.0:9443          for devices with a certificate (listener `monitor`, over TLS)",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
}
