//! The client of `examples/mqtt-client`, which is built as somebody else would build it: outside the workspace, and on
//! the stack alone.

use std::path::PathBuf;
use std::process::Command;

use mynah_interop::{Process, Setup};

use crate::{mosquitto, on_one_and_two_workers};

on_one_and_two_workers!(a_program_with_a_client_of_its_own_goes_round);

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mqtt-client/Cargo.toml");

/// The crates of ours that a client is made of.
const OURS: [&str; 3] = ["mynah-model", "mynah-mqtt", "mynah-stack"];

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([command, "--quiet", "--manifest-path", MANIFEST]);
    cargo
}

/// Asks cargo each time: a program that is there may be older than its sources.
#[track_caller]
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Tests are at TARGET/PROFILE/deps.
    let target = test.ancestors().nth(3).map(|target| target.join("examples")).unwrap();
    let status = cargo("build").arg("--target-dir").arg(&target).status().unwrap();
    assert!(status.success(), "the example is not built: see cargo's message above");
    target.join("debug/mqtt-client")
}

#[test]
fn a_client_takes_the_stack_and_nothing_of_the_broker() {
    let tree = cargo("tree").args(["--edges", "normal", "--prefix", "none"]).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("mynah"))
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, OURS, "{tree}");
}

fn a_program_with_a_client_of_its_own_goes_round(workers: u16) {
    let program = built();
    let broker = Setup::workers(workers).start();
    let address = broker.mqtt.to_string();
    let run = |arguments: &[&str]| Process::start(Command::new(&program).arg(&address).args(arguments));
    let mut theirs = mosquitto::subscribed(&broker, &["-t", "from/#", "-q", "1"]);
    let ended = run(&["from/+", "from/it", "one", "two", "three"]).finish();
    assert_eq!(ended.success(), "from/it one\nfrom/it two\nfrom/it three\n");
    for message in ["one", "two", "three"] {
        assert_eq!(mosquitto::message(&mut theirs), format!("from/it 1 0 {message}"));
    }
    let mut five = Command::new(&program);
    let ended = Process::start(five.args(["-V", "5", &address, "five/+", "five/it", "four"])).finish();
    assert_eq!(ended.success(), "five/it four\n");
    let refused = run(&["$queue/+", "from", "one"]).finish();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("refused the subscription"), "{refused:?}");
}
