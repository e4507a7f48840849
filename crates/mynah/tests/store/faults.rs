//! Disks that are full or fail, under the program.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Broker, Folder, LISTENERS, ask, field, mynah, output, read, staying};

/// Waits for a line of the metrics.
fn await_metric(broker: &Broker, line: &str) {
    let there = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        broker.get(broker.management, "/metrics").contains(&format!("\n{line}\n"))
    });
    assert!(there, "no {line} in {}", broker.get(broker.management, "/metrics"));
}

/// Waits until the broker has said something, and returns all that it has said.
fn await_log(broker: &Broker, word: &str) -> String {
    let log = (0..100).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        Some(broker.log.lock().unwrap().clone()).filter(|log| log.contains(word))
    });
    log.unwrap_or_else(|| panic!("{}", broker.log.lock().unwrap()))
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let metrics = broker.get(broker.management, "/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// What runs a program with a disk in this folder that is small and its own: only it and its children see it. None if the
/// system does not let its users do that.
pub(crate) fn with_disk(disk: &Path) -> Option<Command> {
    fs::create_dir(disk).unwrap();
    let script = r#"mount -t tmpfs -o size=320m tmpfs "$0" && shift 0 && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(disk);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut probe = Command::new(command.get_program());
    let may = probe.args(command.get_args()).arg("true").output().is_ok_and(|probe| probe.status.success());
    may.then_some(command)
}

/// A folder as a broker with a disk of its own sees it.
pub(crate) fn seen_by(broker: &Broker, folder: &Path) -> PathBuf {
    let seen = PathBuf::from(format!("/proc/{}/root", broker.child.id()));
    seen.join(folder.strip_prefix("/").unwrap())
}

#[test]
fn without_room_what_has_to_be_stored_is_refused_until_there_is_room_again() {
    let folder = Folder::new("full");
    let config = folder.write(
        "mynah.toml",
        &format!("{LISTENERS}[store]\npath = \"disk/store\"\nfree_bytes_min = 33554432\n"),
    );
    let disk = folder.0.join("disk");
    let Some(mut command) = with_disk(&disk) else {
        eprintln!("left out: this system does not let its users mount a disk of their own");
        return;
    };
    let broker = Broker::spawn(command.arg(env!("CARGO_BIN_EXE_mynah")).args(["serve", "-c"]).arg(&config));
    let (mut stream, _) = staying(&broker);
    stream.write_all(b"\x82\x06\0\x01\0\x01t\x01").unwrap();
    read(&mut stream, 5);
    let url = broker.url();
    let publish = |more: &[&str]| output(&[&["pub", &url, "-t", "t", "-m", "x"], more].concat());
    assert!(publish(&["-q", "1"]).0);
    assert_eq!(read(&mut stream, 8), b"\x32\x06\0\x01t\0\x01x");

    let filler = seen_by(&broker, &disk).join("filler");
    let free = metric(&broker, "mynah_store_free_bytes");
    let taken = usize::try_from(free - (24 << 20)).unwrap();
    File::create(&filler).unwrap().write_all(&vec![1; taken]).unwrap();
    await_metric(&broker, "mynah_store_full 1");
    await_log(&broker, "too little room on the disk: what has to be stored is refused");
    for qos in ["1", "2"] {
        let (ended_well, _, complaint) = publish(&["-q", qos, "-V", "5"]);
        assert!(!ended_well && complaint.contains("quota exceeded"), "{complaint}");
        // MQTT 3.1.1 has no word for it: the client keeps its message, and sees its connection closed.
        assert!(!publish(&["-q", qos]).0);
    }
    let answer = ask(broker.http, "PUT", "/v1/topics/v", "", "kept");
    assert!(answer.starts_with("HTTP/1.1 507 "), "{answer}");
    assert_eq!(field(&answer, "content-type"), "application/problem+json");
    assert!(answer.contains(r#""type":"urn:mynah:problem:storage-full""#), "{answer}");
    // All that need not be stored goes on.
    assert!(publish(&["-q", "0"]).0);
    assert_eq!(read(&mut stream, 6), b"\x30\x04\0\x01tx");
    assert!(output(&["pub", &url, "-t", "nobody", "-m", "x", "-q", "1"]).0);
    assert!(metric(&broker, "mynah_messages_dropped_total{reason=\"storage_full\"}") >= 5);

    fs::remove_file(&filler).unwrap();
    await_metric(&broker, "mynah_store_full 0");
    assert!(publish(&["-q", "2", "-V", "5"]).0);
    assert_eq!(read(&mut stream, 8), b"\x32\x06\0\x01t\0\x02x");
    assert!(ask(broker.http, "PUT", "/v1/topics/v", "", "kept").starts_with("HTTP/1.1 204 "));
    await_log(&broker, "there is room on the disk again");
    assert!(broker.stop());
}

/// The library that stands between the broker and the disk.
fn library() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mynah"));
    let target = program.ancestors().nth(2).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "mynah-lostwrites", "--target-dir"]).arg(target);
    assert!(build.status().unwrap().success());
    target.join("debug/libmynah_lostwrites.so")
}

