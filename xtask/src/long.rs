//! `long`: what takes longer than a build server should.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::stages::{self, Stage, check};
use crate::tally::Tally;
use crate::tools::is_there;
use crate::workspace::{cargo, root, target};

/// Seeds of the simulation; the tests run a part of them.
const SEEDS: &str = "10000";

/// Bytes of the largest input that is tried. Larger ones reach nothing else, and take longer.
const INPUT_BYTES_MAX: u32 = 768;

#[rustfmt::skip]
const STAGES: &[Stage<Long>] = &[
    Stage { name: "simulation", about: "the whole broker, in the order of 10,000 seeds",   run: simulation },
    Stage { name: "fuzz",       about: "each target for `--minutes`",                      run: fuzz },
    Stage { name: "soak",       about: "a release build under hostile clients",            run: soak },
    Stage { name: "steady",     about: "half of its load for `--minutes`, with restarts",  run: steady },
    Stage { name: "datagrams",  about: "bytes for each peer of CoAP, and DTLS in a flood",  run: datagrams },
    Stage { name: "logins",     about: "a storm of reconnects, and times that tell nothing", run: logins },
    Stage { name: "index",      about: "a million filters: bytes for each, and a match",   run: index },
    Stage { name: "rules",      about: "10,000 rules: a decision, and a change of them",   run: rules },
    Stage { name: "queues",     about: "10 million durable messages in a queue; one with 100,000 bindings goes", run: queues },
];

/// What the stages share.
struct Long {
    target: PathBuf,
    minutes: u32,
}

/// Prints the stages.
pub(crate) fn list() {
    stages::print(STAGES);
}

/// Runs the named stages, or all.
pub(crate) fn run(names: &[String], minutes: u32) -> Result<(), String> {
    stages::run_named(STAGES, names, || Ok(Long { target: target(), minutes }))
}

fn simulation(_: &Long) -> Result<Tally, String> {
    let mut simulation = cargo();
    simulation.args(["run", "--release", "--quiet", "-p", "mynah-sim", "--", "--seeds", SEEDS]);
    check(&mut simulation, "a seed fails: see above")?;
    check(simulation.arg("--queues"), "a seed of queues fails: see above")
}

fn fuzz(long: &Long) -> Result<Tally, String> {
    set_up_fuzzing()?;
    check(cargo().args(["run", "--quiet", "-p", "mynah-fuzz", "--", "unpack"]), "see the errors above")?;
    let mut faulty = Vec::new();
    for name in fuzz_targets()? {
        println!("--- {name}, {} min", long.minutes);
        let mut fuzz = nightly();
        fuzz.args(["fuzz", "run", "--target-dir"]).arg(long.target.join("fuzz")).args([&name, "--"]);
        fuzz.arg(format!("-max_total_time={}", u64::from(long.minutes) * 60));
        fuzz.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg("-print_final_stats=1").arg("-verbosity=0");
        if check(&mut fuzz, "").is_err() {
            faulty.push(name);
        }
    }
    if faulty.is_empty() {
        return Ok(Tally::default());
    }
    Err(format!(
        "{}: see above; inputs are in fuzz/artifacts, fuzz/README.md says what next",
        faulty.join(", ")
    ))
}

/// What a nightly compiler's cargo does.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).current_dir(root());
    command
}

fn set_up_fuzzing() -> Result<(), String> {
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(nightly().arg("--version")) {
        let remedy = "`rustup toolchain install nightly --profile minimal`";
        return Err(format!("fuzzing needs rustup and a nightly compiler: run {remedy}"));
    }
    if is_there("cargo-fuzz") || works(nightly().args(["fuzz", "--version"])) {
        return Ok(());
    }
    println!("installing cargo-fuzz");
    let install = ["install", "cargo-fuzz", "--locked", "--quiet"];
    check(cargo().args(install), "`cargo install cargo-fuzz --locked` failed: see its message above")
        .map(|_| ())
}

/// The names of the targets, in order.
fn fuzz_targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let broken = |error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn soak(long: &Long) -> Result<Tally, String> {
    check(cargo().args(["build", "--release", "--quiet", "-p", "mynah"]), "see the errors above")?;
    let mut soak = cargo();
    soak.args(["run", "--release", "--quiet", "-p", "mynah-bench", "--bin", "hostile", "--", "--mynah"]);
    check(soak.arg(long.target.join("release/mynah")), "the broker does not hold what it promises: see above")
}

fn steady(long: &Long) -> Result<Tally, String> {
    check(cargo().args(["build", "--release", "--quiet", "-p", "mynah"]), "see the errors above")?;
    let mut steady = cargo();
    steady.args(["run", "--release", "--quiet", "-p", "mynah-crash", "--bin", "mynah-steady", "--"]);
    steady.args(["--minutes", &long.minutes.to_string(), "--mynah"]).arg(long.target.join("release/mynah"));
    check(&mut steady, "memory or folder grow, or something is lost: see above")
}

fn datagrams(long: &Long) -> Result<Tally, String> {
    check(cargo().args(["build", "--release", "--quiet", "-p", "mynah"]), "see the errors above")?;
    let mut datagrams = cargo();
    datagrams.args(["run", "--release", "--quiet", "-p", "mynah-bench", "--bin", "datagrams", "--"]);
    datagrams.arg("--mynah").arg(long.target.join("release/mynah"));
    check(&mut datagrams, "peers take too much memory, or are late: see the figures above")
}

fn rules(_: &Long) -> Result<Tally, String> {
    let mut rules = cargo();
    rules.args(["run", "--release", "--quiet", "-p", "mynah-bench", "--bin", "rules"]);
    check(&mut rules, "see the errors above")
}

fn logins(_: &Long) -> Result<Tally, String> {
    let mut logins = cargo();
    logins.args(["test", "--release", "--quiet", "-p", "mynah", "--test", "logins", "--"]);
    check(logins.args(["--ignored", "--nocapture", "--test-threads=1"]), "see the numbers above")
}

fn index(_: &Long) -> Result<Tally, String> {
    let mut index = cargo();
    index.args(["run", "--release", "--quiet", "-p", "mynah-bench", "--bin", "index"]);
    check(&mut index, "see the errors above")
}

fn queues(long: &Long) -> Result<Tally, String> {
    check(cargo().args(["build", "--release", "--quiet", "-p", "mynah"]), "see the errors above")?;
    let mut queues = cargo();
    queues.args(["run", "--release", "--quiet", "-p", "mynah-bench", "--bin", "queues", "--", "--mynah"]);
    check(queues.arg(long.target.join("release/mynah")), "memory, a rate or a time is not what it should be")
}
