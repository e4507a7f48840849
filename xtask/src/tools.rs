//! The programs that the interoperability tests drive, and what the benches count with. What is missing is installed where that is possible without
//! asking; otherwise the message says what to install. A missing tool is a failure, never a skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace::{Workspace, cargo};

/// Programs, and the Debian packages they come from.
const PROGRAMS: &[(&str, &str)] = &[
    ("mosquitto", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("sslscan", "sslscan"),
    ("slapd", "slapd"),
    ("coap-client-notls", "libcoap3-bin"),
    ("amqp-publish", "amqp-tools"),
    ("ip", "iproute2"),
    // DTLSSocket is built from source.
    ("autoreconf", "autoconf"),
    ("aclocal", "automake"),
    ("libtoolize", "libtool"),
    ("cc", "gcc"),
];

/// Python packages, pinned: a client that changes by itself is no yardstick.
const PYTHON_PACKAGES: &[&str] = &[
    "paho-mqtt==2.1.0",
    "kosoku==0.1.0",
    "stomp.py==9.0.0",
    "pika==1.3.2",
    "aio-pika==10.2.1",
    "amqpstorm==3.1.4",
    "requests==2.34.2",
    "aiocoap[ws]==0.4.17",
    "DTLSSocket==0.2.3",
];

/// Sees to it that all programs are there. Returns the Python that has the packages.
pub(crate) fn set_up(target: &Path) -> Result<PathBuf, String> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| !is_there(name)).map(|(_, package)| *package).collect();
    missing.dedup();
    if !missing.is_empty() {
        install_debian(&missing)?;
    }
    python(target)
}

/// Sees to it that OpenSSL can be built with, which the feature `tls-psk` is.
pub(crate) fn set_up_building() -> Result<(), String> {
    let mut asks = Command::new("pkg-config");
    if is_there("pkg-config") && succeeds(asks.args(["--exists", "openssl"])) {
        return Ok(());
    }
    install_debian(&["pkg-config", "libssl-dev"])
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian has servers, which is on the path of root only.
    let sbin = ["/usr/sbin".into()];
    std::env::split_paths(&folders).chain(sbin).any(|folder| folder.join(program).is_file())
}

/// Sees to it that instructions can be counted. Returns the program that does it, which has to be of the version of its
/// library and is therefore kept below the target folder.
pub(crate) fn set_up_counting(workspace: &Workspace, target: &Path) -> Result<PathBuf, String> {
    if !is_there("valgrind") {
        install_debian(&["valgrind"])?;
    }
    let library = workspace.packages().iter().find(|package| package.name == "gungraun");
    let version = &library.ok_or("no crate of this workspace uses gungraun")?.version;
    let folder = target.join("tools").join(format!("gungraun-runner-{version}"));
    let runner = folder.join("bin/gungraun-runner");
    if runner.is_file() {
        return Ok(runner);
    }
    println!("installing gungraun-runner {version}");
    let mut install = cargo();
    install
        .args(["install", "gungraun-runner", "--version", version, "--locked", "--quiet", "--root"])
        .arg(&folder);
    if succeeds(&mut install) {
        return Ok(runner);
    }
    let by_hand =
        format!("cargo install gungraun-runner --version {version} --locked --root {}", folder.display());
    Err(format!("`{by_hand}` failed: see its message above"))
}

fn install_debian(packages: &[&str]) -> Result<(), String> {
    let by_hand = format!("these tools are missing: install the Debian packages {}", packages.join(", "));
    if !is_there("apt-get") || !is_root() {
        return Err(by_hand);
    }
    println!("installing {}", packages.join(", "));
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
    };
    let install: Vec<&str> =
        ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages.iter().copied()).collect();
    let installed =
        |status: std::io::Result<std::process::ExitStatus>| status.is_ok_and(|status| status.success());
    // The package lists of a fresh machine are empty or old.
    if installed(apt(&install)) || (installed(apt(&["update"])) && installed(apt(&install))) {
        return Ok(());
    }
    Err(format!("apt-get failed; {by_hand}"))
}

/// RabbitMQ's program for its management. It is taken out of the package: where that is installed a server starts.
pub(crate) fn rabbitmqadmin(target: &Path) -> Result<PathBuf, String> {
    const PACKAGE: &str = "rabbitmq-server";
    if is_there("rabbitmqadmin") {
        return Ok("rabbitmqadmin".into());
    }
    let folder = target.join("tools").join(PACKAGE);
    let program = folder.join("usr/bin/rabbitmqadmin");
    if program.is_file() {
        return Ok(program);
    }
    let by_hand =
        format!("take usr/bin/rabbitmqadmin out of Debian's package {PACKAGE} and put it on the path");
    if !is_there("apt-get") || !is_there("dpkg-deb") {
        return Err(by_hand);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("fetching rabbitmqadmin");
    let apt = |arguments: &[&str]| {
        succeeds(Command::new("apt-get").args(arguments).current_dir(&folder).stdout(Stdio::null()))
    };
    let fetched = apt(&["download", PACKAGE]) || (apt(&["update"]) && apt(&["download", PACKAGE]));
    let found = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let archive =
        found.flatten().map(|entry| entry.path()).find(|path| path.extension() == Some("deb".as_ref()));
    match archive.filter(|_| fetched) {
        Some(archive) if succeeds(Command::new("dpkg-deb").arg("--extract").args([&archive, &folder])) => {
            Ok(program)
        }
        _ => Err(format!("apt-get failed; {by_hand}")),
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A virtual environment below the target folder. It is made anew when the list of packages changes.
fn python(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("interop-python");
    let (python, stamp) = (folder.join("bin/python3"), folder.join("packages"));
    let wanted = PYTHON_PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    if !is_there("python3") {
        install_debian(&["python3", "python3-venv"])?;
    }
    let venv = || succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    if !venv() {
        // Debian's Python comes without it.
        install_debian(&["python3-venv"])?;
        if !venv() {
            return Err(format!("`python3 -m venv {}` failed: install Python 3 with venv", folder.display()));
        }
    }
    if !succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON_PACKAGES)) {
        let packages = PYTHON_PACKAGES.join(", ");
        return Err(format!(
            "pip could not install {packages} into {}: see its message above",
            folder.display()
        ));
    }
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
