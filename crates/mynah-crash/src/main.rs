//! Kills the broker at random moments and prints what it had promised and did not keep.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mynah_crash::ledger::{Kind, Violation};
use mynah_crash::run::{Options, Report, run, temporary_folder};

/// Violations that are printed one by one.
const SHOWN_MAX: usize = 40;

#[derive(Parser)]
#[command(
    name = "mynah-crash",
    about = "Kills the broker at random moments and looks whether it kept its promises"
)]
struct Arguments {
    /// The broker's program
    #[arg(long)]
    mynah: PathBuf,
    /// How often the broker is killed
    #[arg(long, default_value_t = 20)]
    cycles: u32,
    /// Determines all choices; drawn from the clock if absent
    #[arg(long)]
    seed: Option<u64>,
    /// After how many cycles everything is drained and checked
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    drain_every: u32,
    /// Worker threads of the broker
    #[arg(long, default_value_t = 2)]
    workers: u16,
    /// Leaves the broker alone
    #[arg(long)]
    no_kill: bool,
    /// Writes the broker's folder into its configuration
    #[arg(long)]
    store: bool,
    /// The library mynah-lostwrites: what was not synced is lost at a kill
    #[arg(long)]
    lost_writes: Option<PathBuf>,
    /// Makes every sync do nothing and succeeds if losses are found
    #[arg(long, requires = "lost_writes")]
    negative_control: bool,
    /// An empty folder for the run, which is left there; otherwise a temporary one, left there only after a failure
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(seed);
    println!("seed {seed}");
    let is_temporary = arguments.folder.is_none();
    let folder = arguments.folder.unwrap_or_else(temporary_folder);
    if let Err(error) = fs::create_dir_all(&folder) {
        eprintln!("{}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    let options = Options {
        program: arguments.mynah,
        folder: folder.clone(),
        seed,
        cycles: arguments.cycles,
        drain_every: arguments.drain_every,
        kills: !arguments.no_kill,
        names_store: arguments.store,
        workers: arguments.workers,
        library: arguments.lost_writes,
        ignores_sync: arguments.negative_control,
    };
    let outcome = run(&options);
    let is_good = match outcome {
        Ok(report) => judge(&report, arguments.negative_control),
        Err(error) => {
            println!("{error}");
            false
        }
    };
    if is_good && is_temporary {
        let _ = fs::remove_dir_all(&folder);
    } else {
        println!("see {}", folder.display());
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what came of a run, and says whether it is what was wanted.
fn judge(report: &Report, is_control: bool) -> bool {
    for violation in report.violations.iter().take(SHOWN_MAX) {
        println!("{violation}");
    }
    let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
    for Violation { kind, .. } in &report.violations {
        *kinds.entry(*kind).or_default() += 1;
    }
    println!("{report}");
    for (kind, count) in &kinds {
        println!("  {kind}: {count}");
    }
    if !is_control {
        return report.violations.is_empty();
    }
    let has_any = |losses: &[Kind]| losses.iter().any(|kind| kinds.contains_key(kind));
    let of_sessions = has_any(&[Kind::Missing, Kind::SessionLost, Kind::Retained]);
    let of_queues = has_any(&[Kind::Lost, Kind::Undone]);
    for (found, what) in [(of_sessions, "sessions and values"), (of_queues, "queues")] {
        let said = if found { "losses were found, as they must be" } else { "NO LOSS WAS FOUND" };
        println!("negative control, {what}: {said}");
    }
    of_sessions && of_queues
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
}