#[test]
fn a_sync_that_fails_is_the_end_and_says_so() {
    let folder = Folder::new("eio");
    let config = folder.write("mynah.toml", LISTENERS);
    let (store, failing) = (folder.0.join("mynah-data"), folder.0.join("failing"));
    fs::create_dir_all(folder.0.join("side/pins")).unwrap();
    let mut command = mynah(&["serve", "-c", config.to_str().unwrap()]);
    command.env("LD_PRELOAD", library()).env("LOSTWRITES_FOLDER", &store);
    command.env("LOSTWRITES_SIDE", folder.0.join("side")).env("LOSTWRITES_FAIL_SYNC", &failing);
    let mut broker = Broker::spawn(&mut command);
    let put = |message| output(&["pub", &broker.url(), "-t", "t", "-m", message, "-r", "-q", "1"]).0;
    assert!(put("one"));
    fs::write(&failing, "").unwrap();
    assert!(!put("two"), "it is not acknowledged");
    assert_eq!(broker.child.wait().unwrap().code(), Some(1));
    let log = await_log(&broker, "mynah: the store in ");
    let last_word = log.lines().last().unwrap();
    for word in [store.to_str().unwrap(), "the journal cannot be written", "os error 5", "start again"] {
        assert!(last_word.contains(word), "{last_word}");
    }
    fs::remove_file(&failing).unwrap();
    let broker = Broker::start(&config);
    let kept = broker.get(broker.http, "/v1/topics/t");
    assert!(kept.ends_with("one") || kept.ends_with("two"), "{kept}");
    assert!(broker.stop());
}

#[test]
fn a_listener_may_wait_for_nothing() {
    let folder = Folder::new("hasty");
    let hasty =
        LISTENERS.replacen("protocol = \"mqtt\"", "protocol = \"mqtt\"\ndurability = \"interval\"", 1);
    let config = folder.write("mynah.toml", &hasty);
    let broker = Broker::start(&config);
    assert!(broker.get(broker.management, "/metrics").contains("mynah_store_info{durability=\"sync\"} 1\n"));
    assert!(output(&["pub", &broker.url(), "-t", "t", "-m", "one", "-r", "-q", "1"]).0);
    assert!(broker.stop());
    let broker = Broker::start(&config);
    assert!(broker.get(broker.http, "/v1/topics/t").ends_with("one"));
    assert!(broker.stop());

    let relaxed = format!("{LISTENERS}[store]\ndurability = \"interval\"\n");
    let broker = Broker::start(&folder.write("mynah.toml", &relaxed));
    assert!(
        broker.get(broker.management, "/metrics").contains("mynah_store_info{durability=\"interval\"} 1\n")
    );
    assert!(broker.log.lock().unwrap().contains("may be lost with the machine"));
    assert!(broker.stop());
}
