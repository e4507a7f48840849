//! `test` and `bench`: what is run, in which order, and what it came to. `long` has stages of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::tally::Tally;
use crate::workspace::{Workspace, cargo, target};
use crate::{crash, specs, tidy, tools};

/// The crate whose tests drive programs of others against the binary.
const INTEROP: &str = "mynah-interop";

/// What is built and tested beside the default.
const FEATURES: [&str; 2] = ["--features", "mynah/ldap,mynah/tls-psk"];

/// One thing that is run, with what the stages of its task share.
pub(crate) struct Stage<S> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&S) -> Result<Tally, String>,
}

#[rustfmt::skip]
const STAGES: &[Stage<Run>] = &[
    Stage { name: "format",  about: "the sources are formatted",                       run: format },
    Stage { name: "clippy",  about: "the compiler and clippy warn of nothing",         run: clippy },
    Stage { name: "tidy",    about: "levels, heads, names, tokens, sizes, licences",   run: check_tidy },
    Stage { name: "specs",   about: "every statement has a test or a reason",          run: check_specs },
    Stage { name: "build",   about: "binary, tests and examples are built",            run: build },
    Stage { name: "tests",   about: "unit, property and simulation tests",             run: tests },
    Stage { name: "doc",     about: "the examples in the documentation run",           run: doc },
    Stage { name: "crash",   about: "killed brokers keep what they acknowledged",      run: |_| crash::short(false, true) },
    Stage { name: "interop", about: "clients of others against the binary",            run: interop },
];

/// What the stages share.
struct Run {
    /// On a build server nothing may change the lock file.
    ci: bool,
    target: PathBuf,
    nextest: bool,
    workspace: Workspace,
}

/// Prints the stages of `test`.
pub(crate) fn list() {
    print(STAGES);
}

/// Runs the named stages of `test`, or all.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    run_named(STAGES, names, Run::new)
}

/// Prints stages.
pub(crate) fn print<S>(stages: &[Stage<S>]) {
    for stage in stages {
        println!("{:<10} {}", stage.name, stage.about);
    }
}

/// Runs the named stages, or all, and prints what they came to. The last line is `N passed, N failed`.
pub(crate) fn run_named<S>(
    stages: &[Stage<S>],
    names: &[String],
    shared: impl FnOnce() -> Result<S, String>,
) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| stages.iter().all(|stage| stage.name != **name)) {
        let known: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
        return Err(format!("there is no stage `{unknown}`; there are: {}", known.join(", ")));
    }
    let shared = shared()?;
    let wanted =
        stages.iter().filter(|stage| names.is_empty() || names.iter().any(|name| name == stage.name));
    let mut total = Tally::default();
    let mut summary = Vec::new();
    for stage in wanted {
        println!("\n=== {}: {}", stage.name, stage.about);
        let start = Instant::now();
        let (tally, failure) = match (stage.run)(&shared) {
            Ok(tally) => (tally, None),
            Err(message) => (Tally { passed: 0, failed: 1 }, Some(message)),
        };
        total += tally;
        summary.push(summary_line(stage.name, start.elapsed(), tally, failure.as_deref()));
    }
    println!("\n{}", summary.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 { Err(String::new()) } else { Ok(()) }
}

fn summary_line(name: &str, took: Duration, tally: Tally, failure: Option<&str>) -> String {
    let outcome = match failure {
        Some(message) => format!("FAILED: {message}"),
        None if tally.failed > 0 => {
            format!("FAILED: {} of {} tests", tally.failed, tally.passed + tally.failed)
        }
        None if tally.passed > 0 => format!("ok, {} tests", tally.passed),
        None => "ok".to_owned(),
    };
    format!("{name:<10} {:>6.1} s  {outcome}", took.as_secs_f64())
}

/// Runs the benches: times, and, unless there are arguments for those, counts of instructions.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    let workspace = Workspace::load()?;
    if !workspace.members().any(|package| package.name == "mynah-bench") {
        return Err("there is no crate mynah-bench in this workspace, so there is nothing to run".to_owned());
    }
    let run = |benches: &[&str], arguments: &[String], runner: Option<PathBuf>| {
        let mut command = cargo();
        command.args(["bench", "-p", "mynah-bench"]);
        command.args(benches.iter().flat_map(|bench| ["--bench", bench])).arg("--").args(arguments);
        command.envs(runner.map(|runner| ("GUNGRAUN_RUNNER", runner)));
        check(&mut command, "cargo bench failed: see above").map(|_| ())
    };
    run(&["engine", "index"], arguments, None)?;
    if !arguments.is_empty() {
        return Ok(());
    }
    let runner = tools::set_up_counting(&workspace, &target())?;
    run(&["instructions"], &[], Some(runner))
}

