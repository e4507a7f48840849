//! The one door to everything that is done to this repository: `cargo xtask tidy | specs | test | long | crash | bench`.

mod crash;
mod long;
mod specs;
mod stages;
mod tally;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests and benches of the repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks what the compiler does not: dependency levels, file heads, names, tokens, sizes, licences, links.
    Tidy,
    /// Joins the statements of specifications with the tests that cite them, into `docs/compliance`.
    Specs {
        /// Writes nothing; fails if a table is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Sets up what the tests need and runs everything, or the named stages.
    Test {
        /// Stages to run; all if none is named.
        stages: Vec<String>,
        /// Only lists the stages.
        #[arg(long)]
        list: bool,
    },
    /// Runs what takes longer than a build server should, or the named stages.
    Long {
        /// Stages to run; all if none is named.
        stages: Vec<String>,
        /// Only lists the stages.
        #[arg(long)]
        list: bool,
        /// How long each target is fuzzed, and how long `steady` lasts.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },
    /// Kills the broker at random moments, and looks whether anything that it acknowledged is lost.
    Crash(crash::Arguments),
    /// Runs the benches of `mynah-bench`: times, then counts of instructions.
    Bench {
        /// Passed on to the benches that take times; only those are run then.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Tidy => Workspace::load().and_then(|workspace| tidy::run(&workspace)),
        Task::Specs { check } => Workspace::load().and_then(|workspace| specs::run(&workspace, check)),
        Task::Test { list: true, .. } => {
            stages::list();
            Ok(())
        }
        Task::Test { stages, list: false } => stages::run(&stages),
        Task::Long { list: true, .. } => {
            long::list();
            Ok(())
        }
        Task::Long { stages, list: false, minutes } => long::run(&stages, minutes),
        Task::Crash(arguments) => crash::run(&arguments),
        Task::Bench { arguments } => stages::bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
