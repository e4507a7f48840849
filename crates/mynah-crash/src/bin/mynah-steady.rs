//! Runs the broker at half of what it can take for a long time, with restarts, and prints what it took.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mynah_crash::run::temporary_folder;
use mynah_crash::steady::{Options, run};

#[derive(Parser)]
#[command(
    name = "mynah-steady",
    about = "Runs the broker at half of its load, with restarts: memory and folder stay as they are"
)]
struct Arguments {
    /// The broker's program
    #[arg(long)]
    mynah: PathBuf,
    /// How long the load lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Worker threads of the broker
    #[arg(long, default_value_t = 2)]
    workers: u16,
    /// Messages a second; half of what the broker takes if absent
    #[arg(long)]
    rate: Option<u64>,
    /// An empty folder for the run, which is left there; otherwise a temporary one, left there only after a failure
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_temporary = arguments.folder.is_none();
    let folder = arguments.folder.unwrap_or_else(temporary_folder);
    let options = Options {
        program: arguments.mynah,
        folder: folder.clone(),
        length: Duration::from_secs(u64::from(arguments.minutes) * 60),
        workers: arguments.workers,
        rate: arguments.rate,
    };
    let is_good = match fs::create_dir_all(&folder).and_then(|()| run(&options)) {
        Ok(report) => {
            for fault in &report.faults {
                println!("FAILED: {fault}");
            }
            println!("{report}");
            report.faults.is_empty()
        }
        Err(error) => {
            println!("FAILED: {error}");
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