impl Run {
    fn new() -> Result<Self, String> {
        tools::set_up_building()?;
        let nextest =
            Command::new("cargo-nextest").arg("--version").output().is_ok_and(|o| o.status.success());
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        Ok(Self { ci, target: target(), nextest, workspace: Workspace::load()? })
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments);
        if self.ci {
            command.arg("--locked").env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// The runner for a set of tests. The features are those of the whole workspace in every call, so that nothing is
    /// built twice where nextest is there to choose tests by package.
    fn tests(&self, interop: bool) -> Command {
        if self.nextest {
            let mut command = self.cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
            command.args(FEATURES);
            command.args(["--status-level", "fail", "--final-status-level", "slow"]);
            if self.has_interop() {
                let sign = if interop { "" } else { "not " };
                command.args(["-E", &format!("{sign}package({INTEROP})")]);
            }
            return command;
        }
        let mut command = self.cargo(&["test", "--quiet", "--no-fail-fast"]);
        if interop {
            command.args(["-p", INTEROP]);
        } else {
            command.args(["--workspace", "--lib", "--bins", "--tests", "--examples", "--exclude", INTEROP]);
            command.args(FEATURES);
        }
        command
    }

    fn has_interop(&self) -> bool {
        self.workspace.members().any(|package| package.name == INTEROP)
    }
}

fn format(_: &Run) -> Result<Tally, String> {
    // `cargo fmt` takes no `--locked`.
    check(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")
}

fn clippy(run: &Run) -> Result<Tally, String> {
    let mut command = run.cargo(&["clippy", "--workspace", "--all-targets", "--quiet"]);
    check(command.args(FEATURES).args(["--", "-D", "warnings"]), "see the warnings above")
}

fn check_tidy(run: &Run) -> Result<Tally, String> {
    tidy::run(&run.workspace).map(|()| Tally::default())
}

fn check_specs(run: &Run) -> Result<Tally, String> {
    specs::run(&run.workspace, true).map(|()| Tally::default())
}

fn build(run: &Run) -> Result<Tally, String> {
    let targets = ["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-run", "--quiet"];
    check(run.cargo(&targets).args(FEATURES), "see the errors above")
}

fn tests(run: &Run) -> Result<Tally, String> {
    count(&mut run.tests(false))
}

fn doc(run: &Run) -> Result<Tally, String> {
    count(&mut run.cargo(&["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]))
}

fn interop(run: &Run) -> Result<Tally, String> {
    if !run.has_interop() {
        return Err(format!("there is no crate {INTEROP} in this workspace"));
    }
    let (python, rabbitmqadmin) = (tools::set_up(&run.target)?, tools::rabbitmqadmin(&run.target)?);
    let bins = ["build", "--workspace", "--bins", "--quiet"];
    let built = check(run.cargo(&bins).args(FEATURES), "see the errors above");
    built.and_then(|_| {
        let binary = run.target.join("debug/mynah");
        let mut tests = run.tests(true);
        tests.env("MYNAH_BIN", binary).env("MYNAH_PYTHON", python).env("MYNAH_RABBITMQADMIN", rabbitmqadmin);
        count(&mut tests)
    })
}

/// Runs a command that either succeeds or not.
pub(crate) fn check(command: &mut Command, remedy: &str) -> Result<Tally, String> {
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() { Ok(Tally::default()) } else { Err(remedy.to_owned()) }
}

/// Runs a command that runs tests, and counts them while its output passes through.
fn count(command: &mut Command) -> Result<Tally, String> {
    let broken = |error| format!("the tests did not start: {error}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(broken)?;
    let (sender, lines) = mpsc::channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|o| Box::new(o) as _), child.stderr.take().map(|o| Box::new(o) as _)];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut tally = Tally::default();
    for line in lines {
        tally += Tally::of_line(&line);
        println!("{line}");
    }
    let status = child.wait().map_err(broken)?;
    match (status.success(), tally.failed) {
        (true, _) | (false, 1..) => Ok(tally),
        (false, 0) => Err(format!("the tests did not run to their end ({status})")),
    }
}
