//! Runs seeds of the simulation and prints what was checked, or the seed that fails with its last events.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use mynah_sim::{Fault, Options, Summary, run};

#[derive(Parser)]
#[command(name = "mynah-sim", about = "Runs the whole broker in one thread, in orders that seeds shuffle")]
struct Arguments {
    /// How many seeds are run, from the first on
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The only seed to be run
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of each schedule
    #[arg(long, default_value_t = 200)]
    steps: u32,
    /// A promise that the broker is made to break
    #[arg(long)]
    fault: Option<Fault>,
}

fn main() -> ExitCode {
    let Arguments { seeds, seed, from, steps, fault } = Arguments::parse();
    let (first, count) = seed.map_or((from, seeds), |seed| (seed, 1));
    let start = Instant::now();
    let mut total = Summary::default();
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        match run(seed, Options { steps, fault }) {
            Ok(summary) => total += summary,
            Err(failure) => {
                eprintln!("{failure}\nseeds before it: {total}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{total}, {:.1} s", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
