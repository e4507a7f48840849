//! `crash`: the broker is killed at random moments, and a ledger says whether it kept its promises.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::stages::check;
use crate::tally::Tally;
use crate::workspace::{cargo, target};

/// How much of it a build server runs: kills, kills that lose what was not synced, and the same without syncs.
const SHORT: [(&str, u32, &[&str]); 3] = [
    ("killed", 25, &[]),
    ("killed, unsynced writes lost", 20, &["--lost-writes"]),
    ("killed, syncs do nothing", 4, &["--lost-writes", "--negative-control"]),
];

/// What is run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How often the broker is killed
    #[arg(long, default_value_t = 500)]
    cycles: u32,
    /// What was not synced is lost at each kill
    #[arg(long)]
    lost_writes: bool,
    /// The same with syncs that do nothing; succeeds if losses are found
    #[arg(long)]
    negative_control: bool,
    /// Leaves the broker alone: nothing may be lost then either
    #[arg(long)]
    no_kill: bool,
    /// Determines all choices
    #[arg(long)]
    seed: Option<u64>,
    /// The broker has no store: everything that it had acknowledged is lost
    #[arg(long)]
    memory: bool,
    /// Runs a release build
    #[arg(long)]
    release: bool,
    /// A short run of each kind, as a build server does; only `--memory` and `--release` count
    #[arg(long)]
    short: bool,
}

/// Builds what is needed and runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.short {
        return short(arguments.release, !arguments.memory).map(|_| ());
    }
    let built = Built::new(arguments.release, !arguments.memory)?;
    let mut flags = Vec::new();
    if arguments.lost_writes || arguments.negative_control {
        flags.push("--lost-writes");
    }
    if arguments.negative_control {
        flags.push("--negative-control");
    }
    if arguments.no_kill {
        flags.push("--no-kill");
    }
    built.run(arguments.cycles, &flags, arguments.seed)
}

/// A short run of each kind, within the time that a build server has.
pub(crate) fn short(release: bool, names_store: bool) -> Result<Tally, String> {
    let built = Built::new(release, names_store)?;
    for (name, cycles, flags) in SHORT {
        println!("--- {name}, {cycles} cycles");
        built.run(cycles, flags, None)?;
    }
    Ok(Tally::default())
}

/// The programs.
struct Built {
    folder: PathBuf,
    names_store: bool,
}

impl Built {
    fn new(release: bool, names_store: bool) -> Result<Self, String> {
        let mut build = cargo();
        build.args(["build", "--quiet", "-p", "mynah", "-p", "mynah-crash", "-p", "mynah-lostwrites"]);
        // In one build features are shared: rustix calls the kernel through libc in the broker too.
        build.args(["--features", "mynah-lostwrites/through-libc"]);
        if release {
            build.arg("--release");
        }
        check(&mut build, "see the errors above")?;
        Ok(Self { folder: target().join(if release { "release" } else { "debug" }), names_store })
    }

    fn run(&self, cycles: u32, flags: &[&str], seed: Option<u64>) -> Result<(), String> {
        let mut crash = Command::new(self.folder.join("mynah-crash"));
        crash.arg("--mynah").arg(self.folder.join("mynah")).args(["--cycles", &cycles.to_string()]);
        for flag in flags {
            crash.arg(flag);
            if *flag == "--lost-writes" {
                crash.arg(self.folder.join("libmynah_lostwrites.so"));
            }
        }
        if let Some(seed) = seed {
            crash.args(["--seed", &seed.to_string()]);
        }
        if self.names_store {
            crash.arg("--store");
        }
        check(&mut crash, "the broker did not keep its promises: see above").map(|_| ())
    }
}
